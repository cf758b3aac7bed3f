//! Statements for both databases: constant text, and values that are always bound, never written into the text.

use granary_core::Result;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, TryGetable, Value};

use super::{MAX_VARIABLES, db_err};

/// A statement in the making. Text is `'static`: nothing that a caller sent can become a part of it.
#[derive(Debug)]
pub struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

/// Values of one row of a statement.
#[macro_export]
macro_rules! values {
    ($($value:expr),+ $(,)?) => { [$(sea_orm::Value::from($value)),+] };
}
pub use crate::values;

impl Sql {
    /// A statement that starts with `text`.
    pub fn new(backend: DbBackend, text: &'static str) -> Self {
        Self {
            backend,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Which database it is for.
    pub fn is_postgres(&self) -> bool {
        self.backend == DbBackend::Postgres
    }

    /// Adds text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        match self.backend {
            DbBackend::Postgres => self.text.push_str(&format!("${}", self.values.len())),
            // SQLite looks numbered variables up one by one, which a thousand rows would feel.
            _ => self.text.push('?'),
        }
        self
    }

    /// Adds `(value, value)`.
    pub fn tuple<const N: usize>(&mut self, values: [Value; N]) -> &mut Self {
        for (i, value) in values.into_iter().enumerate() {
            self.push(if i == 0 { "(" } else { ", " }).bind(value);
        }
        self.push(")")
    }

    /// Adds `(value, value), (value, value)`: a tuple for each item.
    pub fn tuples<T, const N: usize>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        tuple: impl Fn(T) -> [Value; N],
    ) -> &mut Self {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.tuple(tuple(item));
        }
        self
    }

    /// Adds `value, value`.
    pub fn list<T: Into<Value>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        for (i, value) in values.into_iter().enumerate() {
            self.push(if i == 0 { "" } else { ", " }).bind(value);
        }
        self
    }

    /// Adds ` FROM (VALUES (..), (..)) AS v CROSS JOIN `, with the texts of at least one item as `v.column1` and so on; what follows is the
    /// table to find them in. SQLite then looks each of them up with an index, which it does not for `IN`. Rows of nulls, which equal nothing,
    /// fill up to a power of two, so that a database sees few different statements and keeps their plans: up to twice as many variables
    /// are bound as the items have, so chunks are half of what [`MAX_VARIABLES`] allows.
    pub fn given<T, const N: usize>(
        &mut self,
        items: &[T],
        tuple: impl Fn(&T) -> [Value; N],
    ) -> &mut Self {
        let padding = items.len().next_power_of_two() - items.len();
        let nothing = || [const { Value::String(None) }; N];
        let rows = items
            .iter()
            .map(tuple)
            .chain(std::iter::repeat_with(nothing).take(padding));
        self.push(" FROM (VALUES ")
            .tuples(rows, |row| row)
            .push(") AS v CROSS JOIN ")
    }

    /// Locks the rows read, where rows are locked: SQLite has one writer anyway.
    pub fn lock(&mut self, clause: &'static str) -> &mut Self {
        if self.is_postgres() {
            self.push(clause)
        } else {
            self
        }
    }

    /// Reads all rows.
    pub async fn all<T>(
        self,
        on: &impl ConnectionTrait,
        read: impl Fn(&mut Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let rows = on.query_all_raw(self.build()).await.map_err(db_err)?;
        rows.into_iter()
            .map(|row| read(&mut Row { row, next: 0 }))
            .collect()
    }

    /// Reads the first row, if there is one.
    pub async fn first<T>(
        self,
        on: &impl ConnectionTrait,
        read: impl Fn(&mut Row) -> Result<T>,
    ) -> Result<Option<T>> {
        let row = on.query_one_raw(self.build()).await.map_err(db_err)?;
        row.map(|row| read(&mut Row { row, next: 0 })).transpose()
    }

    /// Runs it, and says how many rows it changed.
    pub async fn run(self, on: &impl ConnectionTrait) -> Result<u64> {
        Ok(on
            .execute_raw(self.build())
            .await
            .map_err(db_err)?
            .rows_affected())
    }

    fn build(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }
}

/// Inserts rows, as many with one statement as can be. `head` ends with the word VALUES, `tail` may say what to do on conflict.
pub async fn insert<T, const N: usize>(
    on: &impl ConnectionTrait,
    head: &'static str,
    items: &[T],
    tuple: impl Fn(&T) -> [Value; N],
    tail: &'static str,
) -> Result<()> {
    for chunk in items.chunks(MAX_VARIABLES / N) {
        let mut sql = Sql::new(on.get_database_backend(), head);
        sql.tuples(chunk, &tuple).push(tail);
        sql.run(on).await?;
    }
    Ok(())
}

/// A row, read column after column.
#[derive(Debug)]
pub struct Row {
    row: QueryResult,
    next: usize,
}

impl Row {
    /// The next column.
    pub fn get<T: TryGetable>(&mut self) -> Result<T> {
        let value = self.row.try_get_by_index(self.next).map_err(db_err)?;
        self.next += 1;
        Ok(value)
    }
}
