//! Tables and queries.
//!
//! Many rows go in and out as one JSON parameter: the statement's text stays the same whatever their number, so that it is prepared once.

pub(crate) mod cache;
pub(crate) mod cursor;
pub(crate) mod pipelines;
pub(crate) mod results;
pub(crate) mod runs;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod waiting;
pub(crate) mod works;
pub(crate) mod write;

use granary_core::Result;
use granary_runtime::db::db_err;
use sea_orm::{ConnectionTrait, DbBackend, ExecResult, QueryResult, Statement, TryGetable, Value};

/// Runs a query.
pub(crate) async fn all<C: ConnectionTrait>(
    db: &C,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.query_all_raw(statement).await.map_err(db_err)
}

/// Runs a query for at most one row.
pub(crate) async fn one<C: ConnectionTrait>(
    db: &C,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Option<QueryResult>> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.query_one_raw(statement).await.map_err(db_err)
}

/// Runs a change.
pub(crate) async fn execute<C: ConnectionTrait>(
    db: &C,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<ExecResult> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.execute_raw(statement).await.map_err(db_err)
}

/// One column of a row.
pub(crate) fn get<T: TryGetable>(row: &QueryResult, column: &str) -> Result<T> {
    row.try_get("", column).map_err(db_err)
}

/// The type of a column in [`table`].
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Text,
    Number,
}

/// A parenthesised query that turns parameter `parameter`, a JSON list of lists, into rows with the columns named here.
pub(crate) fn table(backend: DbBackend, parameter: u32, columns: &[(&str, Column)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, (name, kind))| match kind {
            Column::Text => format!("r.value->>{at} AS {name}"),
            Column::Number => format!("CAST(r.value->>{at} AS BIGINT) AS {name}"),
        })
        .collect();
    let from = match backend {
        DbBackend::Postgres => {
            format!("jsonb_array_elements(CAST(${parameter} AS jsonb)) AS r(value)")
        }
        _ => format!("json_each(${parameter}) AS r"),
    };
    // `WHERE true` ends the query for SQLite, which would read a following ON CONFLICT as a join.
    format!("(SELECT {} FROM {from} WHERE true)", columns.join(", "))
}

/// Rows for [`table`].
pub(crate) fn rows(rows: Vec<serde_json::Value>) -> Value {
    Value::from(serde_json::Value::Array(rows).to_string())
}
