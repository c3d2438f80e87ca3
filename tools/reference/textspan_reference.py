"""The published TEXTSPAN loop in numpy, and a golden case from it.

Usage: textspan_reference.py OUT.json
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def loop(x: np.ndarray, texts: np.ndarray, count: int, rank: int) -> Iterator[np.ndarray]:
    """Algorithm 1 of arXiv 2310.05916 on dense outputs [n, d] and unit-norm texts [m, d]: the standard deviations [m] of each step,
    whose largest is its pick."""
    v = np.linalg.svd(x, full_matrices=False)[2][:rank]
    texts = texts @ v.T @ v
    x = x - x.mean(0)
    for _ in range(count):
        std = (x @ texts.T).std(0, ddof=1)
        yield std
        t = texts[int(std.argmax())]
        x = x - np.outer(x @ t / (t @ t), t)
        texts = texts - np.outer(texts @ t / (t @ t), t)


def textspan(x: np.ndarray, texts: np.ndarray, count: int, rank: int) -> tuple[list[int], list[float]]:
    """The picks with their standard deviations."""
    steps = list(loop(x, texts, count, rank))
    return [int(std.argmax()) for std in steps], [float(std.max()) for std in steps]


def gaps(x: np.ndarray, texts: np.ndarray, count: int, rank: int) -> list[tuple[int, float]]:
    """The picks, each with how far the second best is below it, relative to the best."""
    found = []
    for std in loop(x, texts, count, rank):
        second, best = np.partition(std, -2)[-2:]
        found.append((int(std.argmax()), float((best - second) / best)))
    return found


def main() -> None:
    random = np.random.default_rng(0)
    # float32 numbers with few digits, so that the file is small and both sides start from the same
    draw = lambda *shape: np.float32(np.round(random.normal(size=shape), 3)).astype(np.float64)
    u, readout, texts = draw(50, 10) / np.arange(1, 11), draw(16, 10), draw(60, 16)
    u = np.float32(u).astype(np.float64)
    texts = np.float32(texts / np.linalg.norm(texts, axis=1, keepdims=True)).astype(np.float64)
    picks, deviations = textspan(u @ readout.T, texts, 8, 10)
    golden = {"u": u.tolist(), "readout": readout.tolist(), "texts": texts.tolist(), "picks": picks, "std": deviations}
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    Path(sys.argv[1]).write_text(json.dumps(golden))


if __name__ == "__main__":
    main()
