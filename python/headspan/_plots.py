"""Figures by matplotlib. Each function returns the axes that it drew on, and sets no style of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headspan._answers import Segmentation, bilinear
from headspan._colors import extent, number, over, rgba
from headspan._errors import HeadspanError, InputError
from headspan._thumbnails import READING

if TYPE_CHECKING:
    from headspan._answers import Alike, Why
    from headspan._frame import Frame
    from headspan._pipeline import Comparison
    from headspan._run import Head, Run

# Height of a bar and of a small image, and width of a letter, in inches.
_BAR = 0.3
_IMAGE = 1.3
_LETTER = 0.09
_LONGEST = 60
_CLASS = 20
_OPACITY = 0.6

# Scores of a comparison that are shares, in plain words.
_SCORES = {
    "entanglement_repeated": "entanglement (low is better)",
    "association_associated_heads": "association (high is better)",
    "ccs_at_5": "CCS@5 (high is better)",
}


def texts(head: Head, ax: Any = None, count: int = 10) -> Any:
    """Bars of a head's first texts by the share of its variance that each removed."""
    names, shares = head.texts[:count], head.variance_shares[:count]
    if not names:
        raise InputError(f"{head.name} has no texts", "run the stage textspan")
    axes = _named_bars(ax, names, [100 * share for share in shares])
    axes.set_xlabel("share of the head's variance, %")
    label = f"{head.name}: {head.label}" if head.label else head.name
    axes.set_title(_short(label), parse_math=False)
    return axes


def alike(of: Alike, ax: Any = None, count: int = 10) -> Any:
    """Bars of the heads that are most alike to one, by their correlation."""
    rows = of.frame.cells(count)
    names = [" ".join(filter(None, (row["name"], row["property"]))) for row in rows]
    axes = _named_bars(ax, names, [float(row["correlation"]) for row in rows])
    axes.set_xlabel("correlation of the variances along texts")
    axes.set_title(_short(f"heads of {of.run.name} like {of.head}"), parse_math=False)
    return axes


def _named_bars(ax: Any, names: Sequence[str], values: Sequence[float]) -> Any:
    """Horizontal bars, the first at the top."""
    names = [_short(name) for name in names]
    axes = ax if ax is not None else _bars(names, 1, width=4.0)[0, 0]
    places = range(len(names))
    axes.barh(places, values)
    axes.set_yticks(places)
    axes.set_yticklabels(names, parse_math=False)
    axes.invert_yaxis()
    return axes


def reconstruction(rows: Sequence[dict[str, Any]], ax: Any = None) -> Any:
    """Curves of accuracy against the number of directions, with the heads' whole output and the model as lines."""
    if not rows:
        raise InputError("nothing was reconstructed", "ask with reconstruct=True")
    axes = ax if ax is not None else _pyplot().subplots(figsize=(5.0, 3.5), layout="constrained")[1]
    for name, label in (("texts", "texts"), ("random", "random texts"), ("pca", "principal directions")):
        own = [row for row in rows if row["directions"] == name]
        if own:
            bounds = [[100 * row[bound] for row in own] for bound in ("ci_low", "ci_high")]
            numbers = [row["k"] for row in own]
            (line,) = axes.plot(numbers, [100 * row["accuracy"] for row in own], marker="o", label=label)
            axes.fill_between(numbers, *bounds, alpha=0.2, color=line.get_color())
    for name, label, style in (("all", "whole output of the heads", "--"), ("model", "the model", ":")):
        for row in rows:
            if row["directions"] == name:
                axes.axhline(100 * row["accuracy"], linestyle=style, color="grey", label=label)
    axes.set_xlabel("directions of each head")
    axes.set_ylabel("zero-shot accuracy, %")
    axes.legend()
    return axes


def images(run: Run, frame: Frame, axes: Any = None, columns: int = 8) -> Any:
    """Images of an answer with their scores, in the order of its rows; the ends of a head in rows of their own."""
    rows = frame.cells()
    if not rows:
        raise InputError("there are no images to plot")
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row.get("end", ""), []).append(row)
    if axes is None:
        lines = [line for name, group in groups.items() for line in _lines(name, group, columns)]
        width = max(len(line) for _, line in lines)
        grid = _grid(len(lines), width)
        for panels, (name, line) in zip(grid, lines):
            for panel, shown in zip(panels, line):
                _image(panel, run, shown)
            for panel in panels[len(line) :]:
                panel.set_axis_off()
            panels[0].set_ylabel(name)
        return grid
    given = _several(axes, len(rows))
    for panel, row in zip(given, rows):
        _image(panel, run, row)
    return axes


def maps(of: Segmentation | Why, titles: Sequence[str], axes: Any = None) -> Any:
    """Maps over what the model sees of an image, on one scale around zero, after the image itself."""
    import numpy

    layers = of.scores.reshape(-1, *of.scores.shape[-2:])
    most = extent(layers)
    seen = of.seen()
    grid = _grid(1, len(layers) + 1, side=2.4) if axes is None else axes
    panels = _several(grid, len(layers) + 1)
    _picture(panels[0], seen)
    panels[0].set_title("image")
    for panel, name, scores in zip(panels[1:], titles, layers):
        _picture(panel, over(seen, rgba(bilinear(scores, seen.shape[0]), most), _OPACITY))
        panel.set_title(_wrapped(name, 22, 2), parse_math=False)
    contrastive = isinstance(of, Segmentation) and of.contrastive
    label = "lead over the other texts" if contrastive else "score of a patch"
    steps = rgba(numpy.linspace(-most, most, 257), most)
    _color_bar(panels[: len(layers) + 1], steps, most, label)
    return grid


def comparison(of: Comparison, axes: Any = None, scores: Sequence[str] = tuple(_SCORES)) -> Any:
    """Bars of the scores of several runs, with their intervals of confidence."""
    if not of.rows:
        raise InputError("there are no runs to plot")
    labellers = {row["labeller"] for row in of.rows}
    names = [
        row["model"] if len(labellers) == 1 else f"{row['model']} ({row['labeller']})" for row in of.rows
    ]
    names = [_short(name, 40) for name in names]
    grid = _bars(names, len(scores), width=2.5) if axes is None else axes
    for panel, score in zip(_several(grid, len(scores)), scores):
        _scores(panel, of.rows, score)
        panel.set_yticks(range(len(names)))
        panel.set_yticklabels(names, parse_math=False)
        panel.set_xlabel(_SCORES.get(score, score))
        if not panel.yaxis_inverted():
            panel.invert_yaxis()
    return grid


def _scores(panel: Any, rows: Sequence[Mapping[str, Any]], score: str) -> None:
    found = [row["figures"].get(score) or {} for row in rows]
    if not any(figure.get("value") is not None for figure in found):
        known = sorted({name for row in rows for name in row["figures"]})
        raise InputError(
            f"no run has the score `{score}`", f"there are {', '.join(known)}" if known else None
        )
    for place, figure in enumerate(found):
        value, interval = figure.get("value"), figure.get("interval")
        if value is None:
            continue
        # A share can be outside its interval of confidence by rounding; matplotlib refuses bars of less than nothing.
        error = [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]] if interval else None
        # The default is black, which a dark style does not show.
        panel.barh(place, value, xerr=error, color="C0", capsize=3, ecolor=panel.xaxis.label.get_color())


def _lines(
    name: str, group: Sequence[Mapping[str, str]], columns: int
) -> list[tuple[str, Sequence[Mapping[str, str]]]]:
    if columns < 1:
        raise InputError(f"columns is {columns}, expected 1 or more")
    return [(name, group[first : first + columns]) for first in range(0, len(group), columns)]


def _image(panel: Any, run: Run, row: Mapping[str, str]) -> None:
    """An image over its score and class."""
    try:
        _picture(panel, run.pixels(int(row["image_index"])))
    # The image may have moved: a figure then has its id.
    except READING:
        _picture(panel, None)
        panel.set_box_aspect(1)
        name = _wrapped(row["image_id"], 14, 4)
        panel.text(0.5, 0.5, name, ha="center", va="center", fontsize="small", parse_math=False)
    score = number(float(row["score"])) if row["score"] else ""
    # A name that is wider than its image would leave the images no room.
    lines = "\n".join(filter(None, (score, _short(row["class_id"], _CLASS))))
    panel.set_xlabel(lines, fontsize="small", parse_math=False)


def _picture(panel: Any, pixels: Any) -> None:
    if pixels is not None:
        panel.imshow(pixels)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(pixels is None)


def _color_bar(panels: Sequence[Any], steps: Any, most: float, label: str) -> None:
    """A legend of values; zero has the colour of the page, as on a map it has that of the image."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    scale = Normalize(-most or -1, most or 1)
    colors = ScalarMappable(scale, ListedColormap(steps))
    bar = panels[0].figure.colorbar(colors, ax=list(panels), label=label, shrink=0.8)
    bar.set_ticks([scale.vmin, 0, scale.vmax], labels=[number(-most), "0", number(most)])


def _grid(rows: int, columns: int, *, side: float = _IMAGE) -> Any:
    """Axes ``[rows, columns]`` for images."""
    size = (side * columns + 0.6, (side + 0.5) * rows)
    return _pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)[1]


def _bars(names: Sequence[str], panels: int, *, width: float) -> Any:
    """Axes ``[1, panels]`` for bars that share their names, with room for them."""
    longest = max(map(len, names), default=0)
    size = (width * panels + _LETTER * longest + 0.4, _BAR * len(names) + 1.0)
    shape = {"figsize": size, "layout": "constrained", "squeeze": False, "sharey": True}
    return _pyplot().subplots(1, panels, **shape)[1]


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise HeadspanError(
            "plots need matplotlib, which is not installed", "pip install matplotlib"
        ) from error
    return pyplot


def _several(axes: Any, count: int) -> list[Any]:
    """Axes as a flat list of at least ``count``."""
    import numpy

    flat = list(numpy.ravel(numpy.asarray(axes, dtype=object)))
    if len(flat) < count:
        raise InputError(f"{len(flat)} axes were given, {count} are needed")
    return flat


def _wrapped(name: str, width: int, lines: int) -> str:
    return textwrap.fill(_short(name, width * lines), width, max_lines=lines, placeholder="…")


def _short(name: str, most: int = _LONGEST) -> str:
    # Characters that fonts do not draw and that break lines.
    plain = "".join(c if c >= " " or c == "\n" else " " for c in str(name))
    return plain if len(plain) <= most else plain[: most - 1] + "…"
