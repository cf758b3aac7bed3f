//! Wake-ups between processes on the same database: what one of them changed, the others look for at once.
//!
//! They are hints. One may be lost, when a connection breaks or a process dies between its commit and its word: whoever waits looks again by itself
//! after some seconds. Nobody shares a SQLite file, so that there is nothing to tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, Statement,
    sqlx::{
        self, Executor as _,
        postgres::{PgListener, PgNotification, PgPoolOptions},
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Db;
use crate::task::Tasks;

/// How long words are gathered: under load a hundred notifications a second, and not one a commit.
const GATHER: Duration = Duration::from_millis(10);
/// More than this waits only if the database does not take it; then it is looked for in time.
const QUEUE: usize = 4096;
/// PostgreSQL takes 8,000 bytes.
const MAX_PAYLOAD: usize = 7000;
/// How long to wait until listening is tried again: often enough that words are missed for no longer than a restart of the database takes.
const PAUSE: Duration = Duration::from_secs(1);
/// After how long without a word the database is asked whether it is still there, and how long it may take to say so. The client's end of a
/// connection has no keep-alive: one whose server is gone without a word is as quiet as one on which nothing happens.
const SILENCE: Duration = Duration::from_secs(15);

/// What another process said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// These of a topic changed; any may have if there are none.
    Changed(String, Vec<i64>),
    /// Words may have been lost: anything may have changed.
    Anything,
}

/// Tells other processes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wake(Option<mpsc::Sender<(&'static str, Option<i64>)>>);

impl Wake {
    /// Starts to tell and to listen; `heard` is called for what others tell, never for one's own words.
    pub fn start<F>(db: &Db, service: &str, tasks: &Tasks, heard: F) -> Self
    where
        F: Fn(Heard) + Send + 'static,
    {
        if db.backend() != DbBackend::Postgres {
            return Self(None);
        }
        let own = uuid::Uuid::new_v4().simple().to_string();
        let channel = format!("granary_{service}");
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (connection, stop) = (db.writer.clone(), tasks.stopping());
        let (name, from) = (channel.clone(), own.clone());
        // What a task tells as it ends is told too: whom it hands its work to is not to wait.
        tasks.spawn_last("wake-ups out", |ended| async move {
            tell(connection, &name, &from, waiting, ended).await;
        });
        let connection = db.writer.clone();
        tasks.spawn("wake-ups in", async move {
            tokio::select! {
                () = listen(connection, &channel, &own, heard, SILENCE) => {}
                () = stop.cancelled() => {}
            }
        });
        Self(Some(queue))
    }

    /// Says that something of a topic changed, once that is committed: a word of `a` to `z`. Never waits.
    pub fn tell(&self, topic: &'static str, what: Option<i64>) {
        if let Some(queue) = &self.0 {
            // Full: looked for in time.
            let _ = queue.try_send((topic, what));
        }
    }
}

async fn tell(
    connection: DatabaseConnection,
    channel: &str,
    own: &str,
    mut waiting: mpsc::Receiver<(&'static str, Option<i64>)>,
    ended: CancellationToken,
) {
    let mut words = Vec::with_capacity(QUEUE);
    while gather(&mut waiting, &mut words, &ended).await {
        for payload in payloads(own, words.drain(..)) {
            let said = Statement::from_sql_and_values(
                DbBackend::Postgres,
                "SELECT pg_notify($1, $2)",
                [channel.into(), payload.into()],
            );
            if let Err(error) = connection.execute_raw(said).await {
                tracing::debug!(%error, channel, "a wake-up was not sent");
                break;
            }
        }
    }
}

/// The next words, or all that are left at the end; says whether there are any.
async fn gather<T>(
    waiting: &mut mpsc::Receiver<T>,
    words: &mut Vec<T>,
    ended: &CancellationToken,
) -> bool {
    tokio::select! {
        received = waiting.recv_many(words, QUEUE) => if received > 0 {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = ended.cancelled() => {}
            }
        },
        () = ended.cancelled() => {}
    }
    while let Ok(word) = waiting.try_recv() {
        words.push(word);
    }
    !words.is_empty()
}

/// `PROCESS TOPIC 1,2,3`, one for each topic; without numbers if there are too many of them, or if one word had none.
fn payloads(
    own: &str,
    words: impl Iterator<Item = (&'static str, Option<i64>)>,
) -> impl Iterator<Item = String> {
    let mut topics = BTreeMap::<_, Option<BTreeSet<i64>>>::new();
    for (topic, what) in words {
        let known = topics.entry(topic).or_insert_with(|| Some(BTreeSet::new()));
        match (known.as_mut(), what) {
            (Some(all), Some(one)) => drop(all.insert(one)),
            _ => *known = None,
        }
    }
    topics.into_iter().map(move |(topic, what)| {
        let numbers: Vec<String> = what.iter().flatten().map(i64::to_string).collect();
        let payload = format!("{own} {topic} {}", numbers.join(","));
        match payload.len() > MAX_PAYLOAD {
            true => format!("{own} {topic} "),
            false => payload,
        }
    })
}

async fn listen<F: Fn(Heard)>(
    connection: DatabaseConnection,
    channel: &str,
    own: &str,
    heard: F,
    silence: Duration,
) {
    loop {
        if let Ok(Ok(mut listener)) = timeout(silence, subscribe(&connection, channel)).await {
            heard(Heard::Anything);
            while let Some(word) = next(&mut listener, silence).await {
                if let Some(said) = read(word.payload(), own) {
                    heard(said);
                }
            }
        }
        tracing::debug!(
            channel,
            "wake-ups of other processes are not heard: trying again"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens by a connection beside the pool: nobody else waits for one that is gone.
async fn subscribe(connection: &DatabaseConnection, channel: &str) -> sqlx::Result<PgListener> {
    let options = connection.get_postgres_connection_pool().connect_options();
    let own = PgPoolOptions::new().max_connections(1);
    let own = own.idle_timeout(None).max_lifetime(None);
    let own = own.connect_lazy_with(options.as_ref().clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

/// The next word; none once the connection is lost.
async fn next(listener: &mut PgListener, silence: Duration) -> Option<PgNotification> {
    loop {
        if let Ok(word) = timeout(silence, listener.try_recv()).await {
            return word.ok().flatten();
        }
        let asked = timeout(silence, listener.execute("SELECT 1")).await;
        asked.ok()?.ok()?;
    }
}

/// What is in a payload, unless it is one's own.
fn read(payload: &str, own: &str) -> Option<Heard> {
    let (from, rest) = payload.split_once(' ')?;
    let (topic, numbers) = rest.split_once(' ')?;
    if from == own {
        return None;
    }
    let numbers = numbers.split(',').filter_map(|n| n.parse().ok()).collect();
    Some(Heard::Changed(topic.to_owned(), numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{self, Nothing};

    #[test]
    fn what_changed_comes_to_others_in_one_word_a_topic() {
        let words = [
            ("jobs", Some(2)),
            ("queue", None),
            ("jobs", Some(1)),
            ("jobs", Some(2)),
        ];
        let said: Vec<_> = payloads("me", words.into_iter()).collect();
        assert_eq!(said, ["me jobs 1,2", "me queue "]);
        let heard = said.iter().map(|payload| read(payload, "you").unwrap());
        let heard: Vec<_> = heard.collect();
        assert_eq!(
            heard,
            [
                Heard::Changed("jobs".into(), vec![1, 2]),
                Heard::Changed("queue".into(), vec![])
            ]
        );
        assert_eq!(read(&said[0], "me"), None);
        assert_eq!(read("nonsense", "me"), None);
        // Any of them may have changed.
        let words = [("jobs", Some(1)), ("jobs", None)];
        assert_eq!(
            payloads("me", words.into_iter()).collect::<Vec<_>>(),
            ["me jobs "]
        );
        let many = (0..5000).map(|n| ("jobs", Some(n)));
        assert_eq!(payloads("me", many).collect::<Vec<_>>(), ["me jobs "]);
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_connection_that_is_lost_without_a_word_is_replaced() {
        let Some(url) = testing::postgres() else {
            return;
        };
        let (proxy, url) = testing::Proxy::before(&url).await;
        let db = Db::open::<Nothing>(&url, "wake_test").await.unwrap();
        let (said, mut heard) = mpsc::channel(16);
        let hear = move |word| drop(said.try_send(word));
        let silence = Duration::from_millis(200);
        let listening = listen(db.writer.clone(), "granary_wake_test", "me", hear, silence);
        let hearing = async {
            assert_eq!(heard.recv().await, Some(Heard::Anything));
            proxy.fall_silent();
            assert_eq!(heard.recv().await, Some(Heard::Anything));
        };
        let hearing = timeout(PATIENCE, hearing);
        tokio::select! {
            () = listening => unreachable!("it listens for ever"),
            heard = hearing => heard.expect("still listening to nobody"),
        }
    }

    #[tokio::test]
    async fn what_is_told_at_the_very_end_is_heard_by_others() {
        let Some(url) = testing::postgres() else {
            return;
        };
        let (tasks, (said, mut heard)) = (Tasks::new(), mpsc::channel(16));
        let db = Db::open::<Nothing>(&url, "wake_test").await.unwrap();
        let hear = move |word| drop(said.try_send(word));
        let _wake = Wake::start(&db, "wake_end_test", &tasks, hear);
        assert_eq!(heard.recv().await, Some(Heard::Anything));
        // Another process, which is gone as soon as its tasks have ended.
        let other = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let (tasks, db) = (Tasks::new(), Db::open::<Nothing>(&url, "wake_test").await);
                let wake = Wake::start(&db.unwrap(), "wake_end_test", &tasks, drop);
                let stop = tasks.stopping();
                tasks.spawn("work", async move {
                    stop.cancelled().await;
                    wake.tell("due", Some(7));
                });
                assert!(tasks.drain(PATIENCE).await);
            });
        });
        let expected = Heard::Changed("due".into(), vec![7]);
        let heard = timeout(PATIENCE, heard.recv()).await;
        assert_eq!(heard.expect("nobody was told"), Some(expected));
        other.await.unwrap();
        assert!(tasks.drain(PATIENCE).await);
    }
}
