"""Encoders for the example pictures: baseline JPEG (ITU T.81) and PNG, with the standard library only.

A picture is a list of rows, a row a list of (red, green, blue), each 0..255.
"""

import math
import struct
import zlib

# Annex K of ITU T.81: quantisation for quality 50, in row order, and the typical Huffman tables.
_LUMINANCE = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]
_CHROMINANCE = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
] + [99] * 32
_DC_COUNTS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
_DC_VALUES = list(range(12))
_AC_COUNTS = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125]
_AC_VALUES = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a"
    "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394"
    "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8"
    "e9eaf1f2f3f4f5f6f7f8f9fa"
)


def _zigzag():
    cells = [(row, column) for row in range(8) for column in range(8)]
    cells.sort(key=lambda c: (c[0] + c[1], c[0] if (c[0] + c[1]) % 2 else c[1]))
    return [row * 8 + column for row, column in cells]


_ZIGZAG = _zigzag()
_COSINE = [
    [(math.sqrt(0.125) if k == 0 else 0.5) * math.cos((2 * n + 1) * k * math.pi / 16) for n in range(4)]
    for k in range(8)
]


def _codes(counts, values):
    table, code, position = {}, 0, 0
    for length, count in enumerate(counts, start=1):
        for value in values[position:position + count]:
            table[value] = (code, length)
            code += 1
        position += count
        code <<= 1
    return table


_DC_CODES = _codes(_DC_COUNTS, _DC_VALUES)
_AC_CODES = _codes(_AC_COUNTS, _AC_VALUES)


class _Bits:
    """Gathers codes into bytes; 0xff in the data is followed by 0x00, so that it is no marker."""

    def __init__(self):
        self.out, self.held, self.count = bytearray(), 0, 0

    def put(self, code, length):
        self.held = (self.held << length) | code
        self.count += length
        while self.count >= 8:
            self.count -= 8
            byte = (self.held >> self.count) & 0xFF
            self.out.append(byte)
            if byte == 0xFF:
                self.out.append(0)
        self.held &= (1 << self.count) - 1

    def number(self, value, length):
        self.put(value if value >= 0 else value + (1 << length) - 1, length)

    def finish(self):
        if self.count:
            self.put((1 << (8 - self.count)) - 1, 8 - self.count)
        return bytes(self.out)


def _transform(v):
    """The cosine transform of eight values: even terms use the sums of mirrored pairs, odd ones their differences."""
    sums = (v[0] + v[7], v[1] + v[6], v[2] + v[5], v[3] + v[4])
    differences = (v[0] - v[7], v[1] - v[6], v[2] - v[5], v[3] - v[4])
    out = []
    for k, c in enumerate(_COSINE):
        p = differences if k % 2 else sums
        out.append(c[0] * p[0] + c[1] * p[1] + c[2] * p[2] + c[3] * p[3])
    return out


def _quantised(plane, top, left, table):
    rows = [_transform(plane[top + i][left:left + 8]) for i in range(8)]
    columns = [_transform(column) for column in zip(*rows)]
    return [round(columns[at % 8][at // 8] / table[at]) for at in _ZIGZAG]


def _encode_block(bits, block, previous):
    difference = block[0] - previous
    length = abs(difference).bit_length()
    bits.put(*_DC_CODES[length])
    bits.number(difference, length)
    zeros = 0
    last = max((i for i in range(1, 64) if block[i]), default=0)
    for value in block[1:last + 1]:
        if value == 0:
            zeros += 1
            continue
        while zeros > 15:
            bits.put(*_AC_CODES[0xF0])
            zeros -= 16
        length = abs(value).bit_length()
        bits.put(*_AC_CODES[zeros << 4 | length])
        bits.number(value, length)
        zeros = 0
    if last < 63:
        bits.put(*_AC_CODES[0])
    return block[0]


def _planes(picture, grey):
    """Level-shifted Y (and Cb, Cr), padded by repetition to whole blocks of eight."""
    height, width = len(picture), len(picture[0])
    wide = [row + [row[-1]] * (-width % 8) for row in picture]
    wide += [wide[-1]] * (-height % 8)
    planes = [[[0.299 * r + 0.587 * g + 0.114 * b - 128 for r, g, b in row] for row in wide]]
    if not grey:
        planes.append([[-0.168736 * r - 0.331264 * g + 0.5 * b for r, g, b in row] for row in wide])
        planes.append([[0.5 * r - 0.418688 * g - 0.081312 * b for r, g, b in row] for row in wide])
    return planes


def _segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + bytes(body)


def _headers(width, height, tables):
    parts = [b"\xff\xd8", _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")]
    for number, table in enumerate(tables[:2]):
        parts.append(_segment(0xDB, bytes([number]) + bytes(table[at] for at in _ZIGZAG)))
    components = bytes(b for c in range(len(tables)) for b in (c + 1, 0x11, min(c, 1)))
    parts.append(_segment(0xC0, struct.pack(">BHHB", 8, height, width, len(tables)) + components))
    parts.append(_segment(0xC4, bytes([0x00] + _DC_COUNTS + _DC_VALUES)))
    parts.append(_segment(0xC4, bytes([0x10] + _AC_COUNTS) + _AC_VALUES))
    scan = bytes(b for c in range(len(tables)) for b in (c + 1, 0))
    parts.append(_segment(0xDA, bytes([len(tables)]) + scan + b"\0\x3f\0"))
    return parts


def jpeg(picture, quality=75, grey=False):
    """The picture as a baseline JPEG, colours at full resolution."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    bases = [_LUMINANCE] if grey else [_LUMINANCE, _CHROMINANCE, _CHROMINANCE]
    tables = [[max(1, min(255, (q * scale + 50) // 100)) for q in base] for base in bases]
    planes = _planes(picture, grey)
    bits, previous = _Bits(), [0] * len(planes)
    for top in range(0, len(planes[0]), 8):
        for left in range(0, len(planes[0][0]), 8):
            for number, plane in enumerate(planes):
                block = _quantised(plane, top, left, tables[number])
                previous[number] = _encode_block(bits, block, previous[number])
    parts = _headers(len(picture[0]), len(picture), tables)
    return b"".join(parts) + bits.finish() + b"\xff\xd9"


def jpeg_with_comment(data, text):
    """The same JPEG with a comment segment after its first: other bytes, same pixels."""
    start = 4 + struct.unpack(">H", data[4:6])[0]
    return data[:start] + _segment(0xFE, text.encode()) + data[start:]


def png(picture):
    """The picture as a PNG of eight bits a channel."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(v for pixel in row for v in pixel) for row in picture)
    header = struct.pack(">IIBBBBB", len(picture[0]), len(picture), 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))
