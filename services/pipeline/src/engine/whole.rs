//! Steps of the session as a whole: each runs once, whatever the number of assets.

use std::collections::BTreeMap;

use granary_core::{Result, sidecar::Listed, value::Value};

use super::{Engine, plan::Plan};
use crate::{
    definition::Step,
    item::SessionInfo,
    record::{AssetRecord, Outcome, StepRecord},
    report::{self, Report},
    session_file::SessionFile,
    steps::{self, Action, Check, Transform},
};

/// Runs the steps of the whole session, and notes in each plan what they found. Returns the attributes to add to the session.
pub(crate) async fn judge(
    engine: &Engine,
    session: &SessionInfo,
    file: &SessionFile,
    plans: &mut [Plan],
) -> Result<BTreeMap<String, Value>> {
    let mut listed = Vec::new();
    for plan in plans.iter() {
        for step in &plan.definition.steps {
            if let Action::Check(Check::SessionComplete(check)) = &step.action {
                listed.push(check.listed(session, file));
            }
        }
    }
    look_for(engine, session, &mut listed).await?;
    let mut listed = listed.into_iter();
    for plan in plans.iter_mut() {
        // In the order of the definition, as above; what is needed decides below.
        let found: Vec<Option<Report>> = plan
            .definition
            .steps
            .iter()
            .enumerate()
            .map(|(place, step)| match &step.action {
                Action::Check(Check::SessionComplete(_)) => listed.next().map(|listed| {
                    plan.time(place, || match listed {
                        Ok(listed) => steps::missing(&listed),
                        Err(report) => report,
                    })
                }),
                Action::Check(Check::MetadataSchema(check)) => {
                    Some(plan.time(place, || check.run(session, file)))
                }
                _ => None,
            })
            .collect();
        note(plan, session, &found);
    }
    Ok(transform(session, file, plans))
}

/// Goes through the session's assets until all that is listed was seen.
async fn look_for(
    engine: &Engine,
    session: &SessionInfo,
    listed: &mut [std::result::Result<Listed, Report>],
) -> Result<()> {
    let mut token = String::new();
    while listed.iter().flatten().any(|listed| !listed.is_over()) {
        let (items, next) = engine.remote.assets(&session.name, token).await?;
        for item in &items {
            for listed in listed.iter_mut().flatten() {
                listed.saw(&item.path);
            }
        }
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(())
}

fn note(plan: &mut Plan, session: &SessionInfo, found: &[Option<Report>]) {
    let definition = plan.definition.clone();
    for (place, step) in definition.in_order() {
        let Some(Some(errors)) = found.get(place) else {
            continue;
        };
        let record = if applies(plan, step, session) {
            StepRecord::judged(&step.name, errors.clone(), false)
        } else {
            StepRecord::skipped(&step.name)
        };
        set(plan, place, record);
    }
}

/// Transforms of the session run where all of its checks, in all pipelines, passed.
fn transform(
    session: &SessionInfo,
    file: &SessionFile,
    plans: &mut [Plan],
) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let passed = plans.iter().all(|plan| plan.session_errors().is_empty());
    for plan in plans {
        let definition = plan.definition.clone();
        for (place, step) in definition.in_order() {
            if !matches!(
                step.action,
                Action::Transform(Transform::MetadataAttributes)
            ) {
                continue;
            }
            if !passed || !applies(plan, step, session) {
                set(plan, place, StepRecord::skipped(&step.name));
                continue;
            }
            let made = plan.time(place, || steps::metadata_attributes(session, file));
            let errors = match made {
                Ok(attributes) => {
                    all.extend(attributes);
                    Report::new()
                }
                Err(message) => report::one("metadata", message),
            };
            set(plan, place, StepRecord::judged(&step.name, errors, false));
        }
    }
    all
}

fn applies(plan: &Plan, step: &Step, session: &SessionInfo) -> bool {
    let passed = |need: &usize| {
        plan.of_session
            .get(*need)
            .and_then(Option::as_ref)
            .is_some_and(StepRecord::passed)
    };
    step.when.applies_to_session(session) && step.needs.iter().all(passed)
}

fn set(plan: &mut Plan, place: usize, record: StepRecord) {
    if let Some(slot) = plan.of_session.get_mut(place) {
        *slot = Some(record);
    }
}

/// What a run with `for_each: session` found.
pub(crate) fn record(plan: &Plan) -> AssetRecord {
    let steps: Vec<StepRecord> = plan.of_session.iter().flatten().cloned().collect();
    AssetRecord {
        run: plan.run.run.clone(),
        asset: String::new(),
        path: String::new(),
        rejected: steps.iter().any(|step| step.outcome == Outcome::Failed),
        steps,
        cached: 0,
        worked: 0,
    }
}
