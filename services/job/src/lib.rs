//! The Job service: the catalogue of what can run, the queue of what should, and the leases of what does.

mod catalog;
mod core;
mod grpc;
mod hub;
mod job;
mod measures;
mod metadata;
mod migration;
mod near;
mod params;
mod queue;
mod resources;
mod state;
mod store;
mod stream;
mod usage;
mod worker;

use std::{sync::Arc, time::Duration};

use granary_core::{Result, clock::SharedClock};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    job::v1::{
        Lease, application_service_server::ApplicationServiceServer,
        job_service_server::JobServiceServer, worker_service_server::WorkerServiceServer,
    },
};
use granary_runtime::{
    Link,
    batch::{Batcher, Limits},
    db::{DatabaseUrl, Db, Led, lead},
    task::Tasks,
};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;

use crate::{
    core::Core,
    metadata::Metadata,
    queue::{acquire, expire, finish, report},
    store::jobs::{Fit, New},
};

/// What the Job service needs.
#[derive(Clone)]
pub struct Options {
    /// Where its database is.
    pub database: DatabaseUrl,
    /// Where time comes from.
    pub clock: SharedClock,
    /// How long a worker holds a job without a word; 30 s is usual.
    pub lease: Duration,
}

/// The Job service.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

pub(crate) struct Inner {
    core: Arc<Core>,
    metadata: Metadata,
    heartbeats: worker::Heartbeats,
    create: Batcher<New, bool>,
    acquire: Batcher<Fit, Vec<Lease>>,
    report: Batcher<report::Call, Vec<Result<report::Answer>>>,
    finish: Batcher<finish::Call, Vec<Result<state::State>>>,
}

/// Whoever launches jobs.
const LAUNCHER: Led = Led {
    task: "launch jobs",
    lock: 0x6c61_756e_6368,
};
/// A call brings up to 1,000 items of its own.
const CALLS: Limits = Limits {
    batch: 16,
    queue: 4096,
    parallel: 1,
};

/// Brings the schema up to date, and serves nothing.
pub async fn migrate(database: &DatabaseUrl) -> Result<()> {
    Db::open::<migration::Migrator>(database, "job")
        .await?
        .close()
        .await
}

impl Options {
    /// Opens the database and starts what runs in the background.
    ///
    /// The Storage service is part of the uniform shape; what moves bytes for jobs are their workers.
    pub async fn build(self, tasks: &Tasks, metadata: Link, _storage: Link) -> Result<Jobs> {
        let db = Db::open::<migration::Migrator>(&self.database, "job").await?;
        db.measure(tasks, "job");
        let hub = hub::Hub::start(&db, tasks);
        let core = Arc::new(Core {
            db,
            clock: self.clock,
            lease: self.lease,
            hub,
            definitions: catalog::Definitions::default(),
            usage: usage::Usage::default(),
            stopping: tasks.stopping(),
        });
        macro_rules! batcher {
            ($name:literal, $limits:expr, $work:path) => {{
                let core = core.clone();
                Batcher::start(tasks, $name, $limits, move |items| {
                    let core = core.clone();
                    async move { $work(&core, items).await }
                })
            }};
        }
        let inner = Inner {
            create: batcher!("job: create jobs", Limits::default(), job::insert),
            acquire: batcher!("job: acquire jobs", CALLS, acquire::claim),
            report: batcher!("job: report jobs", CALLS, report::take),
            finish: batcher!("job: finish jobs", CALLS, finish::take),
            metadata: Metadata::new(metadata),
            heartbeats: worker::Heartbeats::default(),
            core: core.clone(),
        };
        measures::start(tasks, core.clone());
        tasks.spawn("leases of jobs", async move { expire::watch(&core).await });
        let inner = Arc::new(inner);
        let telling = inner.clone();
        tasks.spawn("usage of jobs", async move {
            usage::watch(&telling.core, &telling.metadata).await;
        });
        Ok(Jobs(inner))
    }
}

impl Jobs {
    /// Adds its gRPC services.
    pub fn mount(&self, routes: &mut RoutesBuilder) {
        macro_rules! add {
            ($server:ident, $service:expr) => {
                routes.add_service(
                    $server::new($service)
                        .max_decoding_message_size(MAX_MESSAGE_BYTES)
                        .max_encoding_message_size(MAX_MESSAGE_BYTES),
                );
            };
        }
        add!(
            ApplicationServiceServer,
            grpc::application::Applications(self.0.clone())
        );
        add!(JobServiceServer, grpc::job::JobsApi(self.0.clone()));
        add!(WorkerServiceServer, grpc::worker::Workers(self.0.clone()));
    }

    /// Whether it can do its work.
    pub async fn check(&self) -> Result<()> {
        self.0.core.db.check().await
    }

    /// Does `work` in one of all processes on the same database, until `stop`: what launches jobs, of which there is one.
    pub async fn lead<W: Future>(&self, stop: CancellationToken, work: impl Fn() -> W) {
        lead(&self.0.core.db, LAUNCHER, stop, work).await;
    }

    /// Takes back the jobs whose lease has ended by its clock, tells what jobs used and learns what they may; happens by itself when real time
    /// passes.
    pub async fn tick(&self) -> Result<()> {
        expire::tick(&self.0.core).await?;
        usage::tick(&self.0.core, &self.0.metadata).await
    }
}
