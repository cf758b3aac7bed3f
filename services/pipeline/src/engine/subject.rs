//! What all assets of a session have in common while it is worked on.

use super::plan::Plan;
use crate::{
    item::SessionInfo,
    record::StepRecord,
    report::{self, Report},
};

/// How much of what is wrong with the session is repeated on each of its assets, in bytes: there may be a great many of them.
const ON_ASSETS: usize = 2 << 10;
const REST: (&str, &str) = ("session", "more is wrong with it: see the session's errors");

/// A session, with what its runs want and found out about it as a whole.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) session: SessionInfo,
    pub(crate) plans: Vec<Plan>,
    /// By plan and place, what each asset's results begin with.
    pub(super) of_session: Vec<Vec<Option<StepRecord>>>,
    /// What is wrong with the session, as each asset says it.
    pub(super) errors: Report,
}

impl Subject {
    /// With plans whose steps of the whole session have run.
    pub(super) fn new(session: SessionInfo, plans: Vec<Plan>) -> Self {
        let short = |record: &StepRecord| StepRecord {
            errors: report::cut(&record.errors, ON_ASSETS, REST),
            ..record.clone()
        };
        let of_session = plans
            .iter()
            .map(|plan| {
                let records = plan.of_session.iter();
                records.map(|record| record.as_ref().map(short)).collect()
            })
            .collect();
        let mut errors = Report::new();
        for plan in plans.iter().filter(|plan| plan.is_of_assets()) {
            report::merge(&mut errors, &plan.session_errors());
        }
        Self {
            session,
            plans,
            of_session,
            errors: report::cut(&errors, ON_ASSETS, REST),
        }
    }
}
