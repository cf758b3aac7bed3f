//! Workers: who there is, and when they were last heard of.

use std::collections::HashMap;

use granary_core::{Error, Result, clock, error::Violations, name::WorkerName, page};
use granary_proto::{
    convert,
    job::v1::{AcquireJobsRequest, ListWorkersResponse, Resources, Worker},
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

/// When registered workers were last written to the database: not each call is worth a write.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats(Mutex<HashMap<String, i64>>);

/// Announces a worker, or its restart.
pub(crate) async fn register(
    core: &Core,
    heartbeats: &Heartbeats,
    worker: Worker,
) -> Result<Worker> {
    let name = WorkerName::parse(&worker.name).map_err(|error| error.within("worker.name"))?;
    let offered = worker.resources.unwrap_or_default();
    let mut wrong = Violations::default();
    resources::check("worker.resources", &offered, &mut wrong);
    wrong.finish()?;
    let resources = resources::merge(Some(&offered), None);
    let row = store::Row {
        name: name.worker.clone(),
        resources: resources.encode_to_vec(),
        heartbeat: core.now(),
    };
    expire::restarted(core, &row).await?;
    heartbeats.0.lock().insert(name.worker, row.heartbeat);
    shown(row)
}

/// Notes that a worker was heard of. Fails if it is not registered.
pub(crate) async fn heard(core: &Core, heartbeats: &Heartbeats, name: &WorkerName) -> Result<()> {
    let now = core.now();
    let fresh = |seen: &i64| now.saturating_sub(*seen) < core.lease_micros() / 3;
    if heartbeats.0.lock().get(&name.worker).is_some_and(fresh) {
        return Ok(());
    }
    let tx = core.db.begin().await?;
    if !store::touch(&tx, &name.worker, now).await? {
        return Err(Error::not_found(format!("{name} (register it first)")));
    }
    db::commit(tx).await?;
    heartbeats.0.lock().insert(name.worker.clone(), now);
    Ok(())
}

/// What a worker asks for.
pub(crate) fn fit(name: &WorkerName, request: &AcquireJobsRequest) -> Result<Fit> {
    if !(1..=1000).contains(&request.max_jobs) {
        return Err(Error::invalid(
            "max_jobs",
            format!("expected 1 to 1000, got {}", request.max_jobs),
        ));
    }
    let free: Resources = resources::merge(request.free.as_ref(), None);
    if !(0.0..=f64::MAX).contains(&free.cpus) || free.memory_bytes < 0 || free.gpus < 0 {
        return Err(Error::invalid("free", "expected no negative amounts"));
    }
    Ok(Fit {
        worker: name.worker.clone(),
        memory: free.memory_bytes,
        cpus: free.cpus,
        gpus: i64::from(free.gpus),
        limit: i64::from(request.max_jobs),
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
    })
}
