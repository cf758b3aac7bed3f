//! Error reports: `{field: [messages]}`, added up over steps and pipelines without losing any.

pub(crate) use granary_proto::convert::Report;

/// The longest message that is kept, in characters.
const MAX_MESSAGE: usize = 500;
/// The longest name of a field, in characters.
const MAX_FIELD: usize = 200;

/// A report of one message.
pub(crate) fn one(field: &str, message: impl Into<String>) -> Report {
    let mut report = Report::new();
    add(&mut report, field, message);
    report
}

/// Adds a message, unless the field has the same one already: steps of two pipelines may find the same.
pub(crate) fn add(report: &mut Report, field: &str, message: impl Into<String>) {
    let message = bounded(message.into(), MAX_MESSAGE);
    let messages = report
        .entry(bounded(field.to_owned(), MAX_FIELD))
        .or_default();
    if !messages.contains(&message) {
        messages.push(message);
    }
}

fn bounded(text: String, most: usize) -> String {
    // PostgreSQL stores no NUL.
    let mut text = text.replace('\0', "\u{fffd}");
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Adds all of `more`.
pub(crate) fn merge(report: &mut Report, more: &Report) {
    for (field, messages) in more {
        for message in messages {
            add(report, field, message.as_str());
        }
    }
}

/// The messages that fit into `most` bytes; if that is not all, also `rest`, a field and what it says about the others.
pub(crate) fn cut(report: &Report, most: usize, rest: (&str, &str)) -> Report {
    let (mut short, mut left, mut all) = (Report::new(), most, true);
    for (field, messages) in report {
        for message in messages {
            match left.checked_sub(field.len() + message.len()) {
                Some(less) => {
                    left = less;
                    add(&mut short, field, message.as_str());
                }
                None => all = false,
            }
        }
    }
    if !all {
        add(&mut short, rest.0, rest.1);
    }
    short
}

/// As lines: `FIELD: MESSAGE`.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    report
        .iter()
        .flat_map(|(field, messages)| {
            messages
                .iter()
                .map(move |message| format!("{field}: {message}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_nothing_is_said_twice() {
        let mut report = one("media_type", "a");
        merge(&mut report, &one("media_type", "b"));
        merge(&mut report, &one("dimensions", "c"));
        merge(&mut report, &one("dimensions", "c"));
        assert_eq!(
            lines(&report),
            ["dimensions: c", "media_type: a", "media_type: b"]
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let report = one("image", "é".repeat(10_000));
        assert!(report["image"][0].len() < 1100);
        let field = one(&"f".repeat(10_000), "x");
        assert!(field.keys().all(|field| field.len() < 300));
    }

    #[test]
    fn what_does_not_fit_is_said_to_be_elsewhere() {
        let rest = ("session", "see there");
        let mut report = Report::new();
        for at in 0..100 {
            add(&mut report, &format!("metadata.{at:03}"), "is required");
        }
        assert_eq!(cut(&report, 10_000, rest), report);
        let short = cut(&report, 50, rest);
        assert_eq!(
            lines(&short),
            [
                "metadata.000: is required",
                "metadata.001: is required",
                "session: see there"
            ]
        );
        // Nothing fits, and yet it stays wrong.
        assert_eq!(lines(&cut(&report, 0, rest)), ["session: see there"]);
        assert_eq!(cut(&Report::new(), 0, rest), Report::new());
    }
}
