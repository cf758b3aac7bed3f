//! All that the pipelines of a session want to know of one asset, from one reading of its bytes: no database, no network.

use std::collections::BTreeMap;

use bytes::Bytes;
use granary_core::value::Value;

use super::{plan::Plan, subject::Subject};
use crate::{
    content::Content,
    definition::Step,
    item::Item,
    record::StepRecord,
    report::{self, Report},
    steps::{Action, Check, ContentCheck, Finding, Thumbnail, Transform},
    store::cache::{Cached, Entry},
};

/// How much of an asset's bytes is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reading {
    Nothing,
    /// The start; as much as an image's header needs.
    Start,
    All,
}

/// How much must be read of an asset for what is not known yet.
pub(crate) fn reading(subject: &Subject, item: &Item, known: &Entry) -> Reading {
    let mut wanted = Reading::Nothing;
    let session = &subject.session;
    for plan in &subject.plans {
        for check in plan
            .content_checks(item, session)
            .filter(|check| !known.contains_key(&check.key(item)))
        {
            wanted = wanted.max(if check.needs_whole() {
                Reading::All
            } else {
                Reading::Start
            });
        }
        if plan
            .thumbnails(item, session)
            .any(|thumbnail| !known.contains_key(&thumbnail.key()))
        {
            wanted = Reading::All;
        }
    }
    wanted
}

/// A file to make.
#[derive(Clone, Debug)]
pub(crate) struct Making {
    /// Places of the plan and of its step.
    pub(crate) plan: usize,
    pub(crate) step: usize,
    /// Where it goes within the output session.
    pub(crate) path: String,
    pub(crate) how: How,
}

#[derive(Clone, Debug)]
pub(crate) enum How {
    /// The asset itself.
    Copy,
    /// A thumbnail that was made of the same content before: the name of the asset.
    Again(String),
    /// A thumbnail, rendered.
    Rendered {
        bytes: Bytes,
        media_type: &'static str,
        key: String,
    },
}

/// What came out for one asset.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) item: Item,
    /// By plan, and by place of the step; none are files that are still to be made.
    pub(crate) records: Vec<Vec<Option<StepRecord>>>,
    /// Why it is rejected; empty if it is not.
    pub(crate) errors: Report,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) media_type: String,
    pub(crate) makings: Vec<Making>,
    /// What is known of its content now; none if nothing new was found out.
    pub(crate) learned: Option<Entry>,
}

/// What is wrong with the object itself stands for the content.
pub(crate) type Read = Option<Result<Content, Report>>;

/// Examines an asset. `read` holds what [`reading`] asked for.
pub(crate) fn examine(subject: &Subject, item: Item, known: Entry, read: Read) -> Examined {
    let mut examination = Examination {
        subject,
        read,
        known,
        learned: false,
    };
    let mut examined = Examined {
        item,
        records: subject.of_session.clone(),
        errors: subject.errors.clone(),
        attributes: BTreeMap::new(),
        media_type: String::new(),
        makings: vec![],
        learned: None,
    };
    examination.check(&mut examined);
    if examined.errors.is_empty() {
        examination.make(&mut examined);
    }
    examination.skip_rest(&mut examined);
    examined.learned = examination.learned.then_some(examination.known);
    examined
}

struct Examination<'a> {
    subject: &'a Subject,
    read: Read,
    known: Entry,
    learned: bool,
}

impl<'a> Examination<'a> {
    /// The plans that have a say about single assets, with their places.
    fn plans(&self) -> impl Iterator<Item = (usize, &'a Plan)> + use<'a> {
        let plans = self.subject.plans.iter().enumerate();
        plans.filter(|(_, plan)| plan.is_of_assets())
    }

    fn check(&mut self, examined: &mut Examined) {
        for (at, plan) in self.plans() {
            for (place, step) in plan.definition.in_order() {
                let Action::Check(Check::Content(check)) = &step.action else {
                    continue;
                };
                let record = self.check_one(examined, at, (place, step), check);
                report::merge(&mut examined.errors, &record.errors);
                put(&mut examined.records, at, place, Some(record));
            }
        }
    }

    fn check_one(
        &mut self,
        examined: &mut Examined,
        at: usize,
        (place, step): (usize, &Step),
        check: &ContentCheck,
    ) -> StepRecord {
        if !step.when.applies(&examined.item, &self.subject.session)
            || !needs_passed(&examined.records, at, step)
        {
            return StepRecord::skipped(&step.name);
        }
        let key = check.key(&examined.item);
        let (finding, cached) = match (self.known.get(&key), &self.read) {
            (Some(known), _) => (known.finding.clone(), true),
            (None, Some(Ok(content))) => {
                let run = || check.run(&examined.item, content);
                let plan = self.subject.plans.get(at);
                let finding = plan.map_or_else(run, |plan| plan.time(place, run));
                self.learn(
                    key,
                    Cached {
                        finding: finding.clone(),
                        output: String::new(),
                    },
                );
                (finding, false)
            }
            // The object is not what it should be, which says nothing about the content of that checksum.
            (None, Some(Err(errors))) => (
                Finding {
                    errors: errors.clone(),
                    ..Finding::default()
                },
                false,
            ),
            (None, None) => (Finding::wrong("content", "was not read"), false),
        };
        examined.attributes.extend(finding.attributes);
        if let Some(media_type) = finding.media_type {
            examined.media_type = media_type;
        }
        StepRecord::judged(&step.name, finding.errors, cached)
    }

    /// Works out the files to make. If one of them cannot be made of this content, the asset is rejected and none is.
    fn make(&mut self, examined: &mut Examined) {
        let mut failed = Report::new();
        for (at, plan) in self.plans() {
            let mut made = vec![false; plan.definition.steps.len()];
            for (place, step) in plan.definition.in_order() {
                let Action::Transform(transform) = &step.action else {
                    continue;
                };
                let needed = step.needs.iter().all(|need| {
                    let passed = examined
                        .records
                        .get(at)
                        .and_then(|records| records.get(*need)?.as_ref())
                        .is_some_and(StepRecord::passed);
                    passed || made.get(*need).copied().unwrap_or(false)
                });
                if step.action.is_of_session()
                    || !needed
                    || !plan.applies(step, &examined.item, &self.subject.session)
                {
                    continue;
                }
                let making = |path, how| Making {
                    plan: at,
                    step: place,
                    path,
                    how,
                };
                match transform {
                    Transform::MetadataAttributes => continue,
                    Transform::Copy => examined
                        .makings
                        .push(making(examined.item.path.clone(), How::Copy)),
                    Transform::Thumbnail(thumbnail) => {
                        match plan.time(place, || self.render(thumbnail)) {
                            Ok(how) => examined
                                .makings
                                .push(making(thumbnail.path(&examined.item.path, &step.name), how)),
                            Err(errors) => {
                                report::merge(&mut failed, &errors);
                                put(
                                    &mut examined.records,
                                    at,
                                    place,
                                    Some(StepRecord::judged(&step.name, errors, false)),
                                );
                                continue;
                            }
                        }
                    }
                }
                if let Some(slot) = made.get_mut(place) {
                    *slot = true;
                }
            }
        }
        if !failed.is_empty() {
            examined.makings.clear();
            report::merge(&mut examined.errors, &failed);
        }
    }

    fn render(&self, thumbnail: &Thumbnail) -> Result<How, Report> {
        let key = thumbnail.key();
        if let Some(known) = self.known.get(&key) {
            return Ok(How::Again(known.output.clone()));
        }
        match &self.read {
            Some(Ok(content)) => {
                let bytes = thumbnail.run(content).map_err(|finding| finding.errors)?;
                Ok(How::Rendered {
                    bytes,
                    media_type: thumbnail.media_type(),
                    key,
                })
            }
            Some(Err(errors)) => Err(errors.clone()),
            None => Err(report::one("content", "was not read")),
        }
    }

    fn learn(&mut self, key: String, cached: Cached) {
        self.known.insert(key, cached);
        self.learned = true;
    }

    /// Whatever has no record and is not to be made did not run.
    fn skip_rest(&self, examined: &mut Examined) {
        for (at, plan) in self.plans() {
            for (place, step) in plan.definition.steps.iter().enumerate() {
                let pending = examined
                    .makings
                    .iter()
                    .any(|making| making.plan == at && making.step == place);
                let slot = examined
                    .records
                    .get_mut(at)
                    .and_then(|records| records.get_mut(place));
                if let Some(slot) = slot
                    && slot.is_none()
                    && !pending
                {
                    *slot = Some(StepRecord::skipped(&step.name));
                }
            }
        }
    }
}

pub(crate) fn put(
    records: &mut [Vec<Option<StepRecord>>],
    plan: usize,
    place: usize,
    record: Option<StepRecord>,
) {
    if let Some(slot) = records
        .get_mut(plan)
        .and_then(|records| records.get_mut(place))
    {
        *slot = record;
    }
}

fn needs_passed(records: &[Vec<Option<StepRecord>>], plan: usize, step: &Step) -> bool {
    let records = records.get(plan);
    step.needs.iter().all(|need| {
        records
            .and_then(|records| records.get(*need)?.as_ref())
            .is_some_and(StepRecord::passed)
    })
}
