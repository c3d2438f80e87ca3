"""Reads CLIP's image towers of timm. A text tower comes from elsewhere: timm has none."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .architecture import Normalisation, Vision
from .errors import UnsupportedModel
from .modules import image_side, one_activation, one_eps, refuse_unready, require, unwrapped, weights

CLASS_TOKEN = "the decomposition needs the class token as representation"

#: timm's names inside a block and OpenCLIP's.
PARTS = (
    ("norm1.", "ln_1."),
    ("norm2.", "ln_2."),
    ("attn.qkv.weight", "attn.in_proj_weight"),
    ("attn.qkv.bias", "attn.in_proj_bias"),
    ("attn.proj.", "attn.out_proj."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
)


def read_vision(model: Any) -> tuple[Vision, bool, dict[str, Tensor]]:
    """Sizes of an image tower, whether it has QuickGELU, and its tensors under OpenCLIP's names."""
    model = unwrapped(model)
    refuse_unready(model)
    _refuse_other_models(model)
    embed = unwrapped(model.patch_embed)
    conv = unwrapped(embed.proj)
    kernel = tuple(conv.kernel_size)
    require(kernel[0] == kernel[1], f"patches of {kernel}", "patches must be square")
    blocks = [unwrapped(block) for block in unwrapped(model.blocks)]
    sizes, activations = _blocks(blocks)
    norms = {"norm_pre": model.norm_pre, "norm": model.norm}
    norms |= {
        f"blocks.{i}.{name}": getattr(block, name)
        for i, block in enumerate(blocks)
        for name in ("norm1", "norm2")
    }
    size = image_side(int(model.pos_embed.shape[1]), int(kernel[0]), getattr(embed, "img_size", None))
    vision = Vision(image_size=size, patch_size=int(kernel[0]), eps=one_eps(norms), **sizes)
    return vision, one_activation(activations), _renamed(weights(model))


def stated_normalisation(model: Any) -> Normalisation | None:
    """Mean and standard deviation of `pretrained_cfg`."""
    stated = _pretrained(model)
    mean, std = stated.get("mean"), stated.get("std")
    if mean is None or std is None:
        return None
    return Normalisation(
        (float(mean[0]), float(mean[1]), float(mean[2])), (float(std[0]), float(std[1]), float(std[2]))
    )


def activation_warning(model: Any, quick_gelu: bool) -> str | None:
    """What timm's notes say of weights that were trained with the other activation."""
    notes = " ".join(str(note) for note in _pretrained(model).get("notes") or ())
    if quick_gelu or "quickgelu" not in notes.lower():
        return None
    return (
        "timm says of these weights: "
        + notes
        + "; the model has GELU, and its results differ subtly from the original"
    )


def _pretrained(model: Any) -> dict[str, Any]:
    stated = getattr(unwrapped(model), "pretrained_cfg", None)
    return dict(stated) if isinstance(stated, dict) else {}


def _refuse_other_models(model: Any) -> None:
    """Names what a model has that CLIP's image tower has not."""
    kind = type(model).__name__
    is_vit = all(hasattr(model, name) for name in ("patch_embed", "blocks", "norm", "head"))
    require(
        is_vit, f"`{kind}`", "only timm's `VisionTransformer` has the attention heads of CLIP in every block"
    )
    require(
        getattr(model, "attn_pool", None) is None,
        "`attn_pool` (attention pooling, as SigLIP has)",
        CLASS_TOKEN,
    )
    require(getattr(model, "cls_token", None) is not None, f"`{kind}` without `cls_token`", CLASS_TOKEN)
    require(
        getattr(model, "reg_token", None) is None,
        "`reg_token` (register tokens)",
        "CLIP's ViT has a class token and patches only",
    )
    pool = getattr(model, "global_pool", "token")
    require(pool == "token", f"`global_pool = {pool!r}`", CLASS_TOKEN)
    require(
        getattr(model, "pos_embed", None) is not None,
        "`pos_embed` (none)",
        "CLIP's ViT has learned position embeddings",
    )
    require(
        not getattr(model, "no_embed_class", False),
        "`no_embed_class`",
        "CLIP's class token has a position embedding",
    )
    require(getattr(model, "rope", None) is None, "`rope`", "CLIP's ViT has learned position embeddings")
    embed = unwrapped(model.patch_embed)
    proj = unwrapped(getattr(embed, "proj", None))
    require(
        isinstance(proj, nn.Conv2d) and proj.bias is None and tuple(proj.stride) == tuple(proj.kernel_size),
        "`patch_embed.proj`",
        "CLIP's patch embedding is one convolution without bias, patches side by side",
    )
    require(
        isinstance(unwrapped(getattr(embed, "norm", nn.Identity())), nn.Identity),
        "`patch_embed.norm`",
        "CLIP's patch embedding has none",
    )
    require(
        isinstance(unwrapped(getattr(model, "norm_pre", None)), nn.LayerNorm),
        "`norm_pre` (none)",
        "CLIP's ViT has a LayerNorm before its blocks (`pre_norm`)",
        "timm's names of CLIP's image towers have `clip` in them, such as `vit_base_patch32_clip_224`",
    )
    require(
        isinstance(unwrapped(getattr(model, "fc_norm", nn.Identity())), nn.Identity),
        "`fc_norm`",
        "CLIP's ViT has no norm after pooling",
    )
    _refuse_other_head(model)


def _refuse_other_head(model: Any) -> None:
    head = unwrapped(model.head)
    require(
        isinstance(head, nn.Linear),
        f"`head` (`{type(head).__name__}`)",
        "the head must be CLIP's projection to the joint embedding",
        "create the model with the weights of CLIP and without `num_classes=0`",
    )
    if head.bias is not None and bool((head.bias.detach() != 0).any()):
        raise UnsupportedModel.part(
            "`head.bias`",
            "CLIP's projection has no bias; this head is a classifier, and texts have no place in its space",
        )


def _blocks(blocks: list[Any]) -> tuple[dict[str, int], dict[str, Any]]:
    require(bool(blocks), "`blocks`", "there are none")
    for layer, block in enumerate(blocks):
        part = f"blocks.{layer}"
        attention = unwrapped(getattr(block, "attn", None))
        qkv, proj = unwrapped(getattr(attention, "qkv", None)), unwrapped(getattr(attention, "proj", None))
        plain = (
            isinstance(qkv, nn.Linear)
            and qkv.bias is not None
            and isinstance(proj, nn.Linear)
            and proj.bias is not None
        )
        require(
            plain,
            f"`{part}.attn` (`{type(attention).__name__}`)",
            "CLIP's attention has `qkv` and `proj`, each with bias",
        )
        for owner, name in (
            (attention, "q_norm"),
            (attention, "k_norm"),
            (attention, "norm"),
            (block, "ls1"),
            (block, "ls2"),
            (block.mlp, "norm"),
        ):
            module = unwrapped(getattr(unwrapped(owner), name, None))
            require(
                module is None or isinstance(module, nn.Identity),
                f"`{part}` with `{name}` (`{type(module).__name__}`)",
                "CLIP's blocks have none",
            )
        require(getattr(attention, "gate", None) is None, f"`{part}.attn.gate`", "CLIP's attention has none")
    first = unwrapped(blocks[0].attn)
    heads = {int(unwrapped(block.attn).num_heads) for block in blocks}
    require(len(heads) == 1, f"blocks with {heads} heads", "all blocks must have one number of heads")
    sizes = {
        "layers": len(blocks),
        "width": int(unwrapped(first.proj).out_features),
        "heads": heads.pop(),
        "mlp_width": int(unwrapped(unwrapped(blocks[0].mlp).fc1).out_features),
    }
    return sizes, {f"blocks.{layer}.mlp.act": unwrapped(block.mlp).act for layer, block in enumerate(blocks)}


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name == "head.bias":
            continue
        if name.startswith("blocks."):
            for part, other in PARTS:
                name = name.replace("." + part, "." + other)
            renamed["visual.transformer.resblocks." + name.removeprefix("blocks.")] = tensor
        elif name == "head.weight":
            renamed["visual.proj"] = tensor.T
        elif name == "cls_token":
            renamed["visual.class_embedding"] = tensor.reshape(-1)
        elif name == "pos_embed":
            renamed["visual.positional_embedding"] = tensor[0]
        else:
            for part, other in (
                ("patch_embed.proj.", "conv1."),
                ("norm_pre.", "ln_pre."),
                ("norm.", "ln_post."),
            ):
                name = other + name.removeprefix(part) if name.startswith(part) else name
            renamed["visual." + name] = tensor
    return renamed
