"""What notebooks show, in light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headspan._answers import Extremes, Neighbours
    from headspan._run import Head, Run


def page(body: str) -> str:
    """A part of a notebook's page."""
    return f'<div class="headspan">{body}</div>'


def table(columns: Sequence[str], cells: Sequence[Sequence[str]], *, rows: int) -> str:
    """The first rows of a table, and how many there are."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    more = f"<p>{rows} rows</p>" if rows > len(cells) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>{more}"


def run(of: Run) -> str:
    """A run: its heads with labels and first texts."""
    raise NotImplementedError


def head(of: Head) -> str:
    """A head: its label, and its texts with bars."""
    raise NotImplementedError


def neighbours(of: Neighbours) -> str:
    """Thumbnails with scores."""
    raise NotImplementedError


def extremes(of: Extremes) -> str:
    """Thumbnails of both ends and between."""
    raise NotImplementedError


def maps(of: Any, titles: Sequence[str]) -> str:
    """Maps over the image."""
    raise NotImplementedError


def comparison(rows: Sequence[dict[str, Any]], differences: Sequence[str]) -> str:
    """Scores of several runs."""
    raise NotImplementedError
