//! Transactions that emit events.

use std::sync::Mutex;

use granary_core::Result;
use granary_runtime::{db, trace};
use sea_orm::DatabaseTransaction;

use crate::Context;
use granary_runtime::db::sql::{Sql, values};

/// What is locked by whoever numbers events. Any number will do that nothing else in this schema locks.
pub(crate) const EVENTS: i64 = 0x6d65_7461_6576;

/// One event to be.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub project: String,
    pub kind: &'static str,
    pub resource: String,
    /// The call that it comes of.
    pub trace: String,
}

/// A transaction that emits events. Only one goes on at a time, so that events are numbered in the order in which they become visible.
pub(crate) struct Unit {
    /// The transaction.
    pub tx: DatabaseTransaction,
    /// The time of everything in it, in microseconds since 1970.
    pub now: i64,
    events: Mutex<Vec<NewEvent>>,
}

impl Unit {
    /// Begins one; it is undone unless committed.
    pub(crate) async fn begin(context: &Context) -> Result<Self> {
        let tx = context.db.begin().await?;
        db::serialize(&tx, EVENTS).await?;
        Ok(Self {
            tx,
            now: context.now(),
            events: Mutex::default(),
        })
    }

    /// A statement in it.
    pub(crate) fn sql(&self, text: &'static str) -> Sql {
        Sql::new(
            sea_orm::ConnectionTrait::get_database_backend(&self.tx),
            text,
        )
    }

    /// Emits an event with the commit.
    pub(crate) fn emit(&self, project: &str, kind: &'static str, resource: impl std::fmt::Display) {
        let event = NewEvent {
            project: project.to_owned(),
            kind,
            resource: resource.to_string(),
            trace: trace::parent().map_or_else(String::new, |parent| parent.to_string()),
        };
        self.events
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(event);
    }

    /// Stores the events, commits, and wakes who watches.
    pub(crate) async fn commit(self, context: &Context) -> Result<()> {
        let events = self
            .events
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut newest = None;
        // A row has five variables.
        for chunk in events.chunks(db::MAX_VARIABLES / 5) {
            let backend = context.db.backend();
            let mut sql = Sql::new(
                backend,
                "INSERT INTO events (project, type, resource, created, trace) VALUES ",
            );
            sql.tuples(chunk, |e| {
                values![
                    e.project.as_str(),
                    e.kind,
                    e.resource.as_str(),
                    self.now,
                    e.trace.as_str()
                ]
            });
            sql.push(" RETURNING seq");
            let numbers = sql.all(&self.tx, |row| row.get::<i64>()).await?;
            newest = newest.max(numbers.into_iter().max());
        }
        db::commit(self.tx).await?;
        if let Some(newest) = newest {
            context.feed.committed(newest);
        }
        Ok(())
    }
}
