"""CLIP's text tower in plain PyTorch: what a checkpoint's configuration claims, to compare a model with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .architecture import Architecture
from .vision import Block, Transformer


class TextTower(nn.Module):
    """Token ids `[n, context_length]` to features `[n, d]`, taken at the highest id."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        text = architecture.text
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(torch.empty(text.context_length, text.width))
        blocks = (
            Block(text.width, text.heads, text.mlp_width, text.eps, architecture.quick_gelu)
            for _ in range(text.layers)
        )
        self.transformer = Transformer(blocks)
        self.ln_final = nn.LayerNorm(text.width, eps=text.eps)
        self.text_projection = nn.Parameter(torch.empty(text.width, architecture.embed_dim))

    def forward(self, ids: Tensor) -> Tensor:
        length = ids.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        for block in self.transformer.resblocks:
            x, _ = block(x, mask=mask)
        ends = x[torch.arange(len(ids), device=ids.device), ids.argmax(-1)]
        features: Tensor = self.ln_final(ends) @ self.text_projection
        return features


def text_tower(architecture: Architecture, tensors: Mapping[str, Tensor]) -> TextTower:
    """A tower with weights under OpenCLIP's names, in evaluation mode."""
    with torch.device("meta"):
        tower = TextTower(architecture)
    own = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith("visual.") and name != "logit_scale"
    }
    tower.load_state_dict(own, strict=True, assign=True)
    return tower.eval()
