"""Judges the dependencies of the workspace, without a network once they are fetched.

Refuses: a licence that is not allowed here, a source other than crates.io, a banned crate, and two versions of a
crate of which one program must have one. Reads `cargo metadata`; prints what it found and exits 1 if anything is wrong.
"""

import json
import re
import subprocess
import sys

# Permissive, or (MPL) with conditions only on changes to the dependency's own files.
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "Unicode-3.0", "Unlicense", "Zlib",
}
# Each with what to use in its place.
BANNED = {
    "openssl": "rustls",
    "openssl-sys": "rustls",
    "native-tls": "rustls",
    "serde_yaml": "serde_yaml_ng, which is maintained",
    "atty": "std::io::IsTerminal",
    "dotenv": "the configuration loader",
}
# Allowed below others, not as our own.
SUPERSEDED = {"lazy_static": "std::sync::LazyLock", "once_cell": "std::sync::OnceLock", "chrono": "time"}
# Two versions of these are two runtimes, two sets of types on our borders, or two copies of much code.
ONCE = {
    "axum", "http", "http-body", "hyper", "image", "object_store", "prost", "prost-types", "reqwest", "rustls", "sea-orm",
    "serde", "sqlx", "sqlx-core", "tokio", "tonic", "tracing", "url",
}


def metadata(*arguments):
    command = ["cargo", "metadata", "--format-version", "1", "--locked", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(f"cargo metadata failed:\n{answer.stderr.strip()}")
    return json.loads(answer.stdout)


def host():
    lines = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return re.search(r"^host: (.+)$", lines, re.M).group(1)


def allowed(expression):
    """Whether an SPDX expression can be met with the allowed licences alone: AND binds before OR."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    words += ["", ""]  # so that looking one word ahead needs no care

    def either():
        verdict = both()
        while words[0] == "OR":
            words.pop(0)
            verdict = both() or verdict
        return verdict

    def both():
        verdict = one()
        while words[0] == "AND":
            words.pop(0)
            verdict = one() and verdict
        return verdict

    def one():
        word = words.pop(0)
        if word == "(":
            verdict = either()
            words.pop(0)
            return verdict
        if words[0] == "WITH":
            words.pop(0)
            word = f"{word} WITH {words.pop(0)}"
        return word in ALLOWED

    return either()


def problems(packages, members):
    versions = {}
    for package in packages:
        name, version, source = package["name"], package["version"], package["source"]
        versions.setdefault(name, []).append(version)
        licence = package["license"]
        if not licence:
            yield f"{name} {version}: names no licence"
        elif not allowed(licence):
            yield f"{name} {version}: licence {licence}"
        if source is None and package["id"] not in members:
            yield f"{name} {version}: from a folder outside of the workspace"
        if source and not source.startswith(("registry+https://github.com/rust-lang/crates.io-index", "sparse+")):
            yield f"{name} {version}: from {source}, not from crates.io"
        if name in BANNED:
            yield f"{name} {version}: use {BANNED[name]}"
    for package in packages:
        if package["id"] in members:
            for dependency in package["dependencies"]:
                if dependency["name"] in SUPERSEDED:
                    yield f"{package['name']} depends on {dependency['name']}: use {SUPERSEDED[dependency['name']]}"
    for name in sorted(ONCE & versions.keys()):
        if len(versions[name]) > 1:
            yield f"{name}: one version wanted, found {', '.join(sorted(versions[name]))}"


def self_test():
    """The verdict on expressions whose answer is known."""
    good = ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND ISC", "Apache-2.0 WITH LLVM-exception"]
    bad = ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0-only", "MIT WITH Strange-exception", ""]
    assert all(map(allowed, good)) and not any(map(allowed, bad)), "the licence check is broken"


def main():
    self_test()
    found = metadata("--filter-platform", host())
    reached = {node["id"] for node in found["resolve"]["nodes"]}
    packages = [package for package in found["packages"] if package["id"] in reached]
    wrong = sorted(set(problems(packages, set(found["workspace_members"]))))
    for line in wrong:
        print(f"  {line}")
    print(f"  {len(packages)} packages, {len(wrong)} problems")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
