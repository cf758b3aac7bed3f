//! What was found, said as it is found, and counted.

use std::sync::atomic::{AtomicU64, Ordering};

use granary_core::Error;
use granary_metadata::restore::Mode;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::{
    failure::Outcome,
    human,
    output::{Out, Progress},
};

/// Numbers of things of one kind.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) made: AtomicU64,
    pub(super) newer: AtomicU64,
    pub(super) known: AtomicU64,
}

/// What there is to say of something that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// An object, or all that lies below a prefix, that belongs to nothing.
    Stray,
    /// Bytes that a manifest lists and that are not there, or have another size; a session, or files of one, that only the database knows.
    Missing,
    /// What could not be read or is not what it should be.
    Unreadable,
    /// What the database knows otherwise.
    Differs,
    /// What had to be guessed.
    Guessed,
}

impl Finding {
    const ALL: [Self; 5] = [
        Self::Stray,
        Self::Missing,
        Self::Unreadable,
        Self::Differs,
        Self::Guessed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stray => "stray",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Differs => "differs",
            Self::Guessed => "guessed",
        }
    }
}

/// The report of one run.
#[derive(Debug)]
pub(super) struct Report {
    out: Out,
    pub(super) mode: Mode,
    progress: Progress,
    pub(super) projects: Counts,
    pub(super) datasets: Counts,
    pub(super) sessions: Counts,
    pub(super) open: AtomicU64,
    pub(super) behind: AtomicU64,
    pub(super) assets: AtomicU64,
    pub(super) bytes: AtomicU64,
    findings: [AtomicU64; 5],
    /// That nobody reads what is printed.
    closed: Mutex<Outcome>,
}

/// Adds one.
pub(super) fn one(to: &AtomicU64) {
    add(to, 1);
}

/// Adds some.
pub(super) fn add(to: &AtomicU64, number: u64) {
    to.fetch_add(number, Ordering::Relaxed);
}

fn read(from: &AtomicU64) -> u64 {
    from.load(Ordering::Relaxed)
}

fn count(number: &AtomicU64, noun: &str) -> String {
    human::count(read(number), noun)
}

impl Report {
    pub(super) fn new(out: &Out, mode: Mode) -> Self {
        Self {
            out: out.clone(),
            mode,
            progress: out.counter("sessions"),
            projects: Counts::default(),
            datasets: Counts::default(),
            sessions: Counts::default(),
            open: AtomicU64::default(),
            behind: AtomicU64::default(),
            assets: AtomicU64::default(),
            bytes: AtomicU64::default(),
            findings: Default::default(),
            closed: Mutex::new(Ok(())),
        }
    }

    /// One more session is done.
    pub(super) fn step(&self) {
        self.progress.step();
        if self.progress.is_shown() {
            let (assets, bytes) = (read(&self.assets), read(&self.bytes));
            let bytes = human::bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
            self.progress
                .message(format!("{}, {bytes}", human::count(assets, "asset")));
        }
    }

    /// Says what was found somewhere.
    pub(super) fn find(&self, finding: Finding, place: &str, what: &str) {
        one(&self.findings[finding as usize]);
        let kind = finding.as_str();
        let record = || Ok(json!({"finding": kind, "place": place, "description": what}));
        let line = || {
            let separator = if what.is_empty() { "" } else { ": " };
            format!(
                "{kind:<11}{}{separator}{}",
                human::shown(place),
                human::shown(what)
            )
        };
        if let Err(failure) = self.out.record(record, line) {
            *self.closed.lock() = Err(failure);
        }
    }

    /// Says what could not be read.
    pub(super) fn unreadable(&self, place: &str, error: &Error) {
        let text = error.to_string();
        self.find(Finding::Unreadable, place, &text);
    }

    /// Says what it all came to; false if anything could not be read.
    pub(super) fn end(self, whole: bool) -> Outcome<bool> {
        let all = self.summary(whole);
        let lines = || self.lines(whole);
        self.out.record(|| Ok(all), lines)?;
        let Self {
            findings, closed, ..
        } = self;
        closed.into_inner()?;
        let count = |finding: Finding| read(&findings[finding as usize]);
        Ok(count(Finding::Missing) == 0 && count(Finding::Unreadable) == 0)
    }

    fn summary(&self, whole: bool) -> Json {
        let counts = |counts: &Counts| {
            json!({
                "made": read(&counts.made), "newer": read(&counts.newer), "known": read(&counts.known),
            })
        };
        let findings = Finding::ALL.map(|finding| {
            let count = read(&self.findings[finding as usize]);
            (finding.as_str().to_owned(), json!(count))
        });
        json!({
            "dry_run": self.mode.dry,
            "complete": whole,
            "projects": counts(&self.projects),
            "datasets": counts(&self.datasets),
            "sessions": counts(&self.sessions),
            "open_sessions": read(&self.open),
            "behind": read(&self.behind),
            "assets": read(&self.assets),
            "bytes": read(&self.bytes),
            "findings": Json::Object(findings.into_iter().collect()),
        })
    }

    fn lines(&self, whole: bool) -> String {
        let mut lines = vec![self.made(whole)];
        if read(&self.sessions.newer) > 0 {
            let newer = count(&self.sessions.newer, "session");
            lines.push(format!("taken from newer manifests: {newer}"));
        }
        lines.push(format!(
            "known before: {}, {}, {}",
            count(&self.projects.known, "project"),
            count(&self.datasets.known, "dataset"),
            count(&self.sessions.known, "session"),
        ));
        let found = Finding::ALL.map(|finding| {
            let number = read(&self.findings[finding as usize]);
            (number > 0).then(|| format!("{number} {}", finding.as_str()))
        });
        let found: Vec<_> = found.into_iter().flatten().collect();
        if !found.is_empty() {
            lines.push(format!("found: {}", found.join(", ")));
        }
        if read(&self.behind) > 0 {
            lines.push(self.left_behind());
        }
        lines.join("\n")
    }

    fn made(&self, whole: bool) -> String {
        let begin = match (self.mode.dry, whole) {
            (true, _) => "would be made",
            (false, true) => "made",
            (false, false) => "made so far",
        };
        let bytes = i64::try_from(read(&self.bytes)).unwrap_or(i64::MAX);
        format!(
            "{begin}: {}, {}, {} ({} still open), {}, {}",
            count(&self.projects.made, "project"),
            count(&self.datasets.made, "dataset"),
            count(&self.sessions.made, "session"),
            read(&self.open),
            count(&self.assets, "asset"),
            human::bytes(bytes),
        )
    }

    fn left_behind(&self) -> String {
        let sessions = count(&self.behind, "session");
        let how = match self.mode.take_newer {
            true => "they stay as they are, since bytes that it knows would change or be lost",
            false => "--take-newer takes them from there",
        };
        format!("{sessions} further in their manifests than in the database: {how}")
    }
}
