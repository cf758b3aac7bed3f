//! The storage service: presigned uploads and downloads, server-side copies, and the manifests beside the files.
//!
//! Bytes go between client and store; this service signs, asks the store what arrived, and tells the metadata service. Each step is safe to
//! repeat, so that a crash between any two of them is healed by the client doing the same again.

mod download;
mod grpc;
pub mod inventory;
mod manifest;
mod metadata;
mod migration;
mod s3;
mod store;
mod sweep;
#[cfg(test)]
mod testing;
mod upload;
mod watch_store;

use std::{sync::Arc, time::Duration};

use granary_core::{Result, clock::SharedClock, layout::Layout};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    storage::v1::{
        download_service_server::DownloadServiceServer, upload_service_server::UploadServiceServer,
    },
};
use granary_runtime::{
    Link,
    db::{DatabaseUrl, Db},
    objects::ObjectsConfig,
    task::Tasks,
};

pub use migration::Migrator;

/// What the service is made of.
pub struct Options {
    /// Where its database is.
    pub database: DatabaseUrl,
    /// The object store.
    pub objects: ObjectsConfig,
    /// Where time comes from; signatures use the machine's own, as the store does.
    pub clock: SharedClock,
    /// How long the URLs of writes hold, such as 10 minutes.
    pub write_expiry: Duration,
    /// How long the URLs of reads hold, such as 1 hour.
    pub read_expiry: Duration,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("database", &self.database)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

/// Brings the schema up to date, and serves nothing.
pub async fn migrate(database: &DatabaseUrl) -> Result<()> {
    Db::open::<Migrator>(database, "storage")
        .await?
        .close()
        .await
}

impl Options {
    /// Opens the database, makes the buckets, and starts the tasks of the service. A store that cannot be reached yet is tried again in the
    /// background; until then calls answer UNAVAILABLE.
    pub async fn build(self, tasks: &Tasks, metadata: Link) -> Result<Storage> {
        let db = Db::open::<Migrator>(&self.database, "storage").await?;
        db.measure(tasks, "storage");
        let core = Arc::new(Core {
            store: store::Store::new(db, tasks),
            s3: s3::Client::new(&self.objects)?,
            layout: self.objects.layout.clone(),
            metadata: metadata::Metadata::new(metadata),
            clock: self.clock,
            write_expiry: self.write_expiry,
            read_expiry: self.read_expiry,
        });
        watch_store::start(tasks, core.s3.clone(), self.objects.layout.buckets()).await;
        manifest::start(tasks, core.clone());
        sweep::start(tasks, core.clone());
        Ok(Storage(core))
    }
}

/// What the parts of the service share.
struct Core {
    store: store::Store,
    s3: s3::Client,
    layout: Layout,
    metadata: metadata::Metadata,
    clock: SharedClock,
    write_expiry: Duration,
    read_expiry: Duration,
}

/// The running service.
#[derive(Clone)]
pub struct Storage(Arc<Core>);

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("s3", &self.0.s3)
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// Adds UploadService and DownloadService.
    pub fn mount(&self, routes: &mut tonic::service::RoutesBuilder) {
        routes.add_service(
            UploadServiceServer::new(grpc::Uploads(self.0.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
        routes.add_service(
            DownloadServiceServer::new(grpc::Downloads(self.0.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
    }

    /// Whether it is ready: its database answers and the store can be reached.
    pub async fn check(&self) -> Result<()> {
        self.0.store.check().await?;
        self.0.s3.reach().check()
    }
}
