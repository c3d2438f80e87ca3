"""Reads models of OpenCLIP that are no plain CLIP: trunks of timm, CoCa, other poolings, LayerScale."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor, nn

from .architecture import OPEN_CLIP_CONFIG, Normalisation, text_limits
from .errors import TorchInputError
from .family import Family, FamilyTexts, Preprocessing
from .modules import refuse_unready, require, stored, unwrapped
from .open_clip_config import ARCHITECTURE, embed_dim, model_cfg
from .probe_image import SHORTEST, SQUASH
from .store import WEIGHTS

#: CoCa's decoder of captions, which has no part in representations.
DECODER = "text_decoder."


def read(model: Any, tokenizer: Any, preprocess: Any, architecture: str | None) -> Family:
    """A `CLIP`, `CustomTextCLIP` or `CoCa`, by the name of its architecture or by what it is made of."""
    model = unwrapped(model)
    refuse_unready(model)
    visual = unwrapped(getattr(model, "visual", None))
    require(isinstance(visual, nn.Module), f"`{type(model).__name__}`", "it has no image tower `visual`")
    cfg = _named(architecture, model) if architecture is not None else model_cfg(model, tokenizer)
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    size = vision.get("image_size", 224)
    size = int(size[0] if isinstance(size, (tuple, list)) else size)
    stated, is_stated = _stated(visual)
    interpolation = (getattr(visual, "preprocess_cfg", None) or {}).get("interpolation") or "bicubic"

    def files(preprocessing: Preprocessing) -> dict[str, bytes]:
        given = preprocessing.normalisation
        value = {
            "model_cfg": cfg,
            "preprocess_cfg": {
                "mean": list(given.mean),
                "std": list(given.std),
                "interpolation": interpolation if preprocess is None else "bicubic",
                "resize_mode": "squash" if preprocessing.resize.squash else "shortest",
            },
        }
        return {OPEN_CLIP_CONFIG: (json.dumps(value, indent=2) + "\n").encode()}

    whole = stored(model)
    tensors = {name: tensor for name, tensor in whole.items() if not name.startswith(DECODER)}
    notes = ("CoCa's decoder of captions was left out",) if len(tensors) < len(whole) else ()
    limits = text_limits(int(text.get("context_length", 77)), int(text.get("vocab_size", 49408)))
    kind = architecture or vision.get("timm_model_name") or type(model).__name__
    return Family(
        library="open_clip",
        kind=str(kind).replace("/", "-"),
        tensors=tensors,
        weights=WEIGHTS,
        image_size=size,
        image=(model, _represent),
        stated=stated,
        is_stated=is_stated,
        files=files,
        resizes=tuple(dict.fromkeys((stated.resize, SHORTEST, SQUASH))),
        preprocess=preprocess,
        texts=FamilyTexts(limits, text.get("pool_type") == "last", (model, _embed), tokenizer),
        notes=notes,
    )


def _named(architecture: str, model: Any) -> dict[str, Any]:
    """The configuration that OpenCLIP has under a name, with the module's image size."""
    import open_clip

    cfg: dict[str, Any] | None = open_clip.get_model_config(architecture)
    if cfg is None:
        raise TorchInputError(
            f"OpenCLIP has no architecture `{architecture}`", "`open_clip.list_models()` lists them"
        )
    cfg = {**cfg, "vision_cfg": dict(cfg["vision_cfg"]), "text_cfg": dict(cfg["text_cfg"])}
    own = embed_dim(model)
    if cfg["embed_dim"] != own:
        raise TorchInputError(
            f"`{architecture}` has an embedding of {cfg['embed_dim']} numbers, the model of {own}",
            ARCHITECTURE,
        )
    size = getattr(unwrapped(model.visual), "image_size", None)
    if size is not None:
        cfg["vision_cfg"]["image_size"] = int(size[0] if isinstance(size, (tuple, list)) else size)
    return cfg


def _represent(model: Any, pixels: Tensor) -> Any:
    return _first(model.visual(pixels))


def _embed(model: Any, ids: Tensor) -> Any:
    # Embeddings are compared at length 1, which CoCa's are already.
    return model.encode_text(ids)


def _first(output: Any) -> Any:
    """Towers that give tokens too give the representation first."""
    return output[0] if isinstance(output, (tuple, list)) else output


def _stated(visual: Any) -> tuple[Preprocessing, bool]:
    """What `preprocess_cfg` says, and whether it says a normalisation."""
    cfg = getattr(visual, "preprocess_cfg", None) or {}
    resize = SQUASH if cfg.get("resize_mode") == "squash" else SHORTEST
    mean = cfg.get("mean", getattr(visual, "image_mean", None))
    std = cfg.get("std", getattr(visual, "image_std", None))
    found = Normalisation.stated(mean, std)
    return Preprocessing(found or Normalisation(), resize), found is not None
