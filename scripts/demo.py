"""`make run`: the platform at work on the example sessions, then up until Ctrl-C.

    python3 scripts/demo.py DATA_DIR

GRANARY_PORT and GRANARY_S3_PORT say where it listens instead of 7070 and 7071.
"""

import os
import signal
import sys
import time
from pathlib import Path

import main_job
from granary_process import ROOT, Failed, Server, fail, port_taken, program
from main_job import short, size, table


def title(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def main():
    if len(sys.argv) != 2:
        fail(f"usage: {sys.argv[0]} DATA_DIR")
    data_dir = Path(sys.argv[1]).resolve()
    begin = time.monotonic()
    ports = (int(os.environ.get("GRANARY_PORT", 7070)), int(os.environ.get("GRANARY_S3_PORT", 7071)))
    for port in ports:
        if port_taken(port):
            fail(f"another program listens on 127.0.0.1:{port}: stop it, or set GRANARY_PORT and GRANARY_S3_PORT")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = Server(data_dir, ports=ports, log=data_dir / "server.log").start()
    try:
        tell(server.cli())
        title(f"Ready after {time.monotonic() - begin:.1f} s. Ctrl-C stops it; the data stays.")
        where(server)
        while server.process.poll() is None:
            time.sleep(0.2)
        fail(f"the server ended: {server.last_words()}; {server.log} says more")
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        server.stop()


def tell(cli):
    main_job.apply(cli)
    data = ROOT / "examples" / "data"
    recordings = sorted(folder for folder in data.iterdir() if folder.name.startswith("2"))
    sessions = main_job.ingest(cli, recordings)
    sessions += main_job.ingest(cli, [data / "images"], dataset="images")

    title("Sessions")
    rows = [
        [short(s["name"]), s["state"].removeprefix("SESSION_STATE_"), s["asset_count"], s.get("ready_count", 0),
         s.get("rejected_count", 0), size(s["size_bytes"])]
        for s in sessions
    ]
    print(table(rows, ["SESSION", "STATE", "ASSETS", "READY", "REJECTED", "SIZE"]))

    title("Rejected, and why")
    rejected = [a for dataset in (main_job.DATASET, "images") for a in main_job.assets(cli, dataset, "state = REJECTED")]
    print(table([[short(a["session"]), a["path"], main_job.reasons(a["errors"])] for a in rejected], ["SESSION", "PATH", "WHY"]))

    title(f"granary query '{main_job.FILTER}' --dataset processed")
    found = main_job.query(cli)
    print(table([[short(a["session"]), a["path"], a["media_type"], size(a["size_bytes"])] for a in found], ["SESSION", "PATH", "MEDIA TYPE", "SIZE"]))

    picture = next(a for a in found if a["media_type"] == "image/jpeg" and not a["path"].endswith(".preview.jpg"))
    main_job.label(cli, picture["name"], "eyes-open")
    main_job.label(cli, picture["name"], "face", box=(4, 4, 16, 16))
    snapshot = main_job.freeze(cli)
    job = main_job.submit(cli)
    title("A job on a frozen snapshot")
    attempts = job.get("attempts", [])
    rows = [[
        short(job["name"]) or job["name"].split("/")[-1], job["state"].removeprefix("JOB_STATE_"),
        f"{snapshot['asset_count']} assets, {snapshot.get('label_count', 0)} labels", len(attempts),
        size(attempts[-1].get("peak_memory_bytes", 0)) if attempts else "",
    ]]
    print(table(rows, ["JOB", "STATE", "SNAPSHOT", "ATTEMPTS", "PEAK MEMORY"]))

    title("Its outputs")
    rows = [[kind, short(a["session"]), a["path"], size(a["size_bytes"])] for kind, a in main_job.outputs(cli, job)]
    print(table(rows, ["KIND", "SESSION", "PATH", "SIZE"]), flush=True)


def where(server):
    granary = os.path.relpath(program())
    print(f"""
  gRPC      {server.endpoint}
  objects   http://127.0.0.1:{server.ports[1]} (S3; keys in {os.path.relpath(server.data_dir / 's3-credentials')})
  token     {os.path.relpath(server.data_dir / 'token')}
  log       {os.path.relpath(server.log)}

Try, in another terminal:

  export GRANARY_DATA_DIR={server.data_dir} GRANARY_ENDPOINT={server.endpoint}
  {granary} session list --dataset recordings
  {granary} job logs {main_job.JOB}
  {granary} download --session job-outputs/{main_job.JOB}-1 --to target/results
""", flush=True)


if __name__ == "__main__":
    # Also where a shell started it in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except Failed as failure:
        fail(str(failure))
