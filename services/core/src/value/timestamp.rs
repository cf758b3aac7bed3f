//! RFC 3339 timestamps.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

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
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Like [`parse_timestamp`], and takes a day (`2021-02-28`) as its first instant in UTC: what a person means who
/// compares a time with a day.
#[must_use]
pub fn parse_timestamp_or_date(text: &str) -> Option<OffsetDateTime> {
    if text.len() == 10 {
        let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
        return Some(day.midnight().assume_utc());
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
    fn days_that_do_not_exist_are_not_timestamps() {
        assert_eq!(parse_timestamp_or_date("2021-02-29"), None);
        assert_eq!(parse_timestamp_or_date("20210228"), None);
        assert_eq!(parse_timestamp_or_date("2021-2-28x"), None);
        assert_eq!(parse_timestamp("2021-02-29T00:00:00Z"), None);
    }
}
