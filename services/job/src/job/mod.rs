//! Jobs: submitting, reading, cancelling.

mod pin;
pub(crate) mod request;
mod show;

use std::collections::BTreeSet;

use granary_core::{
    Error, Result, clock, id,
    name::{EntrypointName, JobName, ProjectName},
    page,
};
use granary_proto::{
    convert,
    job::v1::{CreateJobRequest, Job, JobState, ListJobsRequest, ListJobsResponse},
};
use granary_runtime::{db, rpc::required, trace};
use prost::Message as _;

use crate::{
    Inner, catalog,
    core::Core,
    state::{Event, State},
    store::jobs::{self as store, New, Row},
    usage,
};

/// A page ends after so many bytes, so that it fits into a message.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const ROWS_AT_ONCE: usize = 100;

/// Submits a job.
pub(crate) async fn create(inner: &Inner, author: &str, request: CreateJobRequest) -> Result<Job> {
    let core = &inner.core;
    let project = ProjectName::parse(&request.parent).map_err(|error| error.within("parent"))?;
    let request_id = check_request_id(&request.request_id)?;
    if let Some(id) = &request_id
        && let Some(row) = store::find_request(core.db.reader(), &project.project, id).await?
    {
        return show::one(core.db.reader(), row).await;
    }
    let asked = required("job", request.job)?;
    let entrypoint =
        EntrypointName::parse(&asked.entrypoint).map_err(|error| error.within("entrypoint"))?;
    let name = job_name(&project, &request.job_id, request_id.as_deref())?;
    let may = inner.metadata.project(&project).await?;
    usage::learn(core, &project.project, may).await?;
    let (definition, _) = catalog::find(&core.db, &core.definitions, &entrypoint).await?;
    let mut job = request::check(asked, &definition.entrypoint)?;
    if !job.inputs.is_empty() {
        // Before anything is frozen for a job that cannot be.
        if store::find(core.db.reader(), &name).await?.is_some() {
            return existing(core, &name, request_id.as_deref()).await;
        }
        job.inputs = pin::inputs(core, &inner.metadata, &name, &job.inputs).await?;
    }
    let now = core.now();
    job.author = author.to_owned();
    job.trace_parent = trace::parent().map_or_else(String::new, |parent| parent.to_string());
    job.create_time = Some(convert::timestamp(clock::from_micros(now)));
    let handler = definition.entrypoint.handler.as_ref();
    let new = New {
        image: handler.is_some_and(|handler| !handler.image_url.is_empty()),
        ..row_of(&name, request_id.clone(), &definition.digest, &job, now)
    };
    let created = inner.create.call(new).await?;
    if created {
        job.name = name.to_string();
        job.set_state(JobState::Queued);
        return Ok(job);
    }
    existing(core, &name, request_id.as_deref()).await
}

fn row_of(name: &JobName, request: Option<String>, definition: &str, job: &Job, now: i64) -> New {
    let resources = job.resources.unwrap_or_default();
    New {
        name: name.clone(),
        request,
        entrypoint: job.entrypoint.clone(),
        definition: definition.to_owned(),
        spec: job.encode_to_vec(),
        priority: i64::from(job.priority),
        memory: resources.memory_bytes,
        cpus: resources.cpus,
        gpus: i64::from(resources.gpus),
        image: false,
        created: now,
    }
}

/// Inserts jobs that are submitted at the same time in one transaction; whether each was new.
pub(crate) async fn insert(core: &Core, jobs: Vec<New>) -> Result<Vec<Result<bool>>> {
    let tx = core.db.begin().await?;
    let mut inserted = store::insert(&tx, &jobs).await?;
    db::commit(tx).await?;
    if !inserted.is_empty() {
        core.hub.queue_changed();
    }
    // Of two with one name the first one went in.
    Ok(jobs
        .iter()
        .map(|job| Ok(inserted.remove(&job.name)))
        .collect())
}

/// The job that this request made a moment ago, if the name is not another's.
async fn existing(core: &Core, name: &JobName, request: Option<&str>) -> Result<Job> {
    if let Some(request) = request
        && let Some(row) = store::find_request(core.db.reader(), &name.project, request).await?
    {
        return show::one(core.db.reader(), row).await;
    }
    Err(Error::already_exists(
        name,
        "choose another id, or give none to have one made",
    ))
}

fn check_request_id(text: &str) -> Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let uuid = uuid::Uuid::parse_str(text).map_err(|_| {
        Error::invalid(
            "request_id",
            format!("expected a UUID, got {}", granary_core::name::quote(text)),
        )
    })?;
    Ok(Some(uuid.to_string()))
}

fn job_name(project: &ProjectName, wanted: &str, request_id: Option<&str>) -> Result<JobName> {
    let id = match (wanted, request_id) {
        // The same request again must meet what it made before.
        ("", Some(request)) => format!("job-{}", id::digest(&[&project.project, "job", request])),
        ("", None) => id::new("job-"),
        (wanted, _) => wanted.to_owned(),
    };
    JobName::new(&project.project, id).map_err(|error| match error {
        Error::Invalid(violations) => match violations.into_iter().next() {
            Some(violation) => Error::invalid("job_id", violation.description),
            None => Error::invalid("job_id", "is not an id"),
        },
        other => other,
    })
}

/// The row of a job.
pub(crate) async fn row(core: &Core, name: &JobName) -> Result<Row> {
    store::find(core.db.reader(), name)
        .await?
        .ok_or_else(|| Error::not_found(name))
}

/// One job, and why it waits.
pub(crate) async fn get_with_reason(core: &Core, name: &JobName) -> Result<Job> {
    let mut job = get(core, name).await?;
    if job.state() == JobState::Queued {
        job.wait_reason = usage::wait_reason(core, &name.project).await?;
    }
    Ok(job)
}

/// One job.
pub(crate) async fn get(core: &Core, name: &JobName) -> Result<Job> {
    show::one(core.db.reader(), row(core, name).await?).await
}

/// A page of jobs.
pub(crate) async fn list(core: &Core, request: &ListJobsRequest) -> Result<ListJobsResponse> {
    let project = ProjectName::parse(&request.parent).map_err(|error| error.within("parent"))?;
    let size = page::size(request.page_size)? as usize;
    let state = match request.state {
        0 => None,
        wire => Some(
            State::from_stored(wire.into())
                .map_err(|_| Error::invalid("state", "expected a state of jobs"))?,
        ),
    };
    let question = ["jobs", &request.parent, &request.state.to_string()];
    let mut before: Option<i64> = page::decode(&question, &request.page_token)?;
    let mut response = ListJobsResponse::default();
    let mut bytes = 0;
    loop {
        let limit = ROWS_AT_ONCE.min(size - response.jobs.len());
        // One more than asked for tells whether there is a next page.
        let mut rows =
            store::list(core.db.reader(), &project.project, state, before, limit + 1).await?;
        let mut more = rows.len() > limit;
        rows.truncate(limit);
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        for (seq, job) in seqs.iter().zip(show::jobs(core.db.reader(), &rows).await?) {
            if bytes > PAGE_BYTES {
                more = true;
                break;
            }
            bytes += job.encoded_len();
            before = Some(*seq);
            response.jobs.push(job);
        }
        let full = response.jobs.len() >= size || bytes > PAGE_BYTES;
        if more
            && full
            && let Some(before) = before
        {
            response.next_page_token = page::encode(&question, &before)?;
        }
        if full || !more {
            return Ok(response);
        }
    }
}

/// Cancels a job: at once if it is queued, else the worker that has it is told.
pub(crate) async fn cancel(core: &Core, name: &JobName) -> Result<Job> {
    let tx = core.db.begin().await?;
    let mut rows = store::lock(&tx, &BTreeSet::from([name.clone()])).await?;
    let asked = match rows.remove(name) {
        Some(mut row) => ask_to_end(&mut row, core.now()).map(|()| row),
        None => Err(Error::not_found(name)),
    };
    if let Ok(row) = &asked {
        store::save(&tx, &[row]).await?;
    }
    db::commit(tx).await?;
    core.hub.jobs_changed([asked?.seq]);
    get(core, name).await
}

fn ending(state: State) -> &'static str {
    match state {
        State::Succeeded => "succeeded",
        State::Cancelled => "was cancelled",
        _ => "failed",
    }
}

fn ask_to_end(row: &mut Row, now: i64) -> Result<()> {
    let ended = |_| {
        Error::precondition(
            &row.name,
            format!("it has already ended: it {}", ending(row.state)),
        )
    };
    row.state = row.state.next(Event::CancelAsked).map_err(ended)?;
    row.cancel = true;
    if row.state.has_ended() {
        row.finished = row.finished.or(Some(now));
    }
    Ok(())
}
