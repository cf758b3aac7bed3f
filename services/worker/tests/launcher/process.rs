//! The process launcher keeps the contract, and what is its own besides.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use granary_worker::launch::{Ending, Launch, ProcessLauncher, end_leftovers};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::contract::{self, Case, Subject};

fn launcher() -> ProcessLauncher {
    #[allow(clippy::disallowed_methods, reason = "the test's own configuration")]
    let path = std::env::var("PATH").unwrap();
    ProcessLauncher::new(path, Duration::from_secs(1)).unwrap()
}

/// Processes that work in a folder, by their environment.
fn working_in(folder: &Path) -> Vec<String> {
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

struct Processes(ProcessLauncher);

#[async_trait]
impl Subject for Processes {
    fn launcher(&self) -> &dyn Launch {
        &self.0
    }

    fn files(&self, case: &Case) -> String {
        case.files().display().to_string()
    }

    fn tmp(&self, case: &Case) -> String {
        case.program.folder.join("tmp").display().to_string()
    }

    async fn running(&self, case: &Case) -> Vec<String> {
        working_in(&case.files())
    }
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            contract::$name(&Processes(launcher())).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_kills_the_program() {
    let launcher = launcher();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_waits_while_nobody_takes_its_output() {
    let launcher = launcher();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_have_a_session_of_their_own_and_no_core_dumps() {
    let ran = Case::shell("ulimit -c; ps -o sid= -p $$ | tr -d ' '; echo $$")
        .run(&launcher())
        .await;
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1], lines[2]);
}

// A process of its own, for a test to kill: the same test again, which finds this variable.
const WORKER: &str = "GRANARY_TEST_WORKER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_takes_its_programs_along() {
    #[allow(clippy::disallowed_methods, reason = "how the test tells its process")]
    if std::env::var_os(WORKER).is_some() {
        let case = Case::shell("echo begun; sleep 300");
        println!("{}", case.files().display());
        case.run(&launcher()).await;
        return;
    }
    let mut worker = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "process::a_worker_that_is_killed_takes_its_programs_along",
            "--exact",
            "--nocapture",
        ])
        .env(WORKER, "1")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let files = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.ends_with("/files") {
            break PathBuf::from(line);
        }
    };
    let runs = |line: &String| line.starts_with("sh") || line.starts_with("sleep");
    while !working_in(&files).iter().any(runs) {
        tokio::task::yield_now().await;
    }
    worker.kill().await.unwrap();
    let gone = async {
        while working_in(&files).iter().any(|line| line.starts_with("sh")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the program outlived its worker");
    // What the kernel does not end with it (a child of the program), the next worker does.
    end_leftovers(&files);
    std::fs::remove_dir_all(files.parent().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_gets_nothing_that_the_worker_has_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "secret").unwrap();
    // Opened as many libraries do, without the flag that closes it in other programs.
    let open = rustix::fs::open(&path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
    let open = open.unwrap();
    let seen = Case::shell("ls -l /proc/$$/fd").run(&launcher()).await;
    drop(open);
    let text = seen.text();
    assert!(text.contains("/dev/null"), "it sees what it has: {text}");
    assert!(!text.contains(path.to_str().unwrap()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_worker_left_running_is_ended() {
    let case = Case::new(&["true"]);
    let mut left = tokio::process::Command::new("sleep")
        .arg("300")
        .env("GRANARY_FILES", case.files())
        .spawn()
        .unwrap();
    let mut stranger = tokio::process::Command::new("sleep")
        .arg("300")
        .env(
            "GRANARY_FILES",
            format!("{}-2/files", case.folder.path().display()),
        )
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while !working_in(&case.files())
        .iter()
        .any(|line| line.starts_with("sleep"))
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(end_leftovers(&case.program.folder), 1);
    assert!(!left.wait().await.unwrap().success());
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "a folder whose name only begins the same is another one"
    );
}
