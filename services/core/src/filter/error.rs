//! Errors of filters, which point at the column.

/// What is wrong with a filter, and where: `column 14: expected a value after ">"`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct FilterError {
    /// Counted in characters from 1.
    pub column: usize,
    /// Says what is wrong and what to write instead.
    pub message: String,
}

impl FilterError {
    pub(super) fn new(column: usize, message: impl Into<String>) -> Self {
        Self {
            column,
            message: message.into(),
        }
    }
}

/// Most characters of the filter that are shown on either side of the error.
const MARGIN: usize = 60;

/// The error for a terminal: the message, the line of `source` in question, and a caret below the column.
///
/// Long lines are cut around the column, and control characters are replaced, so that a filter from elsewhere cannot
/// drive the terminal.
#[must_use]
pub fn render_error(source: &str, error: &FilterError) -> String {
    let target = error.column.saturating_sub(1);
    let (line, offset) = line_at(source, target);
    let start = offset.saturating_sub(MARGIN);
    let shown = line.iter().skip(start).take(2 * MARGIN);
    let mut excerpt = String::new();
    let mut padding = String::new();
    for (at, char) in shown.enumerate() {
        // A tab in both lines keeps the caret below its character at any tab width.
        let safe = match *char {
            '\t' => '\t',
            other if other.is_control() => '\u{fffd}',
            other => other,
        };
        excerpt.push(safe);
        if start + at < offset {
            padding.push(if safe == '\t' { '\t' } else { ' ' });
        }
    }
    for _ in line.len()..offset {
        padding.push(' ');
    }
    format!("{error}\n  {excerpt}\n  {padding}^")
}

/// The line that holds character `target`, and the character's place in it; past the end, the last line.
fn line_at(source: &str, target: usize) -> (Vec<char>, usize) {
    let mut first = 0;
    let mut lines = source.split('\n').peekable();
    while let Some(line) = lines.next() {
        let chars: Vec<char> = line.chars().collect();
        let next = first + chars.len() + 1;
        if target < next || lines.peek().is_none() {
            let offset = target.saturating_sub(first).min(chars.len() + 1);
            return (chars, offset);
        }
        first = next;
    }
    (Vec::new(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str, column: usize) -> String {
        render_error(source, &FilterError::new(column, "no"))
    }

    #[test]
    fn caret_stands_below_the_column() {
        assert_eq!(rendered("size >", 7), "column 7: no\n  size >\n        ^");
        assert_eq!(
            rendered("\ta = é )", 8),
            "column 8: no\n  \ta = é )\n  \t      ^"
        );
        assert_eq!(rendered("", 1), "column 1: no\n  \n  ^");
    }

    #[test]
    fn only_the_line_of_the_error_is_shown() {
        assert_eq!(
            rendered("a = 1\nb = 2\nc = 3", 9),
            "column 9: no\n  b = 2\n    ^"
        );
        assert_eq!(rendered("a = 1\n", 99), "column 99: no\n  \n   ^");
    }

    #[test]
    fn long_lines_are_cut_around_the_column() {
        let source = format!("{}!{}", "a".repeat(4000), "b".repeat(4000));
        let text = rendered(&source, 4001);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.len() < 140));
        let caret = lines[2].find('^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('!'));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!rendered("a = \u{1b}[31m", 5).contains('\u{1b}'));
    }
}
