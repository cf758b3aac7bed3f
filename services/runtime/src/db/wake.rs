//! Wake-ups between processes on the same database: what one of them changed, the others look for at once.
//!
//! They are hints. One may be lost, when a connection breaks or a process dies between its commit and its word: whoever waits looks again by itself
//! after some seconds. Nobody shares a SQLite file, so that there is nothing to tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, Statement, sqlx::postgres::PgListener,
};
use tokio::sync::mpsc;

use super::Db;
use crate::task::Tasks;

/// How long words are gathered: under load a hundred notifications a second, and not one a commit.
const GATHER: Duration = Duration::from_millis(10);
/// More than this waits only if the database does not take it; then it is looked for in time.
const QUEUE: usize = 4096;
/// PostgreSQL takes 8,000 bytes.
const MAX_PAYLOAD: usize = 7000;
const PAUSE: Duration = Duration::from_secs(1);

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
        tasks.spawn_for_callers("wake-ups out", async move {
            tell(connection, &name, &from, waiting).await;
        });
        let connection = db.writer.clone();
        tasks.spawn("wake-ups in", async move {
            tokio::select! {
                () = listen(connection, &channel, &own, heard) => {}
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
) {
    let mut words = Vec::with_capacity(QUEUE);
    while waiting.recv_many(&mut words, QUEUE).await > 0 {
        tokio::time::sleep(GATHER).await;
        while let Ok(word) = waiting.try_recv() {
            words.push(word);
        }
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

async fn listen<F: Fn(Heard)>(connection: DatabaseConnection, channel: &str, own: &str, heard: F) {
    loop {
        let pool = connection.get_postgres_connection_pool();
        if let Ok(mut listener) = PgListener::connect_with(pool).await
            && listener.listen(channel).await.is_ok()
        {
            heard(Heard::Anything);
            // It ends with the connection.
            while let Ok(Some(word)) = listener.try_recv().await {
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
}
