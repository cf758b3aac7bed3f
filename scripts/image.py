"""Assembles a container image FROM scratch, with neither a daemon nor a registry. The same files make the same bytes, wherever and whenever.

    image.py OUT.tar --name granary:0.1.0 --layer SOURCE=/PLACE ... [--layer ...] [--entrypoint /granary] [--user 65532] [--env A=B] [--label A=B]

Each --layer is a layer of its own, of one or more files, or folders with all that is in them. The archive is an OCI layout that `docker load` takes too: `podman load`,
`docker load`, `ctr images import` and `kind load image-archive` read it. Layers are not compressed, since compressors differ; what pushes the
image to a registry does that. SOURCE_DATE_EPOCH is when the image was made. Prints its size and digest.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

MACHINES = {62: "amd64", 183: "arm64"}
OCI = "application/vnd.oci.image"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def text(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def machine(program):
    """The architecture that a program is for, and whether it runs alone, without a dynamic linker."""
    head = program[:64]
    if head[:6] != b"\x7fELF\x02\x01":
        return None, None
    start, size, count = (int.from_bytes(head[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = [int.from_bytes(program[place : place + 4], "little") for place in range(start, start + size * count, size or 1)]
    return MACHINES.get(int.from_bytes(head[18:20], "little")), 3 not in kinds  # PT_INTERP


def archive(entries):
    """A tar of (path, data or None for a folder, mode), without anything of this machine or of today."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data, mode in entries:
            entry = tarfile.TarInfo(path)
            entry.mode, entry.type = mode, tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            entry.size = len(data or b"")
            tar.addfile(entry, io.BytesIO(data or b""))
    return out.getvalue()


def expanded(files):
    """The same with all files of a folder in its place; what Python compiled for itself is left out."""
    for source, place in files:
        if source and Path(source).is_dir():
            found = (path for path in sorted(Path(source).rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
            yield from ((str(path), f"{place}/{path.relative_to(source)}") for path in found)
        else:
            yield source, place


def layer(files):
    """The tar of files at their places, with the folders above them."""
    folders, entries = {}, []
    for source, place in files:
        path = PurePosixPath(place).relative_to("/")
        for folder in list(path.parents)[-2::-1]:
            folders[str(folder)] = 0o755
        if source == "":  # An empty folder that everybody may write to.
            folders[str(path)] = 0o1777
        else:
            data = Path(source).read_bytes()
            entries.append((str(path), data, 0o755 if os.access(source, os.X_OK) else 0o644))
    return archive([(path, None, mode) for path, mode in sorted(folders.items())] + sorted(entries))


def configuration(arguments, layers, architecture):
    created = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    process = {
        "User": arguments.user,
        "Env": arguments.env,
        "WorkingDir": "/",
        "Labels": dict(label.split("=", 1) for label in arguments.label),
    }
    if arguments.entrypoint:
        process["Entrypoint"] = [arguments.entrypoint]
    return {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(tar) for tar in layers]},
        "history": [{"created": created, "created_by": "image.py"} for _ in layers],
    }


def image(name, config, layers):
    """The files of the archive, and the digest by which registries know the image."""
    blobs, tag = {}, name.rpartition(":")[2]

    def blob(kind, data):
        blobs[digest(data)] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": "sha256:" + digest(data), "size": len(data)}

    tars = [blob("layer.v1.tar", tar) for tar in layers]
    settings = blob("config.v1+json", text(config))
    manifest = blob("manifest.v1+json", text(
        {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": settings, "layers": tars}))
    full = name if "/" in name else f"docker.io/library/{name}"
    names = {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [{**manifest, "annotations": names}]}
    place = lambda entry: "blobs/sha256/" + entry["digest"].removeprefix("sha256:")
    legacy = [{"Config": place(settings), "RepoTags": [name], "Layers": [place(entry) for entry in tars]}]
    files = {"oci-layout": text({"imageLayoutVersion": "1.0.0"}), "index.json": text(index), "manifest.json": text(legacy)}
    files |= {f"blobs/sha256/{name}": data for name, data in blobs.items()}
    return files, manifest["digest"]


def parsed():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--layer", action="append", nargs="+", required=True)
    parser.add_argument("--entrypoint")
    parser.add_argument("--user", default="65532:65532")
    for many in ("--env", "--label"):
        parser.add_argument(many, action="append", default=[])
    return parser.parse_args()


def main():
    arguments = parsed()
    groups = [list(expanded(file.split("=", 1) for file in group)) for group in arguments.layer]
    programs = {place: machine(Path(source).read_bytes()) for group in groups for source, place in group if source}
    architecture, alone = programs.get(arguments.entrypoint, (None, True))
    if not alone:
        sys.exit(f"image: {arguments.entrypoint} is not statically linked: nothing in the image could load it")
    architecture = architecture or next((kind for kind, _ in programs.values() if kind), "amd64")
    layers = [layer(group) for group in groups]
    files, name = image(arguments.name, configuration(arguments, layers, architecture), layers)
    folders = [("blobs", None, 0o755), ("blobs/sha256", None, 0o755)]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(archive(folders + [(path, data, 0o644) for path, data in sorted(files.items())]))
    print(f"image: {arguments.name} for linux/{architecture}, {name}")
    size = sum(len(tar) for tar in layers)
    print(f"image: {arguments.out}, {size / 1e6:.1f} MB, {sum(len(zlib.compress(tar)) for tar in layers) / 1e6:.1f} MB when it is sent compressed")


if __name__ == "__main__":
    main()
