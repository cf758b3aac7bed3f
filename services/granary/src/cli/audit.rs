//! `granary audit`: who did what.

use granary_core::value::parse_timestamp_or_date;
use granary_proto::{
    convert,
    identity::v1::{AuditEntry, AuditVerdict, ListAuditEntriesRequest},
};
use prost_types::Timestamp;
use tonic::Code;

use super::context::{Context, Limit};
use crate::{
    client::call,
    failure::{Failure, Outcome},
    human,
    output::{Format, Listing, csv},
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    /// Lists calls that changed something, handed out data, or were refused, the newest first. Owners only
    List(List),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of all projects, and of calls about none. Platform administrators only
    #[arg(long)]
    all_projects: bool,
    /// Only of whoever has this subject (`sub`) in their tokens
    #[arg(
        long,
        value_name = "SUBJECT",
        default_value = "",
        hide_default_value = true
    )]
    subject: String,
    /// Only calls that ended so
    #[arg(long, value_enum, value_name = "VERDICT")]
    verdict: Option<VerdictFlag>,
    /// Only from this time on: a day, or a time such as 2026-11-21T16:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum VerdictFlag {
    /// Carried out
    Allowed,
    /// The caller was nobody known, or may not do this
    Denied,
    /// Let through, and failed
    Failed,
}

impl From<VerdictFlag> for AuditVerdict {
    fn from(flag: VerdictFlag) -> Self {
        match flag {
            VerdictFlag::Allowed => Self::Allowed,
            VerdictFlag::Denied => Self::Denied,
            VerdictFlag::Failed => Self::Failed,
        }
    }
}

/// What stands in a line of CSV.
const COLUMNS: [&str; 12] = [
    "time",
    "subject",
    "issuer",
    "on_behalf_of",
    "method",
    "resource",
    "item_count",
    "verdict",
    "code",
    "latency_ms",
    "request_id",
    "remote_address",
];
const HEADERS: [&str; 7] = ["TIME", "WHO", "CALL", "RESOURCE", "VERDICT", "TOOK", "FROM"];

fn moment(text: &str) -> Result<Timestamp, String> {
    parse_timestamp_or_date(text)
        .map(convert::timestamp)
        .ok_or_else(|| {
            "expected a day such as 2026-11-21, or a time such as 2026-11-21T16:00:00Z".into()
        })
}

impl Audit {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Self::List(list) = self;
        list.run(context).await
    }
}

impl List {
    async fn run(self, context: &Context) -> Outcome {
        let is_csv = context.out.format() == Format::Csv;
        let mut first = csv(&COLUMNS.map(str::to_owned));
        let client = context.client().await?;
        let parent = match self.all_projects {
            true => "projects/-".to_owned(),
            false => client.project().to_string(),
        };
        let verdict = self.verdict.map_or(AuditVerdict::Unspecified, Into::into);
        let mut listing = Listing::new(&context.out, "entries", HEADERS);
        let get = async |page_size, page_token| {
            let request = ListAuditEntriesRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                subject: self.subject.clone(),
                verdict: verdict.into(),
                start_time: self.from,
                end_time: self.to,
            };
            let response = call!(client.audit().list_audit_entries(request))?;
            Ok::<_, Failure>((response.entries, response.next_page_token))
        };
        page::each(self.limit.limit, get, |entries: Vec<AuditEntry>| {
            if !is_csv {
                return listing.page(&entries, row);
            }
            let lines = entries.iter().map(|entry| csv(&columns(entry)));
            let text: String = std::iter::once(std::mem::take(&mut first))
                .chain(lines)
                .collect();
            context.out.print(&text)
        })
        .await?;
        listing.finish()
    }
}

/// The fields of an entry, exact.
fn columns(entry: &AuditEntry) -> [String; 12] {
    let latency = entry
        .latency
        .and_then(|latency| convert::duration("latency", latency).ok())
        .unwrap_or_default();
    [
        utc(entry.time.as_ref()),
        entry.subject.clone(),
        entry.issuer.clone(),
        entry.on_behalf_of.clone(),
        entry.method.clone(),
        entry.resource.clone(),
        entry.item_count.to_string(),
        verdict(entry),
        entry.code.to_string(),
        format!("{:.3}", latency.as_secs_f64() * 1000.0),
        entry.request_id.clone(),
        entry.remote_address.clone(),
    ]
}

fn utc(time: Option<&Timestamp>) -> String {
    time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn verdict(entry: &AuditEntry) -> String {
    human::state(entry.verdict().as_str_name(), "AUDIT_VERDICT").to_lowercase()
}

fn row(entry: &AuditEntry) -> [String; 7] {
    let who = match (entry.subject.as_str(), entry.on_behalf_of.as_str()) {
        ("", _) => "nobody known".to_owned(),
        (subject, "") => subject.to_owned(),
        (subject, whose) => format!("{whose} (by {subject})"),
    };
    let verdict = verdict(entry);
    let verdict = match Code::from(entry.code) {
        Code::Ok => verdict,
        code => format!("{verdict} ({code:?})"),
    };
    let resource = match entry.item_count {
        0 => entry.resource.clone(),
        count => format!("{} ({count} of it)", entry.resource),
    };
    let took = entry
        .latency
        .and_then(|latency| convert::duration("latency", latency).ok());
    [
        human::time(entry.time.as_ref()),
        who,
        entry
            .method
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned(),
        resource,
        verdict,
        took.map(|took| format!("{:.1}ms", took.as_secs_f64() * 1000.0))
            .unwrap_or_default(),
        entry.remote_address.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_did_what_and_how_it_ended() {
        let entry = AuditEntry {
            subject: "service:storage".into(),
            on_behalf_of: "ada".into(),
            method: "granary.metadata.v1.AssetService/BatchCreateAssets".into(),
            resource: "projects/p/datasets/d".into(),
            verdict: AuditVerdict::Failed.into(),
            code: Code::ResourceExhausted as i32,
            latency: Some(convert::wire_duration(std::time::Duration::from_micros(
                1234,
            ))),
            remote_address: "10.0.0.1".into(),
            ..AuditEntry::default()
        };
        let [_, rest @ ..] = row(&entry);
        let expected = [
            "ada (by service:storage)",
            "AssetService/BatchCreateAssets",
            "projects/p/datasets/d",
            "failed (ResourceExhausted)",
            "1.2ms",
            "10.0.0.1",
        ];
        assert_eq!(rest, expected);
        let several = AuditEntry {
            resource: "projects/p".into(),
            item_count: 3,
            ..AuditEntry::default()
        };
        assert_eq!(row(&several)[3], "projects/p (3 of it)");
        assert_eq!(row(&AuditEntry::default())[1], "nobody known");
    }

    #[test]
    fn a_line_of_csv_has_each_field_exactly() {
        let entry = AuditEntry {
            time: Some(Timestamp {
                seconds: 1_614_600_000,
                nanos: 250_000_000,
            }),
            subject: "ada, \"the\" first".into(),
            verdict: AuditVerdict::Denied.into(),
            code: Code::NotFound as i32,
            latency: Some(convert::wire_duration(std::time::Duration::from_micros(
                1234,
            ))),
            ..AuditEntry::default()
        };
        assert_eq!(
            csv(&columns(&entry)),
            "2021-03-01T12:00:00.25Z,\"ada, \"\"the\"\" first\",,,,,0,denied,5,1.234,,\n"
        );
        assert_eq!(columns(&entry).len(), COLUMNS.len());
    }

    #[test]
    fn times_are_days_or_instants() {
        assert_eq!(moment("2026-11-21"), moment("2026-11-21T00:00:00Z"));
        assert!(moment("yesterday").unwrap_err().contains("expected a day"));
    }
}
