//! Unary creates and gets over many connections.

use std::time::Duration;

use anyhow::Context as _;
use granary_core::name::DatasetName;
use granary_proto::metadata::v1::{
    CreateDatasetRequest, CreateSessionRequest, GetSessionRequest, Session, Value,
    dataset_service_client::DatasetServiceClient, value::Kind,
};
use tonic_health::pb::HealthCheckRequest;

use crate::{
    Args,
    load::{Reached, Until, closed_loop},
    report::Report,
    server::Server,
    wire::Wire,
};

const CREATE: &str = "/granary.metadata.v1.SessionService/CreateSession";
const GET: &str = "/granary.metadata.v1.SessionService/GetSession";

pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&["--job-slots", "0"]).await?;
    let dataset = dataset(&server, "bench").await?;

    let health = HealthCheckRequest::default();
    let bare = calls(
        &server,
        args,
        "/grpc.health.v1.Health/Check",
        move |_, _| health.clone(),
    )
    .await?;
    report.line(
        "bare calls",
        format!("{:>10.1} /s            {bare}", bare.rate),
    );

    let parent = dataset.to_string();
    let creates = calls(&server, args, CREATE, move |connection, call| {
        create(&parent, connection, call)
    })
    .await?;
    report.figure("creates", creates.rate, "/s", 3_000.0, "at least");
    report.line("", creates.to_string());
    report.ratio("of the floor", creates.rate, bare.rate, "bare calls");

    let gets = calls(&server, args, GET, move |connection, call| {
        GetSessionRequest {
            name: format!("{dataset}/sessions/s-{connection}-{}", call % 100),
        }
    })
    .await?;
    report.figure("gets", gets.rate, "/s", 15_000.0, "at least");
    report.line("", gets.to_string());
    report.ratio("of the floor", gets.rate, bare.rate, "bare calls");
    Ok(())
}

/// Calls a method over many connections at the same time; `message` makes the request of the nth call of a connection.
async fn calls<M: prost::Message + 'static>(
    server: &Server,
    args: &Args,
    method: &str,
    message: impl Fn(usize, usize) -> M + Clone + Send + 'static,
) -> anyhow::Result<Reached> {
    let wires = server.wires(args.connections).await?;
    let until = Until::Time(Duration::from_secs(args.seconds));
    let uri = wires.first().context("no connection")?.uri(method)?;
    closed_loop(wires, until, move |wire: Wire, connection, call| {
        let (uri, message) = (uri.clone(), message(connection, call));
        async move { wire.call(uri, &message).await }
    })
    .await
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
