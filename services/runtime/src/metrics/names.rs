//! Every metric there is: its name, its unit and what it means.
//!
//! No label grows with what callers send: labels come from enums, from the descriptors of calls and from names in this code. The one exception is the
//! project of `granary_project_*`, of which there are [`MOST_PROJECTS`].

use ::metrics::Unit;

/// How many projects have metrics of their own: those with the most bytes.
pub const MOST_PROJECTS: u32 = 50;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is called.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// What its values are.
    pub unit: Unit,
    /// What it means, in a line.
    pub help: &'static str,
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Up, from the start of the process.
    Counter,
    /// What is now.
    Gauge,
    /// Values by size: the upper ends of buckets.
    Histogram(&'static [f64]),
}

/// Seconds that calls and statements take.
const CALLS: Kind = Kind::Histogram(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
]);
/// Seconds that checks and transforms take: of one file, most of them are over in less than a millisecond.
const STEPS: Kind = Kind::Histogram(&[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
]);
/// Seconds that work in the background takes, up to an hour.
const WORK: Kind = Kind::Histogram(&[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
]);
/// Seconds that jobs take, up to a day.
const JOBS_TAKE: Kind = Kind::Histogram(&[
    0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0,
    86400.0,
]);
/// How many things are worked on together.
const SIZES: Kind = Kind::Histogram(&[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);

macro_rules! metrics {
    ($($name:ident: $kind:expr, $unit:ident, $text:literal, $help:literal;)+) => {
        $(#[doc = $help] pub const $name: &str = $text;)+

        /// All of them, those of the process itself aside.
        pub const ALL: &[Metric] = &[$(Metric { name: $text, kind: $kind, unit: Unit::$unit, help: $help }),+];
    };
}

metrics! {
    SERVER_STARTED: Kind::Counter, Count, "grpc_server_started_total",
        "Calls that came in, by method.";
    SERVER_HANDLED: Kind::Counter, Count, "grpc_server_handled_total",
        "Calls that ended, by method and code; streams end with their last message.";
    SERVER_SECONDS: CALLS, Seconds, "grpc_server_handling_seconds",
        "Time from the headers of a call to the end of its answer, by method.";
    CLIENT_HANDLED: Kind::Counter, Count, "grpc_client_handled_total",
        "Calls to other services that ended, by method and code; those repeated elsewhere count once.";
    CLIENT_SECONDS: CALLS, Seconds, "grpc_client_handling_seconds",
        "Time that calls to other services took, by method.";
    READY: Kind::Gauge, Count, "granary_ready",
        "1 while the services of this process can answer, else 0.";
    LEADER: Kind::Gauge, Count, "granary_leader",
        "1 where this process does what one of all replicas does, by task, else 0.";
    DB_CONNECTIONS: Kind::Gauge, Count, "granary_db_connections",
        "Connections to the database, used and idle, by service.";
    DB_CONNECTIONS_MAX: Kind::Gauge, Count, "granary_db_connections_max",
        "The most connections to the database that a service of this process may have.";
    DB_BATCH_SIZE: SIZES, Count, "granary_db_batch_size",
        "How many calls shared a transaction or a statement, by service and by what they do.";
    DB_BATCH_SECONDS: CALLS, Seconds, "granary_db_batch_seconds",
        "Time that such a transaction or statement took, by service and by what it does.";
    PIPELINE_RUNS: Kind::Gauge, Count, "granary_pipeline_runs",
        "Sessions that completed and wait (queued) or are worked on (running).";
    PIPELINE_OLDEST: Kind::Gauge, Seconds, "granary_pipeline_oldest_seconds",
        "How long the oldest session has been waiting for its verdict; 0 if none does.";
    PIPELINE_RUNS_DONE: Kind::Counter, Count, "granary_pipeline_runs_total",
        "Runs of pipelines that ended: processed, failed (something was rejected), or error (given up).";
    PIPELINE_RUN_SECONDS: WORK, Seconds, "granary_pipeline_run_seconds",
        "Time from when a run was begun first to its end.";
    PIPELINE_STEP_SECONDS: STEPS, Seconds, "granary_pipeline_step_seconds",
        "Time that one step of a pipeline took for one file or one session, by the kind of step; results that were kept from before do not count.";
    PIPELINE_ASSETS: Kind::Counter, Count, "granary_pipeline_assets_total",
        "Files that got a verdict: ready or rejected.";
    EVENTS_LAG: Kind::Gauge, Seconds, "granary_events_lag_seconds",
        "Age of the oldest event that Pipeline has not taken yet; 0 if it has taken all.";
    JOBS: Kind::Gauge, Count, "granary_jobs",
        "Jobs that have not ended, by state.";
    JOBS_OLDEST_QUEUED: Kind::Gauge, Seconds, "granary_jobs_oldest_queued_seconds",
        "How long the oldest job in the queue has been there; 0 if none is.";
    JOB_ATTEMPTS: Kind::Counter, Count, "granary_job_attempts_total",
        "Attempts of jobs that ended, by outcome.";
    JOB_ATTEMPT_SECONDS: JOBS_TAKE, Seconds, "granary_job_attempt_seconds",
        "Time from the lease of an attempt to its end, by outcome.";
    JOB_WAIT_SECONDS: JOBS_TAKE, Seconds, "granary_job_wait_seconds",
        "Time that a job was in the queue before a worker took it.";
    WORKERS: Kind::Gauge, Count, "granary_workers",
        "Workers that were heard of within the last minute.";
    WORKER_SLOTS: Kind::Gauge, Count, "granary_worker_slots",
        "Attempts that this worker runs (used) and could run besides (idle).";
    UPLOAD_BYTES: Kind::Counter, Bytes, "granary_upload_bytes_total",
        "Bytes of uploads that were completed.";
    UPLOADS: Kind::Counter, Count, "granary_uploads_total",
        "Uploads that were completed, or refused since what arrived is not what was declared.";
    DOWNLOADS_SIGNED: Kind::Counter, Count, "granary_downloads_signed_total",
        "URLs that were signed for downloads.";
    TOKEN_CHECKS: Kind::Counter, Count, "granary_token_checks_total",
        "Tokens that were checked: ok, or why not.";
    LEDGER_PENDING: Kind::Gauge, Count, "granary_ledger_pending",
        "Entries of the audit log that wait to be stored.";
    REQUESTS_REFUSED: Kind::Counter, Count, "granary_requests_refused_total",
        "Calls that were refused since too many waited (rate), or since a project has had all that it may have (quota).";
    PROJECT_BYTES: Kind::Gauge, Bytes, "granary_project_stored_bytes",
        "Bytes that a project stores; of the 50 projects with the most.";
    PROJECT_OBJECTS: Kind::Gauge, Count, "granary_project_objects",
        "Objects that a project stores; of the same projects.";
    PROJECT_REQUESTS: Kind::Gauge, Count, "granary_project_requests_today",
        "Calls of a project since midnight UTC; of the same projects.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_their_values_are() {
        for metric in ALL {
            let name = metric.name;
            let ends = |unit| name.trim_end_matches("_total").ends_with(unit);
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            assert_eq!(ends("_seconds"), metric.unit == Unit::Seconds, "{name}");
            assert_eq!(ends("_bytes"), metric.unit == Unit::Bytes, "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn the_documentation_has_each_with_its_kind_and_no_other() {
        let page = include_str!("../../../../docs/telemetry.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows = rows.filter(|row| row.starts_with("grpc_") || row.starts_with("granary_"));
        let found: Vec<_> = rows.filter_map(|row| row.split_once("` | ")).collect();
        for metric in ALL {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let row = found.iter().find(|(name, _)| *name == metric.name);
            let row = row.map(|(_, rest)| *rest).unwrap_or_default();
            assert!(row.starts_with(kind), "{}: {kind}: {row}", metric.name);
        }
        assert_eq!(found.len(), ALL.len());
    }

    #[test]
    fn buckets_grow() {
        for metric in ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted_by(|a, b| a < b), "{}", metric.name);
            }
        }
    }
}
