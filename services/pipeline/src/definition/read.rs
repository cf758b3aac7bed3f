//! Reading a definition.

use std::collections::HashMap;

use granary_core::{
    Error, Result,
    error::Violations,
    name::{IdKind, quote},
    suggest,
};
use granary_proto::pipeline::v1::{PipelineDefinition, Step as WireStep, Trigger, step::Kind};

use super::{Definition, ForEach, Step, When, graph, params::Params};
use crate::steps::{Action, CHECKS, TRANSFORMS, Transform};

const MAX_STEPS: usize = 64;
const MAX_NEEDS: usize = MAX_STEPS;
/// The one event that starts pipelines.
pub(crate) const EVENT: &str = "session.completed";

/// Reads a definition.
///
/// # Errors
/// Everything that is wrong with it, with paths such as `steps[2].with.max_edge`.
pub(crate) fn read(wire: &PipelineDefinition) -> Result<Definition> {
    let mut wrong = Violations::default();
    wrong.check(IdKind::Slug.check("name", &wire.name))?;
    let dataset = read_trigger(wire.on.as_ref(), &mut wrong)?;
    let for_each = read_for_each(&wire.for_each, &mut wrong);
    if wire.steps.is_empty() || wire.steps.len() > MAX_STEPS {
        wrong.add(
            "steps",
            format!("expected 1 to {MAX_STEPS} steps, got {}", wire.steps.len()),
        );
        wrong.finish()?;
        return Err(Error::invalid("steps", "is required"));
    }
    let needs = read_names(&wire.steps, &mut wrong)?;
    let mut steps = Vec::with_capacity(wire.steps.len());
    for ((at, step), needs) in wire.steps.iter().enumerate().zip(&needs) {
        let read = read_step(step, needs, &dataset, for_each)
            .map_err(|error| error.within(&format!("steps[{at}]")));
        steps.push(wrong.check(read)?.flatten());
    }
    let order = read_order(&wire.steps, &needs, &mut wrong);
    check_scopes(&steps, &needs, &mut wrong);
    wrong.finish()?;
    Ok(Definition {
        name: wire.name.clone(),
        dataset,
        for_each,
        steps: steps.into_iter().flatten().collect(),
        order,
    })
}

fn read_trigger(on: Option<&Trigger>, wrong: &mut Violations) -> Result<String> {
    let Some(on) = on else {
        wrong.add(
            "on",
            format!("is required, such as {{ event: {EVENT}, dataset: recordings }}"),
        );
        return Ok(String::new());
    };
    if on.event != EVENT {
        let got = if on.event.is_empty() {
            "nothing".to_owned()
        } else {
            quote(&on.event)
        };
        wrong.add("on.event", format!("expected {EVENT}, got {got}"));
    }
    wrong.check(IdKind::Slug.check("on.dataset", &on.dataset))?;
    Ok(on.dataset.clone())
}

fn read_for_each(text: &str, wrong: &mut Violations) -> ForEach {
    match text {
        "" | "asset" => ForEach::Asset,
        "session" => ForEach::Session,
        other => {
            wrong.add(
                "for_each",
                format!("expected asset or session, got {}", quote(other)),
            );
            ForEach::Asset
        }
    }
}

/// Checks the names of all steps, and turns `needs` into places; what is unknown is noted and left out.
fn read_names(steps: &[WireStep], wrong: &mut Violations) -> Result<Vec<Vec<usize>>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        let named = wrong.check(IdKind::Slug.check(&format!("steps[{at}].name"), &step.name))?;
        if named.is_none() {
            continue;
        }
        if let Some(first) = places.get(step.name.as_str()) {
            wrong.add(
                format!("steps[{at}].name"),
                format!("{} is the name of steps[{first}] too", quote(&step.name)),
            );
        } else {
            places.insert(&step.name, at);
        }
    }
    let mut needs = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let mut found = Vec::new();
        if step.needs.len() > MAX_NEEDS {
            wrong.add(
                format!("steps[{at}].needs"),
                format!(
                    "expected at most {MAX_NEEDS} names, got {}",
                    step.needs.len()
                ),
            );
        }
        for (nth, need) in step.needs.iter().take(MAX_NEEDS).enumerate() {
            match places.get(need.as_str()) {
                Some(place) => found.push(*place),
                None => {
                    let hint =
                        suggest::did_you_mean(need, steps.iter().map(|step| step.name.as_str()));
                    wrong.add(
                        format!("steps[{at}].needs[{nth}]"),
                        format!("unknown step {}; {hint}", quote(need)),
                    );
                }
            }
        }
        needs.push(found);
    }
    Ok(needs)
}

fn read_order(steps: &[WireStep], needs: &[Vec<usize>], wrong: &mut Violations) -> Vec<usize> {
    match graph::order(needs) {
        Ok(order) => order,
        Err(cycle) => {
            let names: Vec<&str> = cycle
                .iter()
                .filter_map(|at| steps.get(*at))
                .map(|step| step.name.as_str())
                .collect();
            let at = cycle.first().copied().unwrap_or(0);
            wrong.add(
                format!("steps[{at}].needs"),
                format!("the steps {} form a cycle", names.join(" -> ")),
            );
            Vec::new()
        }
    }
}

fn read_step(
    wire: &WireStep,
    needs: &[usize],
    dataset: &str,
    for_each: ForEach,
) -> Result<Option<Step>> {
    let mut wrong = Violations::default();
    let mut params = Params::new(wire.with.as_ref());
    let action = wrong.check(read_action(wire.kind.as_ref(), &mut params))?;
    let whole_session = action.as_ref().is_some_and(Action::is_of_session);
    let when = When::parse(&wire.when, whole_session).map_err(|error| error.within("when"));
    let when = wrong.check(when)?;
    if let Some(action) = &action {
        wrong.check(params.finish().map_err(|error| error.within("with")))?;
        check_into(action, &wire.into, dataset, &mut wrong)?;
        if for_each == ForEach::Session && !action.is_of_session() {
            wrong.add(
                action.noun(),
                format!(
                    "{} works on single assets: write for_each: asset",
                    quote(action.name())
                ),
            );
        }
    }
    wrong.finish()?;
    let into = Some(wire.into.clone()).filter(|into| !into.is_empty());
    Ok(action.zip(when).map(|(action, when)| Step {
        name: wire.name.clone(),
        action,
        when,
        needs: needs.to_vec(),
        into,
    }))
}

fn read_action(kind: Option<&Kind>, params: &mut Params<'_>) -> Result<Action> {
    let (field, other, name, known, others): (_, _, _, &[&str], &[&str]) = match kind {
        None => {
            return Err(Error::invalid(
                "",
                "expected a check or a transform, such as check: media-type",
            ));
        }
        Some(Kind::Check(name)) => ("check", "transform", name, &CHECKS, &TRANSFORMS),
        Some(Kind::Transform(name)) => ("transform", "check", name, &TRANSFORMS, &CHECKS),
    };
    if others.contains(&name.as_str()) {
        return Err(Error::invalid(
            field,
            format!("{} is a {other}: write {other}: {name}", quote(name)),
        ));
    }
    Action::read(name, params)
        .filter(|_| known.contains(&name.as_str()))
        .ok_or_else(|| {
            Error::invalid(
                field,
                format!(
                    "unknown {field} {}; {}",
                    quote(name),
                    suggest::did_you_mean(name, known.iter().copied())
                ),
            )
        })
}

fn check_into(action: &Action, into: &str, dataset: &str, wrong: &mut Violations) -> Result<()> {
    let takes = matches!(
        action,
        Action::Transform(Transform::Thumbnail(_) | Transform::Copy)
    );
    if takes && into.is_empty() {
        wrong.add(
            "into",
            format!(
                "is required for {}: the id of the dataset that takes the result",
                action.name()
            ),
        );
    } else if !takes && !into.is_empty() {
        wrong.add(
            "into",
            format!("{} makes no files: leave it out", action.name()),
        );
    } else if !into.is_empty() {
        wrong.check(IdKind::Slug.check("into", into))?;
        if into == dataset {
            wrong.add(
                "into",
                format!(
                    "{} starts this pipeline: results would start it again; use another dataset",
                    quote(into)
                ),
            );
        }
    }
    Ok(())
}

/// A check runs before every transform, and a step of the whole session before those of single assets: neither can wait for the other.
fn check_scopes(steps: &[Option<Step>], needs: &[Vec<usize>], wrong: &mut Violations) {
    for (at, (step, needs)) in steps.iter().zip(needs).enumerate() {
        let Some(step) = step else { continue };
        for need in needs.iter().filter_map(|need| steps.get(*need)?.as_ref()) {
            let field = || format!("steps[{at}].needs");
            if step.action.is_check() && !need.action.is_check() {
                wrong.add(field(), format!("{} is a transform, which runs after all checks: a check can need checks only", quote(&need.name)));
            } else if step.action.is_of_session() && !need.action.is_of_session() {
                wrong.add(
                    field(),
                    format!(
                        "{} is a step of each asset: a step of the whole session cannot need it",
                        quote(&need.name)
                    ),
                );
            }
        }
    }
}
