//! From a folder of this machine to a completed session.

mod compare;
mod full;
mod send;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use granary_core::{
    Result,
    name::{DatasetName, SessionName},
    value::Value,
};
use granary_proto::{
    convert::wire_attributes,
    json::to_json,
    metadata::v1::{CompleteSessionRequest, CreateSessionRequest, Session, SessionState},
};
use granary_runtime::trace::TARGET;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, field::Empty};

use crate::{
    client::{Client, call, request_id},
    failure::{Failure, Outcome},
    folder::Folder,
    human,
    output::Out,
};

/// Where folders go, and how.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The dataset, which exists.
    pub(crate) dataset: DatasetName,
    /// Attributes beside those of the metadata, which they override.
    pub(crate) attributes: BTreeMap<String, Value>,
    /// How many files and parts are on their way at a time.
    pub(crate) concurrency: Option<usize>,
    /// Whether a session that is complete already is compared by content, or by sizes only.
    pub(crate) by_content: bool,
}

/// A session that was sent, or was there.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) session: Session,
    already: bool,
    files: usize,
    bytes: u64,
    took: Duration,
}

/// Sends a folder as a session: opens it, sends what is not there yet, and completes it. Safe to repeat after any interruption.
pub(crate) async fn ingest(
    client: &Client,
    out: &Out,
    folder: &Folder,
    options: &Options,
    stop: &CancellationToken,
) -> Outcome<Sent> {
    // Of a collector that runs for months, each session is a trace of its own.
    let span = tracing::info_span!(
        target: TARGET,
        "ingest",
        otel.name = "send session",
        otel.status_code = Empty,
        granary.dataset = %options.dataset,
        granary.session = folder.session,
    );
    let sent = ingested(client, out, folder, options, stop);
    let sent = sent.instrument(span.clone()).await;
    if sent.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    sent
}

async fn ingested(
    client: &Client,
    out: &Out,
    folder: &Folder,
    options: &Options,
    stop: &CancellationToken,
) -> Outcome<Sent> {
    let started = Instant::now();
    let at = |error| Failure::at(&folder.label, error);
    let name = options.dataset.session(&folder.session).map_err(at)?;
    let session = open(client, folder, options, &name).await.map_err(at)?;
    let already = session.state() != SessionState::Open;
    let session = if already {
        compare::same(client, &name, folder, options.by_content)
            .await
            .map_err(at)?;
        session
    } else {
        let sent = send::send(client, out, &name, folder, options.concurrency, stop).await;
        if let Err(error) = sent {
            let failure = at(error);
            return Err(match failure.is_of_limit() {
                true => failure.advised(full::advice(client, &name, folder).await),
                false => failure,
            });
        }
        complete(client, &name, folder).await.map_err(at)?
    };
    Ok(Sent {
        session,
        already,
        files: folder.files.len(),
        bytes: folder.size(),
        took: started.elapsed(),
    })
}

async fn open(
    client: &Client,
    folder: &Folder,
    options: &Options,
    name: &SessionName,
) -> Result<Session> {
    let mut attributes = folder
        .metadata()
        .map(|metadata| metadata.attributes.clone())
        .unwrap_or_default();
    attributes.extend(options.attributes.clone());
    let session = Session {
        attributes: wire_attributes(attributes),
        metadata_path: folder
            .described
            .as_ref()
            .map(|described| described.path.clone())
            .unwrap_or_default(),
        ..Session::default()
    };
    let request = CreateSessionRequest {
        parent: name.parent().to_string(),
        session: Some(session),
        session_id: name.session.clone(),
        request_id: request_id(),
    };
    call!(client.sessions().create_session(request))
}

async fn complete(client: &Client, name: &SessionName, folder: &Folder) -> Result<Session> {
    let asset_count = i64::try_from(folder.files.len()).unwrap_or(i64::MAX);
    call!(client.sessions().complete_session(CompleteSessionRequest {
        name: name.to_string(),
        asset_count
    }))
}

impl Sent {
    /// One line, such as `recordings/20210229_161221  12 files  34.5 MB  completed  in 1.2s`.
    pub(crate) fn line(&self) -> String {
        let outcome = if self.already {
            "already complete".to_owned()
        } else {
            format!("completed  in {}", human::duration(self.took))
        };
        let (files, size) = (
            human::count(self.files as u64, "file"),
            granary_core::units::human_bytes(self.bytes),
        );
        format!(
            "{}  {files}  {size}  {outcome}",
            human::short(&self.session.name)
        )
    }

    /// The session, with `already_complete` and `seconds`.
    pub(crate) fn json(&self) -> Result<Json> {
        let mut json = to_json(&self.session)?;
        if let Some(object) = json.as_object_mut() {
            object.insert("already_complete".into(), json!(self.already));
            object.insert(
                "seconds".into(),
                json!((self.took.as_secs_f64() * 1000.0).round() / 1000.0),
            );
        }
        Ok(json)
    }
}

/// Says what looks odd about a folder but does not stand in the way.
pub(crate) fn warn(out: &Out, folder: &Folder) {
    for warning in &folder.warnings {
        out.say(&format!(
            "granary: warning: {}: {warning}",
            human::shown(&folder.label)
        ));
    }
    let missing = folder.missing();
    if !missing.is_empty() {
        out.say(&format!(
            "granary: warning: {}: the metadata lists {}: sent without",
            human::shown(&folder.label),
            absent(missing)
        ));
    }
}

/// Names of files that are not there, as many as a line holds.
pub(crate) fn absent(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| granary_core::name::quote(name))
        .collect();
    let more = if names.len() > SHOWN {
        format!(" and {} more", names.len() - SHOWN)
    } else {
        String::new()
    };
    let verb = if names.len() == 1 {
        "which is not there"
    } else {
        "which are not there"
    };
    format!("{}{more}, {verb}", shown.join(", "))
}
