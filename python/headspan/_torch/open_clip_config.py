"""The configuration of a model of OpenCLIP, which it does not carry, from its modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from .architecture import mlp_ratio
from .errors import UnsupportedModel
from .modules import activation, one_eps, require, unwrapped

#: PyTorch's epsilon of a LayerNorm.
EPSILON = 1e-5

ARCHITECTURE = 'hand over OpenCLIP\'s name of the architecture, as `architecture="ViT-B-16-SigLIP"`'


def model_cfg(model: Any, tokenizer: Any) -> dict[str, Any]:
    """`model_cfg` of `open_clip_config.json`."""
    visual, holder = unwrapped(model.visual), text_holder(model)
    text, text_act = _text(holder, tokenizer)
    if hasattr(visual, "trunk"):
        # timm's towers know their activation by their name.
        vision, vision_act = _trunk(visual), text_act
    else:
        vision, vision_act = _native(visual)
    quick = {act for act in (vision_act, text_act) if act is not None}
    require(
        len({act == "quick_gelu" for act in quick}) < 2,
        "QuickGELU in one tower and GELU in the other",
        "both towers must have one activation",
    )
    for tower, act in ((vision, vision_act), (text, text_act)):
        if act == "gelu_tanh" and "timm_model_name" not in tower:
            tower["act_kwargs"] = {"approximate": "tanh"}
    return {
        "embed_dim": embed_dim(model),
        "quick_gelu": "quick_gelu" in quick,
        **({"custom_text": True} if holder is not model else {}),
        "vision_cfg": vision,
        "text_cfg": text,
    }


def text_holder(model: Any) -> Any:
    """The module that holds the text tower: the model itself, or its `text`."""
    return unwrapped(getattr(model, "text", None)) or model


def embed_dim(model: Any) -> int:
    """Length of the joint embedding, by the text tower's projection, else the image tower's."""
    projection = unwrapped(getattr(text_holder(model), "text_projection", None))
    if isinstance(projection, nn.Linear):
        return int(projection.out_features)
    if projection is not None:
        return int(projection.shape[1])
    visual = unwrapped(model.visual)
    linear = dict(getattr(unwrapped(getattr(visual, "head", None)), "named_children", dict)()).get("proj")
    own = getattr(visual, "output_dim", None) or getattr(unwrapped(linear), "out_features", None)
    own = own or getattr(unwrapped(getattr(visual, "trunk", None)), "num_features", None)
    require(own is not None, "`text_projection` (none)", "the length of the joint embedding is not known")
    return int(own or 0)


def _native(visual: Any) -> tuple[dict[str, Any], str | None]:
    """OpenCLIP's own `VisionTransformer`, and its activation."""
    kind = type(visual).__name__
    require(
        not hasattr(visual, "layer1") and not hasattr(visual, "attnpool"),
        f"`visual` (`{kind}`, a ResNet)",
        "only ViT image towers have attention heads in every block",
    )
    for name in ("class_embedding", "positional_embedding", "conv1", "transformer"):
        require(hasattr(visual, name), f"`visual` (`{kind}`)", f"it has no `{name}`")
    conv = unwrapped(visual.conv1)
    patch = tuple(conv.kernel_size)
    require(
        patch[0] == patch[1] and conv.bias is None, "`visual.conv1`", "patches must be square, without a bias"
    )
    stated = getattr(visual, "image_size", None) or getattr(visual, "input_resolution", None) or 0
    side: tuple[int, ...] = tuple(stated) if isinstance(stated, (tuple, list)) else (stated, stated)
    require(side[0] == side[1] > 0, f"an image size of {stated}", "images must be square")
    norms = [unwrapped(visual.ln_pre), unwrapped(visual.ln_post)]
    no_norm = isinstance(norms[0], nn.Identity)
    sizes, act, eps = _blocks(visual.transformer, "visual.transformer", norms[1:] if no_norm else norms)
    heads, width = sizes.pop("heads"), sizes["width"]
    value: dict[str, Any] = {
        "image_size": int(side[0]),
        "patch_size": int(patch[0]),
        **sizes,
        "head_width": width // heads,
        "pool_type": getattr(visual, "pool_type", "tok"),
    }
    if no_norm:
        value["no_ln_pre"] = True
    if getattr(visual, "final_ln_after_pool", False):
        value["final_ln_after_pool"] = True
    if eps != EPSILON:
        value["norm_kwargs"] = {"eps": eps}
    pooler = unwrapped(getattr(visual, "attn_pool", None))
    if pooler is not None:
        value |= {
            "attentional_pool": getattr(visual, "attn_pool_type", "") or True,
            "attn_pooler_queries": int(pooler.query.shape[0]),
            "attn_pooler_heads": int(unwrapped(pooler.attn).num_heads),
        }
    return value, act


def _trunk(visual: Any) -> dict[str, Any]:
    """A tower of timm, whose sizes its name says."""
    trunk, head = unwrapped(visual.trunk), unwrapped(visual.head)
    stated = getattr(trunk, "pretrained_cfg", None) or {}
    name = stated.get("architecture") if isinstance(stated, dict) else None
    require(
        bool(name),
        f"`visual.trunk` (`{type(trunk).__name__}`) of unknown architecture",
        "headspan reads timm's towers by name",
        ARCHITECTURE,
    )
    size = getattr(visual, "image_size", None) or getattr(
        getattr(trunk, "patch_embed", None), "img_size", None
    )
    parts, pool = dict(head.named_children()), getattr(trunk, "global_pool", "")
    value: dict[str, Any] = {
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": pool if isinstance(pool, str) else type(pool).__name__,
        "image_size": int(size[0] if isinstance(size, (tuple, list)) else size or 224),
    }
    if "proj" in parts:
        has_bias = unwrapped(parts["proj"]).bias is not None
        return {**value, "timm_proj": "linear", "timm_proj_bias": has_bias}
    if "mlp" in parts:
        return {**value, "timm_proj": "mlp"}
    own = unwrapped(getattr(trunk, "head", None))
    return {**value, "timm_proj": None if isinstance(own, nn.Linear) else "none"}


def _text(holder: Any, tokenizer: Any) -> tuple[dict[str, Any], str | None]:
    """A text tower of OpenCLIP, and its activation."""
    hugging = getattr(unwrapped(getattr(holder, "transformer", None)), "config", None)
    if hugging is not None:
        # headspan says why it does not read it.
        name = getattr(hugging, "_name_or_path", "") or getattr(hugging, "model_type", "")
        return {"hf_model_name": name}, None
    embedding = unwrapped(getattr(holder, "token_embedding", None))
    require(
        isinstance(embedding, nn.Embedding),
        f"the text tower (`{type(holder).__name__}`)",
        "it has no `token_embedding`; headspan reads OpenCLIP's text towers",
    )
    sizes, act, eps = _blocks(holder.transformer, "transformer", [unwrapped(holder.ln_final)])
    positions = int(holder.positional_embedding.shape[0])
    has_class = getattr(holder, "cls_emb", None) is not None
    pool = getattr(holder, "text_pool_type", getattr(holder, "pool_type", "argmax"))
    value: dict[str, Any] = {
        "context_length": positions - int(has_class),
        "vocab_size": int(embedding.num_embeddings),
        **sizes,
        "pool_type": pool,
    }
    end = int(getattr(holder, "text_eos_id", getattr(holder, "eos_id", 0)))
    if pool == "eos" and end == embedding.num_embeddings - 1:
        value["pool_type"] = "argmax"
    if has_class:
        value |= {"embed_cls": True, "pad_id": int(getattr(holder, "pad_id", 0))}
    if getattr(holder, "attn_mask", 0) is None:
        value["no_causal_mask"] = True
    if getattr(holder, "use_pad_mask", False):
        value["use_pad_mask"] = True
    projection = unwrapped(holder.text_projection)
    if projection is None:
        value["proj_type"] = "none"
    elif isinstance(projection, nn.Linear) and projection.bias is not None:
        value["proj_bias"] = True
    if eps != EPSILON:
        value["norm_kwargs"] = {"eps": eps}
    return {**value, **_tokens(value["pool_type"], tokenizer)}, act


def _tokens(pool: str, tokenizer: Any) -> dict[str, Any]:
    """How texts become tokens, where it is not CLIP's way."""
    inner = getattr(tokenizer, "tokenizer", None)
    clean = getattr(getattr(tokenizer, "clean_fn", None), "__name__", "")
    if pool != "last":
        return {}
    name = getattr(inner, "name_or_path", "") or "tokenizer.json"
    # SigLIP's is the only text tower of OpenCLIP that headspan knows to be pooled at the last token.
    is_other = inner is not None and "canonicalize" not in clean
    return {
        "hf_tokenizer_name": name,
        "tokenizer_kwargs": {"clean": clean.strip("_") if is_other else "canonicalize"},
    }


def _blocks(transformer: Any, tower: str, norms: list[Any]) -> tuple[dict[str, Any], str, float]:
    """Sizes, activation and epsilon of the blocks of a tower of OpenCLIP."""
    blocks = [unwrapped(block) for block in unwrapped(transformer).resblocks]
    require(bool(blocks), f"`{tower}`", "it has no blocks")
    acts, heads, every = set(), set(), {f"{tower}, norm {at}": norm for at, norm in enumerate(norms)}
    for layer, block in enumerate(blocks):
        part = f"{tower}.resblocks.{layer}"
        attention = unwrapped(getattr(block, "attn", None))
        require(
            isinstance(attention, nn.MultiheadAttention),
            f"`{part}.attn` (`{type(attention).__name__}`)",
            "headspan reads blocks with a `torch.nn.MultiheadAttention`",
        )
        heads.add(int(attention.num_heads))
        acts.add(activation(unwrapped(block.mlp).gelu, f"{part}.mlp.gelu"))
        every |= {f"{part}.{name}": getattr(block, name) for name in ("ln_1", "ln_2")}
    require(len(heads) == 1, f"`{tower}` with {heads} heads", "all blocks must have one number of heads")
    if len(acts) != 1:
        raise UnsupportedModel.part(f"`{tower}` with {sorted(acts)}", "all blocks must have one activation")
    first = blocks[0]
    width = int(unwrapped(first.attn).embed_dim)
    sizes: dict[str, Any] = {
        "layers": len(blocks),
        "width": width,
        "heads": heads.pop(),
        "mlp_ratio": mlp_ratio(int(unwrapped(first.mlp.c_fc).out_features), width),
    }
    if not isinstance(unwrapped(getattr(first, "ls_1", nn.Identity())), nn.Identity):
        # The values themselves are weights.
        sizes["ls_init_value"] = 1.0
    return sizes, acts.pop(), one_eps(every)
