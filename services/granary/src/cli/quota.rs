//! `granary project quota`: how much a project may hold, call and run.

use granary_core::{name::ProjectName, units::Size};
use granary_proto::identity::v1::{GetQuotaRequest, Quota as Message, UpdateQuotaRequest};
use prost_types::FieldMask;

use super::context::Context;
use crate::{
    client::call,
    failure::{Failure, Outcome},
    human, names,
    output::Table,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Quota {
    /// Shows the limits of a project, and what it has of them
    Get {
        /// PROJECT or its full name; the current one if not given
        project: Option<String>,
    },
    /// Changes limits of a project; what is not given stays. Platform administrators only
    Set(Set),
}

/// At least one limit, or clap says so.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Set {
    /// PROJECT or its full name; the current one if not given
    project: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, Clone, Default, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Limits {
    /// Bytes of all assets, such as 500GB; 0 is no limit
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<Size>,
    /// Assets; 0 is no limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_objects: Option<i64>,
    /// Calls a day (UTC); 0 is no limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_daily_requests: Option<i64>,
    /// Seconds that jobs run a day (UTC), all together; what runs goes on to its end; 0 is no limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_daily_job_seconds: Option<i64>,
    /// Jobs that run at the same time; 0 is no limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_concurrent_jobs: Option<i64>,
}

impl Quota {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let named = |project: Option<&str>| match project {
            Some(project) => names::project(project).map_err(Failure::usage),
            None => Ok(context.project().clone()),
        };
        match self {
            Self::Get { project } => {
                let name = name(&named(project.as_deref())?);
                let client = context.client().await?;
                let quota = call!(client.usage().get_quota(GetQuotaRequest { name }))?;
                context.out.item(&quota, details)
            }
            Self::Set(set) => {
                let request = set.limits.request(&named(set.project.as_deref())?);
                let client = context.client().await?;
                let quota = call!(client.usage().update_quota(request))?;
                context.out.item(&quota, details)
            }
        }
    }
}

fn name(project: &ProjectName) -> String {
    format!("{project}/quota")
}

impl Limits {
    fn request(&self, project: &ProjectName) -> UpdateQuotaRequest {
        let bytes = self
            .max_bytes
            .map(|Size(bytes)| i64::try_from(bytes).unwrap_or(i64::MAX));
        let given = [
            ("max_bytes", bytes),
            ("max_objects", self.max_objects),
            ("max_daily_requests", self.max_daily_requests),
            ("max_daily_job_seconds", self.max_daily_job_seconds),
            ("max_concurrent_jobs", self.max_concurrent_jobs),
        ];
        let paths = given.iter().filter(|(_, limit)| limit.is_some());
        UpdateQuotaRequest {
            update_mask: Some(FieldMask {
                paths: paths.map(|(path, _)| (*path).to_owned()).collect(),
            }),
            quota: Some(Message {
                name: name(project),
                max_bytes: bytes.unwrap_or_default(),
                max_objects: self.max_objects.unwrap_or_default(),
                max_daily_requests: self.max_daily_requests.unwrap_or_default(),
                max_daily_job_seconds: self.max_daily_job_seconds.unwrap_or_default(),
                max_concurrent_jobs: self.max_concurrent_jobs.unwrap_or_default(),
                ..Message::default()
            }),
        }
    }
}

fn details(quota: &Message) -> Table {
    let of = |used: String, limit: i64, shown: String| match limit {
        0 => format!("{used}, no limit"),
        _ => format!("{used} of {shown}"),
    };
    let count = |used: i64, limit: i64| of(used.to_string(), limit, limit.to_string());
    let concurrent = match quota.max_concurrent_jobs {
        0 => "no limit".to_owned(),
        limit => format!("at most {limit}"),
    };
    let bytes = of(
        human::bytes(quota.used_bytes),
        quota.max_bytes,
        human::bytes(quota.max_bytes),
    );
    Table::fields()
        .field("Name", &quota.name)
        .field("Bytes", bytes)
        .field("Assets", count(quota.used_objects, quota.max_objects))
        .field(
            "Calls today",
            count(quota.used_daily_requests, quota.max_daily_requests),
        )
        .field(
            "Job seconds today",
            count(quota.used_daily_job_seconds, quota.max_daily_job_seconds),
        )
        .field("Jobs at the same time", concurrent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_that_are_given_are_changed() {
        let limits = Limits {
            max_objects: Some(0),
            max_concurrent_jobs: Some(3),
            ..Limits::default()
        };
        let request = limits.request(&ProjectName::new("p").unwrap());
        let mask = request.update_mask.unwrap();
        assert_eq!(mask.paths, ["max_objects", "max_concurrent_jobs"]);
        assert_eq!(request.quota.unwrap().max_concurrent_jobs, 3);
    }

    #[test]
    fn limits_stand_beside_what_is_used() {
        let text = details(&Message {
            name: "projects/p/quota".into(),
            max_bytes: 2000,
            used_bytes: 1500,
            used_objects: 7,
            max_concurrent_jobs: 3,
            ..Message::default()
        })
        .render();
        for line in ["1.5 kB of 2.0 kB", "7, no limit", "at most 3"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
