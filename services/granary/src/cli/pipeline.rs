//! `granary pipeline`: checks and transforms of what arrives.

use std::path::{Path, PathBuf};

use granary_proto::{
    json::to_json,
    pipeline::v1::{
        ApplyPipelineRequest, GetPipelineRequest, ListPipelinesRequest, Pipeline as Message,
        PipelineChange, PipelineDefinition, PlanPipelineRequest, PlanPipelineResponse,
    },
};

use super::context::{Context, Limit};
use crate::{
    client::call,
    failure::{Failure, Outcome},
    human, names,
    output::{self, Listing, Table},
    page, yaml,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Pipeline {
    /// Lists pipelines
    List(Limit),
    /// Shows a pipeline and its definition
    Get {
        /// PIPELINE or its full name
        pipeline: String,
    },
    /// Says what applying a definition would change and do, and changes nothing
    ///
    /// The newest session that matches is the example; no step runs on it, since a pipeline works on sessions that complete once it is applied.
    Plan {
        /// YAML of one or several definitions; - reads standard input
        #[arg(long, short = 'f', value_name = "FILE")]
        file: PathBuf,
    },
    /// Creates pipelines, or new versions of them, for sessions that complete from now on
    Apply {
        /// YAML of one or several definitions; - reads standard input
        #[arg(long, short = 'f', value_name = "FILE")]
        file: PathBuf,
    },
}

impl Pipeline {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(limit) => list(context, limit).await,
            Self::Get { pipeline } => {
                let name = names::pipeline(context.project(), &pipeline)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                let pipeline = call!(client.pipelines().get_pipeline(GetPipelineRequest { name }))?;
                if !context.out.is_table() {
                    return context.out.document(&to_json(&pipeline)?);
                }
                context.out.print(&details(&pipeline)?)
            }
            Self::Plan { file } => plan(context, &file).await,
            Self::Apply { file } => apply(context, &file).await,
        }
    }
}

const FROM_NOW_ON: &str = "pipelines work on sessions that complete after they are applied; earlier ones stay as they are";

struct Definition {
    place: String,
    definition: PipelineDefinition,
}

fn definitions(file: &Path) -> Outcome<Vec<Definition>> {
    yaml::documents(file)?
        .into_iter()
        .map(|document| {
            let place = document.place;
            let definition =
                yaml::message(document.json).map_err(|error| Failure::at(&place, error))?;
            Ok(Definition { place, definition })
        })
        .collect()
}

async fn apply(context: &Context, file: &Path) -> Outcome {
    let definitions = definitions(file)?;
    let client = context.client().await?;
    let mut changed = false;
    for Definition { place, definition } in definitions {
        let request = ApplyPipelineRequest {
            parent: client.project().to_string(),
            definition: Some(definition),
        };
        let response = call!(client.pipelines().apply_pipeline(request))
            .map_err(|error| Failure::at(&place, as_written(error)))?;
        let pipeline = response.pipeline.clone().unwrap_or_default();
        let line = || {
            format!(
                "{} version {} {}",
                human::short(&pipeline.name),
                pipeline.version,
                change(response.change())
            )
        };
        context.out.record(|| to_json(&response), line)?;
        changed |= response.change() != PipelineChange::Unchanged;
    }
    if changed && context.out.is_table() {
        context.out.note(FROM_NOW_ON);
    }
    Ok(())
}

async fn plan(context: &Context, file: &Path) -> Outcome {
    let definitions = definitions(file)?;
    let client = context.client().await?;
    for Definition { place, definition } in definitions {
        let name = definition.name.clone();
        let request = PlanPipelineRequest {
            parent: client.project().to_string(),
            definition: Some(definition),
        };
        let response = call!(client.pipelines().plan_pipeline(request))
            .map_err(|error| Failure::at(&place, as_written(error)))?;
        match context.out.is_table() {
            true => context.out.print(&planned(&name, &response))?,
            false => context.out.record(|| to_json(&response), String::new)?,
        }
    }
    if context.out.is_table() {
        context.out.note(FROM_NOW_ON);
    }
    Ok(())
}

// The server names fields of the request; in the file there is only the definition.
fn as_written(error: granary_core::Error) -> granary_core::Error {
    let granary_core::Error::Invalid(mut violations) = error else {
        return error;
    };
    for violation in &mut violations {
        if let Some(rest) = violation.field.strip_prefix("definition.") {
            violation.field = rest.to_owned();
        }
    }
    granary_core::Error::Invalid(violations)
}

fn planned(name: &str, plan: &PlanPipelineResponse) -> String {
    let would = match plan.change() {
        PipelineChange::Created => "would be created",
        PipelineChange::Updated => "would be updated",
        _ => "would stay as it is",
    };
    let session = match plan.session.as_str() {
        "" => "no completed session matches yet".to_owned(),
        session => format!(
            "it would do this for a session like the newest that matches, {}:",
            human::short(session)
        ),
    };
    let mut table = Table::new(["STEP", "RUN", "CACHED", "SKIPPED", "WHY"]);
    for step in &plan.steps {
        let (run, cached, skipped) = (
            step.run_count.to_string(),
            step.cached_count.to_string(),
            step.skipped_count.to_string(),
        );
        table.row([step.step.clone(), run, cached, skipped, step.reason.clone()]);
    }
    format!(
        "{} {would}; {session}\n{}",
        human::shown(name),
        table.render()
    )
}

async fn list(context: &Context, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let parent = client.project().to_string();
    let mut listing = Listing::new(
        &context.out,
        "pipelines",
        ["PIPELINE", "VERSION", "DATASET", "STEPS", "UPDATED"],
    );
    let get = async |page_size, page_token| {
        let response = call!(client.pipelines().list_pipelines(ListPipelinesRequest {
            parent: parent.clone(),
            page_size,
            page_token
        }))?;
        Ok::<_, Failure>((response.pipelines, response.next_page_token))
    };
    page::each(limit.limit, get, |pipelines| {
        listing.page(&pipelines, |pipeline| {
            let definition = pipeline.definition.clone().unwrap_or_default();
            let dataset = definition.on.unwrap_or_default().dataset;
            let updated = human::time(pipeline.update_time.as_ref());
            [
                human::short(&pipeline.name),
                pipeline.version.to_string(),
                dataset,
                definition.steps.len().to_string(),
                updated,
            ]
        })
    })
    .await?;
    listing.finish()
}

fn details(pipeline: &Message) -> granary_core::Result<String> {
    let table = Table::fields()
        .field("Name", &pipeline.name)
        .field("Version", pipeline.version.to_string())
        .field("Created", human::time(pipeline.create_time.as_ref()))
        .field("Updated", human::time(pipeline.update_time.as_ref()));
    let definition = to_json(&pipeline.definition.clone().unwrap_or_default())?;
    Ok(format!("{}\n{}", table.render(), output::yaml(&definition)))
}

fn change(change: PipelineChange) -> &'static str {
    match change {
        PipelineChange::Created => "created",
        PipelineChange::Updated => "updated",
        PipelineChange::Unchanged | PipelineChange::Unspecified => "unchanged",
    }
}
