//! `granary worker`: machines that run jobs.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use granary_core::units::Size;
use granary_proto::job::v1::{ListWorkersRequest, Resources, Worker as Message};
use granary_runtime::{metrics::Exporter, task::Tasks};

use super::context::{Context, Limit};
use crate::{
    client::call,
    failure::{Failure, Outcome},
    human,
    output::Listing,
    page, signals,
};

/// How long whoever asks for metrics at the very end may take.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Worker {
    /// Lists workers
    List(Limit),
    /// Makes this machine a worker: it pulls jobs and runs them until it is interrupted
    Run(Run),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The worker's name: 1 to 63 of a-z, 0-9 and `-`, starting with a letter; each worker needs its own
    #[arg(long, value_name = "WORKER")]
    name: String,
    /// Where jobs have their files while they run
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// How many jobs run at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    slots: u16,
    /// How much memory it gives to jobs, in all
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    memory: Size,
    /// How many processors it gives to jobs, in all [default: all]
    #[arg(long, value_name = "N")]
    cpus: Option<f64>,
    /// How many graphics processors it gives to jobs, in all
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: i32,
    /// The most that one attempt may leave in the folders that are collected
    #[arg(long, value_name = "SIZE", default_value_t = Size(granary_worker::MAX_OUTPUT_BYTES))]
    max_output: Size,
    /// Where Prometheus asks for metrics (GET /metrics), such as 127.0.0.1:9090; nobody else should reach it [default: nowhere]
    #[arg(long, env = "GRANARY_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
}

impl Worker {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(limit) => list(context, limit).await,
            Self::Run(run) => run.run(context).await,
        }
    }
}

impl Run {
    async fn run(self, context: &Context) -> Outcome {
        let tasks = Tasks::new();
        if let Some(address) = self.metrics_listen {
            Exporter::open(address, "worker").await?.start(&tasks);
        }
        let Size(memory) = self.memory;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let resources = Resources {
            memory_bytes: i64::try_from(memory).unwrap_or(i64::MAX),
            cpus: self
                .cpus
                .unwrap_or_else(|| f64::from(u32::try_from(processors).unwrap_or(u32::MAX))),
            gpus: self.gpus,
            timeout: None,
        };
        let client = context.client().await?;
        context.out.note(&format!(
            "worker {} pulls jobs from {}",
            human::shown(&self.name),
            context.config.shown()
        ));
        let options = granary_worker::Options {
            name: self.name,
            folder: self.folder,
            resources,
            slots: usize::from(self.slots),
            max_output_bytes: self.max_output.0,
        };
        let link = || client.link();
        let result = options.run(link(), link(), link(), signals::stop()?).await;
        tasks.drain(PATIENCE).await;
        result.map_err(Failure::from)
    }
}

async fn list(context: &Context, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "workers",
        ["WORKER", "MEMORY", "CPUS", "GPUS", "LAST HEARD OF"],
    );
    let get = async |page_size, page_token| {
        let response = call!(client.workers().list_workers(ListWorkersRequest {
            page_size,
            page_token
        }))?;
        Ok::<_, Failure>((response.workers, response.next_page_token))
    };
    page::each(limit.limit, get, |workers| listing.page(&workers, row)).await?;
    listing.finish()
}

fn row(worker: &Message) -> [String; 5] {
    let resources = worker.resources.unwrap_or_default();
    [
        human::short(&worker.name),
        human::size(resources.memory_bytes),
        resources.cpus.to_string(),
        resources.gpus.to_string(),
        human::time(worker.heartbeat_time.as_ref()),
    ]
}
