//! Sizes (`100M`, `256MiB`) and durations (`5s`, `1h30m`) as people write them in configuration and pipelines.

mod decimal;
mod duration;
mod size;

pub use duration::{Span, format_duration, parse_duration};
pub use size::{Size, format_size, human_bytes, parse_size};

/// A text that is not a size or a duration; says which form was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("expected {expected}, got {}", crate::units::shown(got))]
    Form { expected: &'static str, got: String },
    /// `12` where a unit is needed.
    #[error("{got} has no unit: expected {expected}")]
    NoUnit { expected: &'static str, got: String },
    /// `3x`.
    #[error("unknown unit {unit:?} in {got:?}: expected {expected}")]
    Unit {
        expected: &'static str,
        unit: String,
        got: String,
    },
    #[error("{got:?} is too large: at most {max}")]
    TooLarge { got: String, max: &'static str },
    /// `1.0001k` is 1000.1.
    #[error("{got:?} is not a whole number of {of}")]
    Fraction { got: String, of: &'static str },
}

/// What was written, in quotes, cut to what fits in a message.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let (start, more) = crate::excerpt::excerpt(text, 40);
    format!("{start:?}{more}")
}
