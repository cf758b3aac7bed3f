//! Examining a page of assets: one look into the cache for all, each object opened once, pixels decoded by few at a time.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use granary_core::{Error, Result};

use super::{
    Engine,
    examine::{Examined, Reading, examine, reading},
    plan::Plan,
    read::{Raw, read, verify},
    subject::Subject,
};
use crate::{
    item::Item,
    report,
    store::cache::{self, Entry},
};

/// How many objects are read at once in one session.
const READS: usize = 32;
/// How many assets whose start is enough go to a worker together.
const TOGETHER: usize = 64;

struct Task {
    place: usize,
    item: Item,
    known: Entry,
    reading: Reading,
}

/// Examines a page; results are in the order of the items.
pub(crate) async fn examine_page(
    engine: &Engine,
    subject: &Arc<Subject>,
    items: Vec<Item>,
    use_cache: bool,
) -> Result<Vec<Examined>> {
    let reads = subject.plans.iter().any(Plan::reads);
    let mut known = if reads && use_cache {
        look_up(engine, subject, &items).await?
    } else {
        HashMap::new()
    };
    let (mut light, mut heavy) = (Vec::new(), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        let known = known.remove(&item.sha256).unwrap_or_default();
        let reading = reading(subject, &item, &known);
        let task = Task {
            place,
            item,
            known,
            reading,
        };
        if reading == Reading::All {
            heavy.push(task)
        } else {
            light.push(task)
        }
    }
    let mut done = Vec::with_capacity(light.len() + heavy.len());
    let mut light = light.into_iter().peekable();
    while light.peek().is_some() {
        done.extend(together(engine, subject, light.by_ref().take(TOGETHER).collect()).await?);
    }
    let heavy = stream::iter(heavy.into_iter().map(|task| alone(engine, subject, task)));
    done.extend(
        heavy
            .buffer_unordered(READS)
            .try_collect::<Vec<_>>()
            .await?,
    );
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, examined)| examined).collect())
}

async fn look_up(
    engine: &Engine,
    subject: &Subject,
    items: &[Item],
) -> Result<HashMap<String, Entry>> {
    let mut contents: Vec<&str> = items.iter().map(|item| item.sha256.as_str()).collect();
    contents.sort_unstable();
    contents.dedup();
    let known = cache::find(engine.db.reader(), &subject.session.name.project, &contents).await?;
    // Equal contents on one page share what is known.
    let mut shared = HashMap::with_capacity(known.len());
    for item in items {
        if let Some(entry) = known.get(&item.sha256) {
            shared
                .entry(item.sha256.clone())
                .or_insert_with(|| entry.clone());
        }
    }
    Ok(shared)
}

/// Reads the starts of some assets, then has one worker examine them all.
async fn together(
    engine: &Engine,
    subject: &Arc<Subject>,
    tasks: Vec<Task>,
) -> Result<Vec<(usize, Examined)>> {
    let objects = &engine.objects;
    let loaded: Vec<(Task, Option<Raw>)> = stream::iter(tasks)
        .map(|task| async move {
            let raw = read(objects, &task.item, task.reading).await?;
            Ok::<_, Error>((task, raw))
        })
        .buffered(READS)
        .try_collect()
        .await?;
    let subject = subject.clone();
    let _permit = engine.permit().await?;
    blocking(move || {
        loaded
            .into_iter()
            .map(|(task, raw)| work(&subject, task, raw))
            .collect()
    })
    .await
}

/// Reads an asset whole and examines it. The permit bounds how many are in memory at once.
async fn alone(engine: &Engine, subject: &Arc<Subject>, task: Task) -> Result<(usize, Examined)> {
    let _permit = engine.permit().await?;
    let raw = read(&engine.objects, &task.item, task.reading).await?;
    let subject = subject.clone();
    blocking(move || work(&subject, task, raw)).await
}

fn work(subject: &Subject, task: Task, raw: Option<Raw>) -> (usize, Examined) {
    let Task {
        place, item, known, ..
    } = task;
    let content = raw.map(|raw| verify(&item, raw));
    let examined = catch_unwind(AssertUnwindSafe(|| {
        examine(subject, item.clone(), known, content)
    }));
    // What breaks a decoder breaks it every time: that is a verdict too.
    let examined = examined.unwrap_or_else(|_| {
        let broken = report::one("content", "cannot be examined: a decoder broke down on it");
        examine(subject, item, Entry::new(), Some(Err(broken)))
    });
    (place, examined)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("examining assets", error))
}
