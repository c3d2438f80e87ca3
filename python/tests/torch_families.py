"""Small random models of the families beside CLIP, with dense towers of `tools/reference/families.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch_models import REPOSITORY  # noqa: F401  (makes `families` importable)

import families as reference  # isort: skip
from families import BERT, HEADS, IMAGE, LAYERS, MEAN, MLP, PATCH, STD, VISION, WIDTH  # isort: skip

SIDE = IMAGE
TEXT = {"context_length": 12, "vocab_size": 64, "width": WIDTH, "heads": HEADS, "layers": 2}
SIGLIP = {
    **TEXT,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
}


@dataclass
class Made:
    """A model, its dense tower, and its own function of normalised pixels."""

    model: Any
    tower: Any
    represent: Callable[[torch.Tensor], torch.Tensor]


def _transformers(name: str, config: Any, seed: int) -> Any:
    import transformers

    model = getattr(transformers, name)(config).eval()
    reference.randomise(model, seed)
    return model


def padded_tokenizer() -> Any:
    """A fast tokenizer of transformers with SigLIP's end token and padding."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", *"a the dog dogs cat photo of birds red two".split()]
    inner = Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="</s>", eos_token="</s>", unk_token="<unk>"
    )


def siglip() -> Made:
    import transformers

    text = dict(
        BERT,
        projection_size=WIDTH,
        max_position_embeddings=12,
        bos_token_id=62,
        eos_token_id=1,
        pad_token_id=1,
    )
    config = transformers.SiglipConfig(vision_config=dict(VISION), text_config=text)
    model = _transformers("SiglipModel", config, 1)
    tower = reference.siglip_tower(model.vision_model)
    return Made(model, tower, lambda x: model.vision_model(pixel_values=x).pooler_output)


def siglip_vision() -> Made:
    import transformers

    model = _transformers("SiglipVisionModel", transformers.SiglipVisionConfig(**VISION), 2)
    return Made(model, reference.siglip_tower(model), lambda x: model(pixel_values=x).pooler_output)


def clip_vision() -> Made:
    import transformers

    config = transformers.CLIPVisionConfig(**VISION, projection_dim=12)
    model = _transformers("CLIPVisionModelWithProjection", config, 3)
    tower = reference.vision_model_tower(model.vision_model, model.visual_projection)
    return Made(model, tower, lambda x: model(pixel_values=x).image_embeds)


def clip_vision_plain() -> Made:
    import transformers

    model = _transformers("CLIPVisionModel", transformers.CLIPVisionConfig(**VISION), 4)
    inner = getattr(model, "vision_model", model)
    tower = reference.vision_model_tower(inner, None)
    return Made(model, tower, lambda x: model(pixel_values=x).pooler_output)


def chinese_clip() -> Made:
    import transformers

    config = transformers.ChineseCLIPConfig(
        vision_config=dict(VISION), text_config=dict(BERT), projection_dim=12
    )
    model = _transformers("ChineseCLIPModel", config, 5)
    tower = reference.vision_model_tower(model.vision_model, model.visual_projection)
    return Made(
        model, tower, lambda x: model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
    )


def blip() -> Made:
    import transformers

    text = dict(BERT, encoder_hidden_size=WIDTH, sep_token_id=3)
    config = transformers.BlipConfig(vision_config=dict(VISION), text_config=text, image_text_hidden_size=12)
    model = _transformers("BlipForImageTextRetrieval", config, 6)
    tower = reference.vision_model_tower(model.vision_model, model.vision_proj)
    return Made(
        model, tower, lambda x: model.vision_proj(model.vision_model(pixel_values=x).last_hidden_state[:, 0])
    )


def blip_vision() -> Made:
    import transformers

    model = _transformers("BlipVisionModel", transformers.BlipVisionConfig(**VISION), 7)
    tower = reference.vision_model_tower(model, None)
    return Made(model, tower, lambda x: model(pixel_values=x).last_hidden_state[:, 0])


SIZES = dict(
    hidden_size=WIDTH,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    intermediate_size=MLP,
    image_size=IMAGE,
    patch_size=PATCH,
    attn_implementation="eager",
)


def _vit(name: str, seed: int, **keys: Any) -> Made:
    import transformers

    config = getattr(transformers, name.replace("Model", "Config"))(**SIZES, **keys)
    model = _transformers(name, config, seed)
    tower = reference.transformers_tower(model)
    return Made(model, tower, lambda x: model(pixel_values=x).last_hidden_state[:, 0])


def dinov3() -> Made:
    import transformers

    config = transformers.DINOv3ViTConfig(**SIZES, num_register_tokens=2)
    model = _transformers("DINOv3ViTModel", config, 8)
    return Made(model, reference.dinov3_tower(model), lambda x: model(pixel_values=x).pooler_output)


def of_timm(name: str, seed: int, **keys: Any) -> Made:
    trunk, _ = reference.trunk_of(name, **keys)
    reference.randomise(trunk, seed)
    trunk.pretrained_cfg.update(mean=MEAN, std=STD, interpolation="bicubic")
    tower = reference.eva_tower(trunk) if type(trunk).__name__ == "Eva" else reference.timm_tower(trunk)
    if type(trunk).__name__ == "Eva":
        # What headspan reads is the representation before the head.
        tower.projection = tower.projection_bias = None
    return Made(trunk, tower, lambda x: trunk.forward_head(trunk.forward_features(x), pre_logits=True))


TRANSFORMERS: dict[str, Callable[[], Made]] = {
    "siglip": siglip,
    "siglip-vision": siglip_vision,
    "clip-vision": clip_vision,
    "clip-vision-plain": clip_vision_plain,
    "chinese-clip": chinese_clip,
    "blip": blip,
    "blip-vision": blip_vision,
    "dinov2": lambda: _vit("Dinov2Model", 9, mlp_ratio=4),
    "registers": lambda: _vit("Dinov2WithRegistersModel", 10, num_register_tokens=3, mlp_ratio=4),
    "vit": lambda: _vit("ViTModel", 11),
    "dinov3": dinov3,
}

TIMM: dict[str, Callable[[], Made]] = {
    "vit": lambda: of_timm("vit_small_patch16_224", 12, num_classes=5),
    "vit-mean": lambda: of_timm("vit_small_patch16_224", 13, global_pool="avg"),
    "dinov2": lambda: of_timm("vit_small_patch14_dinov2", 14),
    "registers": lambda: of_timm("vit_small_patch14_reg4_dinov2", 15, reg_tokens=2),
    "dinov3": lambda: of_timm("vit_small_patch16_dinov3", 16),
    "dinov3-gated": lambda: of_timm("vit_small_plus_patch16_dinov3_qkvb", 17),
    "siglip": lambda: of_timm("vit_base_patch16_siglip_224", 18),
    "siglip-mean": lambda: of_timm("vit_base_patch16_siglip_gap_224", 19),
    "clip": lambda: of_timm("vit_base_patch16_clip_224", 20, num_classes=12),
    "eva02": lambda: of_timm("eva02_base_patch14_224", 21),
    "eva02-packed": lambda: of_timm("eva02_small_patch14_224", 22, global_pool="token"),
    "eva02-clip": lambda: of_timm("eva02_base_patch16_clip_224", 23, num_classes=12),
}


def _clip(seed: int, embed_dim: int = 12, text: dict[str, Any] | None = None, **vision: Any) -> Any:
    from open_clip.model import CustomTextCLIP

    return _random(CustomTextCLIP(embed_dim, vision, {**TEXT, **(text or {})}), seed)


def _random(model: Any, seed: int) -> Any:
    reference.randomise(model.eval(), seed)
    return model


def _made(model: Any, tower: Any) -> Made:
    def represent(pixels: torch.Tensor) -> torch.Tensor:
        found = model.visual(pixels)
        return found[0] if isinstance(found, tuple) else found

    return Made(model, tower, represent)


def native(seed: int, text: dict[str, Any] | None = None, **vision: Any) -> Made:
    """OpenCLIP's own towers."""
    model = _clip(seed, text=text, **{**reference.NATIVE, **vision})
    return _made(model, reference.open_clip_tower(model.visual))


def coca() -> Made:
    from open_clip.coca_model import CoCa

    vision = {**reference.NATIVE, "attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 5}
    text = {**TEXT, "embed_cls": True, "output_tokens": True}
    decoder = {**TEXT, "layers": 1, "attn_pooler_heads": 4}
    model = _random(CoCa(12, decoder, text, {**vision, "output_tokens": True}), 31)
    return _made(model, reference.open_clip_tower(model.visual))


def trunk(
    seed: int, name: str, pool: str, projection: str | None, text: dict[str, Any] | None = None
) -> Made:
    """OpenCLIP with a tower of timm. Its sizes are those of the name: these are the smallest that are read."""
    size = int(name.rsplit("_", 1)[1])
    keys = {"timm_model_name": name, "timm_pool": pool, "timm_proj": projection, "image_size": size}
    model = _clip(seed, 768 if projection == "none" else 12, text, **keys)
    inner = model.visual.trunk
    if type(inner).__name__ == "Eva":
        return _made(model, reference.eva_tower(inner))
    linear = model.visual.head.proj.weight.T if projection == "linear" else None
    return _made(model, reference.timm_tower(inner, linear))


OPEN_CLIP: dict[str, Callable[[], Made]] = {
    "layer-scale": lambda: native(24, ls_init_value=0.1),
    "mean": lambda: native(25, no_ln_pre=True, pool_type="avg", final_ln_after_pool=True, ls_init_value=0.1),
    "normed-mean": lambda: native(
        26, pool_type="avg", act_kwargs={"approximate": "tanh"}, norm_kwargs={"eps": 1e-6}
    ),
    "bias-of-texts": lambda: native(27, {"proj_bias": True}),
    "coca": coca,
    "trunk": lambda: trunk(28, "vit_tiny_patch16_224", "token", "linear"),
    "eva": lambda: trunk(29, "eva02_tiny_patch14_224", "token", None),
}


def open_clip_siglip() -> Made:
    """The smallest SigLIP that has a name."""
    return trunk(30, "vit_base_patch32_siglip_256", "map", "none", SIGLIP)
