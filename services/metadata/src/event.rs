//! The stream of events: read from the outbox as fast as whoever watches takes them, and otherwise waiting for a commit, not polling.

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use granary_core::{Error, Result, id, name::quote};
use granary_runtime::{
    db::{Db, Wake, in_time},
    task::Tasks,
};
use sea_orm::DbBackend;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Context,
    store::{
        event::{self as store, Event, Wanted},
        unit::EVENTS,
    },
};

/// The most events in one batch.
const BATCH: usize = 500;
/// How long another process's events may go unseen if its word was lost.
const SAFETY: Duration = Duration::from_secs(10);

/// Tells those who watch how far the stream goes.
#[derive(Debug)]
pub(crate) struct Feed {
    newest: watch::Sender<i64>,
    stream: String,
    wake: Wake,
    /// Told when another process wrote events.
    others: Arc<Notify>,
}

impl Feed {
    /// Reads how far the stream goes.
    pub(crate) async fn open(db: &Db, tasks: &Tasks) -> Result<Self> {
        let others = Arc::new(Notify::new());
        let told = others.clone();
        let wake = Wake::start(db, "metadata", tasks, move |_| told.notify_one());
        let tx = db.begin().await?;
        // Two first starts at once would otherwise both find no stream, and make two.
        granary_runtime::db::serialize(&tx, EVENTS).await?;
        let proposal = id::new("");
        let stream = store::stream(&tx, &proposal).await?;
        let newest = store::newest(&tx).await?;
        granary_runtime::db::commit(tx).await?;
        Ok(Self {
            newest: watch::Sender::new(newest),
            stream,
            wake,
            others,
        })
    }

    /// Tells everybody that events up to this one are committed.
    pub(crate) fn committed(&self, newest: i64) {
        self.advance(newest);
        self.wake.tell("events", None);
    }

    /// Tells that events up to this one can be read.
    fn advance(&self, newest: i64) {
        self.newest.send_if_modified(|known| {
            let further = newest > *known;
            *known = newest.max(*known);
            further
        });
    }

    /// The token of a place in the stream.
    pub(crate) fn token(&self, seq: i64) -> String {
        format!("{}.{seq}", self.stream)
    }

    /// The place after which to go on; none is from now on.
    pub(crate) async fn place(&self, db: &Db, token: &str) -> Result<i64> {
        match token {
            "" if db.backend() == DbBackend::Postgres => {
                self.advance(store::newest(db.reader()).await?);
                return Ok(*self.newest.borrow());
            }
            "" => return Ok(*self.newest.borrow()),
            "0" => return Ok(0),
            _ => {}
        }
        let place = token
            .strip_prefix(&self.stream)
            .and_then(|rest| rest.strip_prefix('.'))
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse::<i64>().ok());
        // Another process may have told of events that this one has not looked for yet.
        if place.is_some_and(|place| place > *self.newest.borrow()) {
            self.advance(store::newest(db.reader()).await?);
        }
        let newest = *self.newest.borrow();
        place.filter(|place| *place <= newest).ok_or_else(|| {
            let expected = "expected a resume_token of this server's stream, `0` for the oldest event, or nothing for what happens from now on";
            Error::invalid("resume_token", format!("{expected}, got {}", quote(token)))
        })
    }
}

/// Looks for events that another process wrote, in PostgreSQL only: nobody else writes to a SQLite file.
pub(crate) fn watch_over(context: &Context, tasks: &Tasks) {
    if context.db.backend() != DbBackend::Postgres {
        return;
    }
    let (context, stopping) = (context.clone(), tasks.stopping());
    tasks.spawn("events of other processes", async move {
        let mut ticks = tokio::time::interval(SAFETY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
                () = context.feed.others.notified() => {}
            }
            match in_time(store::newest(context.db.reader())).await {
                Ok(newest) => context.feed.advance(newest),
                Err(error) => tracing::warn!(%error, "cannot look for new events"),
            }
        }
    });
}

/// A batch of events, and the place after it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub events: Vec<Event>,
    pub place: i64,
}

struct Watcher {
    context: Context,
    wanted: Wanted,
    newest: watch::Receiver<i64>,
    stopping: CancellationToken,
    place: i64,
    begun: bool,
}

/// Streams what is wanted after a place, until the server stops. The first batch comes at once; each further one holds events.
pub(crate) fn watch(
    context: &Context,
    wanted: Wanted,
    place: i64,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<Batch>> + Send + 'static {
    let newest = context.feed.newest.subscribe();
    let watcher = Watcher {
        context: context.clone(),
        wanted,
        newest,
        stopping,
        place,
        begun: false,
    };
    stream::unfold(Some(watcher), |watcher| async {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(Some(batch)) => Some((Ok(batch), Some(watcher))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Watcher {
    async fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            let newest = *self.newest.borrow_and_update();
            let mut events = Vec::new();
            if newest > self.place {
                events = store::after(
                    self.context.db.reader(),
                    &self.wanted,
                    self.place,
                    newest,
                    BATCH,
                )
                .await?;
                // A full batch may not be all; otherwise everything up to the newest was looked at.
                self.place = events
                    .last()
                    .filter(|_| events.len() == BATCH)
                    .map_or(newest, |last| last.seq);
            }
            if !events.is_empty() || !self.begun {
                self.begun = true;
                return Ok(Some(Batch {
                    events,
                    place: self.place,
                }));
            }
            tokio::select! {
                () = self.stopping.cancelled() => return Ok(None),
                changed = self.newest.changed() => if changed.is_err() { return Ok(None) },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use granary_runtime::db::{DatabaseUrl, commit, sql::Sql};

    use super::*;
    use crate::migration::Migrator;

    #[tokio::test]
    async fn a_token_of_an_event_that_another_process_wrote_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().to_owned());
        let db = Db::open::<Migrator>(&url, "metadata").await.unwrap();
        let feed = Feed::open(&db, &Tasks::new()).await.unwrap();
        let tx = db.begin().await.unwrap();
        let event =
            "INSERT INTO events (project, type, resource, created) VALUES ('p', 't', 'r', 0)";
        Sql::new(db.backend(), event).run(&tx).await.unwrap();
        commit(tx).await.unwrap();
        assert_eq!(feed.place(&db, "").await.unwrap(), 0, "it was not told yet");
        assert_eq!(feed.place(&db, &feed.token(1)).await.unwrap(), 1);
        assert_eq!(feed.place(&db, "").await.unwrap(), 1);
        for wrong in [feed.token(2), "other.1".to_owned(), feed.token(-1)] {
            assert!(feed.place(&db, &wrong).await.is_err(), "{wrong}");
        }
    }
}
