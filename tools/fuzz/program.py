"""Hands mutated files to the program itself: what depends on Burn, and so is not among the coverage-guided targets.

`python3 program.py HEADSPAN [--seconds 60] [--only checkpoint,settings] [--seed 1]`. A finding is a panic, a signal, a failed
allocation, a run of more than 30 seconds, or an exit code that is not 0, 1 or 2. Its file stays in `target/findings/`.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CRATES = HERE.parents[1] / "crates"
MODEL = CRATES / "model/tests/data/model/quick-gelu"
IMAGES = CRATES / "images/tests/data"
# Address space of the program: it maps more than it uses.
MEMORY = 12 << 30
SECONDS = 30.0
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
TOKENIZER = b'{"model": {"type": "BPE", "vocab": {"a": 0, "b</w>": 1, "ab</w>": 2, "<|startoftext|>": 3, "<|endoftext|>": 4}, "merges": ["a b</w>"]}}'
SETTINGS = (HERE.parents[1] / "configs/default.toml").read_bytes()


@dataclass
class Kind:
    """Files of one kind: what they are called, their seeds, and the arguments that read one."""

    name: str
    seeds: list[bytes]
    arguments: Callable[[Path, Path], list[str]]
    runs: int = 0
    refused: int = 0
    findings: list[str] = field(default_factory=list)


def kinds() -> list[Kind]:
    """All kinds. `arguments` gets the mutated file and a working folder with a checkpoint and an image."""

    def extract(checkpoint: str, folder: Path) -> list[str]:
        return [
            *("extract", "--checkpoint", checkpoint, "--images", str(folder / "images"), "--texts", str(folder / "pool.csv")),
            *("--runs", str(folder / "runs"), "--limit", "1", "--layers", "last:1", "--device", "cpu"),
        ]

    def beside(name: str) -> Callable[[Path, Path], list[str]]:
        def arguments(file: Path, folder: Path) -> list[str]:
            shutil.copy(file, folder / "clip" / name)
            return extract(str(folder / "clip"), folder)

        return arguments

    weights = [MODEL / name for name in ("open_clip_model.safetensors", "weights.bin", "training.pt", "torchscript.pt", "module.pt")]
    tables = [*sorted((IMAGES / "datasets").glob("*.parquet"))]
    return [
        Kind("checkpoint", [path.read_bytes() for path in weights], beside("model.safetensors")),
        Kind("tokenizer", [TOKENIZER], beside("tokenizer.json")),
        Kind("architecture", [(MODEL / "open_clip_config.json").read_bytes()], beside("open_clip_config.json")),
        Kind("settings", [SETTINGS], lambda file, _: ["config", "--config", str(file.rename(file.with_suffix(".toml")))]),
        Kind(
            "images.parquet",
            [path.read_bytes() for path in tables],
            lambda file, folder: ["plan", "clip", "--checkpoint", str(folder / "clip"), "--images", str(file.rename(file.with_suffix(".parquet")))],
        ),
    ]


def mutated(source: random.Random, seed: bytes, others: list[bytes]) -> bytes:
    """A few changes of bytes, numbers, digits and pieces; most of them near the start or the end, where headers are."""
    data = bytearray(seed)
    for _ in range(source.choice((1, 1, 1, 2, 3, 6))):
        if not data:
            break
        span = min(len(data), 4096)
        at = source.choice((source.randrange(span), len(data) - 1 - source.randrange(span), source.randrange(len(data))))
        match source.randrange(8):
            case 0:
                data[at] ^= 1 << source.randrange(8)
            case 1:
                data[at] = source.randrange(256)
            case 2:
                size = source.choice((2, 4, 8))
                number = source.choice(NUMBERS) & ((1 << 8 * size) - 1)
                data[at : at + size] = number.to_bytes(size, source.choice(("little", "big")))
            case 3:
                del data[at : at + source.choice((1, 2, 8, 64, 1024))]
            case 4:
                data[at:at] = data[at : at + source.choice((1, 4, 16, 256))] * source.choice((1, 2, 50))
            case 5:
                del data[at:]
            case 6:
                digits = [place for place, byte in enumerate(data) if 48 <= byte < 58][:4000]
                if digits:
                    place = source.choice(digits)
                    data[place : place + 1] = source.choice((b"-1", b"0", b"1e400", b"99999999999999999999", b"4294967296", b"[]", b'""'))
            case _:
                other = source.choice(others)
                cut = source.randrange(len(other) + 1)
                data[at : at + 64] = other[cut : cut + 64]
    return bytes(data)


def bounded() -> None:
    """Bounds the memory of the program that is started."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def wrong(program: Path, arguments: list[str], folder: Path) -> tuple[str | None, int]:
    """What is wrong with a run, if anything, and its exit code."""
    try:
        done = subprocess.run(
            [str(program), "-q", *arguments], cwd=folder, capture_output=True, timeout=SECONDS, preexec_fn=bounded, check=False
        )
    except subprocess.TimeoutExpired:
        return f"more than {SECONDS} s", -1
    said = done.stderr.decode(errors="replace")
    for word in ("panicked", "memory allocation of", "stack overflow"):
        if word in said:
            return said[max(0, said.index(word) - 200) :][:600], done.returncode
    return (None if done.returncode in (0, 1, 2) else f"exit code {done.returncode}: {said[-300:]}"), done.returncode


def prepared(folder: Path) -> None:
    """A checkpoint, an image and a pool of texts."""
    (folder / "clip").mkdir()
    (folder / "images").mkdir()
    shutil.copy(MODEL / "open_clip_config.json", folder / "clip")
    shutil.copy(MODEL / "open_clip_model.safetensors", folder / "clip/model.safetensors")
    (folder / "clip/tokenizer.json").write_bytes(TOKENIZER)
    shutil.copy(IMAGES / "preprocess/rgb.png", folder / "images")
    (folder / "pool.csv").write_text("text\na\nb\nab\n")


def main() -> int:
    """Runs all kinds in turn until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    program, source = options.program.resolve(), random.Random(options.seed)
    findings = HERE / "target/findings"
    findings.mkdir(parents=True, exist_ok=True)
    chosen = [kind for kind in kinds() if not options.only or kind.name in options.only.split(",")]
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        for kind in chosen:
            with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
                folder = Path(name)
                prepared(folder)
                data = mutated(source, source.choice(kind.seeds), kind.seeds) if kind.runs else kind.seeds[0]
                (folder / "mutated").write_bytes(data)
                problem, code = wrong(program, kind.arguments(folder / "mutated", folder), folder)
            kind.runs += 1
            kind.refused += code == 1
            if problem:
                kept = findings / f"program-{kind.name}-{len(kind.findings)}"
                kept.write_bytes(data)
                kind.findings.append(problem)
                print(f"{kind.name}: {kept}: {problem}", flush=True)
    for kind in chosen:
        print(f"{kind.name}: {kind.runs} runs, {kind.refused} refused, {len(kind.findings)} findings")
    return 1 if any(kind.findings for kind in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
