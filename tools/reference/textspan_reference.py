"""The published TEXTSPAN loop in numpy, and a golden case from it.

Usage: textspan_reference.py OUT.json
"""

import json
import sys
from pathlib import Path

import numpy as np


def textspan(x: np.ndarray, texts: np.ndarray, count: int, rank: int) -> tuple[list[int], list[float]]:
    """Algorithm 1 of arXiv 2310.05916 on dense outputs [n, d] and unit-norm texts [m, d]."""
    v = np.linalg.svd(x, full_matrices=False)[2][:rank]
    texts = texts @ v.T @ v
    x = x - x.mean(0)
    picks, deviations = [], []
    for _ in range(count):
        std = (x @ texts.T).std(0, ddof=1)
        pick = int(std.argmax())
        picks.append(pick)
        deviations.append(float(std[pick]))
        t = texts[pick]
        x = x - np.outer(x @ t / (t @ t), t)
        texts = texts - np.outer(texts @ t / (t @ t), t)
    return picks, deviations


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
