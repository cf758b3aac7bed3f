//! API keys: made, listed, revoked, and exchanged for tokens.

mod text;

use std::time::Duration;

use granary_core::{
    Error, Result,
    name::{ApiKeyName, ProjectName},
};
use granary_runtime::{
    auth::{self, Issuer, Principal},
    batch::{Batcher, Limits},
    secret::Secret,
    task::Tasks,
};

use crate::{
    Context,
    lane::Lane,
    project,
    role::Role,
    store::{
        api_key::{self as store, ApiKey, Key},
        dataset as projects,
        page::{self, Page},
        unit::Unit,
    },
};

/// The most keys of a project that are not revoked.
const MOST: i64 = 1000;
/// How long the token of a key is good.
const LIFETIME: Duration = Duration::from_secs(600);
/// To what last uses are rounded, so that a key in use is written once a minute at most.
const MINUTE: i64 = 60_000_000;
const SECOND: i64 = 1_000_000;
/// Anybody may try to exchange a key. What waits is bounded, and whoever tries has at most a share of a statement.
const EXCHANGES: Limits = Limits {
    batch: 256,
    queue: 1024,
    parallel: 1,
};

/// A key to make.
pub(crate) struct NewApiKey {
    pub project: ProjectName,
    pub display_name: String,
    pub role: Role,
    pub expires: Option<i64>,
}

/// What can be done with keys.
#[derive(Clone)]
pub(crate) struct ApiKeys {
    context: Context,
    lane: Lane,
    issuer: Issuer,
    lookups: Batcher<String, Option<ApiKey>>,
}

impl ApiKeys {
    pub(crate) fn start(context: &Context, tasks: &Tasks, lane: &Lane, issuer: Issuer) -> Self {
        let reading = context.clone();
        Self {
            context: context.clone(),
            lane: lane.clone(),
            issuer,
            lookups: Batcher::start(
                tasks,
                "metadata: exchange API keys",
                EXCHANGES,
                move |ids| read(reading.clone(), ids),
            ),
        }
    }

    /// Makes a key, and gives its text, which is stored nowhere.
    pub(crate) async fn create(&self, new: NewApiKey) -> Result<(ApiKey, Secret)> {
        self.lane
            .write(move |unit| Box::pin(create_in(unit, new)))
            .await?
    }

    /// A page of the keys of a project, oldest first.
    pub(crate) async fn list<M: prost::Message>(
        &self,
        project: &ProjectName,
        (size, last): (u32, Option<Key>),
        wire: impl Fn(ApiKey) -> M,
    ) -> Result<Page<M, Key>> {
        project::get(&self.context, project).await?;
        let reader = self.context.db.reader();
        let wire = &wire;
        page::read(size, last, move |last: Option<Key>, limit| async move {
            let rows = store::list(reader, project, last.as_ref(), limit).await?;
            Ok(rows
                .into_iter()
                .map(|key| ((key.created, key.name.key.clone()), wire(key)))
                .collect())
        })
        .await
    }

    /// Revokes a key for good.
    pub(crate) async fn revoke(&self, name: ApiKeyName) -> Result<ApiKey> {
        self.lane
            .write(move |unit| Box::pin(revoke_in(unit, name)))
            .await
    }

    /// A token for the text of a key, and whom it stands for.
    pub(crate) async fn exchange(&self, text: &str) -> Result<(String, Principal)> {
        let key = match self.find(text).await? {
            Ok(key) => key,
            Err((id, reason)) => {
                tracing::info!(key = id, reason, "API key refused");
                return Err(Error::Unauthenticated {
                    reason: "the API key is wrong, expired or revoked: have an owner of the project make a new one".into(),
                });
            }
        };
        self.note_use(&key).await;
        let left = key
            .expires
            .map(|expires| (expires - self.context.now()) / SECOND);
        let left = left.map(|left| Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1)));
        let lifetime = left.map_or(LIFETIME, |left| left.min(LIFETIME));
        let (name, role) = (key.name.to_string(), None::<auth::Role>);
        let (token, expires) = self.issuer.issue(&name, role, lifetime)?;
        let principal = Principal {
            subject: name.into(),
            issuer: self.issuer.name().into(),
            email: None,
            role: None,
            expires,
        };
        Ok((token, principal))
    }

    /// The key with this text; or the id that it says, and why it is refused, for the log.
    async fn find(&self, text: &str) -> Result<Result<ApiKey, (String, &'static str)>> {
        let Some(said) = text::read(text) else {
            return Ok(Err((String::new(), "no key, or a typo")));
        };
        let id = said.id.clone();
        let Some(key) = self.lookups.call(id.clone()).await? else {
            return Ok(Err((id, "unknown")));
        };
        Ok(if !said.is(&key.digest) {
            Err((id, "wrong secret"))
        } else if key.revoked.is_some() {
            Err((id, "revoked"))
        } else if key.expires.is_some_and(|end| end <= self.context.now()) {
            Err((id, "expired"))
        } else {
            Ok(key)
        })
    }

    /// Notes the minute. A key is good whether or not its use can be noted.
    async fn note_use(&self, key: &ApiKey) {
        let now = self.context.now();
        let minute = now - now.rem_euclid(MINUTE);
        if key.last_use.is_some_and(|noted| noted >= minute) {
            return;
        }
        let name = key.name.clone();
        let noted = self
            .lane
            .write(move |unit| Box::pin(async move { store::used(&unit.tx, &name, minute).await }));
        if let Err(error) = noted.await {
            tracing::warn!(%error, key = %key.name, "cannot note the use of an API key");
        }
    }
}

async fn read(context: Context, ids: Vec<String>) -> Result<Vec<Result<Option<ApiKey>>>> {
    let found = store::with_ids(context.db.reader(), &ids).await?;
    let find = |id: &String| found.iter().find(|key| key.name.key == *id).cloned();
    Ok(ids.iter().map(|id| Ok(find(id))).collect())
}

// A limit that is reached is the answer to this write, not a fault of the transaction: hence the inner result.
async fn create_in(unit: &Unit, new: NewApiKey) -> Result<Result<(ApiKey, Secret)>> {
    if projects::project(&unit.tx, &new.project).await?.is_none() {
        return Err(Error::not_found(new.project));
    }
    if new.expires.is_some_and(|end| end <= unit.now) {
        return Err(Error::invalid(
            "api_key.expire_time",
            "expected a time in the future",
        ));
    }
    if store::count(&unit.tx, &new.project).await? >= MOST {
        return Ok(Err(Error::Exhausted {
            reason: format!(
                "{} has {MOST} API keys that are not revoked: revoke what is no longer used",
                new.project
            ),
            retry_after: None,
            quota_of: None,
        }));
    }
    // Ids have 40 bits: that one is taken is rare, that three are does not happen.
    for _ in 0..3 {
        let made = text::make()?;
        let key = ApiKey {
            name: ApiKeyName::new(new.project.project.clone(), made.id)?,
            display_name: new.display_name.clone(),
            role: new.role,
            digest: made.digest,
            created: unit.now,
            last_use: None,
            expires: new.expires,
            revoked: None,
        };
        if store::insert(&unit.tx, &key).await? {
            unit.emit(&key.name.project, "key.created", &key.name);
            return Ok(Ok((key, made.text)));
        }
    }
    Err(Error::Internal {
        context: "finding a free id for an API key".into(),
        cause: None,
    })
}

async fn revoke_in(unit: &Unit, name: ApiKeyName) -> Result<ApiKey> {
    let found = store::get(&unit.tx, &name).await?;
    let mut key = found.ok_or_else(|| Error::not_found(&name))?;
    if key.revoked.is_none() {
        key.revoked = Some(unit.now);
        store::revoke(&unit.tx, &name, unit.now).await?;
        unit.emit(&name.project, "key.revoked", &name);
    }
    Ok(key)
}
