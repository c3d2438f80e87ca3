"""Reads models of Hugging Face transformers other than `CLIPModel`, as `save_pretrained` stores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .architecture import (
    IMAGENET,
    TRANSFORMERS_CONFIG,
    TRANSFORMERS_PREPROCESSOR,
    Normalisation,
    text_limits,
)
from .errors import UnsupportedModel
from .family import Family, FamilyTexts, Preprocessing
from .found import Features
from .modules import refuse_unready, stored, unwrapped
from .probe_image import SHORTEST, SQUASH, Resize
from .store import LIBRARY_WEIGHTS

HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

#: Keys of a configuration that say where a model comes from, and not what it is: two copies of a model are
#: one checkpoint. Weights are stored as float32.
ORIGIN = frozenset({"_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation"})

HINT = (
    "headspan reads `CLIPModel`, `SiglipModel`, `Dinov2Model`, `Dinov2WithRegistersModel`, `DINOv3ViTModel`,"
    " `ViTModel`, their classifiers, and the image towers of CLIP, SigLIP, ChineseCLIP and BLIP"
)


@dataclass(frozen=True)
class Kind:
    """Of a `model_type`: the representation, and the preprocessing where no processor says one."""

    represent: Callable[[Any, Tensor], Any]
    stated: Preprocessing


def _first_token(model: Any, pixels: Tensor) -> Any:
    return model(pixel_values=pixels).last_hidden_state[:, 0]


def _of_any_size(model: Any, pixels: Tensor) -> Any:
    """`ViTModel` takes images of other sizes only if it is told to."""
    return model(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]


def _pooled(model: Any, pixels: Tensor) -> Any:
    return model(pixel_values=pixels).pooler_output


def _projected(model: Any, pixels: Tensor) -> Any:
    """The class token of CLIP's image tower, projected where there is a projection."""
    tower = getattr(model, "vision_model", None)
    pooled = _pooled(model if tower is None else tower, pixels)
    projection = getattr(model, "visual_projection", None)
    return pooled if projection is None else projection(pooled)


def _text_features(model: Any, ids: Tensor) -> Any:
    return model.text_model(input_ids=ids).pooler_output


def _blip(model: Any, pixels: Tensor) -> Any:
    token = _first_token(getattr(model, "vision_model", model), pixels)
    return model.vision_proj(token) if hasattr(model, "vision_proj") else token


KINDS: Mapping[str, Kind] = {
    "siglip": Kind(lambda model, pixels: _pooled(model.vision_model, pixels), Preprocessing(HALF, SQUASH)),
    "siglip_vision_model": Kind(_pooled, Preprocessing(HALF, SQUASH)),
    "clip_vision_model": Kind(_projected, Preprocessing(Normalisation())),
    "chinese_clip": Kind(_projected, Preprocessing(Normalisation(), SQUASH)),
    "chinese_clip_vision_model": Kind(_projected, Preprocessing(Normalisation(), SQUASH)),
    "blip": Kind(_blip, Preprocessing(Normalisation(), SQUASH)),
    "blip_vision_model": Kind(_blip, Preprocessing(Normalisation(), SQUASH)),
    "dinov2": Kind(_first_token, Preprocessing(IMAGENET)),
    "dinov2_with_registers": Kind(_first_token, Preprocessing(IMAGENET)),
    "dinov3_vit": Kind(_pooled, Preprocessing(IMAGENET, SQUASH)),
    "vit": Kind(_of_any_size, Preprocessing(IMAGENET)),
}


def is_other(model: Any) -> bool:
    """Whether a model has a configuration of transformers that is not `CLIPModel`'s."""
    model_type = getattr(getattr(unwrapped(model), "config", None), "model_type", None)
    return isinstance(model, nn.Module) and isinstance(model_type, str) and model_type != "clip"


def read(model: Any, images: Any, tokenizer: Any) -> Family:
    """A model, its image processor and its tokenizer."""
    model = unwrapped(model)
    refuse_unready(model)
    model, notes = _without_classifier(model)
    name, config = type(model).__name__, _configuration(model)
    kind = KINDS.get(str(config.get("model_type")))
    # What is refused below is refused by headspan's own words, if it knows the model.
    represent: Features = (
        kind.represent if kind is not None else _unknown(name, str(config.get("model_type")))
    )
    tower = config.get("vision_config") or config
    size = _side(tower.get("image_size", 224))
    stated = kind.stated if kind is not None else Preprocessing(Normalisation())
    processor = _processor(images)
    if processor is not None:
        stated, size = _stated(processor, stated, size)

    def files(preprocessing: Preprocessing) -> dict[str, bytes]:
        written = processor if processor is not None else _written(preprocessing, size)
        return {TRANSFORMERS_CONFIG: _json(config), TRANSFORMERS_PREPROCESSOR: _json(written)}

    return Family(
        library="transformers",
        kind=name,
        tensors=stored(model),
        weights=LIBRARY_WEIGHTS,
        image_size=size,
        image=(model, represent),
        stated=stated,
        is_stated=processor is not None,
        files=files,
        resizes=(stated.resize, SHORTEST, SQUASH),
        preprocess=images,
        own_words=processor is not None,
        texts=_texts(model, config, tokenizer),
        notes=notes,
    )


def _unknown(name: str, model_type: str) -> Features:
    def refuse(model: nn.Module, pixels: Tensor) -> Any:
        raise UnsupportedModel(f"`{name}` (model_type `{model_type}`) is not supported", HINT)

    return refuse


def _without_classifier(model: Any) -> tuple[Any, tuple[str, ...]]:
    """The model inside one of `…ForImageClassification`, whose classifier describes no image."""
    if not type(model).__name__.endswith("ForImageClassification"):
        return model, ()
    inner = unwrapped(model.base_model)
    if inner is model:
        return model, ()
    return inner, (f"the classifier of `{type(model).__name__}` was left out",)


def _configuration(model: Any) -> dict[str, Any]:
    """`config.json` as `save_pretrained` writes it, without what differs between two copies."""
    whole = model.config.to_dict()
    config: dict[str, Any] = _without_origin(json.loads(json.dumps(whole, default=str)))
    config["architectures"] = [type(model).__name__]
    return config


def _without_origin(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_origin(inner) for key, inner in sorted(value.items()) if key not in ORIGIN}
    return value


def _processor(images: Any) -> dict[str, Any] | None:
    """`preprocessor_config.json` of an image processor; `None` for a function of an image."""
    if images is None or not hasattr(images, "to_json_string"):
        return None
    found: dict[str, Any] = json.loads(images.to_json_string())
    return {key: value for key, value in sorted(found.items()) if key not in ORIGIN}


def _stated(processor: Mapping[str, Any], standard: Preprocessing, size: int) -> tuple[Preprocessing, int]:
    """Preprocessing and side of the square that a processor says; headspan refuses what it cannot read."""
    found = Normalisation.stated(processor.get("image_mean"), processor.get("image_std"))
    normalisation = found or standard.normalisation
    given, crop = processor.get("size") or {}, processor.get("crop_size")
    shortest = given.get("shortest_edge") if isinstance(given, dict) else given
    if crop and processor.get("do_center_crop") is not False:
        side = _side(crop)
        return Preprocessing(normalisation, Resize(side=None if shortest == side else shortest)), side
    if isinstance(given, dict) and given.get("height"):
        return Preprocessing(normalisation, SQUASH), _side(given)
    return Preprocessing(normalisation, standard.resize), size


def _side(size: Any) -> int:
    """A size as a number, as `{"height": …}` or as a list."""
    if isinstance(size, dict):
        return int(size.get("height") or size.get("shortest_edge") or 0)
    return int(size[0] if isinstance(size, (list, tuple)) else size)


def _written(preprocessing: Preprocessing, size: int) -> dict[str, Any]:
    """A `preprocessor_config.json` of a preprocessing, where there is no processor."""
    square = {"height": size, "width": size}
    written: dict[str, Any] = {
        "image_mean": list(preprocessing.normalisation.mean),
        "image_std": list(preprocessing.normalisation.std),
        "resample": 3,
    }
    if preprocessing.resize.squash:
        return {**written, "size": square}
    return {**written, "size": {"shortest_edge": preprocessing.resize.side or size}, "crop_size": square}


def _texts(model: Any, config: Mapping[str, Any], tokenizer: Any) -> FamilyTexts | None:
    """The texts of `SiglipModel`, which headspan reads; those of ChineseCLIP and BLIP it does not."""
    if config.get("model_type") != "siglip":
        return None
    text = config["text_config"]
    limits = text_limits(int(text["max_position_embeddings"]), int(text["vocab_size"]))
    return FamilyTexts(limits, padded=True, call=(model, _text_features), tokenizer=tokenizer)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
