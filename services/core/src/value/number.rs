//! Decimal numbers: which texts are one, and how one is written.

use std::fmt;

/// Integers up to here are exact as `f64`; larger ones are identifiers more often than measurements.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads `-12`, `0.5`, `.5`, `2e-3`. `None` for anything else, and for what an `f64` would falsify.
pub(super) fn parse(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', after)) => {
            let (fraction, rest) = digits(after);
            if fraction.is_empty() {
                return None;
            }
            (fraction, rest)
        }
        _ => (&[][..], rest),
    };
    let leading_zero = whole.len() > 1 && whole.first() == Some(&b'0');
    if leading_zero || (whole.is_empty() && fraction.is_empty()) || !is_exponent(rest) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let integer = fraction.is_empty() && rest.is_empty();
    let exact = !integer || is_exact(whole, number);
    // Adding zero turns -0 into 0, which is how it is stored and compared.
    (number.is_finite() && exact).then_some(number + 0.0)
}

/// 2^53 + 1 rounds to 2^53, so the digits are compared at the border.
fn is_exact(whole: &[u8], number: f64) -> bool {
    number.abs() < MAX_EXACT || (number.abs() == MAX_EXACT && whole.ends_with(b"2"))
}

fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Nothing, or `e` with an optional sign and digits.
fn is_exponent(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', power @ ..] | [b'e' | b'E', power @ ..] => {
            !power.is_empty() && power.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// Writes whole numbers without a point and very large or small ones with an exponent, exact when read back.
pub(super) fn write(number: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match as_integer(number) {
        Some(integer) => write!(f, "{integer}"),
        None => write!(f, "{number:?}"),
    }
}

/// The same number as an integer, if it is whole and exact.
pub(super) fn as_integer(number: f64) -> Option<i64> {
    let whole = number.fract() == 0.0 && number.abs() <= MAX_EXACT;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and within 2^53, checked above"
    )]
    whole.then_some(number as i64)
}
