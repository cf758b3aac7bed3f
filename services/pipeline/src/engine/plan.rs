//! What a run wants of the session that it works on.

use std::sync::Arc;

use granary_core::name::RunName;

use super::{measures::StepSeconds, timing::Timing};
use crate::{
    definition::{Definition, ForEach, Step},
    item::{Item, SessionInfo},
    record::StepRecord,
    report::{self, Report},
    steps::{Action, Check, ContentCheck, Thumbnail, Transform},
};

/// One run, with its definition and what its steps of the whole session found.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) run: RunName,
    pub(crate) definition: Arc<Definition>,
    /// By place; none for steps of single assets.
    pub(crate) of_session: Vec<Option<StepRecord>>,
    /// By place, when each step worked.
    pub(crate) timings: Arc<[Timing]>,
    /// By place, for metrics.
    seconds: Arc<[StepSeconds]>,
}

impl Plan {
    pub(crate) fn new(run: RunName, definition: Arc<Definition>) -> Self {
        let of_session = vec![None; definition.steps.len()];
        let timings = definition.steps.iter().map(|_| Timing::new()).collect();
        let seconds = definition.steps.iter().map(|step| &step.action);
        let seconds = seconds.map(StepSeconds::of).collect();
        Self {
            run,
            definition,
            of_session,
            timings,
            seconds,
        }
    }

    /// Does a piece of the work of the step at a place.
    pub(crate) fn time<T>(&self, place: usize, work: impl FnOnce() -> T) -> T {
        let _measured = self.seconds.get(place).map(StepSeconds::begin);
        match self.timings.get(place) {
            Some(timing) => timing.time(work),
            None => work(),
        }
    }

    /// Exports a span for each step that worked.
    pub(super) fn export(&self) {
        for (step, timing) in self.definition.steps.iter().zip(&*self.timings) {
            timing.export(&step.name, self.run.to_string());
        }
    }

    /// Whether it has a say about single assets.
    pub(crate) fn is_of_assets(&self) -> bool {
        self.definition.for_each == ForEach::Asset
    }

    /// Whether a step of single assets applies to an asset.
    pub(crate) fn applies(&self, step: &Step, item: &Item, session: &SessionInfo) -> bool {
        self.is_of_assets() && !step.action.is_of_session() && step.when.applies(item, session)
    }

    /// The checks of content that apply to an asset.
    pub(crate) fn content_checks<'a>(
        &'a self,
        item: &'a Item,
        session: &'a SessionInfo,
    ) -> impl Iterator<Item = &'a ContentCheck> {
        self.definition
            .steps
            .iter()
            .filter_map(move |step| match &step.action {
                Action::Check(Check::Content(check)) if self.applies(step, item, session) => {
                    Some(check)
                }
                _ => None,
            })
    }

    /// The thumbnails that an asset wants.
    pub(crate) fn thumbnails<'a>(
        &'a self,
        item: &'a Item,
        session: &'a SessionInfo,
    ) -> impl Iterator<Item = &'a Thumbnail> {
        self.definition
            .steps
            .iter()
            .filter_map(move |step| match &step.action {
                Action::Transform(Transform::Thumbnail(thumbnail))
                    if self.applies(step, item, session) =>
                {
                    Some(thumbnail)
                }
                _ => None,
            })
    }

    /// Whether any step looks at bytes.
    pub(crate) fn reads(&self) -> bool {
        self.definition.steps.iter().any(|step| {
            matches!(
                step.action,
                Action::Check(Check::Content(_)) | Action::Transform(Transform::Thumbnail(_))
            )
        })
    }

    /// Whether any step wants all of the bytes.
    pub(crate) fn reads_whole(&self) -> bool {
        self.definition.steps.iter().any(|step| match &step.action {
            Action::Check(Check::Content(check)) => check.needs_whole(),
            Action::Transform(Transform::Thumbnail(_)) => true,
            _ => false,
        })
    }

    /// What its steps of the whole session found wrong.
    pub(crate) fn session_errors(&self) -> Report {
        let mut errors = Report::new();
        for record in self.of_session.iter().flatten() {
            report::merge(&mut errors, &record.errors);
        }
        errors
    }

    /// How many of its steps of the whole session ran.
    pub(crate) fn session_effort(&self) -> i64 {
        let ran = self
            .of_session
            .iter()
            .flatten()
            .filter(|record| record.outcome != crate::record::Outcome::Skipped);
        i64::try_from(ran.count()).unwrap_or(i64::MAX)
    }
}
