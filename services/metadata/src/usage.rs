//! Usage and quotas: one ledger by project and day.
//!
//! What a project holds changes in the transaction that registers assets, under the lock of its account, so that registrations at the same
//! time cannot pass a limit together. What services count comes in records, each of which counts once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use granary_core::{
    Error, Result, clock::from_micros, day::Day, name::ProjectName, units::human_bytes,
};
use granary_runtime::{db, metrics};

use crate::{
    Context, project,
    store::{
        session::Counts,
        unit::Unit,
        usage::{self as store, Account, Limits, Used},
    },
};

/// The longest that one list may be.
pub(crate) const MAX_DAYS: i64 = 366;
/// How long it is known that a record was counted. Counts of calls come again within minutes or never; a job's seconds come again when the Job
/// service is back, however long that takes.
const REQUESTS_KNOWN: Duration = Duration::from_secs(2 * 24 * 3600);
const JOBS_KNOWN: Duration = Duration::from_secs(400 * 24 * 3600);
/// When it is worth trying again in a project that is full: no sooner than somebody may have allowed more.
const WHEN_ALLOWED: Duration = Duration::from_secs(3600);

/// A project's account, and what it used today.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    pub name: ProjectName,
    pub account: Account,
    pub today: Used,
}

/// What a service counted.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub id: String,
    pub project: ProjectName,
    pub day: Day,
    pub requests: i64,
    pub job_seconds: i64,
}

/// A day of a project.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Daily {
    pub day: Day,
    pub added: Used,
    /// At its end.
    pub held_bytes: i64,
    pub held_objects: i64,
}

fn today(context: &Context) -> Day {
    Day::of(context.clock.now())
}

/// The account of a project.
pub(crate) async fn quota(context: &Context, name: ProjectName) -> Result<Quota> {
    project::get(context, &name).await?;
    let found = quotas(context, &BTreeSet::from([name.project.as_str()])).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Error::not_found(&name))
}

/// The accounts of projects, which exist.
async fn quotas(context: &Context, projects: &BTreeSet<&str>) -> Result<Vec<Quota>> {
    let db = context.db.reader();
    let accounts = store::accounts(db, projects).await?;
    let used = store::day(db, projects, today(context)).await?;
    let quota = |project: &&str| {
        Ok(Quota {
            name: ProjectName::new(*project)?,
            account: accounts.get(*project).copied().unwrap_or_default(),
            today: used.get(*project).copied().unwrap_or_default(),
        })
    };
    projects.iter().map(quota).collect()
}

/// Changes the limits of a project.
pub(crate) async fn set_limits(
    unit: &Unit,
    name: &ProjectName,
    change: impl FnOnce(&mut Limits),
) -> Result<()> {
    let projects = BTreeSet::from([name.project.as_str()]);
    if store::existing(&unit.tx, &projects).await?.is_empty() {
        return Err(Error::not_found(name));
    }
    let accounts = store::lock(&unit.tx, &projects).await?;
    let mut limits = accounts
        .get(&name.project)
        .copied()
        .unwrap_or_default()
        .limits;
    change(&mut limits);
    store::limit(&unit.tx, &name.project, limits).await
}

/// What a project used on the days from `first` to `last`.
pub(crate) async fn daily(
    context: &Context,
    name: &ProjectName,
    first: Option<Day>,
    last: Option<Day>,
) -> Result<Vec<Daily>> {
    let last = last.unwrap_or_else(|| today(context));
    let first = first.unwrap_or_else(|| last.plus(-30));
    let count = last.number() - first.number() + 1;
    if count < 1 {
        let expected = format!("expected a day up to the last one, {last}, got {first}");
        return Err(Error::invalid("start_date", expected));
    }
    if count > MAX_DAYS {
        let expected = format!("expected at most {MAX_DAYS} days, got {count} up to {last}");
        return Err(Error::invalid("start_date", expected));
    }
    project::get(context, name).await?;
    let (mut held_bytes, mut held_objects) =
        store::held_before(context.db.reader(), &name.project, first).await?;
    let days = store::days(context.db.reader(), &name.project, first, last).await?;
    let mut days: HashMap<Day, Used> = days.into_iter().collect();
    let passed = last.number().min(today(context).number());
    // A service whose clock is ahead may be in a new day already.
    let end = days
        .keys()
        .map(|day| day.number())
        .max()
        .unwrap_or(passed)
        .max(passed);
    let mut listed = Vec::new();
    for day in (first.number()..=end).map(Day::from_number) {
        let added = days.remove(&day).unwrap_or_default();
        held_bytes += added.bytes;
        held_objects += added.objects;
        if added != Used::default() || (held_bytes, held_objects) != (0, 0) {
            listed.push(Daily {
                day,
                added,
                held_bytes,
                held_objects,
            });
        }
    }
    Ok(listed)
}

/// Counts records that were not counted before, and gives the quotas of their projects.
pub(crate) async fn record(context: &Context, records: &[Record]) -> Result<Vec<Quota>> {
    let projects: BTreeSet<&str> = records.iter().map(|r| r.project.project.as_str()).collect();
    let tx = context.db.begin().await?;
    let known = store::existing(&tx, &projects).await?;
    let counting = records
        .iter()
        .filter(|r| (r.requests, r.job_seconds) != (0, 0) && known.contains(&r.project.project));
    let now = context.now();
    let expires = |record: &Record| {
        let kept = if record.job_seconds > 0 {
            JOBS_KNOWN
        } else {
            REQUESTS_KNOWN
        };
        now.saturating_add(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX))
    };
    let ids = counting
        .clone()
        .map(|record| (record.id.as_str(), expires(record)));
    let mut new = store::note_records(&tx, &ids.collect()).await?;
    let mut used: BTreeMap<(String, i64), Used> = BTreeMap::new();
    // Of two with one id the first one counts.
    for record in counting.filter(|record| new.remove(&record.id)) {
        let day = (record.project.project.clone(), record.day.number());
        used.entry(day).or_default().add(Used {
            requests: record.requests,
            job_seconds: record.job_seconds,
            ..Used::default()
        });
    }
    store::add(&tx, &used).await?;
    db::commit(tx).await?;
    let projects = projects.into_iter().filter(|p| known.contains(*p));
    quotas(context, &projects.collect()).await
}

/// What registrations add to projects, within their limits.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    accounts: HashMap<String, Account>,
    added: BTreeMap<String, Used>,
}

impl Holdings {
    /// Locks the accounts of projects, which exist.
    pub(crate) async fn lock(
        on: &impl sea_orm::ConnectionTrait,
        projects: &BTreeSet<&str>,
    ) -> Result<Self> {
        Ok(Self {
            accounts: store::lock(on, projects).await?,
            added: BTreeMap::new(),
        })
    }

    /// Adds assets to what a project holds. Fails if it may not hold that much; what takes no more room is always fine.
    pub(crate) fn add(&mut self, project: &str, new: Counts) -> Result<()> {
        let account = self.accounts.entry(project.to_owned()).or_default();
        let limits = account.limits;
        if new.bytes > 0
            && limits.bytes > 0
            && account.bytes.saturating_add(new.bytes) > limits.bytes
        {
            let shown = |bytes: i64| human_bytes(u64::try_from(bytes).unwrap_or_default());
            let left = shown(limits.bytes.saturating_sub(account.bytes));
            return Err(full(
                project,
                ("max_bytes", "--max-bytes SIZE"),
                &shown(limits.bytes),
                &shown(account.bytes),
                &left,
                &shown(new.bytes),
            ));
        }
        if new.assets > 0
            && limits.objects > 0
            && account.objects.saturating_add(new.assets) > limits.objects
        {
            let shown = |count: i64| format!("{} assets", count.max(0));
            let left = shown(limits.objects.saturating_sub(account.objects));
            return Err(full(
                project,
                ("max_objects", "--max-objects N"),
                &shown(limits.objects),
                &shown(account.objects),
                &left,
                &shown(new.assets),
            ));
        }
        account.bytes += new.bytes;
        account.objects += new.assets;
        self.added.entry(project.to_owned()).or_default().add(Used {
            bytes: new.bytes,
            objects: new.assets,
            ..Used::default()
        });
        Ok(())
    }

    /// Stores what was added.
    pub(crate) async fn write(&self, on: &impl sea_orm::ConnectionTrait, now: i64) -> Result<()> {
        store::hold(on, Day::of(from_micros(now)), &self.added).await
    }
}

fn full(
    project: &str,
    (which, flag): (&str, &str),
    limit: &str,
    used: &str,
    left: &str,
    new: &str,
) -> Error {
    metrics::refused("quota");
    Error::Exhausted {
        reason: format!(
            "the project {project} may hold {limit} ({which}): {used} are used, {left} are left and this would add {new}; have an administrator allow more with `granary project quota set {project} {flag}`"
        ),
        retry_after: Some(WHEN_ALLOWED),
        quota_of: Some(format!("projects/{project}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holdings(bytes: i64, limits: Limits) -> Holdings {
        let account = Account {
            bytes,
            objects: 9,
            limits,
        };
        Holdings {
            accounts: HashMap::from([("p".to_owned(), account)]),
            added: BTreeMap::new(),
        }
    }

    fn assets(assets: i64, bytes: i64) -> Counts {
        Counts {
            assets,
            bytes,
            ..Counts::default()
        }
    }

    #[test]
    fn limits_are_reached_and_not_passed() {
        let limits = Limits {
            bytes: 100,
            objects: 11,
            ..Limits::default()
        };
        let mut holdings = holdings(90, limits);
        let error = holdings.add("p", assets(1, 11)).unwrap_err().to_string();
        assert!(
            error.contains("max_bytes") && error.contains("10 B are left"),
            "{error}"
        );
        holdings.add("p", assets(1, 10)).unwrap();
        let error = holdings.add("p", assets(2, 0)).unwrap_err().to_string();
        assert!(
            error.contains("max_objects") && error.contains("1 assets are left"),
            "{error}"
        );
        holdings.add("p", assets(1, 0)).unwrap();
        assert!(holdings.add("p", assets(1, 0)).is_err());
    }

    #[test]
    fn who_is_over_a_limit_may_still_add_nothing() {
        let limits = Limits {
            bytes: 10,
            objects: 1,
            ..Limits::default()
        };
        let mut holdings = holdings(90, limits);
        holdings.add("p", assets(0, 0)).unwrap();
        holdings.add("p", assets(0, -5)).unwrap();
        assert!(holdings.add("p", assets(0, 1)).is_err());
        let error = holdings.add("p", assets(1, 0)).unwrap_err();
        assert!(!error.is_transient(), "nobody waits for that: {error}");
    }
}
