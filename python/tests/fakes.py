"""A run in memory, behind the real classes: with names and texts that no real run would have."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from headspan import HeadspanError
from headspan._frame import Frame
from headspan._run import Run

HOSTILE = "<script>alert(\"1\")</script> & '$x_{\\frac' \x00\x1b \N{RIGHT-TO-LEFT OVERRIDE} 𝕏"


class FakeTable:
    """A table of text."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.columns = list(columns)
        self.rows = [list(row) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, rows: int) -> list[list[str]]:
        return self.rows[:rows]


class FakeNative:
    """What the extension gives, of a run with one text, one class, one property everywhere."""

    def __init__(
        self, text: str = "a red boat", *, heads: int = 3, images: int = 40, noise: bool = False
    ) -> None:
        self.name = f"{text}/{text}"
        self.path = "runs/none"
        self.d = 4
        self.labeller: str | None = "lexicon"
        self.text = text
        self.heads = [f"L{index // 8}.H{index % 8}" for index in range(heads)]
        self.count = images
        self.noise = noise
        self.moved = False
        self.broken = False

    def _read(self) -> None:
        if self.broken:
            raise HeadspanError(f"the run is gone {self.text}")

    def head_names(self) -> list[str]:
        return self.heads

    def resolve(self, heads: str) -> list[str]:
        return self.heads if heads == "all" else heads.split(",")

    def properties(self) -> list[tuple[str, list[str]]]:
        return [(self.text, self.heads)]

    def label(self, head: str) -> tuple[str | None, str | None, float | None]:
        self._read()
        return self.text, self.text, 0.75

    def texts(self, head: str) -> list[tuple[str, float]]:
        self._read()
        return [(f"{self.text} {pick}", 0.5 / (pick + 1)) for pick in range(60)]

    def table(self, name: str) -> FakeTable:
        self._read()
        columns = ["metric", "scope", "labeller", "value", "ci_low", "ci_high"]
        rows = [["entanglement_repeated", "model", "lexicon", "0.8125", "0.7968125", "0.8593125"]]
        return FakeTable([*columns, self.text], [[*row, self.text] for row in rows])

    def images(self, count: int, **first: str) -> FakeTable:
        columns = [*first, "image_index", "image_id", "class_id", "score"]
        rows = [
            [*first.values(), str(index), self.text, self.text, f"{1 / (index + 3)}"]
            for index in range(count)
        ]
        return FakeTable(columns, rows)

    def neighbours(self, heads: str, *asked: Any) -> tuple[FakeTable, list[str], int, tuple[float, float, float] | None]:
        carried = None if asked[1] is None else (0.5, 2.0, 0.75)
        return self.images(asked[3]), self.resolve(heads), self.count, carried

    def extremes(
        self, head: str, text: str | None, pick: int | None, count: int
    ) -> tuple[FakeTable, float, float]:
        table = self.images(count, end="largest")
        for end in ("between", "smallest"):
            table.rows += self.images(count, end=end).rows
        return table, 0.25, 0.125

    def alike(self, head: str, other: FakeNative) -> FakeTable:
        return FakeTable(
            ["name", "property", "correlation"], [[name, other.text, "0.98765432"] for name in other.heads]
        )

    def segment(
        self, image: Any, texts: Sequence[str], heads: str, against: bool, *baseline: Any
    ) -> tuple[Any, list[str], list[float], list[float], str]:
        scores = numpy.linspace(-0.5, 1, len(texts) * 16, dtype=numpy.float32).reshape(len(texts), 4, 4)
        return scores, self.resolve(heads), [0.125] * len(texts), [1.5] * len(texts), "the mean of 10 class names"

    def why(self, image: Any, neighbour: Any, heads: str) -> tuple[Any, float]:
        return numpy.zeros((4, 4), numpy.float32), 0.125

    def pixels(self, image: Any, seen: bool = False) -> Any:
        self._read()
        if self.moved:
            raise HeadspanError(f"no file {self.text}", "give the images")
        if not self.noise:
            return numpy.full((64, 64 if seen else 80, 3), 200, numpy.uint8)
        side = 224 if seen else 640
        return numpy.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=numpy.uint8)


def fake(text: str = "a red boat", **more: Any) -> tuple[Run, FakeNative]:
    """A run of the package over one in memory."""
    native = FakeNative(text, **more)
    return Run(native), native  # type: ignore[arg-type]


def fake_frame(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Frame:
    """A frame of text."""
    return Frame(FakeTable(columns, rows))  # type: ignore[arg-type]


ANSWERS: dict[str, Callable[[Run, str], Any]] = {
    "run": lambda run, text: run,
    "head": lambda run, text: run[0, 1],
    "frame": lambda run, text: run.scores,
    "neighbours": lambda run, text: run.neighbours(text=text),
    "neighbours of an image": lambda run, text: run["L0.H0"].neighbours(image=text, k=30),
    "extremes": lambda run, text: run["L0.H0"].extremes(k=12),
    "alike": lambda run, text: run["L0.H0"].alike(run),
    "segmentation": lambda run, text: run.segment(3, [text, text]),
    "one text": lambda run, text: run.segment(3, text),
    "many texts": lambda run, text: run.segment(3, [text] * 12),
    "why": lambda run, text: run.why(3, text),
}


def comparison_rows(text: str) -> list[dict[str, Any]]:
    """Rows as ``headspan compare --json`` has them."""
    figures = {
        "heads": {"value": 32.0, "interval": None},
        "entanglement_repeated": {"value": 0.8125, "interval": [0.7968125, 0.8593125]},
        "entanglement_repeated_z": {"value": -0.91604, "interval": None},
        "association_associated_heads": {"value": 0.65625, "interval": [0.5021875, 0.8146875]},
        "ccs_at_5": {"value": None, "interval": None},
    }
    made = {"images": text, "k": "60"}
    first = {"model": text, "labeller": "lexicon", "made_with": made, "figures": figures}
    return [first, {"model": "other", "labeller": text, "made_with": {}, "figures": {}}]


def png_of(uri: str) -> Any:
    """Pixels of a data URI."""
    import base64

    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))
