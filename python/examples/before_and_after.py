# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Before and after fine-tuning
#
# What does fine-tuning do to the heads? This page continues the training of a small CLIP for half a minute, on scenes in which
# backgrounds go with objects, and compares each head before and after: whether it still says the same, and what its texts are.

# %%
from pathlib import Path

import numpy as np
import polars as pl

import headspan

# %% [markdown]
# ## Fine-tuning
#
# The model is the demo's. `headspan train` continues from it. With your own model, train as you always do, and hand both states to
# `headspan.from_open_clip` or `headspan.from_transformers`, as in [pytorch_to_heads.py](pytorch_to_heads.py).

# %%
demo = headspan.run_all(progress=False)[0]
world = demo.path.parents[1] / ".built-in" / "scenes"

RECIPE = f"""
begin_with = "{demo.checkpoint.as_posix()}"
seed = 1
steps = 100
batch_size = 64
parts = 2
learning_rate = 1e-3
warmup_steps = 10
easy_steps = 0
weight_decay = 0.02
beta_2 = 0.98
patch_dropout = 0.75
clip_norm = 1.0
checkpoint_steps = 100
vocabulary = 800

[world]
seed = 77
pixels = 64
combinations = "seen"
correlation = 0.95

[model]
embed_dim = 96
patch_size = 8
layers = 4
width = 128
head_width = 16
text_layers = 3
text_width = 96
text_heads = 4
context_length = 48
"""
if not Path("tuned/open_clip_model.safetensors").exists():
    Path("recipe.toml").write_text(RECIPE)
    headspan.command("train", "recipe.toml", out="tuned", progress=True)

# %% [markdown]
# ## Two runs of one data set
#
# Both models see the same images and the same pool of descriptions, so that they can be compared.

# %%
runs = {}
for name, checkpoint in [("before", demo.checkpoint), ("after", "tuned")]:
    [runs[name]] = headspan.run_all(
        name,
        checkpoint=checkpoint,
        images=world / "images",
        classes=world / "classes.txt",
        texts=world / "descriptions.csv",
        dataset="fine-tuning",
        progress=False,
    )
before, after = runs["before"], runs["after"]
comparison = headspan.compare([before, after])
comparison

# %% [markdown]
# ## Which heads changed?
#
# `head.alike(other)` orders the heads of another run by how much what they say resembles what this head says: the correlation of
# their variances along the texts of the pool. A head that fine-tuning left alone is most alike to itself.

# %%
rows = []
for head in before:
    alike = head.alike(after).pl()
    own = alike.filter(pl.col("name") == head.name)["correlation"][0]
    rows.append(
        {
            "head": head.name,
            "property before": head.label,
            "property after": after[head.name].label,
            "resembles itself": own,
            "most alike": alike["name"][0],
        }
    )
changes = pl.DataFrame(rows).sort("resembles itself")
changes.head(8)

# %%
relabelled = (changes["property before"] != changes["property after"]).sum()
print(f"{relabelled} of {len(changes)} heads have another label")
print(f"{(changes['head'] == changes['most alike']).sum()} are still most alike to themselves")

# %% [markdown]
# ## How far did the contributions move?
#
# Contributions live in the joint embedding, which is the same space before and after. For each head: the mean distance of its
# contributions to the same images, as a share of their mean length.

# %%
moved = {
    head.name: np.linalg.norm(after[head.name].contributions() - head.contributions(), axis=1).mean()
    / np.linalg.norm(head.contributions(), axis=1).mean()
    for head in before
}
most = max(moved, key=moved.get)
print(
    f"{most} moved most: {moved[most]:.0%} of its length; the median head moved {np.median(list(moved.values())):.0%}"
)

# %% [markdown]
# All heads at once, those whose outputs changed most first (`docs/metrics.md` defines the figures):

# %%
headspan.diff(before, after)

# %% [markdown]
# The head that moved most, before and after, with the texts that span it:

# %%
before[most]

# %%
after[most]

# %%
from matplotlib import pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
for ax, run, when in zip(axes, (before, after), ("before", "after")):
    run[most].plot(ax, texts=8)
    ax.set_title(f"{most} {when}: {run[most].label}")
plt.show()
