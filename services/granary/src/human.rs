//! Sizes, times, states and names as people read them.

use std::time::Duration;

use granary_core::units::human_bytes;
use prost_types::Timestamp;

/// Bytes, such as `34.5 MB`.
pub(crate) fn bytes(bytes: i64) -> String {
    human_bytes(u64::try_from(bytes).unwrap_or_default())
}

/// Bytes as they are written in a catalogue, such as `512MiB`, if they come out even.
pub(crate) fn size(bytes: i64) -> String {
    let exact = granary_core::units::format_size(u64::try_from(bytes).unwrap_or_default());
    if exact.len() <= 7 {
        exact
    } else {
        self::bytes(bytes)
    }
}

/// A time in this machine's zone, such as `2021-03-01 16:12:21`; nothing if not set.
pub(crate) fn time(timestamp: Option<&Timestamp>) -> String {
    timestamp
        .and_then(|t| jiff::Timestamp::new(t.seconds, t.nanos).ok())
        .map(|t| {
            t.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        })
        .unwrap_or_default()
}

/// How long it took between two times, such as `1.2s`; nothing if either is not set.
pub(crate) fn between(start: Option<&Timestamp>, end: Option<&Timestamp>) -> String {
    let millis = |t: &Timestamp| i128::from(t.seconds) * 1000 + i128::from(t.nanos / 1_000_000);
    match (start, end) {
        (Some(start), Some(end)) => {
            let millis = u64::try_from(millis(end) - millis(start)).unwrap_or_default();
            duration(Duration::from_millis(millis))
        }
        _ => String::new(),
    }
}

/// A duration, such as `0.4s`, `12.0s` or `3m 5s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A count with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// A count from the wire with its noun.
pub(crate) fn counted(number: i64, noun: &str) -> String {
    count(u64::try_from(number).unwrap_or_default(), noun)
}

/// Text from elsewhere, on one line and unable to drive the terminal.
pub(crate) fn shown(text: &str) -> String {
    if text.chars().any(|c| c.is_control() || turns_text(c)) {
        text.escape_debug().to_string()
    } else {
        text.to_owned()
    }
}

// Marks that change the direction of the text that follows, with which a name can look like another, and line ends beyond ASCII.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The last part of a resource name.
pub(crate) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The ids of a resource name without its project: `projects/p/datasets/d/sessions/s` is `d/s`.
pub(crate) fn short(name: &str) -> String {
    let ids: Vec<&str> = name.split('/').skip(1).step_by(2).collect();
    let skipped = usize::from(name.starts_with("projects/") && ids.len() > 1);
    ids.into_iter().skip(skipped).collect::<Vec<_>>().join("/")
}

/// An enum's value without the enum's name: `SESSION_STATE_OPEN` is `OPEN`.
pub(crate) fn state(value: &'static str, prefix: &str) -> &'static str {
    match value
        .strip_prefix(prefix)
        .map(|rest| rest.trim_start_matches('_'))
    {
        Some("UNSPECIFIED") | None => "",
        Some(state) => state,
    }
}

/// What went wrong with a file, without the number of the error.
pub(crate) fn io_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "not found".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::StorageFull => "no space left".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_to_their_ids() {
        assert_eq!(short("projects/p/datasets/d/sessions/s"), "d/s");
        assert_eq!(short("projects/p/jobs/j"), "j");
        assert_eq!(short("projects/p"), "p");
        assert_eq!(short("applications/a/versions/v/entrypoints/e"), "a/v/e");
        assert_eq!(last("projects/p/jobs/j"), "j");
    }

    #[test]
    fn sizes_that_people_wrote_come_back_as_written() {
        assert_eq!(size(512 << 20), "512MiB");
        assert_eq!(size(25_331_236_864), "25.3 GB");
    }

    #[test]
    fn text_from_elsewhere_stays_on_its_line() {
        assert_eq!(shown("a b/é.bin"), "a b/é.bin");
        assert_eq!(shown("a\n\u{1b}[31m"), "a\\n\\u{1b}[31m");
        assert_eq!(shown("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
        for mark in "\u{61c}\u{200e}\u{200f}\u{2028}\u{202a}\u{2066}\u{2069}".chars() {
            assert!(shown(&mark.to_string()).is_ascii(), "{mark:?}");
        }
        assert_eq!(
            shown("\u{5e9}\u{5dc}\u{5d5}\u{5dd}"),
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd}"
        );
    }

    #[test]
    fn durations_are_as_exact_as_their_length_asks_for() {
        assert_eq!(duration(Duration::from_millis(1234)), "1.2s");
        assert_eq!(duration(Duration::from_secs(185)), "3m 5s");
        assert_eq!(duration(Duration::from_secs(7260)), "2h 1m");
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(
            between(Some(&time(10, 500_000_000)), Some(&time(12, 0))),
            "1.5s"
        );
        assert_eq!(between(None, Some(&time(12, 0))), "");
    }

    #[test]
    fn states_lose_the_name_of_their_enum() {
        assert_eq!(state("SESSION_STATE_OPEN", "SESSION_STATE"), "OPEN");
        assert_eq!(state("SESSION_STATE_UNSPECIFIED", "SESSION_STATE"), "");
    }
}
