"""A checkpoint folder that was made of a model in memory. Imports nothing, so that it costs nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint(os.PathLike[str]):
    """A folder that `headspan run-all --checkpoint FOLDER` reads. It is accepted wherever a path is."""

    #: The folder, absolute.
    path: Path
    #: The model id: the name of its runs.
    name: str
    #: What was compared with the model when the folder was made.
    checked: tuple[str, ...] = field(default=(), compare=False)
    #: What differs from the model or is still needed, such as a tokenizer.
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)
