//! The launcher in a cluster keeps the contract of launchers: a program is a job, and its pod runs it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use granary_core::{Error, Result};
use granary_proto::{
    convert,
    job::v1::{Attempt, FailureClass, Job, Resources, StreamJobLogsRequest},
};
use granary_worker::launch::{Ending, Exit, Launch, Program};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    contract::{self, Case, Subject},
    world::World,
};

struct Cluster(World);

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

#[async_trait]
impl Subject for Cluster {
    fn launcher(&self) -> &dyn Launch {
        self
    }

    fn files(&self, _: &Case) -> String {
        "/files".into()
    }

    fn tmp(&self, _: &Case) -> String {
        "/tmp".into()
    }

    async fn running(&self, _: &Case) -> Vec<String> {
        self.0.running().await
    }
}

#[async_trait]
impl Launch for Cluster {
    async fn run(
        &self,
        program: &Program,
        output: mpsc::Sender<Bytes>,
        stop: CancellationToken,
    ) -> Result<Exit> {
        let job = self.submit(program).await;
        let follow = self.follow(&job.name, &output);
        let end = async {
            tokio::select! {
                ended = self.0.ended(&job.name) => return ended,
                () = stop.cancelled() => self.0.cancel(&job.name).await,
            }
            self.0.ended(&job.name).await
        };
        let (sent, ended) = tokio::join!(follow, end);
        let attempt = ended.attempts.last().cloned().unwrap_or_default();
        let exit = exit(&attempt)?;
        // The log of the service is what is shown meanwhile; all of it is in the log session.
        if let Some(session) = ended.outputs.get("log") {
            let log = self.0.contents(session).await.remove("stdout.log").unwrap();
            let rest = log.get(sent..).unwrap_or_default().to_vec();
            let _ = output.send(rest.into()).await;
        }
        Ok(exit)
    }
}

impl Cluster {
    async fn submit(&self, program: &Program) -> Job {
        let id = granary_core::id::new("case");
        let arguments: Vec<&str> = program.arguments.iter().map(String::as_str).collect();
        let entrypoint = self.0.entrypoint(&id, &arguments, |_| {}).await;
        let job = Job {
            entrypoint,
            env: program.environment.clone(),
            resources: Some(Resources {
                memory_bytes: i64::try_from(program.memory_bytes).unwrap(),
                cpus: 0.1,
                gpus: 0,
                timeout: Some(convert::wire_duration(
                    program.timeout.max(Duration::from_secs(1)),
                )),
            }),
            ..Job::default()
        };
        self.0.create(&id, job).await
    }

    /// Passes on what it writes, until its end; how much that was.
    async fn follow(&self, job: &str, output: &mpsc::Sender<Bytes>) -> usize {
        let request = StreamJobLogsRequest {
            name: job.into(),
            follow: true,
            ..Default::default()
        };
        let answer = self.0.jobs().stream_job_logs(request).await;
        let mut pieces = answer.unwrap().into_inner();
        let mut sent = 0;
        while let Some(piece) = pieces.message().await.unwrap() {
            if usize::try_from(piece.offset).unwrap() == sent {
                sent += piece.data.len();
                let _ = output.send(piece.data.into()).await;
            }
        }
        sent
    }
}

fn exit(attempt: &Attempt) -> Result<Exit> {
    let signal = attempt.message.strip_prefix("the program ended by signal ");
    let ending = match attempt.failure() {
        FailureClass::Unspecified => Ending::Exited(0),
        FailureClass::Timeout => Ending::TimedOut,
        FailureClass::OutOfMemory => Ending::OutOfMemory,
        FailureClass::Cancelled => Ending::Stopped,
        FailureClass::Application if attempt.exit_code >= 0 => Ending::Exited(attempt.exit_code),
        FailureClass::Application if signal.is_some() => {
            let number = signal.unwrap().split(':').next().unwrap();
            Ending::Signalled(number.parse().unwrap())
        }
        _ => {
            return Err(Error::precondition("the job", attempt.message.clone()));
        }
    };
    Ok(Exit {
        ending,
        peak_memory_bytes: u64::try_from(attempt.peak_memory_bytes).unwrap(),
    })
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Some(world) = World::start().await {
                contract::$name(&Cluster(world)).await;
            }
        }
    )+};
}

contract! {
    exit_codes_and_output_come_back,
    signals_are_told_apart_from_codes,
    the_environment_holds_nothing_of_the_workers,
    the_program_works_in_its_own_folder,
    no_shell_reads_the_arguments,
    a_missing_program_cannot_be_started,
    who_runs_too_long_is_stopped,
    who_does_not_listen_is_killed,
    who_takes_too_much_memory_is_stopped,
    children_share_the_limit_of_memory,
    nothing_is_left_behind,
    all_of_a_large_output_comes_in_order,
}
