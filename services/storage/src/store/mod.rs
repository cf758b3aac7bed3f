//! Tables and queries. Concurrent calls share transactions and statements.

mod cursor;
mod query;
mod row;

use granary_core::{Result, name::UploadName};
use granary_runtime::{
    batch::{Batcher, Limits},
    db::Db,
    task::Tasks,
};

pub(crate) use row::{Row, State};

/// Replaces the multipart upload of an upload, if it still is `old`.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    pub(crate) name: UploadName,
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

/// The tables.
#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
    save: Batcher<Vec<Row>, Vec<Row>>,
    load: Batcher<Vec<UploadName>, Vec<Option<Row>>>,
    finish: Batcher<Vec<UploadName>, ()>,
    swap: Batcher<Swap, bool>,
}

/// Calls hold up to 1,000 rows each, so that a few of them fill a transaction.
const LIMITS: Limits = Limits {
    batch: 16,
    queue: 1024,
    parallel: 1,
};

impl Store {
    /// The database.
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) fn new(db: Db, tasks: &Tasks) -> Self {
        let (saves, loads, finishes, swaps) = (db.clone(), db.clone(), db.clone(), db.clone());
        Self {
            db,
            save: Batcher::start(tasks, "storage: save uploads", LIMITS, move |calls| {
                query::save(saves.clone(), calls)
            }),
            load: Batcher::start(tasks, "storage: load uploads", LIMITS, move |calls| {
                query::load(loads.clone(), calls)
            }),
            finish: Batcher::start(tasks, "storage: complete uploads", LIMITS, move |calls| {
                query::finish(finishes.clone(), calls)
            }),
            swap: Batcher::start(
                tasks,
                "storage: open uploads",
                Limits::default(),
                move |calls| query::swap(swaps.clone(), calls),
            ),
        }
    }

    /// Whether the database answers.
    pub(crate) async fn check(&self) -> Result<()> {
        self.db.check().await
    }

    /// Registers uploads, or renews those that are there; answers each as it is stored, with its multipart upload if it has one.
    pub(crate) async fn save(&self, rows: Vec<Row>) -> Result<Vec<Row>> {
        if rows.is_empty() {
            Ok(rows)
        } else {
            self.save.call(rows).await
        }
    }

    /// Finds uploads, in the order of the names.
    pub(crate) async fn load(&self, names: Vec<UploadName>) -> Result<Vec<Option<Row>>> {
        if names.is_empty() {
            Ok(vec![])
        } else {
            self.load.call(names).await
        }
    }

    /// Finds one upload.
    pub(crate) async fn find(&self, name: &UploadName) -> Result<Option<Row>> {
        Ok(self.load(vec![name.clone()]).await?.pop().flatten())
    }

    /// Marks uploads as completed.
    pub(crate) async fn finish(&self, names: Vec<UploadName>) -> Result<()> {
        if names.is_empty() {
            Ok(())
        } else {
            self.finish.call(names).await
        }
    }

    /// Replaces a multipart upload; says whether it was still the old one.
    pub(crate) async fn swap(&self, swap: Swap) -> Result<bool> {
        self.swap.call(swap).await
    }

    /// Notes that the multipart upload of an upload's earlier content is aborted.
    pub(crate) async fn aborted(&self, name: &UploadName, id: &str) -> Result<()> {
        query::aborted(&self.db, name, id).await
    }

    /// Up to `limit` uploads in progress whose time is over, the oldest first, after one of them.
    pub(crate) async fn expired(
        &self,
        now: i64,
        after: Option<&Row>,
        limit: u32,
    ) -> Result<Vec<Row>> {
        query::expired(&self.db, now, after, limit).await
    }

    /// Forgets uploads, unless they were renewed in between.
    pub(crate) async fn forget(&self, names: &[UploadName], now: i64) -> Result<()> {
        query::forget(&self.db, names, now).await
    }

    /// Where a consumer of the event stream stands.
    pub(crate) async fn cursor(&self, consumer: &str) -> Result<Option<String>> {
        cursor::get(&self.db, consumer).await
    }

    /// Notes where a consumer of the event stream stands.
    pub(crate) async fn set_cursor(&self, consumer: &str, token: &str) -> Result<()> {
        cursor::set(&self.db, consumer, token).await
    }
}
