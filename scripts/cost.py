"""What Granary costs on AWS, from measured figures and list prices: the tables of docs/sizing.md.

    cost.py            prints them
    cost.py write      writes them into the page
    cost.py check      exits 1 if the page has others

All that goes in stands here at the top: change it, and write again.
"""

import difflib
import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sizing.md"
HOURS = 730  # of a month, as AWS counts
GB = 1e9

# Measured by scripts/sizing.sh (docs/sizing.md says on what): of three kinds of sessions, milliseconds of a processor by service, requests at the store
# and bytes in the database; of calls of people, the same for each.
SERVICES = ("metadata", "storage", "pipeline", "job", "envoy")
LARGE = {"files": 1001, "metadata": 970.0, "storage": 1333.3, "pipeline": 356.7, "job": 33.3, "envoy": 723.3, "postgresql": 2250.0,
         "put": 2006, "get": 3008, "rows": 3_653_632}
SMALL = {"files": 12, "metadata": 38.1, "storage": 22.2, "pipeline": 14.8, "job": 0.3, "envoy": 15.8, "postgresql": 66.6, "put": 29, "get": 41, "rows": 36_905}
# 600 MB in 20 files, which go in parts: writing requests are 20 + 80 + 20 of parts, 20 lists of them, 21 copies, 5 of small files.
PARTED = {"files": 21, "metadata": 110.0, "storage": 133.3, "pipeline": 33.3, "job": 10.0, "envoy": 170.0, "postgresql": 276.7, "put": 166, "get": 68, "rows": 245_760}
CALL = {"metadata": 0.78, "storage": 0.31, "pipeline": 0.0, "job": 0.0, "envoy": 1.57, "postgresql": 0.83, "rows": 164}
FILE_READ = 65_536  # bytes that the pipeline reads of a file that is no picture

# List prices in dollars: us-east-1, on demand, Linux on x86, without free tiers, taxes and discounts. Where each was seen is in the page.
PRICES = {
    "t3.medium hour": 0.0416,
    "m6i.large hour": 0.096,
    "m6i.xlarge hour": 0.192,
    "EBS gp3 GB-month": 0.08,
    "EKS cluster hour": 0.10,
    "Fargate vCPU hour": 0.04048,
    "Fargate GB hour": 0.004445,
    "Lambda GB second": 0.0000166667,
    "Lambda million requests": 0.20,
    "HTTP API million requests": 1.00,
    "RDS Proxy vCPU hour": 0.015,
    "db.t4g.medium Multi-AZ hour": 0.130,
    "db.m6g.xlarge Multi-AZ hour": 0.636,
    "RDS gp3 Multi-AZ GB-month": 0.23,
    "S3 Standard GB-month": (0.023, 0.022, 0.021),  # the first 50 TB, the next 450 TB, more
    "S3 Standard-IA GB-month": 0.0125,
    "S3 thousand PUT": 0.005,
    "S3 thousand GET": 0.0004,
    "EventBridge million events": 1.00,
    "SQS million requests": 0.40,
    "KMS key month": 1.00,
    "Secrets Manager secret month": 0.40,
    "NAT gateway hour": 0.045,
    "NAT gateway GB": 0.045,
    "NLB hour": 0.0225,
    "public IPv4 hour": 0.005,
    "out to the internet GB": 0.09,
    "between zones GB": 0.02,  # a cent for each side
    "CloudWatch logs GB": 0.50,
}

# Assumed, not measured.
ASSUMED = {
    "bytes between services and database for each file": 20_000,
    "bytes of an answer to a person": 10_000,
    "share of it that crosses zones": 2 / 3,
    "GB through NAT a month": 10,
    "GB of audit log of the cluster a month": 5,
    "time of a function over its processor time": 5,
}

# A month of each load. `calls` are those of people, `fetched` what they download to the internet, `peak` how much more its busiest moment is than its mean
# (assumed: 1,000 sessions an hour is a busy hour already).
LOADS = {
    "lab": {"what": "10 sessions of 600 MB a day", "sessions": 300, "files": 1000, "bytes": 600e6, "hours": 240, "peak": 5, "calls": 100_000, "fetched": 20e9},
    "users": {"what": "the same, and 100 users: 6 calls a minute each for 176 hours, 1 GB fetched", "sessions": 300, "files": 1000, "bytes": 600e6,
              "hours": 176, "peak": 5, "calls": 100 * 6 * 60 * 176, "fetched": 100e9},
    "small": {"what": "1,000 sessions an hour for 176 hours, of 12 files and 6 MB", "sessions": 176_000, "files": 12, "bytes": 6e6, "hours": 176, "peak": 2,
              "calls": 100 * 6 * 60 * 176, "fetched": 100e9},
    "large": {"what": "1,000 sessions an hour for 176 hours, of 600 MB in 1,000 files", "sessions": 176_000, "files": 1000, "bytes": 600e6, "hours": 176, "peak": 2,
              "calls": 100 * 6 * 60 * 176, "fetched": 1e12},
    "parted": {"what": "the same 600 MB, in 20 files, which go in parts", "sessions": 176_000, "files": 20, "bytes": 600e6, "hours": 176, "peak": 2,
               "calls": 100 * 6 * 60 * 176, "fetched": 1e12, "parted": True},
}
# What is bought for it: nodes of services, and the database.
BOUGHT = {
    "lab": ("t3.medium", 3, "db.t4g.medium", 50),
    "users": ("t3.medium", 3, "db.t4g.medium", 50),
    "small": ("t3.medium", 3, "db.t4g.medium", 100),
    "large": ("m6i.large", 3, "db.m6g.xlarge", 1000),
    "parted": ("t3.medium", 3, "db.t4g.medium", 100),
}
PODS = 2 * len(SERVICES)  # two of each
SYSTEM_PODS = 4  # names and metrics of the cluster
NODE_DISK, JOB_DISK = 30, 100


def by_session(what, files):
    """What a session of so many files takes of something: so much for itself and so much for each file, as the two kinds of small files that were
    measured have it."""
    each = (LARGE[what] - SMALL[what]) / (LARGE["files"] - SMALL["files"])
    return max(SMALL[what] - each * SMALL["files"], 0) + each * files


def month(load, what):
    """What a month of a load takes of something."""
    one = PARTED[what] if load.get("parted") else by_session(what, load["files"])
    return load["sessions"] * one + load["calls"] * CALL.get(what, 0)


def busy(load, names):
    """Processors that are busy while people work."""
    return sum(month(load, name) for name in names) / 1000 / (load["hours"] * 3600)


def kept(load, months=1):
    """Bytes in the store: each file and its processed copy."""
    return months * load["sessions"] * load["bytes"] * 2


def storage(size):
    """Dollars for a month of so many bytes in S3 Standard."""
    left, cost = size / GB, 0.0
    for room, price in zip((50_000, 450_000, float("inf")), PRICES["S3 Standard GB-month"]):
        cost += min(left, room) * price
        left -= min(left, room)
    return cost


def fixed(load, name):
    """Dollars a month for what is there whatever is sent, by line."""
    node, nodes, database, disk = BOUGHT[name]
    disk = max(disk, month(load, "rows") / GB)
    return {
        "EKS, the cluster": PRICES["EKS cluster hour"] * HOURS,
        f"nodes: {nodes} {node}": nodes * (PRICES[f"{node} hour"] * HOURS + NODE_DISK * PRICES["EBS gp3 GB-month"]),
        "a node for jobs: m6i.xlarge": PRICES["m6i.xlarge hour"] * HOURS + JOB_DISK * PRICES["EBS gp3 GB-month"],
        f"RDS: {database} in two zones, {disk:,.0f} GB": PRICES[f"{database} Multi-AZ hour"] * HOURS + disk * PRICES["RDS gp3 Multi-AZ GB-month"],
        "NAT, one": PRICES["NAT gateway hour"] * HOURS + ASSUMED["GB through NAT a month"] * PRICES["NAT gateway GB"],
        "load balancer and 4 addresses": (PRICES["NLB hour"] + 4 * PRICES["public IPv4 hour"]) * HOURS,
        "key, secrets, log": PRICES["KMS key month"] + 2 * PRICES["Secrets Manager secret month"]
        + ASSUMED["GB of audit log of the cluster a month"] * PRICES["CloudWatch logs GB"],
    }


def variable(load):
    """Dollars a month for what is sent, by line."""
    new = load["sessions"] * load["files"]
    between = new * ASSUMED["bytes between services and database for each file"] + load["calls"] * ASSUMED["bytes of an answer to a person"]
    return {
        "S3 requests": month(load, "put") / 1000 * PRICES["S3 thousand PUT"] + month(load, "get") / 1000 * PRICES["S3 thousand GET"],
        "notices of new objects": new / 1e6 * (PRICES["EventBridge million events"] + 3 * PRICES["SQS million requests"]),
        "between zones": between / GB * ASSUMED["share of it that crosses zones"] * PRICES["between zones GB"],
        "out to the internet": load["fetched"] / GB * PRICES["out to the internet GB"],
        "S3 storage, first month": storage(kept(load)),
    }


def fargate():
    """Dollars a month for the services' pods on Fargate: the smallest that takes them, a quarter of a processor and half a GB each."""
    return (PODS + SYSTEM_PODS) * (0.25 * PRICES["Fargate vCPU hour"] + 0.5 * PRICES["Fargate GB hour"]) * HOURS


def functions(load):
    """Dollars a month if each call were a function of 1.77 GB, which has one processor, with an HTTP API in front and a pool for the database."""
    seconds = sum(month(load, name) for name in SERVICES if name != "envoy") / 1000 * ASSUMED["time of a function over its processor time"]
    calls = load["calls"] + load["sessions"] * (10 + load["files"] / 100)
    return (seconds * 1.77 * PRICES["Lambda GB second"]
            + calls / 1e6 * (PRICES["Lambda million requests"] + PRICES["HTTP API million requests"])
            + 2 * PRICES["RDS Proxy vCPU hour"] * HOURS)


def table(head, lines):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] + ["---:"] * (len(head) - 1), *lines])


def dollars(amount):
    return f"{amount:,.2f}" if amount < 10 else f"{amount:,.0f}"


def size(count):
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count / 1e3:,.1f} kB"


def loads_table():
    return table(["load", "a month of it"], [[f"`{name}`", load["what"]] for name, load in LOADS.items()]).replace("---:", "---")


def needs_table():
    lines = [[f"processors busy: {name}", *(f"{busy(load, [name]):.3f}" for load in LOADS.values())] for name in (*SERVICES, "postgresql")]
    lines.append(["services together", *(f"{busy(load, SERVICES):.2f}" for load in LOADS.values())])
    lines.append(["services at the busiest moment (assumed)", *(f"{load['peak'] * busy(load, SERVICES):.2f}" for load in LOADS.values())])
    lines.append(["postgresql at the busiest moment (assumed)", *(f"{load['peak'] * busy(load, ['postgresql']):.2f}" for load in LOADS.values())])
    lines.append(["database grows by, a month", *(size(month(load, "rows")) for load in LOADS.values())])
    lines.append(["store grows by, a month", *(size(kept(load)) for load in LOADS.values())])
    lines.append(["sent to the store, a second", *(size(load["sessions"] * load["bytes"] / load["hours"] / 3600) for load in LOADS.values())])
    lines.append(["read by pipelines, a second", *(size(load["sessions"] * load["files"] * min(FILE_READ, load["bytes"] / load["files"]) / load["hours"] / 3600)
                                                  for load in LOADS.values())])
    lines.append(["PUT and COPY a month", *(f"{month(load, 'put') / 1e6:,.1f} M" for load in LOADS.values())])
    lines.append(["GET and HEAD a month", *(f"{month(load, 'get') / 1e6:,.1f} M" for load in LOADS.values())])
    return table(["", *(f"`{name}`" for name in LOADS)], lines)


def cost_table():
    columns = {name: ({re.sub(r":.*", "", line): cost for line, cost in fixed(load, name).items()}, variable(load)) for name, load in LOADS.items()}
    first = next(iter(columns.values()))
    lines = [[line, *(dollars(columns[name][0][line]) for name in LOADS)] for line in first[0]]
    lines += [[line, *(dollars(columns[name][1][line]) for name in LOADS)] for line in first[1]]
    lines.append(["**first month**", *(f"**{dollars(sum(columns[name][0].values()) + sum(columns[name][1].values()))}**" for name in LOADS)])
    later = {name: storage(kept(load, 12)) for name, load in LOADS.items()}
    lines.append(["S3 storage in the twelfth month, all kept", *(dollars(later[name]) for name in LOADS)])
    lines.append(["the same in Standard-IA", *(dollars(kept(load, 12) / GB * PRICES["S3 Standard-IA GB-month"]) for load in LOADS.values())])
    return table(["dollars a month", *(f"`{name}`" for name in LOADS)], lines)


def bought_table():
    lines = [[f"`{name}`", *(line.partition(": ")[2] for line in fixed(load, name) if line.startswith(("nodes:", "RDS")))] for name, load in LOADS.items()]
    return table(["load", "nodes", "database after a month"], lines).replace("---:", "---")


def compute_table():
    lines = []
    for name, load in LOADS.items():
        node, nodes, *_ = BOUGHT[name]
        ec2 = nodes * (PRICES[f"{node} hour"] * HOURS + NODE_DISK * PRICES["EBS gp3 GB-month"])
        # More of them where a quarter of a processor each is not enough.
        pods = fargate() * max(1, load["peak"] * busy(load, SERVICES) / (0.25 * PODS))
        lines.append([f"`{name}`", dollars(ec2), dollars(pods), dollars(functions(load))])
    return table(["dollars a month", "EC2 nodes", "Fargate", "Lambda, if it could"], lines)


def prices_table():
    shown = {name: " / ".join(map(str, price)) if isinstance(price, tuple) else f"{price:.10f}".rstrip("0").rstrip(".") for name, price in PRICES.items()}
    return table(["price", "dollars"], [[name, price] for name, price in shown.items()])


TABLES = {"loads": loads_table, "needs": needs_table, "bought": bought_table, "cost": cost_table, "compute": compute_table, "prices": prices_table}


def filled(page):
    """The page with each table between its marks made anew."""
    for name, make in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        page, count = mark.subn(lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", page)
        if count != 1:
            sys.exit(f"{PAGE.name} has {count} places for the table '{name}', not one")
    return page


def sound():
    """What can be checked by hand."""
    assert round(storage(50_000 * GB), 2) == 1150.00 and round(storage(500_000 * GB), 2) == 11_050.00 and round(storage(501_000 * GB), 2) == 11_071.00
    assert by_session("put", 12) == 29 and round(by_session("put", 1001)) == 2006 and by_session("rows", 0) == 0 and kept(LOADS["lab"]) == 360e9
    assert abs(fixed(LOADS["lab"], "lab")["EKS, the cluster"] - 73) < 1e-9


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "print"
    sound()
    if what == "print":
        print("\n\n".join(make() for make in TABLES.values()))
        return
    if what not in ("check", "write"):
        sys.exit(__doc__)
    before = PAGE.read_text("utf-8")
    after = filled(before)
    if what == "write":
        PAGE.write_text(after, "utf-8")
    elif before != after:
        sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "the page", "the figures"))
        sys.exit("docs/sizing.md is not that of its figures: python3 scripts/cost.py write")


if __name__ == "__main__":
    main()
