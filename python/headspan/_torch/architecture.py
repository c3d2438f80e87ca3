"""What fixes a CLIP model, and its configuration file in the forms that headspan reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import TorchInputError, UnsupportedModel
from .plain_clip import refuse_others

#: The epsilon of every LayerNorm of a model with an `open_clip_config.json`, which has no key for another.
OPEN_CLIP_EPS = 1e-5
OPEN_CLIP_CONFIG = "open_clip_config.json"
TRANSFORMERS_CONFIG = "config.json"
TRANSFORMERS_PREPROCESSOR = "preprocessor_config.json"

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

#: The `eos_token_id` with which transformers takes a text's feature at its highest id, as headspan does.
HIGHEST_ID = 2


@dataclass(frozen=True)
class Vision:
    """Sizes of an image tower; `image_size` and `patch_size` in pixels."""

    image_size: int
    patch_size: int
    layers: int
    width: int
    heads: int
    mlp_width: int
    eps: float

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @property
    def tokens(self) -> int:
        """Number of tokens, the class token included."""
        return (self.image_size // self.patch_size) ** 2 + 1


@dataclass(frozen=True)
class Text:
    """Sizes of a text tower; `context_length` in tokens, start and end token included."""

    context_length: int
    vocab_size: int
    width: int
    heads: int
    layers: int
    mlp_width: int
    eps: float


def text_limits(context_length: int, vocab_size: int) -> Text:
    """What a tokenizer must know of a text tower; its sizes are not known."""
    return Text(context_length, vocab_size, width=0, heads=0, layers=0, mlp_width=0, eps=0.0)


@dataclass(frozen=True)
class Architecture:
    """A CLIP model; `quick_gelu` is the activation of both towers."""

    embed_dim: int
    quick_gelu: bool
    vision: Vision
    text: Text


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, of values in 0 to 1."""

    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD

    @classmethod
    def stated(cls, mean: Any, std: Any) -> Normalisation | None:
        """Of what a configuration says; `None` if that is not three numbers each."""
        try:
            red, green, blue = (float(value) for value in mean)
            other, others, last = (float(value) for value in std)
        except (TypeError, ValueError):
            return None
        return cls((red, green, blue), (other, others, last))


#: timm's `IMAGENET_DEFAULT_MEAN` and `IMAGENET_DEFAULT_STD`.
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def configuration(architecture: Architecture, normalisation: Normalisation) -> dict[str, bytes]:
    """The configuration files of a checkpoint folder by name.

    `open_clip_config.json` where its format can say everything; it has no key for the epsilon of a LayerNorm,
    so that a model with another one gets the two files of transformers.
    """
    if architecture.vision.eps == OPEN_CLIP_EPS and architecture.text.eps == OPEN_CLIP_EPS:
        return {OPEN_CLIP_CONFIG: _json(_open_clip(architecture, normalisation))}
    size = architecture.vision.image_size
    preprocessor = {
        "image_mean": list(normalisation.mean),
        "image_std": list(normalisation.std),
        "size": {"shortest_edge": size},
        "crop_size": {"height": size, "width": size},
        "resample": 3,
    }
    return {
        TRANSFORMERS_CONFIG: _json(_transformers(architecture)),
        TRANSFORMERS_PREPROCESSOR: _json(preprocessor),
    }


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _open_clip(architecture: Architecture, normalisation: Normalisation) -> dict[str, object]:
    vision, text = architecture.vision, architecture.text
    return {
        "model_cfg": {
            "embed_dim": architecture.embed_dim,
            "quick_gelu": architecture.quick_gelu,
            "vision_cfg": {
                "image_size": vision.image_size,
                "layers": vision.layers,
                "width": vision.width,
                "head_width": vision.head_dim,
                "patch_size": vision.patch_size,
                "mlp_ratio": mlp_ratio(vision.mlp_width, vision.width),
            },
            "text_cfg": {
                "context_length": text.context_length,
                "vocab_size": text.vocab_size,
                "width": text.width,
                "heads": text.heads,
                "layers": text.layers,
                "mlp_ratio": mlp_ratio(text.mlp_width, text.width),
            },
        },
        "preprocess_cfg": {
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def mlp_ratio(mlp_width: int, width: int) -> float:
    """The ratio that gives `mlp_width` when a reader truncates `width * ratio`."""
    ratio = mlp_width / width
    return ratio if int(width * ratio) == mlp_width else math.nextafter(ratio, math.inf)


def _transformers(architecture: Architecture) -> dict[str, object]:
    def tower(sizes: Vision | Text) -> dict[str, object]:
        return {
            "hidden_size": sizes.width,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "intermediate_size": sizes.mlp_width,
            "layer_norm_eps": sizes.eps,
            "hidden_act": "quick_gelu" if architecture.quick_gelu else "gelu",
        }

    vision, text = architecture.vision, architecture.text
    return {
        "model_type": "clip",
        "projection_dim": architecture.embed_dim,
        "vision_config": {**tower(vision), "image_size": vision.image_size, "patch_size": vision.patch_size},
        "text_config": {
            **tower(text),
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "eos_token_id": HIGHEST_ID,
        },
    }


def read_configuration(folder: Path) -> Architecture:
    """The architecture of a checkpoint folder, of either form."""
    files = {name: folder / name for name in (OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG)}
    found = next((path for path in files.values() if path.is_file()), None)
    if found is None:
        names = " or ".join(f"`{name}`" for name in files)
        raise TorchInputError(f"`{folder}` has no configuration: expected {names}")
    return parse_configuration(found.name, found.read_bytes(), str(found))


def parse_configuration(name: str, content: bytes, shown: str) -> Architecture:
    """As `read_configuration`, of the content of the file `name`; messages call it `shown`."""
    try:
        value = json.loads(content)
        refuse_others(value, shown)
        if "model_cfg" in value:
            return _parse_open_clip(value["model_cfg"])
        return _parse_transformers(value, shown)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise TorchInputError(f"`{shown}` is not a CLIP configuration: {error!r}") from error


def _parse_open_clip(model: Mapping[str, Any]) -> Architecture:
    vision, text = model["vision_cfg"], model["text_cfg"]
    size = vision["image_size"]
    width, text_width = int(vision["width"]), int(text.get("width", 512))
    return Architecture(
        embed_dim=int(model["embed_dim"]),
        quick_gelu=bool(model.get("quick_gelu") or False),
        vision=Vision(
            image_size=int(size[0] if isinstance(size, list) else size),
            patch_size=int(vision["patch_size"]),
            layers=int(vision["layers"]),
            width=width,
            heads=width // int(vision.get("head_width") or 64),
            mlp_width=int(width * (vision.get("mlp_ratio") or 4.0)),
            eps=OPEN_CLIP_EPS,
        ),
        text=Text(
            context_length=int(text.get("context_length", 77)),
            vocab_size=int(text.get("vocab_size", 49408)),
            width=text_width,
            heads=int(text.get("heads", 8)),
            layers=int(text.get("layers", 12)),
            mlp_width=int(text_width * (text.get("mlp_ratio") or 4.0)),
            eps=OPEN_CLIP_EPS,
        ),
    )


def _parse_transformers(value: Mapping[str, Any], shown: str) -> Architecture:
    vision, text = value["vision_config"], value["text_config"]
    activation = vision.get("hidden_act", "quick_gelu")
    if activation not in ("quick_gelu", "gelu") or text.get("hidden_act", "quick_gelu") != activation:
        raise UnsupportedModel.part(
            f"`{shown}`: `hidden_act`", "both towers must have `quick_gelu`, or both `gelu`"
        )

    def sizes(tower: Mapping[str, Any], width: int, heads: int, mlp_width: int) -> dict[str, Any]:
        return {
            "width": int(tower.get("hidden_size", width)),
            "heads": int(tower.get("num_attention_heads", heads)),
            "layers": int(tower.get("num_hidden_layers", 12)),
            "mlp_width": int(tower.get("intermediate_size", mlp_width)),
            "eps": float(tower.get("layer_norm_eps", 1e-5)),
        }

    return Architecture(
        embed_dim=int(value.get("projection_dim", 512)),
        quick_gelu=activation == "quick_gelu",
        vision=Vision(
            image_size=int(vision.get("image_size", 224)),
            patch_size=int(vision.get("patch_size", 32)),
            **sizes(vision, 768, 12, 3072),
        ),
        text=Text(
            context_length=int(text.get("max_position_embeddings", 77)),
            vocab_size=int(text.get("vocab_size", 49408)),
            **sizes(text, 512, 8, 2048),
        ),
    )
