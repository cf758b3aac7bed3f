//! The Pipeline service: versioned definitions of checks and transforms, and the engine that runs them on what is new.

mod content;
mod definition;
mod engine;
mod grpc;
mod item;
mod migration;
mod paging;
mod pipeline;
mod preview;
mod record;
mod remote;
mod report;
mod run;
mod sending;
mod session_file;
mod state;
mod steps;
mod store;
mod watch;

use std::sync::Arc;

use granary_core::{Result, clock::SharedClock};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    pipeline::v1::{
        pipeline_service_server::PipelineServiceServer, run_service_server::RunServiceServer,
    },
};
use granary_runtime::{
    Link,
    db::{DatabaseUrl, Db},
    objects::ObjectReader,
    task::Tasks,
};

use crate::{
    engine::{Parts, SharedClockBox},
    grpc::{PipelineHandler, RunHandler},
    pipeline::Pipelines,
    remote::Remote,
    run::Runs,
    sending::Sender,
    watch::Watchers,
};

/// What the service is made of.
#[derive(Clone)]
pub struct Options {
    /// Where definitions, runs and results are kept.
    pub database: DatabaseUrl,
    /// Reads the bytes that are checked.
    pub objects: ObjectReader,
    /// Where time comes from.
    pub clock: SharedClock,
    /// How many assets are decoded at once; about the number of cores.
    pub workers: usize,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("database", &self.database)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// The running service.
#[derive(Clone, Debug)]
pub struct Pipeline {
    db: Db,
    pipelines: PipelineHandler,
    runs: RunHandler,
}

/// Brings the schema up to date, and serves nothing.
pub async fn migrate(database: &DatabaseUrl) -> Result<()> {
    Db::open::<migration::Migrator>(database, "pipeline")
        .await?
        .close()
        .await
}

impl Options {
    /// Opens the database and starts the engine, which works until `tasks` stop.
    ///
    /// # Errors
    /// If the database cannot be opened; the other services may come later.
    pub async fn build(self, tasks: &Tasks, metadata: Link, storage: Link) -> Result<Pipeline> {
        let db = Db::open::<migration::Migrator>(&self.database, "pipeline").await?;
        db.measure(tasks, "pipeline");
        let clock = SharedClockBox(self.clock);
        let remote = Remote::new(&metadata, &storage);
        let watchers = Arc::<Watchers>::default();
        let parts = Parts {
            db: db.clone(),
            objects: self.objects,
            remote: remote.clone(),
            sender: Sender::new(&storage),
            clock: clock.clone(),
            workers: self.workers,
            watchers: watchers.clone(),
        };
        engine::start(tasks, parts).await?;
        let pipelines = PipelineHandler(Pipelines {
            db: db.clone(),
            remote,
            clock,
        });
        let runs = RunHandler(Runs {
            db: db.clone(),
            watchers,
            stopping: tasks.stopping(),
        });
        Ok(Pipeline {
            db,
            pipelines,
            runs,
        })
    }
}

impl Pipeline {
    /// Adds PipelineService and RunService to a server.
    pub fn mount(&self, routes: &mut tonic::service::RoutesBuilder) {
        routes.add_service(
            PipelineServiceServer::new(self.pipelines.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
        routes.add_service(
            RunServiceServer::new(self.runs.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
    }

    /// Whether it can answer.
    ///
    /// # Errors
    /// If its database does not answer.
    pub async fn check(&self) -> Result<()> {
        self.db.check().await
    }
}
