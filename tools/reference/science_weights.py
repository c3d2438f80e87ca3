"""The checks of `headspan weights`: singular values of readouts, and directions named by non-negative orthogonal matching pursuit (Bruckstein, Elad and
Zibulevsky 2008)."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
import torch

from science_report import Report
from science_run import Run


@dataclass
class Name:
    """Texts of a direction with their weights, the cosine between the direction and their sum, and how close a pick was to another."""

    fidelity: float
    texts: list[int]
    weights: list[float]
    gap: float


def non_negative(columns: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Least squares with weights that are not negative, by trying every set of columns."""
    best, least = np.zeros(columns.shape[1]), wanted @ wanted
    for size in range(1, columns.shape[1] + 1):
        for some in map(list, combinations(range(columns.shape[1]), size)):
            weights, *_ = np.linalg.lstsq(columns[:, some], wanted, rcond=None)
            rest = wanted - columns[:, some] @ weights
            if (weights >= 0).all() and rest @ rest < least:
                best, least = np.zeros(columns.shape[1]), rest @ rest
                best[some] = weights
    return best


def pursued(texts: np.ndarray, direction: np.ndarray, most: int) -> Name:
    chosen, weights, rest, gap = [], np.zeros(0), direction, np.inf
    while len(chosen) < most:
        along = texts @ rest
        along[chosen] = -np.inf
        second, first = np.sort(along)[-2:]
        if first <= 1e-12:
            break
        gap = min(gap, first - second)
        chosen.append(int(along.argmax()))
        weights = non_negative(texts[chosen].T, direction)
        rest = direction - texts[chosen].T @ weights
    total = texts[chosen].T @ weights if chosen else np.zeros(len(direction))
    length = np.linalg.norm(total)
    kept = [place for place in range(len(chosen)) if weights[place] > 0]
    return Name(float(total @ direction / length) if length else 0.0, [chosen[place] for place in kept], [float(weights[place]) for place in kept], gap)


def name_of_direction(texts: np.ndarray, axis: int, most: int) -> Name:
    """Texts, `[n, rank]` along the directions, that name one of them or its opposite, whichever they fit better."""
    direction = np.zeros(texts.shape[1])
    direction[axis] = 1
    return max((pursued(texts, sign * direction, most) for sign in (1, -1)), key=lambda name: name.fidelity)


def weights(report: Report, run: Run) -> None:
    table, answer, visual = run.table(f"weights-{run.dataset}"), run.answer(f"weights-{run.dataset}"), run.world.model.visual
    ours = torch.from_numpy(np.stack(run.read("texts").sort("text_index")["embedding"].to_numpy())).double()
    report.line(f"{run.dataset}: embeddings of {len(ours)} texts", float((ours - run.pool).abs().max()), 1e-5)
    texts = run.read("texts").sort("text_index")["text"].to_list()
    centred, spans = run.pool - run.pool.mean(0), run.read("textspan").sort("pick")
    values, shares, participation, fidelity, amounts, agreement, names = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, []
    told = {head["head"]: head for head in answer["heads"]}
    for layer, head in run.names:
        attention = visual.transformer.resblocks[layer].attn
        own = attention.out_proj.weight.double().unflatten(1, (attention.num_heads, -1))[:, head]
        left, singular, _ = torch.linalg.svd((visual.proj.double().T * visual.ln_post.weight.double()) @ own, full_matrices=False)
        rows = table.filter(pl.col("layer") == layer, pl.col("head") == head).sort("direction")
        found = torch.tensor(rows["singular_value"].to_list()).double()
        values = max(values, float((found - singular).abs().max() / singular[0]))
        squares = singular.square()
        shares = max(shares, float((torch.tensor(rows["share"].to_list()).double() - squares / squares.sum()).abs().max()))
        of_head = told[f"L{layer}.H{head}"]
        participation = max(participation, abs(of_head["participation"] - float(squares.sum() ** 2 / squares.square().sum())))
        within, named = (centred @ left).numpy(), set()
        for row in rows.drop_nulls("fidelity").iter_rows(named=True):
            name = name_of_direction(within, row["direction"], 5)
            wanted = [texts[place] for place in name.texts]
            named |= set(name.texts)
            if row["texts"] != wanted:
                names.append(f"L{layer}.H{head} direction {row['direction']} (second choice {name.gap:.1e} behind): {row['texts']}, {wanted}")
                continue
            fidelity = max(fidelity, abs(row["fidelity"] - name.fidelity))
            amounts = max([amounts, *(abs(one / other - 1) for one, other in zip(row["weights"], name.weights))])
        picks = spans.filter(pl.col("layer") == layer, pl.col("head") == head)["text_index"].to_list()[:5]
        kept = rows["fidelity"].count()
        held = np.mean([np.square(within[pick, :kept]).sum() / np.square(within[pick]).sum() for pick in picks])
        agreement = max(agreement, abs(of_head["span_share"] - held), abs(of_head["texts_shared"] - np.mean([pick in named for pick in picks])))
    name = run.dataset
    report.line(f"{name}: singular values over the largest", values, 1e-6)
    report.line(f"{name}: shares of squared singular values", shares, 1e-6)
    report.line(f"{name}: participation ratios", participation, 1e-4)
    report.equal(f"{name}: directions with other texts", names, [])
    report.line(f"{name}: fidelity (cosine of direction and sum)", fidelity, 1e-4)
    report.line(f"{name}: weights of the texts, relative", amounts, 1e-2)
    report.line(f"{name}: agreement with TEXTSPAN", agreement, 1e-4)
