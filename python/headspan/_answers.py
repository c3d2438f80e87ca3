"""Answers to questions about a run: tables and arrays that show themselves in notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headspan import _html
from headspan._frame import Frame

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars

    from headspan._images import ImageLike
    from headspan._run import Run

    Floats = numpy.ndarray[Any, numpy.dtype[numpy.float32]]


class _Table:
    """An answer that is a table."""

    frame: Frame

    def pl(self) -> polars.DataFrame:
        """The table as a Polars frame."""
        return self.frame.pl()

    def pd(self) -> pandas.DataFrame:
        """The table as a pandas frame."""
        return self.frame.pd()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.frame.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self.frame.__arrow_c_schema__()

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Carried:
    """How much of a text some heads carry. The text is taken without the mean of the pool."""

    #: Length of the text's projection on the span of the heads' readouts, 0 to 1.
    span: float
    #: Variance of the heads' contributions along the text, over the mean of that variance over texts of the pool.
    times: float
    #: Share of the pool's texts along which the heads vary less, 0 to 1. Below 0.5 answers are likely noise.
    above: float


@dataclass(frozen=True, repr=False)
class Neighbours(_Table):
    """Images near an image or a text: ``image_index``, ``image_id``, ``class_id``, ``score``, nearest first."""

    #: The run.
    run: Run
    #: What was asked about.
    subject: ImageLike | str | None
    #: Names of the heads whose contributions were averaged.
    heads: list[str]
    #: The table.
    frame: Frame
    #: Images that were compared.
    compared: int
    #: How much of the text the heads carry; None if it was not a text that was asked about.
    carried: Carried | None = None

    def plot(self, axes: Any = None, *, columns: int = 4) -> Any:
        """The images with their scores. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.images(self.run, self.frame, axes, columns)

    def __repr__(self) -> str:
        return f"<headspan.Neighbours of {self.subject!r} by {len(self.heads)} heads>\n{self.frame!r}"

    def _repr_html_(self) -> str:
        return _html.page(_html.neighbours(self))


@dataclass(frozen=True, repr=False)
class Extremes(_Table):
    """Images at the ends of what a head says: ``end`` (largest, between or smallest), ``image_index``, ``image_id``, ``class_id``,
    ``score``."""

    #: The run.
    run: Run
    #: Name of the head.
    head: str
    #: The table.
    frame: Frame
    #: Mean over all images.
    mean: float
    #: Standard deviation over all images (n - 1).
    std: float

    def plot(self, axes: Any = None, *, columns: int = 8) -> Any:
        """The images with their scores. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.images(self.run, self.frame, axes, columns)

    def __repr__(self) -> str:
        return f"<headspan.Extremes of {self.head}: mean {self.mean:.5f}, standard deviation {self.std:.5f}>\n{self.frame!r}"

    def _repr_html_(self) -> str:
        return _html.page(_html.extremes(self))


@dataclass(frozen=True, repr=False)
class Alike(_Table):
    """Heads of a run by how much they resemble one: ``name``, ``property``, ``correlation``, most alike first."""

    #: Name of the head that was asked about.
    head: str
    #: The run of the heads in the table.
    run: Run
    #: The table.
    frame: Frame

    def plot(self, ax: Any = None, *, count: int = 10) -> Any:
        """Bars of the first heads by their correlation. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.alike(self, ax, count)

    def __repr__(self) -> str:
        return f"<headspan.Alike to {self.head} in {self.run.name}>\n{self.frame!r}"

    def _repr_html_(self) -> str:
        return self.frame._repr_html_()


class _Maps:
    """Scores of an image's patches."""

    run: Run
    image: ImageLike
    scores: Floats

    def at_pixels(self) -> Floats:
        """The scores at each pixel of what the model sees, bilinear between the centres of patches: ``[..., side, side]``."""
        return bilinear(self.scores, self.seen().shape[0])

    def seen(self) -> numpy.ndarray[Any, Any]:
        """What the model sees of the image, bytes ``[side, side, 3]``."""
        return self.run.pixels(self.image, seen=True)


@dataclass(frozen=True, repr=False)
class Segmentation(_Maps):
    """Where in an image texts score high."""

    #: The run.
    run: Run
    #: The image, as it was given.
    image: ImageLike
    #: The texts.
    texts: list[str]
    #: Names of the heads that were summed.
    heads: list[str]
    #: Scores of the patches, ``[texts, grid, grid]``, rows from the top.
    scores: Floats
    #: Score of the class token for each text; with the patches of a map that is not contrastive it adds up to the heads' contribution.
    class_token: list[float]
    #: Whether each map is less the largest of the others: above zero where its text wins.
    contrastive: bool
    #: Of each text the contrast of its map over that of a typical text's in the same image; below 0.75 a map is mostly noise.
    margins: list[float]
    #: What was subtracted from each text, in words.
    subtracted: str

    def plot(self, axes: Any = None) -> Any:
        """The maps over the image, on one scale around zero. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.maps(self, self.texts, axes)

    def __repr__(self) -> str:
        return f"<headspan.Segmentation by {', '.join(map(repr, self.texts))}: {list(self.scores.shape)}>"

    def _repr_html_(self) -> str:
        return _html.page(_html.maps(self, self.texts))


@dataclass(frozen=True, repr=False)
class Why(_Maps):
    """Which patches of an image make another its neighbour."""

    #: The run.
    run: Run
    #: The image whose patches have scores.
    image: ImageLike
    #: The image that it is compared with.
    neighbour: ImageLike
    #: Each patch's part of the dot product, ``[grid, grid]``, rows from the top.
    scores: Floats
    #: The class token's part.
    class_token: float

    def plot(self, axes: Any = None) -> Any:
        """The map over the image. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.maps(self, [f"near {self.neighbour}"], axes)

    def __repr__(self) -> str:
        total = float(self.scores.sum()) + self.class_token
        return f"<headspan.Why: score {total:.5f}, of which the class token carries {self.class_token:.5f}>"

    def _repr_html_(self) -> str:
        return _html.page(_html.maps(self, [f"near {self.neighbour}"]))


def bilinear(scores: Floats, side: int) -> Floats:
    """Scores ``[..., grid, grid]`` at ``side`` by ``side`` pixels."""
    import numpy

    grid = scores.shape[-1]
    place = ((numpy.arange(side, dtype=numpy.float32) + 0.5) * grid / side - 0.5).clip(0, grid - 1)
    low = numpy.floor(place).astype(int)
    high = numpy.minimum(low + 1, grid - 1)
    share = (place - low).astype(numpy.float32)
    rows = scores[..., low, :] * (1 - share)[:, None] + scores[..., high, :] * share[:, None]
    found: Floats = rows[..., low] * (1 - share) + rows[..., high] * share
    return found
