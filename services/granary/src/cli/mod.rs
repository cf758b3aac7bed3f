//! The command: `granary NOUN VERB`, one file a noun.

mod admin;
mod api_key;
mod app;
mod asset;
mod attempt;
mod audit;
mod completion;
mod context;
mod dataset;
mod download;
mod events;
mod ingress;
mod job;
mod label;
mod login;
mod member;
mod nothing;
mod parse;
mod pipeline;
mod project;
mod query;
mod quota;
mod run;
mod session;
mod snapshot;
#[cfg(test)]
mod tests;
mod token;
mod upload;
mod usage;
mod watch;
mod worker;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, builder::TypedValueParser as _};
use granary_runtime::{telemetry, trace::Life};

use crate::{
    client::in_project_of_key,
    config::Flags,
    failure::{Failure, Outcome},
    logging::{self, Usual},
    output::{Format, Out},
    retry::Retry,
    serve,
    settings::File,
    traced::{Component, Traced},
};
use context::Context;
use parse::{command, parse};

const SETTINGS: &str = "\
Flags win over environment variables, and those over the file of --config. The file is TOML, such as \
`endpoint = \"http://lab:7070\"`, with any of: endpoint, project, token, api_key_file, ca_file and the table login for commands that call \
a server; listen, s3_listen, s3_public_endpoint, database_url, object_store, job_slots, log_format, signing_key_file, clock_skew, audit_kept, trusted_hops, \
metrics_listen, roles, internal_listen, metadata_endpoint, storage_endpoint, drain_delay and tables oidc for `granary serve`; the table kubernetes for it to run jobs in a cluster; the table ingress for `granary ingress`; data_dir and log for both.

With OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:PORT (and other OTEL_ variables), traces go to that collector.";

/// Granary keeps recordings and images safe, checks and prepares what is new, answers queries, and runs jobs on it.
///
/// Resources are named by their ids within the project (`recordings`, `recordings/20210229_161221`,
/// `recordings/20210229_161221/camera/1.jpg`) or in full (`projects/default/datasets/recordings`).
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "granary", version, max_term_width = 100, after_help = SETTINGS)]
struct Cli {
    #[command(flatten)]
    connection: Flags,
    /// How results are printed: columns for people, or the protos' JSON form as one document (of commands that report as they go, one object
    /// a line)
    #[arg(
        long,
        short = 'o',
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    output: Format,
    #[command(flatten)]
    logging: logging::Verbosity,
    /// A file of settings [default: ~/.config/granary/config.toml, if it is there]
    #[arg(
        long,
        global = true,
        env = "GRANARY_CONFIG",
        value_name = "FILE",
        value_parser = clap::builder::OsStringValueParser::new().map(PathBuf::from),
        help_heading = "Settings"
    )]
    config: Option<PathBuf>,
    /// The command as its help names it, such as `granary job run`.
    #[arg(skip)]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the platform: all services in one process
    Serve(Box<serve::Args>),
    Upload(upload::Upload),
    Watch(watch::Watch),
    Download(download::Download),
    Query(query::Query),
    /// Collections of sessions
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    /// Folders that arrived together
    #[command(subcommand)]
    Session(session::Session),
    /// Files and what is known of them
    #[command(subcommand)]
    Asset(asset::Asset),
    /// Annotations of assets
    #[command(subcommand)]
    Label(label::Label),
    /// Frozen lists of assets and labels
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Checks and transforms of what arrives
    #[command(subcommand)]
    Pipeline(pipeline::Pipeline),
    /// Executions of pipelines
    #[command(subcommand)]
    Run(run::Run),
    /// The catalogue of what jobs can run
    #[command(subcommand)]
    App(app::App),
    /// Executions of entrypoints
    #[command(subcommand)]
    Job(job::Job),
    /// Machines that run jobs
    #[command(subcommand)]
    Worker(worker::Worker),
    /// Tenants
    #[command(subcommand)]
    Project(project::Project),
    /// Who may do what in a project
    #[command(subcommand)]
    Member(member::Member),
    /// Keys of a project for machines
    #[command(subcommand)]
    ApiKey(api_key::ApiKey),
    /// Who did what
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Tokens
    #[command(subcommand)]
    Token(token::Token),
    Login(login::Login),
    Logout(login::Logout),
    /// Envoy in front of the server
    #[command(subcommand)]
    Ingress(ingress::Ingress),
    /// What whoever runs the platform does
    #[command(subcommand)]
    Admin(admin::Admin),
    /// What happens
    #[command(subcommand)]
    Events(events::Events),
    Completion(completion::Completion),
    /// The containers of a job's pod in a cluster
    #[command(subcommand, hide = true)]
    Attempt(attempt::Attempt),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let out = Out::new(cli.output);
    match start(cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                out.say(&message);
            }
            ExitCode::from(failure.code())
        }
    }
}

fn start(cli: Cli, out: &Out) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| granary_core::Error::internal("starting", error))?;
    let result = runtime.block_on(dispatch(cli, out));
    runtime.shutdown_background();
    result
}

async fn dispatch(cli: Cli, out: &Out) -> Outcome {
    let command = match cli.command {
        Command::Completion(completion) => return completion.run(out, self::command()),
        other => other,
    };
    if out.format() == Format::Csv && !command.prints_csv() {
        let what = "csv is the output of `granary project usage` and `granary audit list` only: expected table, json or yaml";
        return Err(Failure::flag("--output", what));
    }
    let mut file = File::read(cli.config.as_deref()).map_err(Failure::usage)?;
    let filter = cli.logging.filter(command.usual(), file.log.take());
    if let Command::Serve(args) = command {
        let settings = args.settle(file).map_err(Failure::usage)?;
        let traced = Traced::start(
            &settings.component(),
            Life::Long,
            &filter,
            settings.log_format,
        )?;
        return traced.lasting(serve::run(settings)).await;
    }
    let traced = Traced::start(
        command.component(),
        command.life(),
        &filter,
        telemetry::Format::Text,
    )?;
    let (name, lasts) = (cli.name, command.lasts());
    let work = perform(command, cli.connection, file, out);
    match lasts {
        true => traced.lasting(work).await,
        false => traced.command(&name, work).await,
    }
}

/// Runs a command that is no server.
async fn perform(command: Command, connection: Flags, file: File, out: &Out) -> Outcome {
    let command = match command {
        Command::Ingress(ingress) => return ingress.run(file, out).await,
        Command::Admin(admin::Admin::Migrate(migrate)) => return migrate.run(file, out).await,
        Command::Admin(admin::Admin::Reindex(reindex)) => return reindex.run(file, out).await,
        Command::Attempt(attempt) => return attempt.run().await,
        other => other,
    };
    let config = connection.settle(file).map_err(Failure::usage)?;
    if let Command::Admin(admin::Admin::Health(health)) = command {
        return health.run(&config, out).await;
    }
    let config = match command.patience() {
        None => config,
        Some(patience) => in_project_of_key(config, &Retry::within(patience, out)).await?,
    };
    let context = Context::new(config, out.clone());
    match command {
        Command::Upload(upload) => upload.run(&context).await,
        Command::Watch(watch) => watch.run(&context).await,
        Command::Download(download) => download.run(&context).await,
        Command::Query(query) => query.run(&context).await,
        Command::Dataset(dataset) => dataset.run(&context).await,
        Command::Session(session) => session.run(&context).await,
        Command::Asset(asset) => asset.run(&context).await,
        Command::Label(label) => label.run(&context).await,
        Command::Snapshot(snapshot) => snapshot.run(&context).await,
        Command::Pipeline(pipeline) => pipeline.run(&context).await,
        Command::Run(run) => run.run(&context).await,
        Command::App(app) => app.run(&context).await,
        Command::Job(job) => job.run(&context).await,
        Command::Worker(worker) => worker.run(&context).await,
        Command::Project(project) => project.run(&context).await,
        Command::Member(member) => member.run(&context).await,
        Command::ApiKey(key) => key.run(&context).await,
        Command::Audit(audit) => audit.run(&context).await,
        Command::Token(token) => token.run(&context).await,
        Command::Login(login) => login.run(&context).await,
        Command::Logout(logout) => logout.run(&context).await,
        Command::Events(events) => events.run(&context).await,
        Command::Serve(_)
        | Command::Ingress(_)
        | Command::Completion(_)
        | Command::Admin(_)
        | Command::Attempt(_) => Ok(()),
    }
}

impl Command {
    fn prints_csv(&self) -> bool {
        matches!(
            self,
            Self::Project(project::Project::Usage(_)) | Self::Audit(_)
        )
    }

    /// How long to try to find out in which project it works; nothing for those that work in none.
    fn patience(&self) -> Option<Duration> {
        match self {
            Self::Login(_) | Self::Logout(_) | Self::Admin(_) => None,
            Self::Watch(watch) if watch.waits() => Some(Duration::MAX),
            _ => Some(Duration::ZERO),
        }
    }

    /// As which part of the platform it exports its traces.
    fn component(&self) -> Component {
        match self {
            Self::Worker(worker::Worker::Run(_))
            | Self::Attempt(attempt::Attempt::Prepare | attempt::Attempt::Attend) => {
                Component::Worker
            }
            // What runs in a job's image has that image's variables, which are not for this program; and whether a server is well is asked all
            // the time.
            Self::Attempt(attempt::Attempt::Exec(_)) | Self::Admin(admin::Admin::Health(_)) => {
                Component::None
            }
            _ => Component::Command,
        }
    }

    /// How long it may go on, for what it exports: a container beside a job's program as long as that.
    fn life(&self) -> Life {
        match self.lasts() || matches!(self, Self::Attempt(_)) {
            true => Life::Long,
            false => Life::Short,
        }
    }

    /// Whether it runs until it is stopped: then each thing that it does is a trace, not all of them together.
    fn lasts(&self) -> bool {
        matches!(self, Self::Watch(_) | Self::Worker(worker::Worker::Run(_)))
    }

    fn usual(&self) -> Usual {
        match self {
            Self::Serve(_)
            | Self::Watch(_)
            | Self::Worker(worker::Worker::Run(_))
            | Self::Attempt(attempt::Attempt::Prepare | attempt::Attempt::Attend) => Usual::Lasting,
            _ => Usual::Brief,
        }
    }
}
