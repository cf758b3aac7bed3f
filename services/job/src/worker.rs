//! Workers: who there is, whose they are, and when they were last heard of.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use granary_core::{
    Error, Result, clock,
    error::Violations,
    name::{JobName, WorkerName},
    page,
};
use granary_proto::{
    convert,
    job::v1::{AcquireJobsRequest, HeldLease, ListWorkersResponse, Resources, Worker},
};
use granary_runtime::db;
use parking_lot::Mutex;
use prost::Message as _;

use crate::{
    core::Core,
    queue::expire,
    resources,
    store::{jobs::Fit, workers as store},
};

/// After so long without a word, a worker that holds no lease is forgotten, and its name is free: 1 hour, in microseconds.
const SILENCE: i64 = 3600 * 1_000_000;
/// Names are those of the whole platform: one subject takes at most so many.
const MAX_WORKERS: i64 = 1000;
/// A worker whose jobs outlive it holds at most so many.
const MAX_HELD: usize = 10_000;
/// Those who register wait for each other, so that no two take the last place.
const REGISTRATIONS: i64 = 0x776f_726b_6572;

/// When registered workers were last written to the database, and whose they are: not each call is worth a statement.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats(Mutex<HashMap<String, Heard>>);

#[derive(Debug)]
struct Heard {
    at: i64,
    subject: Arc<str>,
}

impl Heartbeats {
    fn note(&self, worker: String, at: i64, subject: Arc<str>) {
        self.0.lock().insert(worker, Heard { at, subject });
    }

    /// Forgets who was not heard of since.
    fn forget(&self, since: i64) {
        self.0.lock().retain(|_, heard| heard.at >= since);
    }
}

/// Announces a worker of a token's subject, or its restart. Fails if the name is that of another subject's worker, or if this one has too many.
pub(crate) async fn register(
    core: &Core,
    heartbeats: &Heartbeats,
    subject: Arc<str>,
    worker: Worker,
) -> Result<Worker> {
    let name = WorkerName::parse(&worker.name).map_err(|error| error.within("worker.name"))?;
    let offered = worker.resources.unwrap_or_default();
    let mut wrong = Violations::default();
    resources::check("worker.resources", &offered, &mut wrong);
    wrong.finish()?;
    let kept = kept(&worker.held)?;
    let resources = resources::merge(Some(&offered), None);
    let row = store::Row {
        name: name.worker.clone(),
        subject: subject.to_string(),
        resources: resources.encode_to_vec(),
        heartbeat: core.now(),
    };
    let silent_since = row.heartbeat.saturating_sub(SILENCE);
    take_name(core, &name, &row, silent_since).await?;
    heartbeats.forget(silent_since);
    expire::restarted(core, &row.name, &kept).await?;
    heartbeats.note(name.worker, row.heartbeat, subject);
    shown(row)
}

/// The leases that a worker says it still holds.
fn kept(held: &[HeldLease]) -> Result<BTreeMap<JobName, i64>> {
    if held.len() > MAX_HELD {
        return Err(Error::invalid(
            "worker.held",
            format!("expected at most {MAX_HELD} leases, got {}", held.len()),
        ));
    }
    let one = |(i, lease): (usize, &HeldLease)| {
        let job = JobName::parse(&lease.job)
            .map_err(|error| error.within(&format!("worker.held[{i}].job")))?;
        Ok((job, lease.lease_number))
    };
    held.iter().enumerate().map(one).collect()
}

async fn take_name(
    core: &Core,
    name: &WorkerName,
    row: &store::Row,
    silent_since: i64,
) -> Result<()> {
    let tx = core.db.begin().await?;
    db::serialize(&tx, REGISTRATIONS).await?;
    store::forget(&tx, silent_since).await?;
    let has_room = store::count_others(&tx, row).await? < MAX_WORKERS;
    let taken = has_room && store::put(&tx, row).await?;
    db::commit(tx).await?;
    match (has_room, taken) {
        (false, _) => Err(too_many()),
        (true, false) => Err(anothers(name)),
        (true, true) => Ok(()),
    }
}

/// Notes that a worker was heard of. Fails if it is not registered, or not by this subject.
pub(crate) async fn heard(
    core: &Core,
    heartbeats: &Heartbeats,
    name: &WorkerName,
    subject: Arc<str>,
) -> Result<()> {
    let now = core.now();
    let fresh = |heard: &Heard| {
        heard.subject == subject && now.saturating_sub(heard.at) < core.lease_micros() / 3
    };
    if heartbeats.0.lock().get(&name.worker).is_some_and(fresh) {
        return Ok(());
    }
    let tx = core.db.begin().await?;
    let touched = store::touch(&tx, &name.worker, &subject, now).await?;
    let there = touched || store::is_there(&tx, &name.worker).await?;
    db::commit(tx).await?;
    if !there {
        return Err(Error::not_found(format!("{name} (register it first)")));
    }
    if !touched {
        return Err(anothers(name));
    }
    heartbeats.note(name.worker.clone(), now, subject);
    Ok(())
}

fn anothers(name: &WorkerName) -> Error {
    Error::Denied {
        reason: format!(
            "{name} was registered with a token of another subject: choose another name, or use a token of that subject; \
             a name is free again 1 h after its worker was last heard of, once it holds no job"
        ),
    }
}

fn too_many() -> Error {
    Error::Exhausted {
        reason: format!(
            "there are {MAX_WORKERS} workers with a token of this subject, or with keys of this project, which is the most: \
             start workers under the names that they had before, give each more slots, or wait until those that are gone are \
             forgotten, 1 h after they were last heard of"
        ),
        retry_after: None,
        quota_of: None,
    }
}

/// What a worker asks for, of one project or of all.
pub(crate) fn fit(
    name: &WorkerName,
    project: Option<Arc<str>>,
    request: &AcquireJobsRequest,
) -> Result<Fit> {
    if !(1..=1000).contains(&request.max_jobs) {
        return Err(Error::invalid(
            "max_jobs",
            format!("expected 1 to 1000, got {}", request.max_jobs),
        ));
    }
    // What is given is meant as it is: a worker that has nothing left says 0.
    let free = request.free.unwrap_or_else(|| resources::merge(None, None));
    if !(0.0..=f64::MAX).contains(&free.cpus) || free.memory_bytes < 0 || free.gpus < 0 {
        return Err(Error::invalid("free", "expected amounts of 0 or more"));
    }
    Ok(Fit {
        worker: name.worker.clone(),
        memory: free.memory_bytes,
        cpus: free.cpus,
        gpus: i64::from(free.gpus),
        limit: i64::from(request.max_jobs),
        with_image: request.with_image,
        project,
    })
}

/// A page of workers.
pub(crate) async fn list(
    core: &Core,
    page_size: i32,
    page_token: &str,
) -> Result<ListWorkersResponse> {
    let size = page::size(page_size)?;
    let after: String = page::decode(&["workers"], page_token)?.unwrap_or_default();
    let mut rows = store::list(core.db.reader(), &after, i64::from(size) + 1).await?;
    let more = rows.len() > size as usize;
    rows.truncate(size as usize);
    let next_page_token = match rows.last() {
        Some(last) if more => page::encode(&["workers"], &last.name)?,
        _ => String::new(),
    };
    Ok(ListWorkersResponse {
        workers: rows.into_iter().map(shown).collect::<Result<_>>()?,
        next_page_token,
    })
}

fn shown(row: store::Row) -> Result<Worker> {
    let resources = Resources::decode(row.resources.as_slice())
        .map_err(|error| Error::internal("reading a worker", error))?;
    Ok(Worker {
        name: format!("workers/{}", row.name),
        resources: Some(resources),
        heartbeat_time: Some(convert::timestamp(clock::from_micros(row.heartbeat))),
        held: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(free: Option<Resources>) -> Result<Fit> {
        let request = AcquireJobsRequest {
            name: "workers/w".into(),
            max_jobs: 1,
            free,
            wait: None,
            with_image: false,
        };
        fit(&WorkerName::new("w").unwrap(), None, &request)
    }

    #[test]
    fn nothing_free_is_nothing_and_only_what_is_not_said_has_defaults() {
        let none = free(Some(Resources::default())).unwrap();
        assert_eq!((none.memory, none.cpus, none.gpus), (0, 0.0, 0));
        let unsaid = free(None).unwrap();
        assert_eq!((unsaid.memory, unsaid.cpus, unsaid.gpus), (1 << 30, 1.0, 0));
    }

    #[test]
    fn amounts_that_cannot_be_are_refused() {
        let wrong = [
            Resources {
                cpus: -1.0,
                ..Resources::default()
            },
            Resources {
                cpus: f64::NAN,
                ..Resources::default()
            },
            Resources {
                memory_bytes: -1,
                ..Resources::default()
            },
            Resources {
                gpus: -1,
                ..Resources::default()
            },
        ];
        for amounts in wrong {
            let error = free(Some(amounts)).unwrap_err();
            assert_eq!(error.to_string(), "free: expected amounts of 0 or more");
        }
    }
}
