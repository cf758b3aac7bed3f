//! UsageService.

use granary_core::{
    Error, Result,
    day::Day,
    name::{ProjectName, quote},
};
use granary_proto::identity::v1::{
    BatchRecordUsageRequest, BatchRecordUsageResponse, DailyUsage, GetQuotaRequest,
    ListDailyUsageRequest, ListDailyUsageResponse, Quota as WireQuota, UpdateQuotaRequest,
    UsageRecord, usage_service_server::UsageService,
};
use granary_runtime::rpc::{batch_size, required};
use tonic::{Request, Response, Status};

use super::{name, reply};
use crate::{
    Context, check,
    lane::Lane,
    store::usage::Limits,
    usage::{self, Daily, Quota, Record},
};

const MAX_ID: usize = 64;

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub lane: Lane,
}

fn wire(quota: Quota) -> WireQuota {
    let limits = quota.account.limits;
    WireQuota {
        name: format!("{}/quota", quota.name),
        max_bytes: limits.bytes,
        max_objects: limits.objects,
        max_daily_requests: limits.daily_requests,
        max_daily_job_seconds: limits.daily_job_seconds,
        max_concurrent_jobs: limits.concurrent_jobs,
        used_bytes: quota.account.bytes,
        used_objects: quota.account.objects,
        used_daily_requests: quota.today.requests,
        used_daily_job_seconds: quota.today.job_seconds,
    }
}

fn wire_day(daily: Daily) -> DailyUsage {
    DailyUsage {
        date: daily.day.to_string(),
        held_bytes: daily.held_bytes,
        held_objects: daily.held_objects,
        added_bytes: daily.added.bytes,
        added_objects: daily.added.objects,
        requests: daily.added.requests,
        job_seconds: daily.added.job_seconds,
    }
}

/// The project of `projects/{project}/quota`.
fn quota_of(field: &str, text: &str) -> Result<ProjectName> {
    let project = text.strip_suffix("/quota").ok_or_else(|| {
        let expected = "expected a name like projects/{project}/quota";
        Error::invalid(field, format!("{expected}, got {}", quote(text)))
    });
    name(field, project?)
}

fn day(field: &str, text: &str) -> Result<Option<Day>> {
    let day = Some(text).filter(|text| !text.is_empty());
    day.map(|text| name(field, text)).transpose()
}

fn count(field: &str, count: i64) -> Result<i64> {
    if count < 0 {
        return Err(Error::invalid(
            field,
            format!("expected 0 or more, got {count}"),
        ));
    }
    Ok(count)
}

/// The limits that a caller may set, by the names of their fields.
const LIMITS: [&str; 5] = [
    "max_bytes",
    "max_objects",
    "max_daily_requests",
    "max_daily_job_seconds",
    "max_concurrent_jobs",
];

/// The limits that an update changes, each with its number.
fn changes(quota: &WireQuota, mask: Option<prost_types::FieldMask>) -> Result<[Option<i64>; 5]> {
    let paths = mask
        .map(|mask| mask.paths)
        .filter(|paths| !paths.is_empty());
    for (i, path) in paths.iter().flatten().enumerate() {
        if path != "*" && !LIMITS.contains(&path.as_str()) {
            let expected = format!("expected any of {}, got {}", LIMITS.join(", "), quote(path));
            return Err(Error::invalid(format!("update_mask.paths[{i}]"), expected));
        }
    }
    let said = [
        quota.max_bytes,
        quota.max_objects,
        quota.max_daily_requests,
        quota.max_daily_job_seconds,
        quota.max_concurrent_jobs,
    ];
    let mut changes = [None; 5];
    for ((change, field), said) in changes.iter_mut().zip(LIMITS).zip(said) {
        let is_named = |paths: &Vec<String>| paths.iter().any(|path| path == "*" || path == field);
        if paths.as_ref().is_none_or(is_named) {
            *change = Some(count(&format!("quota.{field}"), said)?);
        }
    }
    Ok(changes)
}

fn apply(limits: &mut Limits, changes: [Option<i64>; 5]) {
    let fields = [
        &mut limits.bytes,
        &mut limits.objects,
        &mut limits.daily_requests,
        &mut limits.daily_job_seconds,
        &mut limits.concurrent_jobs,
    ];
    for (field, change) in fields.into_iter().zip(changes) {
        *field = change.unwrap_or(*field);
    }
}

fn parse(record: UsageRecord) -> Result<Record> {
    if !(1..=MAX_ID).contains(&record.id.len()) {
        return Err(Error::invalid(
            "id",
            format!("expected 1 to {MAX_ID} bytes, got {}", record.id.len()),
        ));
    }
    check::no_nul("id", &record.id)?;
    Ok(Record {
        project: name("project", &record.project)?,
        day: name("date", &record.date)?,
        requests: count("requests", record.requests)?,
        job_seconds: count("job_seconds", record.job_seconds)?,
        id: record.id,
    })
}

impl Handler {
    async fn update(&self, request: UpdateQuotaRequest) -> Result<WireQuota> {
        let quota = required("quota", request.quota)?;
        let project = quota_of("quota.name", &quota.name)?;
        let changes = changes(&quota, request.update_mask)?;
        let whose = project.clone();
        self.lane
            .write(move |unit| {
                Box::pin(async move {
                    usage::set_limits(unit, &whose, |limits| apply(limits, changes)).await
                })
            })
            .await?;
        Ok(wire(usage::quota(&self.context, project).await?))
    }

    async fn list(&self, request: ListDailyUsageRequest) -> Result<ListDailyUsageResponse> {
        let project = name("parent", &request.parent)?;
        let first = day("start_date", &request.start_date)?;
        let last = day("end_date", &request.end_date)?;
        let days = usage::daily(&self.context, &project, first, last).await?;
        Ok(ListDailyUsageResponse {
            days: days.into_iter().map(wire_day).collect(),
        })
    }

    async fn record(&self, request: BatchRecordUsageRequest) -> Result<BatchRecordUsageResponse> {
        batch_size("records", request.records.len())?;
        let records = request.records.into_iter().enumerate();
        let records: Vec<Record> = records
            .map(|(i, record)| {
                parse(record).map_err(|error| error.within(&format!("records[{i}]")))
            })
            .collect::<Result<_>>()?;
        let quotas = usage::record(&self.context, &records).await?;
        Ok(BatchRecordUsageResponse {
            quotas: quotas.into_iter().map(wire).collect(),
        })
    }
}

#[tonic::async_trait]
impl UsageService for Handler {
    async fn get_quota(
        &self,
        request: Request<GetQuotaRequest>,
    ) -> Result<Response<WireQuota>, Status> {
        reply(async {
            let project = quota_of("name", &request.get_ref().name)?;
            Ok(wire(usage::quota(&self.context, project).await?))
        })
        .await
    }

    async fn update_quota(
        &self,
        request: Request<UpdateQuotaRequest>,
    ) -> Result<Response<WireQuota>, Status> {
        reply(self.update(request.into_inner())).await
    }

    async fn list_daily_usage(
        &self,
        request: Request<ListDailyUsageRequest>,
    ) -> Result<Response<ListDailyUsageResponse>, Status> {
        reply(self.list(request.into_inner())).await
    }

    async fn batch_record_usage(
        &self,
        request: Request<BatchRecordUsageRequest>,
    ) -> Result<Response<BatchRecordUsageResponse>, Status> {
        reply(self.record(request.into_inner())).await
    }
}
