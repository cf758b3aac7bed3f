"""The processes themselves."""

from .grafana import COMPONENT, NAMESPACE, RED, YELLOW, dashboard, lines, number, series, steps

WHO = "{{component}} {{pod}} {{instance}}"
CHOSEN = "namespace component"


def process(metric, window=None):
    return series(f"process_{metric}", 'job="granary"', window=window, by=CHOSEN)


def now():
    ready = series("granary_ready", by=CHOSEN)
    return [
        number("Processes", "Processes that are measured.", (f"count({process('start_time_seconds')})", "")),
        number("Ready", "Share of the replicas that are ready.", (f"avg({ready})", ""), unit="percentunit", thresholds=steps((1, "green"), base=RED)),
        number("Processor", "Processors that all of them keep busy.", (f"sum(rate({process('cpu_seconds_total', '$__rate_interval')}))", ""), unit="none"),
        number("Memory", "Memory that all of them hold.", (f"sum({process('resident_memory_bytes')})", ""), unit="bytes"),
        number("Most descriptors", "The largest share of file descriptors that a process has open.", (f"max({process('open_fds')} / {process('max_fds')})", ""), unit="percentunit",
               thresholds=steps((0.6, YELLOW), (0.8, RED))),
        number("Youngest", "Time since the last start of any of them.", (f"time() - max({process('start_time_seconds')})", ""), unit="s"),
    ]


def each():
    return [
        lines("Processor", "Processors that a process keeps busy.", (f"rate({process('cpu_seconds_total', '$__rate_interval')})", WHO), unit="none", width=12),
        lines("Memory", "Memory that a process holds (resident).", (process("resident_memory_bytes"), WHO), unit="bytes", width=12),
        lines("File descriptors", "Files and connections that a process has open.", (process("open_fds"), WHO), width=12),
        lines("Threads", "Threads of a process.", (process("threads"), WHO), width=12),
        lines("Uptime", "Time since the start of a process: where it falls, one started.", (f"time() - {process('start_time_seconds')}", WHO), unit="s", width=12),
        lines("Ready", "1 while a process can answer: its database and its store answer.", (series("granary_ready", by=CHOSEN), WHO), unit="none", width=12),
        lines("Leaders", "Which process does what one of all replicas does.", (series("granary_leader", by=CHOSEN), "{{task}}: " + WHO), unit="none", width=12),
        lines("Database connections", "Connections of a process, by state.", (f"sum by (component, pod, instance, service, state) ({series('granary_db_connections', by=CHOSEN)})",
              "{{service}} {{state}} {{pod}} {{instance}}"), width=12),
    ]


def board():
    return dashboard("processes", "Processes", "Processor, memory and files of each process.", [NAMESPACE, COMPONENT], [("Now", now()), ("Each process", each())])
