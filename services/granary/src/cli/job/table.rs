//! Jobs as tables and lines.

use granary_proto::job::v1::{Attempt, Job, JobState};

use crate::{human, output::Table, show};

pub(super) const HEADERS: [&str; 6] = ["JOB", "STATE", "ENTRYPOINT", "ATTEMPTS", "CREATED", "TOOK"];

pub(super) fn row(job: &Job) -> [String; 6] {
    [
        human::short(&job.name),
        state(job).to_owned(),
        human::short(&job.entrypoint),
        job.attempts.len().to_string(),
        human::time(job.create_time.as_ref()),
        human::between(job.start_time.as_ref(), job.finish_time.as_ref()),
    ]
}

pub(super) fn state(job: &Job) -> &'static str {
    human::state(job.state().as_str_name(), "JOB_STATE")
}

pub(super) fn has_ended(job: &Job) -> bool {
    matches!(
        job.state(),
        JobState::Succeeded | JobState::Failed | JobState::Cancelled
    )
}

/// One line on what a cancellation came to.
pub(super) fn cancelled(job: &Job) -> String {
    let what = if has_ended(job) {
        "cancelled"
    } else {
        "is being stopped, within seconds"
    };
    format!("{}  {what}", human::short(&job.name))
}

/// One line on how a job ended, and where what it made is.
pub(super) fn end(job: &Job) -> String {
    let took = human::between(job.start_time.as_ref(), job.finish_time.as_ref());
    let mut text = format!("{}  {}", human::short(&job.name), state(job).to_lowercase());
    if !took.is_empty() {
        text.push_str(&format!("  in {took}"));
    }
    if let Some(attempt) = job
        .attempts
        .last()
        .filter(|attempt| !attempt.message.is_empty())
    {
        text.push_str(&format!(": {}", human::shown(&attempt.message)));
    }
    text.push('\n');
    for (kind, session) in &job.outputs {
        text.push_str(&format!("  {kind}: {}\n", human::short(session)));
    }
    text
}

pub(super) fn details(job: &Job) -> Table {
    let mut table = Table::fields()
        .field("Name", &job.name)
        .field("State", state(job))
        .field("Waits", &job.wait_reason)
        .field("Entrypoint", &job.entrypoint)
        .field("Priority", job.priority.to_string())
        .field("Author", &job.author)
        .field("Created", human::time(job.create_time.as_ref()))
        .field("Started", human::time(job.start_time.as_ref()))
        .field("Finished", human::time(job.finish_time.as_ref()));
    for (name, value) in &job.parameters {
        table = table.field(&format!("parameters.{name}"), show::value(value));
    }
    for (name, value) in &job.env {
        table = table.field(&format!("env.{name}"), value);
    }
    for input in &job.inputs {
        let pinned = if input.pinned.is_empty() {
            &input.references
        } else {
            &input.pinned
        };
        table = table.field(
            &format!("inputs.{}", input.mapping),
            pinned
                .iter()
                .map(|name| human::short(name))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    for (kind, session) in &job.outputs {
        table = table.field(&format!("outputs.{kind}"), human::short(session));
    }
    job.attempts.iter().fold(table, |table, one| {
        table.field(&format!("attempt {}", one.number), attempt(one))
    })
}

fn attempt(attempt: &Attempt) -> String {
    let mut parts = vec![format!("on {}", human::last(&attempt.worker))];
    let took = human::between(attempt.start_time.as_ref(), attempt.finish_time.as_ref());
    if !took.is_empty() {
        parts.push(format!("took {took}"));
    }
    let failure = human::state(attempt.failure().as_str_name(), "FAILURE_CLASS");
    if !failure.is_empty() {
        parts.push(failure.to_lowercase().replace('_', " "));
    }
    // Below 0 the program did not exit by itself: the message says how it ended.
    if attempt.exit_code > 0 {
        parts.push(format!("exit code {}", attempt.exit_code));
    }
    if attempt.peak_memory_bytes > 0 {
        parts.push(format!(
            "at most {} of memory",
            human::bytes(attempt.peak_memory_bytes)
        ));
    }
    if !attempt.message.is_empty() {
        parts.push(attempt.message.clone());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::job::v1::FailureClass;
    use std::collections::BTreeMap;

    #[test]
    fn the_end_of_a_job_says_why_and_where_its_outputs_are() {
        let attempt = Attempt {
            message: "exited with 3".into(),
            failure: FailureClass::Application.into(),
            exit_code: 3,
            ..Attempt::default()
        };
        let job = Job {
            name: "projects/p/jobs/j1".into(),
            state: JobState::Failed.into(),
            attempts: vec![attempt.clone()],
            outputs: BTreeMap::from([(
                "log".to_owned(),
                "projects/p/datasets/job-logs/sessions/j1-1".to_owned(),
            )]),
            ..Job::default()
        };
        assert_eq!(
            end(&job),
            "j1  failed: exited with 3\n  log: job-logs/j1-1\n"
        );
        assert_eq!(
            super::attempt(&attempt),
            "on , application, exit code 3, exited with 3"
        );
        let killed = Attempt {
            message: "ended by signal 11".into(),
            exit_code: -1,
            ..Attempt::default()
        };
        assert_eq!(super::attempt(&killed), "on , ended by signal 11");
    }
}
