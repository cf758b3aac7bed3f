//! What an attempt sends back once its program has ended.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use granary_core::{Result, name::JobName, units};
use granary_proto::job::v1::FailureClass;

use crate::{
    attempt::{Attempt, Outcome},
    board::Why,
    folder::Working,
    outputs::{self, Found, Kind},
};

/// How many things that were left out are named one by one.
const NOTED: usize = 100;

impl Attempt<'_> {
    /// Sends back what the program made: all of it after a success, only its logs otherwise.
    pub(crate) async fn collect(
        &self,
        name: &JobName,
        working: &Working,
        mut outcome: Outcome,
    ) -> Outcome {
        if outcome.handed_back {
            return outcome;
        }
        let mut notes = Vec::new();
        let mut made = Vec::new();
        let mut logs = self.find(Kind::Log, working).await;
        if outcome.failure == FailureClass::Unspecified {
            for kind in [Kind::Output, Kind::Artifact] {
                let mut found = self.find(kind, working).await;
                notes.append(&mut found.notes);
                made.push((kind, found));
            }
            let found = made.iter().map(|(_, found)| found).chain([&logs]);
            if let Err(message) = check_size(found, self.tools.max_output_bytes) {
                made.clear();
                outcome.failure = FailureClass::Application;
                outcome.message = message;
            }
        }
        if let Err(message) = check_size([&logs], self.tools.max_output_bytes) {
            logs.files.clear();
            notes.push(format!("not collected: the logs: {message}"));
        }
        notes.append(&mut logs.notes);
        self.note(working, &notes).await;
        self.add_output(working, &mut logs.files).await;
        made.push((Kind::Log, logs));
        self.send_all(name, made, outcome).await
    }

    async fn send_all(
        &self,
        name: &JobName,
        made: Vec<(Kind, Found)>,
        mut outcome: Outcome,
    ) -> Outcome {
        let succeeded = outcome.failure == FailureClass::Unspecified;
        for (kind, found) in made {
            match self.send(name, kind, found.files).await {
                Ok(sent) => outcome.outputs.extend(sent),
                // Why the program failed matters more than that its log is lost.
                Err(_) if !succeeded => {}
                Err(stopped) => {
                    return Outcome {
                        peak: outcome.peak,
                        ..stopped
                    };
                }
            }
        }
        outcome
    }

    async fn find(&self, kind: Kind, working: &Working) -> Found {
        match outputs::folder(&self.entrypoint, kind, &working.files()) {
            Some(folder) => {
                let root = working.files();
                tokio::task::spawn_blocking(move || outputs::find(&root, &folder))
                    .await
                    .unwrap_or_default()
            }
            None => Found::default(),
        }
    }

    /// Adds what was left out to the program's output, where people look.
    async fn note(&self, working: &Working, notes: &[String]) {
        if notes.is_empty() {
            return;
        }
        let mut text: String = notes
            .iter()
            .take(NOTED)
            .map(|note| format!("[{note}]\n"))
            .collect();
        if notes.len() > NOTED {
            text.push_str(&format!("[not collected: {} more]\n", notes.len() - NOTED));
        }
        self.held.write(text.as_bytes()).await;
        if !is_file(&working.log()).await {
            return;
        }
        let mut file = tokio::fs::OpenOptions::new()
            .append(true)
            .open(working.log())
            .await;
        if let Ok(file) = &mut file {
            use tokio::io::AsyncWriteExt as _;
            let _ = file.write_all(text.as_bytes()).await;
            let _ = file.flush().await;
        }
    }

    /// Adds what the program wrote to standard output and error to its logs.
    async fn add_output(&self, working: &Working, logs: &mut BTreeMap<String, PathBuf>) {
        if is_file(&working.log()).await {
            // A program's own file of that name goes before.
            let free = ["stdout.log", "stdout.granary.log"]
                .into_iter()
                .find(|path| !logs.contains_key(*path));
            logs.extend(free.map(|path| (path.to_owned(), working.log())));
        }
    }

    async fn send(
        &self,
        name: &JobName,
        kind: Kind,
        files: BTreeMap<String, PathBuf>,
    ) -> Result<Option<(String, String)>, Outcome> {
        // A cancelled job still gives its log; for any other reason to stop, nothing more is sent.
        let halt = async {
            self.held.stop.cancelled().await;
            if self.held.why() == Some(Why::Cancelled) && kind == Kind::Log {
                std::future::pending::<()>().await;
            }
        };
        let sent = tokio::select! {
            sent = self.tools.sender.send(&self.job, name, self.number, kind, files) => sent,
            () = halt => return Err(self.stopped()),
        };
        let session = sent.map_err(|error| {
            Outcome::infrastructure(
                &format!("cannot store what it made ({})", kind.key()),
                &error,
            )
        })?;
        Ok(session.map(|session| (kind.key().to_owned(), session.to_string())))
    }
}

/// Whether it is there, and no link: in a pod, the program itself can put something else in its place.
async fn is_file(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path)
        .await
        .is_ok_and(|found| found.is_file())
}

/// A file may be much longer than the disk that it lies on, and all of it would be read and sent.
fn check_size<'a>(found: impl IntoIterator<Item = &'a Found>, limit: u64) -> Result<(), String> {
    let bytes = found
        .into_iter()
        .fold(0_u64, |sum, found| sum.saturating_add(found.bytes));
    if bytes <= limit {
        return Ok(());
    }
    Err(format!(
        "it left {} to collect, and this worker sends back at most {}: leave less, or raise --max-output of the worker",
        units::human_bytes(bytes),
        units::format_size(limit)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_folders_count_together_and_no_sum_is_too_large() {
        let sized = |bytes| Found {
            bytes,
            ..Found::default()
        };
        let (half, rest, endless) = (sized(512), sized(513), sized(u64::MAX));
        assert_eq!(check_size([&half, &half], 1024), Ok(()));
        for found in [[&half, &rest], [&half, &endless]] {
            assert!(check_size(found, 1024).is_err());
        }
        assert_eq!(
            check_size([&sized(3 << 40)], 1 << 40).unwrap_err(),
            "it left 3.3 TB to collect, and this worker sends back at most 1TiB: leave less, or raise --max-output of the worker"
        );
    }
}
