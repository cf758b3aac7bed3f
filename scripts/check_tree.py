"""Looks at the files of the repository: paths of somebody's machine, large files, broken links, long files.

    check_tree.py [paths] [large] [links] [long] [tables]      all of them if none is named

Looks at what git would hold. Long files only warn; everything else exits 1.
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LARGE = 300_000
LONG = 450
GENERATED = {"Cargo.lock", "LICENSE"}
SOURCES = {".rs", ".proto", ".py", ".sh", ".ts", ".go"}
# Homes and mounts of one machine. Each is split here, so that this file does not accuse itself.
MACHINE = re.compile(r"(?<![\w.$})~-])/(?:" + "|".join(["home/\\w", "root/", "Users/\\w", "work/", "mnt/\\w"]) + r")|\.\./shar" + "ed")
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(<?([^)>\s]+)>?[^)]*\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.M)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)


def files():
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return [path for path in (ROOT / name for name in sorted(set(names)) if name) if path.is_file()]


def text(path):
    data = path.read_bytes()
    return None if b"\0" in data[:8192] else data.decode("utf-8", "replace")


def paths(tree):
    for path in tree:
        for number, line in enumerate((text(path) or "").splitlines(), start=1):
            found = MACHINE.search(line)
            if found and path.name not in GENERATED:
                yield f"{path.relative_to(ROOT)}:{number}: a path of one machine: {line[found.start():][:40]}"


def large(tree):
    for path in tree:
        size = path.stat().st_size
        if size > LARGE and path.name not in GENERATED:
            yield f"{path.relative_to(ROOT)}: {size} bytes; at most {LARGE}"


def anchors(page):
    """The anchors that a forge makes of the headings: lower case, no punctuation, blanks to hyphens."""
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", page))
    for heading in HEADING.findall(FENCE.sub("", page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = next(n for n in range(1000) if (f"{anchor}-{n}" if n else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def links(tree):
    for path in (path for path in tree if path.suffix == ".md"):
        page = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text(path) or ""))
        for link in LINK.findall(page):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            where = (ROOT / target.lstrip("/") if target.startswith("/") else path.parent / target) if target else path
            if not where.exists():
                yield f"{path.relative_to(ROOT)}: links to {target}, which is not there"
            elif anchor and where.suffix == ".md" and anchor not in anchors(where.read_text("utf-8")):
                yield f"{path.relative_to(ROOT)}: links to {link}, which has no such heading"


def long(tree):
    lengths = {path: (text(path) or "").count("\n") for path in tree if path.suffix in SOURCES}
    for path, length in lengths.items():
        if length > LONG:
            print(f"  warning: {path.relative_to(ROOT)}: {length} lines; nine in ten stay under {LONG}")
    if lengths:
        under = sum(length <= LONG for length in lengths.values())
        print(f"  {len(lengths)} source files, median {statistics.median(lengths.values()):.0f} lines, {under} under {LONG + 1}")
    return []


TABLE = re.compile(r'"CREATE TABLE (\w+) \((.*?)\)?(?:\{\w+\})?",?\n', re.S)
ROW = re.compile(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", re.M)


def columns(body):
    """The columns of a table, those of its primary key first, as the page on tables has them."""
    parts = [part.split() for part in re.sub(r"\([^)]*\)", lambda found: found[0].replace(",", ";"), body).split(",")]
    key = next((part for part in parts if part[:2] == ["PRIMARY", "KEY"]), None)
    keys = re.findall(r"\w+", " ".join(key[2:])) if key else [part[0] for part in parts if "KEY" in part or part[1] in ("{key}", "{sequence}")]
    others = [part[0] for part in parts if part is not key and part[0] not in keys]
    return ", ".join([f"**{', '.join(keys)}**", *others])


def tables(tree):
    """The page on tables has each that a migration makes, with its columns."""
    page = (ROOT / "docs/tables.md").read_text("utf-8")
    listed = {(part.splitlines()[0].lower(), *row) for part in page.split("\n## ")[1:] for row in ROW.findall(part)}
    made = set()
    for path in sorted(ROOT.glob("services/*/src/migration/m*.rs")):
        made |= {(path.parts[-4], name, columns(body)) for name, body in TABLE.findall(path.read_text("utf-8"))}
    for service, name, body in sorted(made - listed):
        yield f"docs/tables.md: {service}: no row of `{name}` with the columns {body}"
    for service, name, body in sorted(listed - made):
        yield f"docs/tables.md: {service}: no migration makes `{name}` with the columns {body}"


CHECKS = {"paths": paths, "large": large, "links": links, "long": long, "tables": tables}


def main():
    names = sys.argv[1:] or list(CHECKS)
    if unknown := [name for name in names if name not in CHECKS]:
        sys.exit(f"unknown check '{unknown[0]}': one of {' '.join(CHECKS)}")
    tree = files()
    wrong = [line for name in names for line in CHECKS[name](tree)]
    for line in wrong:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
