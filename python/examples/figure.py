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
# # A figure for a paper
#
# One head in one figure: its texts, the images nearest to one, and where in an image it finds something. All plots of headspan draw
# on axes of yours and set no style, so a figure has the style and size of your paper.

# %%
from matplotlib import pyplot as plt

import headspan

run, other = headspan.run_all(progress=False)
colors = run.properties["colors"]
head = max(colors, key=lambda head: head.agreement)
head

# %% [markdown]
# The head's nearest images to one image of a red object, found by its text; and a text that it finds in the image.

# %%
query = int(head.neighbours(text="a red object", k=1).pl()["image_index"][0])
near = head.neighbours(image=query, k=4)
found = run.segment(query, ["a red object", "the sky"], heads=run.properties["colors"])

# %%
plt.rcParams.update(
    {"font.size": 7, "pdf.fonttype": 42, "axes.spines.top": False, "axes.spines.right": False}
)
figure = plt.figure(figsize=(6.75, 3.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.5])
top, bottom = right.subfigures(2, 1)

ax = head.plot(left.subplots(), texts=8)
ax.set_title("")
left.suptitle(f"(a) head {head.name}, labelled {head.label}", x=0, ha="left")

near.plot(top.subplots(1, 4))
top.suptitle("(b) nearest images under this head", x=0, ha="left")

found.plot(bottom.subplots(1, 3))
bottom.suptitle("(c) where the heads of colours find a text", x=0, ha="left")

figure.savefig("head.pdf")
figure.savefig("head.png", dpi=150)
plt.show()

# %% [markdown]
# The scores of two models with their intervals of confidence, for the same paper:

# %%
comparison = headspan.compare([run, other])
axes = comparison.plot(scores=["entanglement_repeated", "association_associated_heads"])
axes[0, 0].figure.savefig("comparison.pdf")
plt.show()

# %% [markdown]
# The numbers of a table come from the same object:

# %%
table = comparison.frame.pl()
shown = ["entanglement_repeated", "association_associated_heads"]
table.filter(table["scope"] == "model", table["metric"].is_in(shown)).select(
    "model", "metric", "value", "ci_low", "ci_high", "n"
)
