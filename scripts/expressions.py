"""What dashboards and alerts ask Prometheus, taken apart as far as it takes to see whether it is there. Standard library only."""

import json
import re

from granary_process import ROOT

DASHBOARDS = ROOT / "charts" / "granary" / "dashboards"
NAMES = ROOT / "services" / "runtime" / "src" / "metrics" / "names.rs"
PROTOS = ROOT / "proto"
OF_PROCESSES = {"up", *(f"process_{name}" for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds", "threads"))}
# What node exporter tells of hosts.
OF_HOSTS = {
    "node_cpu_seconds_total", "node_load1", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_filesystem_avail_bytes", "node_filesystem_size_bytes",
    "node_disk_io_time_seconds_total", "node_disk_read_bytes_total", "node_disk_written_bytes_total", "node_disk_reads_completed_total", "node_disk_writes_completed_total",
    "node_disk_write_time_seconds_total", "node_network_receive_bytes_total", "node_network_transmit_bytes_total",
}
# What Grafana puts in, and what it takes all of something for.
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}
EVERYTHING = ".*"
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
# By how loosely they bind.
SETS = (r"\bor\b", r"\b(?:and|unless)\b", r"(?:==|!=|<=|>=|<|>)(?:\s*bool\b)?")
# What has not happened yet counts as none.
FALLBACK = re.compile(r"\s*0 \*")
VECTOR_MATCHING = re.compile(r"^\s*(?:on|ignoring)\s*\([^)]*\)(?:\s*group_(?:left|right)\s*(?:\([^)]*\))?)?")


def of_dashboards():
    """(where, expression) of each query of each panel, and of each variable."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text("utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{board['title']}: {panel['title']}", substituted(target["expr"])
        for variable in board["templating"]["list"]:
            query = variable["query"]["query"] if variable["type"] == "query" else ""
            if found := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
                yield f"{board['title']}: ${variable['name']}", found[1]


def substituted(expression):
    """As Grafana asks it, with everything chosen.

    >>> substituted('rate(x{a=~"$a"}[$__rate_interval])')
    'rate(x{a=~".*"}[1m])'
    """
    return re.sub(r"\$\{?(\w+)\}?", lambda found: BUILT_IN.get(found[1], EVERYTHING), expression)


def hidden(expression):
    """The same length, with everything within quotes and brackets made into blanks: what is left is at the top."""
    text = QUOTED.sub(lambda found: "_" * len(found[0]), expression)
    depth, out = 0, []
    for sign in text:
        depth -= sign in ")]}"
        out.append("_" if depth or sign in "()[]{}" else sign)
        depth += sign in "([{"
    return "".join(out)


def operands(expression):
    """What an alert compares and combines, piece by piece: an alert returns nothing as long as all is well, but these always do.

    >>> operands('sum(a) / sum(b) > 0.9 and c{x=">"} == 0')
    ['sum(a) / sum(b)', 'c{x=">"}']
    >>> operands('(a > 14 * 0.001 and b > 1 or c > 1) and d > 2')
    ['a', 'b', 'c', 'd']
    >>> operands('count by (x) (last_over_time(a[6h])) unless on (x) count by (x) (a == 1)')
    ['count by (x) (last_over_time(a[6h]))', 'count by (x) (a == 1)']
    >>> operands('absent(a)'), operands('(a or 0 * b) / (c > 0) > 0.1'), operands('(a or 0 * b) > 3')
    (['a'], ['(a or 0 * b) / (c > 0)'], ['a or 0 * b'])
    """
    expression = expression.strip()
    for operator in SETS:
        places = [place.span() for place in re.finditer(operator, hidden(expression))]
        if places:
            edges = [0, *(edge for place in places for edge in place), len(expression)]
            parts = [expression[start:stop] for start, stop in zip(edges[::2], edges[1::2])]
            if any(FALLBACK.match(part) for part in parts):
                return [expression]
            return [piece for part in parts for piece in operands(VECTOR_MATCHING.sub("", part))]
    if found := re.fullmatch(r"(?:absent)?\s*(\(.*\))", expression, re.S):
        if not hidden(expression).strip("_ ").removeprefix("absent").strip("_ "):
            return operands(found[1][1:-1])
    return [] if re.fullmatch(r"[-+*/.\de\s]+", expression) else [expression]


SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\{((?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


LISTS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
NAME = re.compile(r"(?<![\w.:])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()")


def metrics(expression):
    """What an expression asks for, by name.

    >>> sorted(metrics('sum by (a) (rate(b{c="d"}[5m])) / clamp_min(e:f, 1e-9) or 0 * g'))
    ['b', 'e:f', 'g']
    """
    return set(NAME.findall(LISTS.sub("", QUOTED.sub("", expression)))) - {"or", "and", "unless", "bool", "offset"}


def unknown(expression, recorded=()):
    """Metrics that are neither told by Granary, nor recorded, nor of every process or host; and methods that there are not."""
    told = {*re.findall(r'"((?:grpc|granary)_\w+)"', NAMES.read_text("utf-8")), *recorded, *OF_PROCESSES, *OF_HOSTS}
    methods = {name for path in PROTOS.rglob("*.proto") for name in re.findall(r"^ *rpc (\w+)\(", path.read_text("utf-8"), re.M)}
    yield from (f"metric {name}" for name in sorted(metrics(expression)) if re.sub(r"_(?:bucket|sum|count)$", "", name) not in told)
    yield from (f"method {name}" for name in re.findall(r'grpc_method!?="(\w+)"', expression) if name not in methods)


def selectors(expression):
    """Metrics that an expression names with conditions: (metric, labels of the conditions, all of it).

    >>> list(selectors('rate(a{x="1", y=~".*"}[1m]) or 0 * b'))
    [('a', ['x'], 'a{x="1", y=~".*"}')]
    """
    for found in SELECTOR.finditer(expression):
        yield found[1], [label for label, value in MATCHER.findall(found[2]) if value != EVERYTHING], found[0]
