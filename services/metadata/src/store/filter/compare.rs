//! Comparisons of columns.

use granary_core::{
    clock::to_micros,
    filter::{Field, FilterError, Literal, LiteralKind, Op, Pattern},
};

use super::{
    Sql,
    fields::{Column, Kind},
};

/// A comparison as it was written.
pub(super) struct Comparison<'a> {
    pub field: &'a Field,
    pub op: Op,
    pub literal: &'a Literal,
}

impl Comparison<'_> {
    /// Adds the comparison of a column.
    pub(super) fn push(&self, sql: &mut Sql, column: &'static Column) -> Result<(), FilterError> {
        if let LiteralKind::Pattern(pattern) = &self.literal.kind
            && pattern.is_any()
        {
            present(sql, column, self.op);
            return Ok(());
        }
        match column.kind {
            Kind::Text => text(sql, column.column, self.op, self.literal),
            Kind::State { prefix, states } => self.state(sql, column.column, prefix, states)?,
            Kind::Number => {
                let LiteralKind::Number(number) = self.literal.kind else {
                    return Err(self.mismatch("a number"));
                };
                sql.push(column.column)
                    .push(operator(self.op))
                    .bind(whole(number));
            }
            Kind::Time => {
                let time = self.literal.timestamp();
                let time =
                    time.ok_or_else(|| self.mismatch("a timestamp such as 2021-02-28T16:12:21Z"))?;
                sql.push(column.column)
                    .push(" IS NOT NULL AND ")
                    .push(column.column);
                sql.push(operator(self.op)).bind(to_micros(time));
            }
        }
        Ok(())
    }

    fn state(
        &self,
        sql: &mut Sql,
        column: &'static str,
        prefix: &str,
        states: &[&str],
    ) -> Result<(), FilterError> {
        let mut literal = self.literal.clone();
        let bare = |text: &str| text.strip_prefix(prefix).unwrap_or(text).to_owned();
        literal.text = bare(&literal.text);
        match &mut literal.kind {
            LiteralKind::Text(text) => *text = bare(text),
            LiteralKind::Pattern(pattern) => pattern.text = bare(&pattern.text),
            _ => {}
        }
        let exact =
            matches!(self.op, Op::Eq | Op::Ne) && !matches!(literal.kind, LiteralKind::Pattern(_));
        if exact && !states.contains(&literal.text.as_str()) {
            return Err(self.mismatch(&format!("one of {}", states.join(", "))));
        }
        text(sql, column, self.op, &literal);
        Ok(())
    }

    fn mismatch(&self, expected: &str) -> FilterError {
        let message = format!(
            "{} compares with {expected}, got {}",
            self.field, self.literal
        );
        FilterError {
            column: self.literal.column,
            message,
        }
    }
}

fn present(sql: &mut Sql, column: &Column, op: Op) {
    match column.kind {
        _ if op == Op::Ne => sql.push("1 = 0"),
        Kind::Text => sql.push(column.column).push(" <> ''"),
        Kind::State { .. } | Kind::Number | Kind::Time => {
            sql.push(column.column).push(" IS NOT NULL")
        }
    };
}

/// Adds the comparison of a column that holds texts and no nulls.
pub(super) fn text(sql: &mut Sql, column: &'static str, op: Op, literal: &Literal) {
    match &literal.kind {
        LiteralKind::Pattern(pattern) => {
            sql.push(if op == Op::Ne { "NOT (" } else { "(" });
            matches(sql, column, pattern);
            sql.push(")");
        }
        LiteralKind::Text(part) if op == Op::Has => contains(sql, column, part),
        _ => drop(
            sql.push(column)
                .push(operator(op))
                .bind(literal.text.as_str()),
        ),
    }
}

// Not LIKE: in SQLite it ignores case, and its wildcards would need escapes that differ.
fn matches(sql: &mut Sql, column: &'static str, pattern: &Pattern) {
    let text = pattern.text.as_str();
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    match (pattern.open_start, pattern.open_end) {
        (true, true) => contains(sql, column, text),
        (true, false) => {
            let length = if sql.is_postgres() { length } else { -length };
            sql.push(if sql.is_postgres() {
                "right("
            } else {
                "substr("
            })
            .push(column)
            .push(", CAST(")
            .bind(length);
            sql.push(" AS INTEGER)) = ").bind(text);
        }
        (false, true) => {
            // The first part lets an index find where it starts.
            sql.push(column)
                .push(" >= ")
                .bind(text)
                .push(" AND substr(")
                .push(column)
                .push(", 1, CAST(");
            sql.bind(length).push(" AS INTEGER)) = ").bind(text);
        }
        (false, false) => drop(sql.push(column).push(" = ").bind(text)),
    }
}

fn contains(sql: &mut Sql, column: &'static str, part: &str) {
    sql.push(if sql.is_postgres() {
        "strpos("
    } else {
        "instr("
    })
    .push(column)
    .push(", ")
    .bind(part)
    .push(") > 0");
}

/// A whole number as such, so that an index of whole numbers serves.
#[allow(
    clippy::cast_possible_truncation,
    reason = "it is checked to be whole and within 2^53"
)]
fn whole(number: f64) -> sea_orm::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        (number as i64).into()
    } else {
        number.into()
    }
}

/// The operator; "has" of a single value is equality.
pub(super) fn operator(op: Op) -> &'static str {
    match op {
        Op::Eq | Op::Has => " = ",
        Op::Ne => " <> ",
        Op::Lt => " < ",
        Op::Le => " <= ",
        Op::Gt => " > ",
        Op::Ge => " >= ",
    }
}
