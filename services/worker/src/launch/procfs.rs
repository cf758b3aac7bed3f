//! What runs, as Linux tells it in `/proc`.

use std::{collections::HashSet, fs, path::Path};

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    parent: i32,
    session: i32,
    resident_pages: u64,
}

/// All processes but zombies.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

// `pid (name) state ppid pgrp session ...`, proc(5); the name may hold anything, blanks and parentheses too.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<i64>().ok();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    Some(Process {
        pid,
        parent: i32::try_from(number(1)?).ok()?,
        session: i32::try_from(number(3)?).ok()?,
        resident_pages: u64::try_from(number(21)?).ok()?,
    })
}

/// A program with all its children: those of its session, and descendants that left it. Once the leader is `reaped`, its number says nothing
/// any more but as the session of its children.
pub(super) fn family(leader: i32, reaped: bool) -> Vec<Process> {
    let all = all();
    let mut members: HashSet<i32> = all
        .iter()
        .filter(|p| {
            if p.pid == leader {
                !reaped
            } else {
                p.session == leader
            }
        })
        .map(|p| p.pid)
        .collect();
    loop {
        let before = members.len();
        let more: Vec<i32> = all
            .iter()
            .filter(|p| members.contains(&p.parent))
            .map(|p| p.pid)
            .collect();
        members.extend(more);
        if members.len() == before {
            return all
                .into_iter()
                .filter(|p| members.contains(&p.pid))
                .collect();
        }
    }
}

/// Processes whose environment says that their files are in this folder or below it: what a program left behind, wherever it went.
pub(super) fn working_below(folder: &Path) -> Vec<i32> {
    let mut wanted = b"GRANARY_FILES=".to_vec();
    wanted.extend_from_slice(folder.as_os_str().as_encoded_bytes());
    let works_there = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| {
                entry
                    .strip_prefix(wanted.as_slice())
                    .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
            })
        })
    };
    all()
        .into_iter()
        .map(|process| process.pid)
        .filter(works_there)
        .collect()
}

/// How much memory processes use together, in bytes: pages that they share count for each of them.
pub(super) fn resident(processes: &[Process]) -> u64 {
    let page = rustix::param::page_size() as u64;
    processes
        .iter()
        .map(|process| process.resident_pages * page)
        .sum()
}

/// The same with shared pages divided among those that share them. Exact, but costly: for when it matters.
pub(super) fn proportional(processes: &[Process]) -> u64 {
    processes
        .iter()
        .map(|process| one_proportional(process.pid).unwrap_or_else(|| resident(&[*process])))
        .sum()
}

fn one_proportional(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("Pss:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    })?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let rest: String = (0..18).map(|i| format!(" {i}")).collect();
        let stat = format!("7 (a) Z (b) S 1 7 5{rest} 4096");
        let fields = parse(7, &stat).unwrap();
        assert_eq!((fields.parent, fields.session), (1, 5));
        assert!(parse(7, &stat.replace(" S ", " Z ")).is_none());
        assert!(parse(7, "nonsense").is_none());
    }

    #[test]
    fn this_test_runs_and_uses_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        let found: Vec<Process> = family(own, false)
            .into_iter()
            .filter(|p| p.pid == own)
            .collect();
        assert!(resident(&found) > 1 << 20);
        assert!(proportional(&found) > 0);
    }
}
