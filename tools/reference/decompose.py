"""The dense decomposition of design section 1 in plain PyTorch, as the reference for tests and benches.

Conventions: the mean and the bias of the last LayerNorm are shared evenly by all 2L+1 components, and by the heads inside an
attention component; the attention output bias is shared evenly by its heads; constants are shared evenly by tokens.
"""

import torch


def traced_blocks(visual: torch.nn.Module, images: torch.Tensor):
    """Run the image tower by hand: class-token input of the first block, per block attention, values and MLP output."""
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    cls = visual.class_embedding.expand(x.shape[0], 1, -1)
    x = torch.cat([cls, x], dim=1) + visual.positional_embedding
    x = visual.ln_pre(x)
    first = x[:, 0].clone()
    blocks = []
    for block in visual.transformer.resblocks:
        attention = block.attn
        heads, width = attention.num_heads, attention.embed_dim
        qkv = block.ln_1(x) @ attention.in_proj_weight.T + attention.in_proj_bias
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in qkv.chunk(3, dim=-1))
        weights = (q @ k.transpose(-1, -2) * (width // heads) ** -0.5).softmax(-1)
        z = (weights @ v).transpose(1, 2).flatten(2)
        x = x + z @ attention.out_proj.weight.T + attention.out_proj.bias
        update = block.mlp(block.ln_2(x))
        x = x + update
        blocks.append((weights[:, :, 0], v, update[:, 0]))
    return first, blocks, x[:, 0]


def folding(visual: torch.nn.Module, last: torch.Tensor, count: int):
    """From the class token before `ln_post`: what takes a component of it with its share to one of r/|r|; r, and |r|."""
    norm, projection = visual.ln_post, visual.proj
    mean = last.mean(-1, keepdim=True)
    sigma = (last.var(-1, keepdim=True, unbiased=False) + norm.eps).sqrt()
    representation = norm(last) @ projection
    length = representation.norm(dim=-1, keepdim=True)

    def fold(component: torch.Tensor, part: float) -> torch.Tensor:
        shape = [-1] + [1] * (component.ndim - 1)
        scale, center = sigma.view(shape), mean.view(shape)
        inner = (component - part * center) / scale * norm.weight + part * norm.bias
        return inner @ projection / length.view(shape)

    return fold, representation, length


@torch.inference_mode()
def decompose(visual: torch.nn.Module, images: torch.Tensor, layers: list[int] | None = None, tokens: bool = True) -> dict:
    """All components of r/|r|: `attn` [n, layers, heads, d], `mlp` [n, L+1, d], and per token if asked for."""
    first, blocks, last = traced_blocks(visual, images)
    count = len(blocks)
    layers = list(range(count)) if layers is None else layers
    fold, representation, length = folding(visual, last, count)
    share = 1.0 / (2 * count + 1)

    attn, per_token = [], []
    for layer in layers:
        attention = visual.transformer.resblocks[layer].attn
        weights, values, _ = blocks[layer]
        heads = attention.num_heads
        out = attention.out_proj.weight.unflatten(1, (heads, -1))
        bias = attention.out_proj.bias / heads
        if tokens:
            n = values.shape[2]
            dense = torch.einsum("bht,bhtk,whk->bthw", weights, values, out) + bias / n
            per_token.append(fold(dense, share / heads / n))
            attn.append(per_token[-1].sum(1))
        else:
            z = torch.einsum("bht,bhtk->bhk", weights, values)
            attn.append(fold(torch.einsum("bhk,whk->bhw", z, out) + bias, share / heads))
    mlp = torch.stack([fold(part, share) for part in [first, *(update for _, _, update in blocks)]], dim=1)
    result = {"repr": representation, "norm": length[:, 0], "attn": torch.stack(attn, dim=1), "mlp": mlp}
    if tokens:
        result["attn_tokens"] = torch.stack(per_token, dim=1)
        result["cls_attn"] = result["attn_tokens"][:, :, 0].sum(2)
    return result


@torch.inference_mode()
def decompose_all_queries(visual: torch.nn.Module, images: torch.Tensor, blocks: int | None = None) -> dict:
    """The attention part of `decompose` for all layers, at the cost of the published code: the update of *every* token, not the class
    token's alone, is laid out by source token and head, `[n, tokens, tokens, heads, width]`, before it is summed. With `blocks` the model
    ends after so many, which serves to time them."""
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(x.shape[0], 1, -1), x], dim=1) + visual.positional_embedding
    x = visual.ln_pre(x)
    components = []
    for block in visual.transformer.resblocks[:blocks]:
        attention = block.attn
        heads, width = attention.num_heads, attention.embed_dim
        qkv = block.ln_1(x) @ attention.in_proj_weight.T + attention.in_proj_bias
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in qkv.chunk(3, dim=-1))
        weights = (q * (width // heads) ** -0.5 @ k.transpose(-1, -2)).softmax(-1)
        moved = torch.einsum("bhqt,bhtk->bqthk", weights, v)
        dense = torch.einsum("bqthk,whk->bqthw", moved, attention.out_proj.weight.unflatten(1, (heads, -1)))
        bias = attention.out_proj.bias
        components.append(dense[:, 0] + bias / (heads * x.shape[1]))
        x = x + dense.sum((2, 3)) + bias
        x = x + block.mlp(block.ln_2(x))
    tokens, count = x.shape[1], len(components)
    fold, representation, length = folding(visual, x[:, 0], count)
    dense = fold(torch.stack(components, dim=1), 1.0 / (2 * count + 1) / heads / tokens)
    return {"repr": representation, "norm": length[:, 0], "attn_tokens": dense, "attn": dense.sum(2)}
