//! `granary project usage`: what a project used by day, for people and for bills.

use granary_proto::identity::v1::{DailyUsage, ListDailyUsageRequest, ListDailyUsageResponse};

use super::context::Context;
use crate::{
    client::call,
    failure::{Failure, Outcome},
    human, names,
    output::{Format, Table},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    /// PROJECT or its full name; the current one if not given
    project: Option<String>,
    /// The first day, such as 2026-11-01 [default: 30 days before the last one]
    #[arg(
        long,
        value_name = "DAY",
        default_value = "",
        hide_default_value = true
    )]
    from: String,
    /// The last day [default: today, in UTC]
    #[arg(
        long,
        value_name = "DAY",
        default_value = "",
        hide_default_value = true
    )]
    to: String,
}

const HEADERS: [&str; 7] = [
    "DAY (UTC)",
    "BYTES HELD",
    "ASSETS HELD",
    "BYTES ADDED",
    "ASSETS ADDED",
    "REQUESTS",
    "JOB SECONDS",
];

impl Usage {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let project = match &self.project {
            Some(project) => names::project(project).map_err(Failure::usage)?,
            None => context.project().clone(),
        };
        let client = context.client().await?;
        let request = ListDailyUsageRequest {
            parent: project.to_string(),
            start_date: self.from,
            end_date: self.to,
        };
        let usage = call!(client.usage().list_daily_usage(request))?;
        match context.out.format() {
            Format::Table if usage.days.is_empty() => {
                context.out.note("no usage");
                Ok(())
            }
            Format::Csv => context.out.print(&csv(&project.project, &usage)),
            _ => context.out.item(&usage, table),
        }
    }
}

fn table(usage: &ListDailyUsageResponse) -> Table {
    let mut table = Table::new(HEADERS);
    let mut total = DailyUsage {
        date: "TOTAL".into(),
        ..DailyUsage::default()
    };
    for day in &usage.days {
        table.row(row(day));
        (total.held_bytes, total.held_objects) = (day.held_bytes, day.held_objects);
        total.added_bytes += day.added_bytes;
        total.added_objects += day.added_objects;
        total.requests += day.requests;
        total.job_seconds += day.job_seconds;
    }
    table.row(row(&total));
    table
}

fn row(day: &DailyUsage) -> [String; 7] {
    // What is declared anew may have become smaller.
    let added = match day.added_bytes {
        less if less < 0 => format!("-{}", human::bytes(-less)),
        more => human::bytes(more),
    };
    [
        day.date.clone(),
        human::bytes(day.held_bytes),
        day.held_objects.to_string(),
        added,
        day.added_objects.to_string(),
        day.requests.to_string(),
        day.job_seconds.to_string(),
    ]
}

/// Exact numbers, a line a day, and the project in each, so that the lines of many projects go into one file.
fn csv(project: &str, usage: &ListDailyUsageResponse) -> String {
    let mut text = String::from(
        "project,date,held_bytes,held_objects,added_bytes,added_objects,requests,job_seconds\n",
    );
    for day in &usage.days {
        text.push_str(&format!(
            "{project},{},{},{},{},{},{},{}\n",
            day.date,
            day.held_bytes,
            day.held_objects,
            day.added_bytes,
            day.added_objects,
            day.requests,
            day.job_seconds
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> ListDailyUsageResponse {
        let day = |date: &str, held_bytes, added_bytes, requests, job_seconds| DailyUsage {
            date: date.into(),
            held_bytes,
            held_objects: 1,
            added_bytes,
            added_objects: 1,
            requests,
            job_seconds,
        };
        ListDailyUsageResponse {
            days: vec![
                day("2026-11-20", 1500, 1500, 3, 0),
                day("2026-11-21", 1400, -100, 4, 61),
            ],
        }
    }

    #[test]
    fn a_table_says_what_it_counts_and_ends_with_totals() {
        let text = table(&usage()).render();
        assert!(text.starts_with("DAY (UTC)   BYTES HELD"), "{text}");
        let lines: Vec<_> = text.lines().collect();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[1]), "2026-11-20 1.5 kB 1 1.5 kB 1 3 0");
        assert_eq!(words(lines[2]), "2026-11-21 1.4 kB 1 -100 B 1 4 61");
        assert_eq!(words(lines[3]), "TOTAL 1.4 kB 1 1.4 kB 2 7 61");
    }

    #[test]
    fn csv_has_exact_numbers_and_no_totals() {
        assert_eq!(
            csv("p", &usage()),
            "project,date,held_bytes,held_objects,added_bytes,added_objects,requests,job_seconds\n\
             p,2026-11-20,1500,1,1500,1,3,0\n\
             p,2026-11-21,1400,1,-100,1,4,61\n"
        );
    }
}
