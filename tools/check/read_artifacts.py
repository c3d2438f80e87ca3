"""Read every table of a run with Polars, pandas and pyarrow, and check names, types, shapes and values.

Usage: read_artifacts.py RUN [--asked]   (RUN is RUNS/DATASET/MODEL; with --asked also what `zeroshot` and `ablate --reconstruct` wrote)
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

HEAD = ["layer", "head"]
COLUMNS = {
    "images": ["image_index", "image_id", "class_id", "class_index", "width", "height", "status", "error"],
    "readout": [*HEAD, "readout", "d", "head_dim"],
    "moments": [*HEAD, "n", "mean", "second_moment"],
    "texts": ["text_index", "text", "category", "embedding"],
    "categories": ["text_index", "text", "category", "embedding"],
    "textspan": [*HEAD, "pick", "text_index", "text", "category", "std", "variance_share", "cumulative_share",
                 "effective_rank"],
    "labels": [*HEAD, "labeller", "property", "description", "consistent", "agreement", "prompt_sha256", "llm_model",
               "tokens_in", "tokens_out"],
    "metrics": ["labeller", "metric", "scope", "layer", "head", "property", "value", "ci_low", "ci_high", "n"],
}
# Written when somebody asks, by `zeroshot` and `ablate`.
ASKED = {
    "classes": ["class_index", "class_id", "name", "embedding"],
    "zeroshot": ["image_index", "class_index", "predicted", "margin", "rank"],
    "ablations": ["kind", "target", "replacement", "scope", "class_id", "group", "n", "accuracy_before", "accuracy_after", "ci_low", "ci_high", "p"],
    "reconstruction": ["directions", "k", "n", "accuracy", "ci_low", "ci_high", "kept"],
}
# Written by people, where they have said anything.
NOTES = ["revision", "after", "author", "at_ms", "kind", "layer", "head", "pick", "property", "key", "value", "state"]
VECTORS = {"classes": ["embedding"], "readout": ["readout"], "moments": ["mean", "second_moment"], "texts": ["embedding"], "categories": ["embedding"]}

passed = 0


def check(condition: bool, what: str) -> None:
    """Count a check; stop with its name if it fails."""
    global passed
    if not condition:
        sys.exit(f"failed: {what}\n{passed} passed, 1 failed")
    passed += 1


def check_table(run: Path, name: str) -> pl.DataFrame:
    path = run / f"{name}.parquet"
    columns = {**COLUMNS, **ASKED, "notes": NOTES}[name]
    frame, arrow, pandas = pl.read_parquet(path), pq.read_table(path), pd.read_parquet(path)
    check(frame.columns == ["model", "dataset", *columns], f"{name}: columns are {frame.columns}")
    check(frame.height == arrow.num_rows == len(pandas) > 0, f"{name}: rows differ")
    check(frame["model"].unique().to_list() == [run.name], f"{name}: model")
    metadata = {key.decode(): value.decode() for key, value in pq.read_metadata(path).metadata.items()}
    check(len(metadata["headspan.fingerprint"]) == 64, f"{name}: fingerprint in the footer")
    for column in VECTORS.get(name, []):
        element = pl.Float64 if name == "moments" else pl.Float32
        kind = frame.schema[column]
        check(isinstance(kind, pl.Array) and kind.inner == element, f"{name}.{column}: Polars sees {kind}")
        check("fixed_size_list" in str(arrow.schema.field(column).type), f"{name}.{column}: pyarrow type")
        by_polars = frame[column].to_numpy()
        by_pandas = np.stack(pandas[column].to_numpy())
        check(by_polars.shape == by_pandas.shape and np.array_equal(by_polars, by_pandas), f"{name}.{column}: values")
        check(bool(np.isfinite(by_polars).all()), f"{name}.{column}: not finite")
    return frame


def check_activations(run: Path, moments: pl.DataFrame, images: pl.DataFrame) -> None:
    paths = sorted((run / "activations").glob("part-*.parquet"))
    parts = pl.concat([pl.read_parquet(path) for path in paths])
    good = images.filter(pl.col("status") == "ok")
    check(parts["image_index"].to_list() == good["image_index"].to_list(), "activations: one row for each good image")
    scalars = parts.select("inv_scale", "mean_scale", "inv_norm").to_numpy().astype(np.float64)
    norm = np.linalg.norm(parts["representation"].to_numpy(), axis=1)
    check(np.allclose(norm * scalars[:, 2], 1, atol=1e-5), "activations: inv_norm is 1/|r|")
    for row in moments.iter_rows(named=True):
        name = f"L{row['layer']}.H{row['head']}"
        column = pd.read_parquet(paths[0], columns=[name])[name]
        check(len(column.iloc[0]) == parts[name].to_numpy().shape[1], f"{name}: pandas reads one head alone")
        u = np.concatenate([parts[name].to_numpy().astype(np.float64), scalars], axis=1)
        second = (u.T @ u / len(u)).ravel()
        error = np.abs(second - np.asarray(row["second_moment"])).max() / np.abs(second).max()
        check(error < 1e-6 and row["n"] == len(u), f"{name}: moments are off by {error}")


def check_classification(tables: dict[str, pl.DataFrame]) -> None:
    embeddings = tables["classes"]["embedding"].to_numpy()
    check(np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5), "classes: unit norm")
    right = tables["zeroshot"].filter(pl.col("predicted") == pl.col("class_index"))
    check(right.height > 0 and right["rank"].unique().to_list() == [0], "zeroshot: rank 0 is the predicted class")
    # The mean of draws that are all equal differs from them by rounding.
    after = pl.col("accuracy_after")
    bounds = tables["ablations"].filter((pl.col("ci_low") > after + 1e-12) | (pl.col("ci_high") < after - 1e-12))
    check(bounds.height == 0, "ablations: intervals hold the accuracy")
    none = tables["reconstruction"].filter(pl.col("k") == 0)["accuracy"].unique()
    check(len(none) == 1, "reconstruction: no directions are the same, whatever they are called")


def main() -> None:
    run = Path(sys.argv[1])
    tables = {name: check_table(run, name) for name in COLUMNS}
    if (run / "notes.parquet").is_file():
        check_table(run, "notes")
    embeddings = tables["texts"]["embedding"].to_numpy()
    check(np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5), "texts: unit norm")
    shares = tables["textspan"].group_by("layer", "head").agg(pl.col("variance_share").sum())
    check(bool((shares["variance_share"] <= 1 + 1e-9).all()), "textspan: shares sum to at most 1")
    check_activations(run, tables["moments"], tables["images"])
    if "--asked" in sys.argv:
        check_classification({name: check_table(run, name) for name in ASKED})
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
