"""Finished runs and their heads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from headspan import _html, _native
from headspan._answers import Alike, Carried, Extremes, Neighbours, Segmentation, Why
from headspan._errors import InputError
from headspan._frame import Frame
from headspan._images import ImageLike, picture
from headspan._place import Place, place_of

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image as PilImage

    from headspan._explorer import Explorer

    Floats = numpy.ndarray[Any, numpy.dtype[numpy.float32]]

PathLike = Union[str, os.PathLike[str]]
#: Heads of a question: a name, a layer such as ``"L3"``, a property, ``"all"``, or a list of these or of heads.
HeadsLike = Union[str, "Head", Sequence[Union[str, "Head"]]]


def open(
    path: PathLike, *, checkpoint: PathLike | None = None, images: PathLike | None = None, device: str | None = None
) -> Run:
    """Opens a finished run, the folder ``runs/DATASET/MODEL``, or its address in a store such as ``s3://bucket/runs/DATASET/MODEL``.

    :param checkpoint: The model, if it is elsewhere than when the run was made.
    :param images: The images, if they are elsewhere.
    :param device: ``"cpu"``, ``"wgpu"``, ``"cuda"`` or ``"auto"``, for new images and texts.
    """
    sources = {"checkpoint": checkpoint, "images": images, "device": device}
    return Run(_native.Run.open(path, checkpoint, images, device), sources)


class Run:
    """A finished run: its tables, its heads, and questions about them.

    Tables are read when they are asked for. The model and the images are opened when a question first needs them.
    """

    def __init__(self, native: _native.Run, sources: Mapping[str, PathLike | None] | None = None) -> None:
        self._native = native
        #: What :func:`open` was given: ``checkpoint``, ``images``, ``device``.
        self.sources = dict(sources or {})
        self._held: object = None

    def _holds(self, images: object) -> None:
        """Keeps images of this program alive with the run."""
        self._held = images

    @property
    def name(self) -> str:
        """``dataset/model``."""
        return self._native.name

    @property
    def path(self) -> Place:
        """The run's folder; of a run in a store, its address as text."""
        return place_of(self._native.path)

    @property
    def checkpoint(self) -> Path:
        """The model's folder, or its file of weights."""
        return Path(self._native.checkpoint())

    @property
    def d(self) -> int:
        """Length of the joint embedding."""
        return self._native.d

    @property
    def heads(self) -> Frame:
        """One row a head: ``name``, ``layer``, ``head``, ``property``, ``agreement``, ``variance_share``, ``mean_length``,
        ``effective_rank`` and its first ``texts``."""
        return Frame(self._native.table("heads"))

    @property
    def texts(self) -> Frame:
        """The pool of descriptions with their embeddings ``[d]`` of unit norm."""
        return Frame(self._native.table("texts"))

    @property
    def textspan(self) -> Frame:
        """The texts that span each head, one row a head and pick."""
        return Frame(self._native.table("textspan"))

    @property
    def labels(self) -> Frame:
        """A property for each head, one row a head and labeller."""
        return Frame(self._native.table("labels"))

    @property
    def scores(self) -> Frame:
        """Entanglement, association and the other scores, with intervals (docs/metrics.md)."""
        return Frame(self._native.table("metrics"))

    @property
    def images(self) -> Frame:
        """Images of the data set, skipped ones included: all, or those of the sample that the run keeps."""
        return Frame(self._native.table("images"))

    @property
    def notes(self) -> Frame:
        """What people said of the run in the explorer, one row each: ``author``, ``kind`` (``"judgement"``, ``"name"``, ``"label"``, ``"comment"``,
        ``"tag"``, ``"list"``, ``"view"``), ``head``, ``property`` (the label that was shown), ``key`` (the text, tag, list or view), ``value``,
        ``conflict``, ``older`` (said of texts that the head no longer has), ``at_ms``, ``revision``."""
        return Frame(self._native.table("notes"))

    @property
    def labeller(self) -> str | None:
        """Whose labels are shown."""
        return self._native.labeller

    @property
    def properties(self) -> dict[str, list[Head]]:
        """Properties of the labels, each with its heads."""
        return {name: [Head(self, head) for head in heads] for name, heads in self._native.properties()}

    @property
    def image_indices(self) -> numpy.ndarray[Any, Any]:
        """Positions in the data set of the images that were extracted, ``[n]``: the rows of activations and contributions."""
        return _array(self._native.image_indices())

    @property
    def scalars(self) -> Floats:
        """``1/(sigma |r|)``, ``m/(sigma |r|)`` and ``1/|r|`` of each image, ``[n, 3]``: with a head's activations they make its ``u``."""
        return _array(self._native.scalars())

    def __getitem__(self, name: str | tuple[int, int]) -> Head:
        """The head ``run["L11.H3"]`` or ``run[11, 3]``."""
        text = name if isinstance(name, str) else f"L{name[0]}.H{name[1]}"
        (found,) = self._one(text)
        return Head(self, found)

    def _one(self, text: str) -> list[str]:
        found = self._native.resolve(text)
        if len(found) != 1:
            raise InputError(f"`{text}` is {len(found)} heads, not one", 'name one head, such as run["L3.H5"]')
        return found

    def __iter__(self) -> Iterator[Head]:
        """All heads, by layer and head."""
        return (Head(self, name) for name in self._native.head_names())

    def __len__(self) -> int:
        """Number of heads."""
        return len(self._native.head_names())

    def select(self, heads: HeadsLike) -> list[Head]:
        """Heads of a selection: a layer, a property, ``"all"``, or a list."""
        return [Head(self, name) for name in self._native.resolve(_selection(heads))]

    def embed(self, texts: str | Sequence[str]) -> Floats:
        """Embeddings of texts by the model, of unit norm: ``[d]`` of one text, ``[n, d]`` of several."""
        if isinstance(texts, str):
            one: Floats = _array(self._native.embed([texts]))[0]
            return one
        return _array(self._native.embed(list(texts)))

    def representation(self, image: ImageLike) -> Floats:
        """Representation ``r`` of an image by the model, not normalised, ``[d]``."""
        return _array(self._native.representation(picture(image)))

    def image(self, image: ImageLike, *, seen: bool = False) -> PilImage:
        """An image as a PIL image; what the model sees of it if ``seen``."""
        from PIL import Image

        return Image.fromarray(self.pixels(image, seen=seen))

    def pixels(self, image: ImageLike, *, seen: bool = False) -> numpy.ndarray[Any, Any]:
        """Pixels of an image, bytes ``[height, width, 3]``."""
        return _array(self._native.pixels(picture(image), seen))

    def neighbours(
        self,
        subject: ImageLike | None = None,
        *,
        image: ImageLike | None = None,
        text: str | None = None,
        heads: HeadsLike = "all",
        k: int = 8,
        cosine: bool = True,
        farthest: bool = False,
        classes: Sequence[str] = (),
    ) -> Neighbours:
        """Images near an image or a text under some heads: cosines of the mean contributions.

        :param subject: An image by index, file, PIL image or pixels; a text as str; or a direction ``[d]``.
        :param image: An image, also by its id as str.
        :param text: A text.
        :param cosine: False compares by dot products, as published: images with large contributions are near to everything.
        :param classes: Only images of these classes.
        """
        return _neighbours(self, subject, image, text, _selection(heads), k, cosine, farthest, classes)

    def segment(
        self,
        image: ImageLike,
        texts: str | Sequence[str],
        *,
        heads: HeadsLike = "all",
        contrastive: bool | None = None,
        baseline: str | Sequence[str] | None = "auto",
    ) -> Segmentation:
        """Where in an image texts score high (topic segmentation), or higher than the other texts (contrastive segmentation).

        :param heads: A property, a head, a list, or ``"all"``.
        :param contrastive: Each map less the largest of the others; default: if there are several texts.
        :param baseline: Texts whose mean is subtracted from each text: ``"classes"`` (names of the data set's classes), ``"pool"``,
            ``"auto"`` (classes with names, else the pool), a list of texts, or None for nothing, as published.
        """
        named = [texts] if isinstance(texts, str) else list(texts)
        against = len(named) > 1 if contrastive is None else contrastive
        chosen = _selection(heads)
        own = [] if baseline is None or isinstance(baseline, str) else list(baseline)
        choice = baseline if isinstance(baseline, str) else "none"
        if baseline is not None and not isinstance(baseline, str) and not own:
            raise InputError("no texts to subtract", 'give texts, or baseline=None to subtract nothing')
        answer = self._native.segment(picture(image), named, chosen, against, choice, own)
        scores, found, class_token, margins, subtracted = answer
        return Segmentation(
            run=self, image=image, texts=named, heads=found, scores=_array(scores), class_token=class_token,
            contrastive=against and len(named) > 1, margins=margins, subtracted=subtracted,
        )  # fmt: skip

    def search(self, text: str | None = None, *, image: ImageLike | None = None) -> Frame:
        """All heads by how much of a text they carry, or by how much an image excites them, most first.

        :param text: A text of your own. Columns: ``name``, ``property``, ``times`` (variance along the text, over that along a typical
            text of the pool), ``above`` (share of the pool's texts along which the head varies less) and ``span`` (length of the text's
            projection on what the head can write).
        :param image: An image. Columns: ``name``, ``property`` and ``excited`` (distance from the head's mean, over its root mean square
            over all images).
        """
        if text is not None and image is None:
            return Frame(self._native.heads_by_text(text))
        if image is not None and text is None:
            return Frame(self._native.heads_by_image(picture(image)))
        raise InputError("search by one of a text and an image", 'such as search("something striped") or search(image="a.jpg")')

    def why(self, image: ImageLike, neighbour: ImageLike, *, heads: HeadsLike = "all") -> Why:
        """Which patches of an image make an image of the run its neighbour."""
        scores, class_token = self._native.why(picture(image), picture(neighbour), _selection(heads))
        return Why(run=self, image=image, neighbour=neighbour, scores=_array(scores), class_token=class_token)

    def module(self, device: Any = None, *, layers: str = "last:4", dtype: Any = None) -> Any:
        """The image tower as a ``torch.nn.Module`` that returns the representation and the contributions of heads."""
        from headspan._torch import run_module

        quick_gelu, image_size = self._native.model_options()
        return run_module(
            self.checkpoint, layers=layers, device=device, dtype=dtype, quick_gelu=quick_gelu, image_size=image_size
        )

    def explore(self, *, height: int = 720) -> Explorer:
        """Starts the explorer beside the notebook and shows it in a frame. It ends with the process, or by ``.stop()``."""
        from headspan._explorer import Explorer

        return Explorer(self, height)

    def __repr__(self) -> str:
        return f"<headspan.Run {self.name}: {len(self)} heads>"

    def _repr_html_(self) -> str:
        return _html.page(_html.run(self))


class Head:
    """One attention head of a run, such as ``L11.H3``."""

    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name
        layer, head = name.removeprefix("L").split(".H")
        self.layer = int(layer)
        self.head = int(head)

    @property
    def texts(self) -> list[str]:
        """The texts that span the head's output, in the order of TEXTSPAN's picks."""
        return [text for text, _ in self.run._native.texts(self.name)]

    @property
    def variance_shares(self) -> list[float]:
        """Share of the head's variance that each of its texts removed, 0 to 1."""
        return [share for _, share in self.run._native.texts(self.name)]

    @property
    def label(self) -> str | None:
        """The head's property; None if it has none."""
        return self.run._native.label(self.name)[0]

    @property
    def description(self) -> str | None:
        """A sentence on the label."""
        return self.run._native.label(self.name)[1]

    @property
    def agreement(self) -> float | None:
        """How firmly the labeller stands behind the label, 0 to 1."""
        return self.run._native.label(self.name)[2]

    @property
    def readout(self) -> Floats:
        """``B``, ``[d, head_dim + 3]``: the head's contribution is ``B u``."""
        return _array(self.run._native.readout(self.name))

    def activations(self) -> Floats:
        """``z/(sigma |r|)`` of every extracted image, ``[n, head_dim]``. Read-only: it is the run's own memory, not a copy."""
        return _array(self.run._native.activations(self.name))

    def vectors(self) -> Floats:
        """``u`` of every extracted image, ``[n, head_dim + 3]``: the activations, then the run's scalars."""
        import numpy

        return numpy.concatenate([self.activations(), self.run.scalars], axis=1)

    def contributions(self, images: ImageLike | Sequence[ImageLike] | None = None) -> Floats:
        """The head's contributions to ``r/|r|``, ``[n, d]``: of every extracted image, or of some, which may be new.

        :param images: One image gives ``[d]``; a list gives ``[n, d]``.
        """
        if images is None:
            return _array(self.run._native.contributions(self.name))
        if isinstance(images, (list, tuple)):
            return _array(self.run._native.contributions(self.name, [picture(image) for image in images]))
        one: Floats = _array(self.run._native.contributions(self.name, [picture(images)]))[0]  # type: ignore[arg-type]
        return one

    def neighbours(
        self,
        subject: ImageLike | None = None,
        *,
        image: ImageLike | None = None,
        text: str | None = None,
        k: int = 8,
        cosine: bool = True,
        farthest: bool = False,
        classes: Sequence[str] = (),
    ) -> Neighbours:
        """Images near an image or a text under this head. See :meth:`Run.neighbours`."""
        return _neighbours(self.run, subject, image, text, self.name, k, cosine, farthest, classes)

    def extremes(self, text: str | None = None, *, pick: int | None = None, k: int = 8) -> Extremes:
        """Images at both ends of what the head says, and between.

        :param text: Along this text.
        :param pick: Along the head's own text of this rank, orthogonal to those before it. With neither: by the distance from
            the head's mean.
        """
        table, mean, std = self.run._native.extremes(self.name, text, pick, k)
        return Extremes(run=self.run, head=self.name, frame=Frame(table), mean=mean, std=std)

    def alike(self, other: Run | None = None) -> Alike:
        """Heads of a run (default: this one) by how much what they say resembles what this head says."""
        run = other or self.run
        return Alike(head=self.name, run=run, frame=Frame(self.run._native.alike(self.name, run._native)))

    def segment(
        self,
        image: ImageLike,
        texts: str | Sequence[str],
        *,
        contrastive: bool | None = None,
        baseline: str | Sequence[str] | None = "auto",
    ) -> Segmentation:
        """Where in an image texts score high under this head. See :meth:`Run.segment`."""
        return self.run.segment(image, texts, heads=self.name, contrastive=contrastive, baseline=baseline)

    def plot(self, ax: Any = None, *, texts: int = 10) -> Any:
        """Bars of the head's first texts by the share of variance that each removed. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.texts(self, ax, texts)

    def __repr__(self) -> str:
        return f"<headspan.Head {self.name} of {self.run.name}: {self.label}>"

    def _repr_html_(self) -> str:
        return _html.page(_html.head(self))


def _array(numbers: _native.Numbers) -> Floats:
    """The numbers where they lie, of the type that they have: floats, but for positions and pixels."""
    import numpy

    found: Floats = numpy.asarray(numbers)
    return found


def _selection(heads: HeadsLike) -> str:
    if isinstance(heads, str):
        return heads
    if isinstance(heads, Head):
        return heads.name
    return ",".join(head.name if isinstance(head, Head) else head for head in heads)


def _neighbours(
    run: Run,
    subject: Any,
    image: ImageLike | None,
    text: str | None,
    heads: str,
    k: int,
    cosine: bool,
    farthest: bool,
    classes: Sequence[str],
) -> Neighbours:
    direction: list[float] | None = None
    given = [name for name, value in (("subject", subject), ("image", image), ("text", text)) if value is not None]
    if len(given) != 1:
        raise InputError("ask with one of an image and a text", 'such as neighbours(image="a.jpg") or neighbours(text="a cat")')
    if isinstance(subject, str):
        text = subject
    elif getattr(subject, "ndim", None) == 1:
        direction = [float(value) for value in subject]
    elif subject is not None:
        image = subject
    own = None if image is None else picture(image)
    if k < 1:
        raise InputError(f"k is {k}, expected 1 or more")
    table, found, compared, carried = run._native.neighbours(heads, own, text, direction, k, cosine, farthest, list(classes))
    asked = text if text is not None else image
    return Neighbours(
        run=run, subject=asked, heads=found, frame=Frame(table), compared=compared,
        carried=None if carried is None else Carried(*carried),
    )  # fmt: skip
