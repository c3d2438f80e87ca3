#!/usr/bin/env python3
"""The image tower alone: our CPU pass beside PyTorch's plain `encode_image` in float32, eager and compiled, on the same random
checkpoint and the same two threads, in alternation. Ours also gives what the decomposition needs; PyTorch's gives the features alone.

Wants torch, open_clip and safetensors (tools/reference/README.md) and `cargo bench -p headspan-clip --bench forward --no-run`
with the workspace's features: `cargo bench --workspace --no-run`.

    python3 benches/forward.py [--models ViT-B-32 ViT-B-16 ViT-L-14] [--rounds 5] [--threads 2] [--compile] [--bfloat16]
"""

import argparse
import copy
import glob
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Images of one measurement, and of one batch of PyTorch's: of 8, 16 and 32 the fastest for it here.
IMAGES = {"ViT-B-32": 64, "ViT-B-16": 16, "ViT-L-14": 4}
FLOAT32 = ("PyTorch eager", "PyTorch compiled")
BATCH = {"ViT-B-32": 32, "ViT-B-16": 8, "ViT-L-14": 4}


class Ours:
    def __init__(self, folder, threads, precision="float32"):
        binaries = [path for path in glob.glob(str(ROOT / "target/release/deps/forward-*")) if os.access(path, os.X_OK)]
        newest = max(binaries, key=os.path.getmtime)
        environment = {**os.environ, "HEADSPAN_FORWARD_CHECKPOINT": str(folder), "RAYON_NUM_THREADS": str(threads),
                       "HEADSPAN_FORWARD_PRECISION": precision}
        self.process = subprocess.Popen([newest], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def seconds(self, images):
        self.process.stdin.write(f"{images}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def checkpoint(name, folder):
    """A random model as OpenCLIP stores it."""
    import open_clip
    from safetensors.torch import save_file

    model = open_clip.create_model(name, pretrained=None).eval()
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    weights = {key: value.contiguous() for key, value in model.state_dict().items() if key != "attn_mask"}
    save_file(weights, folder / "open_clip_model.safetensors")
    return model


def told(rates):
    return f"{statistics.median(rates):.1f} ({min(rates):.1f}–{max(rates):.1f})"


def measure(name, arguments):
    import torch

    images = IMAGES[name]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        model = checkpoint(name, pathlib.Path(folder))
        ours = {"float32": Ours(folder, arguments.threads)}
        pixels = torch.randn(images, 3, 224, 224)

        def theirs(encode):
            begun = time.perf_counter()
            for batch in pixels.split(BATCH[name]):
                encode(batch)
            return images / (time.perf_counter() - begun)

        methods = {"PyTorch eager": lambda: theirs(model.encode_image)}
        if arguments.compile:
            compiled = torch.compile(model.encode_image)
            methods["PyTorch compiled"] = lambda: theirs(compiled)
        if arguments.bfloat16:
            half = copy.deepcopy(model).bfloat16()
            methods["PyTorch bfloat16"] = lambda: theirs(lambda batch: half.encode_image(batch.bfloat16()))
        methods["headspan"] = lambda: images / ours["float32"].seconds(images)
        if arguments.bfloat16:
            ours["bfloat16"] = Ours(folder, arguments.threads, "bfloat16")
            methods["headspan bfloat16"] = lambda: images / ours["bfloat16"].seconds(images)
        for method in methods.values():  # warm up, compile
            method()
        rates = {method: [] for method in methods}
        for _ in range(arguments.rounds):
            for method, run in methods.items():
                rates[method].append(run())
        for process in ours.values():
            process.close()
    best = max(statistics.median(rates[method]) for method in rates if method in FLOAT32)
    for method, found in rates.items():
        ratio = f"{statistics.median(found) / best:.2f}"
        print(f"| {name} | {method} | {told(found)} | {ratio} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=list(IMAGES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    print(f"PyTorch {torch.__version__}, {arguments.threads} threads, float32 but where the name says otherwise\n")
    print("| model | pass | images a second | of PyTorch's best |\n|---|---|---|---|")
    for name in arguments.models:
        measure(name, arguments)


if __name__ == "__main__":
    main()
