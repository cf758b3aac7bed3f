"""The queue of jobs, and what becomes of them."""

from .grafana import NAMESPACE, RED, YELLOW, GREEN, bars, dashboard, lines, number, or_zero, quantile, rate, series, steps, total

ATTEMPTS = "granary_job_attempts_total"
STATE = 'state="{}"'
SUCCEEDED, COUNTED = 'outcome="succeeded"', 'outcome!="cancelled"'


def now():
    gauge = lambda metric, *conditions: f"max({series(metric, *conditions)})"
    ended = lambda *conditions: total(f"increase({series(ATTEMPTS, *conditions, window='1h')})")
    return [
        number("Queued", "Jobs that wait for a worker.", (gauge("granary_jobs", 'state="queued"'), "")),
        number("Running", "Jobs whose program runs.", (gauge("granary_jobs", 'state="running"'), "")),
        number("Oldest in the queue", "How long the oldest job has been queued.", (gauge("granary_jobs_oldest_queued_seconds"), ""), unit="s", thresholds=steps((900, YELLOW), (3600, RED))),
        number("Workers", "Workers that were heard of within the last minute.", (gauge("granary_workers"), ""), thresholds=steps((1, GREEN), base=RED)),
        number("Succeeded", "Share of the attempts of the last hour that succeeded; cancelled ones do not count.",
               (f"({or_zero(ended(SUCCEEDED), ended())}) / ({ended(COUNTED)} > 0)", ""),
               unit="percentunit", thresholds=steps((0.5, YELLOW), (0.9, GREEN), base=RED)),
        number("Out of memory", "Attempts of the last hour that took more memory than they asked for.",
               (or_zero(ended('outcome="out_of_memory"'), ended()), ""), thresholds=steps((1, YELLOW), (4, RED))),
    ]


def queue():
    return [
        lines("Jobs by state", "Jobs that have not ended.", (f"max by (state) ({series('granary_jobs')})", "{{state}}"), stacked=True),
        lines("Oldest in the queue", "How long the oldest job has been queued.", (f"max({series('granary_jobs_oldest_queued_seconds')})", "oldest"), unit="s", thresholds=steps((3600, RED))),
        lines("Wait in the queue", "How long jobs were queued before a worker took them: half and 95 % no longer.",
              *((quantile(part, "granary_job_wait_seconds"), f"p{part * 100:.0f}") for part in (0.5, 0.95)), unit="s"),
        lines("Workers", "Workers that were heard of within the last minute.", (f"max({series('granary_workers')})", "workers")),
        lines("Slots of workers", "Attempts that workers outside of the cluster run, and could run besides.",
              *((f"{total(series('granary_worker_slots', STATE.format(state)))} or vector(0)", state) for state in ("used", "idle")), stacked=True),
        lines("Attempts by outcome", "Attempts that ended, by outcome.", (total(rate(ATTEMPTS), "outcome"), "{{outcome}}"), unit="ops"),
        bars("Attempts of the last day", "Attempts that ended within a day, by outcome.", (total(f"increase({series(ATTEMPTS, window='1d')})", "outcome"), "{{outcome}}"), unit="none"),
        lines("Time of attempts", "From the lease to the end, by outcome: half take no longer.", (quantile(0.5, "granary_job_attempt_seconds", by="outcome"), "{{outcome}}"), unit="s", width=12),
        lines("p95 of attempts", "From the lease to the end, by outcome: 95 % take no longer.", (quantile(0.95, "granary_job_attempt_seconds", by="outcome"), "{{outcome}}"), unit="s", width=12),
    ]


def board():
    return dashboard("jobs", "Jobs", "What waits for workers, how long, and how attempts end.", [NAMESPACE], [("Now", now()), ("Queue and attempts", queue())])
