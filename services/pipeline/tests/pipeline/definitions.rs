//! Applying, planning and listing.

use granary_proto::pipeline::v1::{
    GetPipelineRequest, ListPipelinesRequest, PipelineChange, PlanPipelineRequest,
};
use tonic::Code;

use crate::{
    files::jpeg,
    world::{World, definition, project},
};

fn copying(name: &str, from: &str, into: &str) -> String {
    format!(
        "{{ name: {name}, on: {{ event: session.completed, dataset: {from} }}, steps: [ {{ name: keep, transform: copy, into: {into} }} ] }}"
    )
}

#[tokio::test]
async fn a_version_is_added_only_when_something_differs() {
    for world in World::each().await {
        let service = world.pipeline().await;
        let first = service.apply(&copying("a", "raw", "out")).await;
        assert_eq!(
            (first.change(), first.pipeline.as_ref().unwrap().version),
            (PipelineChange::Created, 1)
        );
        let same = service.apply(&copying("a", "raw", "out")).await;
        assert_eq!(
            (same.change(), same.pipeline),
            (PipelineChange::Unchanged, first.pipeline.clone())
        );
        let other = service.apply(&copying("a", "raw", "other")).await;
        assert_eq!(
            (other.change(), other.pipeline.as_ref().unwrap().version),
            (PipelineChange::Updated, 2)
        );
        let name = "projects/default/pipelines/a".to_owned();
        let found = service
            .pipelines()
            .get_pipeline(GetPipelineRequest { name })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(Some(found), other.pipeline);
    }
}

#[tokio::test]
async fn what_cannot_be_applied_changes_nothing() {
    let world = World::start().await;
    let service = world.pipeline().await;
    service.apply(&copying("forth", "raw", "processed")).await;
    let cycle = service
        .try_apply(&copying("back", "processed", "raw"))
        .await
        .unwrap_err();
    assert_eq!(cycle.code(), Code::InvalidArgument);
    assert_eq!(
        cycle.message(),
        "steps[0].into: with the other pipelines the datasets processed -> raw -> processed form a cycle"
    );
    let mut stranger = granary_proto::pipeline::v1::ApplyPipelineRequest {
        parent: "projects/nobody".into(),
        definition: None,
    };
    assert_eq!(
        service
            .pipelines()
            .apply_pipeline(stranger.clone())
            .await
            .unwrap_err()
            .message(),
        "definition: is required"
    );
    stranger.definition = Some(definition(&copying("a", "raw", "out")));
    assert_eq!(
        service
            .pipelines()
            .apply_pipeline(stranger)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    let get = GetPipelineRequest {
        name: "projects/default/pipelines/back".into(),
    };
    assert_eq!(
        service
            .pipelines()
            .get_pipeline(get)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn pipelines_are_listed_by_name_page_by_page() {
    for world in World::each().await {
        let service = world.pipeline().await;
        for name in ["c", "a-b", "ab"] {
            service.apply(&copying(name, "raw", "out")).await;
        }
        let mut request = ListPipelinesRequest {
            parent: project().to_string(),
            page_size: 2,
            page_token: String::new(),
        };
        let first = service
            .pipelines()
            .list_pipelines(request.clone())
            .await
            .unwrap()
            .into_inner();
        request.page_token = first.next_page_token;
        let second = service
            .pipelines()
            .list_pipelines(request)
            .await
            .unwrap()
            .into_inner();
        let names: Vec<_> = first
            .pipelines
            .iter()
            .chain(&second.pipelines)
            .map(|p| p.name.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(
            (names, second.next_page_token.as_str()),
            (vec!["a-b", "ab", "c"], "")
        );
    }
}

#[tokio::test]
async fn a_plan_says_what_each_step_would_do_and_changes_nothing() {
    for world in World::each().await {
        let service = world.pipeline().await;
        let yaml = r#"
name: images
on: { event: session.completed, dataset: raw }
steps:
  - { name: sized, check: image-dimensions, when: 'media_type = "image/*"', with: { max_width: 1000 } }
  - { name: keep, transform: copy, needs: [sized], into: processed }
"#;
        let plan = || async {
            let request = PlanPipelineRequest {
                parent: project().to_string(),
                definition: Some(definition(yaml)),
            };
            service
                .pipelines()
                .plan_pipeline(request)
                .await
                .unwrap()
                .into_inner()
        };
        let before = plan().await;
        assert_eq!(
            (before.change(), before.session.as_str()),
            (PipelineChange::Created, "")
        );
        assert_eq!(
            before.steps[0].reason,
            "no session has completed in the dataset raw yet"
        );

        let files = || {
            vec![
                ("a.jpg", jpeg(20, 20, 1)),
                ("b.jpg", jpeg(20, 20, 2)),
                ("c.txt", b"c".to_vec()),
            ]
        };
        let name = world.send("s1", files()).await;
        world.finished(&name).await;
        let new = plan().await;
        assert_eq!(new.session, name.to_string());
        let sized = &new.steps[0];
        assert_eq!(
            (sized.run_count, sized.cached_count, sized.skipped_count),
            (2, 0, 1)
        );
        assert_eq!(
            sized.reason,
            "no content was seen before with these parameters"
        );
        assert_eq!(service.runs_on(&name).await, []);

        service.apply(yaml).await;
        let name = world.send("s2", files()).await;
        world.finished(&name).await;
        let after = plan().await;
        assert_eq!(
            (after.change(), after.session),
            (PipelineChange::Unchanged, name.to_string())
        );
        let sized = &after.steps[0];
        assert_eq!(
            (sized.run_count, sized.cached_count, sized.skipped_count),
            (0, 2, 1)
        );
        assert_eq!(
            sized.reason,
            "every content was seen before with these parameters"
        );
        assert_eq!(
            after.steps[1].reason,
            "copies within the store, once for each session; only where sized passed"
        );
    }
}
