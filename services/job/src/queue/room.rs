//! How many jobs of which project may start: known and changed within one transaction, so that nobody starts more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use granary_core::{Result, clock::from_micros, day::Day};
use granary_runtime::db;
use sea_orm::DatabaseTransaction;

use crate::{
    core::Core,
    store::usage::{self as store, Limits, Running},
};

/// What is locked by whoever starts jobs of projects with limits. Any number will do that nothing else in this schema locks.
const CLAIMS: i64 = 0x6a6f_6263_6c61;
const SECOND: i64 = 1_000_000;

/// How many jobs may start, of the projects whose jobs were looked at.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Those that are known, with or without limits.
    known: BTreeSet<String>,
    left: BTreeMap<String, i64>,
    full: BTreeSet<String>,
}

impl Room {
    /// Reads that of projects whose jobs are to start. If any of them has limits, from here on no other transaction starts jobs of projects
    /// with limits.
    pub(super) async fn read(
        &mut self,
        core: &Core,
        tx: &DatabaseTransaction,
        projects: impl IntoIterator<Item = &str>,
        now: i64,
    ) -> Result<()> {
        let new: BTreeSet<_> = projects
            .into_iter()
            .filter(|project| !self.known.contains(*project))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let limited = store::limited(tx, &new).await?;
        self.known.extend(new.into_iter().map(str::to_owned));
        self.fill(core, tx, limited, now).await
    }

    /// Reads that of all projects with limits whose jobs wait: some of them are full, so that others may be.
    pub(super) async fn read_waiting(
        &mut self,
        core: &Core,
        tx: &DatabaseTransaction,
        now: i64,
    ) -> Result<()> {
        let mut waiting = store::waiting_limited(tx).await?;
        waiting.retain(|project, _| !self.known.contains(project));
        self.known.extend(waiting.keys().cloned());
        self.fill(core, tx, waiting, now).await
    }

    async fn fill(
        &mut self,
        core: &Core,
        tx: &DatabaseTransaction,
        limited: BTreeMap<String, Limits>,
        now: i64,
    ) -> Result<()> {
        if limited.is_empty() {
            return Ok(());
        }
        core.usage.limited.store(true, Ordering::Relaxed);
        db::serialize(tx, CLAIMS).await?;
        let projects: BTreeSet<_> = limited.keys().map(String::as_str).collect();
        let running = store::running(tx, &projects, now).await?;
        let today = Day::of(from_micros(now)).number();
        let taken = store::taken(tx, &projects, today).await?;
        for (project, limits) in limited {
            let running = running.get(&project).copied().unwrap_or_default();
            let left = left(
                limits,
                running,
                taken.get(&project).copied().unwrap_or_default(),
            );
            if left <= 0 {
                self.full.insert(project);
            } else {
                self.left.insert(project, left);
            }
        }
        Ok(())
    }

    /// The projects of which no job may start.
    pub(super) fn full(&self) -> &BTreeSet<String> {
        &self.full
    }

    /// Whether a job of a project may start.
    pub(super) fn has(&self, project: &str) -> bool {
        !self.full.contains(project)
    }

    /// Takes note of a job that starts.
    pub(super) fn take(&mut self, project: &str) {
        if let Some(left) = self.left.get_mut(project) {
            *left -= 1;
            if *left == 0 {
                self.full.insert(project.to_owned());
            }
        }
    }
}

/// How many jobs of a project may start whose ended attempts took so many seconds today.
fn left(limits: Limits, running: Running, ended: i64) -> i64 {
    if limits.seconds > 0 && ended.saturating_add(running.micros / SECOND) >= limits.seconds {
        return 0;
    }
    match limits.concurrent {
        0 => i64::MAX,
        concurrent => concurrent.saturating_sub(running.jobs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_counts_towards_both_limits() {
        let limits = |concurrent, seconds| Limits {
            concurrent,
            seconds,
        };
        let running = |jobs, seconds| Running {
            jobs,
            micros: seconds * SECOND,
        };
        for (limits, running, ended, expected) in [
            (limits(3, 0), running(1, 1000), 0, 2),
            (limits(3, 0), running(5, 0), 0, -2),
            (limits(0, 60), running(9, 20), 39, i64::MAX),
            (limits(0, 60), running(9, 20), 40, 0),
            (limits(3, 60), running(0, 0), 60, 0),
            (limits(3, 60), running(1, 0), 59, 2),
        ] {
            assert_eq!(
                left(limits, running, ended),
                expected,
                "{limits:?} {running:?} {ended}"
            );
        }
    }

    #[test]
    fn a_project_is_full_after_the_last_one_that_fits() {
        let mut room = Room {
            known: BTreeSet::new(),
            left: BTreeMap::from([("p".to_owned(), 2)]),
            full: BTreeSet::from(["q".to_owned()]),
        };
        assert!(room.has("p") && !room.has("q") && room.has("r"));
        room.take("p");
        room.take("r");
        assert!(room.has("p"));
        room.take("p");
        assert!(!room.has("p") && room.full().len() == 2 && room.has("r"));
    }
}
