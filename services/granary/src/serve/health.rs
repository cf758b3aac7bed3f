//! gRPC health, which follows the services: a server whose database does not answer says so to whoever decides where calls go.

use std::time::Duration;

use granary_core::{Error, Result};
use granary_runtime::{
    metrics::{gauge, names},
    task::Tasks,
};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic_health::{ServingStatus, server::HealthReporter};

const PERIOD: Duration = Duration::from_secs(5);
/// A database that takes longer to answer at all counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The services whose health it is.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) metadata: Option<granary_metadata::Metadata>,
    pub(super) storage: Option<granary_storage::Storage>,
    pub(super) jobs: Option<granary_job::Jobs>,
    pub(super) pipeline: Option<granary_pipeline::Pipeline>,
}

impl Services {
    /// Adds those of this process.
    pub(super) fn mount(&self, routes: &mut RoutesBuilder) {
        self.metadata.iter().for_each(|s| s.mount(routes));
        self.storage.iter().for_each(|s| s.mount(routes));
        self.jobs.iter().for_each(|s| s.mount(routes));
        self.pipeline.iter().for_each(|s| s.mount(routes));
    }

    /// Whether all of them can answer.
    pub(super) async fn check(self) -> Result<()> {
        tokio::try_join!(
            all(&self.metadata, async |s| s.check().await),
            all(&self.storage, async |s| s.check().await),
            all(&self.jobs, async |s| s.check().await),
            all(&self.pipeline, async |s| s.check().await),
        )
        .map(drop)
    }
}

async fn all<S>(service: &Option<S>, check: impl AsyncFn(&S) -> Result<()>) -> Result<()> {
    match service {
        Some(service) => check(service).await,
        None => Ok(()),
    }
}

/// Asks now and then, and tells what it heard, until the process is to end. Then it says that nothing is served any more, and lets go of those who
/// watch.
pub(super) fn follow<F>(
    tasks: &Tasks,
    stop: CancellationToken,
    mut reporter: HealthReporter,
    mut check: impl FnMut() -> F + Send + 'static,
) where
    F: Future<Output = Result<()>> + Send + 'static,
{
    tasks.spawn("health", async move {
        // As the reporter begins.
        let mut told = ServingStatus::Serving;
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = period.tick() => {}
            }
            let answer = tokio::select! {
                () = stop.cancelled() => break,
                answer = tokio::time::timeout(PATIENCE, check()) => answer,
            };
            let status = status(answer.unwrap_or_else(|_| Err(slow())));
            tell(status);
            if std::mem::replace(&mut told, status) != status {
                reporter.set_service_status("", status).await;
            }
        }
        tell(ServingStatus::NotServing);
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
        reporter.clear_service_status("").await;
    });
}

fn tell(status: ServingStatus) {
    let ready = status == ServingStatus::Serving;
    gauge!(names::READY).set(f64::from(u8::from(ready)));
}

fn slow() -> Error {
    Error::DeadlineExceeded {
        reason: "a service does not answer".into(),
    }
}

fn status(answer: Result<()>) -> ServingStatus {
    match answer {
        Ok(()) => ServingStatus::Serving,
        Err(error) => {
            tracing::warn!(%error, "not ready");
            ServingStatus::NotServing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tonic::Request;
    use tonic_health::{
        pb::{
            HealthCheckRequest, health_check_response::ServingStatus as Wire,
            health_server::Health as _,
        },
        server::HealthService,
    };

    #[tokio::test(start_paused = true)]
    async fn health_follows_the_services_and_its_streams_end_with_them() {
        let (tasks, reporter) = (Tasks::new(), HealthReporter::new());
        let service = HealthService::from_health_reporter(reporter.clone());
        let request = Request::new(HealthCheckRequest::default());
        let mut stream = service.watch(request).await.unwrap().into_inner();
        let up = Arc::new(AtomicBool::new(true));
        let asked = up.clone();
        follow(&tasks, tasks.stopping(), reporter, move || {
            let up = asked.load(Ordering::Relaxed);
            async move {
                match up {
                    true => Ok(()),
                    // Neither an answer nor an error, as from a network that drops everything.
                    false => std::future::pending().await,
                }
            }
        });
        let mut next = async || stream.next().await.map(|told| told.unwrap().status());
        assert_eq!(next().await, Some(Wire::Serving));
        up.store(false, Ordering::Relaxed);
        assert_eq!(next().await, Some(Wire::NotServing));
        up.store(true, Ordering::Relaxed);
        assert_eq!(next().await, Some(Wire::Serving));
        assert!(tasks.drain(PERIOD).await);
        assert_eq!(next().await, Some(Wire::NotServing));
        assert_eq!(next().await, None);
    }
}
