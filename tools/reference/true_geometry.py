"""Write a case as families.py writes them, of a model of OpenCLIP in its true size with random weights, for
`HEADSPAN_FAMILIES=OUT cargo test -p headspan-model --test families`.

Usage: true_geometry.py OUT [ARCHITECTURE ...]            (EVA02-B-16 by default; with open_clip_torch and timm)
"""

import json
import sys
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from families import MEAN, STD, decompose, eva_tower, open_clip_tower, pictures, randomise


def main() -> None:
    out = Path(sys.argv[1])
    for name in sys.argv[2:] or ["EVA02-B-16"]:
        config = open_clip.get_model_config(name)
        model = open_clip.create_model(name, pretrained=None).eval()
        randomise(model, 1)
        trunk = getattr(model.visual, "trunk", None)
        tower = open_clip_tower(model.visual) if trunk is None else eva_tower(trunk)
        size = config["vision_cfg"]["image_size"]
        images = pictures(side=size)
        case = {"images": images, **decompose(tower, images)}
        with torch.inference_mode():
            off = (case["repr"] - model.encode_image(images, normalize=False)).abs().max() / case["repr"].abs().max()
            tokens = torch.zeros(3, config["text_cfg"]["context_length"], dtype=torch.int64)
            for row, length in enumerate([3, 7, 40]):
                tokens[row, 0], tokens[row, 1 + length] = 49406, 49407
                tokens[row, 1 : 1 + length] = torch.arange(1, 1 + length) * 997 % 49000 + 1
            case["text_tokens"], case["text_features"] = tokens, model.encode_text(tokens, normalize=False)
        assert off < 5e-6, f"{name}: the representation is off by {off}"
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        stored = {"model_cfg": config, "preprocess_cfg": {"mean": MEAN, "std": STD}}
        (folder / "open_clip_config.json").write_text(json.dumps(stored, indent=2) + "\n")
        weights = {key: value for key, value in model.state_dict().items() if not key.endswith("attn_mask")}
        save_file({key: value.clone().contiguous() for key, value in weights.items()}, folder / "open_clip_model.safetensors")
        save_file({key: value.clone().contiguous() for key, value in case.items()}, folder / "case.safetensors")
        print(f"{name}: representation within {off:.1e} of the library's")


if __name__ == "__main__":
    main()
