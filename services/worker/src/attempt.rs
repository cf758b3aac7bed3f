//! One attempt at a job: inputs, program, outputs.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use granary_core::{
    Error, Result,
    name::{JobName, ProjectName},
    units,
};
use granary_proto::job::v1::{Entrypoint, FailureClass, Job, JobFinish, JobState, Lease};
use granary_runtime::Link;
use granary_transfer::{Downloader, NoProgress, Wanted};
use tokio::sync::mpsc;

use crate::{
    board::{Held, Why},
    environment,
    folder::{Root, Working},
    inputs,
    launch::{Ending, Exit, Launch, Program},
    output,
    outputs::Sender,
    traced,
};

/// How many pieces of output may lie between program and log.
const PIECES: usize = 8;
/// How long the last output may take to reach the service; all of it is in the log session anyway.
const FLUSH: Duration = Duration::from_secs(10);
const MAX_MESSAGE: usize = 4000;
const MIB: u64 = 1024 * 1024;

/// What attempts share.
#[derive(Debug)]
pub(crate) struct Tools {
    pub metadata: Link,
    pub downloader: Downloader,
    pub sender: Sender,
    pub max_output_bytes: u64,
}

/// Where attempts of this machine run.
#[derive(Debug)]
pub(crate) struct Host {
    pub launcher: Box<dyn Launch>,
    pub root: Root,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub failure: FailureClass,
    pub message: String,
    pub exit_code: i32,
    pub peak: u64,
    pub outputs: BTreeMap<String, String>,
    pub handed_back: bool,
}

impl Outcome {
    pub(crate) fn failed(failure: FailureClass, message: impl Into<String>) -> Self {
        Self {
            failure,
            message: message.into(),
            exit_code: -1,
            ..Self::default()
        }
    }

    pub(crate) fn infrastructure(what: &str, error: &Error) -> Self {
        let cause = error
            .cause()
            .map(|cause| format!(" ({cause})"))
            .unwrap_or_default();
        tracing::warn!(%error, cause, what);
        Self::failed(FailureClass::Infrastructure, format!("{what}: {error}"))
    }

    /// What comes of a stop from outside, whatever was being done.
    fn stopped(why: Why) -> Self {
        match why {
            Why::Cancelled => Self::failed(FailureClass::Cancelled, "it was cancelled"),
            Why::Worker | Why::Lost => Self {
                handed_back: true,
                ..Self::failed(
                    FailureClass::Infrastructure,
                    "the worker stopped: the job is queued again",
                )
            },
        }
    }
}

/// Makes an attempt; what to tell the service, or nothing if the job belongs to somebody else by now.
pub(crate) async fn run(
    tools: &Tools,
    host: &Host,
    held: &Arc<Held>,
    lease: Lease,
) -> Option<JobFinish> {
    let attempt = Attempt::new(tools, held, lease);
    let outcome = match JobName::parse(&attempt.job.name) {
        Ok(name) => attempt.run(host, &name).await,
        Err(error) => Outcome::infrastructure("the lease is not understood", &error),
    };
    traced::ended(&outcome);
    // What the program said last should be there when the job is seen to have ended.
    let _ = tokio::time::timeout(FLUSH, held.flushed()).await;
    if held.why() == Some(Why::Lost) {
        return None;
    }
    tracing::info!(job = held.job, attempt = attempt.number, failure = ?outcome.failure, message = outcome.message, "attempt ended");
    Some(JobFinish {
        job: held.job.clone(),
        lease_number: held.lease,
        failure: outcome.failure.into(),
        message: outcome.message.chars().take(MAX_MESSAGE / 4).collect(),
        exit_code: outcome.exit_code,
        peak_memory_bytes: i64::try_from(outcome.peak).unwrap_or(i64::MAX),
        outputs: outcome.outputs,
        handed_back: outcome.handed_back,
    })
}

/// An attempt under way.
pub(crate) struct Attempt<'a> {
    pub tools: &'a Tools,
    pub held: &'a Arc<Held>,
    pub job: Job,
    pub entrypoint: Entrypoint,
    pub number: i32,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(tools: &'a Tools, held: &'a Arc<Held>, lease: Lease) -> Self {
        Self {
            tools,
            held,
            job: lease.job.unwrap_or_default(),
            entrypoint: lease.entrypoint.unwrap_or_default(),
            number: lease.attempt,
        }
    }
}

impl Attempt<'_> {
    async fn run(&self, host: &Host, name: &JobName) -> Outcome {
        let working = match host.root.attempt(name, self.number) {
            Ok(working) => working,
            Err(error) => {
                return Outcome::failed(
                    FailureClass::Infrastructure,
                    format!("cannot make a working folder: {error}"),
                );
            }
        };
        let prepared = tokio::select! {
            prepared = traced::phase("prepare", self.prepare(name, &working)) => prepared,
            () = self.held.stop.cancelled() => Err(self.stopped()),
        };
        let outcome = match prepared {
            Ok(()) => self.run_program(host, name, &working).await,
            Err(outcome) => outcome,
        };
        // Large folders take a while to remove.
        let _ = tokio::task::spawn_blocking(move || drop(working)).await;
        outcome
    }

    pub(crate) fn stopped(&self) -> Outcome {
        Outcome::stopped(self.held.why().unwrap_or(Why::Worker))
    }

    /// Brings the inputs to where the program finds them.
    pub(crate) async fn prepare(&self, name: &JobName, working: &Working) -> Result<(), Outcome> {
        let files = working.files();
        let places = inputs::resolve(&self.tools.metadata, &self.job, &self.entrypoint)
            .await
            .map_err(|failure| match failure {
                inputs::Failure::Final(message) => {
                    Outcome::failed(FailureClass::Application, message)
                }
                inputs::Failure::Passing(error) => {
                    Outcome::infrastructure("cannot list the inputs", &error)
                }
            })?;
        let folders: Vec<String> = self
            .entrypoint
            .handler
            .iter()
            .flat_map(|handler| handler.files_down.values().chain(handler.files_up.values()))
            .cloned()
            .collect();
        let wanted: Vec<Wanted> = places
            .iter()
            .map(|(place, file)| Wanted {
                asset: file.asset.clone(),
                to: files.join(place),
                size_bytes: file.size_bytes,
                sha256: file.sha256.clone(),
            })
            .collect();
        let made = tokio::task::spawn_blocking(move || {
            inputs::make_folders(&files, folders.into_iter(), places.into_keys())
        })
        .await;
        if let Ok(Err(error)) = made {
            return Err(Outcome::failed(
                FailureClass::Infrastructure,
                format!("cannot make the folders of the inputs: {error}"),
            ));
        }
        let project = ProjectName {
            project: name.project.clone(),
        };
        let fetched = if wanted.is_empty() {
            Ok(())
        } else {
            self.tools
                .downloader
                .download(&project, wanted, &NoProgress)
                .await
                .map(drop)
        };
        fetched.map_err(|error| Outcome::infrastructure("cannot fetch the inputs", &error))
    }

    /// What it runs, in a folder.
    pub(crate) fn program(&self, folder: PathBuf) -> Program {
        let resources = self.job.resources.unwrap_or_default();
        Program {
            folder,
            arguments: environment::arguments(&self.entrypoint, &self.job),
            environment: environment::variables(&self.entrypoint, &self.job, self.number),
            memory_bytes: u64::try_from(resources.memory_bytes).unwrap_or_default(),
            timeout: resources
                .timeout
                .and_then(|timeout| timeout.try_into().ok())
                .unwrap_or(Duration::from_secs(3600)),
        }
    }

    async fn run_program(&self, host: &Host, name: &JobName, working: &Working) -> Outcome {
        let program = self.program(working.path().to_owned());
        self.held.progress(JobState::Running);
        let (sender, receiver) = mpsc::channel(PIECES);
        let log = working.log();
        let running = async {
            tokio::join!(
                host.launcher.run(&program, sender, self.held.stop.clone()),
                output::take(&log, self.held, receiver, None)
            )
        };
        let (exit, kept) = traced::phase("run", running).await;
        if let Err(error) = kept {
            tracing::warn!(%error, job = self.held.job, "the program's output was not kept");
        }
        let exit = match exit {
            Ok(exit) => exit,
            Err(error) => return Outcome::infrastructure("cannot start the program", &error),
        };
        let outcome = self.judge(&program, exit);
        self.held.progress(JobState::Finishing);
        traced::phase("finish", self.collect(name, working, outcome)).await
    }

    /// What the end of its program makes of the attempt.
    pub(crate) fn judge(&self, program: &Program, exit: Exit) -> Outcome {
        let (peak, limit) = (exit.peak_memory_bytes, program.memory_bytes);
        let outcome = match exit.ending {
            Ending::Exited(0) => Outcome::default(),
            Ending::Exited(code) => {
                let message = format!("the program exited with code {code}: its log may say why");
                Outcome {
                    exit_code: code,
                    ..Outcome::failed(FailureClass::Application, message)
                }
            }
            Ending::Signalled(9) => {
                let message = "the program was killed (signal 9), and not by this worker: perhaps the machine had no memory left";
                Outcome::failed(FailureClass::Application, message)
            }
            Ending::Signalled(signal) => Outcome::failed(
                FailureClass::Application,
                format!("the program ended by signal {signal}: its log may say why"),
            ),
            Ending::TimedOut => {
                let message = format!(
                    "ran longer than {}: raise resources.timeout",
                    units::format_duration(program.timeout)
                );
                Outcome::failed(FailureClass::Timeout, message)
            }
            Ending::OutOfMemory => {
                let message = format!(
                    "used {} MiB of {} MiB: raise resources.memory",
                    peak.div_ceil(MIB),
                    limit / MIB
                );
                Outcome::failed(FailureClass::OutOfMemory, message)
            }
            Ending::Stopped => self.stopped(),
        };
        Outcome { peak, ..outcome }
    }
}
