//! The command: `granary NOUN VERB`, one file a noun.

mod app;
mod asset;
mod completion;
mod context;
mod dataset;
mod download;
mod events;
mod job;
mod label;
mod pipeline;
mod project;
mod query;
mod run;
mod session;
mod snapshot;
mod token;
mod upload;
mod watch;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    config::Flags,
    failure::{Failure, Outcome},
    output::{Format, Out},
    serve,
};
use context::Context;

/// Granary keeps recordings and images safe, checks and prepares what is new, answers queries, and runs jobs on it.
///
/// Resources are named by their ids within the project (`recordings`, `recordings/20210229_161221`,
/// `recordings/20210229_161221/camera/1.jpg`) or in full (`projects/default/datasets/recordings`).
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "granary", version, max_term_width = 100)]
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
    /// What is logged to standard error: a level, or directives such as info,granary_transfer=debug
    #[arg(
        long,
        global = true,
        env = "GRANARY_LOG",
        value_name = "FILTER",
        help_heading = "Output"
    )]
    log: Option<String>,
    /// Logs more; twice, much more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the platform: all services in one process
    Serve(serve::Args),
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
    /// Tokens
    #[command(subcommand)]
    Token(token::Token),
    /// What happens
    #[command(subcommand)]
    Events(events::Events),
    Completion(completion::Completion),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
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
        Command::Serve(args) => return serve::run(args).await.map_err(Failure::from),
        Command::Completion(completion) => return completion.run(out, Cli::command()),
        other => other,
    };
    log(cli.log.as_deref(), cli.verbose)?;
    let context = Context::new(
        cli.connection.settle().map_err(Failure::usage)?,
        out.clone(),
    );
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
        Command::Token(token) => token.run(&context).await,
        Command::Events(events) => events.run(&context).await,
        Command::Serve(_) | Command::Completion(_) => Ok(()),
    }
}

fn log(filter: Option<&str>, verbose: u8) -> Outcome {
    let filter = match (filter, verbose) {
        (Some(filter), _) => filter,
        (None, 0) => "off",
        (None, 1) => "info",
        (None, _) => {
            "info,granary=debug,granary_transfer=debug,granary_runtime=debug,granary_worker=debug"
        }
    };
    granary_runtime::telemetry::init(filter, granary_runtime::telemetry::Format::Text)
        .map_err(|error| Failure::flag("--log", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_is() {
        fn walk(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no description");
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                assert!(
                    argument.get_help().is_some(),
                    "{path} {} has no description",
                    argument.get_id()
                );
            }
            for sub in command.get_subcommands() {
                walk(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        walk(&Cli::command(), "granary");
    }

    #[test]
    fn wrong_usage_exits_with_2_and_help_with_0() {
        let code = |args: &[&str]| Cli::try_parse_from(args).unwrap_err().exit_code();
        assert_eq!(code(&["granary", "--help"]), 0);
        assert_eq!(code(&["granary", "sessions"]), 2);
        assert_eq!(code(&["granary", "upload", "x"]), 2);
        assert_eq!(
            code(&[
                "granary",
                "job",
                "submit",
                "--app",
                "a",
                "--version",
                "v",
                "--entrypoint",
                "e",
                "--input",
                "x"
            ]),
            2
        );
    }

    #[test]
    fn a_token_in_the_environment_is_not_shown_in_help() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("GRANARY_TOKEN"), "{help}");
        let token = Cli::command()
            .get_arguments()
            .find(|a| a.get_id() == "token")
            .unwrap()
            .is_hide_env_values_set();
        assert!(token);
    }
}
