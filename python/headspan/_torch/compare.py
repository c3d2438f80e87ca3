"""Compares a model's own features with those that its written configuration claims."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .architecture import Architecture
from .errors import ModelMismatch, TorchInputError
from .found import Features, Found
from .modules import call_in_float32, to_float32, undisturbed
from .text import text_tower
from .vision import head_module

#: Largest difference, as a share of the largest value, that is rounding. Both compute in float32 on the CPU,
#: where 24 blocks differ by some 1e-6; QuickGELU for GELU differs by 1e-2.
TOLERANCE = 1e-4

IMAGES = TEXTS = 2


def check_features(found: Found, architecture: Architecture) -> tuple[str, ...]:
    """Compares features of random images and texts with those of `architecture`; says what was compared."""
    tensors = {name: to_float32(tensor) for name, tensor in found.tensors.items()}
    generator = torch.Generator(device="cpu").manual_seed(0)
    checked = []
    size = architecture.vision.image_size
    pixels = torch.randn(IMAGES, 3, size, size, generator=generator, dtype=torch.float32, device="cpu")
    with undisturbed():
        claimed = head_module(architecture, tensors, "last:1")(pixels).representation
        off = _difference("image", own_features("random image", found.image, pixels), claimed)
        checked.append(f"image features of {IMAGES} random images: {off:.1e} of the largest value")
        if found.text is not None:
            ids = _ids(architecture, found.end, generator)
            claimed = text_tower(architecture, tensors)(ids)
            off = _difference("text", own_features("random text", found.text, ids), claimed)
            checked.append(f"text features of {TEXTS} random texts: {off:.1e} of the largest value")
    return tuple(checked)


def own_features(what: str, call: tuple[nn.Module, Features], given: Tensor) -> Tensor:
    """Features by the model's own code, in float32 on the CPU; the model stays as it is."""
    model, function = call
    try:
        return call_in_float32(model, function, given)
    except TorchInputError:
        raise
    except Exception as error:
        raise ModelMismatch(
            f"the model failed on {what}s of shape {list(given.shape)}: {error}",
            "headspan ran it in float32 on the CPU, to compare it with its written configuration",
        ) from error


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
            f"the model gives {what} features of shape {tuple(own.shape)}, its weights give"
            f" {tuple(claimed.shape)}"
        )
    if not bool(own.isfinite().all()):
        raise ModelMismatch(
            f"the model's {what} features of random inputs are not finite",
            "its weights hold NaN or infinity, as after a training that diverged",
        )
    off = float((own - claimed).abs().max() / own.abs().max().clamp_min(torch.finfo(torch.float32).tiny))
    if not off <= TOLERANCE:
        raise ModelMismatch(
            f"the model's {what} features differ from those of a plain CLIP model with its weights by"
            f" {off:.1e} of the largest value",
            f"something in its {what} tower changes the forward pass: a hook, a replaced module or a forward"
            " of its own",
        )
    return off
