//! Prints figures as they are measured.

/// A list of lines on standard output.
#[derive(Debug)]
pub(crate) struct Report;

impl Report {
    /// A line without a target.
    pub(crate) fn line(&mut self, what: &str, text: impl std::fmt::Display) {
        println!("{what:<28} {text}");
    }

    /// A figure beside what it should reach.
    pub(crate) fn figure(&mut self, what: &str, value: f64, unit: &str, target: f64, bound: &str) {
        let met = if bound == "at most" {
            value <= target
        } else {
            value >= target
        };
        println!(
            "{what:<28} {value:>10.1} {unit:<12} {} ({bound} {target})",
            if met { "ok  " } else { "MISS" }
        );
    }

    /// A ratio to a floor of the same run.
    pub(crate) fn ratio(&mut self, what: &str, value: f64, floor: f64, of: &str) {
        println!(
            "{:<28} {:>10.2} of {of} ({floor:.0})",
            format!("  {what}"),
            value / floor
        );
    }
}
