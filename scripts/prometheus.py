"""A Prometheus to throw away, on this machine: it scrapes what it is told to, has the rules of the chart, and is asked by its API. Standard library only."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from granary_process import ROOT, Failed, end, free_port

RULES = ROOT / "charts" / "granary" / "rules" / "granary.yaml"
# Often: a test does not wait for what people would.
INTERVAL = "2s"


def processes(addresses):
    """What to scrape: processes of this machine."""
    return {"job_name": "granary", "static_configs": [{"targets": list(addresses)}]}


def release(slices):
    """What to scrape: the pods of a release, by the EndpointSlices of its Services, with the labels that the Prometheus operator makes of the chart's
    ServiceMonitor. Debian's Prometheus cannot ask the cluster itself."""
    found = []
    for item in slices:
        labels = item["metadata"]["labels"]
        port = next((port["port"] for port in item["ports"] or () if port.get("name") == "metrics"), None)
        for endpoint in item["endpoints"] or () if port else ():
            found.append({"targets": [f"{endpoint['addresses'][0]}:{port}"], "labels": {
                "job": labels["app.kubernetes.io/name"], "namespace": item["metadata"]["namespace"], "pod": endpoint["targetRef"]["name"],
                "service": labels["kubernetes.io/service-name"], "container": "granary", "endpoint": "metrics",
            }})
    if not found:
        raise Failed("no Service of the release has a port for metrics")
    return {"job_name": "granary", "honor_labels": True, "static_configs": found}


def await_answer(server, path, patience=60):
    """Returns once a server answers, and ends it if it does not."""
    until = time.monotonic() + patience
    while server.process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{server.address}/{path}", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    end(server.process)
    raise Failed(f"{Path(server.program).name} did not start: {server.log.read_text(errors='replace').strip()[-500:]}")


class Host:
    """Node exporter, which tells of this machine, up to the end of a `with`."""

    def __init__(self, program, folder):
        self.program, self.folder, self.address = program, Path(folder), f"127.0.0.1:{free_port()}"

    def __enter__(self):
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            command = [self.program, f"--web.listen-address={self.address}", "--log.level=error"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        await_answer(self, "metrics")
        return self

    def __exit__(self, *_):
        end(self.process)

    def scrape(self):
        """What to scrape, under the name that kube-prometheus-stack gives it."""
        return {"job_name": "node-exporter", "static_configs": [{"targets": [self.address]}]}


class Prometheus:
    """A server in a folder of its own, up to the end of a `with`."""

    def __init__(self, program, folder, *scrapes):
        self.program, self.folder, self.scrapes = program, Path(folder), scrapes
        self.address = f"127.0.0.1:{free_port()}"
        self.process = None

    def __enter__(self):
        self.folder.mkdir(parents=True)
        config = {"global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}, "rule_files": [str(RULES)], "scrape_configs": self.scrapes}
        # JSON is YAML too.
        (self.folder / "prometheus.yml").write_text(json.dumps(config, indent=1))
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    self.program, f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address={self.address}", "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        await_answer(self, "-/ready")
        return self

    def __exit__(self, *_):
        end(self.process)

    def get(self, path, **parameters):
        """What the API answers. Fails with its words for what it does not take."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise Failed(f"Prometheus does not take {query}: {refused.read().decode(errors='replace')[:500]}") from None
        except OSError as failure:
            raise Failed(f"Prometheus does not answer: {failure}") from None

    def samples(self, expression):
        """What an expression is now: (labels, value) pairs; of those that are a number."""
        found = self.get("query", query=expression)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        values = [(sample["metric"], float(sample["value"][1])) for sample in found["result"]]
        return [(labels, value) for labels, value in values if value == value]

    def rules(self):
        """All recordings and alerts, as Prometheus has read them."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def targets(self):
        """Address, health and last error of all that is scraped."""
        return [(target["scrapeUrl"], target["health"], target["lastError"]) for target in self.get("targets", state="active")["activeTargets"]]

    def processes(self):
        """How many processes of Granary are scraped."""
        return len(self.get("targets", state="active", scrapePool="granary")["activeTargets"])
