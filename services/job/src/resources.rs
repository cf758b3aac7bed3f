//! What an attempt may use: bounds and defaults.

use std::time::Duration;

use granary_core::{error::Violations, units};
use granary_proto::{convert, job::v1::Resources};

const MIB: i64 = 1024 * 1024;
const DEFAULT_MEMORY: i64 = 1024 * MIB;
const MAX_MEMORY: i64 = 64 * 1024 * 1024 * MIB;
const MAX_CPUS: f64 = 1024.0;
const MAX_GPUS: i32 = 64;
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Notes what is out of bounds; what is 0 or not set is fine.
pub(crate) fn check(field: &str, resources: &Resources, wrong: &mut Violations) {
    let memory = resources.memory_bytes;
    if memory != 0 && !(MIB..=MAX_MEMORY).contains(&memory) {
        let got = u64::try_from(memory).map_or_else(|_| memory.to_string(), units::human_bytes);
        wrong.add(
            format!("{field}.memory_bytes"),
            format!("expected 1 MiB to 64 TiB, got {got}"),
        );
    }
    if !(0.0..=MAX_CPUS).contains(&resources.cpus) {
        wrong.add(
            format!("{field}.cpus"),
            format!(
                "expected a number above 0, up to 1024, got {}",
                resources.cpus
            ),
        );
    }
    if !(0..=MAX_GPUS).contains(&resources.gpus) {
        wrong.add(
            format!("{field}.gpus"),
            format!("expected 0 to 64, got {}", resources.gpus),
        );
    }
    if let Some(timeout) = resources.timeout {
        let bounds = MIN_TIMEOUT..=MAX_TIMEOUT;
        if !Duration::try_from(timeout).is_ok_and(|timeout| bounds.contains(&timeout)) {
            wrong.add(
                format!("{field}.timeout"),
                format!("expected 1 s to 7 d, got {} s", timeout.seconds),
            );
        }
    }
}

/// What `first` says, then what `second` says, then the defaults: nothing is left open.
pub(crate) fn merge(first: Option<&Resources>, second: Option<&Resources>) -> Resources {
    let given = || first.into_iter().chain(second);
    Resources {
        memory_bytes: given()
            .map(|r| r.memory_bytes)
            .find(|m| *m != 0)
            .unwrap_or(DEFAULT_MEMORY),
        cpus: given().map(|r| r.cpus).find(|c| *c > 0.0).unwrap_or(1.0),
        gpus: given().map(|r| r.gpus).find(|g| *g != 0).unwrap_or(0),
        timeout: given()
            .find_map(|r| r.timeout)
            .or_else(|| Some(convert::wire_duration(DEFAULT_TIMEOUT))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn a_job_goes_before_its_entrypoint_and_that_before_the_defaults() {
        let job = Resources {
            memory_bytes: 5 * MIB,
            ..Resources::default()
        };
        let entrypoint = Resources {
            memory_bytes: 9 * MIB,
            cpus: 2.0,
            ..Resources::default()
        };
        let merged = merge(Some(&job), Some(&entrypoint));
        assert_eq!(
            (merged.memory_bytes, merged.cpus, merged.gpus),
            (5 * MIB, 2.0, 0)
        );
        assert_eq!(merged.timeout, timeout(3600));
        assert_eq!(merge(None, None).memory_bytes, 1024 * MIB);
    }

    #[test]
    fn bounds_are_named_with_their_fields() {
        let mut wrong = Violations::default();
        let bad = Resources {
            memory_bytes: 1000,
            cpus: f64::NAN,
            gpus: -1,
            timeout: timeout(604_801),
        };
        check("resources", &bad, &mut wrong);
        let text = wrong.finish().unwrap_err().to_string();
        for part in [
            "resources.memory_bytes: expected 1 MiB to 64 TiB, got",
            "resources.cpus: expected a number above 0, up to 1024, got NaN",
            "resources.gpus: expected 0 to 64, got -1",
            "resources.timeout: expected 1 s to 7 d, got 604801 s",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let mut wrong = Violations::default();
        check(
            "resources",
            &Resources {
                memory_bytes: MIB,
                timeout: timeout(604_800),
                ..Resources::default()
            },
            &mut wrong,
        );
        wrong.finish().unwrap();
    }
}
