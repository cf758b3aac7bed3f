use granary_core::clock::ManualClock;
use time::{Duration as Span, macros::datetime};

use super::*;

fn counts() -> (Arc<ManualClock>, Counts) {
    let clock = ManualClock::new(datetime!(2026-11-21 23:00 UTC));
    (clock.clone(), Counts::new(Arc::new(clock)))
}

fn quota(limit: i64, used: i64) -> Vec<Quota> {
    vec![Quota {
        name: "projects/p/quota".into(),
        max_daily_requests: limit,
        used_daily_requests: used,
        ..Quota::default()
    }]
}

fn taken(counts: &Counts) -> Vec<UsageRecord> {
    let mut sending = Vec::new();
    counts.take(&mut sending);
    sending
}

#[test]
fn the_limit_counts_what_is_known_what_is_sent_and_what_is_not() {
    let (_, counts) = counts();
    counts.admit("p").unwrap();
    let sent = taken(&counts);
    assert_eq!(sent[0].requests, 1);
    counts.arrived(&sent, quota(10, 6));
    counts.admit("p").unwrap();
    let sent = taken(&counts);
    for _ in 0..3 {
        counts.admit("p").unwrap();
    }
    let error = counts.admit("p").unwrap_err();
    let Error::Exhausted { retry_after, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*retry_after, Some(Duration::from_secs(3600)));
    let said = error.to_string();
    assert!(said.contains("had 10 of its 10 calls of today"), "{said}");
    assert!(
        said.contains("`granary project quota set p --max-daily-requests N`"),
        "{said}"
    );
    counts.arrived(&sent, quota(10, 7));
    assert!(counts.admit("p").is_err());
    // Others are not concerned, and those who are not kept from anything are counted.
    counts.admit("q").unwrap();
    counts.count("p");
    let count = |project| {
        taken(&counts)
            .iter()
            .find(|r| r.project == project)
            .unwrap()
            .requests
    };
    assert_eq!(count("projects/p"), 4);
}

/// Whether the ledger is to be asked before the period ends.
fn hastens(counts: &Counts) -> bool {
    use futures::FutureExt as _;
    counts.wanted.notified().now_or_never().is_some()
}

#[test]
fn the_less_is_left_the_sooner_the_ledger_is_asked() {
    let (clock, counts) = counts();
    let calls = |count| {
        for _ in 0..count {
            counts.admit("p").unwrap();
        }
        hastens(&counts)
    };
    assert!(calls(1), "the limit is not known yet");
    counts.arrived(&taken(&counts), quota(801, 1));
    assert!(!calls(7));
    assert!(calls(1), "one in a hundred");
    counts.arrived(&taken(&counts), quota(801, 701));
    assert!(calls(1), "the last hundred are counted one by one");
    counts.arrived(&taken(&counts), quota(801, 801));
    counts.count("p");
    assert!(!hastens(&counts), "it is known that nothing is left");
    counts.arrived(&taken(&counts), quota(801, 1));
    assert!(!calls(1));
    clock.advance(Span::seconds(1));
    assert!(calls(1), "others may have called meanwhile");
    counts.arrived(&taken(&counts), quota(0, 3));
    clock.advance(Span::seconds(1));
    assert!(!calls(1000), "there is no limit");
}

#[test]
fn several_processes_share_a_limit_as_long_as_the_ledger_answers_at_once() {
    let processes: Vec<_> = (0..8).map(|_| counts().1).collect();
    let (limit, mut ledger, mut let_in) = (1000, 0, 0);
    for call in 0..4000 {
        let one = &processes[call * 5 % 8];
        let_in += i64::from(one.admit("p").is_ok());
        if hastens(one) {
            let sent = taken(one);
            ledger += sent.iter().map(|record| record.requests).sum::<i64>();
            one.arrived(&sent, quota(limit, ledger));
        }
    }
    let most = limit + 7 * limit / PART;
    assert!((limit..=most).contains(&let_in), "{let_in}");
}

#[test]
fn a_refused_call_asks_for_the_limit_and_a_raised_one_counts_at_once() {
    let (_, counts) = counts();
    counts.admit("p").unwrap();
    counts.arrived(&taken(&counts), quota(1, 1));
    assert!(taken(&counts).is_empty());
    assert!(counts.admit("p").is_err());
    let asked = taken(&counts);
    assert_eq!((asked.len(), asked[0].requests), (1, 0));
    counts.arrived(&asked, quota(2, 1));
    counts.admit("p").unwrap();
}

#[test]
fn a_day_ends_at_midnight_and_takes_its_own_calls_along() {
    let (clock, counts) = counts();
    counts.admit("p").unwrap();
    counts.arrived(&taken(&counts), quota(3, 1));
    counts.admit("p").unwrap();
    counts.admit("p").unwrap();
    assert!(counts.admit("p").is_err());
    clock.advance(Span::hours(2));
    counts.admit("p").unwrap();
    let sent: Vec<_> = taken(&counts)
        .into_iter()
        .map(|r| (r.date, r.requests))
        .collect();
    assert_eq!(
        sent,
        [("2026-11-21".to_owned(), 2), ("2026-11-22".to_owned(), 1)]
    );
}

#[test]
fn projects_that_rest_are_forgotten() {
    let (clock, counts) = counts();
    for n in 0..MAX_PROJECTS + 10 {
        counts.admit(&format!("p{n}")).unwrap();
    }
    for _ in 0..10 {
        let sent = taken(&counts);
        assert_eq!(sent.len(), MAX_RECORDS);
        counts.arrived(&sent, Vec::new());
    }
    assert!(taken(&counts).is_empty());
    assert!(!counts.table.lock().projects.is_empty());
    clock.advance(Span::minutes(6));
    assert!(taken(&counts).is_empty());
    assert!(counts.table.lock().projects.is_empty());
}

#[test]
fn what_one_round_does_not_take_goes_first_in_the_next() {
    let (_, counts) = counts();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        for n in 0..MAX_RECORDS * 3 {
            counts.count(&format!("p{n}"));
        }
        let sent = taken(&counts);
        counts.arrived(&sent, Vec::new());
        seen.extend(sent.into_iter().map(|record| record.project));
    }
    assert_eq!(seen.len(), MAX_RECORDS * 3);
}

#[test]
fn calls_that_nobody_can_count_are_told_once_a_minute() {
    let (clock, counts) = counts();
    for n in 0..MAX_PROJECTS + 3 {
        counts.admit(&format!("p{n}")).unwrap();
    }
    assert_eq!(counts.uncounted(), Some(3));
    counts.admit("late").unwrap();
    assert_eq!(counts.uncounted(), None);
    clock.advance(Span::minutes(1));
    assert_eq!(counts.uncounted(), Some(1));
    clock.advance(Span::minutes(1));
    assert_eq!(counts.uncounted(), None);
}
