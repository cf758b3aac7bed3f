#!/usr/bin/env python3
"""Makes the example sessions, the same bytes each time, with the standard library only.

    python3 examples/make.py [DIR]                        three recordings and a folder of pictures
    python3 examples/make.py --many N DIR [--session M]   N small JPEGs, no two alike, in sessions of M

DIR is `examples/data` if not given. A file that is there already with the right content is left alone.
"""

import argparse
import json
import math
import random
import sys
from array import array
from pathlib import Path

import pictures

# Metadata of the three recordings. The first name is no date that ever was: session ids are opaque.
RECORDINGS = {
    "20210229_161221": {
        "subject": "S-014",
        "fatigue": 4,
        "hardware_model": "X2",
        "sampling_rate_hz": 250,
        "started_at": "2021-03-01T16:12:21Z",
        "notes": "the recorder's clock ran one day behind; electrode Fz was moistened twice",
        "files": ["eeg.bin", "emg.bin", "accelerometer.bin", "camera.jpg"],
    },
    # Lists emg.bin, which the recorder never wrote.
    "20210301_094507": {
        "subject": "S-015",
        "fatigue": 2,
        "hardware_model": "X1",
        "sampling_rate_hz": 250,
        "started_at": "2021-03-01T09:45:07+01:00",
        "notes": "muscle sensor unplugged",
        "files": ["eeg.bin", "emg.bin", "accelerometer.bin", "camera.png"],
    },
    # Its picture ends in the middle.
    "20210302_181530": {
        "subject": "S-014",
        "fatigue": 4.5,
        "hardware_model": "X2",
        "sampling_rate_hz": 250,
        "started_at": "2021-03-02T18:15:30Z",
        "notes": "battery of the camera ran out",
        "files": ["eeg.bin", "emg.bin", "accelerometer.bin", "camera.jpg"],
    },
}

# Channels, rate in Hz and seconds of each signal file; 32-bit floats, little endian, channels interleaved.
SIGNALS = {
    "eeg.bin": (8, 250, 4),
    "emg.bin": (2, 1000, 4),
    "accelerometer.bin": (3, 100, 10),
}

# Width and height of each picture. The panorama is wider than the example pipeline allows.
PICTURES = {
    "face.jpg": (200, 150),
    "hands.jpg": (160, 160),
    "room.png": (240, 160),
    "screen.png": (128, 96),
    "xray.jpg": (96, 128),
    "panorama.jpg": (1200, 40),
}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def signal(name, seed, fatigue):
    """Sine waves, one pitch a channel, that fade with fatigue into noise."""
    channels, rate, seconds = SIGNALS[name]
    noise = random.Random(f"{seed}/{name}").random
    values = array("f")
    for n in range(rate * seconds):
        for channel in range(channels):
            wave = math.sin(2 * math.pi * (8 + channel) * n / rate)
            values.append((6 - fatigue) / 5 * wave + fatigue / 5 * (noise() - 0.5))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def picture(width, height, seed):
    """A disc before a sky, placed and coloured by the seed."""
    dice = random.Random(seed)
    x0, y0 = dice.uniform(0.3, 0.7) * width, dice.uniform(0.3, 0.7) * height
    radius = min(width, height) * dice.uniform(0.2, 0.4)
    disc = tuple(dice.randrange(120, 256) for _ in range(3))
    sky = tuple(dice.randrange(0, 120) for _ in range(3))
    rows = []
    for y in range(height):
        shade = 0.5 + y / height / 2
        back = tuple(int(c * shade) for c in sky)
        half = math.sqrt(max(0.0, radius * radius - (y - y0) ** 2))
        rows.append([disc if abs(x - x0) < half else back for x in range(width)])
    return rows


def colon_lines(metadata):
    return "".join(f"{key}: {text(value)}\n" for key, value in metadata.items())


def equals_lines(metadata):
    return "".join(f"{key} = {text(value)}\n" for key, value in metadata.items())


def text(value):
    return ", ".join(value) if isinstance(value, list) else str(value)


def recordings(base):
    colon, equals, listed = RECORDINGS
    write(base / colon / "metadata.txt", colon_lines(RECORDINGS[colon]).encode())
    write(base / equals / "metadata.txt", equals_lines(RECORDINGS[equals]).encode())
    write(base / listed / "metadata.json", (json.dumps(RECORDINGS[listed], indent=2) + "\n").encode())
    for session, metadata in RECORDINGS.items():
        for name in SIGNALS:
            if (session, name) != (equals, "emg.bin"):
                write(base / session / name, signal(name, session, metadata["fatigue"]))
    write(base / colon / "camera.jpg", pictures.jpeg(picture(160, 120, colon)))
    write(base / equals / "camera.png", pictures.png(picture(160, 120, equals)))
    whole = pictures.jpeg(picture(160, 120, listed))
    write(base / listed / "camera.jpg", whole[:len(whole) * 2 // 3])


def images(base):
    lines = ["source: drawn by examples/make.py", "licence: Apache-2.0", "files:"]
    for name, (width, height) in PICTURES.items():
        drawn = picture(width, height, name)
        data = pictures.png(drawn) if name.endswith(".png") else pictures.jpeg(drawn, grey=name == "xray.jpg")
        write(base / "images" / name, data)
        lines.append(f"  - {name}")
    write(base / "images" / "metadata.yaml", ("\n".join(lines) + "\n").encode())


def many(count, base, per_session):
    """Sixty-four drawings, each file with a comment of its own, so that no two have the same bytes."""
    drawn = [pictures.jpeg(picture(64, 48, f"many/{n}")) for n in range(min(64, count))]
    for first in range(0, count, per_session):
        folder = base / f"batch-{first // per_session:05}"
        folder.mkdir(parents=True, exist_ok=True)
        last = min(first + per_session, count)
        (folder / "metadata.txt").write_text(f"fatigue: {first % 5 + 1}\nhardware_model: X2\nimages: {last - first}\n")
        for n in range(first, last):
            data = pictures.jpeg_with_comment(drawn[n % len(drawn)], f"image {n}")
            with open(folder / f"image-{n:07}.jpg", "wb") as file:
                file.write(data)


def positive(argument):
    value = int(argument)
    if value < 1:
        raise argparse.ArgumentTypeError("expected a number above 0")
    return value


def main():
    parser = argparse.ArgumentParser(description="Makes the example sessions.")
    parser.add_argument("dir", nargs="?", type=Path, default=Path(__file__).parent / "data", metavar="DIR")
    parser.add_argument("--many", type=positive, metavar="N", help="make N small JPEGs, no two alike")
    parser.add_argument("--session", type=positive, default=1000, metavar="M", help="files in each session of --many")
    options = parser.parse_args()
    if options.many:
        many(options.many, options.dir, options.session)
    else:
        recordings(options.dir)
        images(options.dir)


if __name__ == "__main__":
    main()
