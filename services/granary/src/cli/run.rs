//! `granary run`: executions of pipelines.

use granary_core::{Result, name::RunName};
use granary_proto::pipeline::v1::{
    GetRunRequest, ListRunsRequest, ListStepResultsRequest, Run as Message, RunState, StepOutcome,
    StepResult, WatchRunRequest,
};

use super::context::{Context, Limit};
use crate::{
    client::{Client, call},
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Out, Progress, Table},
    page,
    retry::Away,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Run {
    /// Lists runs, the newest first
    List {
        /// Only of this pipeline
        #[arg(long, value_name = "PIPELINE")]
        pipeline: Option<String>,
        /// Only on this session
        #[arg(long, value_name = "DATASET/SESSION")]
        session: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows a run
    Get {
        /// PIPELINE/RUN or its full name
        run: String,
    },
    /// Follows a run until it ends; exits with 1 if it failed
    Watch {
        /// PIPELINE/RUN or its full name
        run: String,
    },
    /// Lists what the steps of a run found, by asset
    Results {
        /// PIPELINE/RUN or its full name
        run: String,
        /// Only results with this outcome
        #[arg(long, value_enum, value_name = "OUTCOME")]
        outcome: Option<OutcomeFlag>,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum OutcomeFlag {
    /// It passed, or made its result
    Passed,
    /// It found something wrong
    Failed,
    /// It did not run
    Skipped,
}

impl Run {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List {
                pipeline,
                session,
                limit,
            } => list(context, pipeline.as_deref(), session.as_deref(), limit).await,
            Self::Get { run } => {
                let name = names::run(context.project(), &run)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                context.out.item(
                    &call!(client.runs().get_run(GetRunRequest { name }))?,
                    details,
                )
            }
            Self::Watch { run } => {
                let name = names::run(context.project(), &run).map_err(Failure::usage)?;
                let client = context.patient_client().await?;
                let run = watch(&client, &name, &context.out).await?;
                context.out.item(&run, details)?;
                if run.state() == RunState::Failed {
                    Err(Failure::reported())
                } else {
                    Ok(())
                }
            }
            Self::Results {
                run,
                outcome,
                limit,
            } => {
                let name = names::run(context.project(), &run).map_err(Failure::usage)?;
                results(context, &name, outcome, limit).await
            }
        }
    }
}

async fn watch(client: &Client, name: &RunName, out: &Out) -> Outcome<Message> {
    let progress = out.count_bar(&format!("{}/{}", name.pipeline, name.run), 0);
    let request = WatchRunRequest {
        name: name.to_string(),
    };
    client
        .retry()
        .follow(async |away| Ok(until_end(client, &request, &progress, away).await))
        .await
}

async fn until_end(
    client: &Client,
    request: &WatchRunRequest,
    progress: &Progress,
    away: &mut Away,
) -> Result<Option<Message>> {
    let mut stream = client.answer(client.runs().watch_run(request.clone()).await)?;
    while let Some(run) = client.next(&mut stream).await? {
        *away = Away::default();
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        progress.set(number(run.done_count), number(run.asset_count));
        progress.message(state(&run).to_lowercase());
        if matches!(run.state(), RunState::Succeeded | RunState::Failed) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

async fn list(
    context: &Context,
    pipeline: Option<&str>,
    session: Option<&str>,
    limit: Limit,
) -> Outcome {
    let parent = match pipeline {
        Some(pipeline) => names::pipeline(context.project(), pipeline)
            .map_err(Failure::usage)?
            .to_string(),
        None => format!("{}/pipelines/-", context.project()),
    };
    let session = session
        .map(|session| names::session(context.project(), session))
        .transpose()
        .map_err(Failure::usage)?;
    let session = session.map(|name| name.to_string()).unwrap_or_default();
    let client = context.client().await?;
    let headers = [
        "RUN", "STATE", "SESSION", "DONE", "REJECTED", "CACHED", "CREATED", "TOOK",
    ];
    let mut listing = Listing::new(&context.out, "runs", headers);
    let get = async |page_size, page_token| {
        let request = ListRunsRequest {
            parent: parent.clone(),
            page_size,
            page_token,
            session: session.clone(),
        };
        let response = call!(client.runs().list_runs(request))?;
        Ok::<_, Failure>((response.runs, response.next_page_token))
    };
    page::each(limit.limit, get, |runs| listing.page(&runs, row)).await?;
    listing.finish()
}

fn row(run: &Message) -> [String; 8] {
    [
        human::short(&run.name),
        state(run).to_owned(),
        human::short(&run.session),
        format!("{}/{}", run.done_count, run.asset_count),
        run.rejected_count.to_string(),
        run.cached_count.to_string(),
        human::time(run.create_time.as_ref()),
        human::between(run.start_time.as_ref(), run.finish_time.as_ref()),
    ]
}

async fn results(
    context: &Context,
    name: &RunName,
    outcome: Option<OutcomeFlag>,
    limit: Limit,
) -> Outcome {
    let outcome = match outcome {
        None => StepOutcome::Unspecified,
        Some(OutcomeFlag::Passed) => StepOutcome::Passed,
        Some(OutcomeFlag::Failed) => StepOutcome::Failed,
        Some(OutcomeFlag::Skipped) => StepOutcome::Skipped,
    };
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "results",
        ["PATH", "STEP", "OUTCOME", "CACHED", "ERRORS", "OUTPUT"],
    );
    let get = async |page_size, page_token| {
        let request = ListStepResultsRequest {
            parent: name.to_string(),
            page_size,
            page_token,
            outcome: outcome.into(),
        };
        let response = call!(client.runs().list_step_results(request))?;
        Ok::<_, Failure>((response.results, response.next_page_token))
    };
    page::each(limit.limit, get, |results| {
        listing.page(&results, result_row)
    })
    .await?;
    listing.finish()
}

fn result_row(result: &StepResult) -> [String; 6] {
    let outcome = human::state(result.outcome().as_str_name(), "STEP_OUTCOME").to_owned();
    let cached = if result.cached { "yes" } else { "" };
    let output = if result.output.is_empty() {
        String::new()
    } else {
        human::short(&result.output)
    };
    [
        result.path.clone(),
        result.step.clone(),
        outcome,
        cached.to_owned(),
        result.errors.join("; "),
        output,
    ]
}

fn state(run: &Message) -> &'static str {
    human::state(run.state().as_str_name(), "RUN_STATE")
}

fn details(run: &Message) -> Table {
    Table::fields()
        .field("Name", &run.name)
        .field("Version", run.version.to_string())
        .field("Session", &run.session)
        .field("State", state(run))
        .field(
            "Assets",
            format!(
                "{} of {} done, {} rejected",
                run.done_count, run.asset_count, run.rejected_count
            ),
        )
        .field(
            "Step results",
            format!(
                "{} worked out, {} from the cache",
                run.worked_count, run.cached_count
            ),
        )
        .field("Error", &run.error)
        .field("Created", human::time(run.create_time.as_ref()))
        .field(
            "Took",
            human::between(run.start_time.as_ref(), run.finish_time.as_ref()),
        )
}
