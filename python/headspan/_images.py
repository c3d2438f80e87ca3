"""Images as arguments: of a run, of a file, in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Union

from headspan._errors import InputError

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image as PilImage

    from headspan._native import Picture

    #: An image of the run by its position (int) or its id (str), a file (``pathlib.Path``), a PIL image, or pixels
    #: ``[height, width, 3]`` of bytes.
    ImageLike = Union[int, str, os.PathLike[str], PilImage, numpy.ndarray[Any, Any]]
else:
    ImageLike = Any


def picture(image: ImageLike) -> Picture:
    """What the extension takes for an image."""
    if isinstance(image, bool):
        raise InputError(f"{image!r} is not an image")
    if isinstance(image, str):
        return "id", image
    if isinstance(image, os.PathLike):
        return "file", os.fspath(image)
    index = getattr(image, "__index__", None)
    if index is not None and getattr(image, "ndim", 0) == 0:
        number = int(index())
        if number < 0:
            raise InputError(f"{number} is not the position of an image; they are counted from 0")
        return "index", number
    convert = getattr(image, "convert", None)
    if convert is not None:
        rgb = convert("RGB")
        return "pixels", (rgb.width, rgb.height, rgb.tobytes())
    return "pixels", _of_array(image)


def _of_array(image: Any) -> tuple[int, int, bytes]:
    import numpy

    array = numpy.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != numpy.uint8:
        raise InputError(
            f"an array of shape {list(array.shape)} and type {array.dtype} is not an image",
            "give bytes (numpy.uint8) of shape [height, width, 3], a PIL image, a path, an index or an id",
        )
    return array.shape[1], array.shape[0], numpy.ascontiguousarray(array).tobytes()
