use granary_core::Error;
use granary_proto::job::v1::{
    ApplyCatalogRequest, Entrypoint, GetEntrypointRequest, ListEntrypointsRequest,
};
use granary_runtime::rpc::from_status;

use crate::world::{ENTRYPOINT, World, entrypoint, on_both};

fn named(name: &str) -> Entrypoint {
    Entrypoint {
        name: format!("applications/summary/versions/{name}"),
        ..entrypoint()
    }
}

on_both! {
    async fn an_application_is_replaced_as_a_whole(world: World) {
        let first = world.apply(vec![entrypoint(), named("v1/entrypoints/fit")]).await.unwrap();
        assert_eq!(first.created.len(), 2);

        let mut changed = entrypoint();
        changed.app.as_mut().unwrap().cmd.push("--fast".into());
        let wanted = vec![changed, named("v2/entrypoints/train")];
        let request = ApplyCatalogRequest { entrypoints: wanted.clone(), validate_only: true, ..ApplyCatalogRequest::default() };
        let planned = world.applications().apply_catalog(request).await.unwrap().into_inner();
        assert_eq!(world.get_entrypoint(ENTRYPOINT).await.unwrap().app, entrypoint().app, "planning changes nothing");

        let applied = world.apply(wanted.clone()).await.unwrap();
        assert_eq!(applied, planned);
        assert_eq!(applied.updated, [ENTRYPOINT]);
        assert_eq!(applied.created, ["applications/summary/versions/v2/entrypoints/train"]);
        assert_eq!(applied.removed, ["applications/summary/versions/v1/entrypoints/fit"]);
        assert_eq!(world.apply(wanted).await.unwrap(), Default::default(), "the same again changes nothing");
    }

    async fn applications_that_are_not_given_stay_unless_they_are_pruned(world: World) {
        let own = Entrypoint { name: "applications/own/versions/v1/entrypoints/run".into(), ..entrypoint() };
        world.apply(vec![own.clone()]).await.unwrap();
        let applied = world.apply(vec![entrypoint()]).await.unwrap();
        assert_eq!((applied.removed, applied.kept), (vec![], vec![own.name.clone()]));
        assert_eq!(world.get_entrypoint(&own.name).await.unwrap().app, own.app);

        let prune = |validate_only| {
            let request = ApplyCatalogRequest { entrypoints: vec![entrypoint()], validate_only, prune: true };
            let mut client = world.applications();
            async move { client.apply_catalog(request).await.unwrap().into_inner() }
        };
        let planned = prune(true).await;
        assert_eq!((&planned.removed, planned.kept.len()), (&vec![own.name.clone()], 0));
        world.get_entrypoint(&own.name).await.unwrap();
        assert_eq!(prune(false).await, planned);
        assert!(matches!(world.get_entrypoint(&own.name).await.unwrap_err(), Error::NotFound { .. }));
        world.get_entrypoint(ENTRYPOINT).await.unwrap();
    }

    async fn resources_that_are_left_out_are_shown_as_they_hold(world: World) {
        world.catalog().await;
        let resources = world.get_entrypoint(ENTRYPOINT).await.unwrap().resources.unwrap();
        assert_eq!((resources.memory_bytes, resources.cpus), (1 << 30, 1.0));
        assert_eq!(resources.timeout.unwrap().seconds, 3600);
        assert_eq!(world.apply(vec![entrypoint()]).await.unwrap(), Default::default(), "they are not part of the definition");
    }

    async fn a_wrong_catalogue_changes_nothing(world: World) {
        world.catalog().await;
        let mut wrong = entrypoint();
        wrong.app.as_mut().unwrap().cmd.clear();
        let error = world.apply(vec![wrong]).await.unwrap_err();
        assert_eq!(error.to_string(), "summary.v1.train.app.cmd: expected the program and its arguments, 1 to 256, got 0");
        world.get_entrypoint(ENTRYPOINT).await.unwrap();
    }

    async fn what_is_not_there_is_answered_with_what_is(world: World) {
        world.catalog().await;
        let error = world.get_entrypoint("applications/summary/versions/v1/entrypoints/trian").await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }));
        assert!(error.to_string().contains(&format!("did you mean {ENTRYPOINT}?")), "{error}");
    }

    async fn entrypoints_are_listed_in_pages_by_name(world: World) {
        world.apply(["v2/entrypoints/b", "v1/entrypoints/c", "v2/entrypoints/a"].map(named).into()).await.unwrap();
        let list = |parent: &str, page_token: String| {
            let request = ListEntrypointsRequest { parent: parent.into(), page_size: 2, page_token };
            let mut client = world.applications();
            async move { client.list_entrypoints(request).await.unwrap().into_inner() }
        };
        let first = list("applications/-/versions/-", String::new()).await;
        let second = list("applications/-/versions/-", first.next_page_token).await;
        let names: Vec<_> = first.entrypoints.iter().chain(&second.entrypoints).map(|e| e.name.rsplit_once('/').unwrap().1).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert!(second.next_page_token.is_empty());
        assert_eq!(list("applications/summary/versions/v1", String::new()).await.entrypoints.len(), 1);
        assert!(list("applications/other/versions/-", String::new()).await.entrypoints.is_empty());
    }
}

impl World {
    async fn get_entrypoint(&self, name: &str) -> Result<Entrypoint, Error> {
        let request = GetEntrypointRequest { name: name.into() };
        self.applications()
            .get_entrypoint(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(from_status)
    }
}
