//! Requests that were answered, so that a repeated one is answered alike.

use std::{collections::HashMap, time::Duration};

use granary_core::{Error, Result, name::quote};

use granary_runtime::db::sql::{Sql, insert, values};
use sea_orm::ConnectionTrait;

use super::unit::Unit;

/// How long a request is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What tells a request from others: project, method and the caller's id.
pub(crate) type Key = (String, &'static str, String);

/// Checks a request id; empty is none.
pub(crate) fn parse(id: &str) -> Result<Option<String>> {
    if id.is_empty() {
        return Ok(None);
    }
    let id = uuid::Uuid::try_parse(id)
        .map_err(|_| Error::invalid("request_id", format!("expected a UUID, got {}", quote(id))))?;
    Ok(Some(id.to_string()))
}

/// Those that were answered before, with the resource that each made.
pub(crate) async fn answered(
    on: &impl ConnectionTrait,
    keys: &[Key],
) -> Result<HashMap<Key, String>> {
    let Some((_, method, _)) = keys.first() else {
        return Ok(HashMap::new());
    };
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT r.project, r.request, r.resource",
    );
    sql.given(keys, |(project, method, id)| {
        values![project.as_str(), *method, id.as_str()]
    });
    sql.push(
        "requests r WHERE r.project = v.column1 AND r.method = v.column2 AND r.request = v.column3",
    );
    let rows = sql
        .all(on, |row| {
            Ok(((row.get()?, *method, row.get()?), row.get()?))
        })
        .await?;
    Ok(rows.into_iter().collect())
}

/// The resource that this request made when it came before. Fails if that was not `expected`.
pub(crate) async fn earlier(
    unit: &Unit,
    key: Option<&Key>,
    expected: &str,
) -> Result<Option<String>> {
    let Some(key) = key else { return Ok(None) };
    match answered(&unit.tx, std::slice::from_ref(key))
        .await?
        .remove(key)
    {
        Some(resource) if resource != expected => Err(reused(&key.2, &resource)),
        found => Ok(found),
    }
}

/// Remembers requests, and forgets old ones.
pub(crate) async fn remember(unit: &Unit, requests: &[(Key, String)]) -> Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    insert(
        &unit.tx,
        "INSERT INTO requests (project, method, request, resource, created) VALUES ",
        requests,
        |((project, method, id), resource)| {
            values![
                project.as_str(),
                *method,
                id.as_str(),
                resource.as_str(),
                unit.now
            ]
        },
        " ON CONFLICT DO NOTHING",
    )
    .await?;
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    let mut old = unit.sql("DELETE FROM requests WHERE created < ");
    old.bind(unit.now.saturating_sub(kept));
    old.run(&unit.tx).await.map(drop)
}

/// The answer to a request id that was used for something else.
pub(crate) fn reused(id: &str, resource: &str) -> Error {
    Error::invalid(
        "request_id",
        format!("{id} was used to create {resource}: take a new one for another request"),
    )
}
