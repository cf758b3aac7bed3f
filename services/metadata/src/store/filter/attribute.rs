//! Comparisons of attributes, whose type differs from one to the next: one of another type than the literal does not match.

use granary_core::{
    clock::to_micros,
    filter::{Literal, LiteralKind, Op},
};

use super::{
    Sql,
    compare::{operator, text},
    fields::{Key, Map},
};
use crate::store::attributes::head;

/// Adds the comparison of an attribute.
pub(super) fn push(sql: &mut Sql, map: &Map, key: Key, op: Op, literal: &Literal) {
    let Key { name, present } = key;
    let any = present || matches!(&literal.kind, LiteralKind::Pattern(pattern) if pattern.is_any());
    let comparison = |sql: &mut Sql| {
        if !any {
            typed(sql, op, literal);
        } else if op == Op::Ne {
            sql.push(" AND 1 = 0");
        }
    };
    let name = name.as_str();
    sql.push(map.open).bind(name);
    comparison(sql);
    sql.push(")");
    if let Some(otherwise) = map.otherwise {
        sql.push(" OR (NOT ")
            .push(map.open)
            .bind(name)
            .push(") AND ")
            .push(otherwise)
            .bind(name);
        comparison(sql);
        sql.push("))");
    }
}

fn typed(sql: &mut Sql, op: Op, literal: &Literal) {
    let operator = operator(op);
    match &literal.kind {
        LiteralKind::Number(number) => {
            sql.push(" AND t.number").push(operator).bind(*number);
        }
        LiteralKind::Boolean(boolean) => {
            sql.push(" AND t.boolean").push(operator).bind(*boolean);
        }
        LiteralKind::Timestamp(time) => {
            sql.push(" AND t.time")
                .push(operator)
                .bind(to_micros(*time));
        }
        LiteralKind::Pattern(_) => {
            sql.push(" AND t.text IS NOT NULL AND ");
            text(sql, "t.text", op, literal);
        }
        LiteralKind::Text(wanted) => {
            sql.push(" AND (t.text IS NOT NULL AND ");
            if op == Op::Eq {
                sql.push("t.head = ").bind(head(wanted)).push(" AND ");
            }
            text(sql, "t.text", op, literal);
            // A day in quotes is a text and a time: each attribute compares with the one that it is.
            if let Some(time) = literal.timestamp() {
                sql.push(" OR t.time").push(operator).bind(to_micros(time));
            }
            sql.push(")");
        }
    }
}
