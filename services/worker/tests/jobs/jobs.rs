use std::{collections::BTreeMap, time::Duration};

use granary_proto::job::v1::{CancelJobRequest, FailureClass, Input, Job, JobState};

use crate::world::{World, text};

fn input(references: &[&str]) -> Vec<Input> {
    vec![Input {
        mapping: "data_ids".into(),
        references: references.iter().map(ToString::to_string).collect(),
        pinned: vec![],
    }]
}

const COPY: &str = r#"
import os, pathlib, sys
root = pathlib.Path(os.environ["GRANARY_FILES"])
for path in sorted((root / "data").rglob("*")):
    if path.is_file():
        to = root / "output" / path.relative_to(root / "data")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
        print(path.relative_to(root), flush=True)
(root / "artifact" / "word").write_text(sys.argv[1] + os.environ["SEED"])
(root / "log" / "own.log").write_text("own")
os.symlink("/etc/passwd", root / "output" / "link")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_go_in_and_results_come_back_with_their_origin() {
    let world = World::start().await;
    world.script(COPY, |_| ()).await;
    let session = world
        .session(
            "raw",
            "20210229_161221",
            &[("a.bin", b"abc"), ("deep/b c.bin", b""), ("é\u{301}", b"x")],
        )
        .await;
    let worker = world.worker(1);
    let job = Job {
        inputs: input(&[&session.to_string()]),
        parameters: BTreeMap::from([("word".into(), text("$(touch pwned)"))]),
        env: BTreeMap::from([("SEED".into(), "7".into())]),
        ..Job::default()
    };
    let job = world.submit("copy", job).await;
    let job = world.ended(&job.name).await;
    assert_eq!(job.state(), JobState::Succeeded, "{:?}", job.attempts);

    let output = world.contents(&job.outputs["output"]).await;
    let expected = [
        ("20210229_161221/a.bin", "abc"),
        ("20210229_161221/deep/b c.bin", ""),
        ("20210229_161221/é\u{301}", "x"),
    ];
    assert_eq!(
        output,
        expected
            .map(|(path, data)| (path.to_owned(), data.into()))
            .into()
    );
    assert_eq!(
        world.contents(&job.outputs["artifact"]).await,
        [("word".to_owned(), b"$(touch pwned)7".to_vec())].into()
    );
    let logs = world.contents(&job.outputs["log"]).await;
    assert_eq!(logs["own.log"], b"own");
    let printed = String::from_utf8(logs["stdout.log"].clone()).unwrap();
    assert!(
        printed.starts_with("data/20210229_161221/a.bin\n"),
        "{printed}"
    );
    assert!(
        printed.contains("[not collected: \"link\": it is a link or a special file]"),
        "{printed}"
    );
    assert_eq!(
        world.log_with(&job.name, "").await,
        printed,
        "the live log and the stored one are the same"
    );

    assert_eq!(
        job.outputs["output"],
        "projects/default/datasets/job-outputs/sessions/copy-1"
    );
    let made = world.get_session(&job.outputs["output"]).await;
    assert_eq!(
        (made.producer.as_str(), made.derived_from),
        ("projects/default/jobs/copy", vec![session.to_string()])
    );
    assert!(
        !world.work_folder().join("default.copy-1").exists(),
        "the working folder is gone"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_of_one_job_are_the_input_of_another() {
    let world = World::start().await;
    world.script(COPY, |_| ()).await;
    let worker = world.worker(2);
    let env = BTreeMap::from([("SEED".to_owned(), "1".to_owned())]);
    let first = world
        .submit(
            "first",
            Job {
                env: env.clone(),
                ..Job::default()
            },
        )
        .await;
    let first = world.ended(&first.name).await;
    assert_eq!(first.state(), JobState::Succeeded);
    world.processed(&first.outputs["artifact"]).await;
    let second = world
        .submit(
            "second",
            Job {
                inputs: input(&[&first.name]),
                env,
                ..Job::default()
            },
        )
        .await;
    let second = world.ended(&second.name).await;
    assert_eq!(
        world.contents(&second.outputs["output"]).await,
        [("first-1/word".to_owned(), b"1".to_vec())].into()
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_what_happened_and_keep_the_log() {
    let world = World::start().await;
    let worker = world.worker(1);
    world
        .script(
            "import sys; print('last words', flush=True); sys.exit(3)",
            |_| (),
        )
        .await;
    let job = world.submit("failing", Job::default()).await;
    let job = world.ended(&job.name).await;
    let attempt = &job.attempts[0];
    assert_eq!(
        (job.state(), attempt.failure(), attempt.exit_code),
        (JobState::Failed, FailureClass::Application, 3)
    );
    assert_eq!(
        attempt.message,
        "the program exited with code 3: its log may say why"
    );
    assert_eq!(
        world.contents(&job.outputs["log"]).await["stdout.log"],
        b"last words\n"
    );
    assert!(!job.outputs.contains_key("output"));

    let hungry = "import time\nx = []\nwhile len(x) < 64:\n    x.append(b'x' * (16 << 20)); time.sleep(0.02)";
    world
        .script(hungry, |e| {
            e.resources.as_mut().unwrap().memory_bytes = 128 << 20
        })
        .await;
    let job = world.submit("hungry", Job::default()).await;
    let attempt = world.ended(&job.name).await.attempts.pop().unwrap();
    assert_eq!(attempt.failure(), FailureClass::OutOfMemory, "{attempt:?}");
    assert!(
        attempt.message.starts_with("used ")
            && attempt
                .message
                .ends_with(" of 128 MiB: raise resources.memory"),
        "{}",
        attempt.message
    );
    assert!(attempt.peak_memory_bytes > 128 << 20);

    let second = prost_types::Duration {
        seconds: 1,
        nanos: 0,
    };
    world
        .script("import time; time.sleep(60)", |e| {
            e.resources.as_mut().unwrap().timeout = Some(second)
        })
        .await;
    let job = world.submit("slow", Job::default()).await;
    let attempt = world.ended(&job.name).await.attempts.pop().unwrap();
    assert_eq!(
        (attempt.failure(), attempt.message.as_str()),
        (
            FailureClass::Timeout,
            "ran longer than 1s: raise resources.timeout"
        )
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_worker_sends_back_is_not_even_read() {
    let world = World::start().await;
    let worker = world.worker(1);
    // Files of holes: long, and on no disk.
    let huge = |folder: &str, code: i32| {
        format!(
            "import os, sys\nopen('{folder}/huge', 'w').truncate(1 << 30)\nprint('done', flush=True)\nsys.exit({code})"
        )
    };
    world.script(&huge("output", 0), |_| ()).await;
    let job = world.submit("large", Job::default()).await;
    let job = world.ended(&job.name).await;
    let attempt = &job.attempts[0];
    assert_eq!(
        (job.state(), attempt.failure(), attempt.exit_code),
        (JobState::Failed, FailureClass::Application, 0)
    );
    assert_eq!(
        attempt.message,
        "it left 1.1 GB to collect, and this worker sends back at most 64MiB: leave less, or raise --max-output of the worker"
    );
    assert_eq!(job.outputs.keys().collect::<Vec<_>>(), ["log"]);

    world.script(&huge("log", 3), |_| ()).await;
    let job = world.submit("loud", Job::default()).await;
    let job = world.ended(&job.name).await;
    assert_eq!(
        job.attempts[0].message, "the program exited with code 3: its log may say why",
        "the program's own failure goes before"
    );
    let logs = world.contents(&job.outputs["log"]).await;
    let printed = String::from_utf8_lossy(&logs["stdout.log"]);
    assert!(
        logs.len() == 1 && printed.starts_with("done\n[not collected: the logs: it left 1.1 GB"),
        "{printed}"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_followed_and_cancelled() {
    let world = World::start().await;
    world
        .script(
            "import time\nfor i in range(600):\n    print('tick', i, flush=True); time.sleep(0.1)",
            |_| (),
        )
        .await;
    let worker = world.worker(1);
    let job = world.submit("ticks", Job::default()).await;
    world.log_with(&job.name, "tick 3\n").await;
    world
        .jobs()
        .cancel_job(CancelJobRequest {
            name: job.name.clone(),
        })
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), world.ended(&job.name))
        .await
        .expect("cancelling takes seconds");
    assert_eq!(
        (ended.state(), ended.attempts[0].failure()),
        (JobState::Cancelled, FailureClass::Cancelled)
    );
    assert!(world.contents(&ended.outputs["log"]).await["stdout.log"].starts_with(b"tick 0\n"));
    worker.stop().await;
}

/// Waits for a file `go` beside its own folder, so that a test decides when it ends.
fn gated(world: &World) -> String {
    let gate = world.work_folder().parent().unwrap().join("go");
    format!(
        "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({:?}): time.sleep(0.05)",
        gate.to_str().unwrap()
    )
}

fn open_gate(world: &World) {
    std::fs::write(world.work_folder().parent().unwrap().join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_hands_its_job_back() {
    let world = World::start().await;
    world.script(&gated(&world), |_| ()).await;
    let worker = world.worker(1);
    let job = world.submit("gated", Job::default()).await;
    world.log_with(&job.name, "begun").await;
    worker.stop().await;
    let back = world.reached(&job.name, JobState::Queued).await;
    assert_eq!(
        (back.state(), back.attempts[0].message.as_str()),
        (
            JobState::Queued,
            "the worker stopped: the job is queued again"
        )
    );
    open_gate(&world);
    let worker = world.worker(1);
    let job = world.ended(&job.name).await;
    assert_eq!((job.state(), job.attempts.len()), (JobState::Succeeded, 2));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_crashes_takes_its_programs_along_and_its_job_is_tried_again() {
    let world = World::start().await;
    world.script(&gated(&world), |_| ()).await;
    // A worker in a runtime of its own, which ends without a word.
    let job = world.submit("gated", Job::default()).await;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let worker = {
        let _entered = runtime.enter();
        world.worker(1)
    };
    world.log_with(&job.name, "begun").await;
    runtime.shutdown_background();
    drop(worker);
    open_gate(&world);
    let (worker, job) = loop {
        let mut worker = world.worker(1);
        tokio::select! {
            job = world.ended(&job.name) => break (worker, job),
            // The folder is free only once the old worker is gone.
            refused = worker.failed() => assert!(refused.to_string().contains("another worker uses this folder"), "{refused}"),
        }
    };
    assert_eq!(
        (job.state(), job.attempts.len()),
        (JobState::Succeeded, 2),
        "{:?}",
        job.attempts
    );
    assert_eq!(job.attempts[0].failure(), FailureClass::LostLease);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_that_contradict_each_other_are_both_named() {
    let world = World::start().await;
    world.script(COPY, |_| ()).await;
    world.dataset("other").await;
    let a = world.session("raw", "s", &[("x.bin", b"a")]).await;
    let b = world.session("other", "s", &[("x.bin", b"b")]).await;
    let worker = world.worker(1);
    let job = world
        .submit(
            "clash",
            Job {
                inputs: input(&[&a.to_string(), &b.to_string()]),
                ..Job::default()
            },
        )
        .await;
    let job = world.ended(&job.name).await;
    let message = &job.attempts[0].message;
    assert_eq!(
        (job.state(), job.attempts[0].failure()),
        (JobState::Failed, FailureClass::Application)
    );
    assert!(
        message.contains(&a.to_string()) && message.contains(&b.to_string()),
        "{message}"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_missing_is_tried_elsewhere_and_then_fails() {
    let world = World::start().await;
    world
        .script("", |e| {
            e.app.as_mut().unwrap().cmd = vec!["no-such-program".into()]
        })
        .await;
    let worker = world.worker(1);
    let job = world.submit("missing", Job::default()).await;
    let job = world.ended(&job.name).await;
    assert_eq!((job.state(), job.attempts.len()), (JobState::Failed, 3));
    let last = job.attempts.last().unwrap();
    assert_eq!(last.failure(), FailureClass::Infrastructure);
    assert!(
        last.message
            .starts_with("cannot start the program: \"no-such-program\": there is no such program"),
        "{}",
        last.message
    );
    worker.stop().await;
}
