"""From completed sessions to verdicts."""

from .grafana import NAMESPACE, RED, YELLOW, dashboard, heat, lines, number, or_zero, quantile, rate, series, steps, total

RUNS = "granary_pipeline_runs_total"


def state(name):
    return f'state="{name}"'


def now():
    gauge = lambda metric, *conditions: f"max({series(metric, *conditions)})"
    error = or_zero(total(rate(RUNS, 'outcome="error"', window="15m")), total(rate(RUNS, window="15m")))
    return [
        number("Queued", "Sessions that wait for a pipeline.", (gauge("granary_pipeline_runs", state("queued")), "")),
        number("Running", "Sessions that pipelines work on.", (gauge("granary_pipeline_runs", state("running")), "")),
        number("Oldest", "How long the oldest session has been without a verdict.", (gauge("granary_pipeline_oldest_seconds"), ""), unit="s",
               thresholds=steps((300, YELLOW), (1800, RED))),
        number("Event lag", "How long the oldest event has not been taken: sessions that pipelines have not heard of.", (gauge("granary_events_lag_seconds"), ""), unit="s",
               thresholds=steps((30, YELLOW), (120, RED))),
        number("Verdicts", "Sessions that got their verdict, a minute.", (f"60 * {total(rate(RUNS))}", ""), unit="none"),
        number("Given up", "Share of runs within 15 minutes that ended by an error of the platform.", (f"({error}) / {total(rate(RUNS, window='15m'))}", ""),
               unit="percentunit", thresholds=steps((0.01, YELLOW), (0.1, RED))),
    ]


def over_time():
    return [
        lines("Depth", "Sessions by state.", (f"max by (state) ({series('granary_pipeline_runs')})", "{{state}}"), stacked=True, width=12),
        lines("Age", "How long the oldest session has been without a verdict, and the oldest event not been taken.",
              (f"max({series('granary_pipeline_oldest_seconds')})", "session"), (f"max({series('granary_events_lag_seconds')})", "event"), unit="s", width=12,
              thresholds=steps((1800, RED))),
        lines("Outcomes", "Runs that ended: processed, failed (something was rejected), error (given up).", (total(rate(RUNS), "outcome"), "{{outcome}}"), unit="ops", width=12),
        lines("Files", "Files that got their verdict.", (total(rate("granary_pipeline_assets_total"), "outcome"), "{{outcome}}"), unit="ops", width=12),
    ]


def runtime():
    step = "granary_pipeline_step_seconds"
    return [
        lines("Time of runs", "From the start of a run to its end: half, 95 % and 99 % take no longer.",
              *((quantile(part, "granary_pipeline_run_seconds"), f"p{part * 100:.0f}") for part in (0.5, 0.95, 0.99)), unit="s"),
        heat("Times of runs", "How many runs took how long.", total(rate("granary_pipeline_run_seconds_bucket"), "le")),
        lines("Work by step", "How many seconds of work each kind of step takes in a second: what keeps processors busy.", (total(rate(step + "_sum"), "step"), "{{step}}"), unit="short", stacked=True),
        lines("p95 by step", "95 % of the files take no longer in a step of this kind.", (quantile(0.95, step, by="step"), "{{step}}"), unit="s", width=12),
        lines("Files by step", "How many files or sessions go through a step of this kind.", (total(rate(step + "_count"), "step"), "{{step}}"), unit="ops", width=12),
    ]


def board():
    return dashboard("pipeline", "Pipeline", "What waits for pipelines, how long they take and how they end.", [NAMESPACE], [("Now", now()), ("Queue and outcomes", over_time()), ("Runtime", runtime())])
