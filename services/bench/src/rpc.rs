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

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CREATE: &str = "/granary.metadata.v1.SessionService/CreateSession";
const GET: &str = "/granary.metadata.v1.SessionService/GetSession";

/// What each kind of call reached, round by round.
#[derive(Debug, Default)]
struct Rounds {
    bare: Vec<Reached>,
    creates: Vec<Reached>,
    gets: Vec<Reached>,
}

/// The kinds take turns, so that a neighbour who takes the machine for a while slows all of them alike.
pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&["--job-slots", "0"]).await?;
    let dataset = dataset(&server, "bench").await?;
    let mut rounds = Rounds::default();
    for round in 0..args.rounds {
        rounds.one(&server, args, &dataset, round).await?;
    }
    rounds.print(report)
}

impl Rounds {
    async fn one(
        &mut self,
        server: &Server,
        args: &Args,
        dataset: &DatasetName,
        round: usize,
    ) -> anyhow::Result<()> {
        let health = HealthCheckRequest::default();
        let bare = calls(server, args, HEALTH, move |_, _| health.clone()).await?;
        self.bare.push(bare);

        let parent = dataset.to_string();
        let creates = calls(server, args, CREATE, move |connection, call| {
            create(&parent, &format!("s-{round}-{connection}-{call}"), call)
        })
        .await?;
        self.creates.push(creates);

        let parent = dataset.to_string();
        let gets = calls(server, args, GET, move |connection, call| {
            let call = call % 100;
            GetSessionRequest {
                name: format!("{parent}/sessions/s-{round}-{connection}-{call}"),
            }
        })
        .await?;
        self.gets.push(gets);
        Ok(())
    }

    fn print(mut self, report: &mut Report) -> anyhow::Result<()> {
        let bare = median(&mut self.bare)?;
        report.line("bare calls", format!("{:>10.1} /s", bare.rate));
        report.line("", spread(bare, &self.bare));
        for (what, reached, target) in [
            ("creates", &mut self.creates, 3_000.0),
            ("gets", &mut self.gets, 15_000.0),
        ] {
            let middle = median(reached)?;
            report.figure(what, middle.rate, "/s", target, "at least");
            report.line("", spread(middle, reached));
            report.ratio("of the floor", middle.rate, bare.rate, "bare calls");
        }
        Ok(())
    }
}

/// The round in the middle; the rounds are sorted by their rates.
fn median(rounds: &mut [Reached]) -> anyhow::Result<Reached> {
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let middle = rounds.get(rounds.len() / 2);
    middle.copied().context("--rounds must be at least 1")
}

/// Latencies of the middle round, and the rates of the slowest and the fastest.
fn spread(middle: Reached, sorted: &[Reached]) -> String {
    let rate = |reached: Option<&Reached>| reached.map_or(0.0, |r| r.rate);
    format!(
        "{middle}; {} rounds: {:.0} to {:.0}/s",
        sorted.len(),
        rate(sorted.first()),
        rate(sorted.last())
    )
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

fn create(parent: &str, id: &str, call: usize) -> CreateSessionRequest {
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
        session_id: id.to_owned(),
        request_id: String::new(),
    }
}
