//! The process launcher: programs of this machine, each with its own session of processes, an environment of its own, and limits that are watched.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use granary_core::{Error, Result, name::quote};
use rustix::process::{Pid, Signal};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    process::{Child, Command},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{Ending, Exit, Launch, Program, contain::contain, procfs};

const LOOK_EVERY: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 64 * 1024;
/// How long output is still taken after everything has ended.
const LAST_WORDS: Duration = Duration::from_secs(30);

type Order = (Command, oneshot::Sender<std::io::Result<Child>>);

/// Runs programs as processes of this machine.
#[derive(Debug)]
pub struct ProcessLauncher {
    starter: mpsc::Sender<Order>,
    grace: Duration,
    search_path: String,
    place: Place,
}

/// Where programs are from, for those who have to mend that they are not there.
#[derive(Clone, Copy, Debug)]
enum Place {
    Machine,
    Image,
}

impl ProcessLauncher {
    /// A launcher; programs without a path are looked for in the folders of `search_path`, separated by `:`.
    /// A program that is asked to end has `grace` to do so before it is killed.
    ///
    /// The kernel ends a program when the thread ends that started it: so this thread does nothing else, and lives as long as the launcher. A
    /// worker that is killed thereby takes its programs with it.
    pub fn new(search_path: String, grace: Duration) -> Result<Self> {
        let (starter, mut orders) = mpsc::channel::<Order>(64);
        let runtime = tokio::runtime::Handle::current();
        let start_all = move || {
            let _entered = runtime.enter();
            while let Some((mut command, answer)) = orders.blocking_recv() {
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new()
            .name("launcher".into())
            .spawn(start_all)
            .map_err(|error| Error::internal("starting the launcher", error))?;
        Ok(Self {
            starter,
            grace,
            search_path,
            place: Place::Machine,
        })
    }

    /// The same within the container of an image.
    #[must_use]
    pub fn in_image(self) -> Self {
        Self {
            place: Place::Image,
            ..self
        }
    }

    async fn start(&self, program: &Program, output: std::io::PipeWriter) -> Result<Child> {
        let name = program.arguments.first().cloned().unwrap_or_default();
        let failed = |error: std::io::Error| {
            Error::precondition(quote(&name), cannot_start(&error, self.place))
        };
        let command = self.command(program, output).map_err(failed)?;
        let (answer, started) = oneshot::channel();
        let gone = || Error::Unavailable {
            reason: "the launcher has stopped".into(),
            cause: None,
        };
        self.starter
            .send((command, answer))
            .await
            .map_err(|_| gone())?;
        started.await.map_err(|_| gone())?.map_err(failed)
    }

    fn command(&self, program: &Program, output: std::io::PipeWriter) -> std::io::Result<Command> {
        let files = program.files();
        let (name, rest) = program
            .arguments
            .split_first()
            .ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(name);
        command
            .args(rest)
            .current_dir(&files)
            .env_clear()
            .envs(&program.environment)
            .env("PATH", &self.search_path)
            .env("HOME", &files)
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", program.folder.join("tmp"))
            .env("GRANARY_FILES", &files)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        contain(&mut command);
        Ok(command)
    }
}

fn cannot_start(error: &std::io::Error, place: Place) -> String {
    let (here, who) = match place {
        Place::Machine => ("on this worker", "this worker"),
        Place::Image => ("in the image", "who the image runs as"),
    };
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("there is no such program {here}: install it, or correct app.cmd")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("{who} may not execute it: correct its permissions, or app.cmd")
        }
        _ => format!("it cannot be started: {error}"),
    }
}

#[async_trait]
impl Launch for ProcessLauncher {
    async fn run(
        &self,
        program: &Program,
        output: mpsc::Sender<Bytes>,
        stop: CancellationToken,
    ) -> Result<Exit> {
        let (reader, writer) = std::io::pipe()
            .map_err(|error| Error::internal("making a pipe for a program's output", error))?;
        let reader = pipe::Receiver::from_owned_fd(reader.into())
            .map_err(|error| Error::internal("making a pipe for a program's output", error))?;
        let mut child = self.start(program, writer).await?;
        let leader = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or_default();
        // Should the machine run out of memory, the kernel takes the program and not the server.
        let _ = tokio::fs::write(format!("/proc/{leader}/oom_score_adj"), "800").await;
        let family = Family {
            leader,
            files: program.files(),
            reaped: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        };
        let ended = CancellationToken::new();
        let pump = pump(reader, output, ended.clone());
        let watch = async {
            let exit = self.watch(&mut child, &family, program, stop).await;
            // The leader is waited for: its number may soon be that of another process.
            family.reaped.store(true, Ordering::Relaxed);
            family.kill().await;
            ended.cancel();
            exit
        };
        let ((), exit) = tokio::join!(pump, watch);
        exit
    }
}

impl ProcessLauncher {
    async fn watch(
        &self,
        child: &mut Child,
        family: &Family,
        program: &Program,
        stop: CancellationToken,
    ) -> Result<Exit> {
        let timeout = tokio::time::sleep(program.timeout);
        tokio::pin!(timeout);
        let mut peak = 0;
        let ending = loop {
            tokio::select! {
                status = child.wait() => break ending(status.map_err(|error| Error::internal("waiting for a program", error))?),
                () = &mut timeout => {
                    self.end(child, family).await;
                    break Ending::TimedOut;
                }
                () = stop.cancelled() => {
                    self.end(child, family).await;
                    break Ending::Stopped;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    let used = family.memory(program.memory_bytes).await;
                    peak = peak.max(used);
                    if used > program.memory_bytes {
                        family.kill().await;
                        let _ = child.wait().await;
                        break Ending::OutOfMemory;
                    }
                }
            }
        };
        Ok(Exit {
            ending,
            peak_memory_bytes: peak,
        })
    }

    /// Asks the program to end, and waits; the caller kills what is left.
    async fn end(&self, child: &mut Child, family: &Family) {
        if let Some(leader) = Pid::from_raw(family.leader) {
            let _ = rustix::process::kill_process_group(leader, Signal::TERM);
        }
        if tokio::time::timeout(self.grace, child.wait())
            .await
            .is_err()
        {
            family.kill().await;
            let _ = child.wait().await;
        }
    }
}

fn ending(status: ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
    }
}

/// Moves output on until all who could write have ended. One that got away from its family must not hold up the end.
async fn pump(mut reader: pipe::Receiver, output: mpsc::Sender<Bytes>, ended: CancellationToken) {
    let all = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) if output.send(buffer.split().freeze()).await.is_err() => {
                    // Nobody listens any more, but the program must not be stopped by that.
                    let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
                    return;
                }
                Ok(_) => {}
            }
        }
    };
    let patience = async {
        ended.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = all => {}
        () = patience => {}
    }
}

/// A program and its children.
#[derive(Debug)]
struct Family {
    leader: i32,
    files: std::path::PathBuf,
    reaped: AtomicBool,
    /// Whether all of it was seen to have ended.
    gone: AtomicBool,
}

impl Family {
    /// How much memory it uses, in bytes; exact when that is more than the limit.
    async fn memory(&self, limit: u64) -> u64 {
        let leader = self.leader;
        let look = move || {
            let family = procfs::family(leader, false);
            let resident = procfs::resident(&family);
            if resident > limit {
                procfs::proportional(&family)
            } else {
                resident
            }
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Kills all of it, and looks again until nothing is left: a child may have been born in between.
    async fn kill(&self) {
        let (leader, files, reaped) = (
            self.leader,
            self.files.clone(),
            self.reaped.load(Ordering::Relaxed),
        );
        for _ in 0..100 {
            let files = files.clone();
            let kill = move || kill_found(leader, &files, reaped);
            if tokio::task::spawn_blocking(kill).await.unwrap_or_default() == 0 {
                self.gone.store(reaped, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tracing::warn!(leader, "processes of a job do not end");
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        // The call was dropped in the middle: nothing can be awaited here, so it is looked again at once, a few times.
        let reaped = self.reaped.load(Ordering::Relaxed);
        for _ in 0..20 {
            if kill_found(self.leader, &self.files, reaped) == 0 {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Kills a program and its children; how many there were.
fn kill_found(leader: i32, files: &Path, reaped: bool) -> usize {
    if let Some(leader) = Pid::from_raw(leader).filter(|_| !reaped) {
        // All of the group in one step: none of it can be born in between.
        let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    }
    let family = procfs::family(leader, reaped)
        .into_iter()
        .map(|process| process.pid);
    kill_all(family.chain(procfs::working_below(files)))
}

fn kill_all(pids: impl Iterator<Item = i32>) -> usize {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let pids: Vec<Pid> = pids
        .filter(|pid| *pid != own)
        .filter_map(Pid::from_raw)
        .collect();
    for pid in &pids {
        let _ = rustix::process::kill_process(*pid, Signal::KILL);
    }
    pids.len()
}

/// Kills what programs of an earlier worker left running, told by their files being below `folder`.
pub fn end_leftovers(folder: &Path) -> usize {
    kill_all(procfs::working_below(folder).into_iter())
}
