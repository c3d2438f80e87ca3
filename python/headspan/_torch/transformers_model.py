"""Reads `CLIPModel` of Hugging Face transformers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .architecture import HIGHEST_ID, Architecture, Text, Vision
from .found import Found, FoundText
from .modules import image_side, one_activation, one_eps, refuse_unready, require, unwrapped, weights
from .names import complete, from_transformers

CLASS_TOKEN = "the decomposition needs the class token as representation"
SIGLIP = "SigLIP pools by attention and has no class token; " + CLASS_TOKEN


def read(model: Any) -> Found:
    """The towers of a `CLIPModel`."""
    model = unwrapped(model)
    refuse_unready(model)
    _refuse_other_models(model)
    vision_model, text_model = (
        _tower(model.vision_model, "vision_model"),
        _tower(model.text_model, "text_model"),
    )
    vision, vision_parts = _vision(vision_model)
    text, text_parts = _text(text_model)
    projection = unwrapped(model.visual_projection)
    for name in ("visual_projection", "text_projection"):
        require(
            unwrapped(getattr(model, name)).bias is None, f"`{name}.bias`", "CLIP's projections have no bias"
        )
    architecture = Architecture(
        embed_dim=int(projection.out_features),
        quick_gelu=one_activation({**vision_parts, **text_parts}),
        vision=vision,
        text=text,
    )
    named = _named(weights(model))
    return Found(
        library="transformers",
        architecture=architecture,
        tensors=complete(named, architecture),
        image=(model, _encode_image),
        text=(model, _encode_text),
        end=_end(text_model, text),
    )


def read_text(model: Any) -> FoundText:
    """The text tower of a `CLIPModel` or a `CLIPTextModelWithProjection`."""
    model = unwrapped(model)
    refuse_unready(model)
    whole = hasattr(model, "text_model") and hasattr(model, "text_projection")
    require(whole, f"`{type(model).__name__}` as `text`", "it has no text tower of CLIP with its projection")
    tower = _tower(model.text_model, "text_model")
    text, parts = _text(tower)
    named = {
        name: tensor for name, tensor in _named(weights(model)).items() if not name.startswith("visual.")
    }
    embed_dim = int(named["text_projection"].shape[1])
    return FoundText(text, embed_dim, one_activation(parts), named, (model, _encode_text), _end(tower, text))


def _encode_image(model: Any, pixels: Tensor) -> Any:
    return _features(model.get_image_features(pixel_values=pixels))


def _encode_text(model: Any, ids: Tensor) -> Any:
    if hasattr(model, "get_text_features"):
        return _features(model.get_text_features(input_ids=ids))
    return model(input_ids=ids).text_embeds


def _named(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return from_transformers({_without_inner(name): tensor for name, tensor in tensors.items()})


def _refuse_other_models(model: Any) -> None:
    kind = type(model).__name__
    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    require("siglip" not in model_type, f"`{kind}`", SIGLIP)
    has_image = hasattr(model, "vision_model") and hasattr(model, "visual_projection")
    require(
        not has_image or hasattr(model, "text_model"),
        f"`{kind}`",
        "it has no text tower; headspan describes heads by texts and needs both",
        "load a `CLIPModel`",
    )
    whole = has_image and hasattr(model, "text_projection") and model_type in ("clip", "")
    require(whole, f"`{kind}` (model_type `{model_type}`)", "headspan reads `CLIPModel`")


def _tower(tower: Any, inner: str) -> Any:
    """The module with `embeddings` and `encoder`; some versions have it one level deeper."""
    tower = unwrapped(tower)
    return (
        unwrapped(getattr(tower, inner)) if not hasattr(tower, "encoder") and hasattr(tower, inner) else tower
    )


def _without_inner(name: str) -> str:
    for tower in ("vision_model", "text_model"):
        name = name.replace(f"{tower}.{tower}.", f"{tower}.")
    return name


def _vision(tower: Any) -> tuple[Vision, dict[str, Any]]:
    embeddings = unwrapped(tower.embeddings)
    conv = unwrapped(embeddings.patch_embedding)
    kernel = tuple(conv.kernel_size)
    require(conv.bias is None, "`patch_embedding.bias`", "CLIP's patch embedding has none")
    require(kernel[0] == kernel[1], f"patches of {kernel}", "patches must be square")
    positions = int(unwrapped(embeddings.position_embedding).num_embeddings)
    size = image_side(positions, int(kernel[0]), getattr(embeddings, "image_size", None))
    blocks = [unwrapped(block) for block in unwrapped(tower.encoder).layers]
    norms = {f"vision_model.{name}": getattr(tower, name) for name in ("pre_layrnorm", "post_layernorm")}
    sizes = _blocks(blocks, "vision_model")
    norms |= _norms(blocks, "vision_model")
    vision = Vision(image_size=size, patch_size=int(kernel[0]), eps=one_eps(norms), **sizes)
    return vision, _activations(blocks, "vision_model")


def _text(tower: Any) -> tuple[Text, dict[str, Any]]:
    embeddings = unwrapped(tower.embeddings)
    blocks = [unwrapped(block) for block in unwrapped(tower.encoder).layers]
    norms = {"text_model.final_layer_norm": tower.final_layer_norm, **_norms(blocks, "text_model")}
    text = Text(
        context_length=int(unwrapped(embeddings.position_embedding).num_embeddings),
        vocab_size=int(unwrapped(embeddings.token_embedding).num_embeddings),
        eps=one_eps(norms),
        **_blocks(blocks, "text_model"),
    )
    return text, _activations(blocks, "text_model")


def _blocks(blocks: list[Any], tower: str) -> dict[str, int]:
    require(bool(blocks), f"`{tower}`", "it has no blocks")
    for layer, block in enumerate(blocks):
        attention = unwrapped(block.self_attn)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear = unwrapped(getattr(attention, name, None))
            part = f"`{tower}.encoder.layers.{layer}.self_attn.{name}` (`{type(linear).__name__}`)"
            require(
                isinstance(linear, nn.Linear) and linear.bias is not None,
                part,
                "CLIP has a linear layer with bias there",
            )
    heads = {int(unwrapped(block.self_attn).num_heads) for block in blocks}
    require(len(heads) == 1, f"`{tower}` with {heads} heads", "all blocks must have one number of heads")
    first = blocks[0]
    return {
        "layers": len(blocks),
        "width": int(unwrapped(unwrapped(first.self_attn).out_proj).out_features),
        "heads": heads.pop(),
        "mlp_width": int(unwrapped(unwrapped(first.mlp).fc1).out_features),
    }


def _norms(blocks: list[Any], tower: str) -> dict[str, Any]:
    return {
        f"{tower}.encoder.layers.{layer}.{name}": getattr(block, name)
        for layer, block in enumerate(blocks)
        for name in ("layer_norm1", "layer_norm2")
    }


def _activations(blocks: list[Any], tower: str) -> dict[str, Any]:
    return {
        f"{tower}.encoder.layers.{layer}.mlp.activation_fn": unwrapped(block.mlp).activation_fn
        for layer, block in enumerate(blocks)
    }


def _end(tower: Any, text: Text) -> int | None:
    """Id of the token at which a text's feature is taken; `None` for the highest."""
    end = getattr(tower, "eos_token_id", HIGHEST_ID)
    require(isinstance(end, int), f"`text_config.eos_token_id = {end}`", "it must be the id of one token")
    require(
        end == HIGHEST_ID or end < text.vocab_size,
        f"`text_config.eos_token_id = {end}`",
        f"the vocabulary has {text.vocab_size} tokens",
    )
    return None if end == HIGHEST_ID else int(end)


def _features(output: Any) -> Any:
    """Older versions of transformers give the features, newer ones an output that holds them."""
    return output if isinstance(output, Tensor) else output.pooler_output
