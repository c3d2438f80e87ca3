"""Reads models of OpenCLIP, and of OpenAI's `clip`, by what they are made of and not by their names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .architecture import Architecture, Normalisation, Text, Vision
from .found import Found, FoundText
from .modules import image_side, one_activation, one_eps, refuse_unready, require, unwrapped, weights
from .names import complete, text_beside

CLASS_TOKEN = "the decomposition needs the class token as representation"
VIT_ONLY = "only ViT image towers have attention heads in every block"


def read(model: Any) -> Found:
    """The towers of a model of OpenCLIP."""
    model = unwrapped(model)
    refuse_unready(model)
    visual = unwrapped(getattr(model, "visual", None))
    require(isinstance(visual, nn.Module), f"`{type(model).__name__}`", "it has no image tower `visual`")
    vision, vision_parts = _vision(visual)
    holder, text, text_parts = _text(model)
    tensors = weights(model)
    architecture = Architecture(
        embed_dim=int(visual.proj.shape[1]),
        quick_gelu=one_activation({**vision_parts, **text_parts}),
        vision=vision,
        text=text,
    )
    return Found(
        library="open_clip",
        architecture=architecture,
        tensors=complete(_named(tensors, holder), architecture),
        image=(model, _encode_image),
        text=(model, _encode_text),
        normalisation=_normalisation(visual),
        other_preprocess=_other_preprocess(visual),
    )


def read_text(model: Any) -> FoundText:
    """The text tower of a model of OpenCLIP, whatever its image tower is."""
    model = unwrapped(model)
    refuse_unready(model)
    holder, text, parts = _text(model)
    tensors = weights(model)
    named = {
        name: tensor for name, tensor in _named(tensors, holder).items() if not name.startswith("visual.")
    }
    embed_dim = int(named["text_projection"].shape[1])
    return FoundText(text, embed_dim, one_activation(parts), named, (model, _encode_text))


def _encode_image(model: Any, pixels: Tensor) -> Any:
    return model.encode_image(pixels)


def _encode_text(model: Any, ids: Tensor) -> Any:
    return model.encode_text(ids)


def _named(tensors: dict[str, Tensor], holder: Any) -> dict[str, Tensor]:
    """With the text tower beside the image tower, and its projection as a matrix."""
    named = text_beside(tensors)
    if isinstance(unwrapped(holder.text_projection), nn.Linear):
        named["text_projection"] = named.pop("text_projection.weight").T
    return named


def _vision(visual: Any) -> tuple[Vision, dict[str, Any]]:
    _refuse_other_towers(visual)
    conv, positions = unwrapped(visual.conv1), visual.positional_embedding
    kernel = tuple(conv.kernel_size)
    require(conv.bias is None, "`visual.conv1.bias`", "CLIP's patch embedding has none")
    require(
        kernel[0] == kernel[1] and tuple(conv.stride) == kernel,
        f"patches of {kernel}",
        "patches must be square and side by side",
    )
    stated = getattr(visual, "image_size", None) or getattr(visual, "input_resolution", None)
    size = image_side(int(positions.shape[0]), int(kernel[0]), stated)
    blocks = [unwrapped(block) for block in unwrapped(visual.transformer).resblocks]
    sizes, activations = _blocks(blocks, "visual.transformer")
    norms = {f"visual.{name}": getattr(visual, name) for name in ("ln_pre", "ln_post")}
    norms |= _norms(blocks, "visual.transformer")
    vision = Vision(image_size=size, patch_size=int(kernel[0]), eps=one_eps(norms), **sizes)
    return vision, activations


def _refuse_other_towers(visual: Any) -> None:
    """Names what an image tower has that CLIP's ViT has not."""
    kind = type(visual).__name__
    require(
        not hasattr(visual, "trunk"),
        f"`visual.trunk` (`{kind}`)",
        "image towers of timm inside OpenCLIP are built differently",
        "use an OpenCLIP model with a ViT of its own, such as `ViT-B-32`",
    )
    require(
        not hasattr(visual, "layer1") and not hasattr(visual, "attnpool"),
        f"`visual` (`{kind}`, a ResNet)",
        VIT_ONLY,
    )
    require(
        hasattr(visual, "class_embedding"),
        f"`visual` (`{kind}`)",
        f"it has no `class_embedding`; {CLASS_TOKEN}",
    )
    require(getattr(visual, "attn_pool", None) is None, "`visual.attn_pool` (attention pooling)", CLASS_TOKEN)
    pool = getattr(visual, "pool_type", "tok")
    require(pool == "tok", f"`visual.pool_type = {pool!r}`", CLASS_TOKEN)
    require(
        not isinstance(unwrapped(visual.ln_pre), nn.Identity),
        "`visual.ln_pre` (none)",
        "CLIP's ViT has a LayerNorm there",
    )
    require(
        isinstance(visual.proj, Tensor),
        "`visual.proj` (none)",
        "the decomposition needs the projection to the joint embedding",
    )


def _blocks(blocks: list[Any], tower: str) -> tuple[dict[str, int], dict[str, Any]]:
    """Sizes and activations of the blocks of a tower."""
    require(bool(blocks), f"`{tower}`", "it has no blocks")
    for layer, block in enumerate(blocks):
        part = f"{tower}.resblocks.{layer}"
        attention = unwrapped(getattr(block, "attn", None))
        require(
            isinstance(attention, nn.MultiheadAttention),
            f"`{part}.attn` (`{type(attention).__name__}`)",
            "CLIP's blocks have a `torch.nn.MultiheadAttention` there",
        )
        plain = attention.in_proj_weight is not None and attention.in_proj_bias is not None
        plain = plain and attention.bias_k is None and not attention.add_zero_attn
        require(plain, f"`{part}.attn`", "keys, values and biases must be those of CLIP")
        for name in ("ls_1", "ls_2"):
            scale = unwrapped(getattr(block, name, nn.Identity()))
            require(
                isinstance(scale, nn.Identity),
                f"`{part}.{name}` (`{type(scale).__name__}`)",
                "CLIP's blocks do not scale their outputs",
            )
        require(not hasattr(block, "ln_1_kv"), f"`{part}.ln_1_kv`", "CLIP's blocks attend to themselves")
    first = unwrapped(blocks[0].attn)
    heads = {int(unwrapped(block.attn).num_heads) for block in blocks}
    require(len(heads) == 1, f"`{tower}` with {heads} heads", "all blocks must have one number of heads")
    sizes = {
        "layers": len(blocks),
        "width": int(first.embed_dim),
        "heads": int(first.num_heads),
        "mlp_width": int(unwrapped(blocks[0].mlp.c_fc).out_features),
    }
    return sizes, {
        f"{tower}.resblocks.{layer}.mlp.gelu": block.mlp.gelu for layer, block in enumerate(blocks)
    }


def _norms(blocks: list[Any], tower: str) -> dict[str, Any]:
    return {
        f"{tower}.resblocks.{layer}.{name}": getattr(block, name)
        for layer, block in enumerate(blocks)
        for name in ("ln_1", "ln_2")
    }


def _text(model: Any) -> tuple[Any, Text, dict[str, Any]]:
    """The module that holds the text tower, its sizes and its activations."""
    holder = unwrapped(getattr(model, "text", None)) or model
    embedding = unwrapped(getattr(holder, "token_embedding", None))
    require(
        isinstance(embedding, nn.Embedding),
        f"the text tower (`{type(holder).__name__}`)",
        "it has no `token_embedding`; headspan describes heads by texts and needs CLIP's text tower",
    )
    require(
        getattr(holder, "cls_emb", None) is None,
        "`text.cls_emb` (CoCa)",
        "a text's feature must be taken at its end token",
    )
    require(
        not getattr(holder, "use_pad_mask", False),
        "`text.use_pad_mask`",
        "CLIP's text tower masks later tokens only",
    )
    pool = getattr(holder, "text_pool_type", getattr(holder, "pool_type", "argmax"))
    end = int(getattr(holder, "text_eos_id", getattr(holder, "eos_id", 0)))
    at_end = pool == "argmax" or (pool == "eos" and end == embedding.num_embeddings - 1)
    require(
        at_end,
        f"the text tower's pooling {pool!r}",
        "a text's feature must be taken at its end token, the highest id",
    )
    positions = holder.positional_embedding
    _check_mask(holder, int(positions.shape[0]))
    projection = unwrapped(holder.text_projection)
    linear = isinstance(projection, nn.Linear) and projection.bias is None
    require(
        linear or isinstance(projection, nn.Parameter),
        "`text_projection`",
        "it must be a matrix without a bias",
    )
    blocks = [unwrapped(block) for block in unwrapped(holder.transformer).resblocks]
    sizes, activations = _blocks(blocks, "transformer")
    norms = {"ln_final": holder.ln_final, **_norms(blocks, "transformer")}
    text = Text(
        context_length=int(positions.shape[0]),
        vocab_size=int(embedding.num_embeddings),
        eps=one_eps(norms),
        **sizes,
    )
    return holder, text, activations


def _check_mask(holder: Any, length: int) -> None:
    """OpenAI's `clip` has the mask in its blocks, and the check of texts sees it there."""
    if not hasattr(holder, "attn_mask"):
        return
    mask = holder.attn_mask
    later = torch.ones(length, length, dtype=torch.bool, device="cpu").triu(1)
    causal = mask is not None and mask.shape == later.shape and torch.equal(torch.isneginf(mask.cpu()), later)
    require(causal, "`attn_mask` of the text tower", "a token of CLIP's texts attends to those before it")


def _other_preprocess(visual: Any) -> str | None:
    stated = getattr(visual, "preprocess_cfg", None) or {}
    for key, ours in (("resize_mode", "shortest"), ("interpolation", "bicubic")):
        if stated.get(key, ours) != ours:
            return f"preprocess_cfg.{key} = {stated[key]!r}"
    return None


def _normalisation(visual: Any) -> Normalisation | None:
    stated = getattr(visual, "preprocess_cfg", None) or {}
    mean = stated.get("mean", getattr(visual, "image_mean", None))
    std = stated.get("std", getattr(visual, "image_std", None))
    if mean is None or std is None or len(mean) != 3 or len(std) != 3:
        return None
    return Normalisation(
        (float(mean[0]), float(mean[1]), float(mean[2])), (float(std[0]), float(std[1]), float(std[2]))
    )
