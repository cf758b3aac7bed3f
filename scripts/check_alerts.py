"""Alerts, their tests and the runbook belong together: each alert links to its own entry of the runbook, each entry is of an alert, and the tests
have each alert fire and stay quiet. Whatever rules and dashboards ask for is told by Granary.

    check_alerts.py
"""

import re
import sys
from pathlib import Path

from check_tree import HEADING, ROOT, anchors
from expressions import of_dashboards, unknown

CHART = ROOT / "charts" / "granary"
RULES, TESTS = CHART / "rules" / "granary.yaml", CHART / "ci" / "rules"
RUNBOOK = ROOT / "docs" / "runbook.md"


def alerts(rules):
    """Name and text of each alert."""
    parts = re.split(r"^ +- (?=alert: |record: |name: )", rules, flags=re.M)
    return {re.match(r"alert: (\w+)", part)[1]: part for part in parts if part.startswith("alert: ")}


def told(name, text, known):
    """What an alert does not say."""
    for key in ("severity", "summary", "description"):
        if not re.search(rf"\b{key}: \S", text):
            yield f"{name}: has no {key}"
    link = re.search(r"runbook_url: (\S+)", text)
    wanted = f"{RUNBOOK.relative_to(ROOT)}#{name.lower()}"
    if not link or link[1] != wanted:
        yield f"{name}: its runbook_url is to be {wanted}"
    if name.lower() not in known:
        yield f"{name}: has no entry in {RUNBOOK.relative_to(ROOT)}"


def tested(name, tests):
    """What the tests do not show of an alert."""
    cases = re.findall(rf"alertname: {name}\b(.*?)(?=alertname: |^  - name: |\Z)", tests, re.M | re.S)
    if not any("exp_labels:" in case for case in cases):
        yield f"{name}: no test has it fire"
    if not any("exp_alerts: []" in case for case in cases):
        yield f"{name}: no test has it stay quiet"


def expressions(rules):
    """What rules ask for, with what they are called."""
    return re.findall(r"- (?:alert|record): (\S+)\s+expr: (.*?)(?=\n +(?:for|labels):|\n +- |\n +#|\n\n|\Z)", rules, re.S)


def asked(rules):
    """What is asked for and not told."""
    found = expressions(rules)
    recorded = {name for name, _ in found if ":" in name}
    for where, expression in [*found, *of_dashboards()]:
        for thing in unknown(expression.removeprefix("|"), recorded):
            yield f"{where}: there is no {thing}"


def main():
    rules, runbook = RULES.read_text("utf-8"), RUNBOOK.read_text("utf-8")
    tests = "\n".join(path.read_text("utf-8") for path in sorted(TESTS.glob("*_test.yaml")))
    found, known = alerts(rules), anchors(runbook)
    wrong = [line for name, text in found.items() for line in [*told(name, text, known), *tested(name, tests)]]
    entries = [heading for heading in HEADING.findall(runbook) if heading.startswith("Granary")]
    wrong += [f"{RUNBOOK.relative_to(ROOT)}: {entry} is no alert" for entry in entries if entry not in found]
    wrong += asked(rules)
    for line in wrong:
        print(f"  {line}")
    print(f"  {len(found)} alerts of {len(expressions(rules))} rules")
    sys.exit(1 if wrong or not found else 0)


if __name__ == "__main__":
    main()
