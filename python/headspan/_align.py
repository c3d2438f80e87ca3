"""An image tower that gets the texts of a CLIP: the command ``align``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from headspan._program import assignments, call, flags

if TYPE_CHECKING:
    from headspan._data import ImagesLike
    from headspan._progress import Progress

PathLike = Union[str, os.PathLike[str]]


@dataclass(frozen=True, repr=False)
class Alignment:
    """An image tower with the texts of a CLIP, and how good the map between them is.

    It is a path: give it as ``checkpoint`` to :func:`run_all`.
    """

    #: The folder, a checkpoint.
    folder: Path
    #: Hash of both models and the map.
    fingerprint: str
    #: ``fitted``, ``held_out`` and ``skipped`` images, the ``penalty``, and on held-out images ``r2``, ``cosine``, ``top1`` and ``top5`` among
    #: ``candidates``, with the baselines ``cosine_of_mean``, ``chance1`` and ``chance5``; ``r2_fitted`` is of the fitted images.
    figures: dict[str, float]

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        of = self.figures
        return (
            f"<headspan.Alignment {self.folder}: R² {of['r2']:.3f} on {of['held_out']} held-out images, "
            f"own image first {of['top1']:.1%} of {of['candidates']}>"
        )


def align(
    *,
    images: ImagesLike,
    from_: PathLike,
    to: PathLike,
    out: PathLike,
    held_out: float | None = None,
    limit: int | None = None,
    device: str | None = None,
    strict: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = True,
) -> Alignment:
    """Gives an image tower without texts, such as DINOv2, the texts of a CLIP: fits a linear map between them on images.

    The labels of the heads are only as good as the map: look at ``figures["r2"]`` and at retrieval.

    :param images: Where the images are, or the images themselves, as for :func:`run_all`.
    :param from_: The tower: a checkpoint folder, its file of weights, what :func:`from_timm` returned, or the id of a known model.
    :param to: The CLIP, likewise.
    :param out: The folder of the aligned model. It refers to the files of both models, which must stay where they are.
    :param held_out: Share of the images that the map is not fitted on, for its figures; default: 0.2.
    :param limit: Maximum number of images.
    :param settings: Any settings of docs/settings.md, as in a configuration file.
    :param progress: True for bars, False for none, or a function that is called with (task, unit, done, total).
    """
    from headspan._pipeline import _handed_over

    given = {"from": from_, "to": to, "out": out, "held_out": held_out, "limit": limit, "device": device, "strict": strict}
    with _handed_over(images, None, None) as (place, _, _):
        command = ["align", "--json", *flags({**given, "images": place}), *assignments(settings)]
        answer = json.loads(call(command, progress))
    return Alignment(folder=Path(answer["folder"]), fingerprint=answer["fingerprint"], figures=answer["figures"])
