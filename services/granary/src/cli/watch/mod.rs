//! `granary watch`: the collector.

mod collector;
mod wake;

use std::{path::PathBuf, sync::Arc, time::Duration};

use granary_core::{clock::SystemClock, units::Span};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{context::Context, upload::DescribeFlags};
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    signals,
};
use collector::{Collector, Rules};
use wake::Wake;

/// How often everything is looked at, whatever the file system reports.
const FULL_LOOK: Duration = Duration::from_secs(60);
/// The longest that changes are gathered before they are looked at.
const GATHER: Duration = Duration::from_millis(500);

/// Sends each folder below a folder as a session, once it is complete
///
/// A folder directly below DIR is complete when nothing in it has changed for the quiet period, its metadata is there,
/// and so is each file that the metadata lists. What was sent before is known by asking the server. Files directly in DIR, and folders whose name
/// begins with a dot, are left alone. Ends on SIGINT or SIGTERM; what was on its way is gone on with next time.
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// The folder that recordings appear in
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where they go; made if it is missing
    #[arg(long, value_name = "DATASET")]
    dataset: String,
    /// Sends what is complete and ends; exits with 1 if something was not
    #[arg(long)]
    once: bool,
    /// How long nothing must have changed in a folder
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    quiet_period: Span,
    #[command(flatten)]
    describe: DescribeFlags,
    /// How many files and parts are on their way at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: Option<u8>,
    /// No progress and no notes
    #[arg(long, short = 'q')]
    quiet: bool,
}

impl Watch {
    /// Whether it goes on until the server is there.
    pub(crate) fn waits(&self) -> bool {
        !self.once
    }

    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out.clone().quiet(self.quiet);
        let rules = Rules {
            folder: self.folder.clone(),
            quiet: self.quiet_period.0,
            choice: self.describe.choice(),
            options: self
                .describe
                .options(context, &self.dataset, self.concurrency, false)?,
        };
        // Before anything is looked at, so that nothing is missed in between.
        let wake =
            Wake::on(&self.folder).map_err(|error| Failure::at(self.folder.display(), error))?;
        let client = match self.once {
            true => Client::connect(&context.config, &out).await?,
            false => Client::connect_later(&context.config, &out)?,
        };
        let stop = signals::stop()?;
        let collector = Collector::new(
            client.patient(&out),
            out,
            rules,
            Arc::new(SystemClock),
            stop.clone(),
        );
        if self.once {
            once(collector, self.quiet_period.0).await
        } else {
            let gather = GATHER.min(self.quiet_period.0 / 2);
            forever(collector, wake, gather, stop).await
        }
    }
}

// What is being written gets the quiet period to come to rest.
async fn once(mut collector: Collector, quiet: Duration) -> Outcome {
    let next = collector.look(None).await?;
    if let Some(next) = next {
        pause(next).await;
        collector.look(None).await?;
    }
    collector.report_unsettled(quiet);
    if collector.is_clean() {
        Ok(())
    } else {
        Err(Failure::reported())
    }
}

async fn forever(
    mut collector: Collector,
    wake: Wake,
    gather: Duration,
    stop: CancellationToken,
) -> Outcome {
    let mut full = tokio::time::interval(FULL_LOOK);
    let mut only = None;
    loop {
        let next = collector.look(only.as_ref()).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = wake.changed(gather) => only = Some(changed),
            () = at(next) => only = Some(collector.due()),
            _ = full.tick() => only = None,
        }
    }
}

async fn at(time: Option<OffsetDateTime>) {
    match time {
        Some(time) => pause(time).await,
        None => std::future::pending().await,
    }
}

async fn pause(until: OffsetDateTime) {
    let left = Duration::try_from(until - OffsetDateTime::now_utc()).unwrap_or_default();
    tokio::time::sleep(left).await;
}
