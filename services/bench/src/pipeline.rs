//! Sessions of small JPEGs, from submission to the last final state.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::Context as _;
use granary_core::name::{DatasetName, SessionName};
use granary_proto::{
    metadata::v1::{
        CompleteSessionRequest, CreateSessionRequest, Session, WatchEventsRequest,
        event_service_client::EventServiceClient, session_service_client::SessionServiceClient,
    },
    pipeline::v1::{
        ApplyPipelineRequest, PipelineDefinition, Step, Trigger,
        pipeline_service_client::PipelineServiceClient, step,
    },
};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};

use crate::{Args, floor, report::Report, rpc, server::Server};

const SESSION: usize = 1000;

pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&["--job-slots", "0"]).await?;
    let dataset = rpc::dataset(&server, "pictures").await?;
    apply(&server).await?;
    let files = pictures(&server, args.assets)?;
    let best = floor::headers_per_second(&files);

    let begin = Instant::now();
    let mut sessions = Vec::new();
    for (number, chunk) in files.chunks(SESSION).enumerate() {
        sessions.push((send(&server, &dataset, number, chunk).await?, chunk.len()));
    }
    let sent = floor::load_rate(files.len(), begin.elapsed());
    report.line("small files sent", format!("{sent:>10.1} /s"));

    let mut events = EventServiceClient::new(server.connect().await?)
        .watch_events(WatchEventsRequest {
            parent: "projects/default".into(),
            resume_token: String::new(),
            types: vec!["session.processed".into(), "session.failed".into()],
            resource: String::new(),
        })
        .await?
        .into_inner();
    events.message().await?;
    let begin = Instant::now();
    let mut client = SessionServiceClient::new(server.connect().await?);
    for (session, count) in &sessions {
        let asset_count = i64::try_from(*count)?;
        client
            .complete_session(CompleteSessionRequest {
                name: session.to_string(),
                asset_count,
            })
            .await?;
    }
    let mut done = 0;
    while done < sessions.len() {
        let batch = events
            .message()
            .await?
            .context("the stream of events ended")?;
        anyhow::ensure!(
            batch
                .events
                .iter()
                .all(|event| event.r#type == "session.processed"),
            "a session failed"
        );
        done += batch.events.len();
    }
    let rate = floor::load_rate(files.len(), begin.elapsed());
    report.figure("assets validated", rate, "/s", 5_000.0, "at least");
    report.ratio("of the floor", rate, best, "reading headers");
    report.line(
        "  memory of the server",
        format!("{:>10.1} MiB at most", server.peak_mib()?),
    );
    Ok(())
}

fn pictures(server: &Server, count: usize) -> anyhow::Result<Vec<PathBuf>> {
    let folder = server.folder().join("pictures");
    let made = Command::new("python3")
        .args(["examples/make.py", "--many", &count.to_string()])
        .arg(&folder)
        .status()?;
    anyhow::ensure!(made.success(), "examples/make.py failed");
    let mut files = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jpg") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

async fn apply(server: &Server) -> anyhow::Result<()> {
    let step = |name: &str, check: &str| Step {
        name: name.into(),
        kind: Some(step::Kind::Check(check.into())),
        ..Step::default()
    };
    let limit = prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(1000.0)),
    };
    let definition = PipelineDefinition {
        name: "pictures".into(),
        on: Some(Trigger {
            event: "session.completed".into(),
            dataset: "pictures".into(),
        }),
        for_each: "asset".into(),
        steps: vec![
            step("typed", "media-type"),
            step("decodes", "image-decodable"),
            Step {
                with: Some(prost_types::Struct {
                    fields: [("max_width".to_owned(), limit)].into(),
                }),
                ..step("sized", "image-dimensions")
            },
        ],
    };
    let request = ApplyPipelineRequest {
        parent: "projects/default".into(),
        definition: Some(definition),
    };
    PipelineServiceClient::new(server.connect().await?)
        .apply_pipeline(request)
        .await?;
    Ok(())
}

async fn send(
    server: &Server,
    dataset: &DatasetName,
    number: usize,
    files: &[PathBuf],
) -> anyhow::Result<SessionName> {
    let link = server.connect().await?;
    let session = dataset.session(&format!("batch-{number:05}"))?;
    SessionServiceClient::new(link.clone())
        .create_session(CreateSessionRequest {
            parent: dataset.to_string(),
            session: Some(Session::default()),
            session_id: session.session.clone(),
            request_id: String::new(),
        })
        .await?;
    let items = files.iter().map(|file| Item {
        path: file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        source: Source::File(file.clone()),
        media_type: "image/jpeg".into(),
        derived_from: vec![],
        producer: String::new(),
    });
    Uploader::new(link, UploadOptions::default())
        .upload(&session, items.collect(), &NoProgress)
        .await?;
    Ok(session)
}
