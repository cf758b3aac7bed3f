//! Filters as conditions, with the meaning that [`granary_core::filter::eval`] gives them: what is missing makes a comparison false, never
//! unknown, so that NOT means the same in a database as in memory.

mod attribute;
mod compare;
mod fields;

use granary_core::{
    Error, Result,
    filter::{Field, Filter, FilterError, Literal, Op, check_fields, parse as parse_filter},
};

use compare::Comparison;
pub(crate) use fields::{ASSETS, SESSIONS, SESSIONS_OF_ASSETS};
use granary_runtime::db::sql::Sql;

/// What a filter is about.
pub(crate) struct Target {
    known: &'static [&'static str],
    columns: &'static [fields::Column],
    maps: &'static [fields::Map],
}

/// Parses a filter on `target`; errors name the column.
pub(crate) fn parse(text: &str, target: &Target) -> Result<Filter> {
    let filter = parse_filter(text).map_err(blame)?;
    check_fields(&filter, target.known).map_err(blame)?;
    crate::check::no_nul("filter", text)?;
    Ok(filter)
}

/// Adds ` AND (condition)`, or nothing for the empty filter.
pub(crate) fn push(sql: &mut Sql, filter: &Filter, target: &Target) -> Result<()> {
    if *filter == Filter::True {
        return Ok(());
    }
    sql.push(" AND ");
    condition(sql, filter, target).map_err(blame)
}

fn condition(sql: &mut Sql, filter: &Filter, target: &Target) -> Result<(), FilterError> {
    match filter {
        Filter::True => drop(sql.push("1 = 1")),
        Filter::Not(inner) => {
            sql.push("NOT ");
            condition(sql, inner, target)?;
        }
        Filter::And(parts) => joined(sql, parts, " AND ", target)?,
        Filter::Or(parts) => joined(sql, parts, " OR ", target)?,
        Filter::Compare { field, op, value } => {
            sql.push("(");
            compared(sql, field, *op, value, target)?;
            sql.push(")");
        }
    }
    Ok(())
}

fn joined(
    sql: &mut Sql,
    parts: &[Filter],
    with: &'static str,
    target: &Target,
) -> Result<(), FilterError> {
    sql.push("(");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            sql.push(with);
        }
        condition(sql, part, target)?;
    }
    sql.push(")");
    Ok(())
}

fn compared(
    sql: &mut Sql,
    field: &Field,
    op: Op,
    literal: &Literal,
    target: &Target,
) -> Result<(), FilterError> {
    let name = field.path.join(".");
    if let Some(column) = target.columns.iter().find(|column| column.name == name) {
        let comparison = Comparison { field, op, literal };
        if let Some((open, close)) = column.within {
            sql.push(open);
            comparison.push(sql, column)?;
            sql.push(close);
            return Ok(());
        }
        return comparison.push(sql, column);
    }
    let found = target
        .maps
        .iter()
        .find_map(|map| Some((map, map.key(field, op, literal)?)));
    match found {
        Some((map, Some(key))) => attribute::push(sql, map, key, op, literal),
        // `attributes:"a*"`: no key holds a pattern.
        Some((_, None)) => drop(sql.push("1 = 0")),
        None => {
            return Err(FilterError {
                column: field.column,
                message: format!("unknown field \"{field}\""),
            });
        }
    }
    Ok(())
}

fn blame(error: FilterError) -> Error {
    Error::invalid("filter", error.to_string())
}
