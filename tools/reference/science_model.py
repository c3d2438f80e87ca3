"""The random checkpoint and the dense pieces with which `science.py` computes: photos, contributions, and heads scaled through hooks."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from decompose import folding, traced_blocks
from make_checkpoint import MEAN, STD, randomise

#: Geometries: the joint embedding, the image tower, and the text tower without its vocabulary.
GEOMETRIES = {
    "ViT-B-32": (512, dict(image_size=224, layers=12, width=768, patch_size=32), dict(context_length=77, layers=12, width=512, heads=8)),
    "quick": (48, dict(image_size=32, layers=5, width=96, head_width=16, patch_size=8), dict(context_length=48, layers=2, width=64, heads=4)),
}
BATCH = 50


def read_model(folder: Path) -> tuple[CLIP, dict]:
    config = json.loads((folder / "open_clip_config.json").read_text())
    sizes = config["model_cfg"]
    model = CLIP(sizes["embed_dim"], CLIPVisionCfg(**sizes["vision_cfg"]), CLIPTextCfg(**sizes["text_cfg"]))
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"), strict=False)
    return model.eval().requires_grad_(False), config


def pixels_of(photos: Path, count: int, config: dict) -> torch.Tensor:
    """The first photos of a Parquet file (Hugging Face's layout) through OpenCLIP's transform, `[n, 3, size, size]`."""
    pre = config["preprocess_cfg"]
    transform = image_transform(config["model_cfg"]["vision_cfg"]["image_size"], is_train=False, mean=pre["mean"], std=pre["std"])
    rows = pl.read_parquet(photos, n_rows=count)["image"].to_list()
    return torch.stack([transform(Image.open(io.BytesIO(row["bytes"]))) for row in rows])


def write_photos(path: Path, count: int, seed: int) -> None:
    """Noise of 32 pixels, each class with a tint of its own, in the layout of CIFAR-10: for a quick check where there are no photos."""
    random, rows = np.random.default_rng(seed), []
    tints = np.random.default_rng(0).uniform(60, 180, size=(10, 3))
    for place in range(count):
        label, file = int(random.integers(10)), io.BytesIO()
        coarse = tints[label] + random.normal(0, 50, size=(8, 8, 3))
        Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC).save(file, "png")
        rows.append({"image": {"bytes": file.getvalue(), "path": f"{place}.png"}, "label": label})
    pl.DataFrame(rows).write_parquet(path)


def embed(model: CLIP, folder: Path, texts: list[str]) -> torch.Tensor:
    """Unit features of texts, `[n, d]`."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    start, end = (tokenizer.token_to_id(token) for token in ("<|startoftext|>", "<|endoftext|>"))
    ids = torch.zeros(len(texts), model.context_length, dtype=torch.long)
    for row, text in enumerate(texts):
        tokens = [start, *tokenizer.encode(text, add_special_tokens=False).ids[: model.context_length - 2], end]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return torch.cat([model.encode_text(some, normalize=True) for some in ids.split(64)])


def write_checkpoint(out: Path, geometry: str, tokenizer: Path, photos: Path, names: list[str], count: int) -> None:
    """A random model whose image projection also has a least-squares map from some photos to their classes' texts. Without it nearly all photos would be
    of one class, and few predictions could change."""
    embed_dim, vision, text = GEOMETRIES[geometry]
    known = json.loads(tokenizer.read_text())
    vocabulary = 1 + max([*known["model"]["vocab"].values(), *(token["id"] for token in known["added_tokens"])])
    text = dict(text, vocab_size=49408 if geometry == "ViT-B-32" else vocabulary)
    config = {"model_cfg": {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    model = CLIP(embed_dim, CLIPVisionCfg(**vision), CLIPTextCfg(**text)).eval().requires_grad_(False)
    randomise(model, 0)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    classes = embed(model, out, [f"a photo of a {name}" for name in names])
    labels = torch.tensor(pl.read_parquet(photos, n_rows=count)["label"].to_list())
    visual = model.visual
    last = torch.cat([traced_blocks(visual, some)[2] for some in pixels_of(photos, count, config).split(BATCH)])
    seen = visual.ln_post(last)
    visual.ln_post.bias -= seen.mean(0)
    x, wanted = (seen - seen.mean(0)).double(), (classes - classes.mean(0)).double()[labels]
    penalty = 0.3 * x.square().sum() / x.shape[1] * torch.eye(x.shape[1], dtype=torch.float64)
    learned = torch.linalg.solve(x.T @ x + penalty, x.T @ wanted)
    # The learned part moves a photo about as far as the random one does.
    learned *= (x @ visual.proj.double()).norm() / (x @ learned).norm()
    visual.proj += learned.float()
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "attn_mask"}
    save_file(weights, out / "open_clip_model.safetensors")


def dense(model: CLIP, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Contributions of all heads to r/|r|, `[n, layers, heads, d]`, and r/|r|, `[n, d]`, in float64. The blocks run in the model's type."""
    visual, heads, whole = model.visual, [], []
    blocks = visual.transformer.resblocks
    share = 1 / (2 * len(blocks) + 1)
    for some in pixels.split(BATCH):
        _, traced, last = traced_blocks(visual, some)
        fold, representation, length = folding(visual, last, len(blocks))
        own = []
        for block, (weights, values, _) in zip(blocks, traced):
            attention, count = block.attn, block.attn.num_heads
            z = torch.einsum("bht,bhtk->bhk", weights, values)
            written = torch.einsum("bhk,whk->bhw", z, attention.out_proj.weight.unflatten(1, (count, -1)))
            own.append(fold(written + attention.out_proj.bias / count, share / count))
        heads.append(torch.stack(own, 1).double())
        whole.append((representation / length).double())
    return torch.cat(heads), torch.cat(whole)


def scale_heads(model: CLIP, factors: dict[tuple[int, int], float]) -> list:
    """Hooks that replace attention in the layers with factors by the sum over its heads, each times its factor, so that later layers see the change.
    The bias of the output projection belongs to no head."""
    hooks = []
    for layer in sorted({layer for layer, _ in factors}):
        attention = model.visual.transformer.resblocks[layer].attn
        scale = torch.tensor([factors.get((layer, head), 1.0) for head in range(attention.num_heads)], dtype=attention.out_proj.weight.dtype)

        def hook(module, inputs, _output, scale=scale):
            x = inputs[0] if module.batch_first else inputs[0].transpose(0, 1)
            qkv = x @ module.in_proj_weight.T + module.in_proj_bias
            q, k, v = (part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, -1))
            weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            out = module.out_proj(((weights @ v) * scale[:, None, None]).transpose(1, 2).flatten(2))
            return (out if module.batch_first else out.transpose(0, 1)), None

        hooks.append(attention.register_forward_hook(hook))
    return hooks


class TotalEffects:
    """Unit features of photos with heads scaled in the forward pass. What stands before the first layer that may change is kept."""

    def __init__(self, model: CLIP, pixels: torch.Tensor, first: int) -> None:
        self.model, self.first = model, first
        visual, kept = model.visual, []
        for some in pixels.split(BATCH):
            x = visual.conv1(some).flatten(2).transpose(1, 2)
            cls = visual.class_embedding.expand(x.shape[0], 1, -1)
            x = visual.ln_pre(torch.cat([cls, x], 1) + visual.positional_embedding)
            for block in visual.transformer.resblocks[:first]:
                x = block(x)
            kept.append(x)
        self.kept = kept

    def features(self, factors: dict[tuple[int, int], float]) -> torch.Tensor:
        assert all(layer >= self.first for layer, _ in factors)
        visual, hooks, found = self.model.visual, scale_heads(self.model, factors), []
        for x in self.kept:
            for block in visual.transformer.resblocks[self.first :]:
                x = block(x)
            found.append(visual.ln_post(x[:, 0]) @ visual.proj)
        for hook in hooks:
            hook.remove()
        features = torch.cat(found).double()
        return features / features.norm(dim=1, keepdim=True)
