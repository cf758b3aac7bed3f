//! Making snapshots.
//!
//! What is frozen is copied in one short transaction and summed up after it, while others go on; the snapshot itself comes last. Until then
//! what was copied is a draft: whoever takes the draft away, in one transaction, decides whether a snapshot came of it.

use granary_core::{
    Error, Result,
    filter::Filter,
    id,
    name::{DatasetScope, SnapshotName},
};
use granary_runtime::{db, task::Tasks};
use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};

use super::by_asset;
use crate::{
    Context,
    store::{
        dataset as datasets,
        frozen::{Content, Key as FrozenKey},
        label::Label,
        query::Query,
        request,
        snapshot::{self as store, Snapshot},
        unit::Unit,
    },
};

const METHOD: &str = "CreateSnapshot";

/// A snapshot to make.
#[derive(Clone)]
pub(crate) struct NewSnapshot {
    pub name: SnapshotName,
    /// Whether the caller chose the name.
    pub chosen: bool,
    pub text: String,
    pub filter: Filter,
    pub author: String,
    pub request: Option<String>,
}

impl NewSnapshot {
    fn scope(&self) -> DatasetScope {
        DatasetScope {
            project: self.name.project.clone(),
            dataset: Some(self.name.dataset.clone()),
        }
    }

    fn key(&self) -> Option<request::Key> {
        let id = self.request.clone()?;
        Some((self.name.project.clone(), METHOD, id))
    }
}

/// Freezes what matches now. It goes on when its caller is gone: nothing stays half made.
pub(crate) async fn create(context: &Context, tasks: &Tasks, new: NewSnapshot) -> Result<Snapshot> {
    let context = context.clone();
    let made = tasks.spawn("snapshot", async move { make(&context, new).await });
    made.await.ok().flatten().unwrap_or_else(|| {
        Err(Error::Internal {
            context: "making a snapshot".into(),
            cause: None,
        })
    })
}

/// Forgets what was copied for snapshots that never came to be, such as those of a server that was killed.
pub(crate) async fn sweep(context: &Context, drafts: &[Content]) {
    for draft in drafts {
        discard(context, draft).await;
    }
}

async fn make(context: &Context, new: NewSnapshot) -> Result<Snapshot> {
    let content = Content {
        dataset: new.name.parent(),
        id: id::new(""),
    };
    let copied = copy(context, &content, &new).await;
    let made = match copied {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => publish(context, &content, new).await,
        Err(error) => Err(error),
    };
    if !matches!(&made, Ok(snapshot) if snapshot.content == content.id) {
        discard(context, &content).await;
    }
    made
}

/// Copies what matches, or finds what this request made when it came before.
async fn copy(context: &Context, content: &Content, new: &NewSnapshot) -> Result<Option<Snapshot>> {
    let tx = context.db.begin().await?;
    if let Some(found) = check(&tx, new).await? {
        return Ok(Some(found));
    }
    if datasets::dataset(&tx, &content.dataset).await?.is_none() {
        return Err(Error::not_found(&content.dataset));
    }
    let query = Query::plan(&tx, new.scope(), new.filter.clone()).await?;
    if content.fill(&tx, &query).await? == 0 {
        let reason = "no READY asset of it matches the filter: wait for its sessions to be processed, or change the filter";
        return Err(Error::precondition(&content.dataset, reason));
    }
    db::commit(tx).await?;
    Ok(None)
}

/// Makes the snapshot of what was copied, unless somebody else was faster.
async fn publish(context: &Context, content: &Content, new: NewSnapshot) -> Result<Snapshot> {
    let sum = sum_up(context, content).await?;
    let unit = Unit::begin(context).await?;
    if let Some(found) = check(&unit.tx, &new).await? {
        return Ok(found);
    }
    if !content.take(&unit.tx).await? {
        let reason = "another server started and swept what was being frozen: try again";
        return Err(Error::Unavailable {
            reason: reason.into(),
            cause: None,
        });
    }
    let key = new.key();
    let snapshot = Snapshot {
        name: new.name,
        content: content.id.clone(),
        filter: new.text,
        digest: sum.digest,
        asset_count: sum.assets,
        label_count: sum.labels,
        size_bytes: sum.bytes,
        author: new.author,
        created: unit.now,
    };
    store::add(&unit.tx, &snapshot).await?;
    let answer = key.map(|key| (key, snapshot.name.to_string()));
    request::remember(&unit, answer.as_slice()).await?;
    unit.emit(&snapshot.name.project, "snapshot.created", &snapshot.name);
    unit.commit(context).await?;
    Ok(snapshot)
}

/// Forgets what was copied unless it is a snapshot's. When that fails, the next start does it.
async fn discard(context: &Context, content: &Content) {
    let discarded = async {
        let tx = context.db.begin().await?;
        if content.take(&tx).await? {
            content.delete(&tx).await?;
        }
        db::commit(tx).await
    };
    if let Err(error) = discarded.await {
        tracing::warn!(%error, "what was copied for a snapshot stays until the next start");
    }
}

/// What this request made when it came before; fails if the name is taken.
async fn check(on: &impl ConnectionTrait, new: &NewSnapshot) -> Result<Option<Snapshot>> {
    if let Some(found) = repeated(on, new).await? {
        return Ok(Some(found));
    }
    if store::get(on, &new.name).await?.is_some() {
        return Err(Error::already_exists(&new.name, ""));
    }
    Ok(None)
}

async fn repeated(on: &impl ConnectionTrait, new: &NewSnapshot) -> Result<Option<Snapshot>> {
    let Some(key) = new.key() else {
        return Ok(None);
    };
    let answered = request::answered(on, std::slice::from_ref(&key)).await?;
    let Some(resource) = answered.get(&key) else {
        return Ok(None);
    };
    let name = SnapshotName::parse(resource)?;
    if name.dataset != new.name.dataset || (new.chosen && name != new.name) {
        return Err(request::reused(&key.2, resource));
    }
    store::get(on, &name).await
}

struct Sum {
    digest: String,
    assets: i64,
    labels: i64,
    bytes: i64,
}

/// Counts and digests what was frozen: a line for each asset, and one for each of its labels.
async fn sum_up(context: &Context, content: &Content) -> Result<Sum> {
    let reader = context.db.reader();
    let (mut hash, mut last) = (Sha256::new(), None::<FrozenKey>);
    let mut sum = Sum {
        digest: String::new(),
        assets: 0,
        labels: 0,
        bytes: 0,
    };
    loop {
        let assets = content.assets(reader, last.as_ref(), 1000).await?;
        let Some(end) = assets.last() else { break };
        last = Some((end.session.clone(), end.path.clone()));
        let mut labels = by_asset(content.labels(reader, &assets).await?);
        for asset in &assets {
            sum.assets += 1;
            sum.bytes = sum.bytes.saturating_add(asset.size_bytes);
            hash.update(format!("{} {}\n", asset.name, asset.sha256));
            for label in labels.remove(&asset.name.asset).unwrap_or_default() {
                sum.labels += 1;
                hash.update(line(&label));
            }
        }
    }
    sum.digest = hex::encode(hash.finalize());
    Ok(sum)
}

fn line(label: &Label) -> String {
    let area = label.area.map_or_else(String::new, |a| {
        format!("{},{},{},{}", a.x, a.y, a.width, a.height)
    });
    format!(
        "{}@{}:{:?}:{area}\n",
        label.name.label, label.revision, label.class
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use granary_core::{
        clock::SystemClock,
        layout::{DatasetKind, Layout},
        name::SessionName,
    };
    use granary_proto::convert::Report;
    use granary_runtime::db::DatabaseUrl;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        Options,
        state::asset::State,
        store::{
            asset::{self as assets, Asset},
            attributes::Attributes,
            dataset::Dataset,
        },
    };

    struct World {
        context: Context,
        tasks: Tasks,
        _folder: TempDir,
    }

    /// With one asset that is ready.
    async fn world() -> World {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let options = Options {
            database: DatabaseUrl::Sqlite(folder.path().to_owned()),
            layout: Layout::new("granary").unwrap(),
            clock: Arc::new(SystemClock),
            issuer: granary_runtime::auth::Issuer::ephemeral().unwrap(),
            creates_tokens: false,
            issuers: Vec::new(),
            audit_kept: std::time::Duration::MAX,
        };
        let context = options.build(&tasks).await.unwrap().context;
        let session = SessionName::new("default", "raw", "s").unwrap();
        let tx = context.db.begin().await.unwrap();
        let dataset = Dataset {
            name: session.parent(),
            kind: DatasetKind::Raw,
            display_name: String::new(),
            revision: 1,
            created: 0,
            updated: 0,
        };
        assert!(datasets::insert_dataset(&tx, &dataset).await.unwrap());
        let asset = Asset {
            name: session.asset("a"),
            kind: DatasetKind::Raw,
            session: session.session.clone(),
            path: "a".into(),
            media_type: "text/plain".into(),
            size_bytes: 1,
            sha256: "0".repeat(64),
            state: State::Ready,
            attributes: Attributes::new(),
            errors: Report::new(),
            derived_from: vec![],
            producer: String::new(),
            created: 0,
            updated: 0,
        };
        assets::add(&tx, &[&asset]).await.unwrap();
        db::commit(tx).await.unwrap();
        World {
            context,
            tasks,
            _folder: folder,
        }
    }

    fn new(id: &str) -> NewSnapshot {
        NewSnapshot {
            name: SnapshotName::new("default", "raw", id).unwrap(),
            chosen: true,
            text: String::new(),
            filter: Filter::True,
            author: "ada".into(),
            request: None,
        }
    }

    async fn frozen(world: &World, content: &Content) -> usize {
        let rows = content.assets(world.context.db.reader(), None, 10).await;
        rows.unwrap().len()
    }

    async fn drafts(world: &World) -> Vec<Content> {
        Content::drafts(world.context.db.reader()).await.unwrap()
    }

    #[tokio::test]
    async fn a_snapshot_whose_caller_goes_away_is_made_all_the_same() {
        let world = world().await;
        let mut call = Box::pin(create(&world.context, &world.tasks, new("v1")));
        assert!(futures::poll!(&mut call).is_pending());
        drop(call);
        assert!(world.tasks.drain(std::time::Duration::from_secs(60)).await);
        let made = store::get(world.context.db.reader(), &new("v1").name).await;
        let made = made.unwrap().unwrap();
        assert_eq!(frozen(&world, &made.content()).await, 1);
        assert_eq!(drafts(&world).await.len(), 0);
    }

    #[tokio::test]
    async fn what_a_snapshot_holds_is_never_discarded() {
        let world = world().await;
        let made = make(&world.context, new("v1")).await.unwrap();
        // As after a commit whose outcome was lost.
        discard(&world.context, &made.content()).await;
        assert_eq!(frozen(&world, &made.content()).await, 1);
    }

    #[tokio::test]
    async fn what_no_snapshot_came_of_is_swept() {
        let world = world().await;
        let content = Content {
            dataset: new("v1").name.parent(),
            id: id::new(""),
        };
        let copied = copy(&world.context, &content, &new("v1")).await;
        assert!(matches!(copied, Ok(None)));
        assert_eq!(frozen(&world, &content).await, 1);
        let drafts_left = drafts(&world).await;
        assert_eq!(drafts_left.len(), 1);
        sweep(&world.context, &drafts_left).await;
        assert_eq!(frozen(&world, &content).await, 0);
        assert_eq!(drafts(&world).await.len(), 0);
        let late = publish(&world.context, &content, new("v1")).await;
        assert!(matches!(late, Err(Error::Unavailable { .. })), "{late:?}");
    }

    #[tokio::test]
    async fn a_snapshot_that_is_refused_leaves_nothing() {
        let world = world().await;
        make(&world.context, new("v1")).await.unwrap();
        let again = make(&world.context, new("v1")).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        assert_eq!(drafts(&world).await.len(), 0);
    }
}
