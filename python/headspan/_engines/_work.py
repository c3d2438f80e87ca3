"""The extraction of runs as shards: which parts are missing, and the commands that make them.

Shards may be lost, repeated, or run twice at once: a part is committed at once, and whoever makes it writes the same numbers.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headspan import _native, _pipeline
from headspan._data import _paths, handed_over
from headspan._engines._shard import SETTINGS, Shard
from headspan._errors import HeadspanError, InputError
from headspan._place import Place, below, is_address
from headspan._program import assignments, call, flags

# Arguments and settings that are places.
_PLACES = ("checkpoint", "images", "runs", "texts", "classes", "config", "configs")
_SETTINGS_PLACES = (
    "runs", "checkpoint", "data.path", "data.root", "data.classes", "texts.file", "texts.categories", "label.import",
    "label.openai.prompts", "metrics.synonyms",
)  # fmt: skip
# What only later stages read; a task needs none of it, and `extract` has no such flags.
_LATER = ("k", "rank", "labeller")
_LATER_SETTINGS = ("label", "textspan", "metrics")
# A label's settings name the endpoint of a language model; only the caller labels.
_LABEL_SETTINGS = f"{SETTINGS}LABEL__"
# A network file system shows a folder's new files to other machines within a minute.
_SHOWN_AFTER_SECS = 90.0


@dataclass(frozen=True)
class Call:
    """A call of ``run_all`` that means the same on every machine: all places are absolute."""

    models: list[str]
    arguments: dict[str, Any]

    @staticmethod
    def of(models: str | Sequence[str], given: Mapping[str, Any]) -> Call:
        """From the arguments as they were given."""
        known = set(inspect.signature(_pipeline.run_all).parameters) - {"models", "progress"}
        for name in given:
            if name not in known:
                raise InputError(f"`{name}` is no argument of submit", f"it takes {', '.join(sorted(known))}")
        arguments = dict(given)
        _refuse_images_in_memory(arguments.get("images"))
        # Lists of paths and of texts become files below the folder of runs, which all nodes see.
        runs = _absolute(arguments.get("runs") or "runs")
        if is_address(runs):
            _refuse_lists(arguments)
        with handed_over(arguments.get("images"), arguments.get("texts"), runs) as (images, texts, _):
            arguments["images"], arguments["texts"] = images, texts
        if arguments.get("configs") is None and Path("configs").is_dir():
            arguments["configs"] = "configs"
        for name in _PLACES:
            if arguments.get(name) is not None:
                arguments[name] = _absolute(arguments[name])
        arguments["settings"] = _absolute_settings(arguments.get("settings") or {})
        own = Call(
            _pipeline._several(models),
            {name: value for name, value in arguments.items() if value is not None},
        )
        return own._with_demo()

    def _with_demo(self) -> Call:
        """The demo's models and scenes by their names, if nothing was said of models and images."""
        settings = self.settings()
        said = (self.models, self.arguments.keys() & {"images", "checkpoint"}, settings.get("checkpoint"))
        if any(said) or settings.get("models") != "[]" or settings.get("path") != '""':
            return self
        names = [model["model"] for model in self.plan()]
        scenes = Path(_native.built_in_folder(_absolute(_text(settings["runs"])))) / "scenes"
        places = {
            "images": scenes / "images",
            "classes": scenes / "classes.txt",
            "texts": scenes / "descriptions.csv",
        }
        named = {"dataset": "scenes", **{name: str(place) for name, place in places.items()}}
        return Call(names, {**named, **self.arguments})

    def flags(self, *, extract: bool = False) -> list[str]:
        """Flags of the command line: of ``run-all``, or those that ``extract`` has."""
        values = dict(self.arguments)
        settings = values.pop("settings", {})
        quick_gelu = values.pop("quick_gelu", None)
        values["layers"] = _pipeline._layers(values.get("layers"))
        values["config"] = _pipeline._several(values.get("config", ()))
        if extract:
            values = {name: value for name, value in values.items() if name not in _LATER}
            settings = {
                name: value for name, value in settings.items() if name.split(".")[0] not in _LATER_SETTINGS
            }
        found = [*flags(values), *assignments(settings)]
        return found if quick_gelu is None else [*found, f"--quick-gelu={str(quick_gelu).lower()}"]

    def settings(self) -> dict[str, str]:
        """Settings after all layers, as ``headspan config`` prints them: values in TOML by their last names."""
        values = [flag for flag in self.flags() if not flag.startswith("--strict")]
        lines = [line.partition(" = ") for line in call(["config", *values]).splitlines() if " = " in line]
        found: dict[str, str] = {}
        for name, _, value in lines:
            found.setdefault(name, value)
        return found

    def plan(self, model: str | None = None) -> list[dict[str, Any]]:
        """The models with their stages, or one of them."""
        models = self.models if model is None else [model]
        planned: list[dict[str, Any]] = json.loads(call(["plan", "--json", *models, *self.flags()]))["models"]
        return planned


@dataclass(frozen=True)
class Missing:
    """Parts of one model's extraction that are not there."""

    call: Call
    model: str
    #: Folder of the run, or its address.
    run: Place
    #: The parts that are missing, in order.
    parts: list[int]
    #: Parts of the whole extraction.
    total: int
    #: Images of a part, but of the last.
    rows: int
    #: Images of all parts.
    images: int
    #: Whether the run keeps the activations of all images. If not, the parts of a shard are neighbours.
    keeps_all: bool
    #: Images a second that a task had last: on processors, and on GPUs. None where nobody measured it.
    rates: dict[str, float | None]
    #: Bytes that the images lie in. None where they are not known.
    image_bytes: int | None

    def count_of_minutes(self, minutes: float, on_gpus: bool) -> int:
        """Number of shards of whole parts that take about so many minutes each, by the rate that was measured last."""
        where = "gpus" if on_gpus else "processors"
        rate = self.rates[where]
        if rate is None:
            message = f"no rate of `{self.model}` on {where.replace('gpus', 'GPUs')} is known"
            raise InputError(message, "give the number of shards as `tasks`, or run one shard of many first")
        parts_of_shard = max(1, int(rate * 60 * minutes / self.rows))
        return max(1, -(-self.total // parts_of_shard))

    def count_of_gigabytes(self, gigabytes: float) -> int:
        """Number of shards of whole parts that read about so many gigabytes each."""
        if self.image_bytes is None:
            raise InputError("the sizes of these images are not known", "give the number of shards as `tasks`")
        return min(max(1, math.ceil(self.image_bytes / (gigabytes * 1e9))), max(1, self.total))

    def shards(self, count: int, threads: int) -> list[Shard]:
        """Those of ``count`` shards that have something to do. ``threads``: of each; 0 for all that the node has."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(SETTINGS) and not name.startswith(_LABEL_SETTINGS)
        }
        # A checkpoint of one's own is no known model, but may have a name of one's own.
        missing = set(self.parts)
        common = ["extract", self.model, *self.call.flags(extract=True)]
        return [
            Shard(
                self.model, index, count, self._images_of(index, count), [*common, f"--shard={index}/{count}"],
                environment, os.getcwd(), threads, _native.__version__,
            )
            for index in range(count)
            if not missing.isdisjoint(self._parts_of(index, count))
        ]  # fmt: skip

    def _parts_of(self, index: int, count: int) -> range:
        if self.keeps_all:
            return range(index, self.total, count)
        each, more = divmod(self.total, count)
        first = index * each + min(index, more)
        return range(first, first + each + (index < more))

    def _images_of(self, index: int, count: int) -> int:
        parts = self._parts_of(index, count)
        cut = self.total * self.rows - self.images if parts and parts[-1] == self.total - 1 else 0
        return len(parts) * self.rows - cut

    def wait_until_there(self) -> None:
        """Waits until this machine sees all parts. An error if it does not: the merge would make them here, one after another."""
        until = time.monotonic() + _SHOWN_AFTER_SECS
        while True:
            done, total = _parts_done(self.call, self.model)
            if done >= total:
                return
            if time.monotonic() > until:
                message = f"{total - done} of {total} parts of `{self.model}` are not in `{self.run}`, or do not fit"
                hint = (
                    "all nodes need the same folder of runs, images, weights and settings, by the same paths"
                )
                raise HeadspanError(message, hint)
            time.sleep(1.0)


def missing_of(call: Call) -> list[Missing]:
    """What is missing of each model's extraction. Nothing is written."""
    settings = call.settings()
    runs, dataset, rows = _text(settings["runs"]), _text(settings["dataset"]), int(settings["part_rows"])
    keeps_all = _text(settings["keep"]) == "all"
    found = []
    for model in call.plan():
        name, images = model["model"], _images_stage(model)
        count, run = images["rows"], below(_absolute(runs), dataset, name)
        total = images["parts"]["total"]
        parts = list(range(total))
        if images["state"] == "done":
            parts = []
        elif images["state"] == "partial":
            there = {part for part in parts if _has_part(run, part)}
            # Where all activations are kept and all parts that are there fit, the others are missing. Else no one knows which do not
            # fit, and every shard looks: one without missing parts ends at once.
            if keeps_all and images["parts"] == {"done": len(there), "total": total}:
                parts = [part for part in parts if part not in there]
        rates, size = model["images_per_second"], model["image_bytes"]
        found.append(Missing(call, name, run, parts, total, rows, count, keeps_all, rates, size))
    return found


def _has_part(run: Place, part: int) -> bool:
    """Whether a part is there; of a run in a store, it is not known here."""
    return isinstance(run, Path) and (run / "activations" / f"part-{part:05}.parquet").is_file()


def _images_stage(model: Mapping[str, Any]) -> dict[str, Any]:
    stage: dict[str, Any] = next(stage for stage in model["stages"] if stage["stage"] == "images")
    return stage


def _parts_done(call_: Call, model: str) -> tuple[int, int]:
    """How many parts of a model fit, of how many."""
    parts = _images_stage(call_.plan(model)[0])["parts"]
    return parts["done"], parts["total"]


def _refuse_images_in_memory(images: Any) -> None:
    if images is None or isinstance(images, (str, os.PathLike)) or _paths(images) is not None:
        return
    message = (
        f"images of type {type(images).__name__} are in the memory of this program, where no node sees them"
    )
    raise InputError(
        message, "write them to a folder that all nodes see, and give the folder or a list of paths"
    )


def _refuse_lists(arguments: Mapping[str, Any]) -> None:
    """Lists, of which only this machine would have the files, where runs lie in a store."""
    for name in ("images", "texts"):
        given = arguments.get(name)
        if given is not None and not isinstance(given, (str, os.PathLike)):
            message = f"{name} of type {type(given).__name__} would become a file that no node sees, as runs lie in a store"
            raise InputError(message, "write them to a file or a folder that all nodes see, and give its place")


def _absolute(place: Any) -> Any:
    """A place by its whole path. Addresses and the word ``built-in`` stay."""
    if isinstance(place, (list, tuple)):
        return [_absolute(one) for one in place]
    text = os.fspath(place)
    if "://" in text or text == "built-in":
        return text
    return os.path.abspath(os.path.expanduser(text))


def _absolute_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found[key] = _absolute_settings(value, f"{name}.")
        else:
            found[key] = _absolute(value) if value is not None and name in _SETTINGS_PLACES else value
    return found


def _text(value: str) -> str:
    """A string of TOML."""
    if value.startswith("'"):
        return value[1:-1]
    text: str = json.loads(value)
    return text
