//! What Prometheus is told of projects: what the largest of them hold, and how often they were called.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use granary_core::{Result, day::Day};
use granary_runtime::{
    metrics::{self, gauge, names},
    task::Tasks,
};
use tokio::{sync::Mutex, time::Instant};

use crate::{Context, store::usage};

/// How often it is looked for, at most: the accounts of all projects are read for it.
const PERIOD: Duration = Duration::from_secs(60);

/// Has projects looked at when metrics are asked for.
pub(crate) fn start(context: &Context, tasks: &Tasks) {
    let (context, looked) = (context.clone(), Arc::new(Mutex::new(None)));
    metrics::sample(tasks, move || {
        let (context, looked) = (context.clone(), looked.clone());
        async move {
            if !is_time(&looked).await {
                return;
            }
            if let Err(error) = sample(&context).await {
                tracing::warn!(%error, "what projects hold cannot be measured");
            }
        }
    });
}

async fn is_time(looked: &Mutex<Option<Instant>>) -> bool {
    let (now, mut looked) = (Instant::now(), looked.lock().await);
    let is_time = looked.is_none_or(|at| now.saturating_duration_since(at) >= PERIOD);
    if is_time {
        *looked = Some(now);
    }
    is_time
}

async fn sample(context: &Context) -> Result<()> {
    let db = context.db.reader();
    let largest = usage::largest(db, names::MOST_PROJECTS).await?;
    let projects: BTreeSet<&str> = largest.iter().map(|(project, ..)| &**project).collect();
    let today = usage::day(db, &projects, Day::of(context.clock.now())).await?;
    for (project, bytes, objects) in &largest {
        let requests = today.get(project).map_or(0, |used| used.requests);
        let of = |name| gauge!(name, "project" => project.clone());
        of(names::PROJECT_BYTES).set(*bytes as f64);
        of(names::PROJECT_OBJECTS).set(*objects as f64);
        of(names::PROJECT_REQUESTS).set(requests as f64);
    }
    Ok(())
}
