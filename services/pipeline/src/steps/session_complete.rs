//! `session-complete`: whether every file that the session lists has arrived.
//!
//! Parameters: `list`, the name of the session's attribute that holds the list (a JSON list, or names separated by commas, lines or blanks).
//! Without it, the list is `files` in the metadata file. Names are relative to the session or to the folder of the metadata file.

use granary_core::{name::quote, sidecar::Listed, value::Value};

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
    pub(crate) fn listed(
        &self,
        session: &SessionInfo,
        file: &SessionFile,
    ) -> Result<Listed, Report> {
        let names = self.names(session, file)?;
        Ok(Listed::new(names, &session.metadata_path))
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

/// What is missing.
pub(crate) fn missing(listed: &Listed) -> Report {
    let mut report = Report::new();
    for name in listed.missing().take(MAX_NAMED) {
        let message = format!("listed file {} is missing", quote(name));
        report::add(&mut report, "session", message);
    }
    let more = listed.missing().skip(MAX_NAMED).count();
    if more > 0 {
        let message = format!("{more} more listed files are missing");
        report::add(&mut report, "session", message);
    }
    report
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
