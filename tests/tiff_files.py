"""TIFF files written byte by byte, so that no library under test takes part in making them."""

import lzma
import struct
import zlib
from pathlib import Path

import numpy as np

NONE, DEFLATE, PACKBITS, LZMA = 1, 8, 32773, 34925
KINDS = {"u": 1, "i": 2, "f": 3}
SIZES, CODES = {3: 2, 4: 4, 1: 1, 7: 1}, {3: "H", 4: "I", 1: "B", 7: "B"}


def packed_rows(values: np.ndarray, bits: int, order: str) -> list[bytes]:
    """Rows of values ``rows, columns(, samples)``, each of whole bytes."""
    if bits in (8, 16, 32, 64):
        return [row.astype(row.dtype.newbyteorder(order)).tobytes() for row in values]
    rows = []
    for row in values.reshape(len(values), -1):
        digits = "".join(format(int(value), f"0{bits}b") for value in row)
        rows.append(np.packbits(np.array(list(digits), np.uint8)).tobytes())
    return rows


def compressed(data: bytes, compression: int) -> bytes:
    if compression == PACKBITS:  # literal runs alone are valid
        runs = [data[i : i + 128] for i in range(0, len(data), 128)]
        return b"".join(bytes([len(run) - 1]) + run for run in runs)
    return {NONE: bytes, DEFLATE: zlib.compress, LZMA: lzma.compress}[compression](data)


def differences(values: np.ndarray) -> np.ndarray:
    """Predictor 2: each pixel as its difference from the one to the left, of integers."""
    unsigned = values.view(f"u{values.itemsize}")
    return np.diff(unsigned, axis=1, prepend=np.zeros_like(unsigned[:, :1])).view(values.dtype)


def strips(values: np.ndarray, bits: int, planar: int, rows: int, **how) -> list[bytes]:
    planes = [values] if planar == 1 else np.split(values, values.shape[-1], axis=-1)
    found = []
    for plane in planes:
        for first in range(0, len(plane), rows):
            part = plane[first : first + rows]
            part = differences(part) if how["predictor"] == 2 else part
            found.append(
                compressed(b"".join(packed_rows(part, bits, how["order"])), how["compression"])
            )
    return found


def write_tiff(
    path: Path, values: np.ndarray, bits: int | None = None, photometric: int = 1, order: str = "<",
    compression: int = NONE, planar: int = 1, predictor: int = 1, rows: int = 10**6,
    tags: dict[int, tuple[int, list[int]]] | None = None, copies: list[int] = (0,),
) -> Path:  # fmt: skip
    """Values ``rows, columns, samples`` as a TIFF; ``tags``: number -> type, values.

    ``copies`` are the NewSubfileTypes of as many pages, all with the same pixels.
    """
    height, width, samples = values.shape
    bits = bits or 8 * values.itemsize
    rows = min(rows, height)
    how = {"predictor": predictor, "order": order, "compression": compression}
    parts = strips(values, bits, planar, rows, **how)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for number, kind in enumerate(copies):
        entries = {
            254: (4, [kind]), 256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples),
            259: (3, [compression]), 262: (3, [photometric]), 273: (4, [0] * len(parts)),
            277: (3, [samples]), 278: (4, [rows]), 279: (4, [len(p) for p in parts]),
            284: (3, [planar]), 317: (3, [predictor]),
            339: (3, [KINDS[values.dtype.kind]] * samples), **(tags or {}),
        }  # fmt: skip
        last = number == len(copies) - 1
        content += directory(entries, parts, order, len(content), last)
    path.write_bytes(content)
    return path


def directory(entries: dict, parts: list[bytes], order: str, here: int, last: bool) -> bytes:
    """One image file directory and its pixels, at the offset ``here``; each part an even size."""
    parts = [part + bytes(len(part) % 2) for part in parts]
    values = {tag: [*content] for tag, (_, content) in entries.items()}
    outside = {t: SIZES[kind] * len(values[t]) for t, (kind, _) in entries.items()}
    outside = {t: size + size % 2 for t, size in outside.items() if size > 4}
    start = here + 2 + 12 * len(entries) + 4
    data = start + sum(outside[t] for t in sorted(outside))
    values[273] = [data + sum(len(p) for p in parts[:i]) for i in range(len(parts))]
    following = 0 if last else data + sum(map(len, parts))
    ifd, extra = struct.pack(order + "H", len(entries)), b""
    for tag in sorted(entries):
        kind = entries[tag][0]
        content = struct.pack(f"{order}{len(values[tag])}{CODES[kind]}", *values[tag])
        if tag in outside:
            place = struct.pack(order + "I", start + len(extra))
            extra += content.ljust(outside[tag], b"\0")
        else:
            place = content.ljust(4, b"\0")
        ifd += struct.pack(order + "HHI", tag, kind, len(values[tag])) + place
    return ifd + struct.pack(order + "I", following) + extra + b"".join(parts)
