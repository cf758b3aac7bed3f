"""The main job, step by step, by the command alone: from session folders to checked, labelled, frozen data and a job's outputs.

Every step may be repeated: what is there already is left as it is.
"""

from pathlib import Path

from granary_process import Failed, ROOT

EXAMPLES = ROOT / "examples"
DATASET = "recordings"
FILTER = 'attributes.fatigue > 3 AND attributes.hardware_model = "X2"'
SNAPSHOT = "tired-x2"
JOB = "summary-1"


def short(name):
    """`projects/p/datasets/d/sessions/s` as people say it: `d/s`."""
    parts = name.split("/")
    return "/".join(parts[3::2])


def apply(cli):
    """Brings pipelines and catalogue."""
    for file in sorted((EXAMPLES / "pipelines").glob("*.yaml")):
        cli.run("pipeline", "apply", "-f", file)
    cli.run("app", "apply", "-f", EXAMPLES / "applications.yaml")


def ingest(cli, folders, dataset=DATASET, flags=()):
    """Sends session folders and waits until the pipelines are done with each. Returns the sessions."""
    for folder in folders:
        cli.run("upload", folder, "--dataset", dataset, *flags)
    sessions = []
    for folder in folders:
        cli.run("session", "wait", f"{dataset}/{Path(folder).name}", codes=(0, 1))
        sessions.append(cli.json("session", "get", f"{dataset}/{Path(folder).name}"))
    return sessions


def assets(cli, dataset, filter=""):
    """All assets of a dataset that match."""
    arguments = ["asset", "list", "--dataset", dataset]
    if filter:
        arguments += ["--filter", filter]
    return cli.json(*arguments).get("assets", [])


def query(cli, filter=FILTER, dataset="processed"):
    """The answer of a query."""
    return cli.json("query", filter, "--dataset", dataset).get("assets", [])


def label(cli, asset, text, box=None):
    """Labels an asset, once."""
    existing = cli.json("label", "list", asset).get("labels", [])
    if any(found["class"] == text for found in existing):
        return
    arguments = ["label", "create", asset, "--class", text]
    if box:
        arguments += ["--box", ",".join(map(str, box))]
    cli.run(*arguments)


def once(cli, noun, name, create):
    """What is there by that name, or else what `create` makes."""
    try:
        return cli.json(noun, "get", name)
    except Failed as missing:
        if "not found" not in str(missing):
            raise
    create()
    return cli.json(noun, "get", name)


def freeze(cli):
    """The snapshot that the job trains on."""
    return once(
        cli, "snapshot", f"processed/{SNAPSHOT}",
        lambda: cli.run("snapshot", "create", SNAPSHOT, "--dataset", "processed", "--filter", FILTER),
    )


def submit(cli):
    """The job, submitted once and waited for."""
    once(
        cli, "job", JOB,
        lambda: cli.run(
            "job", "submit", "--app", "summary", "--version", "v1", "--entrypoint", "train",
            "--input", f"data_ids=snapshot:processed/{SNAPSHOT}", "--param", "level=1.5", "--job-id", JOB,
        ),
    )
    cli.run("job", "wait", JOB, codes=(0, 1))
    return cli.json("job", "get", JOB)


def outputs(cli, job):
    """What a job made: (kind, asset) pairs."""
    found = []
    for kind, session in sorted(job.get("outputs", {}).items()):
        dataset, session_id = short(session).split("/")
        found += [(kind, asset) for asset in assets(cli, dataset, f'session = "{session_id}"')]
    return found


def reasons(report):
    """An error report in one line."""
    return "; ".join(f"{field}: {message}" for field, entry in sorted(report.items()) for message in entry["messages"])


def table(rows, header):
    """Rows as aligned text."""
    rows = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def size(count):
    """Bytes for people, as the command writes them."""
    count = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
