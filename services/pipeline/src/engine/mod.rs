//! The engine: takes sessions that completed, works on each with all the pipelines that match, and tells the verdicts.
//!
//! Everything may be repeated: work that was done has a row, and what is sent to other services is safe to send again. So an engine may
//! be stopped anywhere, and the next one goes on.

mod events;
pub(crate) mod examine;
mod failure;
mod give_up;
mod held;
mod make;
mod measures;
mod outputs;
mod page;
mod pass;
pub(crate) mod plan;
mod queue;
pub(crate) mod read;
mod session;
mod subject;
mod timing;
mod verdict;
mod whole;

use std::{collections::HashMap, sync::Arc, time::Duration};

use granary_core::{
    Error, Result,
    clock::{SharedClock, to_micros},
    id,
    name::PipelineName,
};
use granary_proto::pipeline::v1::PipelineDefinition;
use granary_runtime::{
    batch::{Batcher, Limits},
    db::{Db, Wake},
    objects::ObjectReader,
    task::Tasks,
};
use parking_lot::Mutex;
use prost::Message as _;
use sea_orm::DbBackend;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{
    definition::{self, Definition},
    remote::Remote,
    sending::Sender,
    store::{
        pipelines, works,
        write::{self, Write},
    },
    watch::Watchers,
};

/// How long a session is held without a sign of life.
const LEASE: Duration = Duration::from_secs(15);
/// How many definitions are kept in memory.
const KEPT: usize = 256;

/// Shared by all sessions that are worked on.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) db: Db,
    pub(crate) objects: ObjectReader,
    pub(crate) remote: Remote,
    pub(crate) sender: Sender,
    pub(crate) clock: SharedClockBox,
    /// How many assets are decoded at once.
    workers: Arc<Semaphore>,
    writer: Batcher<Write, ()>,
    watchers: Arc<Watchers>,
    /// Something may be due.
    due: Arc<Notify>,
    /// The same for other processes.
    wake: Wake,
    owner: String,
    lag: measures::Lag,
    definitions: Mutex<HashMap<(PipelineName, i64), Arc<Definition>>>,
}

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) db: Db,
    pub(crate) objects: ObjectReader,
    pub(crate) remote: Remote,
    pub(crate) sender: Sender,
    pub(crate) clock: SharedClockBox,
    pub(crate) workers: usize,
    pub(crate) watchers: Arc<Watchers>,
}

/// A clock that can be shown in logs.
#[derive(Clone)]
pub(crate) struct SharedClockBox(pub(crate) SharedClock);

impl std::fmt::Debug for SharedClockBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// Starts an engine; it ends with its tasks.
pub(crate) async fn start(tasks: &Tasks, parts: Parts) -> Result<Arc<Engine>> {
    let Parts {
        db,
        objects,
        remote,
        sender,
        clock,
        workers,
        watchers,
    } = parts;
    let due = Arc::new(Notify::new());
    let told = due.clone();
    let wake = Wake::start(&db, "pipeline", tasks, move |_| told.notify_one());
    let (writes, now) = (db.clone(), clock.clone());
    let writer = Batcher::start(
        tasks,
        "pipeline: write results",
        Limits {
            batch: 32,
            queue: 1024,
            parallel: 1,
        },
        move |batch| {
            let (db, now) = (writes.clone(), to_micros(now.0.now()));
            async move { write::apply(&db, batch, now).await }
        },
    );
    let engine = Arc::new(Engine {
        db,
        objects,
        remote,
        sender,
        clock,
        workers: Arc::new(Semaphore::new(workers.max(1))),
        writer,
        watchers,
        due,
        wake,
        owner: id::new("p"),
        lag: measures::Lag::default(),
        definitions: Mutex::default(),
    });
    if engine.db.backend() == DbBackend::Sqlite {
        // Only one process has the file: whoever held a lease is gone.
        works::take_over(&engine.db, engine.now()).await?;
    }
    measures::start(tasks, engine.clone());
    tasks.spawn(
        "pipeline-events",
        events::follow(engine.clone(), tasks.stopping()),
    );
    tasks.spawn("pipeline-queue", queue::run(engine.clone(), tasks.clone()));
    Ok(engine)
}

impl Engine {
    /// Says, everywhere, that something may be due.
    fn is_due(&self) {
        self.due.notify_one();
        self.wake.tell("due", None);
    }

    /// The time now, as it is stored.
    pub(crate) fn now(&self) -> i64 {
        to_micros(self.clock.0.now())
    }

    fn after(&self, pause: Duration) -> i64 {
        self.now()
            .saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        self.workers
            .clone()
            .acquire_owned()
            .await
            .map_err(|error| Error::internal("waiting for a worker", error))
    }

    /// Writes together with other sessions, and tells those who watch.
    async fn write(&self, write: Write) -> Result<()> {
        let runs: Vec<String> = write.runs.iter().map(|run| run.name.run.clone()).collect();
        let ended = measures::Ended::of(&write);
        self.writer.call(write).await?;
        ended.count();
        self.watchers.changed(&runs);
        Ok(())
    }

    /// A definition that was applied, read once.
    async fn definition(&self, name: &PipelineName, version: i64) -> Result<Arc<Definition>> {
        let key = (name.clone(), version);
        if let Some(known) = self.definitions.lock().get(&key) {
            return Ok(known.clone());
        }
        let bytes = pipelines::version(self.db.reader(), name, version)
            .await?
            .ok_or_else(|| Error::not_found(format!("version {version} of {name}")))?;
        let wire = PipelineDefinition::decode(bytes.as_slice())
            .map_err(|error| Error::internal("reading a stored definition", error))?;
        let definition = Arc::new(definition::read(&wire)?);
        let mut known = self.definitions.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, definition.clone());
        Ok(definition)
    }
}
