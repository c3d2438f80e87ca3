"""Images small enough to stand in a notebook, as data URIs."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

from headspan._errors import HeadspanError

if TYPE_CHECKING:
    import numpy

    from headspan._images import ImageLike
    from headspan._run import Run

    Pixels = numpy.ndarray[Any, Any]

#: What reading a run's files raises where they have moved, or are damaged.
READING = (HeadspanError, OSError, ValueError)
#: Longest side of a thumbnail in pixels.
SIDE = 128
# Without Pillow they are PNGs, which are larger than JPEGs of the same size; an output still stays below 300 kB.
_PLAIN_SIDE = 48
_PLAIN_MAP = 80
# An image of more bytes is compressed again, harder.
_MOST_BYTES = 7_000
_MOST_BYTES_OF_MAP = 15_000


def thumbnail(run: Run, image: ImageLike) -> str | None:
    """An image, at most 128 pixels high and wide; None where it cannot be read."""
    try:
        pixels = run.pixels(image)
    # The images may have moved, or be damaged. A notebook then shows everything else.
    except READING:
        return None
    return small(pixels)


def small(pixels: Pixels) -> str:
    """Bytes ``[height, width, 3]`` as a data URI of at most 128 pixels: JPEG by Pillow, or PNG without it."""
    try:
        from PIL import Image
    except ImportError:
        return _uri("png", _png(_every(pixels, _PLAIN_SIDE)))
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    return _uri("jpeg", _jpeg(image, _MOST_BYTES))


def whole(pixels: Pixels) -> str:
    """Bytes ``[height, width, 3]`` as a data URI of the same size."""
    try:
        from PIL import Image
    except ImportError:
        return _uri("png", _png(pixels))
    return _uri("jpeg", _jpeg(Image.fromarray(pixels), _MOST_BYTES_OF_MAP))


def at_most(pixels: Pixels, side: int) -> Pixels:
    """Square pixels with at most ``side`` rows."""
    import numpy

    try:
        from PIL import Image
    except ImportError:
        return _every(pixels, min(side, _PLAIN_MAP))
    if pixels.shape[0] <= side:
        return pixels
    return numpy.asarray(Image.fromarray(pixels).resize((side, side)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _jpeg(image: Any, most: int) -> bytes:
    data = _encoded(image, 85)
    return data if len(data) <= most else _encoded(image, 45)


def _encoded(image: Any, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _every(pixels: Pixels, side: int) -> Pixels:
    """Pixels at equal distances, at most ``side`` a row and column."""
    step = max(1, -(-max(pixels.shape[:2]) // side))
    return pixels[step // 2 :: step, step // 2 :: step]


def _png(pixels: Pixels) -> bytes:
    """A PNG of bytes ``[height, width, 3]``, by the standard library alone."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = pixels.shape[:2]
    # Each row begins with its filter: 0, none.
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
