//! Makes the index anew from what lies in the buckets: projects, datasets, sessions and assets, each as its manifest says it.
//!
//! It works on the database itself, since nothing may run meanwhile: what serves an index that lacks sessions would write over what is in the
//! store. What the database knows stays as it is, and how it differs is said. Each closed session comes in one transaction, so that a manifest
//! is never written from a part of it; whatever ends the work, it goes on when it is begun again.

mod alone;
mod arrived;
mod compare;
mod files;
mod held;
mod parse;
mod session;

use granary_core::{
    Error, Result,
    clock::{SharedClock, to_micros},
    layout::DatasetKind,
    name::{DatasetName, ProjectName},
};
use granary_proto::metadata::v1::{Dataset as WireDataset, Project as WireProject};
use granary_runtime::db::{
    self, DatabaseUrl, Db,
    sql::{Sql, values},
};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use alone::alone;
pub use files::{File, Seen, Standing};
pub use session::{Outcome, Restoring};

use crate::{
    migration::Migrator,
    store::{
        dataset::{self as store, Dataset, Project},
        unit::EVENTS,
    },
};

/// Whose database it is.
const SERVICE: &str = "metadata";
/// How many transactions go on at once: SQLite has one writer.
const WRITERS: usize = 4;
/// How long a transaction may wait for the store.
const IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = '5min'";

/// How it is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    /// Nothing is changed.
    pub dry: bool,
    /// Sessions that the database knows at an earlier moment of their lives are taken from their manifests, as after an older dump was restored.
    pub take_newer: bool,
}

/// What became of a project or a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was not there, and is now.
    Made,
    /// It is there; what its manifest says otherwise.
    Known(Vec<String>),
}

/// Puts what is found into the database.
pub struct Restorer {
    db: Db,
    clock: SharedClock,
    mode: Mode,
    writers: Semaphore,
    /// Where a database is that goes when this does.
    _folder: Option<TempDir>,
}

impl std::fmt::Debug for Restorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restorer")
            .field("db", &self.db)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// A transaction, and its place among those that go on at once.
struct Write<'a> {
    tx: DatabaseTransaction,
    dry: bool,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Write<'_> {
    /// Emits an event with the commit. Others hear of it within seconds.
    async fn emit(&self, project: &str, kind: &'static str, what: String, now: i64) -> Result<()> {
        db::serialize(&self.tx, EVENTS).await?;
        let mut sql = Sql::new(
            self.tx.get_database_backend(),
            "INSERT INTO events (project, type, resource, created) VALUES ",
        );
        sql.tuple(values![project, kind, what, now]);
        sql.run(&self.tx).await.map(drop)
    }

    async fn commit(self) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        db::commit(self.tx).await
    }
}

impl Restorer {
    /// Opens the database of the metadata service, and brings its schema up to date. In a dry run, nothing is made or brought anywhere: where there
    /// is no database, it is answered as from an empty one, and one with an older schema is [`Error::Precondition`].
    pub async fn open(database: &DatabaseUrl, clock: SharedClock, mode: Mode) -> Result<Self> {
        let (db, folder) = match mode.dry {
            true => as_it_is(database).await?,
            false => (Db::open::<Migrator>(database, SERVICE).await?, None),
        };
        let writers = match db.backend() {
            DbBackend::Postgres => WRITERS,
            _ => 1,
        };
        Ok(Self {
            db,
            clock,
            mode,
            writers: Semaphore::new(writers),
            _folder: folder,
        })
    }

    /// Closes the database.
    pub async fn close(self) -> Result<()> {
        self.db.close().await
    }

    async fn write(&self) -> Result<Write<'_>> {
        // Never closed, so that there always is a turn in the end.
        let turn = self.writers.acquire().await.ok();
        let tx = self.db.begin().await?;
        if self.db.backend() == DbBackend::Postgres {
            tx.execute_unprepared(IDLE).await.map_err(db::db_err)?;
        }
        Ok(Write {
            tx,
            dry: self.mode.dry,
            _turn: turn,
        })
    }

    fn now(&self) -> i64 {
        to_micros(self.clock.now())
    }

    /// A project, with its manifest if it has one.
    pub async fn project(&self, name: &ProjectName, found: Option<WireProject>) -> Result<Found> {
        let known = store::project(self.db.reader(), name).await?;
        let manifest = found.is_some();
        let project = match found {
            Some(found) => parse::project(name, found)?,
            None => Project {
                name: name.clone(),
                display_name: String::new(),
                created: self.now(),
            },
        };
        if let Some(known) = known {
            let differs = manifest && known.display_name != project.display_name;
            let differs = differs.then(|| "display_name".to_owned());
            return Ok(Found::Known(differs.into_iter().collect()));
        }
        let write = self.write().await?;
        store::insert_project(&write.tx, &project).await?;
        if !manifest {
            // So that it gets one.
            let (what, now) = (name.to_string(), self.now());
            write
                .emit(&name.project, "project.created", what, now)
                .await?;
        }
        write.commit().await?;
        Ok(Found::Made)
    }

    /// A dataset, with its manifest if it has one, and else of this kind; what kind it is.
    pub async fn dataset(
        &self,
        name: &DatasetName,
        found: Option<WireDataset>,
        guess: DatasetKind,
    ) -> Result<(DatasetKind, Found)> {
        let known = store::dataset(self.db.reader(), name).await?;
        let (manifest, now) = (found.is_some(), self.now());
        let dataset = match found {
            Some(found) => parse::dataset(name, found)?,
            None => Dataset {
                name: name.clone(),
                kind: guess,
                display_name: String::new(),
                revision: 1,
                created: now,
                updated: now,
            },
        };
        if let Some(known) = known {
            let fields = [
                ("kind", known.kind != dataset.kind),
                ("display_name", known.display_name != dataset.display_name),
            ];
            let differs = fields
                .into_iter()
                .filter(|(_, differs)| manifest && *differs);
            let differs = differs.map(|(field, _)| field.to_owned()).collect();
            return Ok((known.kind, Found::Known(differs)));
        }
        let write = self.write().await?;
        store::insert_dataset(&write.tx, &dataset).await?;
        if !manifest {
            // So that it gets one.
            let what = name.to_string();
            write
                .emit(&name.project, "dataset.created", what, now)
                .await?;
        }
        write.commit().await?;
        Ok((dataset.kind, Found::Made))
    }
}

/// The database as it is, or else an empty one in a folder of its own.
async fn as_it_is(database: &DatabaseUrl) -> Result<(Db, Option<TempDir>)> {
    if let Some(db) = Db::existing::<Migrator>(database, SERVICE).await? {
        return Ok((db, None));
    }
    let folder = tempfile::tempdir().map_err(|error| {
        Error::precondition(
            std::env::temp_dir().display(),
            format!("no folder can be made in it for a dry run: {error}"),
        )
    })?;
    let empty = DatabaseUrl::Sqlite(folder.path().to_owned());
    let db = Db::open::<Migrator>(&empty, SERVICE).await?;
    Ok((db, Some(folder)))
}
