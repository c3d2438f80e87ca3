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
# # From a PyTorch model to labelled heads
#
# A CLIP of OpenCLIP is in memory. What does each of its attention heads look at? Three calls answer that: `from_open_clip` checks the
# model and writes it as a checkpoint folder, `run_all` runs the pipeline, and the run answers questions.

# %%
import os
from pathlib import Path

import numpy as np
import open_clip
from tokenizers import Tokenizer

import headspan

# %% [markdown]
# ## A model in memory
#
# Here it is the demo's small CLIP, loaded by OpenCLIP; use yours instead. Its tokenizer is its own; a model with CLIP's tokenizer has
# `open_clip.get_tokenizer(...)`.

# %%
demo = headspan.run_all(progress=False)[0]
model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{demo.checkpoint}")
tokenizer = Tokenizer.from_file(str(demo.checkpoint / "tokenizer.json"))
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {model.visual.transformer.layers} blocks")

# %% [markdown]
# ## A checkpoint folder
#
# The folder is read by every command of headspan. Weights, activation, tokenizer and preprocessing are compared with the model: what does not
# fit is an error here, not a wrong number later.

# %%
checkpoint = headspan.from_open_clip(model, tokenizer, preprocess, name="from-pytorch")
print(*checkpoint.checked, sep="\n")

# %% [markdown]
# ## Heads with texts and labels

# %%
world = demo.path.parents[1] / ".built-in" / "scenes"
[run] = headspan.run_all(
    checkpoint=checkpoint,
    images=world / "images",
    classes=world / "classes.txt",
    texts=world / "descriptions.csv",
    dataset="from-pytorch",
)
run

# %% [markdown]
# One head, and what is near an image under it:

# %%
head = run.properties["backgrounds"][-1]
head

# %%
head.neighbours(image=12)

# %% [markdown]
# ## And back to PyTorch
#
# `run.module()` is the image tower as a `torch.nn.Module` that returns the representation and the contributions of the heads. They
# are those of the run.

# %%
import torch

module = run.module("cpu")
with torch.no_grad():
    found = module(preprocess(run.image(12))[None])
place = [(h.layer, h.head) for h in run].index((head.layer, head.head))
expected = head.contributions(12)
difference = np.abs(found.contributions[0, place].numpy() - expected).max() / np.abs(expected).max()
print(f"largest difference: {difference:.1e} of the largest value")
assert difference < 1e-5

# %% [markdown]
# ## On photographs
#
# The same with a CLIP of random weights over CIFAR-10, where that is at hand (the environment variable `HEADSPAN_SHARED` names the folder).
# Random heads say nothing, so their labels mean nothing: trained weights go the same way.

# %%
shared = os.environ.get("HEADSPAN_SHARED")
cifar = Path(shared, "data", "cifar10") if shared else None
if cifar is None or not cifar.exists():
    print("CIFAR-10 is not here: left out")
else:
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 3, "width": 64, "head_width": 16, "patch_size": 4}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2}
    random_model = open_clip.CLIP(embed_dim=48, vision_cfg=vision, text_cfg=text).eval()
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=77)
    preprocess = open_clip.image_transform(32, is_train=False)
    [photos] = headspan.run_all(
        checkpoint=headspan.from_open_clip(random_model, tokenizer, preprocess, name="random"),
        images=cifar / "test-00000-of-00001.parquet",
        classes=cifar / "classes.txt",
        dataset="cifar10",
        limit=1000,
    )
    print(photos, photos.images.pl()["class_id"].value_counts())
    print(photos["L2.H0"].neighbours(image=0))
