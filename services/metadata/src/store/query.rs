//! Queries of assets.
//!
//! What a filter asks of sessions is asked once for each session, before its assets are looked at: there are far fewer of them.

use std::collections::{BTreeSet, HashSet};

use granary_core::{
    Result,
    filter::{Field, Filter, Literal, LiteralKind, Op},
    name::DatasetScope,
};
use granary_runtime::db::sql::{Row, Sql, values};
use sea_orm::ConnectionTrait;

use super::filter::{self, ASSETS, SESSIONS_OF_ASSETS};

/// Where a page of assets goes on: dataset, session, path.
pub(crate) type Key = (String, String, String);

/// A filter on assets of a scope, in the parts that are looked at one after the other.
#[derive(Debug)]
pub(crate) struct Query {
    scope: DatasetScope,
    sessions: Filter,
    assets: Filter,
}

impl Query {
    /// Divides a filter.
    pub(crate) async fn plan(
        on: &impl ConnectionTrait,
        scope: DatasetScope,
        filter: Filter,
    ) -> Result<Self> {
        let own = own_attributes(on, &scope.project, &filter).await?;
        let parts = match filter {
            Filter::And(parts) => parts,
            other => vec![other],
        };
        let (sessions, assets): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| of_session(part, &own));
        Ok(Self {
            scope,
            sessions: all_of(sessions),
            assets: all_of(assets),
        })
    }

    fn starts_at_sessions(&self) -> bool {
        self.sessions != Filter::True
    }

    /// Whether a checksum is asked for, which leaves little to sort.
    fn is_exact(&self) -> bool {
        let exact = |filter: &Filter| {
            matches!(filter, Filter::Compare { field, op: Op::Eq, value }
            if field.path == ["sha256"] && !matches!(value.kind, LiteralKind::Pattern(_)))
        };
        match &self.assets {
            Filter::And(parts) => parts.iter().any(exact),
            other => exact(other),
        }
    }

    /// Adds FROM and WHERE, with assets as `a` and their datasets as `d`.
    pub(crate) fn push(&self, sql: &mut Sql) -> Result<()> {
        let (project, dataset) = (self.scope.project.as_str(), self.scope.dataset.as_deref());
        if self.starts_at_sessions() {
            // SQLite takes CROSS JOIN to mean this order; PostgreSQL finds its own.
            sql.push(
                " FROM sessions s CROSS JOIN assets a CROSS JOIN datasets d WHERE s.project = ",
            );
            sql.bind(project);
            if let Some(dataset) = dataset {
                sql.push(" AND s.dataset = ").bind(dataset);
            }
            filter::push(sql, &self.sessions, &SESSIONS_OF_ASSETS)?;
            // SQLite would otherwise take where a page starts for a range of assets too, and read all sessions of it each time.
            sql.push(if sql.is_postgres() {
                " AND a.session = s.session AND a.dataset = s.dataset AND a.project = "
            } else {
                " AND a.session = s.session || '' AND a.dataset = s.dataset || '' AND a.project = "
            });
        } else {
            sql.push(" FROM assets a JOIN datasets d ON d.project = a.project AND d.dataset = a.dataset WHERE a.project = ");
        }
        sql.bind(project);
        if self.starts_at_sessions() {
            sql.push(" AND d.project = a.project AND d.dataset = a.dataset");
        } else if let Some(dataset) = dataset {
            sql.push(" AND a.dataset = ").bind(dataset);
        }
        filter::push(sql, &self.assets, &ASSETS)
    }

    /// Adds where a page starts, its order and its size.
    pub(crate) fn push_page(&self, sql: &mut Sql, last: Option<&Key>, limit: u32) {
        if let Some((dataset, session, path)) = last {
            let (dataset, session, path) = (dataset.as_str(), session.as_str(), path.as_str());
            if self.starts_at_sessions() {
                if self.scope.dataset.is_some() {
                    sql.push(" AND s.session >= ").bind(session);
                } else {
                    sql.push(" AND (s.dataset, s.session) >= ")
                        .tuple(values![dataset, session]);
                }
                sql.push(" AND (s.dataset <> ")
                    .bind(dataset)
                    .push(" OR s.session <> ")
                    .bind(session);
                sql.push(" OR a.path > ").bind(path).push(")");
            } else if self.scope.dataset.is_some() {
                // Without the dataset where it is fixed, so that an index leads straight to the place.
                sql.push(" AND (a.session, a.path) > ")
                    .tuple(values![session, path]);
            } else {
                sql.push(" AND (a.dataset, a.session, a.path) > ")
                    .tuple(values![dataset, session, path]);
            }
        }
        sql.push(if self.starts_at_sessions() {
            " ORDER BY s.dataset, s.session, a.path LIMIT "
        } else if self.is_exact() {
            // Not in the order of any index, so that the one of checksums is chosen.
            " ORDER BY a.dataset || '', a.session, a.path LIMIT "
        } else {
            " ORDER BY a.dataset, a.session, a.path LIMIT "
        });
        sql.bind(i64::from(limit));
    }
}

fn all_of(mut parts: Vec<Filter>) -> Filter {
    match parts.len() {
        0 => Filter::True,
        1 => parts.swap_remove(0),
        _ => Filter::And(parts),
    }
}

/// Whether a filter asks only about the session, as long as no asset has attributes of its own of the names that it says.
fn of_session(filter: &Filter, own: &HashSet<String>) -> bool {
    let comparisons = filter.comparisons();
    !comparisons.is_empty()
        && comparisons.into_iter().all(|(field, op, literal)| {
            let path: Vec<_> = field.path.iter().map(String::as_str).collect();
            match path.as_slice() {
                ["session" | "dataset"] | ["session", "state"] | ["session", "attributes", ..] => {
                    true
                }
                ["attributes", ..] => !own.contains(&attribute(field, op, literal)),
                _ => false,
            }
        })
}

/// The attribute that a comparison below `attributes` is about.
fn attribute(field: &Field, op: Op, literal: &Literal) -> String {
    match field.below("attributes") {
        Some(key) => key,
        None if op == Op::Has => literal.key(),
        None => String::new(),
    }
}

/// Those attributes named in a filter that any asset of the project has itself.
async fn own_attributes(
    on: &impl ConnectionTrait,
    project: &str,
    filter: &Filter,
) -> Result<HashSet<String>> {
    let named: BTreeSet<_> = filter
        .comparisons()
        .into_iter()
        .filter(|(field, ..)| field.path.first().is_some_and(|part| part == "attributes"))
        .map(|(field, op, literal)| attribute(field, op, literal))
        .collect();
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), "SELECT k.column1 FROM (VALUES ");
    sql.tuples(&named, |key| values![key.as_str()]);
    sql.push(") AS k WHERE EXISTS (SELECT 1 FROM asset_attributes t WHERE t.project = ");
    sql.bind(project).push(" AND t.key = k.column1)");
    Ok(sql.all(on, Row::get).await?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(text: &str, own: &[&str]) -> (String, String) {
        let own = own.iter().map(|key| (*key).to_owned()).collect();
        let filter = granary_core::filter::parse(text).unwrap();
        let parts = match filter {
            Filter::And(parts) => parts,
            other => vec![other],
        };
        let (sessions, assets): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| of_session(part, &own));
        (all_of(sessions).to_string(), all_of(assets).to_string())
    }

    fn canonical(text: &str) -> String {
        granary_core::filter::parse(text).unwrap().to_string()
    }

    #[test]
    fn what_is_asked_of_sessions_is_told_from_what_is_asked_of_assets() {
        for (filter, own, sessions, assets) in [
            (
                "attributes.a > 1 AND path = x",
                &[][..],
                "attributes.a > 1",
                "path = x",
            ),
            (
                "attributes.a > 1 AND path = x",
                &["a"],
                "",
                "attributes.a > 1 AND path = x",
            ),
            (
                "attributes.a > 1 OR path = x",
                &[],
                "",
                "attributes.a > 1 OR path = x",
            ),
            (
                "session.state = OPEN OR attributes:a",
                &[],
                "session.state = OPEN OR attributes:a",
                "",
            ),
            ("NOT attributes:a", &["a"], "", "NOT attributes:a"),
            (
                "session.attributes.a = 1",
                &["a"],
                "session.attributes.a = 1",
                "",
            ),
            ("", &[], "", ""),
        ] {
            assert_eq!(
                divided(filter, own),
                (canonical(sessions), canonical(assets)),
                "{filter}"
            );
        }
    }
}
