"""Figures: axes are returned, whatever the texts are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import HOSTILE, comparison_rows, fake
from test_html import without

from headspan import Comparison, HeadspanError, InputError

pytest.importorskip("matplotlib").use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def drawn(axes: Any) -> list[Axes]:
    """All axes, after they were drawn: some mistakes show only then."""
    flat = [axes] if isinstance(axes, Axes) else list(axes.ravel())
    assert flat and all(isinstance(one, Axes) for one in flat)
    figure = flat[0].get_figure(root=True)
    assert figure is not None
    figure.savefig(io.BytesIO(), format="png", dpi=60)
    return flat


@pytest.mark.filterwarnings("error", "ignore:Glyph")
@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("text", ["a red boat", HOSTILE], ids=["plain", "hostile"])
def test_plots_return_axes(text: str, style: str) -> None:
    run, native = fake(text)
    with pyplot.style.context(style):
        drawn(run["L0.H0"].plot())
        (bars,) = drawn(run["L0.H0"].alike(run).plot(count=2))
        assert len(bars.patches) == 2
        assert len(drawn(run.neighbours(text=text, k=6).plot(columns=4))) == 8
        assert len(drawn(run["L0.H0"].extremes(k=4).plot())) == 12
        assert len(drawn(run.segment(3, [text, text]).plot())) == 3
        assert len(drawn(run.why(3, text).plot())) == 2
        rows = comparison_rows(text)
        scores = ["entanglement_repeated", "association_associated_heads"]
        compared = Comparison("scenes", rows, [], Path("t"), Path("p"))
        assert len(drawn(compared.plot(scores=scores))) == 2
        native.moved = True
        drawn(run.neighbours(text=text).plot())


@pytest.mark.filterwarnings("error")
def test_long_class_names_leave_images_their_room() -> None:
    run, _ = fake("n01440764 tench, Tinca tinca, a fish of the order of carps " * 3)
    panels = drawn(run.neighbours(image=3).plot())
    assert min(panel.get_position().width for panel in panels) > 0.15, "four in a row"


def test_a_head_has_bars_of_percent_in_the_order_of_its_picks() -> None:
    run, _ = fake()
    axes = run["L0.H0"].plot(texts=3)
    assert [round(bar.get_width(), 2) for bar in axes.patches] == [50.0, 25.0, 16.67]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"a red boat {pick}" for pick in range(3)
    ]
    low, high = axes.get_ylim()
    assert low > high, "the first is at the top"
    assert "%" in axes.get_xlabel() and axes.get_title() == "L0.H0: a red boat"


def test_plots_draw_on_axes_that_are_given() -> None:
    run, _ = fake()
    _, ax = pyplot.subplots()
    assert run["L0.H0"].plot(ax) is ax
    _, axes = pyplot.subplots(2, 4)
    assert run["L0.H0"].neighbours(text="x").plot(axes) is axes
    assert all(one.images for one in axes.ravel())
    with pytest.raises(InputError, match="8 axes were given, 9 are needed"):
        run["L0.H0"].neighbours(text="x", k=9).plot(axes)
    _, axes = pyplot.subplots(1, 2)
    assert run.segment(3, "x").plot(axes) is axes


def test_intervals_are_those_of_the_comparison() -> None:
    (axes,) = drawn(
        Comparison("s", comparison_rows("m")[:1], [], Path(), Path()).plot(scores=["entanglement_repeated"])
    )
    (bar,) = axes.patches
    (line,) = axes.collections
    assert isinstance(bar, Rectangle) and bar.get_width() == 0.8125
    assert isinstance(line, LineCollection)
    ((low, _), (high, _)) = line.get_segments()[0]
    assert (low, high) == pytest.approx((0.7968125, 0.8593125))


def test_a_score_that_no_run_has_is_an_error() -> None:
    compared = Comparison("s", comparison_rows("m"), [], Path(), Path())
    with pytest.raises(InputError, match="no run has the score `speed`"):
        compared.plot(scores=["speed"])


def test_without_matplotlib_the_error_has_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = fake()
    without(monkeypatch, "matplotlib")
    with pytest.raises(HeadspanError, match="pip install matplotlib"):
        run["L0.H0"].plot()
