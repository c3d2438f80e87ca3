"""What notebooks show, in light and dark.

A representation never raises: where something cannot be read any more, for example because the images have moved, the rest is
shown. All text is escaped, there are no scripts, and nothing is loaded.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from headspan._colors import extent, number, over, rgba
from headspan._style import STYLE
from headspan._thumbnails import READING, at_most, thumbnail, whole

if TYPE_CHECKING:
    from headspan._answers import Extremes, Neighbours, Segmentation, Why
    from headspan._frame import Frame
    from headspan._run import Head, Run


Of = TypeVar("Of")

# How much is shown: an output stays below some 300 kB.
_ROWS = 10
_HEADS = 256
_TEXTS = 10
_TEXTS_OF_RUN = 3
_IMAGES = 24
_MAPS = 8
_MAP_SIDE = 224
_CELL = 80
# A table hands its cells over as text. Only fractions with many digits are shortened: a name may look like a number, too.
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{5,}(e-?\d+)?|-?\d(\.\d+)?e-\d+")
# As on the pages of the explorer.
_OPACITY = 0.6

#: Figures of a comparison, as the command line names them.
FIGURES = {
    "heads": "heads",
    "distinct_properties": "properties",
    "entanglement_repeated": "entanglement ↓",
    "entanglement_repeated_z": "z",
    "association_associated_heads": "association ↑",
    "ccs_at_5": "CCS@5",
}
_COUNTS = {"heads", "distinct_properties"}


def page(body: str) -> str:
    """A part of a notebook's page."""
    return f'<div class="headspan"><style>{STYLE}</style>{body}</div>'


def shown(body: Callable[[Of], str]) -> Callable[[Of], str]:
    """A body that says what went wrong instead of raising."""

    @functools.wraps(body)
    def safe(of: Of) -> str:
        try:
            return body(of)
        # A notebook must show something whatever is wrong with the run's files.
        except Exception as error:  # noqa: BLE001
            return f"<p>{text(type(of).__name__)} that cannot be shown: {text(str(error))}</p>"

    return safe


def text(value: Any, most: int | None = None) -> str:
    """Any value as text in HTML, cut after ``most`` characters."""
    plain = str(value)
    if most is not None and len(plain) > most:
        plain = plain[: most - 1] + "…"
    # Characters that HTML does not allow, not even escaped.
    plain = "".join(
        "\N{REPLACEMENT CHARACTER}" if c < " " and c not in "\t\n" or "\ud800" <= c <= "\udfff" else c
        for c in plain
    )
    return escape(plain)


@shown
def frame(of: Frame) -> str:
    """The first rows of a table, and how many there are."""
    rows = of.cells(_ROWS)
    lines = [[_cell(cell) for cell in row.values()] for row in rows]
    more = f'<p class="hs-dim">{len(rows)} of {len(of)} rows</p>' if len(of) > len(rows) else ""
    return _table(of.columns, lines) + more


@shown
def run(of: Run) -> str:
    """A run: its heads with labels and first texts."""
    names = [head.name for head in of]
    labels = f"labels by {of.labeller}" if of.labeller else "no labels yet"
    title = f"{len(names)} heads, {labels}, d = {of.d}"
    rows = [_row_of_head(head) for head in of.select(names[:_HEADS])] if names else []
    columns = ["head", "property", "agreement", f"first {_TEXTS_OF_RUN} texts"]
    more = f'<p class="hs-dim">{_HEADS} of {len(names)} heads</p>' if len(names) > _HEADS else ""
    return _title(f"Run {of.name}", title) + _figures_of(of) + _table(columns, rows) + more


def _row_of_head(of: Head) -> list[str]:
    agreement = of.agreement
    bar = "" if agreement is None else _bar(agreement)
    texts = " · ".join(of.texts[:_TEXTS_OF_RUN])
    return [
        _td(text(of.name)),
        _td(text(of.label or "")),
        _td(bar),
        f'<td class="hs-wrap">{text(texts, 240)}</td>',
    ]


def _figures_of(of: Run) -> str:
    """The run's main scores, where it has been scored."""
    try:
        scores = of.scores
        rows = [row for row in scores.cells() if row["scope"] == "model" and row["labeller"] == of.labeller]
    except READING:
        return ""
    found = []
    for name in ("entanglement_repeated", "association_associated_heads"):
        for row in rows:
            if row["metric"] == name:
                interval = [float(row[end]) for end in ("ci_low", "ci_high") if row[end]]
                found.append(f"{FIGURES[name]} {figure(name, float(row['value']), interval)}")
    return f"<p>{text(', '.join(found))}</p>" if found else ""


@shown
def head(of: Head) -> str:
    """A head: its label, and its texts with bars."""
    agreement = "" if of.agreement is None else f", agreement {100 * of.agreement:.0f} %"
    label = f"labelled {of.label}{agreement}" if of.label else "no label"
    pairs = list(zip(of.texts, of.variance_shares))
    most = max((share for _, share in pairs), default=0.0)
    rows = [
        [_td(str(pick), "hs-number"), f'<td class="hs-wrap">{text(one, 240)}</td>', _td(_bar(share, most))]
        for pick, (one, share) in enumerate(pairs[:_TEXTS])
    ]
    about = f"<p>{text(of.description)}</p>" if of.description else ""
    rest = [share for _, share in pairs[_TEXTS:]]
    more = (
        f'<p class="hs-dim">and {len(rest)} more texts, together {100 * sum(rest):.1f} %</p>' if rest else ""
    )
    return (
        _title(f"Head {of.name}", f"of {of.run.name}, {label}")
        + about
        + _table(["pick", "text", "share of the head's variance"], rows)
        + more
    )


@shown
def neighbours(of: Neighbours) -> str:
    """Thumbnails with scores."""
    of_what = "pixels" if getattr(of.subject, "shape", None) or hasattr(of.subject, "convert") else of.subject
    subject = "a direction" if of.subject is None else f"“{of_what}”"
    title = f"of {subject} under {_named(of.heads)}, among {of.compared} images"
    return _title("Nearest images", title) + _images(of.run, of.frame.cells())


@shown
def extremes(of: Extremes) -> str:
    """Thumbnails of both ends and between."""
    rows = of.frame.cells()
    parts = []
    for end in ("largest", "between", "smallest"):
        group = [row for row in rows if row["end"] == end]
        if group:
            parts.append(f'<p class="hs-title">{end}</p>' + _images(of.run, group, most=_IMAGES // 3))
    return _title(
        f"Head {of.head}", f"mean {number(of.mean)}, standard deviation {number(of.std)}"
    ) + "".join(parts)


def maps(of: Segmentation | Why, titles: Sequence[str]) -> str:
    """Maps over the image."""
    return _maps((of, titles))


@shown
def _maps(given: tuple[Segmentation | Why, Sequence[str]]) -> str:
    from headspan._answers import Segmentation, bilinear

    of, titles = given
    import numpy

    try:
        seen = at_most(of.seen(), _MAP_SIDE)
    # The image may have moved since; its map is here.
    except READING:
        seen = None
    layers = of.scores.reshape(-1, *of.scores.shape[-2:])
    most = extent(layers)
    tokens = of.class_token if isinstance(of, Segmentation) else [of.class_token]
    under = numpy.full((_MAP_SIDE, _MAP_SIDE, 3), 128, numpy.uint8) if seen is None else seen
    figures = [_map(whole(seen), "the image as the model sees it")] if seen is not None else []
    for name, scores, token in list(zip(titles, layers, tokens))[:_MAPS]:
        drawn = over(under, rgba(bilinear(scores, under.shape[0]), most), _OPACITY)
        figures.append(_map(whole(drawn), f"{name} (class token {number(token)})"))
    lacking = "" if seen is not None else "<p>The image cannot be read; the maps are over grey.</p>"
    more = f'<p class="hs-dim">{_MAPS} of {len(titles)} maps</p>' if len(titles) > _MAPS else ""
    if isinstance(of, Segmentation):
        meaning = (
            "score of a patch, less the largest of the other texts'" if of.contrastive else "score of a patch"
        )
        title = _title("Where the texts score high", f"under {_named(of.heads)}")
    else:
        meaning, title = "part of the score that a patch carries", _title("Why two images are near", "")
    return (
        title + lacking + f'<div class="hs-images">{"".join(figures)}</div>' + _legend(most, meaning) + more
    )


def comparison(rows: Sequence[dict[str, Any]], differences: Sequence[str]) -> str:
    """Scores of several runs."""
    return _comparison((rows, differences))


def comparison_text(rows: Sequence[dict[str, Any]]) -> str:
    """Scores of several runs as plain text."""
    lines = [
        ["model", "labeller", *FIGURES.values()],
        *([row["model"], row["labeller"], *_scores(row)] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


@shown
def _comparison(given: tuple[Sequence[dict[str, Any]], Sequence[str]]) -> str:
    rows, differences = given
    lines = [
        [
            _td(text(row["model"])),
            _td(text(row["labeller"])),
            *(_td(text(score), "hs-number") for score in _scores(row)),
        ]
        for row in rows
    ]
    warned = "".join(f"<li>{text(difference)}</li>" for difference in differences)
    warning = f"<p>These runs were made differently; figures that differ so are not comparable:</p><ul>{warned}</ul>"
    return (
        _table(["model", "labeller", *FIGURES.values()], lines)
        + (warning if warned else "")
        + _made_with(rows)
    )


def difference(
    scores: Sequence[dict[str, Any]], heads: Sequence[dict[str, Any]], differences: Sequence[str]
) -> str:
    """Two runs, head by head."""
    return _difference((scores, heads, differences))


def difference_text(scores: Sequence[dict[str, Any]], heads: Sequence[dict[str, Any]]) -> str:
    """Two runs, head by head, as plain text."""
    lines = [DIFFERENCE_SCORES, *(_score_change(score) for score in scores), [""] * 4, DIFFERENCE_HEADS]
    lines += [_pair(pair) for pair in by_change(heads)]
    widths = [max(len(line[column]) for line in lines if column < len(line)) for column in range(len(DIFFERENCE_HEADS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


DIFFERENCE_SCORES = ["score", "before", "after", "difference"]
DIFFERENCE_HEADS = ["head", "CKA", "overlap", "texts kept", "property", "share of variance"]


def by_change(heads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs of heads, those whose outputs changed most first."""
    return sorted(heads, key=lambda pair: 2.0 if pair["cka"] is None else pair["cka"])


@shown
def _difference(given: tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]], Sequence[str]]) -> str:
    scores, heads, differences = given
    rows = [[_td(text(cell), "hs-number" if place else "") for place, cell in enumerate(_score_change(score))] for score in scores]
    pairs = [[_td(text(cell)) for cell in _pair(pair)] for pair in by_change(heads)]
    warned = "".join(f"<li>{text(told)}</li>" for told in differences)
    warning = f"<p>The runs were made differently:</p><ul>{warned}</ul>" if warned else ""
    return warning + (_table(DIFFERENCE_SCORES, rows) if rows else "") + _table(DIFFERENCE_HEADS, pairs)


def _score_change(score: Mapping[str, Any]) -> list[str]:
    interval = score["interval"]
    between = f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    return [
        str(score["metric"]),
        f"{score['before']:.3f}",
        f"{score['after']:.3f}",
        f"{score['difference']:+.3f}{between}",
    ]


def _pair(pair: Mapping[str, Any]) -> list[str]:
    before, after = pair["before"], pair["after"]
    share = [_percent(side["variance_share"], 1) for side in (before, after)]
    return [
        _changed(before["head"], after["head"]),
        "n/a" if pair["cka"] is None else f"{pair['cka']:.3f}",
        "n/a" if pair["readout_overlap"] is None else f"{pair['readout_overlap']:.3f}",
        _percent(pair["texts_kept"], 0),
        _changed(before["property"] or "–", after["property"] or "–"),
        _changed(*share),
    ]


def _percent(share: float | None, digits: int) -> str:
    return "n/a" if share is None else f"{100 * share:.{digits}f} %"


def _changed(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _scores(row: Mapping[str, Any]) -> list[str]:
    found = [(name, row["figures"].get(name) or {}) for name in FIGURES]
    return [
        "" if score.get("value") is None else figure(name, score["value"], score.get("interval") or [])
        for name, score in found
    ]


def _made_with(rows: Sequence[dict[str, Any]]) -> str:
    given: list[Mapping[str, Any]] = [row.get("made_with") or {} for row in rows]
    names = list(dict.fromkeys(name for made in given for name in made))
    if not names:
        return ""
    lines = [
        [_td(text(row["model"])), *(_td(text(made.get(name, ""))) for name in names)]
        for row, made in zip(rows, given)
    ]
    return f"<details><summary>made with</summary>{_table(['model', *names], lines)}</details>"


def figure(name: str, value: float, interval: Sequence[float]) -> str:
    """A score with its interval, as the command line prints it."""
    if name in _COUNTS:
        return f"{value:.0f}"
    if name.endswith("_z"):
        return f"{value:.2f}"
    ends = f" ({interval[0]:.3f}–{interval[1]:.3f})" if len(interval) == 2 else ""
    return f"{value:.3f}{ends}"


def _images(run: Run, rows: Sequence[Mapping[str, str]], *, most: int = _IMAGES) -> str:
    figures = "".join(_thumb(run, row) for row in rows[:most])
    more = f'<p class="hs-dim">{most} of {len(rows)} images</p>' if len(rows) > most else ""
    return f'<div class="hs-images">{figures}</div>{more}'


def _thumb(run: Run, row: Mapping[str, str]) -> str:
    name = text(row["image_id"], 200)
    uri = thumbnail(run, int(row["image_index"]))
    picture = (
        f'<img src="{uri}" alt="{name}">' if uri else f'<div class="hs-none">{name}: cannot be read</div>'
    )
    score = number(float(row["score"])) if row["score"] else ""
    kind = f"<br>{text(row['class_id'], 40)}" if row["class_id"] else ""
    return f'<figure class="hs-thumb" title="{name}">{picture}<figcaption>{score}{kind}</figcaption></figure>'


def _map(uri: str, caption: str) -> str:
    return f'<figure class="hs-map"><img src="{uri}" alt="{text(caption)}"><figcaption>{text(caption, 120)}</figcaption></figure>'


def _legend(most: float, meaning: str) -> str:
    import numpy

    steps = rgba(numpy.linspace(-most, most, 21), most)
    # Zero is clear: there the legend shows the page, as a map shows the image.
    colors = ",".join(
        f"rgba({255 * r:.0f},{255 * g:.0f},{255 * b:.0f},{a:.2f})" for r, g, b, a in steps.tolist()
    )
    numbers = "".join(f"<b>{number(value)}</b>" for value in (-most, 0.0, most))
    style = f"background:linear-gradient(to right,{colors})"
    return f'<div class="hs-legend"><i style="{style}"></i><span>{numbers}</span><p class="hs-dim">{text(meaning)}</p></div>'


def _title(name: str, about: str) -> str:
    return f'<p><span class="hs-title">{text(name)}</span> {text(about, 400)}</p>'


def _named(heads: Sequence[str]) -> str:
    if len(heads) == 1:
        return f"head {heads[0]}"
    return f"{len(heads)} heads ({', '.join(heads[:6])}{', …' if len(heads) > 6 else ''})"


def _bar(share: float, most: float = 1.0) -> str:
    """A share as a bar; the longest bar is ``most``."""
    width = 100 * min(max(share / most, 0.0), 1.0) if most > 0 else 0.0
    return f'<span class="hs-bar" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>{100 * share:.1f} %'


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="hs-scroll"><table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _td(content: str, kind: str = "") -> str:
    return f'<td class="{kind}">{content}</td>' if kind else f"<td>{content}</td>"


def _cell(cell: str) -> str:
    if _LONG_NUMBER.fullmatch(cell):
        return _td(number(float(cell)), "hs-number")
    return _td(text(cell, _CELL), "hs-number" if _NUMBER.fullmatch(cell) else "")
