"""How users fare: the four golden signals of all calls, and what they may run into."""

from .grafana import NAMESPACE, RED, YELLOW, GREEN, dashboard, heat, lines, number, or_zero, quantile, rate, series, steps, table, total

OURS = 'grpc_service=~"granary[.].+"'
# What the server did wrong, and what the caller did: 5xx and 4xx of REST.
SERVER = 'grpc_code=~"Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss"'
CALLER = 'grpc_code=~"Canceled|InvalidArgument|NotFound|AlreadyExists|PermissionDenied|ResourceExhausted|FailedPrecondition|Aborted|OutOfRange|Unauthenticated"'
# Calls with one answer; AcquireJobs waits on purpose.
ANSWERED = (OURS, 'grpc_type="unary"', 'grpc_method!="AcquireJobs"')
HANDLED = "grpc_server_handled_total"
USED = 'state="used"'
SECONDS = "grpc_server_handling_seconds"


def handled(*conditions, by=""):
    return total(rate(HANDLED, OURS, *conditions), by)


def share(condition, by=""):
    return f"({or_zero(handled(condition, by=by), handled(by=by))}) / ({handled(by=by)} > 0)"


def users():
    less = lambda yellow, red: steps((red, YELLOW), (yellow, GREEN), base=RED)
    return [
        number("Ready replicas", "Replicas that can answer; their database and their store answer.", (total(series("granary_ready")), ""), thresholds=steps((1, GREEN), base=RED)),
        number("Calls", "Calls that ended, of all services.", (handled(), ""), unit="reqps"),
        number("Failed", "Share of calls that failed because of the server (5xx). The objective is 0.1 %.", (share(SERVER), ""),
               unit="percentunit", thresholds=steps((0.001, YELLOW), (0.01, RED))),
        number("Refused", "Share of calls that were the caller's mistake or over a limit (4xx).", (share(CALLER), ""), unit="percentunit", thresholds=steps((0.2, YELLOW))),
        number("Apdex", "Satisfied within 0.25 s, tolerating within 1 s.", (f"min({series('namespace:granary_apdex:rate5m')})", ""), unit="none", thresholds=less(0.94, 0.85)),
        number("Budget burnt", "How many times faster than sustainable the budget of failed calls was used within the last hour; 1 uses it up by the end of the month.",
               (f"max({series('namespace:granary_request_errors:ratio1h')}) / 0.001", ""), unit="none", thresholds=steps((1, YELLOW), (6, RED))),
    ]


def golden():
    service = "{{grpc_service}}"
    in_flight = f"{total(series('grpc_server_started_total', OURS), 'grpc_service')}"
    ended = or_zero(total(series(HANDLED, OURS), "grpc_service"), in_flight)
    return [
        lines("Calls by end", "Calls by how they ended: well, by a mistake of the caller (4xx), or by one of the server (5xx).",
              (handled('grpc_code="OK"'), "ok"), (or_zero(handled(CALLER), handled()), "4xx"), (or_zero(handled(SERVER), handled()), "5xx"), unit="reqps", stacked=True),
        lines("Calls by service", "Calls that ended, by service.", (handled(by="grpc_service"), service), unit="reqps", stacked=True),
        lines("In progress", "Calls that began and have not ended; streams are among them.", (f"{in_flight} - ({ended})", service)),
        lines("Failed calls (5xx)", "Share of the calls of a service that failed because of the server.", (share(SERVER, "grpc_service"), service),
              unit="percentunit", thresholds=steps((0.001, YELLOW), (0.05, RED))),
        lines("Refused calls (4xx)", "Calls that the server was right to refuse, by code.", (or_zero(handled(CALLER, by="grpc_code"), handled(by="grpc_code")), "{{grpc_code}}"), unit="reqps"),
        lines("Apdex by service", "Satisfied within 0.25 s, tolerating within 1 s.", (series("namespace_service:granary_apdex:rate5m"), service), unit="none",
              thresholds=steps((0.85, YELLOW), (0.94, GREEN), base=RED)),
        lines("Time of answers", "Of calls with one answer: half, 95 % and 99 % take no longer.",
              *((quantile(part, SECONDS, *ANSWERED), f"p{part * 100:.0f}") for part in (0.5, 0.95, 0.99)), unit="s", thresholds=steps((0.25, YELLOW), (1, RED))),
        lines("p95 by service", "95 % of the calls of a service with one answer take no longer.", (quantile(0.95, SECONDS, *ANSWERED, by="grpc_service"), service), unit="s"),
        heat("Times of answers", "How many calls with one answer took how long.", total(rate(SECONDS + "_bucket", *ANSWERED), "le")),
    ]


def methods():
    key = ("grpc_service", "grpc_method")
    by = ", ".join(key)
    columns = [
        ("Calls", handled(by=by)), ("Failed (5xx)", share(SERVER, by)), ("Refused (4xx)", share(CALLER, by)),
        *((f"p{part * 100:.0f}", quantile(part, SECONDS, OURS, by=by)) for part in (0.5, 0.95, 0.99)),
    ]
    return [table("Methods", "Every method that was called. Streams last as long as somebody watches.", columns, key, ("reqps", "percentunit", "percentunit", "s", "s", "s"), height=12)]


def between():
    handled_there = lambda *conditions, by="component, grpc_service": total(rate("grpc_client_handled_total", *conditions), by)
    unanswered = handled_there('grpc_code=~"Unavailable|DeadlineExceeded"')
    pair = "{{component}} to {{grpc_service}}"
    return [
        lines("Calls between services", "Calls that one service makes to another.", (handled_there(), pair), unit="reqps"),
        lines("Without an answer", "Share of those that nobody answered in time.", (f"({or_zero(unanswered, handled_there())}) / ({handled_there()} > 0)", pair),
              unit="percentunit", thresholds=steps((0.1, RED))),
        lines("p95 between services", "95 % of those take no longer.", (quantile(0.95, "grpc_client_handling_seconds", 'grpc_type="unary"', by="component, grpc_service"), pair), unit="s"),
    ]


def saturation():
    where = "namespace, pod, instance, service"
    refused = total(rate("granary_requests_refused_total"), "reason")
    checks = total(rate("granary_token_checks_total"), "result")
    return [
        lines("Database connections", "Share of its connections that a service of a process uses. At 100 % calls wait for one.",
              (f"{total(series('granary_db_connections', USED), where)} / {total(series('granary_db_connections_max'), where)}", "{{pod}} {{instance}} {{service}}"),
              unit="percentunit", thresholds=steps((0.9, RED))),
        lines("Time of transactions", "95 % of the transactions and reads that calls share take no longer.", (quantile(0.95, "granary_db_batch_seconds", by="service, batch"), "{{service}}: {{batch}}"),
              unit="s", thresholds=steps((1, RED))),
        lines("Calls in a transaction", "How many calls share a transaction or a read: more under load.", (quantile(0.5, "granary_db_batch_size", by="service, batch"), "{{service}}: {{batch}}")),
        lines("Oldest work", "How long the oldest session, event and job have been waiting.",
              (f"max({series('granary_pipeline_oldest_seconds')})", "session to be processed"), (f"max({series('granary_events_lag_seconds')})", "event to be taken"),
              (f"max({series('granary_jobs_oldest_queued_seconds')})", "job in the queue"), unit="s"),
        lines("Calls over limits", "Calls that were refused since too many waited in a process (rate), or their project has had all that it may have today (quota).", (refused, "{{reason}}"), unit="reqps"),
        lines("Tokens", "Tokens that were checked, by result.", (checks, "{{result}}"), unit="reqps"),
    ]


def board():
    rows = [("Users", users()), ("Golden signals", golden()), ("Methods", methods()), ("Between services", between()), ("Saturation", saturation())]
    return dashboard("overview", "Overview", "How users fare: calls, failures, time, and what is about to run out.", [NAMESPACE], rows)
