//! How attempts end: what that makes of the job, and whether there will be another attempt.

use granary_proto::job::v1::{FailureClass, Job};
use prost::Message as _;

use crate::{
    core::micros,
    state::{Event, State, WrongState},
    store::{attempts::Ended, jobs::Row},
};

/// How many attempts may end by a fault of the machinery.
pub(crate) const MAX_FAULTS: i64 = 3;
/// How many attempts there are at all: restarts of a worker do not count as faults, but a job that takes its worker down each time must end.
const MAX_ATTEMPTS: i64 = 100;
/// How long a job waits after each fault, so that a store that is down for a moment does not cost all attempts.
const BACK_OFF: [std::time::Duration; 2] = [
    std::time::Duration::from_secs(1),
    std::time::Duration::from_secs(5),
];

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub failure: FailureClass,
    pub message: String,
    pub exit_code: i32,
    pub peak: i64,
    /// The sessions that hold what it made, by kind.
    pub outputs: std::collections::BTreeMap<String, String>,
    /// Whether it counts towards [`MAX_FAULTS`], if it is tried again.
    pub counts: bool,
}

impl End {
    /// The worker was not heard of, or has started anew.
    pub(crate) fn lost(message: &str, counts: bool) -> Self {
        Self {
            failure: FailureClass::LostLease,
            message: message.to_owned(),
            exit_code: -1,
            peak: 0,
            outputs: std::collections::BTreeMap::new(),
            counts,
        }
    }
}

fn event(row: &Row, end: &End, faults: i64) -> Event {
    match end.failure {
        FailureClass::Unspecified => Event::Succeeded,
        FailureClass::Application | FailureClass::Timeout | FailureClass::OutOfMemory => {
            Event::Failed
        }
        FailureClass::Cancelled => Event::Cancelled,
        FailureClass::Infrastructure | FailureClass::LostLease if row.cancel => Event::Cancelled,
        FailureClass::Infrastructure | FailureClass::LostLease
            if faults >= MAX_FAULTS || row.attempt >= MAX_ATTEMPTS =>
        {
            Event::Failed
        }
        FailureClass::Infrastructure | FailureClass::LostLease => Event::Returned,
    }
}

/// Ends the present attempt of a job that is held: changes its row, and gives the record of the attempt.
pub(crate) fn apply(row: &mut Row, end: End, now: i64) -> Result<Ended, WrongState> {
    let faults = row.faults + i64::from(end.counts);
    let state = row.state.next(event(row, &end, faults))?;
    let acquired = row.acquired.unwrap_or(now);
    let worker = row.worker.take().unwrap_or_default();
    if state == State::Queued {
        row.faults = faults;
        row.avoid = end.counts.then(|| worker.clone());
        let pause = usize::try_from(faults - 1)
            .ok()
            .and_then(|n| BACK_OFF.get(n))
            .copied()
            .unwrap_or_default();
        let pause = if end.counts { micros(pause) } else { 0 };
        row.ready = now.saturating_add(pause);
    } else {
        row.finished = Some(now);
    }
    if !end.outputs.is_empty() {
        row.outputs = Job {
            outputs: end.outputs,
            ..Job::default()
        }
        .encode_to_vec();
    }
    row.state = state;
    row.expires = None;
    Ok(Ended {
        job: row.seq,
        number: row.attempt,
        worker,
        started: acquired,
        finished: now,
        failure: i64::from(end.failure as i32),
        message: end.message,
        exit_code: i64::from(end.exit_code),
        peak: end.peak,
    })
}

#[cfg(test)]
mod tests {
    use granary_core::name::JobName;

    use super::*;

    fn running() -> Row {
        Row {
            seq: 1,
            name: JobName::new("p", "j").unwrap(),
            definition: String::new(),
            state: State::Running,
            cancel: false,
            lease: 1,
            attempt: 1,
            faults: 0,
            worker: Some("w".into()),
            avoid: None,
            ready: 0,
            expires: Some(9),
            acquired: Some(5),
            started: None,
            finished: None,
            log_end: 0,
            outputs: Vec::new(),
            created: 1,
            spec: Vec::new(),
        }
    }

    fn end(failure: FailureClass, counts: bool) -> End {
        End {
            failure,
            ..End::lost("", counts)
        }
    }

    #[test]
    fn faults_of_the_program_are_final() {
        for failure in [
            FailureClass::Application,
            FailureClass::Timeout,
            FailureClass::OutOfMemory,
        ] {
            let mut row = running();
            apply(&mut row, end(failure, true), 7).unwrap();
            assert_eq!(
                (row.state, row.finished, row.worker, row.expires),
                (State::Failed, Some(7), None, None)
            );
        }
    }

    #[test]
    fn faults_of_the_machinery_are_tried_again_three_times_in_all() {
        let mut row = running();
        for faults in 1..=2 {
            let ended = apply(&mut row, end(FailureClass::Infrastructure, true), 7).unwrap();
            assert_eq!(
                (row.state, row.faults, row.avoid.as_deref()),
                (State::Queued, faults, Some("w"))
            );
            assert!(row.ready > 7 && ended.worker == "w");
            row = Row {
                state: State::Assigned,
                worker: Some("w".into()),
                ..row
            };
        }
        apply(&mut row, end(FailureClass::LostLease, true), 7).unwrap();
        assert_eq!(row.state, State::Failed);
    }

    #[test]
    fn restarts_of_a_worker_do_not_count_but_are_not_endless() {
        let mut row = Row {
            attempt: 50,
            faults: 2,
            ..running()
        };
        apply(&mut row, End::lost("restarted", false), 7).unwrap();
        assert_eq!(
            (row.state, row.faults, row.ready, row.avoid),
            (State::Queued, 2, 7, None)
        );
        let mut row = Row {
            attempt: 100,
            ..running()
        };
        apply(&mut row, End::lost("restarted", false), 7).unwrap();
        assert_eq!(row.state, State::Failed);
    }

    #[test]
    fn who_wanted_it_to_end_gets_that_whatever_happens_to_the_worker() {
        let mut row = Row {
            cancel: true,
            ..running()
        };
        apply(&mut row, End::lost("lost", true), 7).unwrap();
        assert_eq!(row.state, State::Cancelled);
        let mut row = Row {
            cancel: true,
            ..running()
        };
        apply(&mut row, end(FailureClass::Unspecified, true), 7).unwrap();
        assert_eq!(
            row.state,
            State::Succeeded,
            "it ended before it was stopped"
        );
    }
}
