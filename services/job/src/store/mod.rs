//! Tables and queries. One text serves both databases: placeholders are numbered, and types are those that both have.

pub(crate) mod attempts;
pub(crate) mod catalog;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod workers;

use granary_core::Result;
use granary_runtime::db::db_err;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

/// A statement in the making: text, and the values that its placeholders stand for.
pub(crate) struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Adds `(…), (…)`: a row of values for each item.
    pub(crate) fn rows(&mut self, rows: impl IntoIterator<Item = Vec<Value>>) -> &mut Self {
        for (i, row) in rows.into_iter().enumerate() {
            self.push(if i == 0 { "(" } else { ", (" });
            self.list(row).push(")");
        }
        self
    }

    /// Adds values with commas between them.
    pub(crate) fn list(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self
    }

    fn statement(self, backend: DbBackend) -> Statement {
        Statement::from_sql_and_values(backend, self.text, self.values)
    }

    /// Runs it; how many rows it changed.
    pub(crate) async fn execute(self, db: &impl ConnectionTrait) -> Result<u64> {
        let statement = self.statement(db.get_database_backend());
        Ok(db
            .execute_raw(statement)
            .await
            .map_err(db_err)?
            .rows_affected())
    }

    /// Runs it; all rows.
    pub(crate) async fn all(self, db: &impl ConnectionTrait) -> Result<Vec<QueryResult>> {
        db.query_all_raw(self.statement(db.get_database_backend()))
            .await
            .map_err(db_err)
    }

    /// Runs it; the first row.
    pub(crate) async fn one(self, db: &impl ConnectionTrait) -> Result<Option<QueryResult>> {
        db.query_one_raw(self.statement(db.get_database_backend()))
            .await
            .map_err(db_err)
    }
}

/// A column of a row.
pub(crate) fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &str) -> Result<T> {
    row.try_get("", column).map_err(db_err)
}

/// What keeps rows from other transactions until this one ends: PostgreSQL only, since SQLite has one writer.
pub(crate) fn locking(db: &impl ConnectionTrait, clause: &'static str) -> &'static str {
    if db.get_database_backend() == DbBackend::Postgres {
        clause
    } else {
        ""
    }
}
