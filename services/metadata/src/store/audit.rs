//! The audit log.

use granary_core::Result;
use granary_runtime::db::sql::{Row, Sql, insert, values};
use sea_orm::ConnectionTrait;

/// An entry as stored. Times and durations are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub id: String,
    pub time: i64,
    /// That of what the call was about; empty if there is none.
    pub project: String,
    /// That of the API key that called, if it is another one; else empty.
    pub home: String,
    pub subject: String,
    pub issuer: String,
    pub on_behalf_of: String,
    pub method: String,
    pub resource: String,
    pub items: i64,
    pub verdict: i64,
    pub code: i64,
    pub latency: i64,
    pub request: String,
    pub address: String,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Of this project, and of its API keys; none is all.
    pub project: Option<String>,
    pub subject: Option<String>,
    pub verdict: Option<i64>,
    /// At or after this time.
    pub start: Option<i64>,
    /// Before this time.
    pub end: Option<i64>,
}

/// Where a page ends: the time and id of its last entry.
pub(crate) type Key = (i64, String);

const COLUMNS: &str = "id, time, project, home, subject, issuer, on_behalf_of, method, resource, items, verdict, code, latency, request, address";

fn read(row: &mut Row) -> Result<Entry> {
    Ok(Entry {
        id: row.get()?,
        time: row.get()?,
        project: row.get()?,
        home: row.get()?,
        subject: row.get()?,
        issuer: row.get()?,
        on_behalf_of: row.get()?,
        method: row.get()?,
        resource: row.get()?,
        items: row.get()?,
        verdict: row.get()?,
        code: row.get()?,
        latency: row.get()?,
        request: row.get()?,
        address: row.get()?,
    })
}

/// Adds those entries that are not there yet.
pub(crate) async fn add(on: &impl ConnectionTrait, entries: &[Entry]) -> Result<()> {
    let head = "INSERT INTO audit_entries (id, time, project, home, subject, issuer, on_behalf_of, method, resource, items, verdict, code, latency, \
         request, address) VALUES ";
    let tuple = |e: &Entry| {
        values![
            e.id.as_str(),
            e.time,
            e.project.as_str(),
            e.home.as_str(),
            e.subject.as_str(),
            e.issuer.as_str(),
            e.on_behalf_of.as_str(),
            e.method.as_str(),
            e.resource.as_str(),
            e.items,
            e.verdict,
            e.code,
            e.latency,
            e.request.as_str(),
            e.address.as_str(),
        ]
    };
    insert(on, head, entries, tuple, " ON CONFLICT DO NOTHING").await
}

/// Up to `limit` entries, the newest first, after `last`.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    wanted: &Wanted,
    last: Option<&Key>,
    limit: u32,
) -> Result<Vec<Entry>> {
    let mut sql = Sql::new(on.get_database_backend(), "");
    let Some(project) = &wanted.project else {
        select(&mut sql, wanted, None, last, limit);
        return sql.all(on, read).await;
    };
    // Each half is read in the order of its index, and no entry is in both.
    let (own, visits) = (" AND project = ", " AND home <> '' AND home = ");
    sql.push("SELECT * FROM (");
    select(&mut sql, wanted, Some((own, project)), last, limit);
    sql.push(") AS own UNION ALL SELECT * FROM (");
    select(&mut sql, wanted, Some((visits, project)), last, limit);
    sql.push(") AS visits ORDER BY time DESC, id DESC LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read).await
}

fn select(
    sql: &mut Sql,
    wanted: &Wanted,
    place: Option<(&'static str, &str)>,
    last: Option<&Key>,
    limit: u32,
) {
    sql.push("SELECT ").push(COLUMNS);
    sql.push(" FROM audit_entries WHERE time >= ")
        .bind(wanted.start.unwrap_or(0));
    if let Some(end) = wanted.end {
        sql.push(" AND time < ").bind(end);
    }
    if let Some((is_in, project)) = place {
        sql.push(is_in).bind(project);
    }
    if let Some(subject) = &wanted.subject {
        sql.push(" AND subject = ").bind(subject.as_str());
    }
    match wanted.verdict {
        // Said so that the index of what was not carried out can be used.
        Some(verdict) if verdict > 1 => sql.push(" AND verdict > 1 AND verdict = ").bind(verdict),
        Some(verdict) => sql.push(" AND verdict = ").bind(verdict),
        None => &mut *sql,
    };
    if let Some((time, id)) = last {
        sql.push(" AND (time, id) < ")
            .tuple(values![*time, id.as_str()]);
    }
    sql.push(" ORDER BY time DESC, id DESC LIMIT ")
        .bind(i64::from(limit));
}

/// Forgets up to `limit` entries that are older than a time, and says how many there were.
pub(crate) async fn forget(on: &impl ConnectionTrait, before: i64, limit: u32) -> Result<u64> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "DELETE FROM audit_entries WHERE (time, id) IN (SELECT time, id FROM audit_entries WHERE time < ",
    );
    sql.bind(before)
        .push(" ORDER BY time, id LIMIT ")
        .bind(i64::from(limit))
        .push(")");
    sql.run(on).await
}
