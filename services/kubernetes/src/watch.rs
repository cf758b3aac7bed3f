//! Watches the cluster: what happens to Jobs and pods is noted with the attempt that they are of.

use std::collections::BTreeSet;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event as Happening, Pod},
};
use kube::runtime::{
    WatchStreamExt as _,
    watcher::{self, Config, Event, watcher},
};
use tokio_util::sync::CancellationToken;

use crate::{cluster::Cluster, fleet::Fleet, names::JOB_OF_POD};

enum Change {
    Job(Box<Event<Job>>),
    Pod(Box<Event<Pod>>),
    Refused(Box<Event<Happening>>),
}

type Changes = BoxStream<'static, watcher::Result<Change>>;

/// Watches until `stop`. A cluster that is away is asked again, after pauses that grow.
pub(crate) async fn watch(cluster: &Cluster, fleet: &Fleet, stop: CancellationToken) {
    let mut changes = stream::select_all(all(cluster));
    let mut listed = Listed::default();
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            () = stop.cancelled() => return,
        };
        match change {
            Some(Ok(Change::Job(event))) => job(fleet, *event, &mut listed.jobs),
            Some(Ok(Change::Pod(event))) => pod(fleet, *event, &mut listed.pods),
            Some(Ok(Change::Refused(event))) => refused(fleet, *event),
            Some(Err(error)) => tracing::warn!(%error, "cannot watch the cluster: will try again"),
            None => return,
        }
    }
}

/// What a list has brought so far.
#[derive(Default)]
struct Listed {
    jobs: BTreeSet<String>,
    pods: BTreeSet<String>,
}

fn all(cluster: &Cluster) -> [Changes; 3] {
    let labelled = Config::default().labels(cluster.selector());
    let failures = "reason=FailedCreate,involvedObject.kind=Job";
    let jobs = watcher(cluster.jobs.clone(), labelled.clone()).default_backoff();
    let pods = watcher(cluster.pods.clone(), labelled).default_backoff();
    let events = watcher(cluster.events.clone(), Config::default().fields(failures));
    [
        jobs.map(|event| event.map(|event| Change::Job(Box::new(event))))
            .boxed(),
        pods.map(|event| event.map(|event| Change::Pod(Box::new(event))))
            .boxed(),
        events
            .default_backoff()
            .map(|event| event.map(|event| Change::Refused(Box::new(event))))
            .boxed(),
    ]
}

fn job(fleet: &Fleet, event: Event<Job>, listed: &mut BTreeSet<String>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(job) => {
            let name = job.metadata.name.clone().unwrap_or_default();
            fleet.note(&name, |seen| seen.job = Some(job));
            listed.insert(name);
        }
        Event::InitDone => fleet.note_absent(listed, |seen| {
            // One that is being made was not there to be listed.
            seen.job_gone |= seen.job.is_some();
        }),
        Event::Apply(job) => {
            let name = job.metadata.name.clone().unwrap_or_default();
            fleet.note(&name, |seen| seen.job = Some(job));
        }
        Event::Delete(job) => {
            let name = job.metadata.name.clone().unwrap_or_default();
            fleet.note(&name, |seen| {
                seen.job = Some(job);
                seen.job_gone = true;
            });
        }
    }
}

fn pod(fleet: &Fleet, event: Event<Pod>, listed: &mut BTreeSet<String>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(pod) => {
            let name = job_of(&pod);
            fleet.note(&name, |seen| seen.pod = Some(pod));
            listed.insert(name);
        }
        Event::InitDone => fleet.note_absent(listed, |seen| {
            seen.pod_gone |= seen.pod.is_some();
        }),
        Event::Apply(pod) => {
            let name = job_of(&pod);
            fleet.note(&name, |seen| seen.pod = Some(pod));
        }
        Event::Delete(pod) => {
            let name = job_of(&pod);
            fleet.note(&name, |seen| {
                seen.pod = Some(pod);
                seen.pod_gone = true;
            });
        }
    }
}

fn job_of(pod: &Pod) -> String {
    let labels = pod.metadata.labels.as_ref();
    let name = labels.and_then(|labels| labels.get(JOB_OF_POD));
    name.cloned().unwrap_or_default()
}

fn refused(fleet: &Fleet, event: Event<Happening>) {
    if let Event::Apply(happening) | Event::InitApply(happening) = event {
        let name = happening.involved_object.name.unwrap_or_default();
        fleet.note(&name, |seen| seen.refused = happening.message);
    }
}
