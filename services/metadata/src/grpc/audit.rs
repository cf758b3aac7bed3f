//! AuditService.

use granary_core::{
    Error, Result,
    clock::to_micros,
    name::{ApiKeyName, ProjectName, quote},
};
use granary_proto::{
    convert,
    identity::v1::{
        AuditEntry, AuditVerdict, BatchCreateAuditEntriesRequest, BatchCreateAuditEntriesResponse,
        ListAuditEntriesRequest, ListAuditEntriesResponse, audit_service_server::AuditService,
    },
};
use granary_runtime::rpc::{batch_size, required};
use tonic::{Request, Response, Status};

use super::{name, paged, paging, reply, time};
use crate::{
    Context, audit, check, project,
    store::audit::{Entry, Wanted},
};

/// The longest id, and the longest of the other texts.
const MAX_ID: usize = 64;
const MAX_TEXT: usize = 1024;

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
}

fn wire(entry: Entry) -> AuditEntry {
    let latency = std::time::Duration::from_micros(u64::try_from(entry.latency).unwrap_or(0));
    AuditEntry {
        id: entry.id,
        time: time(entry.time),
        subject: entry.subject,
        issuer: entry.issuer,
        on_behalf_of: entry.on_behalf_of,
        method: entry.method,
        resource: entry.resource,
        verdict: i32::try_from(entry.verdict).unwrap_or(0),
        code: i32::try_from(entry.code).unwrap_or(2),
        latency: Some(convert::wire_duration(latency)),
        request_id: entry.request,
        remote_address: entry.address,
        item_count: i32::try_from(entry.items).unwrap_or(i32::MAX),
    }
}

/// The project of what a call was about, and that of the API key that made it, if it is another one; empty if there is none. Calls that services
/// make for a key do not count: what they name may not be what the key sent.
fn places(entry: &AuditEntry) -> (String, String) {
    let id = entry.resource.strip_prefix("projects/");
    let id = id.and_then(|rest| rest.split('/').next());
    let named = id.and_then(|id| ProjectName::new(id).ok());
    let project = named.map(|name| name.project).unwrap_or_default();
    let key = ApiKeyName::parse(&entry.subject).ok();
    let home = key.map(|key| key.project).filter(|home| *home != project);
    (project, home.unwrap_or_default())
}

fn parse(entry: AuditEntry) -> Result<Entry> {
    if !(1..=MAX_ID).contains(&entry.id.len()) {
        return Err(Error::invalid(
            "id",
            format!("expected 1 to {MAX_ID} bytes, got {}", entry.id.len()),
        ));
    }
    for (field, text) in [
        ("id", &entry.id),
        ("subject", &entry.subject),
        ("issuer", &entry.issuer),
        ("on_behalf_of", &entry.on_behalf_of),
        ("method", &entry.method),
        ("resource", &entry.resource),
        ("request_id", &entry.request_id),
        ("remote_address", &entry.remote_address),
    ] {
        check::text(field, text, MAX_TEXT)?;
    }
    if entry.verdict() == AuditVerdict::Unspecified {
        return Err(Error::invalid("verdict", "expected how the call ended"));
    }
    let came = convert::time("time", &required("time", entry.time)?)?;
    let latency = convert::duration("latency", entry.latency.unwrap_or_default())?;
    let (project, home) = places(&entry);
    Ok(Entry {
        project,
        home,
        id: entry.id,
        time: to_micros(came),
        subject: entry.subject,
        issuer: entry.issuer,
        on_behalf_of: entry.on_behalf_of,
        method: entry.method,
        resource: entry.resource,
        items: entry.item_count.max(0).into(),
        verdict: entry.verdict.into(),
        code: entry.code.into(),
        latency: i64::try_from(latency.as_micros()).unwrap_or(i64::MAX),
        request: entry.request_id,
        address: entry.remote_address,
    })
}

fn wanted(request: &ListAuditEntriesRequest) -> Result<Wanted> {
    let project: Option<ProjectName> = match request.parent.as_str() {
        "projects/-" => None,
        parent => Some(name("parent", parent)?),
    };
    let moment = |field, timestamp: &Option<prost_types::Timestamp>| {
        let timestamp = timestamp.as_ref();
        timestamp
            .map(|t| convert::time(field, t).map(to_micros))
            .transpose()
    };
    check::text("subject", &request.subject, MAX_TEXT)?;
    let verdict = AuditVerdict::try_from(request.verdict).map_err(|_| {
        let got = quote(&request.verdict.to_string());
        Error::invalid("verdict", format!("expected a verdict, got {got}"))
    })?;
    Ok(Wanted {
        project: project.map(|project| project.project),
        subject: Some(request.subject.clone()).filter(|subject| !subject.is_empty()),
        verdict: Some(i64::from(verdict as i32)).filter(|verdict| *verdict > 0),
        start: moment("start_time", &request.start_time)?,
        end: moment("end_time", &request.end_time)?,
    })
}

impl Handler {
    async fn list(&self, request: ListAuditEntriesRequest) -> Result<ListAuditEntriesResponse> {
        let wanted = wanted(&request)?;
        if let Some(project) = &wanted.project {
            project::get(&self.context, &ProjectName::new(project)?).await?;
        }
        let filter = format!("{wanted:?}");
        let question = ["ListAuditEntries", &filter];
        let page = paging(&question, request.page_size, &request.page_token)?;
        let page = audit::list(&self.context, &wanted, page, wire).await?;
        let (entries, next_page_token) = paged(&question, page)?;
        Ok(ListAuditEntriesResponse {
            entries,
            next_page_token,
        })
    }

    async fn record(&self, request: BatchCreateAuditEntriesRequest) -> Result<()> {
        batch_size("entries", request.entries.len())?;
        let entries = request.entries.into_iter().enumerate();
        let entries: Vec<Entry> = entries
            .map(|(i, entry)| parse(entry).map_err(|error| error.within(&format!("entries[{i}]"))))
            .collect::<Result<_>>()?;
        audit::record(&self.context, &entries).await
    }
}

#[tonic::async_trait]
impl AuditService for Handler {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        reply(self.list(request.into_inner())).await
    }

    async fn batch_create_audit_entries(
        &self,
        request: Request<BatchCreateAuditEntriesRequest>,
    ) -> Result<Response<BatchCreateAuditEntriesResponse>, Status> {
        reply(async {
            self.record(request.into_inner()).await?;
            Ok(BatchCreateAuditEntriesResponse {})
        })
        .await
    }
}
