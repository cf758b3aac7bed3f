//! Making the files that transforms want: copies within the store, thumbnails by upload, in batches.

use std::collections::BTreeMap;

use granary_core::{Error, Result, name::SessionName, path};
use granary_proto::{convert, storage::v1::CopyRequest};

use super::{
    Engine,
    examine::{Examined, How, put},
    failure::is_infrastructure,
    outputs::Outputs,
    subject::Subject,
};
use crate::{
    record::{Outcome, StepRecord},
    report,
    sending::File,
    store::cache::Cached,
};

/// A kept result turned out to be gone: examine again without the cache.
#[derive(Debug)]
pub(crate) struct Stale;

struct Job {
    /// Place of the asset on the page.
    asset: usize,
    /// Place of its making.
    making: usize,
}

/// Makes the files of a page, and notes what became of each in its record.
pub(crate) async fn make_all(
    engine: &Engine,
    subject: &Subject,
    outputs: &mut Outputs,
    page: &mut [Examined],
) -> Result<std::result::Result<(), Stale>> {
    let mut groups: BTreeMap<(usize, usize), Vec<Job>> = BTreeMap::new();
    for (asset, examined) in page.iter().enumerate() {
        for (making, wanted) in examined.makings.iter().enumerate() {
            groups
                .entry((wanted.plan, wanted.step))
                .or_default()
                .push(Job { asset, making });
        }
    }
    for ((plan, step), jobs) in groups {
        let Some(into) = subject
            .plans
            .get(plan)
            .and_then(|plan| plan.definition.steps.get(step)?.into.clone())
        else {
            continue;
        };
        let session = outputs.open(engine, subject, plan, &into).await?;
        let (copies, uploads): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| {
            making(page, job).is_some_and(|making| !matches!(making.how, How::Rendered { .. }))
        });
        let mut group = Group {
            engine,
            subject,
            outputs,
            page,
            plan,
            step,
        };
        match session {
            Err(reason) => group.fail(copies.iter().chain(&uploads), &reason),
            Ok(session) => {
                if group.make(&session, copies, &uploads).await?.is_err() {
                    return Ok(Err(Stale));
                }
            }
        }
    }
    Ok(Ok(()))
}

fn making<'a>(page: &'a [Examined], job: &Job) -> Option<&'a super::examine::Making> {
    page.get(job.asset)?.makings.get(job.making)
}

/// The files of one step.
struct Group<'a> {
    engine: &'a Engine,
    subject: &'a Subject,
    outputs: &'a mut Outputs,
    page: &'a mut [Examined],
    plan: usize,
    step: usize,
}

impl Group<'_> {
    fn producer(&self) -> String {
        self.subject
            .plans
            .get(self.plan)
            .map(|plan| plan.run.to_string())
            .unwrap_or_default()
    }

    /// Makes all of them, copies first.
    async fn make(
        &mut self,
        into: &SessionName,
        copies: Vec<Job>,
        uploads: &[Job],
    ) -> Result<std::result::Result<(), Stale>> {
        let plan = self.subject.plans.get(self.plan);
        let timings = plan.map(|plan| plan.timings.clone());
        let timing = timings.as_ref().and_then(|timings| timings.get(self.step));
        let assets = copies.len() + uploads.len();
        let work = async {
            if self.copy(into, copies).await?.is_err() {
                return Ok(Err(Stale));
            }
            self.upload(into, uploads).await?;
            Ok(Ok(()))
        };
        match timing {
            Some(timing) => timing.time_all(assets, work).await,
            None => work.await,
        }
    }

    /// Copies in batches. A batch that is refused is halved until the one that is to blame stands alone.
    async fn copy(
        &mut self,
        into: &SessionName,
        jobs: Vec<Job>,
    ) -> Result<std::result::Result<(), Stale>> {
        let mut batches = vec![jobs];
        while let Some(mut jobs) = batches.pop() {
            if jobs.is_empty() {
                continue;
            }
            let requests = jobs
                .iter()
                .filter_map(|job| self.copy_request(job))
                .collect();
            match self.engine.remote.copy(into, requests).await {
                Ok(_) => {
                    for job in &jobs {
                        self.made(into, job);
                    }
                }
                Err(error) if is_infrastructure(&error) => return Err(error),
                Err(_) if jobs.len() > 1 => {
                    let rest = jobs.split_off(jobs.len() / 2);
                    batches.extend([rest, jobs]);
                }
                Err(error) => {
                    let again = jobs.iter().any(|job| {
                        making(self.page, job)
                            .is_some_and(|making| matches!(making.how, How::Again(_)))
                    });
                    if again && matches!(error, Error::NotFound { .. }) {
                        return Ok(Err(Stale));
                    }
                    self.fail(jobs.iter(), &error.to_string());
                }
            }
        }
        Ok(Ok(()))
    }

    fn copy_request(&self, job: &Job) -> Option<CopyRequest> {
        let making = making(self.page, job)?;
        let examined = self.page.get(job.asset)?;
        // The source gets what was found out with its verdict only, which comes after its copies.
        let (source, attributes) = match &making.how {
            How::Again(asset) => (asset.clone(), BTreeMap::new()),
            _ => (examined.item.name.to_string(), examined.attributes.clone()),
        };
        Some(CopyRequest {
            source,
            path: making.path.clone(),
            producer: self.producer(),
            attributes: convert::wire_attributes(attributes),
        })
    }

    /// Uploads what was rendered. If they are refused together, each is tried alone.
    async fn upload(&mut self, into: &SessionName, jobs: &[Job]) -> Result<()> {
        let (good, long): (Vec<&Job>, Vec<&Job>) = jobs.iter().partition(|job| {
            making(self.page, job).is_some_and(|making| path::check(&making.path).is_ok())
        });
        self.fail(long.into_iter(), "the name of the result would be too long");
        let Err(error) = self.send(into, &good).await else {
            return Ok(());
        };
        if is_infrastructure(&error) {
            return Err(error);
        }
        for job in good {
            match self.send(into, &[job]).await {
                Err(error) if is_infrastructure(&error) => return Err(error),
                Err(error) => self.fail([job].into_iter(), &error.to_string()),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn send(&mut self, into: &SessionName, jobs: &[&Job]) -> Result<()> {
        let files: Vec<File> = jobs.iter().filter_map(|job| self.file(job)).collect();
        if files.is_empty() {
            return Ok(());
        }
        self.engine.sender.send(into, files).await?;
        for job in jobs {
            self.made(into, job);
        }
        Ok(())
    }

    fn file(&self, job: &Job) -> Option<File> {
        let making = making(self.page, job)?;
        let How::Rendered {
            bytes, media_type, ..
        } = &making.how
        else {
            return None;
        };
        Some(File {
            path: making.path.clone(),
            bytes: bytes.clone(),
            media_type,
            derived_from: vec![self.page.get(job.asset)?.item.name.to_string()],
            producer: self.producer(),
        })
    }

    fn step_name(&self) -> String {
        let step = self
            .subject
            .plans
            .get(self.plan)
            .and_then(|plan| plan.definition.steps.get(self.step));
        step.map(|step| step.name.clone()).unwrap_or_default()
    }

    fn made(&mut self, into: &SessionName, job: &Job) {
        let step = self.step_name();
        let Some(making) = making(self.page, job).cloned() else {
            return;
        };
        let output = into.asset(&making.path).to_string();
        let cached = matches!(making.how, How::Again(_));
        let record = StepRecord {
            output: output.clone(),
            ..StepRecord::judged(&step, report::Report::new(), cached)
        };
        let Some(examined) = self.page.get_mut(job.asset) else {
            return;
        };
        put(&mut examined.records, self.plan, self.step, Some(record));
        if let How::Rendered { key, .. } = making.how {
            examined.learned.get_or_insert_default().insert(
                key,
                Cached {
                    output,
                    finding: crate::steps::Finding::default(),
                },
            );
        }
    }

    /// The result has no place to go: the asset is not to blame, the run is.
    fn fail<'j>(&mut self, jobs: impl Iterator<Item = &'j Job>, reason: &str) {
        let step = self.step_name();
        for job in jobs {
            self.outputs
                .failures
                .entry(self.plan)
                .or_insert_with(|| format!("step {step}: {reason}"));
            let record = StepRecord {
                outcome: Outcome::Failed,
                ..StepRecord::judged(&step, report::one("into", reason), false)
            };
            if let Some(examined) = self.page.get_mut(job.asset) {
                put(&mut examined.records, self.plan, self.step, Some(record));
            }
        }
    }
}
