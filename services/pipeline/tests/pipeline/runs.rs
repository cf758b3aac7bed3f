//! Reading and watching runs.

use granary_proto::pipeline::v1::{
    GetRunRequest, ListRunsRequest, ListStepResultsRequest, RunState, StepOutcome, WatchRunRequest,
};
use tonic::Code;

use crate::{
    files::{TEXT, jpeg},
    world::World,
};

const TYPED: &str = r#"
name: typing
on: { event: session.completed, dataset: raw }
steps:
  - { name: typed, check: media-type }
  - { name: sized, check: image-dimensions, needs: [typed], with: { max_width: 1000 } }
"#;

#[tokio::test]
async fn runs_are_listed_newest_first_page_by_page() {
    for world in World::each().await {
        let service = world.pipeline().await;
        service.apply(TYPED).await;
        let mut sessions = Vec::new();
        for id in ["s1", "s2", "s3"] {
            let name = world.send(id, vec![("a.jpg", jpeg(10, 10, 1))]).await;
            world.finished(&name).await;
            sessions.push(name.to_string());
        }
        sessions.reverse();
        for parent in [
            "projects/default/pipelines/typing",
            "projects/default/pipelines/-",
        ] {
            let mut request = ListRunsRequest {
                parent: parent.into(),
                page_size: 2,
                ..Default::default()
            };
            let first = service
                .runs()
                .list_runs(request.clone())
                .await
                .unwrap()
                .into_inner();
            assert_eq!(first.runs.len(), 2);
            request.page_token = first.next_page_token;
            let second = service
                .runs()
                .list_runs(request)
                .await
                .unwrap()
                .into_inner();
            let seen: Vec<_> = first
                .runs
                .iter()
                .chain(&second.runs)
                .map(|run| run.session.clone())
                .collect();
            assert_eq!(
                (seen, second.next_page_token.as_str()),
                (sessions.clone(), "")
            );
        }
    }
}

#[tokio::test]
async fn results_are_paged_by_asset_and_step_and_chosen_by_outcome() {
    for world in World::each().await {
        let service = world.pipeline().await;
        service.apply(TYPED).await;
        let name = world
            .send(
                "s1",
                vec![
                    ("a.jpg", jpeg(10, 10, 1)),
                    ("b.jpg", TEXT.to_vec()),
                    ("c.jpg", jpeg(12, 10, 1)),
                ],
            )
            .await;
        world.finished(&name).await;
        let run = service.ended(&name).await;
        let list = |outcome: StepOutcome, page_size: i32| {
            let mut client = service.runs();
            let mut request = ListStepResultsRequest {
                parent: run.name.clone(),
                page_size,
                outcome: outcome as i32,
                ..Default::default()
            };
            async move {
                let mut all = Vec::new();
                loop {
                    let page = client
                        .list_step_results(request.clone())
                        .await
                        .unwrap()
                        .into_inner();
                    assert!(page.results.len() <= usize::try_from(page_size).unwrap());
                    all.extend(page.results);
                    if page.next_page_token.is_empty() {
                        return all;
                    }
                    request.page_token = page.next_page_token;
                }
            }
        };
        let all = list(StepOutcome::Unspecified, 1000).await;
        assert_eq!(all.len(), 6);
        for size in [1, 2, 4, 5] {
            assert_eq!(
                list(StepOutcome::Unspecified, size).await,
                all,
                "pages of {size}"
            );
        }
        for outcome in [
            StepOutcome::Passed,
            StepOutcome::Failed,
            StepOutcome::Skipped,
        ] {
            let expected: Vec<_> = all
                .iter()
                .filter(|result| result.outcome() == outcome)
                .cloned()
                .collect();
            assert_eq!(list(outcome, 1).await, expected);
        }
        let failed = list(StepOutcome::Failed, 10).await;
        assert_eq!(
            failed[0].errors,
            ["media_type: declared image/jpeg, content is text/plain"]
        );
        assert_eq!(list(StepOutcome::Skipped, 10).await[0].path, "b.jpg");
    }
}

#[tokio::test]
async fn a_run_is_watched_to_its_end() {
    let world = World::start().await;
    let service = world.pipeline().await;
    service.apply(TYPED).await;
    let files: Vec<(String, Vec<u8>)> = (0..600)
        .map(|at| (format!("{at}.txt"), format!("{at}").into_bytes()))
        .collect();
    let name = world.send_to(crate::world::session("s1"), files).await;
    world.finished(&name).await;
    let run = service.runs_on(&name).await.remove(0);
    let mut states = service
        .runs()
        .watch_run(WatchRunRequest {
            name: run.name.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    let mut last = None;
    while let Some(state) = states.message().await.unwrap() {
        last = Some(state);
    }
    let last = last.unwrap();
    // Texts are no images: each is what it says it is, and has no size in pixels.
    assert_eq!(
        (last.state(), last.done_count, last.rejected_count),
        (RunState::Failed, 600, 600)
    );
    assert!(last.start_time.is_some() && last.finish_time.is_some());
    let found = service
        .runs()
        .get_run(GetRunRequest { name: run.name })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found, last);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::start().await;
    let service = world.pipeline().await;
    let name = "projects/default/pipelines/typing/runs/r1".to_owned();
    let get = service
        .runs()
        .get_run(GetRunRequest { name: name.clone() })
        .await
        .unwrap_err();
    let watch = service
        .runs()
        .watch_run(WatchRunRequest { name: name.clone() })
        .await
        .unwrap_err();
    let list = ListStepResultsRequest {
        parent: name,
        ..Default::default()
    };
    let results = service.runs().list_step_results(list).await.unwrap_err();
    assert_eq!(
        [get.code(), watch.code(), results.code()],
        [Code::NotFound; 3]
    );
    let odd = ListRunsRequest {
        parent: "projects/default".into(),
        ..Default::default()
    };
    assert_eq!(
        service.runs().list_runs(odd).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}
