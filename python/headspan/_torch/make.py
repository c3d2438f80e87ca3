"""From what a reader found to a checkpoint folder: every check first, then the files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from . import store
from .architecture import Architecture, Normalisation, configuration, parse_configuration
from .checkpoint import Checkpoint
from .compare import check_features
from .errors import PreprocessMismatch, TorchInputError, UnsupportedModel
from .folder_weights import read_folder
from .found import Found, FoundText
from .modules import unwrapped
from .names import complete, is_buffer
from .preprocess import check as check_preprocess
from .tokenizer import CLIP_VOCABULARY, tokenizer_json

#: OpenCLIP's letters for sizes, by width and number of blocks.
SIZES = {
    (192, 12): "Ti",
    (384, 12): "S",
    (512, 12): "M",
    (768, 12): "B",
    (1024, 24): "L",
    (1280, 32): "H",
    (1408, 40): "g",
    (1664, 48): "bigG",
}


def checkpoint(
    found: Found,
    tokenizer: Any,
    preprocess: Any,
    folder: str | os.PathLike[str] | None,
    name: str | None,
    written_tokenizer: bytes | None = None,
) -> Checkpoint:
    """Checks a model, its preprocess and its tokenizer, and makes the folder."""
    if name is not None:
        store.check_name(name)
    notes = list(found.warnings)
    checked: list[str] = []
    normalisation, quiet = _normalisation(found, preprocess, notes, checked)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=3)
    notes += quiet

    files = configuration(found.architecture, normalisation)
    config, content = next(iter(files.items()))
    # What is compared is what will be read.
    checked += check_features(found, parse_configuration(config, content, config))
    if tokenizer is not None:
        written_tokenizer = tokenizer_json(tokenizer, found.architecture.text, found.end)
    if written_tokenizer is not None:
        files[store.TOKENIZER] = written_tokenizer
    else:
        notes.append(_no_tokenizer(found))

    if any(tensor.dtype == torch.float64 for tensor in found.tensors.values()):
        notes.append("the float64 weights were rounded to float32")

    content_key = store.content_hash(found.tensors, files)
    path, name = place_of(f"{found.library}-{_size(found.architecture)}", folder, name, content_key)
    store.write(path, found.tensors, files, content_key)
    return Checkpoint(path, name, tuple(checked), tuple(notes))


def _normalisation(
    found: Found, preprocess: Any, notes: list[str], checked: list[str]
) -> tuple[Normalisation, tuple[str, ...]]:
    """The normalisation that is used, and notes that are no warnings."""
    if preprocess is not None:
        result = check_preprocess(preprocess, found.architecture.vision.image_size, found.normalisation)
        notes += result.warnings
        checked += result.checked
        return result.normalisation, result.notes
    if found.other_preprocess is not None:
        raise PreprocessMismatch(
            f"the model's `{found.other_preprocess}` is not supported: headspan resizes the shortest side by"
            " bicubic interpolation and crops the centre",
            "hand over the `preprocess` that is used, to compare it with headspan's",
        )
    if found.normalisation is not None:
        return found.normalisation, ()
    notes.append(
        "the model does not say how pixels are normalised and no preprocess was given: OpenAI's mean and std"
        " are used"
    )
    return Normalisation(), ()


def _no_tokenizer(found: Found) -> str:
    if found.architecture.text.vocab_size == CLIP_VOCABULARY and found.end in (None, CLIP_VOCABULARY - 1):
        return "the folder has no tokenizer.json: run `headspan fetch tokenizer` once, and CLIP's is used"
    return (
        "the folder has no tokenizer.json, and the vocabulary is not CLIP's: hand over the model's tokenizer"
    )


def place_of(
    label: str, folder: str | os.PathLike[str] | None, name: str | None, content: str
) -> tuple[Path, str]:
    """Where a checkpoint goes and its name: those given, else by its label and content in the cache."""
    if folder is None:
        name = name or f"{label}-{content[:8]}"
        return store.cache_folder() / content[:16] / name, name
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    return path, name or path.name


def _size(architecture: Architecture) -> str:
    vision = architecture.vision
    letter = SIZES.get((vision.width, vision.layers), f"{vision.width}x{vision.layers}")
    resolution = "" if vision.image_size == 224 else f"-{vision.image_size}"
    return f"ViT-{letter}-{vision.patch_size}{resolution}"


def joined(model: Any, text: Any) -> tuple[Found, bytes | None]:
    """An image tower of timm with a text tower from elsewhere, and the tokenizer beside that."""
    from . import timm_model

    vision, quick_gelu, tensors = timm_model.read_vision(model)
    embed_dim = int(tensors["visual.proj"].shape[1])
    if text is None:
        raise UnsupportedModel.part(
            "a model of timm alone",
            "it has no text tower, and headspan describes heads by texts",
            "hand over the text tower that it was trained with: `text=` an OpenCLIP model, a `CLIPModel` or a"
            " checkpoint folder",
        )
    other = _text(text)
    if other.embed_dim != embed_dim:
        raise UnsupportedModel(
            f"the image tower's embedding has {embed_dim} numbers, the text tower's {other.embed_dim}: they"
            " do not belong together"
        )
    if other.quick_gelu != quick_gelu:
        names = {True: "QuickGELU", False: "GELU"}
        raise UnsupportedModel.part(
            f"{names[quick_gelu]} in the image tower and {names[other.quick_gelu]} in the text tower",
            "both towers must have one activation",
            "timm's models with QuickGELU have `clip_quickgelu` in their names, OpenCLIP's end with"
            " `-quickgelu`",
        )
    architecture = Architecture(embed_dim, quick_gelu, vision, other.text)
    warning = timm_model.activation_warning(model, quick_gelu)
    found = Found(
        library="timm",
        architecture=architecture,
        tensors=complete({**other.tensors, **tensors}, architecture),
        image=(unwrapped(model), lambda model, pixels: model(pixels)),
        text=other.call,
        normalisation=timm_model.stated_normalisation(model),
        end=other.end,
        warnings=() if warning is None else (warning,),
    )
    return found, other.tokenizer


def _text(text: Any) -> FoundText:
    from . import open_clip_model, transformers_model

    if isinstance(text, (str, os.PathLike)):
        return _text_of_folder(Path(text))
    if hasattr(unwrapped(text), "text_model"):
        return transformers_model.read_text(text)
    return open_clip_model.read_text(text)


def _text_of_folder(place: Path) -> FoundText:
    architecture, tensors = read_folder(place)
    own = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith("visual.") and not is_buffer(name)
    }
    if "text_projection" not in own:
        raise TorchInputError(f"`{place}` has no text tower")
    beside = (place.parent if place.is_file() else place) / store.TOKENIZER
    tokenizer = beside.read_bytes() if beside.is_file() else None
    return FoundText(
        architecture.text, architecture.embed_dim, architecture.quick_gelu, own, tokenizer=tokenizer
    )


def used(tensors: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    """The image tower's tensors of a folder, checked for names and shapes."""
    names = {name for name in tensors if name.startswith("visual.")}
    whole = complete({name: tensor for name, tensor in tensors.items() if not is_buffer(name)}, architecture)
    return {name: tensor for name, tensor in whole.items() if name in names}
