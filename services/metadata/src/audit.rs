//! The audit log: entries come in batches from the services, and go when they are old.

use std::time::Duration;

use granary_core::Result;
use granary_proto::identity::v1::AuditEntry;
use granary_runtime::{db, task::Tasks};

use crate::{
    Context,
    store::{
        audit::{self as store, Entry, Key, Wanted},
        page::{self, Page},
        usage,
    },
};

/// How often old entries are looked for.
const PERIOD: Duration = Duration::from_secs(600);
/// How many are deleted in one transaction, so that nobody waits for long.
const AT_ONCE: u32 = 500;

/// Stores entries; those that are there already are left as they are.
pub(crate) async fn record(context: &Context, entries: &[Entry]) -> Result<()> {
    let tx = context.db.begin().await?;
    store::add(&tx, entries).await?;
    db::commit(tx).await
}

/// A page of entries, the newest first.
pub(crate) async fn list(
    context: &Context,
    wanted: &Wanted,
    (size, last): (u32, Option<Key>),
    wire: impl Fn(Entry) -> AuditEntry,
) -> Result<Page<AuditEntry, Key>> {
    let wire = &wire;
    page::read(size, last, move |last: Option<Key>, limit| async move {
        let rows = store::list(context.db.reader(), wanted, last.as_ref(), limit).await?;
        let key = |entry: &Entry| (entry.time, entry.id.clone());
        Ok(rows
            .into_iter()
            .map(|entry| (key(&entry), wire(entry)))
            .collect())
    })
    .await
}

/// Deletes what is older than it is kept, a little at a time.
pub(crate) async fn sweep(context: &Context) -> Result<()> {
    let kept = i64::try_from(context.audit_kept.as_micros()).unwrap_or(i64::MAX);
    let before = context.now().saturating_sub(kept);
    loop {
        let tx = context.db.begin().await?;
        let mut gone = store::forget(&tx, before, AT_ONCE).await?;
        gone += usage::forget_records(&tx, context.now(), AT_ONCE).await?;
        db::commit(tx).await?;
        if gone == 0 {
            return Ok(());
        }
    }
}

/// Sweeps every now and then.
pub(crate) fn start_sweeping(context: &Context, tasks: &Tasks) {
    let (context, stopping) = (context.clone(), tasks.stopping());
    tasks.spawn("old audit entries", async move {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            if let Err(error) = sweep(&context).await {
                tracing::warn!(%error, "cannot delete old audit entries: will try again");
            }
        }
    });
}
