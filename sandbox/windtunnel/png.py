"""PNG pictures in outputs: without their comments, and compared by what they look like.

Pictures travel in notebooks as base64 text. On one machine matplotlib draws the same bytes each time; on
another processor a few pixels of an edge differ by a shade and the compressor may choose otherwise, so bytes
are no measure across machines.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct

from nbformat import NotebookNode
from PIL import Image, ImageChops

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Date, software and comments (PNG specification 1.2, §4.2.3). What remains is what is drawn.
_COMMENTS = {b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"}
# Of 255. Rounding of floating point moves a shade by one or two, a moved point or letter by a hundred.
_SHADES = 16


def stripped(picture: str) -> str:
    """The same picture without comments. What is not a whole PNG is returned as it came."""
    try:
        data = base64.b64decode(picture)
    except binascii.Error:
        return picture
    if not data.startswith(_SIGNATURE):
        return picture
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length  # length, kind and checksum are four bytes each
        if data[at + 4 : at + 8] not in _COMMENTS:
            kept.append(data[at:end])
        at = end
    return base64.b64encode(b"".join(kept)).decode("ascii") if at == len(data) else picture


def look_alike(one: str, other: str) -> bool:
    """Whether two pictures have one size and no pixel that differs by more than an unnoticeable shade."""
    if one == other:
        return True
    try:
        first, second = (
            Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA") for picture in (one, other)
        )
    except (binascii.Error, OSError):
        return False
    if first.size != second.size:
        return False
    histogram = ImageChops.difference(first, second).histogram()  # 256 counts for each of four bands
    return not any(count for n, count in enumerate(histogram) if n % 256 > _SHADES)


def keep_committed(new: NotebookNode, old: NotebookNode) -> NotebookNode:
    """``new`` with the bytes of ``old`` where a picture looks the same: a rerun elsewhere changes no file.

    ``new`` is changed in place. Pictures are matched by cell id and place among the cell's
    outputs. Both notebooks are normalised.
    """
    before = {cell.id: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in new.cells:
        if cell.cell_type != "code" or cell.id not in before:
            continue
        for output, committed in zip(cell.outputs, before[cell.id].outputs, strict=False):
            picture, known = (
                output.get("data", {}).get("image/png"),
                committed.get("data", {}).get("image/png"),
            )
            if picture and known and look_alike(picture, known):
                output.data["image/png"] = known
    return new
