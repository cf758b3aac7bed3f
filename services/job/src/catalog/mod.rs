//! The catalogue: what jobs can run.

mod check;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use granary_core::{Error, Result, clock, name::EntrypointName, page};
use granary_proto::{
    convert,
    job::v1::{ApplyCatalogResponse, Entrypoint, ListEntrypointsResponse},
};
use granary_runtime::db::{self, Db};
use parking_lot::Mutex;
use prost::Message as _;
use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};

use crate::{near, resources, store::catalog as store};

/// A definition: what a job keeps of its entrypoint, whatever becomes of the catalogue.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// SHA-256 of the encoded entrypoint, in hexadecimal.
    pub digest: String,
    /// What to run.
    pub entrypoint: Entrypoint,
}

/// Definitions never change, so that those in use are kept here.
#[derive(Debug, Default)]
pub(crate) struct Definitions(Mutex<BTreeMap<String, Arc<Definition>>>);

/// At most 64 KiB each.
const KEPT: usize = 1000;

impl Definitions {
    /// The definition with a digest.
    pub(crate) async fn get(
        &self,
        db: &impl ConnectionTrait,
        digest: &str,
    ) -> Result<Arc<Definition>> {
        if let Some(found) = self.0.lock().get(digest) {
            return Ok(found.clone());
        }
        let missing =
            || Error::internal("reading an entrypoint", format!("no definition {digest}"));
        let body = store::definition(db, digest).await?.ok_or_else(missing)?;
        let entrypoint = Entrypoint::decode(body.as_slice())
            .map_err(|error| Error::internal("reading an entrypoint", error))?;
        let definition = Arc::new(Definition {
            digest: digest.to_owned(),
            entrypoint,
        });
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.pop_first();
        }
        kept.insert(digest.to_owned(), definition.clone());
        Ok(definition)
    }
}

/// The most names of what was left alone that an answer holds.
const MAX_KEPT: usize = 1000;

/// What becomes of applications that are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Stay,
    Go,
}

/// Replaces the applications that are given, or only says what would change.
pub(crate) async fn apply(
    db: &Db,
    now: i64,
    entrypoints: Vec<Entrypoint>,
    others: Others,
    validate_only: bool,
) -> Result<ApplyCatalogResponse> {
    let wanted = check::check(entrypoints)?;
    let tx = db.begin().await?;
    db::serialize(&tx, CATALOG_LOCK).await?;
    let there: BTreeMap<String, store::Entry> = store::list(&tx, None, None, "", i64::MAX)
        .await?
        .into_iter()
        .map(|entry| (entry.name.clone(), entry))
        .collect();
    let mut answer = ApplyCatalogResponse::default();
    let (mut changed, mut definitions) = (Vec::new(), Vec::new());
    for (name, entrypoint) in &wanted {
        let body = entrypoint.encode_to_vec();
        let digest: String = Sha256::digest(&body)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        match there.get(&entrypoint.name) {
            Some(entry) if entry.digest == digest => continue,
            Some(_) => answer.updated.push(name.to_string()),
            None => answer.created.push(name.to_string()),
        }
        changed.push((
            name.clone(),
            store::Entry {
                name: name.to_string(),
                digest: digest.clone(),
                updated: now,
            },
        ));
        definitions.push((digest, body));
    }
    (answer.removed, answer.kept) = left_out(&wanted, there.into_keys(), others);
    if validate_only {
        return Ok(answer);
    }
    store::define(&tx, &definitions).await?;
    store::put(&tx, &changed).await?;
    store::remove(&tx, &answer.removed).await?;
    db::commit(tx).await?;
    Ok(answer)
}

/// What is there and not wanted: what goes, and what stays because nothing was said of its application.
fn left_out(
    wanted: &BTreeMap<EntrypointName, Entrypoint>,
    there: impl Iterator<Item = String>,
    others: Others,
) -> (Vec<String>, Vec<String>) {
    let names: BTreeSet<String> = wanted.keys().map(ToString::to_string).collect();
    let applications: BTreeSet<&str> = wanted
        .keys()
        .map(|name| name.application.as_str())
        .collect();
    // Names are stored as they were checked, so that one that cannot be read is nobody's.
    let given = |name: &String| {
        EntrypointName::parse(name)
            .is_ok_and(|name| applications.contains(name.application.as_str()))
    };
    let (removed, mut kept): (Vec<_>, Vec<_>) = there
        .filter(|name| !names.contains(name))
        .partition(|name| others == Others::Go || given(name));
    kept.truncate(MAX_KEPT);
    (removed, kept)
}

// Any number will do that no other lock of this database has.
const CATALOG_LOCK: i64 = 0x6361_7461;

/// What the catalogue now has under a name, and when that was applied. The error names what there is.
pub(crate) async fn find(
    db: &Db,
    definitions: &Definitions,
    name: &EntrypointName,
) -> Result<(Arc<Definition>, i64)> {
    if let Some(entry) = store::find(db.reader(), name).await? {
        return Ok((
            definitions.get(db.reader(), &entry.digest).await?,
            entry.updated,
        ));
    }
    let all = store::list(db.reader(), None, None, "", i64::MAX).await?;
    let text = name.to_string();
    let known = near::known(&text, all.iter().map(|entry| entry.name.as_str()));
    Err(Error::not_found(format!("{text}{known}")))
}

/// An entrypoint for a caller.
pub(crate) async fn get(
    db: &Db,
    definitions: &Definitions,
    name: &EntrypointName,
) -> Result<Entrypoint> {
    let (definition, updated) = find(db, definitions, name).await?;
    Ok(shown(&definition, updated))
}

fn shown(definition: &Definition, updated: i64) -> Entrypoint {
    let update_time = Some(convert::timestamp(clock::from_micros(updated)));
    // What is left out is shown as it holds.
    let resources = resources::merge(None, definition.entrypoint.resources.as_ref());
    Entrypoint {
        update_time,
        resources: Some(resources),
        ..definition.entrypoint.clone()
    }
}

/// A page of entrypoints.
pub(crate) async fn list(
    db: &Db,
    definitions: &Definitions,
    parent: &str,
    page_size: i32,
    page_token: &str,
) -> Result<ListEntrypointsResponse> {
    let scope = Scope::parse(parent).map_err(|error| error.within("parent"))?;
    // A thousand of the largest definitions would not fit into one message.
    let size = page::size(page_size)?.min(100) as usize;
    let question = ["entrypoints", parent];
    let after: String = page::decode(&question, page_token)?.unwrap_or_default();
    let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
    let mut entries = store::list(
        db.reader(),
        scope.application.as_deref(),
        scope.version.as_deref(),
        &after,
        limit,
    )
    .await?;
    let more = entries.len() > size;
    entries.truncate(size);
    let next_page_token = match entries.last() {
        Some(last) if more => page::encode(&question, &last.name)?,
        _ => String::new(),
    };
    let mut entrypoints = Vec::with_capacity(entries.len());
    for entry in entries {
        let definition = definitions.get(db.reader(), &entry.digest).await?;
        entrypoints.push(shown(&definition, entry.updated));
    }
    Ok(ListEntrypointsResponse {
        entrypoints,
        next_page_token,
    })
}

struct Scope {
    application: Option<String>,
    version: Option<String>,
}

impl Scope {
    fn parse(parent: &str) -> Result<Self> {
        let wrong = || {
            let got = granary_core::name::quote(parent);
            Error::invalid(
                "",
                format!(
                    "expected a name like applications/{{application}}/versions/{{version}}, either of them `-` for all, got {got}"
                ),
            )
        };
        let rest = parent.strip_prefix("applications/").ok_or_else(wrong)?;
        let (application, version) = rest.split_once("/versions/").ok_or_else(wrong)?;
        // `-` is no id: any legal one stands in for it while the rest is checked.
        let or = |id: &str| {
            if id == "-" {
                "x".to_owned()
            } else {
                id.to_owned()
            }
        };
        EntrypointName::new(or(application), or(version), "x").map_err(|_| wrong())?;
        let one = |id: &str| (id != "-").then(|| id.to_owned());
        Ok(Self {
            application: one(application),
            version: one(version),
        })
    }
}
