"""Zero-shot classification, ablation and reconstruction on dense contributions in plain PyTorch, as the reference of `docs/science.md`.

Usage: zeroshot.py golden OUT.json                  the golden case of crates/metrics/tests (random numbers, no model)
       zeroshot.py checkpoint OUT --tokenizer FILE  a random checkpoint of 5 blocks for photos of 32 pixels
       zeroshot.py check CHECKPOINT PHOTOS RUN      compares a run over a Parquet file of photos (Hugging Face's layout)

`check` recomputes classes.parquet, zeroshot.parquet, ablations.parquet and reconstruction.parquet of RUN (RUNS/DATASET/MODEL, with all its layers)
from the checkpoint's weights and the photos' pixels. Predictions must be equal and margins within 1e-5; accuracies must be equal but for
images whose margin is below 1e-6, which are named. Exit code 1 otherwise.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch

from textspan_reference import textspan

MASK = (1 << 64) - 1
#: Below this margin (a cosine), rounding decides which class is first.
UNDECIDED = 1e-6


def for_means(image_id: str, seed: int = 0) -> bool:
    """Whether an image belongs to the half that gives means: FNV-1a, mixed by SplitMix64's finaliser; even numbers do."""
    value = (0xCBF29CE484222325 + seed) & MASK
    for byte in image_id.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return (value ^ (value >> 31)) % 2 == 0


def replaced(part: torch.Tensor, half: torch.Tensor, how: str) -> torch.Tensor:
    """What takes the place of a part of the representation, `[n, d]`."""
    if how == "mean":
        return part[half].mean(0).expand_as(part)
    return part * (0.0 if how == "zero" else float(how.removeprefix("scale:")))


def scores_without(whole: torch.Tensor, part: torch.Tensor, half: torch.Tensor, how: str, classes: torch.Tensor) -> torch.Tensor:
    """Scores `[n, classes]` of the representation in which a part is replaced."""
    return (whole - part + replaced(part, half, how)) @ classes.T


def orthonormal(texts: np.ndarray, x: np.ndarray, rank: int) -> np.ndarray:
    """Directions of texts in their order: projected onto the first right singular vectors of the outputs, then Gram-Schmidt."""
    v = np.linalg.svd(x, full_matrices=False)[2][:rank]
    rows = []
    for text in texts @ v.T @ v:
        length = np.linalg.norm(text)
        for row in rows + rows:
            text = text - (text @ row) * row
        if np.linalg.norm(text) > 1e-6 * length:
            rows.append(text / np.linalg.norm(text))
    return np.asarray(rows).reshape(-1, x.shape[1])


def principal(x: np.ndarray, rank: int) -> np.ndarray:
    return np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:rank]


def reconstructed(whole: torch.Tensor, heads: torch.Tensor, half: torch.Tensor, directions: list[np.ndarray | None]) -> torch.Tensor:
    """The representation where everything is its mean but the heads along their directions (all of a head's output if None)."""
    total = (whole - heads.sum(1))[half].mean(0).expand_as(whole)
    for head, own in enumerate(directions):
        part = heads[:, head]
        mean = part[half].mean(0)
        change = part - mean
        if own is not None:
            q = torch.from_numpy(np.ascontiguousarray(own)).to(change)
            change = change @ q.T @ q
        total = total + mean + change
    return total


def right(scores: torch.Tensor, labels: torch.Tensor, keep: torch.Tensor) -> tuple[int, int, list[int]]:
    """Images that are right, images, and the images that rounding decides."""
    top = scores.topk(2, dim=1)
    margins = top.values[:, 0] - top.values[:, 1]
    close = (keep & (margins < UNDECIDED)).nonzero()[:, 0].tolist()
    return int((top.indices[:, 0] == labels)[keep].sum()), int(keep.sum()), close


# The golden case.


def golden(out: Path) -> None:
    random = np.random.default_rng(7)
    n, heads, head_dim, d, count, texts, picks = 60, 4, 5, 12, 4, 24, 6
    draw = lambda *shape: np.float32(np.round(random.normal(size=shape), 3))
    labels = random.integers(0, count, size=n)
    z, scalars = draw(n, heads, head_dim), np.abs(draw(n, 3)) + np.float32(0.1)
    z[:, 0] += 2 * np.eye(count, head_dim, dtype=np.float32)[labels]
    z[:, 2] += np.eye(count, head_dim, dtype=np.float32)[labels]
    readout = np.float32(np.round(draw(heads, d, head_dim + 3) * 0.3, 3))
    embeddings = draw(count, d)
    # The first head writes what the classes listen to.
    readout[0, :, :count] = np.round(embeddings.T / 2, 3)
    readout[2, :, :count] += np.round(embeddings.T / 4, 3)
    unit = lambda rows: np.float32(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    embeddings, pool = unit(embeddings), unit(draw(texts, d))
    u = np.concatenate([z, np.repeat(scalars[:, None], heads, axis=1)], axis=2)
    dense = np.einsum("hdm,nhm->nhd", readout.astype(np.float64), u.astype(np.float64))
    whole = dense.sum(1) + np.round(random.normal(size=(n, d)) * 0.7, 3)
    representation = np.float32(whole / scalars[:, 2:])
    groups = [f"g{value}" for value in random.integers(0, 3, size=n)]
    ids = [f"{image}.png" for image in range(n)]

    half = torch.tensor([for_means(name) for name in ids])
    c, e = torch.from_numpy(dense), torch.from_numpy(embeddings.astype(np.float64))
    r = torch.from_numpy(representation.astype(np.float64) * scalars[:, 2:])
    truth = torch.from_numpy(labels)
    scores = r @ e.T
    top = scores.topk(2, dim=1)
    own = scores.gather(1, truth[:, None])
    expected = {
        "predicted": top.indices[:, 0].tolist(),
        "margin": (top.values[:, 0] - top.values[:, 1]).tolist(),
        "rank": (scores > own).sum(1).tolist(),
    }
    targets = {"L0.H0": [0], "L0.H1": [1], "L1.H0": [2], "L1.H1": [3], "L0": [0, 1], "L0-L1": [0, 1, 2, 3], "list": [0, 2], "rest": None}
    ablations = []
    for name, own_heads in targets.items():
        part = r - c.sum(1) if own_heads is None else c[:, own_heads].sum(1)
        for how in ("mean", "zero", "scale:0.5"):
            after = scores_without(r, part, half, how, e)
            for scope, keep in [(None, ~half), *((group, ~half & torch.tensor([g == group for g in groups])) for group in sorted(set(groups)))]:
                hits, images, close = right(after, truth, keep)
                before = right(scores, truth, keep)[0]
                assert not close, "choose another seed: rounding would decide"
                ablations.append({"target": name, "replacement": how, "group": scope, "n": images, "before": before / images, "after": hits / images})
    spans, reconstruction = [], []
    for head in range(heads):
        spans.append(textspan(dense[:, head], pool.astype(np.float64), picks, head_dim + 3)[0])
    sets = {
        "texts": [orthonormal(pool[spans[head]].astype(np.float64), dense[:, head], head_dim + 3) for head in range(heads)],
        "pca": [principal(dense[half.numpy(), head], head_dim + 3) for head in range(heads)],
    }
    for name, directions in [*sets.items(), ("all", None)]:
        for k in [0, 1, 2, 5] if directions else [None]:
            total = reconstructed(r, c, half, [None if k is None else own[:k] for own in directions or [None] * heads])
            hits, images, close = right(total @ e.T, truth, ~half)
            assert not close or k == 0, "choose another seed: rounding would decide"
            reconstruction.append({"directions": name, "k": k, "n": images, "accuracy": hits / images})
    case = {
        "ids": ids, "labels": labels.tolist(), "groups": groups, "z": z.reshape(n, -1).tolist(), "scalars": scalars.tolist(),
        "readout": readout.reshape(heads, -1).tolist(), "representation": representation.tolist(), "classes": embeddings.tolist(),
        "texts": pool.tolist(), "picks": spans, "expected": {**expected, "ablations": ablations, "reconstruction": reconstruction},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(case) + "\n")
    print(f"{out}: {len(ablations)} ablations, {len(reconstruction)} reconstructions")


# The whole way from weights and pixels.


def checkpoint(out: Path, tokenizer: Path) -> None:
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from safetensors.torch import save_file

    from make_checkpoint import MEAN, STD, randomise

    known = json.loads(tokenizer.read_text())
    vocabulary = 1 + max([*known["model"]["vocab"].values(), *(token["id"] for token in known["added_tokens"])])
    vision = dict(image_size=32, layers=5, width=96, head_width=16, patch_size=8)
    text = dict(context_length=48, vocab_size=vocabulary, layers=2, width=64, heads=4)
    model = CLIP(48, CLIPVisionCfg(**vision), CLIPTextCfg(**text))
    randomise(model, 0)
    out.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": {"embed_dim": 48, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "attn_mask"}, out / "open_clip_model.safetensors")
    (out / "tokenizer.json").write_bytes(tokenizer.read_bytes())


class Check:
    """Comparisons, and what differs."""

    def __init__(self) -> None:
        self.equal, self.undecided, self.wrong = 0, set(), []

    def accuracy(self, what: str, found: float, scores: torch.Tensor, labels: torch.Tensor, keep: torch.Tensor) -> None:
        hits, images, close = right(scores, labels, keep)
        self.undecided.update(close)
        if abs(found * images - hits) <= len(close) + 1e-6:
            self.equal += 1
        else:
            self.wrong.append(f"{what}: {found * images:.1f} of {images} right, {hits} in PyTorch")


def check(folder: Path, photos: Path, run: Path) -> None:
    import polars as pl
    from open_clip.transform import image_transform
    from PIL import Image
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    from decompose import decompose
    from make_cases import build

    config = json.loads((folder / "open_clip_config.json").read_text())
    model = build(config)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"), strict=False)
    read = lambda name: pl.read_parquet(run / f"{name}.parquet")
    images, readout = read("images"), read("readout")
    layers = sorted(readout["layer"].unique().to_list())
    assert images["status"].unique().to_list() == ["ok"], "some images were skipped"

    pre = config["preprocess_cfg"]
    transform = image_transform(config["model_cfg"]["vision_cfg"]["image_size"], is_train=False, mean=pre["mean"], std=pre["std"])
    rows = pl.read_parquet(photos)["image"].to_list()[: images.height]
    parts, norms = [], []
    for start in range(0, len(rows), 256):
        pixels = torch.stack([transform(Image.open(io.BytesIO(row["bytes"]))) for row in rows[start : start + 256]])
        found = decompose(model.visual, pixels, layers, tokens=False)
        parts.append(found["attn"].flatten(1, 2))
        norms.append(found["repr"] / found["norm"][:, None])
    heads, whole = torch.cat(parts).double(), torch.cat(norms).double()
    per_layer = heads.shape[1] // len(layers)

    classes = read("classes").sort("class_index")
    record = json.loads((run / "stages" / "classes.json").read_text())["config"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    start, end = (tokenizer.token_to_id(token) for token in ("<|startoftext|>", "<|endoftext|>"))
    length = config["model_cfg"]["text_cfg"]["context_length"]
    embedded = []
    for name in classes["name"]:
        ids = torch.zeros(len(record["templates"]), length, dtype=torch.long)
        for row, template in enumerate(record["templates"]):
            tokens = [start, *tokenizer.encode(template.replace("{}", name), add_special_tokens=False).ids[: length - 2], end]
            ids[row, : len(tokens)] = torch.tensor(tokens)
        with torch.no_grad():
            mean = model.encode_text(ids, normalize=True).mean(0)
        embedded.append(mean / mean.norm())
    e = torch.stack(embedded).double()
    ours = torch.from_numpy(np.stack(classes["embedding"].to_numpy())).double()
    print(f"class embeddings: {float((ours - e).abs().max()):.1e}")

    places = {name: place for place, name in enumerate(classes["class_id"])}
    labels = torch.tensor([places[name] for name in images["class_id"]])
    half = torch.tensor([for_means(name) for name in images["image_id"]])
    compared = Check()

    predictions = read("zeroshot").sort("image_index")
    scores = whole @ e.T
    top = scores.topk(2, dim=1)
    margins = top.values[:, 0] - top.values[:, 1]
    differing = (torch.tensor(predictions["predicted"].to_list()) != top.indices[:, 0]).nonzero()[:, 0].tolist()
    decided = [image for image in differing if margins[image] >= UNDECIDED]
    furthest = float((torch.tensor(predictions["margin"].to_list()).double() - margins).abs().max())
    print(f"predictions: {len(differing)} of {len(labels)} differ, {len(decided)} with a margin of {UNDECIDED:g} or more; margins {furthest:.1e}; "
          f"{len(set(top.indices[:, 0].tolist()))} classes predicted, accuracy {float((top.indices[:, 0] == labels).double().mean()):.4f}")
    if decided or furthest > 1e-5:
        compared.wrong.append("predictions or margins")

    def part_of(kind: str, target: str) -> torch.Tensor:
        if kind in ("rest", "mlps"):
            return whole - heads.sum(1)
        if kind == "layers":
            last = int(target.split("-")[-1].removeprefix("L"))
            return heads[:, : (layers.index(last) + 1) * per_layer].sum(1)
        if kind == "property":
            own = read("labels").filter(pl.col("property") == target)
            return heads[:, [layers.index(row["layer"]) * per_layer + row["head"] for row in own.iter_rows(named=True)]].sum(1)
        names = [name.removeprefix("L").split(".H") for name in target.split(",")]
        return heads[:, [layers.index(int(layer)) * per_layer + int(head) for layer, head in names]].sum(1)

    kinds: dict[str, int] = {}
    for (kind, target, how), rows in read("ablations").filter(pl.col("kind") != "random").group_by("kind", "target", "replacement", maintain_order=True):
        after = scores_without(whole, part_of(kind, target), half, how, e)
        kinds[kind] = kinds.get(kind, 0) + 1
        for row in rows.iter_rows(named=True):
            keep = ~half if row["class_id"] is None else ~half & (labels == places[row["class_id"]])
            what = f"{kind} {target} by {how}, {row['class_id'] or 'all'}"
            if row["scope"] in ("all", "class"):
                compared.accuracy(what, row["accuracy_after"], after, labels, keep)
                compared.accuracy(f"before {what}", row["accuracy_before"], scores, labels, keep)
    print(f"ablations: {kinds}")

    if (run / "reconstruction.parquet").is_file():
        texts, spans = read("texts").sort("text_index"), read("textspan").sort("pick")
        pool = np.stack(texts["embedding"].to_numpy()).astype(np.float64)
        dense = heads.numpy()
        sets: dict[str, list[np.ndarray]] = {"texts": [], "pca": []}
        for place in range(heads.shape[1]):
            layer, head = layers[place // per_layer], place % per_layer
            own = spans.filter(pl.col("layer") == layer, pl.col("head") == head)
            rank = own["effective_rank"][0]
            sets["texts"].append(orthonormal(pool[own["text_index"].to_list()], dense[:, place], rank))
            sets["pca"].append(principal(dense[half.numpy(), place], rank))
        for row in read("reconstruction").filter(pl.col("directions") != "random").iter_rows(named=True):
            name, k = row["directions"], row["k"]
            if name == "model":
                after = scores
            else:
                own = [None] * heads.shape[1] if name == "all" else [directions[:k] for directions in sets[name]]
                after = reconstructed(whole, heads, half, own) @ e.T
            compared.accuracy(f"reconstruction {name} {k}", row["accuracy"], after, labels, ~half)
        print(f"reconstruction: {read('reconstruction').height} rows")
    named = ", ".join(images["image_id"][image] for image in sorted(compared.undecided)[:20])
    print(f"{compared.equal} accuracies are equal; {len(compared.undecided)} images have a margin below {UNDECIDED:g} somewhere: {named or 'none'}")
    print("\n".join(compared.wrong[:20]))
    sys.exit(1 if compared.wrong or not compared.equal else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("golden").add_argument("out", type=Path)
    make = commands.add_parser("checkpoint")
    make.add_argument("out", type=Path)
    make.add_argument("--tokenizer", type=Path, required=True)
    compare = commands.add_parser("check")
    for name in ("checkpoint", "photos", "run"):
        compare.add_argument(name, type=Path)
    arguments = parser.parse_args()
    if arguments.command == "golden":
        golden(arguments.out)
    elif arguments.command == "checkpoint":
        checkpoint(arguments.out, arguments.tokenizer)
    else:
        check(arguments.checkpoint, arguments.photos, arguments.run)


if __name__ == "__main__":
    main()
