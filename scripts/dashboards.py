"""Makes the dashboards of Grafana that the chart has: charts/granary/dashboards, of the modules in `boards`.

    dashboards.py write | check     `check` says which are not as they would be written, and what is wrong with them; exits 1
"""

import json
import re
import sys
from pathlib import Path

from boards import hosts, jobs, overview, pipeline, processes, storage

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "charts" / "granary" / "dashboards"
BOARDS = {module.__name__.split(".")[-1]: module for module in (overview, pipeline, jobs, storage, processes, hosts)}


def files():
    """Path and text of each dashboard."""
    for name, module in BOARDS.items():
        yield FOLDER / f"{name}.json", json.dumps(module.board(), indent=1, ensure_ascii=False) + "\n"


def mistakes(board):
    """What Grafana would take, and people would stumble over."""
    variables = {variable["name"] for variable in board["templating"]["list"]}
    seen = set()
    for panel in board["panels"]:
        where, place = f"{board['title']}: {panel['title']}", panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if cells & seen or place["x"] + place["w"] > 24:
            yield f"{where}: lies on another panel or outside"
        seen |= cells
        if panel["type"] == "row":
            continue
        if not panel["description"].endswith("."):
            yield f"{where}: says nothing of itself"
        for target in panel["targets"]:
            unknown = {name for name in re.findall(r"\$\{?(\w+)", target["expr"]) if not name.startswith("__")} - variables
            if unknown:
                yield f"{where}: there is no variable {', '.join(sorted(unknown))}"
            for source in (panel["datasource"], target["datasource"]):
                if source["uid"] != "${datasource}":
                    yield f"{where}: asks one Prometheus and no other"


def check():
    wanted = dict(files())
    wrong = [f"{path.relative_to(ROOT)} is of no board" for path in FOLDER.glob("*.json") if path not in wanted]
    for path, text in wanted.items():
        if not path.exists() or path.read_text("utf-8") != text:
            wrong.append(f"{path.relative_to(ROOT)} is not what scripts/boards makes: python3 scripts/dashboards.py write")
        wrong += mistakes(json.loads(text))
    return wrong


def main():
    if sys.argv[1:] == ["write"]:
        FOLDER.mkdir(exist_ok=True)
        for path, text in files():
            path.write_text(text, "utf-8")
    elif sys.argv[1:] == ["check"]:
        wrong = check()
        print("\n".join(f"  {line}" for line in wrong), end="\n" if wrong else "")
        sys.exit(1 if wrong else 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
