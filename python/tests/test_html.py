"""What notebooks show: well-formed, escaped, small, and never an exception."""

from __future__ import annotations

import builtins
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fakes import ANSWERS, HOSTILE, comparison_rows, fake, fake_frame, png_of

from headspan import Comparison, HeadspanError

VOID = {"img", "br"}


class Reader(HTMLParser):
    """Reads HTML, and fails where tags do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not (self.open and self.open[-1] == "style"):
            self.text += data


def checked(html: str) -> Reader:
    """HTML without what a notebook must not hold."""
    read = Reader(html)
    assert not {tag for tag, _ in read.tags} & {"script", "iframe", "link", "object", "embed", "form"}
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on")], f"{tag} with {attributes}"
        source = attributes.get("src") or "data:image/"
        assert source.startswith("data:image/"), "nothing is loaded"
        assert "href" not in attributes
    assert "url(" not in html and "@import" not in html
    styles = re.findall(r"[;{\"](?:color|background-color):([^;}\"]*)", html)
    assert set(styles) <= {"inherit"}, f"text has its own colours: {styles}"
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", html), "control characters"
    html.encode()
    return read


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("text", ["a red boat", HOSTILE], ids=["plain", "hostile"])
def test_representations_are_well_formed_and_escaped(name: str, text: str) -> None:
    run, _ = fake(text)
    read = checked(ANSWERS[name](run, text)._repr_html_())
    assert "cannot be" not in read.text
    if text == HOSTILE:
        assert "<script>" in read.text + str(read.tags) or name == "why", "the text is shown as it is"


@pytest.mark.parametrize("text", ["plain", HOSTILE])
def test_a_comparison_is_well_formed_and_escaped(text: str) -> None:
    compared = Comparison("scenes", comparison_rows(text), [f"pool differs: {text}"], Path("t"), Path("p"))
    read = checked(compared._repr_html_())
    assert "0.812 (0.797–0.859)" in read.text and "-0.92" in read.text and "32" in read.text
    assert "not comparable" in read.text
    first, *lines = repr(compared).splitlines()
    assert (
        first == "<headspan.Comparison on scenes>"
        and "association ↑" in lines[0]
        and "0.812 (0.797–0.859)" in lines[1]
    )
    assert checked(Comparison("scenes", [], [], Path("t"), Path("p"))._repr_html_()).text.startswith("model")


@pytest.mark.parametrize("name", ["neighbours", "extremes"])
def test_missing_images_are_placeholders_with_their_ids(name: str) -> None:
    run, native = fake(HOSTILE)
    answer = ANSWERS[name](run, "x")
    native.moved = True
    read = checked(answer._repr_html_())
    assert "img" not in {tag for tag, _ in read.tags}
    assert read.text.count("cannot be read") == {"neighbours": 8, "extremes": 24}[name]
    assert '<script>alert("1")</script> & ' in read.text


@pytest.mark.parametrize("name", ["segmentation", "why"])
def test_maps_survive_a_missing_image(name: str) -> None:
    run, native = fake()
    answer = ANSWERS[name](run, "x")
    native.moved = True
    read = checked(answer._repr_html_())
    assert "over grey" in read.text and "img" in {tag for tag, _ in read.tags}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_representation_never_raises(name: str) -> None:
    run, native = fake(HOSTILE)
    answer = ANSWERS[name](run, "x")
    native.broken = True
    native.moved = True
    if name != "frame":
        checked(answer._repr_html_())
    else:
        answer._table.cells = lambda rows: 1 / 0
        assert "cannot be shown: division by zero" in checked(answer._repr_html_()).text


@pytest.mark.parametrize("pillow", [True, False], ids=["pillow", "no pillow"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_output_is_small(name: str, pillow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = fake("x" * 300, heads=400, noise=True)
    if not pillow:
        without(monkeypatch, "PIL")
    html = ANSWERS[name](run, "x" * 300)._repr_html_()
    checked(html)
    assert len(html) < 300_000


def test_thumbnails_are_images_of_at_most_128_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = fake(noise=True)
    for wanted in ("JPEG", "PNG"):
        if wanted == "PNG":
            without(monkeypatch, "PIL")
        (uri,) = re.findall(r'src="([^"]*)"', run.neighbours(text="x", k=1)._repr_html_())
        monkeypatch.undo()
        image = png_of(uri)
        image.load()
        assert image.format == wanted and max(image.size) <= 128


def test_a_plain_png_has_the_pixels() -> None:
    import base64

    import numpy

    from headspan._thumbnails import _png

    pixels = numpy.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=numpy.uint8)
    uri = "data:image/png;base64," + base64.b64encode(_png(pixels)).decode()
    assert (numpy.asarray(png_of(uri)) == pixels).all()


def test_cells_keep_names_that_look_like_numbers() -> None:
    frame = fake_frame(["id", "score"], [["007", "0.123456789"], ["1_000", "1.5e-7"], ["nan", "-3.25"]])
    text = checked(frame._repr_html_()).text
    for shown in ("007", "1_000", "nan", "0.1235", "1.50e-07", "-3.25"):
        assert shown in text
    assert repr(frame).splitlines()[1].split() == ["007", "0.123456789"]


def test_a_long_table_says_how_many_rows_there_are() -> None:
    frame = fake_frame(["a"], [[str(row)] for row in range(25)])
    assert "10 of 25 rows" in checked(frame._repr_html_()).text
    assert repr(frame).endswith("… 15 more rows")
    assert len(frame.cells()) == 25 and frame.cells(2) == [{"a": "0"}, {"a": "1"}]
    assert "rows" not in checked(fake_frame(["a"], [["1"]])._repr_html_()).text


def test_longer_bars_are_larger_shares() -> None:
    run, _ = fake()
    html = run["L0.H0"]._repr_html_()
    widths = [float(width) for width in re.findall(r'style="width:([\d.]+)%"', html)]
    assert widths[0] == 100.0 and widths == sorted(widths, reverse=True) and len(widths) == 10
    assert "and 50 more texts" in html and "50.0 %" in html


def test_a_legend_has_numbers_and_the_map_its_colours() -> None:
    run, _ = fake()
    found = run.segment(3, "a boat")
    assert checked(found._repr_html_()).text.count("1.0000") == 2, "from -1 to 1"


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if a package were not installed."""
    real = builtins.__import__

    def imported(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", imported)


def test_errors_are_headspan_errors() -> None:
    run, native = fake()
    native.moved = True
    with pytest.raises(HeadspanError):
        run.pixels(3)
