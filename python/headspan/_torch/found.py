"""What a reader of one library found in a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .architecture import Architecture, Normalisation, Text

#: Features of a model for inputs, by the model's own code.
Features = Callable[[nn.Module, Tensor], Any]


@dataclass(frozen=True)
class Found:
    """A CLIP model under OpenCLIP's names."""

    #: Name of the library, for the name of the checkpoint.
    library: str
    architecture: Architecture
    #: As the model has them: any float type, any device.
    tensors: dict[str, Tensor]
    #: The module and its own functions for pixels `[n, 3, s, s]` and token ids `[n, context_length]`.
    image: tuple[nn.Module, Features]
    text: tuple[nn.Module, Features] | None
    #: What the model says of its own normalisation, if it does.
    normalisation: Normalisation | None = None
    #: What the model says of its preprocessing that headspan does not do.
    other_preprocess: str | None = None
    #: Id of the token at which a text's feature is taken; `None` for the highest id.
    end: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundText:
    """A text tower alone, for an image tower from elsewhere."""

    text: Text
    embed_dim: int
    quick_gelu: bool
    #: Under OpenCLIP's names, without those of an image tower.
    tensors: dict[str, Tensor]
    #: The module and its own function for token ids; `None` if it comes from a folder.
    call: tuple[nn.Module, Features] | None = None
    #: As in `Found`.
    end: int | None = None
    #: The `tokenizer.json` that belongs to it, if it has one.
    tokenizer: bytes | None = None
