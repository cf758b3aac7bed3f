//! The filter language of every list and query: AIP-160.
//!
//! ```text
//! attributes.fatigue > 3 AND (state = READY OR state = REJECTED) AND NOT media_type = "image/*"
//! ```
//!
//! - `AND`, `OR`, `NOT` in capitals, `-` for `NOT`; terms beside each other mean `AND`. As AIP-160 has it, `OR` binds
//!   tighter than `AND`: `a = 1 AND b = 2 OR c = 3` means `a = 1 AND (b = 2 OR c = 3)`.
//! - Fields are dotted, and a part in quotes may hold anything: `attributes."hardware model"`.
//! - Operators `= != < <= > >=`, and `:` (has): `name:"2021"` finds a text within a text, `attributes.fatigue:*` holds
//!   where the field is present, `attributes:fatigue` likewise.
//! - Values in quotes are text, with the escapes `\" \' \\ \* \n \r \t`. Without quotes they are typed by
//!   [`Value::infer`](crate::value::Value::infer), as in metadata files. Timestamps may stand in quotes too:
//!   [`Literal::timestamp`].
//! - `*` at the start or end of a text in `=` and `!=` stands for anything: `media_type = "image/*"`.
//!
//! A missing field makes any comparison false, `!=` too; `NOT x = 1` is then true.

mod ast;
mod display;
mod error;
mod eval;
mod fields;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

pub use ast::{Field, Filter, Literal, LiteralKind, Op, Pattern};
pub use error::{FilterError, render_error};
pub use eval::eval;
pub use fields::check_fields;
pub use parser::parse;

/// Longest filter, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;
/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 32;
/// Most comparisons in one filter.
pub const MAX_TERMS: usize = 200;
