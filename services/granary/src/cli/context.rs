//! What every client command needs.

use granary_core::name::ProjectName;

use crate::{client::Client, config::Config, failure::Outcome, output::Out};

/// The settings, and where results go.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) out: Out,
}

impl Context {
    /// For one command.
    pub(crate) fn new(config: Config, out: Out) -> Self {
        Self { config, out }
    }

    /// The project.
    pub(crate) fn project(&self) -> &ProjectName {
        &self.config.project
    }

    /// A connection that gives up when the server goes away.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        Ok(Client::connect(&self.config, &self.out).await?)
    }

    /// A connection that survives a restart of the server; it must be there at first.
    pub(crate) async fn patient_client(&self) -> Outcome<Client> {
        Ok(Client::connect(&self.config, &self.out)
            .await?
            .patient(&self.out))
    }
}

/// How much of a list.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// At most this many; all if not given
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}
