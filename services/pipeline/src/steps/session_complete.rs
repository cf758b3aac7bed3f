//! `session-complete`: whether every file that the session lists has arrived.
//!
//! Parameters: `list`, the name of the session's attribute that holds the list (a JSON list, or names separated by commas, lines or blanks).
//! Without it, the list is `files` in the metadata file. Names are relative to the session or to the folder of the metadata file.

use std::collections::HashMap;

use granary_core::{name::quote, value::Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    definition::params::Params,
    item::SessionInfo,
    report::{self, Report},
    session_file::SessionFile,
};

pub(super) const NAME: &str = "session-complete";

/// The most missing files that are named in one report.
const MAX_NAMED: usize = 20;

#[derive(Debug)]
pub(crate) struct SessionComplete {
    list: Option<String>,
}

impl SessionComplete {
    pub(super) fn read(params: &mut Params<'_>) -> Self {
        Self {
            list: params.text("list"),
        }
    }

    /// The files to wait for; or what is wrong with the list.
    pub(crate) fn waiting(
        &self,
        session: &SessionInfo,
        file: &SessionFile,
    ) -> Result<Waiting, Report> {
        let names = self.names(session, file)?;
        let folder = session
            .metadata_path
            .rsplit_once('/')
            .map(|(folder, _)| folder);
        Ok(Waiting::new(names, folder))
    }

    fn names(&self, session: &SessionInfo, file: &SessionFile) -> Result<Vec<String>, Report> {
        if let Some(key) = &self.list {
            return match session.attributes.get(key) {
                Some(Value::Text(text)) => Ok(split(text)),
                Some(other) => Err(report::one(
                    "session",
                    format!(
                        "attribute {} should list files, it is a {}",
                        quote(key),
                        other.kind()
                    ),
                )),
                None => Err(report::one(
                    "session",
                    format!(
                        "attribute {} should list files, the session has none of that name",
                        quote(key)
                    ),
                )),
            };
        }
        let metadata = file
            .metadata()
            .map_err(|message| report::one("metadata", message))?;
        metadata.and_then(|metadata| metadata.files.clone()).ok_or_else(|| {
            report::one("session", "no list of files, so nobody can tell whether all arrived: list them in the metadata file under `files`")
        })
    }
}

/// Listed files that have not been seen yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    names: Vec<Option<String>>,
    places: HashMap<String, usize>,
    left: usize,
}

impl Waiting {
    fn new(names: Vec<String>, folder: Option<&str>) -> Self {
        let mut places = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            let plain = name.trim_start_matches("./").replace('\\', "/");
            if let Some(folder) = folder {
                places.insert(normal(&format!("{folder}/{plain}")), at);
            }
            places.entry(normal(&plain)).or_insert(at);
        }
        Self {
            left: names.len(),
            names: names.into_iter().map(Some).collect(),
            places,
        }
    }

    /// Whether every listed file has been seen.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Notes that a file is there.
    pub(crate) fn saw(&mut self, path: &str) {
        let place = self
            .places
            .get(path)
            .or_else(|| self.places.get(&normal(path)));
        if let Some(slot) = place.and_then(|at| self.names.get_mut(*at))
            && slot.take().is_some()
        {
            self.left -= 1;
        }
    }

    /// What is missing.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::new();
        let missing: Vec<&String> = self.names.iter().flatten().collect();
        for name in missing.iter().take(MAX_NAMED) {
            report::add(
                &mut report,
                "session",
                format!("listed file {} is missing", quote(name)),
            );
        }
        if missing.len() > MAX_NAMED {
            report::add(
                &mut report,
                "session",
                format!(
                    "{} more listed files are missing",
                    missing.len() - MAX_NAMED
                ),
            );
        }
        report
    }
}

// One name has several spellings in Unicode, and file systems change them on the way.
fn normal(path: &str) -> String {
    path.nfc().collect()
}

fn split(text: &str) -> Vec<String> {
    if let Ok(names) = serde_json::from_str::<Vec<String>>(text) {
        return names;
    }
    let separator = [|c: char| c == '\n', |c: char| c == ',']
        .into_iter()
        .find(|separator| text.contains(*separator))
        .unwrap_or(char::is_whitespace);
    text.split(separator)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
