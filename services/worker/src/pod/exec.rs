//! In the user's container: runs the program, with this process around it to see how it ends.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use granary_core::{Error, Result};
use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::{cgroup, place, seen::Seen};
use crate::launch::{Ending, Exit, Launch as _, ProcessLauncher, Program};

/// How long the program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
const PIECES: usize = 8;
/// How much of its output is kept.
const MAX_OUTPUT: u64 = 256 * 1024 * 1024;
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to run.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// What it finds in its environment: that of its image, and what the job sets.
    pub environment: BTreeMap<String, String>,
    /// The longest that it may run.
    pub timeout: Duration,
}

/// Runs the program to its end, or until `stop`; the exit code for this process.
pub async fn exec(what: Exec, stop: CancellationToken) -> Result<u8> {
    let launcher = ProcessLauncher::new(search_path(&what.environment), GRACE)?.in_image();
    let program = Program {
        folder: "/".into(),
        arguments: what.arguments,
        environment: without_clusters(what.environment),
        // The kernel keeps this container to its memory.
        memory_bytes: u64::MAX,
        timeout: what.timeout,
    };
    tell(&Seen::begun())?;
    let (sender, receiver) = mpsc::channel(PIECES);
    let file = File::create(place::OUTPUT).await.ok();
    let (exit, ()) = tokio::join!(
        launcher.run(&program, sender, stop),
        take(receiver, tokio::io::stdout(), file, MAX_OUTPUT)
    );
    let exit = match exit {
        Ok(exit) => judged(exit, cgroup::oom_kills()),
        Err(error) => {
            tell(&Seen::cannot_start(error.to_string()))?;
            return Ok(127);
        }
    };
    tell(&Seen::ended(exit))?;
    Ok(code(exit.ending))
}

fn tell(seen: &Seen) -> Result<()> {
    seen.tell(Path::new(place::SEEN))
        .map_err(|error| Error::internal("telling how the program ended", error))
}

fn search_path(environment: &BTreeMap<String, String>) -> String {
    let path = environment.get("PATH").filter(|path| !path.is_empty());
    path.cloned().unwrap_or_else(|| USUAL_PATH.to_owned())
}

/// What tells of the cluster is not the program's.
fn without_clusters(mut environment: BTreeMap<String, String>) -> BTreeMap<String, String> {
    environment.retain(|name, _| !name.starts_with("KUBERNETES_") && name != "HOSTNAME");
    environment
}

/// The kernel kills the largest of the processes: a program that fails after that has failed for it.
fn judged(exit: Exit, oom_kills: u64) -> Exit {
    if oom_kills == 0 || !matches!(exit.ending, Ending::Exited(1..) | Ending::Signalled(_)) {
        return exit;
    }
    Exit {
        ending: Ending::OutOfMemory,
        ..exit
    }
}

/// As a shell has it.
fn code(ending: Ending) -> u8 {
    match ending {
        Ending::Exited(code) => u8::try_from(code).unwrap_or(1),
        Ending::Signalled(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(0)),
        Ending::TimedOut => 124,
        Ending::OutOfMemory => 137,
        Ending::Stopped => 143,
    }
}

/// Takes output to where it is shown, and to a file as far as that may go. What cannot be written is lost, and the program goes on.
async fn take(
    mut output: mpsc::Receiver<Bytes>,
    mut shown: impl AsyncWrite + Unpin,
    mut file: Option<File>,
    max: u64,
) {
    let (mut written, mut dropped) = (0, 0);
    while let Some(data) = output.recv().await {
        let _ = shown.write_all(&data).await;
        let length = data.len() as u64;
        let kept = match &mut file {
            Some(file) if dropped == 0 && written + length <= max => {
                // It is followed while it grows.
                file.write_all(&data).await.is_ok() && file.flush().await.is_ok()
            }
            _ => false,
        };
        if kept {
            written += length;
        } else {
            dropped += length;
        }
    }
    let _ = shown.flush().await;
    if let Some(file) = &mut file
        && dropped > 0
    {
        let note = format!(
            "\n[{dropped} bytes of output more were not kept: at most {} MiB are]\n",
            max / 1024 / 1024
        );
        let _ = file.write_all(note.as_bytes()).await;
        let _ = file.flush().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_after_the_kernel_has_killed_was_out_of_memory() {
        let judged = |ending, kills| {
            let exit = Exit {
                ending,
                peak_memory_bytes: 1,
            };
            judged(exit, kills).ending
        };
        for failed in [Ending::Signalled(9), Ending::Exited(1), Ending::Exited(137)] {
            assert_eq!(judged(failed, 1), Ending::OutOfMemory);
            assert_eq!(judged(failed, 0), failed);
        }
        for other in [Ending::Exited(0), Ending::TimedOut, Ending::Stopped] {
            assert_eq!(judged(other, 1), other);
        }
    }

    #[test]
    fn the_image_has_its_say_in_the_environment_and_the_cluster_has_none() {
        let environment = |names: &[&str]| {
            let pairs = names
                .iter()
                .map(|name| ((*name).to_owned(), "x".to_owned()));
            pairs.collect::<BTreeMap<_, _>>()
        };
        let given = environment(&["CUDA_HOME", "HOSTNAME", "KUBERNETES_PORT", "SEED"]);
        assert_eq!(without_clusters(given), environment(&["CUDA_HOME", "SEED"]));
        assert_eq!(search_path(&environment(&["PATH"])), "x");
        assert_eq!(search_path(&environment(&[])), USUAL_PATH);
    }

    #[tokio::test]
    async fn all_of_the_output_is_shown_and_the_file_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let (sender, receiver) = mpsc::channel(16);
        for _ in 0..10 {
            sender
                .send(Bytes::from_static(b"0123456789"))
                .await
                .unwrap();
        }
        drop(sender);
        let mut shown = Vec::new();
        let file = File::create(&path).await.unwrap();
        take(receiver, &mut shown, Some(file), 35).await;
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(shown.len(), 100);
        assert!(
            kept.starts_with("012345678901234567890123456789\n[70 bytes"),
            "{kept}"
        );
    }
}
