"""Small random models of each library for the tests of what comes from PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "reference"))

# The models are tiny: threads that wait for one another would take most of the time.
torch.set_num_threads(1)

SIZE, PATCH, WIDTH, HEADS, LAYERS, EMBED = 48, 8, 32, 4, 5, 24
WORDS = ["[UNK]", "a", "photo", "of", "red", "blue", "green", "cat", "dog", "bird", "fish", "two", "three"]
VOCABULARY, START, END = 64, 62, 63


def randomise(model: torch.nn.Module, seed: int = 0) -> Any:
    """Gives every bias, norm and embedding a value that shows when it is dropped, at scales where
    attention is not uniform.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "logit_scale":
                continue
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            elif parameter.ndim == 1 and name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif any(part in name for part in ("in_proj", "qkv", "q_proj", "k_proj")):
                parameter.copy_(noise * 1.5 / parameter.shape[-1] ** 0.5)
            elif "embed" in name or "token" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise / max(parameter[0].numel(), 1) ** 0.5)
    return model


def open_clip_model(quick_gelu: bool, vocabulary: int = VOCABULARY, **vision: Any) -> Any:
    from open_clip.model import CLIP

    sizes = {
        "image_size": SIZE,
        "layers": LAYERS,
        "width": WIDTH,
        "head_width": WIDTH // HEADS,
        "patch_size": PATCH,
    }
    text = {"context_length": 12, "vocab_size": vocabulary, "width": 16, "heads": 2, "layers": 2}
    return randomise(CLIP(EMBED, {**sizes, **vision}, text, quick_gelu=quick_gelu)).eval()


def transformers_model(
    quick_gelu: bool,
    eps: float = 1e-5,
    end: int = END,
    text_eps: float | None = None,
    vocabulary: int = VOCABULARY,
) -> Any:
    from transformers import CLIPConfig, CLIPModel

    activation = "quick_gelu" if quick_gelu else "gelu"
    vision = {
        "hidden_act": activation,
        "layer_norm_eps": eps,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 100,
        "image_size": SIZE,
        "patch_size": PATCH,
    }
    text = {
        "hidden_act": activation,
        "layer_norm_eps": eps if text_eps is None else text_eps,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 40,
        "vocab_size": vocabulary,
        "max_position_embeddings": 12,
        "eos_token_id": end,
        "bos_token_id": end - 1,
        "pad_token_id": 0,
    }
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=EMBED)
    return randomise(CLIPModel(config)).eval()


def timm_model(quick_gelu: bool, **changes: Any) -> Any:
    import timm

    name = f"vit_base_patch32_clip_{'quickgelu_' if quick_gelu else ''}224"
    sizes = {
        "img_size": SIZE,
        "patch_size": PATCH,
        "embed_dim": WIDTH,
        "depth": LAYERS,
        "num_heads": HEADS,
        "num_classes": EMBED,
    }
    model = randomise(timm.create_model(name, **{**sizes, **changes})).eval()
    if getattr(model.head, "bias", None) is not None:
        model.head.bias.data.zero_()
    return model


def image_features(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What a model of any of the libraries says of normalised pixels."""
    with torch.no_grad():
        if hasattr(model, "encode_image"):
            return model.encode_image(pixels)
        if hasattr(model, "get_image_features"):
            features = model.get_image_features(pixel_values=pixels)
            return features if isinstance(features, torch.Tensor) else features.pooler_output
        return model(pixels)


def text_features(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """What a model of OpenCLIP or transformers says of token ids."""
    with torch.no_grad():
        if hasattr(model, "encode_text"):
            return model.encode_text(ids)
        features = model.get_text_features(input_ids=ids)
        return features if isinstance(features, torch.Tensor) else features.pooler_output


def word_tokenizer() -> Any:
    """A fast tokenizer of transformers with a few words and CLIP's special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    vocabulary |= {"<|startoftext|>": START, "<|endoftext|>": END}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="[UNK]",
        pad_token="<|endoftext|>",
    )


def word_ids(text: str) -> list[int]:
    """Ids of a text of `WORDS`, as the model takes them."""
    return [START, *(WORDS.index(word) if word in WORDS else 0 for word in text.lower().split()), END]


def pixels(count: int, seed: int = 3) -> torch.Tensor:
    """Random normalised pixels `[n, 3, SIZE, SIZE]`."""
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def pictures(folder: Path, count: int = 6) -> list[Path]:
    """PNG images of different sizes with structure."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 255, (5 + number, 7, 3), dtype=np.uint8))
        path = folder / f"{number:03}.png"
        coarse.resize((90 + 11 * number, 75 + 4 * number), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference as a share of the largest value."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())
