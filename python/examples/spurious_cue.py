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
# # Find and remove a spurious cue
#
# A classifier is trained on images in which the background nearly always goes with the object. It learns the background as well, and
# fails where the two disagree. This page finds the attention head that brings the background in, and removes it: the head's
# contribution is replaced by its mean. No weight of the model changes.
#
# The images are rendered scenes, so that the truth about every image is known. The idea is that of Waterbirds
# (arXiv 1911.08731) and of the repair in arXiv 2310.05916.

# %%
from pathlib import Path

import numpy as np
import polars as pl

import headspan

# %% [markdown]
# ## Two data sets
#
# In the demo's scenes, objects and backgrounds are independent: they are the test set. For training we render scenes in which
# the object decides the background in 95 %: water backgrounds (sea, beach, snow, mountains) behind boats, fish, stars, mugs and
# balls, the others behind the other objects.

# %%
test_run = headspan.run_all(progress=False)[0]
if not Path("correlated").exists():
    headspan.command("scenes", out="correlated", scenes=2000, correlation=0.95, seed=7)
[train_run] = headspan.run_all(
    checkpoint=test_run.checkpoint,
    images="correlated/images",
    texts="correlated/descriptions.csv",
    dataset="correlated",
    progress=False,
)
test_run

# %% [markdown]
# Each image has its representation (unit norm), what it shows, and where.

# %%
WATER_OBJECTS = ["boat", "fish", "star", "mug", "ball"]
WATER_BACKGROUNDS = ["sea", "beach", "snow", "mountains"]


def representations(run):
    """Representations of all images, of unit norm, [n, d]."""
    parts = pl.read_parquet(run.path / "activations" / "*.parquet", columns=["representation"])
    return parts["representation"].to_numpy() * run.scalars[:, 2:]


def truth(run, table):
    """For each image, whether the object and whether the background is of the water."""
    scenes = pl.read_parquet(table)[run.image_indices]
    return scenes["shapes"].is_in(WATER_OBJECTS).to_numpy(), scenes["backgrounds"].is_in(
        WATER_BACKGROUNDS
    ).to_numpy()


train, test = representations(train_run), representations(test_run)
train_object, train_background = truth(train_run, "correlated/scenes.parquet")
test_object, test_background = truth(test_run, test_run.path.parents[1] / ".built-in/scenes/scenes.parquet")
print(f"object and background agree in {np.mean(train_object == train_background):.0%} of training images,")
print(f"and in {np.mean(test_object == test_background):.0%} of test images")


# %% [markdown]
# ## A classifier that learned the cue
#
# The classifier takes the nearer of the two mean representations: it is linear, with the difference of the means as its direction.


# %%
def classifier(features):
    """Direction and threshold between the means of the two kinds of objects."""
    means = features[train_object].mean(axis=0), features[~train_object].mean(axis=0)
    direction = means[0] - means[1]
    return direction, (means[0] + means[1]) @ direction / 2


def accuracy(train_features, test_features):
    """Accuracy in each group of test images, in percent."""
    direction, threshold = classifier(train_features)
    right = (test_features @ direction > threshold) == test_object
    side = np.array(["land", "water"])
    groups = pl.DataFrame(
        {
            "object": side[test_object.astype(int)],
            "background": side[test_background.astype(int)],
            "right": right,
        }
    )
    return (
        groups.group_by("object", "background")
        .agg(accuracy=100 * pl.col("right").mean())
        .sort("object", "background")
    )


before = accuracy(train, test)
before

# %% [markdown]
# ## Which head brings the cue in?
#
# A representation is a sum over heads (and what the MLPs add), so the classifier's score is a sum, too. For each head: how much higher
# is its part of the score before a water background than before another one?

# %%
direction, _ = classifier(train)
cue = {}
for head in test_run:
    part = head.contributions() @ direction
    cue[head.name] = part[test_background].mean() - part[~test_background].mean()
ranking = sorted(cue, key=cue.get, reverse=True)
for name in ranking[:5]:
    print(
        f"{name}  {cue[name]:.4f}  {cue[name] / sum(cue.values()):4.0%} of the cue, labelled {test_run[name].label}"
    )
culprit = test_run[ranking[0]]
culprit

# %% [markdown]
# One head carries most of it, and the label says what it looks at, though the label was made without this experiment. The images at
# both ends of its first text agree:

# %%
culprit.extremes(pick=0, k=6)


# %% [markdown]
# ## Without the head
#
# Mean ablation: the head's contribution to each image is replaced by its mean over the training images. Then the same classifier is
# trained again.


# %%
def without(features, run, names):
    """Features in which heads are replaced by their means over the training images."""
    for name in names:
        features = features - run[name].contributions() + train_run[name].contributions().mean(axis=0)
    return features


after = accuracy(without(train, train_run, [culprit.name]), without(test, test_run, [culprit.name]))
table = before.join(after.rename({"accuracy": f"without {culprit.name}"}), on=["object", "background"])
table

# %%
worst_before, worst_after = table["accuracy"].min(), table[f"without {culprit.name}"].min()
print(f"worst group: {worst_before:.1f} % before, {worst_after:.1f} % without {culprit.name}")
assert worst_after > worst_before + 5

# %% [markdown]
# As a control, the same with each of the other heads: none of them helps as much.

# %%
others = [
    accuracy(without(train, train_run, [head.name]), without(test, test_run, [head.name]))["accuracy"].min()
    for head in test_run
    if head.name != culprit.name
]
print(f"worst group without one other head: {min(others):.1f} to {max(others):.1f} %")

# %%
from matplotlib import pyplot as plt

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
names = [f"{row['object']} object,\n{row['background']} background" for row in table.iter_rows(named=True)]
places = np.arange(len(names))
ax.bar(places - 0.2, table["accuracy"], 0.4, label="the whole model")
ax.bar(places + 0.2, table[f"without {culprit.name}"], 0.4, label=f"without {culprit.name}")
ax.set_xticks(places, names)
ax.set_ylabel("accuracy, %")
ax.set_ylim(50, 100)
ax.legend(loc="lower right")
plt.show()
