//! Makes the buckets, and finds out when a store that was lost is back.

use std::time::Duration;

use granary_core::Result;
use granary_runtime::{objects::answer, task::Tasks};
use tokio_util::sync::CancellationToken;

use crate::s3::Client;

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Makes the buckets now, or else in the background.
pub(crate) async fn start(tasks: &Tasks, s3: Client, buckets: [String; 3]) {
    // A store that does not answer at all must not hold up the start.
    match tokio::time::timeout(Duration::from_secs(10), make(&s3, &buckets)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn(error),
        Err(_) => tracing::warn!("the object store does not answer yet"),
    }
    let stop = tasks.stopping();
    tasks.spawn("object store", async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch(&s3, &buckets, &stop) => {}
        }
    });
}

async fn watch(s3: &Client, buckets: &[String], stop: &CancellationToken) {
    let mut pause = Duration::from_millis(100);
    while !stop.is_cancelled() {
        s3.reach().lost().await;
        match make(s3, buckets).await {
            Ok(()) => pause = Duration::from_millis(100),
            Err(error) => {
                warn(error);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn make(s3: &Client, buckets: &[String]) -> Result<()> {
    for bucket in buckets {
        s3.ensure_bucket(bucket).await?;
    }
    s3.reach().found();
    Ok(())
}

fn warn(error: granary_core::Error) {
    let error = answer::for_operator(error);
    tracing::warn!(%error, cause = error.cause().map(|cause| tracing::field::display(cause.clone())), "the object store is not ready");
}
