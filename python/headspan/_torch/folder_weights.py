"""Reads the weights of a checkpoint folder as PyTorch tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .architecture import Architecture, read_configuration
from .errors import TorchInputError
from .names import from_file

NAMES = (
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "open_clip_model.pt",
    "model.pt",
)
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def read_folder(place: Path) -> tuple[Architecture, dict[str, Tensor]]:
    """Architecture and tensors, under OpenCLIP's names, of a checkpoint folder or of a file in one."""
    if not place.exists():
        raise TorchInputError(f"`{place}` does not exist")
    folder = place.parent if place.is_file() else place
    architecture = read_configuration(folder)
    return architecture, from_file(_load(_weights(place)), str(place))


def _weights(place: Path) -> Path:
    if place.is_file():
        return place
    usual = next((place / name for name in NAMES if (place / name).is_file()), None)
    if usual is not None:
        return usual
    for ending in ENDINGS:
        found = sorted(path for path in place.iterdir() if path.suffix == ending and path.name[0] != ".")
        if len(found) > 1:
            raise TorchInputError(
                f"`{place}` has {len(found)} files that may be the weights", "hand over the file"
            )
        if found:
            return found[0]
    raise TorchInputError(f"`{place}` has no weights: expected `{NAMES[0]}` or `{NAMES[1]}`")


def _load(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TorchInputError(
            f"`{path}` cannot be loaded by PyTorch without running code of the file: {error}",
            "load the model in its own library, and hand it to `headspan.from_open_clip` or"
            " `headspan.from_transformers`",
        ) from error
    return dict(_flat(loaded, ""))


def _flat(value: object, prefix: str) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(prefix.removesuffix("."), value)]
    if not isinstance(value, dict):
        return []
    return [pair for key, inner in value.items() for pair in _flat(inner, f"{prefix}{key}.")]


def resized(
    architecture: Architecture, tensors: dict[str, Tensor], size: int
) -> tuple[Architecture, dict[str, Tensor]]:
    """The model at another image size, with position embeddings interpolated as OpenCLIP does."""
    patch = architecture.vision.patch_size
    if size <= 0 or size % patch:
        raise TorchInputError(f"image_size {size} is not a multiple of the model's patch size {patch}")
    name = "visual.positional_embedding"
    stored = tensors[name].float()
    side, wanted = round((len(stored) - 1) ** 0.5), size // patch
    if side != wanted:
        grid = stored[1:].T.reshape(1, -1, side, side)
        grid = F.interpolate(grid, size=(wanted, wanted), mode="bicubic", antialias=True, align_corners=False)
        tensors = {**tensors, name: torch.cat([stored[:1], grid[0].flatten(1).T])}
    return replace(architecture, vision=replace(architecture.vision, image_size=size)), tensors
