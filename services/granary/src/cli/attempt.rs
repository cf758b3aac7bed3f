//! `granary attempt`: the containers of a job's pod in a cluster. Their launcher starts them; nobody else has a use for them.

use std::{collections::BTreeMap, time::Duration};

use granary_core::units::Span;
use granary_worker::pod;

use crate::{
    failure::{Failure, Outcome},
    signals,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Attempt {
    /// Brings the inputs of the job, and the program that runs its own
    Prepare,
    /// Streams what the job's program writes, and sends back what it made once its container has ended
    Attend,
    /// Runs the job's program in its image
    Exec(Exec),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// The longest that it may run
    #[arg(long, value_name = "DURATION", default_value_t = Span(Duration::from_secs(3600)))]
    timeout: Span,
    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<String>,
}

impl Attempt {
    pub(crate) async fn run(self) -> Outcome {
        granary_runtime::install_tls();
        let stop = signals::stop()?;
        match self {
            Self::Prepare => match pod::prepare().await? {
                true => Ok(()),
                false => Err(Failure::reported()),
            },
            Self::Attend => Ok(pod::attend(stop).await?),
            Self::Exec(exec) => {
                let what = pod::Exec {
                    arguments: exec.command,
                    environment: environment(),
                    timeout: exec.timeout.0,
                };
                match pod::exec(what, stop).await? {
                    0 => Ok(()),
                    code => Err(Failure::of_program(code)),
                }
            }
        }
    }
}

// What the image and the job have set. What is not UTF-8 no job has set.
fn environment() -> BTreeMap<String, String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the environment of the image is the program's, not this one's"
    )]
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
