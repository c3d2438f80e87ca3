"""Write the files with which crates/model tests what PyTorch writes: the weights of the case `quick-gelu` in half precision as a
TorchScript archive and as a whole pickled module, and position embeddings that OpenCLIP interpolated.

Usage: checkpoint_cases.py            (with open_clip_torch)
"""

import json
from pathlib import Path

import open_clip
import torch
from open_clip.model import resize_pos_embed
from safetensors.torch import load_file

DATA = Path(__file__).resolve().parents[2] / "crates/model/tests/data"
CASE = DATA / "model/quick-gelu"


class Part(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def holder(weights: dict[str, torch.Tensor]) -> Part:
    """Modules in modules that have the names of the weights, and no program to speak of."""
    root = Part()
    for name, value in weights.items():
        *path, last = name.split(".")
        module = root
        for step in path:
            if step not in dict(module.named_children()):
                module.add_module(step, Part())
            module = getattr(module, step)
        module.register_parameter(last, torch.nn.Parameter(value, requires_grad=False))
    return root


def main() -> None:
    torch.manual_seed(0)
    weights = {name: value.half() for name, value in load_file(CASE / "open_clip_model.safetensors").items()}
    # One tensor is a transposed view and two share a storage, as they may in any file.
    weights["visual.proj"] = weights["visual.proj"].t().contiguous().t()
    torch.jit.script(holder(weights)).save(str(CASE / "torchscript.pt"))
    config = json.loads((CASE / "open_clip_config.json").read_text())["model_cfg"]
    model = open_clip.CLIP(**config).half()
    model.load_state_dict(weights)
    torch.save(model, CASE / "module.pt")

    rows = []
    for side, size in [(3, 5), (3, 2), (7, 12), (16, 7), (1, 4)]:
        stored = torch.randn(1 + side * side, 3)
        grid = type("Grid", (), {"grid_size": (size, size)})
        state = {"visual.positional_embedding": stored.clone()}
        resize_pos_embed(state, type("Model", (), {"visual": grid}))
        expected = state["visual.positional_embedding"]
        rows.append({"from": side, "to": size, "stored": stored.flatten().tolist(), "expected": expected.flatten().tolist()})
    (DATA / "positions.json").write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
