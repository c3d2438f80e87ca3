"""Compares a model's own features with those that its written configuration claims."""

from __future__ import annotations

import torch
from torch import Tensor

from .architecture import Architecture
from .errors import ModelMismatch
from .found import Found
from .modules import call_in_float32, to_float32, undisturbed
from .text import text_tower
from .vision import head_module

#: Largest difference, as a share of the largest value, that is rounding. Both compute in float32 on the CPU, where 24 blocks
#: differ by some 1e-6; QuickGELU for GELU differs by 1e-2.
TOLERANCE = 1e-4

IMAGES = TEXTS = 2


def check_features(found: Found, architecture: Architecture) -> tuple[str, ...]:
    """What was checked: random images and texts through the model and through the towers that `architecture` describes."""
    tensors = {name: to_float32(tensor) for name, tensor in found.tensors.items()}
    generator = torch.Generator(device="cpu").manual_seed(0)
    checked = []
    size = architecture.vision.image_size
    pixels = torch.randn(IMAGES, 3, size, size, generator=generator, dtype=torch.float32, device="cpu")
    model, function = found.image
    with undisturbed():
        claimed = head_module(architecture, tensors, "last:1")(pixels).representation
        off = _difference("image", call_in_float32(model, function, pixels), claimed)
        checked.append(f"image features of {IMAGES} random images: {off:.1e} of the largest value")
        if found.text is not None:
            ids = _ids(architecture, found.end, generator)
            model, function = found.text
            claimed = text_tower(architecture, tensors)(ids)
            off = _difference("text", call_in_float32(model, function, ids), claimed)
            checked.append(f"text features of {TEXTS} random texts: {off:.1e} of the largest value")
    return tuple(checked)


def _ids(architecture: Architecture, end: int | None, generator: torch.Generator) -> Tensor:
    """Random texts of different lengths, each with its end token and zeros after it."""
    length, highest = architecture.text.context_length, architecture.text.vocab_size - 1
    end = highest if end is None else end
    ids = torch.zeros(TEXTS, length, dtype=torch.int64, device="cpu")
    for row, stop in enumerate((length // 2, length - 1)):
        ids[row, :stop] = torch.randint(0, max(end, 1), (stop,), generator=generator, device="cpu")
        ids[row, stop] = end
    return ids


def _difference(what: str, own: Tensor, claimed: Tensor) -> float:
    if own.shape != claimed.shape:
        raise ModelMismatch(
            f"the model gives {what} features of shape {tuple(own.shape)}, its weights give {tuple(claimed.shape)}"
        )
    off = float((own - claimed).abs().max() / own.abs().max().clamp_min(torch.finfo(torch.float32).tiny))
    if not off <= TOLERANCE:
        raise ModelMismatch(
            f"the model's {what} features differ from those of a plain CLIP model with its weights by {off:.1e} of the largest value",
            f"something in its {what} tower changes the forward pass: a hook, a replaced module or a forward of its own",
        )
    return off
