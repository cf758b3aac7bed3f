//! Manifests: what the index knows about a session, written beside its files, so that the index can be rebuilt from the buckets.
//!
//! The manifest of a session is the object `{project}/{dataset}/{session}/.granary/session.json`, one JSON document:
//!
//! ```json
//! {"format":1,"session":{"name":"projects/…","state":"SESSION_STATE_PROCESSED","attributes":{…},…},"assets":[
//! {"name":"projects/…","path":"camera/1.jpg","sha256":"…","size_bytes":600000,"state":"ASSET_STATE_READY","attributes":{…},…},
//! {…}
//! ]}
//! ```
//!
//! `session` and each asset are the JSON forms of `granary.metadata.v1.Session` and `.Asset`, with the field names of the protos. The first line
//! holds the session, each line after it one asset, and the last line closes the document, so that a session of a million assets can be read line
//! by line. Assets come in the order of their paths.
//!
//! A dataset has one too, `{project}/{dataset}/.granary/dataset.json`, and a project, `{project}/.granary/project.json` in the bucket of recordings:
//! `{"format":1,"dataset":{…}}` and `{"format":1,"project":{…}}`, the JSON forms of `granary.metadata.v1.Dataset` and `.Project`, written when they
//! are created or changed.
//!
//! That of a session is written when it completes and again when it is processed or failed, each time over the one with the ETag that was seen before
//! its content was read: an older one is never written over a newer one. Writing over it is fine: it is made of nothing but what the
//! metadata service says at that moment, so a repeated event writes the same again. The position in the event stream is stored after
//! the manifests of a batch are in the store.

mod consume;
pub(crate) mod read;
mod whole;
mod write;

use std::sync::Arc;

use granary_runtime::{db, task::Tasks};

use crate::Core;

/// What all of them begin with: who reads them knows what to expect.
pub(crate) const FORMAT: u64 = 1;
/// Whoever writes them.
const LEADER: db::Led = db::Led {
    task: "write manifests",
    lock: 0x6d61_6e69_6665_7374,
};

/// Starts the writer of manifests.
pub(crate) fn start(tasks: &Tasks, core: Arc<Core>) {
    let stop = tasks.stopping();
    tasks.spawn("session manifests", async move {
        db::lead(core.store.db(), LEADER, stop, || consume::run(&core)).await;
    });
}
