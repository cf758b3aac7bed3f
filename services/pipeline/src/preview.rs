//! What the steps of a definition would do for the newest session that it matches.

use std::sync::Arc;

use granary_core::{
    Result,
    name::{DatasetName, RunName},
};
use granary_proto::pipeline::v1::PlannedStep;
use granary_runtime::db::Db;

use crate::{
    definition::{Definition, ForEach, Step},
    engine::plan::Plan,
    item::{Item, SessionInfo},
    remote::Remote,
    steps::{Action, Check, Transform},
    store::cache::{self, Entry},
};

/// The most assets that are looked at, in pages: a plan is an answer to a person who waits.
const MAX_PAGES: usize = 40;

/// What would happen.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// The name of the session that was looked at; empty if none matches.
    pub(crate) session: String,
    pub(crate) steps: Vec<PlannedStep>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    run: i64,
    cached: i64,
    skipped: i64,
}

/// Looks at the newest completed session of `dataset`.
pub(crate) async fn preview(
    db: &Db,
    remote: &Remote,
    dataset: &DatasetName,
    definition: Definition,
) -> Result<Planned> {
    let mut tallies = vec![Tally::default(); definition.steps.len()];
    let Some(session) = remote.newest_session(dataset).await? else {
        let reason = format!(
            "no session has completed in the dataset {} yet",
            dataset.dataset
        );
        let steps = definition.steps.iter().map(|step| PlannedStep {
            step: step.name.clone(),
            reason: reason.clone(),
            ..Default::default()
        });
        return Ok(Planned {
            session: String::new(),
            steps: steps.collect(),
        });
    };
    let run = RunName {
        project: dataset.project.clone(),
        pipeline: definition.name.clone(),
        run: "plan".into(),
    };
    let plan = Plan::new(run, Arc::new(definition));
    let mut token = String::new();
    let mut cut = false;
    for page in 0..MAX_PAGES {
        let (items, next) = remote.assets(&session.name, token).await?;
        let contents: Vec<&str> = items.iter().map(|item| item.sha256.as_str()).collect();
        let known = cache::find(db.reader(), &dataset.project, &contents).await?;
        let nothing = Entry::new();
        for item in &items {
            count(
                &plan,
                &session,
                item,
                known.get(&item.sha256).unwrap_or(&nothing),
                &mut tallies,
            );
        }
        cut = page + 1 == MAX_PAGES && !next.is_empty();
        if next.is_empty() {
            break;
        }
        token = next;
    }
    let steps = plan.definition.steps.iter().zip(&tallies);
    let steps = steps
        .map(|(step, tally)| show(step, *tally, &plan, &session, cut))
        .collect();
    Ok(Planned {
        session: session.name.to_string(),
        steps,
    })
}

fn count(plan: &Plan, session: &SessionInfo, item: &Item, known: &Entry, tallies: &mut [Tally]) {
    for (step, tally) in plan.definition.steps.iter().zip(tallies) {
        let applies = if step.action.is_of_session() {
            step.when.applies_to_session(session)
        } else {
            plan.applies(step, item, session)
        };
        let key = match &step.action {
            Action::Check(Check::Content(check)) => Some(check.key(item)),
            Action::Transform(Transform::Thumbnail(thumbnail)) => Some(thumbnail.key()),
            _ => None,
        };
        match key {
            _ if !applies => tally.skipped += 1,
            Some(key) if known.contains_key(&key) => tally.cached += 1,
            _ => tally.run += 1,
        }
    }
}

fn show(step: &Step, tally: Tally, plan: &Plan, session: &SessionInfo, cut: bool) -> PlannedStep {
    let mut reason = if step.action.is_of_session() {
        let applies = step.when.applies_to_session(session);
        if applies {
            "runs once, for the session as a whole".to_owned()
        } else {
            "`when` does not match the session".to_owned()
        }
    } else {
        why(step, tally)
    };
    if plan.definition.for_each == ForEach::Asset && !step.needs.is_empty() {
        let needs: Vec<&str> = step
            .needs
            .iter()
            .filter_map(|need| plan.definition.steps.get(*need))
            .map(|need| need.name.as_str())
            .collect();
        reason.push_str(&format!("; only where {} passed", needs.join(", ")));
    }
    if cut {
        reason.push_str("; only the first assets of the session were looked at");
    }
    PlannedStep {
        step: step.name.clone(),
        run_count: tally.run,
        cached_count: tally.cached,
        skipped_count: tally.skipped,
        reason,
    }
}

fn why(step: &Step, tally: Tally) -> String {
    match (tally.run, tally.cached, tally.skipped) {
        (0, 0, 0) => "the session has no assets".into(),
        (0, 0, _) => "`when` matches no asset".into(),
        (0, _, _) => "every content was seen before with these parameters".into(),
        _ if matches!(step.action, Action::Transform(Transform::Copy)) => {
            "copies within the store, once for each session".into()
        }
        (_, 0, _) => "no content was seen before with these parameters".into(),
        _ => "some contents were seen before with these parameters".into(),
    }
}
