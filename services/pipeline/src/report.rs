//! Error reports: `{field: [messages]}`, added up over steps and pipelines without losing any.

pub(crate) use granary_proto::convert::Report;

/// The longest message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

/// A report of one message.
pub(crate) fn one(field: &str, message: impl Into<String>) -> Report {
    let mut report = Report::new();
    add(&mut report, field, message);
    report
}

/// Adds a message, unless the field has the same one already: steps of two pipelines may find the same.
pub(crate) fn add(report: &mut Report, field: &str, message: impl Into<String>) {
    // PostgreSQL stores no NUL.
    let mut message = message.into().replace('\0', "\u{fffd}");
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push_str("...");
    }
    let messages = report.entry(field.to_owned()).or_default();
    if !messages.contains(&message) {
        messages.push(message);
    }
}

/// Adds all of `more`.
pub(crate) fn merge(report: &mut Report, more: &Report) {
    for (field, messages) in more {
        for message in messages {
            add(report, field, message.as_str());
        }
    }
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
    }
}
