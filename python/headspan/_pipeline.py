"""The pipeline from Python: the commands ``run-all``, ``plan``, ``status``, ``compare``, ``fetch``, ``inspect`` and ``models``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from headspan import _html, _native
from headspan._errors import InputError
from headspan._frame import Frame
from headspan._place import Place, below, parts_of_run, place_of
from headspan._program import assignments, call, flags

if TYPE_CHECKING:
    from headspan._data import Held, ImagesLike
    from headspan._progress import Progress
    from headspan._run import Run

PathLike = Union[str, os.PathLike[str]]
Layers = Union[str, int, Sequence[int]]


def run_all(
    models: str | Sequence[str] = (),
    *,
    checkpoint: PathLike | None = None,
    images: ImagesLike | None = None,
    dataset: str | None = None,
    runs: PathLike | None = None,
    texts: PathLike | Iterable[str] | None = None,
    classes: PathLike | None = None,
    limit: int | None = None,
    device: str | None = None,
    layers: Layers | None = None,
    batch_size: int | None = None,
    keep: str | None = None,
    strict: bool = False,
    k: int | None = None,
    rank: int | None = None,
    labeller: str | None = None,
    architecture: str | None = None,
    quick_gelu: bool | None = None,
    image_size: int | None = None,
    config: PathLike | Sequence[PathLike] = (),
    configs: PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = True,
) -> list[Run]:
    """Brings every stage of one or more models up to date, and opens their runs.

    Without models, checkpoint and images it is the demo: two small models of the program over 2,000 rendered scenes.
    A stage whose tables fit the settings already is skipped, so the same call continues what was interrupted. Ctrl-C
    ends it cleanly.

    :param models: Ids or architectures of known models, such as ``"ViT-L-14"``.
    :param checkpoint: A checkpoint folder of your own, its file of weights, or what :func:`from_open_clip` returned.
    :param images: Where the images are (a folder, a manifest, tar or Parquet shards), or the images themselves: a list of paths,
        a frame with a column ``path`` (and ``class``), PIL images, a ``datasets.Dataset``, or a torch ``Dataset``. The runs hold
        images that are in memory.
    :param dataset: Name of the data set, the folder below ``runs``.
    :param runs: Folder of all runs, or its address in a store such as ``s3://bucket/runs``; default: ``runs``.
    :param texts: The pool of descriptions: a file, ``"built-in"``, or the texts themselves.
    :param layers: Layers whose heads are kept: ``"last:4"``, ``"all"``, or a list of numbers.
    :param keep: Images whose activations are stored: ``"all"``, ``"moments"`` (none), or a sample such as ``"sample:50000"``.
    :param k: Texts per head.
    :param rank: Principal directions kept per head.
    :param settings: Any settings of docs/settings.md, as in a configuration file: ``{"textspan": {"rank": 60}}``.
    :param progress: True for bars, False for none, or a function that is called with (task, unit, done, total).
    :return: The finished runs, one a model.
    """
    from headspan._run import open as open_run

    given = dict(
        checkpoint=checkpoint, dataset=dataset, runs=runs, classes=classes, limit=limit, device=device,
        layers=_layers(layers), batch_size=batch_size, keep=keep, strict=strict, k=k, rank=rank, labeller=labeller,
        architecture=architecture, image_size=image_size, config=_several(config), configs=configs,
    )  # fmt: skip
    with _handed_over(images, texts, runs) as (place, pool, held):
        command = ["run-all", "--json", *_several(models), *flags({**given, "images": place, "texts": pool})]
        if quick_gelu is not None:
            command.append(f"--quick-gelu={str(quick_gelu).lower()}")
        answer = json.loads(call([*command, *assignments(settings)], progress))
        found = [open_run(run["path"], images=images if _is_path(images) else None) for run in answer["runs"]]
    for run in found:
        # Images of this program can be shown and asked about as long as the run is there.
        run._holds(held)
    return found


def plan(
    models: str | Sequence[str] = (),
    *,
    checkpoint: PathLike | None = None,
    images: PathLike | None = None,
    dataset: str | None = None,
    runs: PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """What :func:`run_all` would do, one row a stage: ``model``, ``stage``, ``state``, ``reason``, ``rows``, ``estimated_bytes``,
    and ``parts`` (done and total) of the stage that writes parts.

    :param more: Further arguments of :func:`run_all`.
    """
    given = dict(checkpoint=checkpoint, images=images, dataset=dataset, runs=runs, **_known(more))
    answer = json.loads(call(["plan", "--json", *_several(models), *flags(given), *assignments(settings)]))
    return [{"model": model["model"], **stage} for model in answer["models"] for stage in model["stages"]]


def status(*, runs: PathLike | None = None, dataset: str | None = None) -> list[dict[str, Any]]:
    """States of all stages of all runs, one row a stage: ``dataset``, ``model``, ``path``, ``stage``, ``state``, ``reason``,
    ``rows``, ``bytes``, ``seconds`` and more."""
    answer = json.loads(call(["status", "--json", *flags({"runs": runs, "dataset": dataset})]))
    of_run = ("dataset", "model", "path")
    return [
        {**{key: run[key] for key in of_run}, **stage} for run in answer["runs"] for stage in run["stages"]
    ]


@dataclass(frozen=True, repr=False)
class Comparison:
    """Scores of several runs side by side."""

    #: The data set.
    dataset: str
    #: A row a model and labeller: ``model``, ``labeller``, ``made_with`` and ``figures``.
    rows: list[dict[str, Any]]
    #: What the figures were made with differently, a sentence each. Figures that differ so are not comparable.
    differences: list[str]
    #: ``comparison.parquet``; its address as text if runs lie in a store.
    table: Place
    #: The report in HTML.
    page: Place

    @property
    def frame(self) -> Frame:
        """``comparison.parquet`` as a frame."""
        return Frame(_native.read_table(self.table))

    def plot(self, axes: Any = None, *, scores: Sequence[str] | None = None) -> Any:
        """Bars of the runs' scores with their intervals of confidence, one panel a score. Returns the matplotlib axes.

        :param scores: Names of ``figures``; default: entanglement, association and CCS@5.
        """
        from headspan import _plots

        return _plots.comparison(self, axes) if scores is None else _plots.comparison(self, axes, scores)

    def __repr__(self) -> str:
        return f"<headspan.Comparison on {self.dataset}>\n{_html.comparison_text(self.rows)}"

    def _repr_html_(self) -> str:
        return _html.page(_html.comparison(self.rows, self.differences))


def compare(
    of: Sequence[Run] | None = None, *, runs: PathLike | None = None, dataset: str | None = None
) -> Comparison:
    """Compares the scores of all runs of a data set, or of some of them, and writes the report.

    :param of: Runs of one data set. The report and the table on disk have all runs of it; the rows are those of these, in their
        order.
    """
    models: list[str] | None = None
    if of:
        found = [parts_of_run(run.path) for run in of]
        places = {(runs, dataset) for runs, dataset, _ in found}
        if len(places) > 1:
            names = ", ".join(sorted(str(below(runs, dataset)) for runs, dataset in places))
            raise InputError(f"runs of several data sets cannot be compared: {names}")
        runs, dataset = places.pop()
        models = [model for _, _, model in found]
    answer = json.loads(call(["compare", "--json", *flags({"runs": runs, "dataset": dataset})]))
    rows = answer["rows"]
    if models is not None:
        order = {model: place for place, model in enumerate(models)}
        rows = sorted((row for row in rows if row["model"] in order), key=lambda row: order[row["model"]])
    return Comparison(
        answer["dataset"], rows, answer["differences"], place_of(answer["table"]), place_of(answer["page"])
    )


def fetch(*names: str, progress: Progress = True) -> list[Path]:
    """Downloads weights, configuration and tokenizer of models into the Hugging Face cache, and returns the files.

    :param names: Ids or architectures, ``"descriptions"`` for the published pool, ``"tokenizer"`` for CLIP's.
    """
    return [Path(line) for line in call(["fetch", *names], progress).splitlines()]


def models() -> list[dict[str, Any]]:
    """The models that are known by id, and whether their files are here."""
    found: list[dict[str, Any]] = json.loads(call(["models", "--json"]))["models"]
    return found


def inspect(
    checkpoint: PathLike,
    *,
    architecture: str | None = None,
    quick_gelu: bool | None = None,
    image_size: int | None = None,
) -> dict[str, Any]:
    """Says what a checkpoint is, and what of that is certain. No weights are loaded. A checkpoint that headspan cannot use raises an error that
    says why, and which architectures have its tensors.

    :param checkpoint: A folder, its file of weights, or the id of a model that is fetched.
    :param architecture: Of weights without a configuration, such as ``"ViT-B-16"``.
    :param quick_gelu: Whether the activation is QuickGELU; default: as the configuration says.
    :param image_size: In pixels; position embeddings of other sizes are interpolated.
    :returns: ``weights``, ``configuration`` and ``tokenizer`` (paths), ``family``, ``facts`` (each with ``name``, ``value`` and ``known_from``), ``tensors`` (what
        their shapes say), ``notices``.
    """
    activation = None if quick_gelu is None else str(quick_gelu).lower()
    given = flags({"architecture": architecture, "quick_gelu": activation, "image_size": image_size})
    found: dict[str, Any] = json.loads(call(["inspect", os.fspath(checkpoint), "--json", *given]))
    return found


def command(name: str, *arguments: str, progress: Progress = False, **named: Any) -> str:
    """Any other command of the command line, such as ``command("truth", "scenes-4", dataset="scenes")``: what it prints.

    :param named: Flags, with ``_`` for ``-``.
    """
    return call([name, *arguments, *flags(named)], progress)


_MORE = {
    "texts",
    "classes",
    "limit",
    "device",
    "layers",
    "batch_size",
    "keep",
    "strict",
    "k",
    "rank",
    "labeller",
    "architecture",
}
_MORE |= {"image_size", "config", "configs"}


def _known(more: Mapping[str, Any]) -> dict[str, Any]:
    for name in more:
        if name not in _MORE:
            raise InputError(f"`{name}` is no argument of plan", f"it takes {', '.join(sorted(_MORE))}")
    own = dict(more)
    own["layers"] = _layers(own.get("layers"))
    return own


def _layers(layers: Layers | None) -> str | None:
    if layers is None or isinstance(layers, str):
        return layers
    return ",".join(str(layer) for layer in ([layers] if isinstance(layers, int) else layers))


def _several(values: Any) -> list[Any]:
    return [values] if isinstance(values, (str, os.PathLike)) else list(values)


def _is_path(images: Any) -> bool:
    return isinstance(images, (str, os.PathLike))


def _handed_over(
    images: Any, texts: Any, runs: PathLike | None
) -> AbstractContextManager[tuple[PathLike | None, PathLike | None, Held | None]]:
    """Images and texts as places that the pipeline reads."""
    if (images is None or _is_path(images)) and (texts is None or _is_path(texts)):
        return nullcontext((images, texts, None))
    from headspan._data import handed_over

    return handed_over(images, texts, runs or "runs")
