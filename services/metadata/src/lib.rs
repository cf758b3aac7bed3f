//! The Metadata service: everything that people name and query, and the stream of what changes.
//!
//! It calls nobody. Writes of many callers share transactions, and each change emits its event in the transaction that makes it.

mod access;
mod api_key;
mod asset;
mod audit;
mod check;
mod dataset;
mod event;
mod grpc;
mod label;
mod lane;
mod measures;
mod member;
mod migration;
mod project;
pub mod restore;
mod role;
mod session;
mod snapshot;
mod state;
mod store;
mod token;
mod usage;

use std::{sync::Arc, time::Duration};

use granary_core::{
    Result,
    clock::{SharedClock, to_micros},
    layout::Layout,
};
use granary_runtime::{
    auth::Issuer,
    db::{DatabaseUrl, Db},
    task::Tasks,
};
use sea_orm::DbBackend;
use tonic::service::RoutesBuilder;

/// What the service is made of.
#[derive(Clone)]
pub struct Options {
    /// Where its tables are.
    pub database: DatabaseUrl,
    /// Where bytes lie, for the URIs that it tells.
    pub layout: Layout,
    /// What time it is.
    pub clock: SharedClock,
    /// Who issues the tokens of API keys.
    pub issuer: Issuer,
    /// Whether administrators may have tokens of this issuer made for others: not where tokens come from elsewhere.
    pub creates_tokens: bool,
    /// Whose tokens people and machines come with, that of API keys aside: members are of these. Only issuers outside give addresses.
    pub issuers: Vec<String>,
    /// How long entries of the audit log are kept; 90 days are usual.
    pub audit_kept: Duration,
}

/// Brings the schema up to date, and serves nothing.
pub async fn migrate(database: &DatabaseUrl) -> Result<()> {
    Db::open::<migration::Migrator>(database, "metadata")
        .await?
        .close()
        .await
}

/// Longer than any snapshot takes to be made.
const LONGEST_DRAFT: Duration = Duration::from_secs(3600);

impl Options {
    /// Opens the database, makes the project `default` if it is missing, and starts what runs in the background.
    pub async fn build(self, tasks: &Tasks) -> Result<Metadata> {
        let db = Db::open::<migration::Migrator>(&self.database, "metadata").await?;
        db.measure(tasks, "metadata");
        let feed = event::Feed::open(&db, tasks).await?;
        let context = Arc::new(Shared {
            db,
            layout: self.layout,
            clock: self.clock,
            feed,
            audit_kept: self.audit_kept,
        });
        event::watch_over(&context, tasks);
        measures::start(&context, tasks);
        audit::start_sweeping(&context, tasks);
        project::ensure_default(&context).await?;
        // Read before any new one is begun here.
        let drafts = store::frozen::Content::drafts(context.db.reader()).await?;
        let (sweeping, stop) = (context.clone(), tasks.stopping());
        tasks.spawn("drafts of snapshots", async move {
            // Other processes may be at theirs.
            if sweeping.db.backend() == DbBackend::Postgres {
                tokio::select! {
                    () = tokio::time::sleep(LONGEST_DRAFT) => {}
                    () = stop.cancelled() => return,
                }
            }
            snapshot::sweep(&sweeping, &drafts).await;
        });
        Ok(Metadata {
            services: grpc::Services::new(
                &context,
                tasks,
                self.issuer,
                self.creates_tokens,
                self.issuers,
            ),
            context,
        })
    }
}

/// The running service.
#[derive(Clone)]
pub struct Metadata {
    context: Context,
    services: grpc::Services,
}

impl Metadata {
    /// Adds its gRPC services.
    pub fn mount(&self, routes: &mut RoutesBuilder) {
        self.services.mount(routes);
    }

    /// Whether it can answer: fails if its database does not.
    pub async fn check(&self) -> Result<()> {
        self.context.db.check().await
    }

    /// Forgets what is kept no longer by its clock; happens by itself when real time passes.
    pub async fn tick(&self) -> Result<()> {
        audit::sweep(&self.context).await
    }
}

/// What all parts of the service share.
struct Shared {
    db: Db,
    layout: Layout,
    clock: SharedClock,
    feed: event::Feed,
    audit_kept: Duration,
}

type Context = Arc<Shared>;

impl Shared {
    /// The time now, in microseconds since 1970.
    fn now(&self) -> i64 {
        to_micros(self.clock.now())
    }
}
