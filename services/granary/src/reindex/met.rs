//! Which sessions were met in the buckets, and which ones the database knows that were not.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use granary_core::{
    layout::{DatasetKind, session_prefix},
    name::{ProjectName, SessionName},
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{Trouble, report::Finding, walk::Walk};

/// Sessions by 16 bytes of the digests of their names: of a million, some tens of MiB.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<HashSet<[u8; 16]>>);

impl Met {
    pub(super) fn add(&self, session: &SessionName) {
        self.0.lock().insert(short(session));
    }

    fn has(&self, session: &SessionName) -> bool {
        self.0.lock().contains(&short(session))
    }
}

fn short(session: &SessionName) -> [u8; 16] {
    let digest = Sha256::digest(session.to_string());
    digest.first_chunk().copied().unwrap_or_default()
}

impl Walk<'_> {
    /// Says of which sessions files have arrived, as the database has it, and nothing was met.
    pub(super) async fn lost(&self, only: Option<&ProjectName>) -> Result<(), Trouble> {
        let mut last = None;
        loop {
            let page = self.restorer.arrived(only, last.as_ref()).await;
            let mut page = page.map_err(Trouble::Broken)?;
            for (session, kind) in &page {
                if !self.met.has(session) {
                    self.lost_session(session, *kind).await?;
                }
            }
            match page.pop() {
                Some((session, _)) => last = Some(session),
                None => return Ok(()),
            }
        }
    }

    async fn lost_session(&self, session: &SessionName, kind: DatasetKind) -> Result<(), Trouble> {
        let bucket = self.layout.bucket(kind);
        // Where others run, it may have come while the buckets were walked through.
        if self.report.mode.dry && self.lies(&bucket, session).await? {
            return Ok(());
        }
        let what = format!("nothing of it lies in the bucket {bucket}");
        self.report
            .find(Finding::Missing, &session.to_string(), &what);
        Ok(())
    }

    async fn lies(&self, bucket: &str, session: &SessionName) -> Result<bool, Trouble> {
        let objects = self.inventory.objects(bucket, &session_prefix(session));
        let first = std::pin::pin!(objects).try_next().await;
        Ok(first.map_err(Trouble::Broken)?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_apart() {
        let met = Met::default();
        let [first, second] = ["a", "b"].map(|id| SessionName::new("p", "d", id).unwrap());
        met.add(&first);
        assert!(met.has(&first) && !met.has(&second));
    }
}
