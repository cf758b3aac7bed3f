//! Filters as text again: one canonical spelling, which parses to an equal filter.

use std::fmt::{self, Write as _};

use super::ast::{Field, Filter, Literal, LiteralKind, Op};
use super::lexer::{is_keyword, is_word};

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => join(f, parts, " AND "),
            Self::Or(parts) => join(f, parts, " OR "),
            Self::Not(inner) => {
                f.write_str("NOT ")?;
                simple(f, inner)
            }
            Self::Compare { field, op, value } => match op {
                Op::Has => write!(f, "{field}:{value}"),
                op => write!(f, "{field} {op} {value}"),
            },
            Self::True => Ok(()),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Filter], with: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(with)?;
        }
        match part {
            // `NOT x` is one term already.
            Filter::Not(_) => write!(f, "{part}")?,
            part => simple(f, part)?,
        }
    }
    Ok(())
}

/// A comparison, or anything else in parentheses.
fn simple(f: &mut fmt::Formatter<'_>, filter: &Filter) -> fmt::Result {
    match filter {
        Filter::Compare { .. } => write!(f, "{filter}"),
        _ => write!(f, "({filter})"),
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Parts in quotes where they need them.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.path.iter().enumerate() {
            if at > 0 {
                f.write_char('.')?;
            }
            if is_word(part) && !is_keyword(part) {
                f.write_str(part)?;
            } else {
                f.write_char('"')?;
                escaped(f, part)?;
                f.write_char('"')?;
            }
        }
        Ok(())
    }
}

/// Texts in quotes, the rest as written.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LiteralKind::Text(text) => {
                f.write_char('"')?;
                escaped(f, text)?;
                f.write_char('"')
            }
            LiteralKind::Pattern(pattern) if pattern.is_any() => f.write_char('*'),
            LiteralKind::Pattern(pattern) => {
                let star = |open: bool| if open { "*" } else { "" };
                write!(f, "\"{}", star(pattern.open_start))?;
                escaped(f, &pattern.text)?;
                write!(f, "{}\"", star(pattern.open_end))
            }
            LiteralKind::Number(_) | LiteralKind::Boolean(_) | LiteralKind::Timestamp(_) => {
                f.write_str(&self.text)
            }
        }
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for char in text.chars() {
        match char {
            '"' | '\\' | '*' => write!(f, "\\{char}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            other => f.write_char(other)?,
        }
    }
    Ok(())
}
