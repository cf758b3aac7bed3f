//! `granary job`: executions of entrypoints.

mod follow;
mod submit;
mod table;

use granary_core::units::Span;
use granary_proto::job::v1::{CancelJobRequest, GetJobRequest, JobState, ListJobsRequest};

use super::{
    context::{Context, Limit},
    session::limited,
};
use crate::{
    client::call,
    failure::{Failure, Outcome},
    names,
    output::Listing,
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Job {
    Submit(Box<submit::Submit>),
    /// Lists jobs, the newest first
    List {
        /// Only jobs in this state
        #[arg(long, value_enum, value_name = "STATE")]
        state: Option<StateFlag>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows a job
    Get {
        /// JOB or its full name
        job: String,
    },
    /// Prints what a job wrote to standard output and error
    Logs {
        /// JOB or its full name
        job: String,
        /// Goes on until the job has ended
        #[arg(long, short = 'f')]
        follow: bool,
        /// Of this attempt [default: the newest]
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        attempt: i32,
    },
    /// Cancels a job
    Cancel {
        /// JOB or its full name
        job: String,
    },
    /// Waits until a job has ended; exits with 1 if it did not succeed
    Wait {
        /// JOB or its full name
        job: String,
        /// Gives up after this long, such as 10m; the job goes on
        #[arg(long, value_name = "DURATION")]
        timeout: Option<Span>,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum StateFlag {
    /// Waits for a worker
    Queued,
    /// A worker took it
    Assigned,
    /// Its inputs are fetched
    Preparing,
    /// The program runs
    Running,
    /// Its outputs are sent
    Finishing,
    /// It ended well
    Succeeded,
    /// It ended otherwise
    Failed,
    /// Somebody cancelled it
    Cancelled,
}

impl From<StateFlag> for JobState {
    fn from(flag: StateFlag) -> Self {
        match flag {
            StateFlag::Queued => Self::Queued,
            StateFlag::Assigned => Self::Assigned,
            StateFlag::Preparing => Self::Preparing,
            StateFlag::Running => Self::Running,
            StateFlag::Finishing => Self::Finishing,
            StateFlag::Succeeded => Self::Succeeded,
            StateFlag::Failed => Self::Failed,
            StateFlag::Cancelled => Self::Cancelled,
        }
    }
}

impl Job {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let named = |job: &str| {
            names::job(context.project(), job)
                .map(|name| name.to_string())
                .map_err(Failure::usage)
        };
        match self {
            Self::Submit(submit) => submit.run(context).await,
            Self::List { state, limit } => {
                list(
                    context,
                    state.map_or(JobState::Unspecified, Into::into),
                    limit,
                )
                .await
            }
            Self::Get { job } => {
                let name = named(&job)?;
                let client = context.client().await?;
                context.out.item(
                    &call!(client.jobs().get_job(GetJobRequest { name }))?,
                    table::details,
                )
            }
            Self::Logs {
                job,
                follow,
                attempt,
            } => {
                let name = named(&job)?;
                let client = context.patient_client().await?;
                follow::logs(&client, &context.out, &name, attempt, follow).await
            }
            Self::Cancel { job } => {
                let name = named(&job)?;
                let client = context.client().await?;
                let job = call!(client.jobs().cancel_job(CancelJobRequest { name }))?;
                if context.out.is_table() {
                    return context.out.line(&table::cancelled(&job));
                }
                context.out.item(&job, table::details)
            }
            Self::Wait { job, timeout } => {
                let name = named(&job)?;
                let client = context.patient_client().await?;
                let timeout = timeout.map(|Span(timeout)| timeout);
                let job =
                    limited(timeout, &name, follow::ended(&client, &context.out, &name)).await?;
                follow::print_end(context, &job)
            }
        }
    }
}

async fn list(context: &Context, state: JobState, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let parent = client.project().to_string();
    let mut listing = Listing::new(&context.out, "jobs", table::HEADERS);
    let get = async |page_size, page_token| {
        let request = ListJobsRequest {
            parent: parent.clone(),
            page_size,
            page_token,
            state: state.into(),
        };
        let response = call!(client.jobs().list_jobs(request))?;
        Ok::<_, Failure>((response.jobs, response.next_page_token))
    };
    page::each(limit.limit, get, |jobs| listing.page(&jobs, table::row)).await?;
    listing.finish()
}
