//! The one place that writes to the terminal: results to standard output as tables, JSON or YAML; notes and progress to standard error.

mod csv;
mod listing;
mod progress;
mod table;
mod yaml;

use std::io::{self, IsTerminal as _, Write as _};

use granary_proto::json::to_json;
use indicatif::MultiProgress;
use prost::{Message, Name};
use serde_json::Value as Json;

use crate::failure::{Failure, Outcome};

pub(crate) use csv::line as csv;
pub(crate) use listing::Listing;
pub(crate) use progress::Progress;
pub(crate) use table::Table;
pub(crate) use yaml::yaml;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
    /// A line of values for each, with those of the first naming them; of `project usage` and `audit list`
    Csv,
}

/// Where a command writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    format: Format,
    bars: MultiProgress,
    interactive: bool,
    quiet: bool,
}

impl Out {
    /// Results in a format. Progress is shown on a terminal only.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            bars: MultiProgress::new(),
            interactive: io::stderr().is_terminal(),
            quiet: false,
        }
    }

    /// The same without progress and notes, if `quiet`.
    #[must_use]
    pub(crate) fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// How results are printed.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether results are for people.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// A line for people on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A line on standard error that is printed even when quiet.
    pub(crate) fn say(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// Text on standard output, as it is.
    pub(crate) fn print(&self, text: &str) -> Outcome {
        self.write(text.as_bytes())
    }

    /// A line on standard output.
    pub(crate) fn line(&self, text: &str) -> Outcome {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Bytes on standard output, as they are.
    pub(crate) fn write(&self, bytes: &[u8]) -> Outcome {
        self.write_to(&mut io::stdout(), bytes)
    }

    /// Bytes beside the result: on standard output where people read it, on standard error where a document goes there.
    pub(crate) fn write_beside(&self, bytes: &[u8]) -> Outcome {
        if self.is_table() {
            self.write(bytes)
        } else {
            self.write_to(&mut io::stderr(), bytes)
        }
    }

    fn write_to(&self, to: &mut dyn io::Write, bytes: &[u8]) -> Outcome {
        let written = self
            .bars
            .suspend(|| to.write_all(bytes).and_then(|()| to.flush()));
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::closed(),
            _ => {
                granary_core::Error::precondition("standard output", crate::human::io_error(&error))
                    .into()
            }
        })
    }

    /// One message: as a document, or as what `table` makes of it.
    pub(crate) fn item<M: Message + Name>(
        &self,
        message: &M,
        table: impl FnOnce(&M) -> Table,
    ) -> Outcome {
        match self.format {
            Format::Table | Format::Csv => self.print(&table(message).render()),
            _ => self.document(&to_json(message)?),
        }
    }

    /// A document in JSON or YAML.
    pub(crate) fn document(&self, json: &Json) -> Outcome {
        match self.format {
            Format::Yaml => self.print(&yaml(json)),
            _ => self.line(&pretty(json)?),
        }
    }

    /// One of several results that are printed as they come: a line for people, or an object a line.
    pub(crate) fn record(
        &self,
        json: impl FnOnce() -> granary_core::Result<Json>,
        line: impl FnOnce() -> String,
    ) -> Outcome {
        match self.format {
            Format::Table | Format::Csv => self.line(&line()),
            Format::Json => self.line(&json()?.to_string()),
            Format::Yaml => self.print(&format!("---\n{}", yaml(&json()?))),
        }
    }

    /// A progress bar of bytes, hidden when nobody looks.
    pub(crate) fn bytes_bar(&self, label: &str, total: u64) -> Progress {
        Progress::bytes(self.shows_progress().then_some(&self.bars), label, total)
    }

    /// A progress bar of things, hidden when nobody looks.
    pub(crate) fn count_bar(&self, label: &str, total: u64) -> Progress {
        Progress::count(self.shows_progress().then_some(&self.bars), label, total)
    }

    /// A count of things, of which nobody knows how many there are; hidden when nobody looks.
    pub(crate) fn counter(&self, label: &str) -> Progress {
        Progress::counter(self.shows_progress().then_some(&self.bars), label)
    }

    fn shows_progress(&self) -> bool {
        self.interactive && !self.quiet
    }
}

fn pretty(json: &Json) -> granary_core::Result<String> {
    serde_json::to_string_pretty(json)
        .map_err(|error| granary_core::Error::internal("printing JSON", error))
}
