"""Regenerate the small random cases of crates/model/tests/data/model.

Usage: make_cases.py OUT [--fixtures DIR]   (with --fixtures it first checks the reference against shared fixtures)
"""

import argparse
import json
from pathlib import Path

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import load_file, save_file

from decompose import decompose
from make_checkpoint import MEAN, STD, randomise

VISION = dict(image_size=24, layers=3, width=16, head_width=8, patch_size=8)
TEXT = dict(context_length=12, vocab_size=64, width=16, heads=2, layers=2)
EMBED_DIM = 12


def build(config: dict) -> CLIP:
    model = config["model_cfg"]
    text = CLIPTextCfg(**model["text_cfg"])
    quick = model.get("quick_gelu", False)
    return CLIP(model["embed_dim"], CLIPVisionCfg(**model["vision_cfg"]), text, quick_gelu=quick).eval()


def hugging_face(model: CLIP, quick_gelu: bool) -> tuple[dict, dict]:
    """Weights and configuration as transformers' CLIPModel stores them, checked against transformers itself."""
    weights = {"logit_scale": model.logit_scale.detach()}
    weights["visual_projection.weight"] = model.visual.proj.detach().T.contiguous()
    weights["text_projection.weight"] = model.text_projection.detach().T.contiguous()
    towers = [("vision_model", model.visual.transformer), ("text_model", model.transformer)]
    for prefix, transformer in towers:
        for number, block in enumerate(transformer.resblocks):
            layer = f"{prefix}.encoder.layers.{number}"
            for kind in ("weight", "bias"):
                parts = getattr(block.attn, f"in_proj_{kind}").detach().chunk(3)
                for letter, part in zip("qkv", parts):
                    weights[f"{layer}.self_attn.{letter}_proj.{kind}"] = part.contiguous()
                for ours, theirs in [("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"),
                                     ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")]:
                    weights[f"{layer}.{theirs}.{kind}"] = block.get_parameter(f"{ours}.{kind}").detach()
    visual = model.visual
    weights["vision_model.embeddings.class_embedding"] = visual.class_embedding.detach()
    weights["vision_model.embeddings.patch_embedding.weight"] = visual.conv1.weight.detach()
    weights["vision_model.embeddings.position_embedding.weight"] = visual.positional_embedding.detach()
    weights["text_model.embeddings.token_embedding.weight"] = model.token_embedding.weight.detach()
    weights["text_model.embeddings.position_embedding.weight"] = model.positional_embedding.detach()
    for ours, theirs in [(visual.ln_pre, "vision_model.pre_layrnorm"), (visual.ln_post, "vision_model.post_layernorm"),
                         (model.ln_final, "text_model.final_layer_norm")]:
        weights[f"{theirs}.weight"], weights[f"{theirs}.bias"] = ours.weight.detach(), ours.bias.detach()
    act = "quick_gelu" if quick_gelu else "gelu"
    config = {
        "projection_dim": EMBED_DIM,
        "vision_config": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
                          "image_size": 24, "patch_size": 8, "hidden_act": act, "projection_dim": EMBED_DIM},
        "text_config": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
                        "vocab_size": 64, "max_position_embeddings": 12, "hidden_act": act,
                        "projection_dim": EMBED_DIM, "eos_token_id": 63, "bos_token_id": 62, "pad_token_id": 0},
    }
    return weights, config


def case(model: CLIP, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, VISION["image_size"], VISION["image_size"], generator=generator)
    tokens = torch.zeros(3, TEXT["context_length"], dtype=torch.int64)
    for row, length in enumerate([3, 7, 10]):
        tokens[row, 0] = 62
        tokens[row, 1 : 1 + length] = torch.randint(1, 60, (length,), generator=generator)
        tokens[row, 1 + length] = 63
    with torch.inference_mode():
        expected = decompose(model.visual, images)
        assert torch.allclose(expected["repr"], model.encode_image(images), atol=1e-5)
        text_features = model.encode_text(tokens)
    return {"images": images, "text_tokens": tokens, "text_features": text_features, **expected}


def check(folder: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    model = build(config)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"), strict=False)
    known = load_file(folder / "case.safetensors")
    found = decompose(model.visual, known["images"])
    for key in ("repr", "attn", "mlp", "attn_tokens", "cls_attn"):
        error = ((found[key] - known[key]).abs().max() / known[key].abs().max()).item()
        print(f"{folder.name} {key}: {error:.1e}")
        assert error < 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fixtures", type=Path)
    arguments = parser.parse_args()
    if arguments.fixtures:
        for folder in sorted(arguments.fixtures.glob("random-*")):
            check(folder)
    for seed, (name, quick) in enumerate([("gelu", False), ("quick-gelu", True)]):
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_cfg": {"embed_dim": EMBED_DIM, "quick_gelu": quick, "vision_cfg": VISION, "text_cfg": TEXT},
            "preprocess_cfg": {"mean": MEAN, "std": STD},
        }
        (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
        model = build(config)
        randomise(model, seed)
        weights = {key: value.contiguous() for key, value in model.state_dict().items() if key != "attn_mask"}
        save_file(weights, folder / "open_clip_model.safetensors")
        save_file({key: value.contiguous() for key, value in case(model, seed).items()}, folder / "case.safetensors")
        if quick:
            save_file({key: value.half() for key, value in weights.items()}, folder / "half.safetensors")
            save_file({key: value.bfloat16() for key, value in weights.items()}, folder / "bfloat16.safetensors")
            torch.save(weights, folder / "weights.bin")
            torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, folder / "training.pt")
            theirs, their_config = hugging_face(model, quick)
            save_file({key: value.contiguous() for key, value in theirs.items()}, folder / "huggingface.safetensors")
            (folder / "huggingface.json").write_text(json.dumps(their_config, indent=2) + "\n")


if __name__ == "__main__":
    main()
