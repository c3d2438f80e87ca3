"""What a reader found in a model that is no plain CLIP: a folder in its library's own format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .architecture import Normalisation, Text
from .found import Features
from .probe_image import SHORTEST, Resize

#: For the notes of a tower without texts.
NO_TEXTS = (
    "this tower has no texts: give it those of a CLIP with `headspan.align`, or extract its heads and ask by"
    " images"
)


@dataclass(frozen=True)
class Preprocessing:
    """How images become normalised pixels `[3, s, s]`."""

    normalisation: Normalisation
    resize: Resize = SHORTEST


@dataclass(frozen=True)
class FamilyTexts:
    """The text side of a model, for a comparison of its embeddings with headspan's."""

    #: `vocab_size` and `context_length` count; the other sizes are those of the module.
    limits: Text
    #: Texts are padded to the context and pooled at the last token (SigLIP), not at their end token (CLIP).
    padded: bool
    #: The module and its function of token ids `[n, context_length]`.
    call: tuple[nn.Module, Features]
    #: As the user handed it over; `None` where they did not.
    tokenizer: Any = None


@dataclass(frozen=True)
class Family:
    """A model of a family that headspan reads from a folder."""

    #: `open_clip`, `transformers` or `timm`.
    library: str
    #: Name of the architecture or class, for messages and for the name of the checkpoint.
    kind: str
    #: Under the library's names, as the model has them: any float type, any device.
    tensors: dict[str, Tensor]
    #: Name of the file of weights.
    weights: str
    #: Side of the square input in pixels.
    image_size: int
    #: The module and its own function of pixels `[n, 3, s, s]`: representations `[n, d]`, not normalised.
    image: tuple[nn.Module, Features]
    #: What the model or its processor says of its preprocessing; headspan's for the family where they say
    #: nothing.
    stated: Preprocessing
    #: Whether the model or its processor says it.
    is_stated: bool
    #: The configuration files by name, for a preprocessing.
    files: Callable[[Preprocessing], dict[str, bytes]]
    #: Preprocessings that the files can say.
    resizes: Sequence[Resize]
    #: The preprocess to compare with; `None` if there is none.
    preprocess: Any = None
    #: Whether `files` holds the preprocessing in its own words, whose refusal comes first.
    own_words: bool = False
    texts: FamilyTexts | None = None
    notes: tuple[str, ...] = ()
