//! What the kernel counted for this container, in either version of control groups.

use std::fs;

const KILLS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// How often the kernel killed something here because its memory was full.
pub(super) fn oom_kills() -> u64 {
    let found = KILLS
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    found.filter_map(|text| kills(&text)).max().unwrap_or(0)
}

fn kills(text: &str) -> Option<u64> {
    let counted = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let second = "low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(kills(second), Some(2));
        assert_eq!(
            kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
            Some(3)
        );
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
