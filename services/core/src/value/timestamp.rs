//! RFC 3339 timestamps.

use std::ops::RangeInclusive;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// The first and the last instant that a timestamp may be, in nanoseconds since 1970: those that RFC 3339 and protobuf have a form for,
/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z.
const RANGE: RangeInclusive<i128> = -62_135_596_800_000_000_000..=253_402_300_799_999_999_999;

/// An instant by its seconds since 1970 and the nanoseconds, 0 to 999,999,999, after them. None before the year 1 and after 9999.
#[must_use]
pub fn timestamp_from_parts(seconds: i64, nanos: i32) -> Option<OffsetDateTime> {
    if !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    in_range(OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?)
}

fn in_range(instant: OffsetDateTime) -> Option<OffsetDateTime> {
    RANGE
        .contains(&instant.unix_timestamp_nanos())
        .then_some(instant)
}

/// Reads an RFC 3339 timestamp with `T` and a zone, such as `2021-02-28T16:12:21Z` or `2021-02-28T16:12:21.5+02:00`.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    // The standard's reader takes any separator, and most texts are not timestamps: tell them apart cheaply.
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20
        && bytes.get(4) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b't'));
    if !shaped {
        return None;
    }
    in_range(OffsetDateTime::parse(text, &Rfc3339).ok()?)
}

/// Like [`parse_timestamp`], and takes a day (`2021-02-28`) as its first instant in UTC: what a person means who
/// compares a time with a day.
#[must_use]
pub fn parse_timestamp_or_date(text: &str) -> Option<OffsetDateTime> {
    if text.len() == 10 {
        let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
        return in_range(day.midnight().assume_utc());
    }
    parse_timestamp(text)
}

/// RFC 3339 where it can express the instant (years 0 to 9999, offsets of whole minutes), else a readable form.
pub(super) fn format(instant: OffsetDateTime) -> String {
    instant
        .format(&Rfc3339)
        .unwrap_or_else(|_| instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_first_instant() {
        assert_eq!(
            parse_timestamp_or_date("2021-02-28"),
            parse_timestamp("2021-02-28T00:00:00Z")
        );
        assert!(parse_timestamp_or_date("2021-02-28").is_some());
    }

    #[test]
    fn only_what_every_form_can_express_is_a_timestamp() {
        for (text, is_one) in [
            ("0001-01-01T00:00:00Z", true),
            ("0001-01-01T00:00:00+01:00", false),
            ("0000-12-31T23:59:59Z", false),
            ("9999-12-31T23:59:59.999999999Z", true),
            ("9999-12-31T23:59:59-00:01", false),
        ] {
            assert_eq!(parse_timestamp(text).is_some(), is_one, "{text}");
        }
        assert_eq!(parse_timestamp_or_date("0000-01-01"), None);
        for (seconds, nanos, is_one) in [
            (-62_135_596_800, 0, true),
            (-62_135_596_801, 999_999_999, false),
            (253_402_300_799, 999_999_999, true),
            (253_402_300_800, 0, false),
            (0, -1, false),
            (0, 1_000_000_000, false),
            (i64::MAX, 0, false),
        ] {
            let found = timestamp_from_parts(seconds, nanos);
            assert_eq!(found.is_some(), is_one, "{seconds} {nanos}");
        }
    }

    #[test]
    fn days_that_do_not_exist_are_not_timestamps() {
        assert_eq!(parse_timestamp_or_date("2021-02-29"), None);
        assert_eq!(parse_timestamp_or_date("20210228"), None);
        assert_eq!(parse_timestamp_or_date("2021-2-28x"), None);
        assert_eq!(parse_timestamp("2021-02-29T00:00:00Z"), None);
    }
}
