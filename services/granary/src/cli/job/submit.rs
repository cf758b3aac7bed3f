//! `granary job submit`.

use granary_core::{
    name::EntrypointName,
    units::{Size, Span},
};
use granary_proto::{
    convert::wire_duration,
    job::v1::{CreateJobRequest, Entrypoint, GetEntrypointRequest, Job, Resources},
};

use super::{Context, follow, table};
use crate::{
    client::{call, request_id},
    failure::{Failure, Outcome},
    refs::{self, Pair},
};

/// Runs an entrypoint on inputs
///
/// What the inputs name is pinned now: what changes later does not change the job.
///
/// For example: granary job submit --app summary --version v1 --entrypoint train --input data_ids=snapshot:recordings/train --param level=2 --wait
#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    /// The application
    #[arg(long, value_name = "APPLICATION")]
    app: String,
    /// Its version
    #[arg(long = "version", id = "app_version", value_name = "VERSION")]
    app_version: String,
    /// What to run
    #[arg(long, value_name = "ENTRYPOINT")]
    entrypoint: String,
    /// What to run it on: a key of the entrypoint's files_down, and snapshot:D/S, session:D/S, dataset:D, asset:D/A, job:J or a full name, or
    /// nothing (`KEY=`) for an empty folder; each key is needed, and may come several times
    #[arg(long = "input", value_name = "MAPPING=REF")]
    inputs: Vec<Pair>,
    /// A parameter of the entrypoint; may come several times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<Pair>,
    /// An environment variable that the entrypoint allows; may come several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    env: Vec<Pair>,
    /// 0 to 5; the highest goes first
    #[arg(long, value_name = "N", default_value_t = 0)]
    priority: i32,
    /// How much memory it may use, such as 512MiB [default: the entrypoint's]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// How many processors it may use [default: the entrypoint's]
    #[arg(long, value_name = "N")]
    cpus: Option<f64>,
    /// How many graphics processors it may use [default: the entrypoint's]
    #[arg(long, value_name = "N")]
    gpus: Option<i32>,
    /// How long one attempt may run, such as 10m [default: the entrypoint's]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// In a cluster: the profile of nodes that it runs on [default: the entrypoint's]
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "",
        hide_default_value = true
    )]
    profile: String,
    /// The job's id; made by the server if not given
    #[arg(
        long,
        value_name = "JOB",
        default_value = "",
        hide_default_value = true
    )]
    job_id: String,
    /// Waits until it has ended; exits with 1 if it did not succeed
    #[arg(long)]
    wait: bool,
    /// Prints what it writes while it runs, and waits like --wait
    #[arg(long, short = 'f')]
    follow: bool,
}

impl Submit {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let name = EntrypointName::new(&self.app, &self.app_version, &self.entrypoint)
            .map_err(Failure::usage)?;
        let inputs = refs::inputs(context.project(), &self.inputs).map_err(Failure::usage)?;
        let env = refs::texts("--env", &self.env).map_err(Failure::usage)?;
        let client = context.patient_client().await?;
        let entrypoint: Entrypoint =
            call!(client.applications().get_entrypoint(GetEntrypointRequest {
                name: name.to_string()
            }))?;
        let parameters = refs::parameters(&entrypoint, &self.params).map_err(Failure::usage)?;
        let resources = self.resources();
        let job = Job {
            entrypoint: name.to_string(),
            inputs,
            parameters,
            env,
            priority: self.priority,
            resources,
            profile: self.profile,
            ..Job::default()
        };
        let parent = context.project().to_string();
        let request = CreateJobRequest {
            parent,
            job: Some(job),
            job_id: self.job_id,
            request_id: request_id(),
        };
        let job = call!(client.jobs().create_job(request))?;
        if self.follow {
            context
                .out
                .note(&format!("{} submitted", crate::human::short(&job.name)));
            follow::logs(&client, &context.out.clone(), &job.name, 0, true).await?;
        }
        if self.wait || self.follow {
            let ended = follow::ended(&client, &context.out, &job.name).await?;
            return follow::print_end(context, &ended);
        }
        if context.out.is_table() {
            return context.out.line(&crate::human::short(&job.name));
        }
        context.out.item(&job, table::details)
    }

    fn resources(&self) -> Option<Resources> {
        let given = self.memory.is_some()
            || self.cpus.is_some()
            || self.gpus.is_some()
            || self.timeout.is_some();
        given.then(|| Resources {
            memory_bytes: self
                .memory
                .map(|Size(bytes)| i64::try_from(bytes).unwrap_or(i64::MAX))
                .unwrap_or_default(),
            cpus: self.cpus.unwrap_or_default(),
            gpus: self.gpus.unwrap_or_default(),
            timeout: self.timeout.map(|Span(timeout)| wire_duration(timeout)),
        })
    }
}
