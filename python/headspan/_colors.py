"""The colour scale of maps: blue below zero, orange above it, deeper the farther from it, and clear about zero.

It is the scale of the pictures of ``headspan query segment --picture`` and of the explorer. Both colours are told apart by people
with any of the common kinds of colour blindness, and what is near zero lets the image through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

# The nine classes of ColorBrewer's sequential schemes.
_BLUES = "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b"
_ORANGES = "fff5eb fee6ce fdd0a2 fdae6b fd8d3c f16913 d94801 a63603 7f2704"
# Where each half begins and ends: its palest tones are only a veil over an image, and its darkest can no longer be told apart.
_PALEST, _DEEPEST = 0.5, 0.8


def extent(scores: Array) -> float:
    """The largest distance of scores from zero; what is not a number does not count."""
    import numpy

    finite = numpy.abs(scores[numpy.isfinite(scores)])
    return float(finite.max()) if finite.size else 0.0


def rgba(scores: Array, most: float) -> Array:
    """Colours of scores on a scale from ``-most`` to ``most``, floats from 0 to 1, ``[..., 4]``."""
    import numpy

    place = numpy.nan_to_num(scores.astype(numpy.float64) / most if most > 0 else numpy.zeros(scores.shape))
    place = place.clip(-1, 1)
    depth = _PALEST + numpy.abs(place) * (_DEEPEST - _PALEST)
    rgb = numpy.where((place < 0)[..., None], _scheme(_BLUES, depth), _scheme(_ORANGES, depth))
    return numpy.concatenate([rgb, numpy.cbrt(numpy.abs(place))[..., None]], axis=-1)


def over(image: Array, colors: Array, opacity: float) -> Array:
    """Colours ``[side, side, 4]`` over an image of bytes ``[side, side, 3]``, as bytes."""
    import numpy

    cover = colors[..., 3:] * opacity
    blended = image.astype(numpy.float64) * (1 - cover) + 255 * colors[..., :3] * cover
    found: Array = numpy.rint(blended).clip(0, 255).astype(numpy.uint8)
    return found


def number(value: float) -> str:
    """Four decimals, or three digits of what is too small or too large for them."""
    value += 0.0  # not "-0.0000"
    size = abs(value)
    return f"{value:.2e}" if size != 0 and not 1e-2 <= size < 1e4 else f"{value:.4f}"


def _scheme(classes: str, at: Array) -> Array:
    """Colours of a scheme at places from 0 to 1: a uniform cubic B-spline through its classes, as in D3."""
    import numpy

    knots = numpy.array([list(bytes.fromhex(name)) for name in classes.split()], dtype=numpy.float64) / 255
    # The ends are mirrored, so that the curve begins and ends in the first and last class.
    knots = numpy.concatenate([[2 * knots[0] - knots[1]], knots, [2 * knots[-1] - knots[-2]]])
    pieces = len(knots) - 3
    first = numpy.minimum((at * pieces).astype(int), pieces - 1)
    t = (at * pieces - first)[..., None]
    weights = numpy.stack([(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3])
    points = numpy.stack([knots[first + shift] for shift in range(4)])
    found: Array = (weights * points).sum(axis=0) / 6
    return found
