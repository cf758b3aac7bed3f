//! One trace goes from a command through all services to the last of what it started, as a collector receives it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "the program under test gets an environment of its own"
)]

#[path = "../common/mod.rs"]
mod common;
mod lab;

use granary_testkit::{Received, pictures};
use lab::Lab;
use serde_json::Value as Json;

const PIPELINE: &str = r#"
name: recordings
on: { event: session.completed, dataset: recordings }
for_each: asset
steps:
  - { name: listed, check: session-complete }
  - { name: typed, check: media-type }
  - { name: decodes, check: image-decodable, when: 'media_type = "image/*"' }
  - { name: attributes, transform: metadata-attributes, needs: [listed] }
  - { name: preview, transform: thumbnail, when: 'media_type = "image/*"', needs: [decodes], with: { max_edge: 8 }, into: processed }
  - { name: keep, transform: copy, into: processed }
"#;
const CATALOG: &str = r#"
a: { v1: { e: {
  app: { cmd: [sh, -c, 'mkdir -p "$GRANARY_FILES/out"; echo made > "$GRANARY_FILES/out/made.txt"'] },
  handler: { files_up: { output: out } },
  resources: { memory: 64MiB, timeout: 1m }
} } }
"#;

/// A trace that begins with this command, once all of these spans are there, and what each follows from.
async fn trace(lab: &Lab, command: &str, expected: &[(&str, &str)]) -> Vec<Received> {
    let what = format!("{command}: {expected:#?}");
    let found = |spans: &[Received]| {
        let root = spans.iter().find(|span| span.name == command)?;
        let all = spans.iter().filter(|span| span.trace_id == root.trace_id);
        let all: Vec<_> = all.cloned().collect();
        let has = |(service, name): &(&str, &str)| {
            let service = lab.service(service);
            all.iter()
                .any(|span| span.service == service && span.name == *name)
        };
        let known = |id: &str| all.iter().any(|span| span.span_id == id);
        let whole = all
            .iter()
            .all(|span| span.parent_id.is_empty() || known(&span.parent_id));
        (whole && expected.iter().all(has)).then_some(all)
    };
    let all = lab.receiver.until(&what, found).await;
    let first: Vec<_> = all
        .iter()
        .filter(|span| span.parent_id.is_empty())
        .collect();
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!(first[0].name, command);
    assert_eq!(first[0].attribute("process.exit.code"), "0");
    for span in &all {
        assert!(span.begin <= span.end, "{span:#?}");
        let text = format!("{span:?}");
        for secret in ["X-Amz-", "Signature", "Bearer", "?"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    all
}

async fn upload(lab: &Lab) -> Vec<Received> {
    lab.write("p.yaml", PIPELINE.as_bytes());
    lab.run(&["pipeline", "apply", "-f", "p.yaml"]).await;
    lab.write("s1/metadata.txt", b"fatigue: 4\nfiles: camera.jpg\n");
    lab.write("s1/camera.jpg", &pictures::jpeg(32, 32, 1));
    lab.run(&["upload", "s1", "--dataset", "recordings"]).await;
    let expected = [
        ("cli", "granary upload"),
        ("cli", "send session"),
        (
            "metadata",
            "granary.metadata.v1.SessionService/CreateSession",
        ),
        (
            "storage",
            "granary.storage.v1.UploadService/BatchCreateUploads",
        ),
        (
            "metadata",
            "granary.metadata.v1.AssetService/BatchCreateAssets",
        ),
        (
            "storage",
            "granary.storage.v1.UploadService/BatchCompleteUploads",
        ),
        (
            "metadata",
            "granary.metadata.v1.SessionService/CompleteSession",
        ),
        ("pipeline", "pipeline session"),
        ("pipeline", "step listed"),
        ("pipeline", "step typed"),
        ("pipeline", "step decodes"),
        ("pipeline", "step attributes"),
        ("pipeline", "step preview"),
        ("pipeline", "step keep"),
        (
            "storage",
            "granary.storage.v1.UploadService/BatchCopyAssets",
        ),
        (
            "metadata",
            "granary.metadata.v1.SessionService/FinishSession",
        ),
    ];
    trace(lab, "granary upload", &expected).await
}

async fn job(lab: &mut Lab) -> Vec<Received> {
    lab.write("apps.yaml", CATALOG.as_bytes());
    lab.run(&["app", "apply", "-f", "apps.yaml"]).await;
    lab.start_worker().await;
    let submit = [
        "--app",
        "a",
        "--version",
        "v1",
        "--entrypoint",
        "e",
        "--job-id",
        "j1",
    ];
    lab.run(&[&["job", "submit"][..], &submit].concat()).await;
    let expected = [
        ("cli", "granary job submit"),
        ("job", "granary.job.v1.JobService/CreateJob"),
        ("job", "job queued"),
        ("worker", "attempt"),
        ("worker", "prepare"),
        ("worker", "run"),
        ("worker", "finish"),
        (
            "storage",
            "granary.storage.v1.UploadService/BatchCompleteUploads",
        ),
        (
            "metadata",
            "granary.metadata.v1.SessionService/CompleteSession",
        ),
        // What the job made is a session as any other.
        ("pipeline", "pipeline session"),
    ];
    let all = trace(lab, "granary job submit", &expected).await;
    let attempt = all.iter().find(|span| span.name == "attempt").unwrap();
    assert_eq!(attempt.attribute("granary.job"), "projects/default/jobs/j1");
    assert!(!attempt.failed);
    all
}

#[tokio::test]
async fn one_trace_goes_from_a_command_to_the_last_of_what_it_started() {
    let mut lab = Lab::embedded().await;
    let all = upload(&lab).await;
    let kept = all.iter().find(|span| span.name == "step keep").unwrap();
    assert_eq!(kept.attribute("granary.assets"), "2");
    let runs = lab.json(&["run", "list"]).await;
    let trace_parent = runs["runs"][0]["trace_parent"].as_str().unwrap();
    assert!(trace_parent.contains(&kept.trace_id), "{trace_parent}");

    // The log says of what is logged during a call to which trace it belongs.
    let log = lab.log();
    let lines: Vec<Json> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let told = |line: &&Json| line["message"] == "called" && line["trace_id"] == *kept.trace_id;
    let line = lines.iter().find(told).unwrap_or_else(|| panic!("{log}"));
    let span = all
        .iter()
        .find(|span| line["span_id"] == *span.span_id)
        .unwrap();
    assert_eq!(span.kind, "server");
    assert!(lines.iter().any(|line| line.get("trace_id").is_none()));

    let all = job(&mut lab).await;
    let trace_parent = lab.json(&["job", "get", "j1"]).await["trace_parent"].clone();
    assert!(trace_parent.as_str().unwrap().contains(&all[0].trace_id));
    lab.stop().await;
}

#[tokio::test]
async fn services_apart_hand_on_one_trace() {
    let Some(mut lab) = Lab::apart().await else {
        return;
    };
    upload(&lab).await;
    job(&mut lab).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_command_continues_the_trace_that_it_is_called_in_and_a_collector_that_is_away_holds_nothing_up()
 {
    let lab = Lab::embedded().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut command = lab.command(&["dataset", "get", "nowhere"]);
    command.env("TRACEPARENT", parent);
    common::finish(command).await.failed(1, "not found");
    let find = |spans: &[Received]| {
        spans
            .iter()
            .find(|span| span.name == "granary dataset get")
            .cloned()
    };
    let root = lab.receiver.until("the span of the command", find).await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    assert_eq!((&*root.trace_id, &*root.parent_id), (trace, span));
    assert!(root.failed && root.attribute("process.exit.code") == "1");

    let mut command = lab.command(&["project", "list"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let done = common::finish(command).await;
    assert!(done.stderr.contains("spans are not exported"), "{done:?}");
    assert!(!done.stderr.contains("opentelemetry"), "{done:?}");
    assert!(done.ok().contains("default"));
    let mut command = lab.command(&["project", "list"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "no endpoint");
    let done = common::finish(command).await;
    assert!(
        done.stderr
            .contains("OTEL_EXPORTER_OTLP_ENDPOINT: expected http"),
        "{done:?}"
    );
    assert!(done.ok().contains("default"));
    lab.stop().await;
}
