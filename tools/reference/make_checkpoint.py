"""Write a random OpenCLIP checkpoint of a real architecture, with scales at which attention is not uniform.

Usage: make_checkpoint.py OUT [--architecture ViT-B-32] [--quick-gelu] [--tokenizer tokenizer.json] [--seed 0]
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

ARCHITECTURES = {
    "ViT-B-32": (512, dict(layers=12, width=768, patch_size=32), dict(width=512, heads=8)),
    "ViT-B-16": (512, dict(layers=12, width=768, patch_size=16), dict(width=512, heads=8)),
    "ViT-L-14": (768, dict(layers=24, width=1024, patch_size=14), dict(width=768, heads=12)),
}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give every bias, norm and embedding a value that shows when it is dropped."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "logit_scale":
                continue
            if ".ln_" in name or name.startswith("ln_"):
                parameter.copy_((1.0 if name.endswith("weight") else 0.0) + 0.2 * noise)
            elif parameter.ndim == 1 and name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif "in_proj_weight" in name:
                parameter.copy_(noise * 1.5 / parameter.shape[1] ** 0.5)
            elif "embedding" in name:
                parameter.copy_(0.5 * noise)
            else:
                fan_in = parameter[0].numel() if parameter.ndim > 1 else parameter.numel()
                parameter.copy_(noise / fan_in**0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="ViT-B-32")
    parser.add_argument("--quick-gelu", action="store_true")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    embed_dim, vision, text = ARCHITECTURES[arguments.architecture]
    vision = dict(image_size=224, **vision)
    text = dict(context_length=77, vocab_size=49408, layers=12, **text)
    model = CLIP(embed_dim, CLIPVisionCfg(**vision), CLIPTextCfg(**text), quick_gelu=arguments.quick_gelu)
    randomise(model, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text, "quick_gelu": arguments.quick_gelu},
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (arguments.out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "attn_mask"}
    save_file(weights, arguments.out / "open_clip_model.safetensors")
    if arguments.tokenizer:
        shutil.copy(arguments.tokenizer, arguments.out / "tokenizer.json")


if __name__ == "__main__":
    main()
