"""headspan itself over a folder: a refusal in its own words, and its extraction of two test images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headspan import _native
from headspan._errors import HeadspanError
from headspan._pipeline import inspect
from headspan._program import call

from .errors import ModelMismatch, UnsupportedModel
from .probe_image import Levels, probe_image

Floats = npt.NDArray[np.float32]

#: Settings of the extraction: one layer, float32 on the CPU, whatever the user's files and environment say.
SETTINGS = (
    "--layers=last:1",
    "--device=cpu",
    "--batch-size=2",
    "--keep=all",
    "--set=images.precision=float32",
)


@dataclass(frozen=True)
class Seen:
    """What headspan makes of the test images of `probe_image`, landscape and portrait, and of some texts."""

    #: `[s, s, 3]` each: levels before they are normalised.
    pixels: tuple[Levels, Levels]
    #: `[d]` each, not normalised.
    representations: tuple[Floats, Floats]
    #: `[n, d]`, of length 1 each; `None` for a tower without texts.
    texts: Floats | None


def refuse(folder: Path, kind: str) -> None:
    """Refuses a folder that headspan does not read, in the words of `headspan inspect`."""
    try:
        with _unlogged():
            problem = inspect(folder).get("problem")
    except HeadspanError as error:
        raise UnsupportedModel(_plain(error.message, folder, kind), error.hint) from error
    if problem is not None:
        raise UnsupportedModel(_plain(str(problem), folder, kind))


def extract(folder: Path, work: Path, image_size: int, texts: Sequence[str] | None, kind: str) -> Seen:
    """Extracts the last layer of the two test images of `image_size` pixels into `work`."""
    images, pool = work / "images", work / "texts.txt"
    images.mkdir()
    names = ("landscape.png", "portrait.png")
    for name in names:
        probe_image(image_size, portrait=name == "portrait.png").save(images / name)
    pool.write_text("".join(f"{text}\n" for text in texts or ()))
    command = ["extract", f"--checkpoint={folder}", f"--images={images}", f"--runs={work / 'runs'}"]
    command += ["--dataset=probe", *SETTINGS, *([f"--texts={pool}"] if texts else [])]
    try:
        with _unlogged():
            call(command)
            run = _native.Run.open(work / "runs" / "probe" / folder.name, folder, images, "cpu")
            files = [("file", str(images / name)) for name in names]
            first, second = (np.asarray(run.pixels(file, True), dtype=np.float32) for file in files)
            one, other = (np.asarray(run.representation(file), dtype=np.float32) for file in files)
            embedded = np.asarray(run.embed(list(texts)), dtype=np.float32) if texts else None
    except HeadspanError as error:
        raise ModelMismatch(
            f"headspan cannot extract from the folder of this model: {_plain(error.message, folder, kind)}",
            error.hint,
        ) from error
    return Seen((first, second), (one, other), embedded)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keeps the log to errors: a run over test images in a scratch folder is not one of the user's."""
    logger = logging.getLogger("headspan")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _plain(message: str, folder: Path, kind: str) -> str:
    """A message without the folder, which is gone when it is read."""
    return message.replace(f"{folder}/", "").replace(f"`{folder}`", f"the model (`{kind}`)")
