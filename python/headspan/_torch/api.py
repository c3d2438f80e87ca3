"""The functions that the package shows. PyTorch is imported when one of them is called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .checkpoint import Checkpoint
from .errors import TorchInputError, UnsupportedModel

if TYPE_CHECKING:
    import torch

    from .vision import HeadModule


def from_open_clip(
    model: Any,
    tokenizer: Any = None,
    preprocess: Any = None,
    *,
    architecture: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Checkpoint:
    """Makes a checkpoint folder of a model of OpenCLIP (or OpenAI's `clip`) in memory.

    A model that is no plain CLIP with a class token (SigLIP, EVA-CLIP, CoCa, other trunks of timm, average
    pooling, LayerScale, no `ln_pre`) is checked by headspan itself: it extracts two test images from the
    folder before that is put in place. Representations `[d]` must agree within 1e-4 of the largest value over
    the same pixels, and within 1e-2 where the preprocess rounds pixels otherwise; embeddings of two texts
    within 1e-4.

    Args:
        model: a `CLIP`, `CustomTextCLIP` or `CoCa` of any family that headspan reads (docs/compatibility.md),
            on any device and of any float type; it stays as it is. Models in `torch.compile` and
            `DistributedDataParallel` are unwrapped.
        tokenizer: `open_clip.get_tokenizer(...)`. Without one, headspan uses CLIP's (`headspan fetch
            tokenizer`) where the vocabulary is CLIP's; other texts, such as SigLIP's, need it.
        preprocess: the preprocess of evaluation, a function of a PIL image. It is checked against headspan's
            own by running two test images through both. Without one, the model's own mean and standard
            deviation are used.
        architecture: OpenCLIP's name of the architecture, such as `ViT-B-16-SigLIP`, whose configuration
            (`open_clip.get_model_config`) is then taken. Without it the configuration is read from the
            modules; an error says where they do not tell it.
        folder: where to write; without it, a folder of the cache whose name depends on the content.
        name: model id, the name of its runs; without it, the folder's name.

    Returns:
        The folder, for `headspan.run_all(checkpoint=...)` and, of a plain CLIP, `run_module`. Weights are
        stored as float32.

    Raises:
        UnsupportedModel: a part of the model is not supported; of a family that headspan refuses, in its own
            words.
        ModelMismatch: the model computes something else than its parts and its configuration say.
        PreprocessMismatch: the preprocess makes other pixels or another representation; the message says how
            far off.
        TokenizerMismatch: the tokenizer does not fit the model or headspan.
        FolderInUse: the folder holds another checkpoint.
        TorchInputError: the base of all these. Nothing has been written then.
    """
    from . import family_make, make, open_clip_family, open_clip_model

    if architecture is None:
        try:
            found = open_clip_model.read(model)
        except UnsupportedModel:
            # What no plain CLIP has may be of another family, which names what it lacks in its turn.
            pass
        else:
            return make.checkpoint(found, tokenizer, preprocess, folder, name)
    family = open_clip_family.read(model, tokenizer, preprocess, architecture)
    return family_make.make(family, folder, name)


def from_transformers(
    model: Any,
    processor: Any = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Checkpoint:
    """Makes a checkpoint folder of a model of Hugging Face transformers in memory.

    All but `CLIPModel` are stored as `save_pretrained` does (`config.json`, `model.safetensors`,
    `preprocessor_config.json`, tokenizer) and checked by an extraction as in `from_open_clip`. A tower
    without texts, or whose texts headspan does not read (ChineseCLIP, BLIP), says so in `notes`:
    `headspan.align` gives it a CLIP's.

    Args:
        model: a `CLIPModel`, `SiglipModel`, `Dinov2Model`, `Dinov2WithRegistersModel`, `DINOv3ViTModel`,
            `ViTModel`, `ChineseCLIPModel`, BLIP, or an image tower by itself
            (`CLIPVisionModelWithProjection`, `CLIPVisionModel`, `SiglipVisionModel`, …). Of a
            `…ForImageClassification` of these the classifier is left out. The model stays as it is.
        processor: a processor such as `CLIPProcessor`, of which the tokenizer and the image processor are
            used, or one of the two. Instead of an image processor it may be a function of a PIL image.
        folder: as in `from_open_clip`.
        name: as in `from_open_clip`.

    Returns:
        As `from_open_clip`.

    Raises:
        TorchInputError: as in `from_open_clip`.
    """
    from . import family_make, make, transformers_family, transformers_model

    images, tokenizer = _parts(processor)
    if transformers_family.is_other(model):
        return family_make.make(transformers_family.read(model, images, tokenizer), folder, name)
    return make.checkpoint(transformers_model.read(model), tokenizer, images, folder, name)


def _parts(processor: Any) -> tuple[Any, Any]:
    """Image processor and tokenizer of a processor of transformers."""
    images = getattr(processor, "image_processor", None)
    tokenizer = getattr(processor, "tokenizer", None)
    if processor is None or images is not None or tokenizer is not None:
        return images, tokenizer
    is_tokenizer = hasattr(processor, "backend_tokenizer") or hasattr(processor, "convert_ids_to_tokens")
    return (None, processor) if is_tokenizer else (processor, None)


def from_timm(
    model: Any,
    *,
    text: Any = None,
    tokenizer: Any = None,
    preprocess: Any = None,
    architecture: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Checkpoint:
    """Makes a checkpoint folder of an image tower of timm, without texts or with a text tower from elsewhere.

    Without `text` the folder has timm's own format (`config.json`, `model.safetensors`) and is checked by an
    extraction as in `from_open_clip`.

    Args:
        model: a `VisionTransformer` or `Eva` of an architecture that headspan reads (docs/compatibility.md),
            of any sizes. With `text` it is CLIP's tower, such as `vit_base_patch32_clip_224` with its
            projection as `head`.
        text: the text tower that it was trained with: an OpenCLIP model, a `CLIPModel`, or a checkpoint
            folder. Without it the folder has no texts (`headspan.align` gives it a CLIP's), and the head is
            left out: the representation `[d]` is the pooled and normalised one before it, and `d` the width.
        tokenizer: as in `from_open_clip`; without one, that of the folder `text`. It needs `text`.
        preprocess: as in `from_open_clip`. With `text`, a transform that resizes to more pixels than it crops
            (`crop_pct`) is an error: CLIP's does not.
        architecture: timm's name of the architecture, such as `vit_small_patch14_dinov2`, where the model
            does not know it. Sizes are those of the module.
        folder: as in `from_open_clip`.
        name: as in `from_open_clip`.

    Returns:
        As `from_open_clip`.

    Raises:
        TorchInputError: as in `from_open_clip`.
    """
    from . import family_make, make, timm_family

    if text is None:
        if tokenizer is not None:
            raise TorchInputError(
                "a tokenizer without a text tower", "hand over `text` too, or leave both out"
            )
        return family_make.make(timm_family.read(model, preprocess, architecture), folder, name)
    found, beside = make.joined(model, text)
    return make.checkpoint(found, tokenizer, preprocess, folder, name, beside)


def run_module(
    checkpoint: str | os.PathLike[str],
    layers: str | Iterable[int] = "last:4",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    *,
    quick_gelu: bool | None = None,
    image_size: int | None = None,
) -> HeadModule:
    """A checkpoint's image tower as a `torch.nn.Module` that gives the contributions of its heads.

    Args:
        checkpoint: a checkpoint folder of headspan, OpenCLIP or transformers, a file of weights in one, or a
            `Checkpoint`. It must be a plain CLIP with a class token: other families are refused by name.
        layers: blocks whose heads are wanted: `last:4`, `all`, `8,9` or numbers from 0.
        device: where the module goes; the CPU without it.
        dtype: type of weights and results; float32 without it.
        quick_gelu: the activation, where the configuration does not say it right, as `--quick-gelu`.
        image_size: another image size in pixels, as `--image-size`: position embeddings are interpolated.

    Returns:
        A module in evaluation mode. Called with normalised pixels `[n, 3, s, s]`, it gives a named tuple of
        `representation` `[n, d]`, not normalised, `contributions` `[n, heads, d]` to representation /
        |representation|, and `heads`, their (layer, head) pairs. `module.head_vectors(pixels)` gives the `[n,
        heads, head_dim + 3]` numbers in head space, and `module.readout()` the matrices that map them to
        contributions. All are differentiable.
    """
    from dataclasses import replace
    from pathlib import Path

    import torch

    from .folder_weights import read_folder, resized
    from .make import used
    from .vision import head_module

    wanted = torch.float32 if dtype is None else dtype
    # A module that is made in inference mode could never have gradients.
    with torch.inference_mode(False):
        architecture, tensors = read_folder(Path(os.fspath(checkpoint)))
        if image_size is not None:
            architecture, tensors = resized(architecture, tensors, image_size)
        if quick_gelu is not None:
            architecture = replace(architecture, quick_gelu=quick_gelu)
        # A copy: float32 tensors are mapped from the file otherwise.
        own = {
            name: tensor.detach().to(device=device or "cpu", dtype=wanted, copy=True)
            for name, tensor in used(tensors, architecture).items()
        }
        return head_module(architecture, own, layers)
