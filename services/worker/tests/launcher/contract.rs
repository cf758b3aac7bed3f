//! The contract of launchers, as plain functions on any of them. Programs are written for `sh` and `python3`.
//!
//! What only a launcher of this machine can keep stands with it: that a call that is dropped kills the program, and that the program waits while
//! nobody takes its output.

use std::{collections::BTreeMap, fs, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use granary_core::Result;
use granary_worker::launch::{Ending, Exit, Launch, Program};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const MIB: u64 = 1024 * 1024;

/// A launcher, and what the contract has to know of where its programs run.
#[async_trait]
pub(crate) trait Subject: Sync {
    fn launcher(&self) -> &dyn Launch;
    /// The folder of a case's files, as its program sees it.
    fn files(&self, case: &Case) -> String;
    /// The same of what passes.
    fn tmp(&self, case: &Case) -> String;
    /// What still runs of a case.
    async fn running(&self, case: &Case) -> Vec<String>;
}

/// A program in a folder of its own.
pub(crate) struct Case {
    pub folder: TempDir,
    pub program: Program,
}

/// What came of it.
pub(crate) struct Ran {
    pub exit: Exit,
    pub output: Vec<u8>,
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl Case {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["files", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let program = Program {
            folder: folder.path().canonicalize().unwrap(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: BTreeMap::new(),
            memory_bytes: 256 * MIB,
            timeout: Duration::from_secs(60),
        };
        Self { folder, program }
    }

    pub(crate) fn shell(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    pub(crate) fn files(&self) -> std::path::PathBuf {
        self.program.files()
    }

    pub(crate) async fn try_run(
        &self,
        launcher: &dyn Launch,
        stop: CancellationToken,
    ) -> Result<Ran> {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
        let read = async {
            let mut output = Vec::new();
            while let Some(data) = receiver.recv().await {
                output.extend_from_slice(&data);
            }
            output
        };
        let (exit, output) = tokio::join!(launcher.run(&self.program, sender, stop), read);
        Ok(Ran {
            exit: exit?,
            output,
        })
    }

    pub(crate) async fn run(&self, launcher: &dyn Launch) -> Ran {
        self.try_run(launcher, CancellationToken::new())
            .await
            .unwrap()
    }

    /// Runs it until it has written a line, then stops it.
    async fn run_until_it_speaks(&self, launcher: &dyn Launch) -> Ran {
        let stop = CancellationToken::new();
        let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
        let read = async {
            let mut output = Vec::new();
            while let Some(data) = receiver.recv().await {
                output.extend_from_slice(&data);
                stop.cancel();
            }
            output
        };
        let (exit, output) = tokio::join!(launcher.run(&self.program, sender, stop.clone()), read);
        Ran {
            exit: exit.unwrap(),
            output,
        }
    }
}

pub(crate) async fn exit_codes_and_output_come_back(subject: &dyn Subject) {
    let ran = Case::shell("echo out; echo err >&2; echo out again; exit 3")
        .run(subject.launcher())
        .await;
    assert_eq!(
        (ran.exit.ending, ran.text().as_str()),
        (Ending::Exited(3), "out\nerr\nout again\n")
    );
    assert_eq!(
        Case::shell("true")
            .run(subject.launcher())
            .await
            .exit
            .ending,
        Ending::Exited(0)
    );
}

pub(crate) async fn signals_are_told_apart_from_codes(subject: &dyn Subject) {
    assert_eq!(
        Case::shell("kill -SEGV $$")
            .run(subject.launcher())
            .await
            .exit
            .ending,
        Ending::Signalled(11)
    );
}

pub(crate) async fn the_environment_holds_nothing_of_the_workers(subject: &dyn Subject) {
    let mut case = Case::new(&["env"]);
    case.program.environment.insert("SEED".into(), "7".into());
    let ran = case.run(subject.launcher()).await;
    let text = ran.text();
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    // Who it is, a program is told by whoever has it run.
    names.retain(|name| !["GRANARY_JOB", "GRANARY_ATTEMPT"].contains(name));
    names.sort_unstable();
    assert_eq!(
        names,
        ["GRANARY_FILES", "HOME", "LANG", "PATH", "SEED", "TMPDIR"]
    );
}

pub(crate) async fn the_program_works_in_its_own_folder(subject: &dyn Subject) {
    let case = Case::shell("pwd; echo hello > here; cat $GRANARY_FILES/here; mktemp; echo $HOME");
    let ran = case.run(subject.launcher()).await;
    let (files, tmp) = (subject.files(&case), subject.tmp(&case));
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[3]),
        (files.as_str(), "hello", files.as_str())
    );
    assert!(lines[2].starts_with(&tmp));
}

pub(crate) async fn no_shell_reads_the_arguments(subject: &dyn Subject) {
    let hostile = [
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "*",
        "$HOME",
        "a b",
        "\"",
        "--",
        "é\n",
    ];
    let shown = "import os, sys; print(ascii(sys.argv[1:]), os.path.exists('pwned'))";
    let mut arguments = vec!["python3", "-c", shown];
    arguments.extend(hostile);
    let case = Case::new(&arguments);
    let ran = case.run(subject.launcher()).await;
    assert_eq!(
        ran.text(),
        "['$(touch pwned)', '`touch pwned`', '; touch pwned', '*', '$HOME', 'a b', '\"', '--', '\\xe9\\n'] False\n"
    );
}

pub(crate) async fn a_missing_program_cannot_be_started(subject: &dyn Subject) {
    let case = Case::new(&["no-such-program-at-all"]);
    let error = case
        .try_run(subject.launcher(), CancellationToken::new())
        .await
        .map(|ran| ran.exit)
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("\"no-such-program-at-all\": there is no such program")
            && error.contains("correct app.cmd"),
        "{error}"
    );
}

pub(crate) async fn who_runs_too_long_is_stopped(subject: &dyn Subject) {
    let mut case =
        Case::shell("trap 'echo asked; exit 0' TERM; echo begun; while true; do sleep 0.1; done");
    case.program.timeout = Duration::from_secs(1);
    let ran = case.run(subject.launcher()).await;
    let text = ran.text();
    assert_eq!(ran.exit.ending, Ending::TimedOut);
    assert!(
        text.starts_with("begun\n") && text.ends_with("asked\n"),
        "{text}"
    );
}

pub(crate) async fn who_does_not_listen_is_killed(subject: &dyn Subject) {
    let case = Case::shell("trap '' TERM; echo begun; while true; do sleep 0.1; done");
    assert_eq!(
        case.run_until_it_speaks(subject.launcher())
            .await
            .exit
            .ending,
        Ending::Stopped
    );
    assert!(subject.running(&case).await.is_empty());
}

pub(crate) async fn who_takes_too_much_memory_is_stopped(subject: &dyn Subject) {
    let hungry = "taken = []\nwhile len(taken) < 64:\n    taken.append(b'x' * (16 << 20))\n    print(len(taken), flush=True)\n    import time; time.sleep(0.02)";
    let mut case = Case::new(&["python3", "-c", hungry]);
    case.program.memory_bytes = 128 * MIB;
    let ran = case.run(subject.launcher()).await;
    assert_eq!(ran.exit.ending, Ending::OutOfMemory);
    assert!(
        (128 * MIB..512 * MIB).contains(&ran.exit.peak_memory_bytes),
        "{}",
        ran.exit.peak_memory_bytes
    );
}

pub(crate) async fn children_share_the_limit_of_memory(subject: &dyn Subject) {
    let family = "import os, time\nfor i in range(4):\n    if os.fork() == 0:\n        x = b'x' * (60 << 20)\n        time.sleep(60)\ntime.sleep(60)";
    let mut case = Case::new(&["python3", "-c", family]);
    case.program.memory_bytes = 128 * MIB;
    assert_eq!(
        case.run(subject.launcher()).await.exit.ending,
        Ending::OutOfMemory
    );
    assert!(subject.running(&case).await.is_empty());
}

pub(crate) async fn nothing_is_left_behind(subject: &dyn Subject) {
    // A child that holds the output open, one in a session of its own, and one that its parent left.
    let case = Case::shell(
        "sleep 300 & setsid sleep 300 & (setsid sh -c 'trap \"\" TERM HUP; sleep 300' &) ; echo begun",
    );
    let ran = tokio::time::timeout(Duration::from_secs(60), case.run(subject.launcher()))
        .await
        .expect("the children held up the end");
    assert_eq!(
        (ran.exit.ending, ran.text().as_str()),
        (Ending::Exited(0), "begun\n")
    );
    let running = subject.running(&case).await;
    assert!(running.is_empty(), "{running:?}");
}

pub(crate) async fn all_of_a_large_output_comes_in_order(subject: &dyn Subject) {
    let loud = "import sys\nfor i in range(1200): sys.stdout.write(f'{i:08d}' + 'x' * 10000 + '\\n')\nsys.stdout.flush()\nsys.stdout.buffer.write(b'\\xff\\x00\\xfe')";
    let ran = Case::new(&["python3", "-c", loud])
        .run(subject.launcher())
        .await;
    assert_eq!(
        (ran.exit.ending, ran.output.len()),
        (Ending::Exited(0), 1200 * 10_009 + 3)
    );
    for (i, line) in ran
        .output
        .split(|byte| *byte == b'\n')
        .take(1200)
        .enumerate()
    {
        assert_eq!(&line[..8], format!("{i:08}").as_bytes());
    }
    assert!(
        ran.output.ends_with(&[0xff, 0, 0xfe]),
        "bytes that are no text come as they are"
    );
}
