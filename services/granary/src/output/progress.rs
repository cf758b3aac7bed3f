//! Progress bars with rate and time left; they show nothing when standard error is not a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A bar that goes away when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn bytes(bars: Option<&MultiProgress>, label: &str, total: u64) -> Self {
        Self::new(
            bars,
            label,
            total,
            "{prefix} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left {msg}",
        )
    }

    pub(super) fn count(bars: Option<&MultiProgress>, label: &str, total: u64) -> Self {
        Self::new(
            bars,
            label,
            total,
            "{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} left {msg}",
        )
    }

    pub(super) fn counter(bars: Option<&MultiProgress>, label: &str) -> Self {
        Self::new(bars, label, 0, "{prefix} {spinner} {pos} {per_sec} {msg}")
    }

    fn new(bars: Option<&MultiProgress>, label: &str, total: u64, template: &str) -> Self {
        let Some(bars) = bars else {
            return Self {
                bar: ProgressBar::hidden(),
            };
        };
        let bar = bars.add(ProgressBar::new(total));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(crate::human::shown(label));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// So much is done, of so much.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// What goes on, in a few words.
    pub(crate) fn message(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        !self.bar.is_hidden()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl granary_transfer::Progress for Progress {
    fn total(&self, files: u64, bytes: u64) {
        self.bar.set_length(bytes);
        self.bar.set_message(crate::human::count(files, "file"));
    }

    fn sent(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    // What need not be moved counts as done, but not for the rate.
    fn skipped(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.bar.reset_eta();
    }

    fn done_file(&self, _path: &str) {}
}
