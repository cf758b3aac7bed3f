//! Small writes of many callers, which share a transaction: one wait for the disk, not one for each.

use std::any::Any;

use futures::future::BoxFuture;
use granary_core::{Error, Result};
use granary_runtime::{
    batch::{Batcher, Limits},
    task::Tasks,
    trace,
};

use crate::{Context, store::unit::Unit};

type Outcome = Box<dyn Any + Send>;
type Work = Box<dyn for<'u> FnOnce(&'u Unit) -> BoxFuture<'u, Result<Outcome>> + Send>;

/// How many writes share a transaction: few, since they are made one after the other while all wait.
const LIMITS: Limits = Limits {
    batch: 64,
    queue: 4096,
    parallel: 1,
};

/// Takes small writes.
#[derive(Clone)]
pub(crate) struct Lane(Batcher<Work, Outcome>);

impl Lane {
    /// Starts it.
    pub(crate) fn start(context: &Context, tasks: &Tasks) -> Self {
        let context = context.clone();
        Self(Batcher::start(
            tasks,
            "metadata: small writes",
            LIMITS,
            move |works| run(context.clone(), works),
        ))
    }

    /// Has one write made. It must find out whether it can be made before it changes anything: what it changed before it fails stays.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'u> FnOnce(&'u Unit) -> BoxFuture<'u, Result<T>> + Send + 'static,
    {
        // It is made by a task of many callers.
        let parent = trace::parent();
        let work: Work = Box::new(move |unit| {
            let result = trace::following(parent, work(unit));
            Box::pin(async move { Ok(Box::new(result.await?) as Outcome) })
        });
        let outcome = self.0.call(work).await?;
        outcome
            .downcast::<T>()
            .map(|outcome| *outcome)
            .map_err(|_| Error::Internal {
                context: "answering a write".into(),
                cause: None,
            })
    }
}

async fn run(context: Context, works: Vec<Work>) -> Result<Vec<Result<Outcome>>> {
    let unit = Unit::begin(&context).await?;
    let mut outcomes = Vec::with_capacity(works.len());
    for work in works {
        match work(&unit).await {
            // The transaction itself is in doubt: nobody's write is made.
            Err(
                error @ (Error::Internal { .. }
                | Error::Unavailable { .. }
                | Error::Exhausted { .. }),
            ) => return Err(error),
            outcome => outcomes.push(outcome),
        }
    }
    unit.commit(&context).await?;
    Ok(outcomes)
}
