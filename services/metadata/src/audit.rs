//! The audit log: entries come in batches from the services, and go when they are old.

use std::time::Duration;

use granary_core::Result;
use granary_proto::identity::v1::AuditEntry;
use granary_runtime::{db, task::Tasks};
use tokio_util::sync::CancellationToken;

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

/// Deletes what is older than it is kept.
pub(crate) async fn sweep(context: &Context) -> Result<()> {
    sweep_until(context, &CancellationToken::new()).await
}

/// The same a little at a time, and no more once it is to stop: there may be millions of entries when they are kept for less long than before.
async fn sweep_until(context: &Context, stopping: &CancellationToken) -> Result<()> {
    let kept = i64::try_from(context.audit_kept.as_micros()).unwrap_or(i64::MAX);
    let before = context.now().saturating_sub(kept);
    while !stopping.is_cancelled() {
        let tx = context.db.begin().await?;
        let mut gone = store::forget(&tx, before, AT_ONCE).await?;
        gone += usage::forget_records(&tx, context.now(), AT_ONCE).await?;
        db::commit(tx).await?;
        if gone == 0 {
            break;
        }
    }
    Ok(())
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
            if let Err(error) = sweep_until(&context, &stopping).await {
                tracing::warn!(%error, "cannot delete old audit entries: will try again");
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use granary_core::{clock::SystemClock, layout::Layout};
    use granary_runtime::{auth::Issuer, db::DatabaseUrl};

    use super::*;
    use crate::Options;

    fn entry(n: u32) -> Entry {
        Entry {
            id: format!("e{n}"),
            time: 1,
            project: String::new(),
            home: String::new(),
            subject: "ada".into(),
            issuer: String::new(),
            on_behalf_of: String::new(),
            method: "m".into(),
            resource: String::new(),
            items: 0,
            verdict: 1,
            code: 0,
            latency: 0,
            request: String::new(),
            address: String::new(),
        }
    }

    async fn left(context: &Context) -> usize {
        let all = store::list(context.db.reader(), &Wanted::default(), None, AT_ONCE * 4).await;
        all.unwrap().len()
    }

    #[tokio::test]
    async fn who_is_to_stop_deletes_no_more() {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let options = Options {
            database: DatabaseUrl::Sqlite(folder.path().to_owned()),
            layout: Layout::new("granary").unwrap(),
            clock: Arc::new(SystemClock),
            issuer: Issuer::ephemeral().unwrap(),
            creates_tokens: false,
            issuers: Vec::new(),
            audit_kept: Duration::from_secs(1),
        };
        let context = options.build(&tasks).await.unwrap().context;
        let entries: Vec<_> = (0..AT_ONCE + 1).map(entry).collect();
        record(&context, &entries).await.unwrap();
        let stopping = CancellationToken::new();
        stopping.cancel();
        sweep_until(&context, &stopping).await.unwrap();
        assert_eq!(left(&context).await, entries.len());
        sweep(&context).await.unwrap();
        assert_eq!(left(&context).await, 0);
    }
}
