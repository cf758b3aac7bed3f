//! `granary admin`: what whoever runs the platform does.

use std::time::Duration;

use clap::builder::{Resettable, Str};
use granary_core::{Error, Result, name::ProjectName, units::Span};
use granary_metadata::restore::Mode;
use granary_runtime::{db::DatabaseUrl, secret::Secret};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    client,
    config::Config,
    failure::{Failure, Outcome},
    output::Out,
    reindex::{self, Order},
    retry::Retry,
    serve::{Offline, Stores},
    settings::{File, secret},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Admin {
    Migrate(Migrate),
    Reindex(Box<Reindex>),
    Health(Health),
}

/// Brings the schemas of all services up to date; safe to repeat
///
/// Waits for the database. Whoever starts at the same time waits for whoever came first. A schema to which a newer version did more than add is left alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    /// sqlite:DIR or postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "GRANARY_DATABASE_URL", value_name = "URL", value_parser = secret, hide_env_values = true)]
    database_url: Option<Secret>,
    /// How long to wait for the database
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    wait: Span,
}

/// Makes the index of sessions anew from the buckets alone; safe to repeat and to interrupt
///
/// For a database that was lost, or that an older dump was restored to: run it before any service starts. What the database knows stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Reindex {
    #[command(flatten)]
    stores: Stores,
    /// Only says what would be made; changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Takes sessions from their manifests that the database knows at an earlier moment of their lives, as after an older dump was restored
    #[arg(long)]
    take_newer: bool,
    /// Only this one, if it was named on the command line: what is usual for other commands does not count here
    #[arg(skip)]
    pub(super) project: Option<String>,
}

/// Asks a server whether it serves: exit code 0 if it does
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// How long to wait until it does
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    wait: Span,
}

/// The flag of all commands that names a project, as it is here: what is usual for others does not count.
pub(super) fn of_reindex(project: clap::Arg) -> clap::Arg {
    project
        .help("Only this project [default: all]")
        .hide(false)
        .hide_env(true)
        .help_heading(Resettable::<Str>::Reset)
}

impl Migrate {
    pub(crate) async fn run(self, file: File, out: &Out) -> Outcome {
        let Some(url) = self.database_url.or(file.database_url) else {
            let what =
                "say which database: sqlite:DIR or postgres://USER:PASSWORD@HOST:PORT/DATABASE";
            return Err(Failure::flag("--database-url", what));
        };
        let url = DatabaseUrl::parse(url.reveal()).map_err(Failure::usage)?;
        let retry = Retry::within(self.wait.0, out);
        retry.call(async || all(&url).await).await?;
        out.note("the schemas of metadata, storage, pipeline and job are up to date");
        Ok(())
    }
}

impl Reindex {
    pub(crate) async fn run(self, file: File, out: &Out) -> Outcome {
        let project = self.project.map(ProjectName::new).transpose();
        let order = Order {
            project: project.map_err(Failure::usage)?,
            mode: Mode {
                dry: self.dry_run,
                take_newer: self.take_newer,
            },
        };
        let settings = self.stores.settle(file).map_err(Failure::usage)?;
        let offline = Offline::open(settings, self.dry_run).await?;
        let done = reindex::run(&offline, order, out).await;
        offline.close().await;
        done
    }
}

async fn all(url: &DatabaseUrl) -> Result<()> {
    granary_metadata::migrate(url).await?;
    granary_storage::migrate(url).await?;
    granary_pipeline::migrate(url).await?;
    granary_job::migrate(url).await
}

impl Health {
    pub(crate) async fn run(self, config: &Config, out: &Out) -> Outcome {
        let retry = Retry::within(self.wait.0, out);
        retry.call(async || ask(config).await).await?;
        out.note(&format!("{} serves", config.shown()));
        Ok(())
    }
}

async fn ask(config: &Config) -> Result<()> {
    let unwell = |reason: String| Error::Unavailable {
        reason,
        cause: None,
    };
    let call = async {
        let channel = client::connect(config).await?;
        let answer = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .map_err(|status| unwell(format!("{}: {}", config.shown(), status.message())))?;
        match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            _ => Err(unwell(format!("{} does not serve now", config.shown()))),
        }
    };
    let slow = |_| Err(unwell(format!("{} does not answer", config.shown())));
    tokio::time::timeout(Duration::from_secs(10), call)
        .await
        .unwrap_or_else(slow)
}
