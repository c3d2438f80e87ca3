"""The colour scale of maps."""

from __future__ import annotations

import numpy

from headspan._colors import extent, number, over, rgba


def test_the_scale_is_that_of_the_pictures() -> None:
    colors = rgba(numpy.array([-1.0, -0.1, 0.1, 1.0]), 1.0)
    # The classes of ColorBrewer, smoothed: blue below zero, orange above, deeper at the ends.
    assert colors[0, 2] > colors[0, 1] > colors[0, 0] and colors[3, 0] > colors[3, 1] > colors[3, 2]
    assert colors[0, :3].sum() < colors[1, :3].sum() and colors[3, :3].sum() < colors[2, :3].sum()
    assert numpy.allclose(colors[[0, 3], 3], 1) and numpy.allclose(colors[1, 3], 0.1 ** (1 / 3))


def test_zero_lets_the_image_through_and_the_ends_cover_it() -> None:
    grey = numpy.full((1, 3, 3), 128, numpy.uint8)
    colors = rgba(numpy.array([[-2.0, 0.0, 2.0]]), 2.0)
    drawn = over(grey, colors, 1.0)
    assert (drawn[0, 1] == 128).all()
    assert (drawn[0, 0] == numpy.rint(255 * colors[0, 0, :3])).all()
    assert (over(grey, colors, 0.0) == 128).all()


def test_scores_that_are_no_numbers_are_clear() -> None:
    scores = numpy.array([numpy.nan, numpy.inf, 0.5], numpy.float32)
    assert extent(scores) == 0.5 and extent(scores[:1]) == 0.0
    assert rgba(scores, 0.5)[0, 3] == 0
    assert (rgba(numpy.zeros(2), 0.0)[:, 3] == 0).all()


def test_numbers_are_short_and_apart() -> None:
    assert [number(value) for value in (-0.0, 0.12345, 1e-5, 123456.0, -0.5)] == [
        "0.0000",
        "0.1235",
        "1.00e-05",
        "1.23e+05",
        "-0.5000",
    ]
