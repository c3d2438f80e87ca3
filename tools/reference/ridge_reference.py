"""Ridge regression by least squares on extended rows, and a golden case from it: another way than the closed form from moments that headspan
takes.

Usage: ridge_reference.py OUT.json
"""

import json
import sys
from pathlib import Path

import numpy as np


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """The map `[x, y]` that minimises the mean of |y − Wᵀx|² plus the penalty times the mean eigenvalue of the mean of x xᵀ times |W|²."""
    n, length = x.shape
    weight = penalty * np.trace(x.T @ x / n) / length
    rows = np.vstack([x, np.sqrt(n * weight) * np.eye(length)])
    return np.linalg.lstsq(rows, np.vstack([y, np.zeros((length, y.shape[1]))]), rcond=None)[0]


def main() -> None:
    random = np.random.default_rng(3)
    # float32 numbers with few digits, so that the file is small and both sides start from the same
    draw = lambda *shape: np.float32(np.round(random.normal(size=shape), 3)).astype(np.float64)
    truth = draw(6, 4)

    def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.float32(draw(count, 6) / np.arange(1, 7)).astype(np.float64)
        return x, np.float32(np.round(x @ truth + 0.4 * draw(count, 4) + 0.3, 3)).astype(np.float64)

    (x, y), (other_x, other_y) = pairs(30), pairs(20)
    cases = []
    for penalty in (1e-6, 1e-2, 1.0):
        weights = ridge(x, y, penalty)
        left = ((other_y - other_x @ weights) ** 2).sum()
        cases.append({
            "penalty": penalty,
            "map": weights.ravel().tolist(),
            "error": left / len(other_y),
            "r2": 1 - left / ((other_y - other_y.mean(0)) ** 2).sum(),
        })
    golden = {"x": x.tolist(), "y": y.tolist(), "other_x": other_x.tolist(), "other_y": other_y.tolist(), "cases": cases}
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    Path(sys.argv[1]).write_text(json.dumps(golden))


if __name__ == "__main__":
    main()
