//! Who is what in which project: many questions with one statement.

use std::collections::{HashMap, HashSet};

use granary_core::{
    Result,
    name::{ApiKeyName, ProjectName},
};
use granary_runtime::db::sql::{Sql, values};
use sea_orm::ConnectionTrait;

use super::member::Identity;
use crate::role::Role;

/// A principal in a project.
pub(crate) type Place = (ProjectName, Identity);
/// An e-mail address in a project.
pub(crate) type Invited = (ProjectName, String);

/// The roles of those who are members.
pub(crate) async fn members(
    on: &impl ConnectionTrait,
    places: &[Place],
) -> Result<HashMap<Place, Role>> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT m.project, m.issuer, m.subject, m.role",
    );
    sql.given(places, |(project, who)| {
        values![
            who.issuer.as_str(),
            who.subject.as_str(),
            project.project.as_str()
        ]
    });
    sql.push(
        "members m WHERE m.issuer = v.column1 AND m.subject = v.column2 AND m.project = v.column3",
    );
    let rows = sql.all(on, |row| {
        let project = ProjectName {
            project: row.get()?,
        };
        let who = Identity {
            issuer: row.get()?,
            subject: row.get()?,
        };
        Ok(((project, who), row.get::<String>()?.parse()?))
    });
    Ok(rows.await?.into_iter().collect())
}

/// The roles of those keys that are good at a time.
pub(crate) async fn keys(
    on: &impl ConnectionTrait,
    names: &[ApiKeyName],
    now: i64,
) -> Result<HashMap<ApiKeyName, Role>> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), "SELECT k.project, k.key, k.role");
    sql.given(names, |name| {
        values![name.project.as_str(), name.key.as_str()]
    });
    sql.push("api_keys k WHERE k.project = v.column1 AND k.key = v.column2 AND k.revoked IS NULL AND (k.expires IS NULL OR k.expires > ")
        .bind(now)
        .push(")");
    let rows = sql.all(on, |row| {
        let name = ApiKeyName {
            project: row.get()?,
            key: row.get()?,
        };
        Ok((name, row.get::<String>()?.parse()?))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Those for whom an invitation waits.
pub(crate) async fn invitations(
    on: &impl ConnectionTrait,
    invited: &[Invited],
) -> Result<HashSet<Invited>> {
    if invited.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), "SELECT m.project, m.address");
    sql.given(invited, |(project, address)| {
        values![address.as_str(), project.project.as_str()]
    });
    sql.push(
        "members m WHERE m.address = v.column1 AND m.project = v.column2 AND m.subject IS NULL",
    );
    let rows = sql.all(on, |row| {
        let project = ProjectName {
            project: row.get()?,
        };
        Ok((project, row.get()?))
    });
    Ok(rows.await?.into_iter().collect())
}
