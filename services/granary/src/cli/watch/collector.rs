//! Looks at folders, decides which are complete, and sends those.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use granary_core::{Error, clock::SharedClock};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::super::upload::note_if_made;
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    folder::{
        Choice, Folder,
        settle::{self, Decision, Memory},
    },
    human,
    ingest::{self, absent},
    output::Out,
};

/// What is collected, and how.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) folder: PathBuf,
    pub(super) quiet: Duration,
    pub(super) choice: Choice,
    pub(super) options: ingest::Options,
}

/// Remembers each folder as long as the process lives; what was sent by others before is asked of the server.
pub(super) struct Collector {
    client: Client,
    out: Out,
    rules: Rules,
    clock: SharedClock,
    stop: CancellationToken,
    memory: BTreeMap<String, Memory>,
    // What was last said of a folder that could not be sent.
    troubles: BTreeMap<String, String>,
    has_dataset: bool,
}

impl Collector {
    pub(super) fn new(
        client: Client,
        out: Out,
        rules: Rules,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            out,
            rules,
            clock,
            stop,
            memory: BTreeMap::new(),
            troubles: BTreeMap::new(),
            has_dataset: false,
        }
    }

    /// Looks at all folders, or only at some, and sends what is complete. Says when to look again, if there is reason to.
    pub(super) async fn look(
        &mut self,
        only: Option<&BTreeSet<String>>,
    ) -> Outcome<Option<OffsetDateTime>> {
        let there = folders(&self.rules.folder)
            .map_err(|error| Failure::at(self.rules.folder.display(), error))?;
        self.memory.retain(|name, _| there.contains(name));
        self.troubles.retain(|name, _| there.contains(name));
        for name in there
            .iter()
            .filter(|name| only.is_none_or(|only| only.contains(*name)))
        {
            if self.stop.is_cancelled() {
                break;
            }
            self.consider(name).await?;
        }
        Ok(self
            .memory
            .values()
            .filter_map(|memory| self.due_at(memory))
            .min())
    }

    /// Folders that it is time to look at again.
    pub(super) fn due(&self) -> BTreeSet<String> {
        let now = self.clock.now();
        let is_due = |memory: &Memory| self.due_at(memory).is_some_and(|at| at <= now);
        self.memory
            .iter()
            .filter(|(_, memory)| is_due(memory))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether everything that is there was sent.
    pub(super) fn is_clean(&self) -> bool {
        self.troubles.is_empty()
    }

    /// Says of folders that did not come to rest that they were left out.
    pub(super) fn report_unsettled(&mut self, quiet: Duration) {
        let unsettled = self
            .memory
            .iter()
            .filter(|(_, memory)| matches!(memory, Memory::Seen(..)));
        for name in unsettled.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.trouble(
                &name,
                format!(
                    "still being written: it changed within the last {}",
                    human::duration(quiet)
                ),
            );
        }
    }

    fn due_at(&self, memory: &Memory) -> Option<OffsetDateTime> {
        match memory {
            Memory::Settled(_) => None,
            Memory::Later { at, .. } => Some(*at),
            Memory::Seen(stamp, since) => Some(
                stamp
                    .newest
                    .min(*since)
                    .saturating_add(time::Duration::try_from(self.rules.quiet).unwrap_or_default()),
            ),
        }
    }

    async fn consider(&mut self, name: &str) -> Outcome {
        let now = self.clock.now();
        let root = self.rules.folder.join(name);
        let stamp = settle::stamp(&root, now);
        let memory =
            match settle::decide(self.memory.get(name), stamp, now, self.rules.quiet) {
                Decision::Leave => return Ok(()),
                Decision::Wait(_) => match self.memory.get(name) {
                    Some(
                        known @ (Memory::Seen(before, _) | Memory::Later { stamp: before, .. }),
                    ) if *before == stamp => *known,
                    _ => Memory::Seen(stamp, now),
                },
                Decision::Take => match self.take(name, &root).await {
                    Ok(()) => Memory::Settled(stamp),
                    Err(failure) if failure.is_hopeless() => return Err(failure),
                    Err(failure) => {
                        self.trouble(name, failure.message().unwrap_or_default());
                        match failure.lies_in_what_is_sent() {
                            true => Memory::Settled(stamp),
                            false => Memory::later(self.memory.get(name), stamp, self.clock.now()),
                        }
                    }
                },
            };
        self.memory.insert(name.to_owned(), memory);
        Ok(())
    }

    async fn take(&mut self, name: &str, root: &Path) -> Outcome {
        let folder = Folder::read(root, None, &self.rules.choice)?;
        if !folder.missing().is_empty() {
            let waits = format!("waits: the metadata lists {}", absent(folder.missing()));
            return Err(Failure::at(&folder.label, Error::invalid("", waits)));
        }
        if !self.has_dataset {
            note_if_made(&self.out, &self.client, &self.rules.options).await?;
            self.has_dataset = true;
        }
        folder.warnings.iter().for_each(|warning| {
            self.out.say(&format!(
                "granary: warning: {}: {warning}",
                human::shown(&folder.label)
            ))
        });
        let sent = ingest::ingest(
            &self.client,
            &self.out,
            &folder,
            &self.rules.options,
            &self.stop,
        )
        .await?;
        self.troubles.remove(name);
        self.out.record(|| sent.json(), || sent.line())
    }

    // The same thing is said of a folder once.
    fn trouble(&mut self, name: &str, message: String) {
        if self.troubles.get(name) == Some(&message) {
            return;
        }
        let prefix = if message.starts_with("granary: ") {
            String::new()
        } else {
            format!("granary: {}: ", human::shown(name))
        };
        self.out.say(&format!("{prefix}{message}"));
        self.troubles.insert(name.to_owned(), message);
    }
}

// Folders directly below, but for hidden ones; a name that is not UTF-8 is no session's.
fn folders(root: &Path) -> Result<BTreeSet<String>, Error> {
    let failed = |error: std::io::Error| Error::invalid("", human::io_error(&error));
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !name.starts_with('.') {
            found.insert(name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use granary_core::{
        clock::{Clock as _, ManualClock},
        name::DatasetName,
    };
    use std::sync::Arc;
    use tempfile::TempDir;

    const QUIET: Duration = Duration::from_secs(5);

    struct World {
        folder: TempDir,
        clock: Arc<ManualClock>,
        collector: Collector,
    }

    impl World {
        // The clock is behind the files' own times, so that only what is seen of them counts. The server knows no call.
        fn new(quiet: Duration) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let start = OffsetDateTime::now_utc() - time::Duration::hours(1);
            let clock = ManualClock::new(start);
            let rules = Rules {
                folder: folder.path().to_owned(),
                quiet,
                choice: Choice::Guess,
                options: ingest::Options {
                    dataset: DatasetName::new("default", "d").unwrap(),
                    attributes: BTreeMap::new(),
                    concurrency: None,
                    by_content: false,
                },
            };
            let out = Out::new(Format::Table).quiet(true);
            let collector = Collector::new(
                Client::of_nothing(&out),
                out,
                rules,
                clock.clone(),
                CancellationToken::new(),
            );
            Self {
                folder,
                clock,
                collector,
            }
        }

        fn write(&self, file: &str, text: &str) {
            let file = self.folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }

        async fn next_look(&mut self) -> Option<Duration> {
            let next = self.collector.look(None).await.unwrap()?;
            Some((next - self.clock.now()).unsigned_abs())
        }
    }

    #[tokio::test]
    async fn a_folder_that_keeps_changing_is_left_out() {
        let mut world = World::new(QUIET);
        world.write("s1/metadata.txt", "a: 1\n");
        assert_eq!(world.next_look().await, Some(QUIET));
        world.write("s1/growing.bin", "x");
        world.clock.advance(QUIET.try_into().unwrap());
        assert_eq!(world.next_look().await, Some(QUIET));
        assert!(world.collector.is_clean());
        world.collector.report_unsettled(QUIET);
        assert!(!world.collector.is_clean());
        assert!(world.collector.troubles["s1"].starts_with("still being written"));
    }

    #[tokio::test]
    async fn a_fault_of_the_server_is_outlived_and_one_of_the_folder_waits_for_a_change() {
        let mut world = World::new(Duration::ZERO);
        world.write("s1/metadata.txt", "a: 1\n");
        world.write("s2/a.bin", "no metadata");
        for pause in [10, 20, 40] {
            let pause = Duration::from_secs(pause);
            assert_eq!(world.next_look().await, Some(pause));
            assert!(world.collector.troubles["s1"].contains("internal error"));
            assert!(world.collector.troubles["s2"].contains("no metadata file"));
            world.clock.advance(pause.try_into().unwrap());
            assert_eq!(world.collector.due(), BTreeSet::from(["s1".to_owned()]));
        }
    }
}
