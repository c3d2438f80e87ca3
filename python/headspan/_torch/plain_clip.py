"""Tells a plain CLIP from the other families by its configuration: code in PyTorch reads no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import UnsupportedModel

HINT = (
    "modules of PyTorch are made of CLIPs with a class token. headspan itself reads this model: extract it,"
    ' and take contributions from `headspan.open(...)["L3.H1"].contributions()` or `headspan export`'
)

#: Keys of a tower in `open_clip_config.json` and the values that a plain CLIP has; absent ones are plain.
VISION: Mapping[str, tuple[Any, ...]] = {
    "timm_model_name": (None, ""),
    "attentional_pool": (None, False),
    "pool_type": ("tok",),
    "global_average_pool": (None, False),
    "no_ln_pre": (None, False),
}
TEXT: Mapping[str, tuple[Any, ...]] = {
    "hf_model_name": (None, ""),
    "embed_cls": (None, False),
    "no_causal_mask": (None, False),
    "pool_type": ("argmax", "eos"),
    "proj_bias": (None, False),
}
BOTH: Mapping[str, tuple[Any, ...]] = {
    "ls_init_value": (None,),
    "norm_kwargs": (None, {}, {"eps": 1e-5}),
    "act_kwargs": (None, {}, {"approximate": "none"}),
}


def refuse_others(value: Mapping[str, Any], shown: str) -> None:
    """Refuses a configuration of another family; messages call the file `shown`."""
    if "architecture" in value:
        raise _other(f"`architecture` = `{value['architecture']}`, an image tower of timm", shown)
    if "model_cfg" not in value:
        model_type = value.get("model_type")
        if model_type not in (None, "clip"):
            raise _other(f"`model_type` = `{model_type}`", shown)
        return
    model = value["model_cfg"]
    for tower, plain in (("vision_cfg", {**VISION, **BOTH}), ("text_cfg", {**TEXT, **BOTH})):
        for key, found in model.get(tower, {}).items():
            if key in plain and found not in plain[key]:
                raise _other(f"`{tower}.{key}` = `{found}`", shown)


def _other(what: str, shown: str) -> UnsupportedModel:
    return UnsupportedModel(f"{what} in `{shown}` is not supported here: it is no plain CLIP", HINT)
