//! Assets.

mod create;
mod desk;
mod update;

use granary_core::{
    Result,
    filter::Filter,
    name::{AssetName, DatasetScope},
};
use granary_runtime::{
    batch::{Batcher, Limits},
    task::Tasks,
};

pub(crate) use create::{NewAsset, Registration};
pub(crate) use update::{Change, Update};

use crate::{
    Context, dataset,
    state::asset::State,
    store::{
        asset::{self as store, Asset},
        in_order,
        page::{self, Page},
        query::{Key, Query},
    },
};

/// A call may hold a thousand assets: few calls share a transaction.
const WRITES: Limits = Limits {
    batch: 16,
    queue: 1024,
    parallel: 1,
};

/// What can be done with assets.
#[derive(Clone)]
pub(crate) struct Assets {
    context: Context,
    reads: Batcher<AssetName, Asset>,
    registrations: Batcher<Registration, Vec<Asset>>,
    updates: Batcher<Update, Vec<Result<State>>>,
}

impl Assets {
    pub(crate) fn start(context: &Context, tasks: &Tasks) -> Self {
        let (reading, adding, updating) = (context.clone(), context.clone(), context.clone());
        Self {
            context: context.clone(),
            reads: Batcher::start(
                tasks,
                "metadata: read assets",
                Limits::READS,
                move |names| read(reading.clone(), names),
            ),
            registrations: Batcher::start(tasks, "metadata: register assets", WRITES, move |new| {
                create::register(adding.clone(), new)
            }),
            updates: Batcher::start(tasks, "metadata: update assets", WRITES, move |new| {
                update::apply(updating.clone(), new)
            }),
        }
    }

    /// The asset.
    pub(crate) async fn get(&self, name: AssetName) -> Result<Asset> {
        self.reads.call(name).await
    }

    /// Assets in the order of their names; fails if any is missing.
    pub(crate) async fn get_all(&self, names: Vec<AssetName>) -> Result<Vec<Asset>> {
        read(self.context.clone(), names)
            .await?
            .into_iter()
            .collect()
    }

    /// Registers assets of a session.
    pub(crate) async fn register(&self, registration: Registration) -> Result<Vec<Asset>> {
        self.registrations.call(registration).await
    }

    /// Applies events, with a result for each.
    pub(crate) async fn update(&self, update: Update) -> Result<Vec<Result<State>>> {
        self.updates.call(update).await
    }

    /// A page of the assets that match, by dataset, session and path.
    pub(crate) async fn list<M: prost::Message>(
        &self,
        scope: DatasetScope,
        filter: Filter,
        (size, last): (u32, Option<Key>),
        wire: impl Fn(Asset) -> M,
    ) -> Result<Page<M, Key>> {
        dataset::exists(&self.context, &scope.project, scope.dataset.as_deref()).await?;
        let query = &Query::plan(self.context.db.reader(), scope, filter).await?;
        let wire = &wire;
        page::read(size, last, move |last: Option<Key>, limit| async move {
            let rows = store::list(self.context.db.reader(), query, last.as_ref(), limit).await?;
            Ok(rows
                .into_iter()
                .map(|a| {
                    (
                        (a.name.dataset.clone(), a.session.clone(), a.path.clone()),
                        wire(a),
                    )
                })
                .collect())
        })
        .await
    }
}

async fn read(context: Context, names: Vec<AssetName>) -> Result<Vec<Result<Asset>>> {
    let found = store::get(context.db.reader(), &names).await?;
    Ok(in_order(names, found, |asset| &asset.name))
}
