//! A decimal number and what follows it, exact: `f64` would make `1.1G` not a whole number of bytes.

/// Enough for nanosecond fractions of hours, few enough that products stay within `u128`.
const MAX_FRACTION_DIGITS: usize = 12;

/// A non-negative decimal number: `digits / 10^scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: u64,
    scale: u32,
}

impl Decimal {
    /// Splits `text` in the number that it starts with and the rest. `None` if it does not start with one.
    pub(super) fn split(text: &str) -> Option<(Self, &str)> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > MAX_FRACTION_DIGITS {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}").parse().ok()?;
        let scale = u32::try_from(fraction.len()).ok()?;
        Some((Self { digits, scale }, rest))
    }

    pub(super) fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// `self * factor`; `Err` if that is not whole, `None` inside `Ok` if it is beyond `u64`.
    pub(super) fn times(self, factor: u64) -> Result<Option<u64>, NotWhole> {
        let product = u128::from(self.digits) * u128::from(factor);
        let divisor = 10u128.pow(self.scale);
        if product % divisor != 0 {
            return Err(NotWhole);
        }
        Ok(u64::try_from(product / divisor).ok())
    }
}

/// The product has a fraction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotWhole;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_number_and_rest() {
        let (number, rest) = Decimal::split("1.50GiB").unwrap();
        assert_eq!((number.digits, number.scale, rest), (15, 1, "GiB"));
        assert_eq!(number.times(1000), Ok(Some(1500)));
        assert_eq!(number.times(1), Err(NotWhole));
    }

    #[test]
    fn refuses_what_does_not_start_with_a_number() {
        for text in [
            "",
            "GiB",
            ".5",
            "5.",
            "1.2.3",
            "-1",
            "99999999999999999999",
            "1.1234567890123",
        ] {
            assert_eq!(Decimal::split(text), None, "{text}");
        }
    }

    #[test]
    fn a_product_beyond_u64_is_none() {
        let (number, _) = Decimal::split("18446744073709551615").unwrap();
        assert_eq!(number.times(1), Ok(Some(u64::MAX)));
        assert_eq!(number.times(1 << 60), Ok(None));
    }
}
