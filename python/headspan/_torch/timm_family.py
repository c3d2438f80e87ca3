"""Reads image towers of timm without texts, and writes them as timm's repositories do."""

from __future__ import annotations

import json
import math
from typing import Any

from torch import Tensor

from .architecture import IMAGENET, TRANSFORMERS_CONFIG, Normalisation
from .errors import TorchInputError
from .family import Family, Preprocessing
from .modules import refuse_unready, require, stored, unwrapped
from .probe_image import SHORTEST, SQUASH, Resize
from .store import LIBRARY_WEIGHTS

#: Parts of a model that are trained on its features, or only in training. headspan reads the features before
#: them.
HEADS = ("head.", "head_dist.", "mask_token")

NAMED = 'hand over the name of timm that it was created by, as `architecture="vit_small_patch14_dinov2"`'


def read(model: Any, preprocess: Any, architecture: str | None) -> Family:
    """A `VisionTransformer` or `Eva`."""
    model = unwrapped(model)
    refuse_unready(model)
    kind = type(model).__name__
    is_tower = all(
        hasattr(model, name) for name in ("patch_embed", "blocks", "forward_features", "forward_head")
    )
    named = architecture or _pretrained(model).get("architecture")
    if not is_tower:
        # headspan knows why it does not read an architecture, by its name.
        require(named is not None, f"`{kind}`", "headspan reads timm's `VisionTransformer` and `Eva`")
    elif named is None:
        raise TorchInputError(f"`{kind}` does not say its architecture, which headspan reads it by", NAMED)
    size = _image_size(model)
    stated, is_stated = _stated(model, size)
    share = _pretrained(model).get("crop_pct")

    def files(preprocessing: Preprocessing) -> dict[str, bytes]:
        value = _configuration(model, str(named), size, preprocessing, share)
        return {TRANSFORMERS_CONFIG: (json.dumps(value, indent=2) + "\n").encode()}

    tensors = {name: tensor for name, tensor in stored(model).items() if not name.startswith(HEADS)}
    has_head = any(name.startswith("head.") for name in stored(model))
    notes = ("the head was left out: the representation is that before it",) if has_head else ()
    return Family(
        library="timm",
        kind=str(named).split(".")[0],
        tensors=tensors,
        weights=LIBRARY_WEIGHTS,
        image_size=size,
        image=(model, _represent),
        stated=stated,
        is_stated=is_stated,
        files=files,
        resizes=tuple(dict.fromkeys((stated.resize, SHORTEST, SQUASH, *_of_steps(preprocess, size)))),
        preprocess=preprocess,
        notes=notes,
    )


def _represent(model: Any, pixels: Tensor) -> Any:
    return model.forward_head(model.forward_features(pixels), pre_logits=True)


def _pretrained(model: Any) -> dict[str, Any]:
    stated = getattr(model, "pretrained_cfg", None)
    return dict(stated) if isinstance(stated, dict) else {}


def _image_size(model: Any) -> int:
    """Side of the input; an image that is not square is refused."""
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if size is None:
        size = (_pretrained(model).get("input_size") or (3, 224, 224))[1:]
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    require(height == width, f"an input of {height} × {width} pixels", "the image must be square")
    return int(height)


def _stated(model: Any, size: int) -> tuple[Preprocessing, bool]:
    """The preprocessing of `pretrained_cfg`, as timm reads it, and whether it is there."""
    cfg = _pretrained(model)
    found = Normalisation.stated(cfg.get("mean"), cfg.get("std"))
    known = found is not None
    normalisation = found or IMAGENET
    if cfg.get("crop_mode") == "squash":
        return Preprocessing(normalisation, SQUASH), known
    share = float(cfg.get("crop_pct") or 1.0)
    side = math.floor(size / share) if 0 < share < 1 else size
    return Preprocessing(normalisation, Resize(side=None if side == size else side)), known


def _of_steps(preprocess: Any, size: int) -> list[Resize]:
    """Shortest sides that the steps of a transform of torchvision name."""
    sides = [getattr(step, "size", None) for step in getattr(preprocess, "transforms", ())]
    return [Resize(side=side) for side in sides if isinstance(side, int) and side > size]


def _configuration(
    model: Any, architecture: str, size: int, preprocessing: Preprocessing, share: Any
) -> dict[str, Any]:
    """The file of timm's repositories, with the sizes that the module has."""
    cfg, resize, pool = _pretrained(model), preprocessing.resize, getattr(model, "global_pool", "token")
    value: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": int(getattr(model, "num_features", 0)),
        "global_pool": pool if isinstance(pool, str) else type(pool).__name__,
        "model_args": _sizes(model, size),
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "interpolation": cfg.get("interpolation") or "bicubic",
            "crop_pct": 1.0 if resize.squash else _share(size, resize.side or size, share),
            "crop_mode": "squash" if resize.squash else "center",
            "mean": list(preprocessing.normalisation.mean),
            "std": list(preprocessing.normalisation.std),
        },
    }
    return value


def _share(size: int, side: int, stated: Any) -> float:
    """The `crop_pct` that gives a shortest side of `side` pixels, as stated where that does."""
    if isinstance(stated, float) and stated > 0 and math.floor(size / stated) == side:
        return stated
    share = size / side
    return share if math.floor(size / share) == side else math.nextafter(share, 0.0)


def _sizes(model: Any, size: int) -> dict[str, int]:
    """Arguments of timm's constructor that headspan reads."""
    blocks = [unwrapped(block) for block in getattr(model, "blocks", ())]
    if not blocks or not hasattr(blocks[0], "attn"):
        return {}
    patch = getattr(model.patch_embed, "patch_size", None)
    sizes = {
        "img_size": size,
        "patch_size": int(patch[0] if isinstance(patch, (tuple, list)) else patch or 0),
        "embed_dim": int(model.embed_dim),
        "depth": len(blocks),
        "num_heads": int(unwrapped(blocks[0].attn).num_heads),
    }
    registers = getattr(model, "reg_token", None)
    return {**sizes, "reg_tokens": int(registers.shape[1])} if registers is not None else sizes
