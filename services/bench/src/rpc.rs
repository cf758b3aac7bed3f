//! Unary creates and gets over many connections.

use std::time::Duration;

use granary_core::name::DatasetName;
use granary_proto::metadata::v1::{
    CreateDatasetRequest, CreateSessionRequest, GetSessionRequest, Session, Value,
    dataset_service_client::DatasetServiceClient, session_service_client::SessionServiceClient,
    value::Kind,
};
use granary_runtime::Link;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{Args, load::closed_loop, report::Report, server::Server};

pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&["--job-slots", "0"]).await?;
    let dataset = dataset(&server, "bench").await?;
    let time = Duration::from_secs(args.seconds);

    let bare = closed_loop(
        server.connections(args.connections).await?,
        time,
        |link: Link, _, _| async move {
            HealthClient::new(link.clone())
                .check(HealthCheckRequest::default())
                .await?;
            Ok(link)
        },
    )
    .await?;
    report.line(
        "bare calls",
        format!("{:>10.1} /s            {bare}", bare.rate),
    );

    let parent = dataset.to_string();
    let creates = closed_loop(
        server.connections(args.connections).await?,
        time,
        move |link: Link, connection, call| {
            let request = create(&parent, connection, call);
            async move {
                SessionServiceClient::new(link.clone())
                    .create_session(request)
                    .await?;
                Ok(link)
            }
        },
    )
    .await?;
    report.figure("creates", creates.rate, "/s", 3_000.0, "at least");
    report.line("", creates.to_string());
    report.ratio("of the floor", creates.rate, bare.rate, "bare calls");

    let gets = closed_loop(
        server.connections(args.connections).await?,
        time,
        move |link: Link, connection, call| {
            let name = dataset.session(&format!("s-{connection}-{}", call % 100));
            async move {
                SessionServiceClient::new(link.clone())
                    .get_session(GetSessionRequest {
                        name: name?.to_string(),
                    })
                    .await?;
                Ok(link)
            }
        },
    )
    .await?;
    report.figure("gets", gets.rate, "/s", 15_000.0, "at least");
    report.line("", gets.to_string());
    report.ratio("of the floor", gets.rate, bare.rate, "bare calls");
    Ok(())
}

/// Makes a dataset in the default project.
pub(crate) async fn dataset(server: &Server, id: &str) -> anyhow::Result<DatasetName> {
    let request = CreateDatasetRequest {
        parent: "projects/default".into(),
        dataset: None,
        dataset_id: id.into(),
        request_id: String::new(),
    };
    DatasetServiceClient::new(server.connect().await?)
        .create_dataset(request)
        .await?;
    Ok(DatasetName::new("default", id)?)
}

fn create(parent: &str, connection: usize, call: usize) -> CreateSessionRequest {
    let number = |n: usize| Value {
        kind: Some(Kind::Number(f64::from(
            u32::try_from(n % 5).unwrap_or_default(),
        ))),
    };
    let text = Value {
        kind: Some(Kind::Text("X2".into())),
    };
    CreateSessionRequest {
        parent: parent.to_owned(),
        session: Some(Session {
            attributes: [
                ("fatigue".to_owned(), number(call)),
                ("hardware_model".to_owned(), text),
            ]
            .into(),
            ..Session::default()
        }),
        session_id: format!("s-{connection}-{call}"),
        request_id: String::new(),
    }
}
