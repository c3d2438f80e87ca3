"""CLIP's image tower in plain PyTorch, which gives the contributions of its heads beside the representation.

Everything stays in head space: a head's output `z` for the class token has `head_dim` numbers, and one matrix
per head, the *readout*, maps it to the joint embedding. See the mathematics in docs/mathematics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, Vision
from .errors import TorchInputError
from .modules import quick_gelu


class Contributions(NamedTuple):
    """What `HeadModule` gives for `n` images."""

    #: `[n, d]`, not normalised: what the model's own `encode_image` gives.
    representation: Tensor
    #: `[n, heads, d]`: the direct contribution of each head to representation / |representation|.
    contributions: Tensor
    #: Layer and head of each row of `contributions`, both from 0.
    heads: list[tuple[int, int]]


class HeadVectors(NamedTuple):
    """Heads in head space for `n` images."""

    #: `[n, d]`, not normalised.
    representation: Tensor
    #: `[n, heads, head_dim + 3]`: `u` of each head; its contribution is `readout @ u`.
    vectors: Tensor
    #: Layer and head of each row of `vectors`.
    heads: list[tuple[int, int]]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, class_only: bool, mask: Tensor | None = None) -> Tensor:
        """Outputs of the heads before `out_proj`, `[n, tokens, width]`; `class_only`: of token 0."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (part.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        if class_only:
            q = q[:, :, :1]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class _Mlp(nn.Module):
    def __init__(self, width: int, mlp_width: int, is_quick: bool) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, mlp_width)
        self.c_proj = nn.Linear(mlp_width, width)
        self.is_quick = is_quick

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.c_fc(x)
        out: Tensor = self.c_proj(quick_gelu(hidden) if self.is_quick else F.gelu(hidden))
        return out


class Block(nn.Module):
    """A block of either tower under OpenCLIP's names."""

    def __init__(self, width: int, heads: int, mlp_width: int, eps: float, is_quick: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = _Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = _Mlp(width, mlp_width, is_quick)

    def forward(
        self, x: Tensor, class_only: bool = False, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next residual stream, and the heads' outputs `[n, tokens, width]`."""
        z = self.attn(self.ln_1(x), class_only, mask)
        x = (x[:, :1] if class_only else x) + self.attn.out_proj(z)
        return x + self.mlp(self.ln_2(x)), z


class Transformer(nn.Module):
    """The blocks of a tower."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)


class HeadModule(nn.Module):
    """CLIP's image tower whose forward gives `Contributions`.

    Its parameters have OpenCLIP's names without `visual.`. It takes normalised pixels `[n, 3, s, s]` and is
    differentiable in them and in its weights.
    """

    def __init__(self, architecture: Architecture, layers: str | Iterable[int] = "last:4") -> None:
        super().__init__()
        vision = architecture.vision
        self.architecture = architecture
        self.layers = resolve_layers(layers, vision.layers)
        self.conv1 = nn.Conv2d(3, vision.width, vision.patch_size, vision.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(vision.width))
        self.positional_embedding = nn.Parameter(torch.empty(vision.tokens, vision.width))
        self.ln_pre = nn.LayerNorm(vision.width, eps=vision.eps)
        self.transformer = Transformer(_block(vision, architecture.quick_gelu) for _ in range(vision.layers))
        self.ln_post = nn.LayerNorm(vision.width, eps=vision.eps)
        self.proj = nn.Parameter(torch.empty(vision.width, architecture.embed_dim))

    @property
    def heads(self) -> list[tuple[int, int]]:
        """Layer and head of each contribution, in the order of the results."""
        return [(layer, head) for layer in self.layers for head in range(self.architecture.vision.heads)]

    def forward(self, pixels: Tensor) -> Contributions:
        """Representation and contributions of normalised pixels `[n, 3, s, s]`."""
        representation, vectors, heads = self.head_vectors(pixels)
        return Contributions(representation, torch.einsum("hdk,nhk->nhd", self.readout(), vectors), heads)

    def head_vectors(self, pixels: Tensor) -> HeadVectors:
        """Representation, and `u = [z, 1, m, sigma] / (sigma |r|)` of each head."""
        last, outputs = self._trace(pixels)
        mean = last.mean(-1, keepdim=True)
        sigma = (last.var(-1, keepdim=True, unbiased=False) + self.ln_post.eps).sqrt()
        representation = self.ln_post(last) @ self.proj
        length = representation.norm(dim=-1, keepdim=True)
        scale = 1.0 / (sigma * length)
        scalars = torch.cat([scale, mean * scale, 1.0 / length], dim=-1)
        z = torch.cat(outputs, dim=1) * scale[:, None]
        scalars = scalars[:, None].expand(-1, z.shape[1], -1)
        return HeadVectors(representation, torch.cat([z, scalars], dim=-1), self.heads)

    def readout(self) -> Tensor:
        """The matrices that map `u` to contributions, `[heads, d, head_dim + 3]` (`readout.parquet`)."""
        vision = self.architecture.vision
        weight, bias, projection = self.ln_post.weight, self.ln_post.bias, self.proj
        share = 1.0 / ((2 * vision.layers + 1) * vision.heads)
        weighted = weight[:, None] * projection
        mean_column, bias_column = -share * weighted.sum(0), share * (bias @ projection)
        readouts = []
        for layer in self.layers:
            block = self.transformer.resblocks[layer]
            assert isinstance(block, Block)
            out = block.attn.out_proj
            z = torch.einsum("wd,whk->hdk", weighted, out.weight.view(vision.width, vision.heads, -1))
            constants = torch.stack([out.bias @ weighted / vision.heads, mean_column, bias_column], dim=-1)
            readouts.append(torch.cat([z, constants.expand(vision.heads, -1, -1)], dim=-1))
        return torch.cat(readouts)

    def _trace(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The class token before `ln_post`, `[n, width]`, and `z` per layer, `[n, heads, head_dim]`."""
        size = self.architecture.vision.image_size
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, size, size):
            raise TorchInputError(f"pixels have shape {tuple(pixels.shape)}, expected [n, 3, {size}, {size}]")
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], dim=1) + self.positional_embedding
        x = self.ln_pre(x)
        outputs = []
        final = len(self.transformer.resblocks) - 1
        for layer, block in enumerate(self.transformer.resblocks):
            # Nothing after the last attention needs the other tokens.
            x, z = block(x, class_only=layer == final)
            if layer in self.layers:
                outputs.append(z[:, 0].view(len(z), self.architecture.vision.heads, -1))
        return x[:, 0], outputs


def _block(sizes: Vision, is_quick: bool) -> Block:
    return Block(sizes.width, sizes.heads, sizes.mlp_width, sizes.eps, is_quick)


def resolve_layers(layers: str | Iterable[int], count: int) -> list[int]:
    """The blocks that `last:4`, `all`, `8,9` or a list of numbers means, ascending."""
    wrong = TorchInputError(
        f"layers {layers!r}: expected `last:4`, `all`, `8,9` or a list of numbers from 0 to {count - 1}"
    )
    try:
        if layers == "all":
            chosen = list(range(count))
        elif isinstance(layers, str) and layers.startswith("last:"):
            wanted = int(layers.removeprefix("last:"))
            chosen = list(range(max(count - wanted, 0), count)) if wanted > 0 else []
        else:
            numbers = layers.split(",") if isinstance(layers, str) else layers
            chosen = sorted({int(number) for number in numbers})
    except (TypeError, ValueError) as error:
        raise wrong from error
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise wrong
    return chosen


def head_module(
    architecture: Architecture, tensors: Mapping[str, Tensor], layers: str | Iterable[int]
) -> HeadModule:
    """A module with weights under OpenCLIP's names, which it keeps without a copy; in evaluation mode."""
    # Weights are not drawn at random only to be replaced.
    with torch.device("meta"):
        module = HeadModule(architecture, layers)
    own = {
        name.removeprefix("visual."): tensor for name, tensor in tensors.items() if name.startswith("visual.")
    }
    module.load_state_dict(own, strict=True, assign=True)
    return module.eval()
