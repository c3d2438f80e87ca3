"""The functions that the package shows. PyTorch is imported when one of them is called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

    from .vision import HeadModule


def from_open_clip(
    model: Any,
    tokenizer: Any = None,
    preprocess: Any = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Checkpoint:
    """Makes a checkpoint folder of a model of OpenCLIP (or OpenAI's `clip`) in memory.

    Args:
        model: a `CLIP` or `CustomTextCLIP` with a ViT, on any device and of any float type; it stays as it
            is. Models in `torch.compile` and `DistributedDataParallel` are unwrapped.
        tokenizer: `open_clip.get_tokenizer(...)`. Without one, headspan uses CLIP's (`headspan fetch
            tokenizer`).
        preprocess: the preprocess of evaluation, a function of a PIL image. It is checked against headspan's
            own by running two test images through both. Without one, the model's own mean and standard
            deviation are used.
        folder: where to write; without it, a folder of the cache whose name depends on the content.
        name: model id, the name of its runs; without it, the folder's name.

    Returns:
        The folder, for `headspan.run_all(checkpoint=...)` and `run_module`. Weights are stored as float32.

    Raises:
        TorchInputError: a part of the model is not supported, the preprocess makes other pixels, the
            tokenizer does not fit, or the folder holds another checkpoint. Nothing has been written then.
    """
    from . import make, open_clip_model

    return make.checkpoint(open_clip_model.read(model), tokenizer, preprocess, folder, name)


def from_transformers(
    model: Any,
    processor: Any = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Checkpoint:
    """Makes a checkpoint folder of a `CLIPModel` of Hugging Face transformers in memory.

    Args:
        model: a `CLIPModel`; it stays as it is.
        processor: a `CLIPProcessor`, of which the tokenizer and the image processor are used, or one of the
            two.
        folder: as in `from_open_clip`.
        name: as in `from_open_clip`.

    Returns:
        As `from_open_clip`.
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
    """Makes a checkpoint folder of CLIP's image tower of timm and a text tower from elsewhere.

    Args:
        model: a `VisionTransformer` such as `vit_base_patch32_clip_224`, with its projection as `head`.
        text: the text tower that it was trained with: an OpenCLIP model, a `CLIPModel`, or a checkpoint
            folder.
        tokenizer: as in `from_open_clip`; without one, that of the folder `text`.
        preprocess: as in `from_open_clip`. The transform that timm makes of a model's own data configuration
            may resize to more pixels than it crops (`crop_pct`), which is an error: CLIP's does not.
        folder: as in `from_open_clip`.
        name: as in `from_open_clip`.

    Returns:
        As `from_open_clip`.
    """
    from . import family_make, make, timm_family

    if text is None:
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
            `Checkpoint`.
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
