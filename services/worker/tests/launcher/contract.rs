//! The contract of launchers, as plain functions on any of them. Programs are written for `sh` and `python3`.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use bytes::Bytes;
use granary_core::Result;
use granary_worker::launch::{Ending, Exit, Launch, Program};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const MIB: u64 = 1024 * 1024;

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

/// Processes that work in a folder, by their environment.
pub(crate) fn working_in(folder: &Path) -> Vec<String> {
    let marker = format!("GRANARY_FILES={}", folder.display());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = fs::read(path.join("environ")).ok()?;
        let line = fs::read_to_string(path.join("cmdline")).ok()?;
        String::from_utf8_lossy(&environment)
            .contains(&marker)
            .then_some(line)
    });
    processes.collect()
}

pub(crate) async fn exit_codes_and_output_come_back(launcher: &dyn Launch) {
    let ran = Case::shell("echo out; echo err >&2; echo out again; exit 3")
        .run(launcher)
        .await;
    assert_eq!(
        (ran.exit.ending, ran.text().as_str()),
        (Ending::Exited(3), "out\nerr\nout again\n")
    );
    assert_eq!(
        Case::shell("true").run(launcher).await.exit.ending,
        Ending::Exited(0)
    );
}

pub(crate) async fn signals_are_told_apart_from_codes(launcher: &dyn Launch) {
    assert_eq!(
        Case::shell("kill -SEGV $$").run(launcher).await.exit.ending,
        Ending::Signalled(11)
    );
}

pub(crate) async fn the_environment_holds_nothing_of_the_workers(launcher: &dyn Launch) {
    let mut case = Case::new(&["env"]);
    case.program.environment.insert("SEED".into(), "7".into());
    let ran = case.run(launcher).await;
    let text = ran.text();
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["GRANARY_FILES", "HOME", "LANG", "PATH", "SEED", "TMPDIR"]
    );
}

pub(crate) async fn the_program_works_in_its_own_folder(launcher: &dyn Launch) {
    let case = Case::shell("pwd; echo hello > here; cat $GRANARY_FILES/here; mktemp; echo $HOME");
    let ran = case.run(launcher).await;
    let (files, tmp) = (
        case.files().display().to_string(),
        case.program.folder.join("tmp").display().to_string(),
    );
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[3]),
        (files.as_str(), "hello", files.as_str())
    );
    assert!(lines[2].starts_with(&tmp));
}

pub(crate) async fn no_shell_reads_the_arguments(launcher: &dyn Launch) {
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
    let mut arguments = vec!["python3", "-c", "import sys; print(ascii(sys.argv[1:]))"];
    arguments.extend(hostile);
    let case = Case::new(&arguments);
    let ran = case.run(launcher).await;
    assert_eq!(
        ran.text(),
        "['$(touch pwned)', '`touch pwned`', '; touch pwned', '*', '$HOME', 'a b', '\"', '--', '\\xe9\\n']\n"
    );
    assert!(!case.files().join("pwned").exists());
}

pub(crate) async fn a_missing_program_cannot_be_started(launcher: &dyn Launch) {
    let case = Case::new(&["no-such-program-at-all"]);
    let error = case
        .try_run(launcher, CancellationToken::new())
        .await
        .map(|ran| ran.exit)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"no-such-program-at-all\": there is no such program on this worker: install it, or correct app.cmd"
    );
}

pub(crate) async fn who_runs_too_long_is_stopped(launcher: &dyn Launch) {
    let mut case =
        Case::shell("trap 'echo asked; exit 0' TERM; echo begun; while true; do sleep 0.1; done");
    case.program.timeout = Duration::from_millis(500);
    let ran = case.run(launcher).await;
    let text = ran.text();
    assert_eq!(ran.exit.ending, Ending::TimedOut);
    assert!(
        text.starts_with("begun\n") && text.ends_with("asked\n"),
        "{text}"
    );
}

pub(crate) async fn who_does_not_listen_is_killed(launcher: &dyn Launch) {
    let case = Case::shell("trap '' TERM; echo begun; while true; do sleep 0.1; done");
    assert_eq!(
        case.run_until_it_speaks(launcher).await.exit.ending,
        Ending::Stopped
    );
    assert!(working_in(&case.files()).is_empty());
}

pub(crate) async fn who_takes_too_much_memory_is_stopped(launcher: &dyn Launch) {
    let hungry = "taken = []\nwhile len(taken) < 64:\n    taken.append(b'x' * (16 << 20))\n    print(len(taken), flush=True)\n    import time; time.sleep(0.02)";
    let mut case = Case::new(&["python3", "-c", hungry]);
    case.program.memory_bytes = 128 * MIB;
    let ran = case.run(launcher).await;
    assert_eq!(ran.exit.ending, Ending::OutOfMemory);
    assert!(
        (128 * MIB..512 * MIB).contains(&ran.exit.peak_memory_bytes),
        "{}",
        ran.exit.peak_memory_bytes
    );
}

pub(crate) async fn children_share_the_limit_of_memory(launcher: &dyn Launch) {
    let family = "import os, time\nfor i in range(4):\n    if os.fork() == 0:\n        x = b'x' * (60 << 20)\n        time.sleep(60)\ntime.sleep(60)";
    let mut case = Case::new(&["python3", "-c", family]);
    case.program.memory_bytes = 128 * MIB;
    assert_eq!(case.run(launcher).await.exit.ending, Ending::OutOfMemory);
    assert!(working_in(&case.files()).is_empty());
}

pub(crate) async fn nothing_is_left_behind(launcher: &dyn Launch) {
    // A child that holds the output open, one in a session of its own, and one that its parent left.
    let case = Case::shell(
        "sleep 300 & setsid sleep 300 & (setsid sh -c 'trap \"\" TERM HUP; sleep 300' &) ; echo begun",
    );
    let ran = tokio::time::timeout(Duration::from_secs(20), case.run(launcher))
        .await
        .expect("the children held up the end");
    assert_eq!(
        (ran.exit.ending, ran.text().as_str()),
        (Ending::Exited(0), "begun\n")
    );
    assert!(
        working_in(&case.files()).is_empty(),
        "{:?}",
        working_in(&case.files())
    );
}

pub(crate) async fn a_call_that_is_dropped_kills_the_program(launcher: &dyn Launch) {
    let case = Case::shell("echo begun; sleep 300");
    let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
    {
        let run = launcher.run(&case.program, sender, CancellationToken::new());
        tokio::select! {
            _ = run => panic!("it ended by itself"),
            _ = receiver.recv() => {}
        }
    }
    // The kill is sent; that the process is gone shows a moment later.
    let gone = async {
        while !working_in(&case.files()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the program still runs");
}

pub(crate) async fn all_of_a_large_output_comes_in_order(launcher: &dyn Launch) {
    let loud = "import sys\nfor i in range(4000): sys.stdout.write(f'{i:08d}' + 'x' * 10000 + '\\n')\nsys.stdout.flush()\nsys.stdout.buffer.write(b'\\xff\\x00\\xfe')";
    let ran = Case::new(&["python3", "-c", loud]).run(launcher).await;
    assert_eq!(
        (ran.exit.ending, ran.output.len()),
        (Ending::Exited(0), 4000 * 10_009 + 3)
    );
    for (i, line) in ran
        .output
        .split(|byte| *byte == b'\n')
        .take(4000)
        .enumerate()
    {
        assert_eq!(&line[..8], format!("{i:08}").as_bytes());
    }
    assert!(
        ran.output.ends_with(&[0xff, 0, 0xfe]),
        "bytes that are no text come as they are"
    );
}

pub(crate) async fn a_program_waits_while_nobody_takes_its_output(launcher: &dyn Launch) {
    let case = Case::shell("head -c 8000000 /dev/zero; touch done");
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let run = launcher.run(&case.program, sender, CancellationToken::new());
    tokio::pin!(run);
    let patience = tokio::time::timeout(Duration::from_millis(500), &mut run).await;
    assert!(patience.is_err() && !case.files().join("done").exists());
    let read = async {
        let mut length = 0;
        while let Some(data) = receiver.recv().await {
            length += data.len();
        }
        length
    };
    let (exit, length) = tokio::join!(run, read);
    assert_eq!(
        (exit.unwrap().ending, length),
        (Ending::Exited(0), 8_000_000)
    );
}
