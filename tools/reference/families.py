"""Write the small random cases of crates/model/tests/data/families: one tower of every kind that headspan reads beside OpenAI's, with the
dense decomposition that this program computes in PyTorch, checked against the library that defines the tower.

Usage: families.py OUT [CASE ...]            (with open_clip_torch, timm, transformers)
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch
from safetensors.torch import save_file

WIDTH, HEADS, LAYERS, MLP, PATCH, IMAGE = 16, 2, 3, 40, 8, 24
MEAN, STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]


@dataclass
class Block:
    """A pre-norm block, its layers as functions; `out` is the output projection with LayerScale in it, `[width, width]` and `[width]`.
    `rotate` turns queries and keys `[n, heads, tokens, head_dim]` by their positions, `inner` normalises all heads' outputs together."""

    norm: Callable
    qkv: Callable
    heads: int
    out: tuple[torch.Tensor, torch.Tensor]
    mlp: Callable
    rotate: Callable | None = None
    inner: torch.nn.LayerNorm | None = None

    def linear_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What is linear in the heads' outputs over their deviation: with an inner norm `W diag(w) (I - 11ᵀ/n)` and `W b + c`."""
        weight, bias = self.out
        if self.inner is None:
            return weight, bias
        scaled = weight * self.inner.weight
        return scaled - scaled.mean(1, keepdim=True), bias + weight @ self.inner.bias


@dataclass
class Pool:
    """Attention by a probe: queries `[heads, head_dim]`, weights and biases of keys, values and output, and behind it the MLP with its norm
    (SigLIP) or a norm (CoCa)."""

    query: torch.Tensor
    key: tuple[torch.Tensor, torch.Tensor]
    value: tuple[torch.Tensor, torch.Tensor]
    out: tuple[torch.Tensor, torch.Tensor]
    mlp: Callable | None
    behind: torch.nn.LayerNorm | None = None


@dataclass
class Tower:
    """`embed` gives the first block's input; `pooling` is `class`, `mean` (of tokens from `first` on, then the norm), `normed mean` (of
    normalised tokens) or `attention`; `projection` is `[width, d]` or none."""

    embed: Callable
    blocks: list[Block]
    norm: torch.nn.LayerNorm
    pooling: str
    first: int
    projection: torch.Tensor | None
    pool: Pool | None = None
    projection_bias: torch.Tensor | None = None


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give every bias, norm, scale and embedding a value that shows when it is dropped."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name in ("logit_scale", "logit_bias"):
                continue
            if name.endswith(("gamma", "lambda1", "gamma_1", "gamma_2")):
                parameter.copy_(0.7 + 0.3 * noise)
            elif parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif any(part in name for part in ("embed", "token", "latent", "probe", "pool.query")) and "proj" not in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * 1.3 / parameter[0].numel() ** 0.5)


def scaled(weight: torch.Tensor, bias: torch.Tensor, gamma: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    return (weight, bias) if gamma is None else (gamma[:, None] * weight, gamma * bias)


def run(tower: Tower, images: torch.Tensor):
    """First block's input, per block attention over the inner norm's deviation `[n, heads, q, t]`, values `[n, heads, t, head_dim]` and MLP
    output, and the last residual."""
    x = tower.embed(images)
    first, traced = x, []
    for block in tower.blocks:
        q, k, v = (t.unflatten(-1, (block.heads, -1)).transpose(1, 2) for t in block.qkv(block.norm(x)).chunk(3, dim=-1))
        if block.rotate:
            q, k = block.rotate(q), block.rotate(k)
        attention = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        weight, bias = block.out
        z = (attention @ v).transpose(1, 2).flatten(2)
        if block.inner is not None:
            deviation = (z.var(-1, unbiased=False) + block.inner.eps).sqrt()
            attention, z = attention / deviation[:, None, :, None], block.inner(z)
        x = x + z @ weight.T + bias
        update = block.mlp(x)
        x = x + update
        traced.append((attention, v, update))
    return first, traced, x


@torch.inference_mode()
def decompose(tower: Tower, images: torch.Tensor) -> dict:
    """All components of r/|r|: `attn` [n, layers, heads, d], `mlp` [n, components, d], `attn_tokens` [n, layers, tokens, heads, d]. Shares
    of constants are those of `decompose.py`."""
    first, traced, last = run(tower, images)
    norm, count = tower.norm, len(traced)
    share = 1.0 / (2 * count + 1)
    tokens = last.shape[1]
    means = last.mean(-1)
    inverse = (last.var(-1, unbiased=False) + norm.eps).rsqrt()
    pooled_tokens = torch.zeros(tokens)
    pooled_tokens[tower.first if tower.pooling != "class" else 0 :] = 1.0
    if tower.pooling == "class":
        pooled_tokens[1:] = 0.0
    even = pooled_tokens / pooled_tokens.sum()
    extra = []
    if tower.pooling == "attention":
        pool = tower.pool
        normed = norm(last)
        keys = (normed @ pool.key[0].T + pool.key[1]).unflatten(-1, (pool.query.shape[0], -1))
        alpha = torch.einsum("pk,ntpk->npt", pool.query, keys).mul(pool.query.shape[1] ** -0.5).softmax(-1)
        value, out = pool.value[0].unflatten(0, (pool.query.shape[0], -1)), pool.out[0].unflatten(1, (pool.query.shape[0], -1))
        maps = torch.einsum("dpk,pkw,w->pdw", out, value, norm.weight)
        constant = torch.einsum("dpk,pk->d", out, value @ norm.bias + pool.value[1].unflatten(0, (value.shape[0], -1))) + pool.out[1]
        weights = alpha * inverse[:, None]  # [n, p, t]
        project = lambda rows, at: torch.einsum("pdw,npt,nt...w->n...d", maps, weights[:, :, at], rows)
        centre = torch.einsum("pdw,npt,nt->nd", maps, weights, means)
    else:
        weighed = tower.pooling == "normed mean"
        weights = even * inverse if weighed else even.expand_as(inverse)
        residual = (weights[:, :, None] * last).sum(1) / weights.sum(1, keepdim=True)
        total = weights.sum(1) if weighed else (residual.var(-1, unbiased=False) + norm.eps).rsqrt()
        weights = weights / weights.sum(1, keepdim=True) * total[:, None]
        project = lambda rows, at: torch.einsum("nt,nt...w->n...w", weights[:, at], rows) * norm.weight
        centre = (residual.mean(-1) * total)[:, None] * norm.weight
        constant = norm.bias
    projection = tower.projection if tower.projection is not None else torch.eye(last.shape[2])
    projection_bias = 0.0 if tower.projection_bias is None else tower.projection_bias
    every = slice(None)
    # The queries that reach what is pooled.
    asked = slice(0, 1) if tower.pooling == "class" else every
    whole = project(last, every) - centre + constant
    if tower.pool and tower.pool.mlp:
        extra = [tower.pool.mlp(whole) @ projection]
    behind = tower.pool.behind if tower.pool else None
    if behind is not None:
        mean, deviation = whole.mean(-1), (whole.var(-1, unbiased=False) + behind.eps).sqrt()

    def normed_behind(rows: torch.Tensor, part: float) -> torch.Tensor:
        """A part of what is pooled `[n, …, width]` with so much of the mean and bias of the norm behind the pooling."""
        if behind is None:
            return rows
        shape = [len(rows)] + [1] * (rows.ndim - 1)
        return (rows - part * mean.view(shape)) / deviation.view(shape) * behind.weight + part * behind.bias

    representation = normed_behind(whole, 1.0) @ projection + projection_bias + sum(extra)
    length = representation.norm(dim=-1, keepdim=True)

    def fold(rows: torch.Tensor, part: float, at: slice) -> torch.Tensor:
        """`[n, tokens, …, width]` of some tokens to `[n, …, d]`."""
        moved = project(rows, at)
        shape = [len(rows)] + [1] * (moved.ndim - 2)
        inner = normed_behind(moved - part * centre.view(*shape, -1) + part * constant, part)
        return (inner @ projection + part * projection_bias) / length.view(*shape, 1)

    attn, per_token = [], []
    for block, (attention, values, _) in zip(tower.blocks, traced):
        weight, bias = block.linear_out()
        out = weight.unflatten(1, (block.heads, -1))
        dense = torch.einsum("nhqt,nhtk,whk->nqthw", attention[:, :, asked], values, out) + bias / block.heads / tokens
        attn.append(fold(dense.sum(2), share / block.heads, asked))
        per_token.append(fold(dense, share / block.heads / tokens, asked))
    mlp = [fold(rows, share, every) for rows in [first, *(update for _, _, update in traced)]]
    mlp += [part / length for part in extra]
    result = {"repr": representation, "norm": length[:, 0], "attn": torch.stack(attn, 1), "mlp": torch.stack(mlp, 1),
              "attn_tokens": torch.stack(per_token, 1)}
    assert torch.allclose(result["attn_tokens"].sum(2), result["attn"], atol=1e-5)
    identity = result["attn"].sum((1, 2)) + result["mlp"].sum(1)
    assert torch.allclose(identity, representation / length, atol=1e-5)
    return result


def open_clip_tower(visual: torch.nn.Module) -> Tower:
    blocks = []
    for block in visual.transformer.resblocks:
        gammas = [getattr(scale, "gamma", None) for scale in (block.ls_1, block.ls_2)]
        attention = block.attn
        blocks.append(
            Block(
                block.ln_1,
                lambda x, a=attention: x @ a.in_proj_weight.T + a.in_proj_bias,
                attention.num_heads,
                scaled(attention.out_proj.weight, attention.out_proj.bias, gammas[0]),
                lambda x, b=block: b.ls_2(b.mlp(b.ln_2(x))),
            )
        )
    if visual.attn_pool is not None:
        # Of the queries only the first reaches the representation (`pool_type` is `tok`).
        pool, attention = visual.attn_pool, visual.attn_pool.attn
        weights = [attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight]
        if attention.in_proj_weight is not None:
            weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        query = (weights[0] @ pool.ln_q(pool.query[0]) + biases[0]).unflatten(0, (attention.num_heads, -1))
        out = (attention.out_proj.weight, attention.out_proj.bias)
        pool = Pool(query, (weights[1], biases[1]), (weights[2], biases[2]), out, None, visual.ln_post)
        return Tower(visual._embeds, blocks, visual.attn_pool.ln_k, "attention", 0, visual.proj, pool)
    pooling = "class" if visual.pool_type == "tok" else "mean" if visual.final_ln_after_pool else "normed mean"
    return Tower(visual._embeds, blocks, visual.ln_post, pooling, 1, visual.proj)


def timm_blocks(trunk: torch.nn.Module) -> list[Block]:
    blocks = []
    for block in trunk.blocks:
        gamma = getattr(block.ls1, "gamma", None)
        blocks.append(
            Block(
                block.norm1,
                block.attn.qkv,
                block.attn.num_heads,
                scaled(block.attn.proj.weight, block.attn.proj.bias, gamma),
                lambda x, b=block: b.ls2(b.mlp(b.norm2(x))),
            )
        )
    return blocks


def timm_tower(trunk: torch.nn.Module, projection: torch.Tensor | None = None) -> Tower:
    after = isinstance(trunk.fc_norm, torch.nn.LayerNorm)
    pooling = {"token": "class", "avg": "mean" if after else "normed mean", "map": "attention"}[trunk.global_pool]
    pool = None
    if pooling == "attention":
        module = trunk.attn_pool
        query = module.q(module.latent[0, 0]).unflatten(0, (module.num_heads, -1))
        (key, value), (key_bias, value_bias) = module.kv.weight.chunk(2), module.kv.bias.chunk(2)
        mlp = lambda x, m=module: m.mlp(m.norm(x))
        pool = Pool(query, (key, key_bias), (value, value_bias), (module.proj.weight, module.proj.bias), mlp)
    embed = lambda images: trunk.norm_pre(trunk._pos_embed(trunk.patch_embed(images)))
    norm = trunk.fc_norm if after else trunk.norm
    return Tower(embed, timm_blocks(trunk), norm, pooling, trunk.num_prefix_tokens, projection, pool)


def eva_tower(trunk: torch.nn.Module) -> Tower:
    """timm's class `Eva`: EVA-01, EVA-02 and DINOv3."""
    from timm.layers import apply_rot_embed_cat

    def qkv(x: torch.Tensor, a: torch.nn.Module) -> torch.Tensor:
        if a.qkv is None:
            return torch.cat([a.q_proj(x), a.k_proj(x), a.v_proj(x)], -1)
        bias = 0.0 if a.q_bias is None else torch.cat([a.q_bias, torch.zeros_like(a.q_bias), a.v_bias])
        return x @ a.qkv.weight.T + bias

    table = None if trunk.rope is None else trunk.rope.get_embed(shape=trunk.patch_embed.grid_size)
    before = trunk.num_prefix_tokens

    def rotate(x: torch.Tensor, a: torch.nn.Module) -> torch.Tensor:
        return torch.cat([x[:, :, :before], apply_rot_embed_cat(x[:, :, before:], table, half=a.rotate_half)], 2)

    blocks = []
    for block in trunk.blocks:
        a = block.attn
        last = 1.0 if block.gamma_2 is None else block.gamma_2
        blocks.append(
            Block(
                block.norm1,
                lambda x, a=a: qkv(x, a),
                a.num_heads,
                scaled(a.proj.weight, a.proj.bias, block.gamma_1),
                lambda x, b=block, s=last: s * b.mlp(b.norm2(x)),
                None if table is None else lambda x, a=a: rotate(x, a),
                a.norm if isinstance(a.norm, torch.nn.LayerNorm) else None,
            )
        )
    after = isinstance(trunk.fc_norm, torch.nn.LayerNorm)
    pooling = {"token": "class", "avg": "mean" if after else "normed mean"}[trunk.global_pool]
    embed = lambda images: trunk.norm_pre(trunk._pos_embed(trunk.patch_embed(images))[0])
    is_linear = isinstance(trunk.head, torch.nn.Linear)
    projection, bias = (trunk.head.weight.T, trunk.head.bias) if is_linear else (None, None)
    return Tower(embed, blocks, trunk.fc_norm if after else trunk.norm, pooling, before, projection, None, bias)


def dinov3_tower(model: torch.nn.Module) -> Tower:
    """transformers' `DINOv3ViTModel`."""
    from transformers.models.dinov3_vit.modeling_dinov3_vit import rotate_half

    cos, sin = model.rope_embeddings(pictures())
    before = 1 + model.config.num_register_tokens

    def rotate(x: torch.Tensor) -> torch.Tensor:
        patches = x[:, :, before:]
        return torch.cat([x[:, :, :before], patches * cos + rotate_half(patches) * sin], 2)

    blocks = []
    for layer in model.model.layer:
        attention = layer.attention
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        blocks.append(
            Block(
                layer.norm1,
                lambda x, p=parts: torch.cat([part(x) for part in p], -1),
                HEADS,
                scaled(attention.o_proj.weight, attention.o_proj.bias, layer.layer_scale1.lambda1),
                lambda x, b=layer: b.layer_scale2(b.mlp(b.norm2(x))),
                rotate,
            )
        )
    return Tower(model.embeddings, blocks, model.norm, "class", 0, None)


def transformers_tower(model: torch.nn.Module) -> Tower:
    layers = model.encoder.layer if hasattr(model, "encoder") else model.layers
    blocks = []
    for layer in layers:
        attention = layer.attention
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        is_vit = hasattr(layer, "layernorm_before")
        gamma = None if is_vit else layer.layer_scale1.lambda1
        second = (lambda x, b=layer: b.mlp(b.layernorm_after(x))) if is_vit else (lambda x, b=layer: b.layer_scale2(b.mlp(b.norm2(x))))
        blocks.append(
            Block(
                layer.layernorm_before if is_vit else layer.norm1,
                lambda x, p=parts: torch.cat([part(x) for part in p], -1),
                HEADS,
                scaled(attention.o_proj.weight, attention.o_proj.bias, gamma),
                second,
            )
        )
    return Tower(model.embeddings, blocks, model.layernorm, "class", 0, None)


def vision_model_tower(vision: torch.nn.Module, projection: torch.nn.Linear | None) -> Tower:
    """The vision models of transformers' CLIP, ChineseCLIP and BLIP. BLIP's representation is the class token of `last_hidden_state`."""
    blocks = []
    for layer in vision.encoder.layers:
        attention = layer.self_attn
        if hasattr(attention, "qkv"):
            qkv, out = attention.qkv, attention.projection
        else:
            parts, out = [attention.q_proj, attention.k_proj, attention.v_proj], attention.out_proj
            qkv = lambda x, p=parts: torch.cat([part(x) for part in p], -1)
        blocks.append(Block(layer.layer_norm1, qkv, HEADS, (out.weight, out.bias), lambda x, b=layer: b.mlp(b.layer_norm2(x))))
    before = getattr(vision, "pre_layrnorm", torch.nn.Identity())
    weight, bias = (None, None) if projection is None else (projection.weight.T, projection.bias)
    return Tower(lambda images: before(vision.embeddings(images)), blocks, vision.post_layernorm, "class", 0, weight, None, bias)


def siglip_tower(vision: torch.nn.Module) -> Tower:
    """The vision model of transformers' `SiglipModel`."""
    blocks = []
    for layer in vision.encoder.layers:
        attention = layer.self_attn
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        blocks.append(
            Block(
                layer.layer_norm1,
                lambda x, p=parts: torch.cat([part(x) for part in p], -1),
                HEADS,
                (attention.out_proj.weight, attention.out_proj.bias),
                lambda x, b=layer: b.mlp(b.layer_norm2(x)),
            )
        )
    head = vision.head
    attention = head.attention
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    query = (weights[0] @ head.probe[0, 0] + biases[0]).unflatten(0, (HEADS, -1))
    out = (attention.out_proj.weight, attention.out_proj.bias)
    pool = Pool(query, (weights[1], biases[1]), (weights[2], biases[2]), out, lambda x: head.mlp(head.layernorm(x)))
    return Tower(vision.embeddings, blocks, vision.post_layernorm, "attention", 0, None, pool)


def pictures(count: int = 2, side: int = IMAGE) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(7))


TEXT = dict(context_length=12, vocab_size=64, width=WIDTH, heads=HEADS, layers=2)
NATIVE = dict(image_size=IMAGE, layers=LAYERS, width=WIDTH, head_width=WIDTH // HEADS, patch_size=PATCH, mlp_ratio=MLP / WIDTH)


def clip_tokens() -> torch.Tensor:
    """Start, some tokens, end (the highest id), zeros."""
    tokens = torch.zeros(3, TEXT["context_length"], dtype=torch.int64)
    for row, length in enumerate([3, 7, 10]):
        tokens[row, 0], tokens[row, 1 + length] = 62, 63
        tokens[row, 1 : 1 + length] = torch.arange(1, 1 + length) * 5 % 60 + 1
    return tokens


def padded_tokens() -> torch.Tensor:
    """Some tokens, end (1), padding (1)."""
    tokens = torch.ones(3, TEXT["context_length"], dtype=torch.int64)
    for row, length in enumerate([3, 7, 12]):
        tokens[row, :length] = torch.arange(1, 1 + length) * 7 % 60 + 2
    return tokens


def native(seed: int, embed_dim: int = 12, **keys):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = {**NATIVE, **keys}
    model = CLIP(embed_dim, CLIPVisionCfg(**vision), CLIPTextCfg(**TEXT)).eval()
    randomise(model, seed)
    config = {"model_cfg": {"embed_dim": embed_dim, "quick_gelu": False, "vision_cfg": vision, "text_cfg": TEXT},
              "preprocess_cfg": {"mean": MEAN, "std": STD}}
    weights = {key: value for key, value in model.state_dict().items() if key != "attn_mask"}
    texts = (clip_tokens(), model.encode_text)
    return open_clip_tower(model.visual), model.encode_image, "open_clip_config.json", config, weights, texts


def coca(seed: int, embed_dim: int):
    """CoCa without the decoder of captions in its file's configuration; texts of several lengths, one with the id of padding inside."""
    from open_clip.coca_model import CoCa

    vision = {**NATIVE, "attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 5, "output_tokens": True}
    text = {**TEXT, "embed_cls": True, "output_tokens": True}
    decoder = dict(context_length=TEXT["context_length"], vocab_size=64, width=WIDTH, heads=HEADS, layers=1, attn_pooler_heads=4)
    model = CoCa(embed_dim, decoder, text, vision).eval()
    randomise(model, seed)
    config = {"model_cfg": {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder, "custom_text": True},
              "preprocess_cfg": {"mean": MEAN, "std": STD}}
    weights = {key: value for key, value in model.state_dict().items() if not key.endswith("attn_mask")}
    tokens = torch.cat([clip_tokens(), torch.zeros(2, TEXT["context_length"], dtype=torch.int64)])
    tokens[3, :5] = torch.tensor([62, 5, 0, 7, 63])
    tokens[4] = torch.cat([torch.tensor([62]), torch.arange(1, TEXT["context_length"] - 1), torch.tensor([63])])
    tower = open_clip_tower(model.visual)
    encode = lambda images: model.encode_image(images, normalize=False)
    return tower, encode, "open_clip_config.json", config, weights, (tokens, lambda tokens: model.encode_text(tokens, normalize=False))


def native_mean_of_all(seed: int):
    """`global_average_pool` of OpenCLIP before 2.23: the mean of all tokens, then the norm. Today's library has no such tower."""
    tower, _, name, config, weights, texts = native(seed)
    tower.pooling, tower.first = "mean", 0
    config["model_cfg"]["vision_cfg"]["global_average_pool"] = True

    def encode(images: torch.Tensor) -> torch.Tensor:
        return tower.norm(run(tower, images)[2].mean(1)) @ tower.projection

    return tower, encode, name, config, weights, texts


def trunk_of(architecture: str, **keys):
    from timm.models import create_model

    sizes = dict(img_size=IMAGE, patch_size=PATCH, embed_dim=WIDTH, depth=LAYERS, num_heads=HEADS)
    return create_model(architecture, **{**sizes, "num_classes": 0, **keys}).eval(), sizes


def timm_case(seed: int, architecture: str, **keys):
    trunk, sizes = trunk_of(architecture, **keys)
    randomise(trunk, seed)
    keys = {key: value for key, value in keys.items() if key != "global_pool"}
    config = {"architecture": architecture, "num_classes": keys.get("num_classes", 0), "num_features": WIDTH, "global_pool": trunk.global_pool,
              "model_args": {**sizes, **keys},
              "pretrained_cfg": {"tag": "random", "input_size": [3, IMAGE, IMAGE], "interpolation": "bicubic", "crop_pct": 0.9,
                                 "crop_mode": "center", "mean": MEAN, "std": STD}}
    encode = lambda images: trunk.forward_head(trunk.forward_features(images), pre_logits=True)
    tower = eva_tower(trunk) if type(trunk).__name__ == "Eva" else timm_tower(trunk)
    return tower, encode, "config.json", config, trunk.state_dict(), None


def open_clip_timm(seed: int, architecture: str, pool: str, projection: str, text: dict, embed_dim: int, tokens: torch.Tensor):
    """An OpenCLIP model of a trunk of timm with smaller sizes than its name says, which OpenCLIP cannot make by itself; the tests set them."""
    from open_clip.model import CLIPTextCfg, _build_text_tower

    # With a projection OpenCLIP keeps the trunk's own norm, else timm moves it.
    trunk, sizes = trunk_of(architecture, **({"global_pool": pool} if projection == "none" else {}))
    if projection != "none":
        trunk.reset_classifier(0, global_pool=pool)
    model = torch.nn.Module()
    model.visual = torch.nn.Module()
    model.visual.trunk = trunk
    head = torch.nn.Sequential()
    if projection == "linear":
        head.add_module("proj", torch.nn.Linear(WIDTH, embed_dim, bias=False))
    model.visual.head = head
    model.text = _build_text_tower(embed_dim, CLIPTextCfg(**text))
    model.logit_scale = torch.nn.Parameter(torch.tensor(2.0))
    model.eval()
    randomise(model, seed)
    weights = {key: value for key, value in model.state_dict().items() if not key.endswith("attn_mask")}
    tower = timm_tower(trunk, head.proj.weight.T if projection == "linear" else None)
    encode = lambda images: head(trunk.forward_head(trunk.forward_features(images), pre_logits=True))
    # Without a projection the configuration must say the width of the tower that it names.
    config = {"model_cfg": {"embed_dim": embed_dim if projection == "linear" else 768, "custom_text": True,
                            "vision_cfg": {"timm_model_name": architecture, "timm_model_pretrained": False, "timm_pool": pool,
                                           "timm_proj": projection, "image_size": 224},
                            "text_cfg": text},
              "preprocess_cfg": {"mean": MEAN, "std": STD}, "sizes": sizes}
    return tower, encode, "open_clip_config.json", config, weights, (tokens, model.text)


def open_clip_eva(seed: int, architecture: str, embed_dim: int = 12):
    """An OpenCLIP model of an EVA of smaller sizes than its name says, whose classifier is the projection (`timm_proj: null`)."""
    from open_clip.model import CLIPTextCfg, _build_text_tower

    trunk, sizes = trunk_of(architecture, global_pool="token", num_classes=embed_dim)
    model = torch.nn.Module()
    model.visual = torch.nn.Module()
    model.visual.trunk = trunk
    model.text = _build_text_tower(embed_dim, CLIPTextCfg(**TEXT))
    model.logit_scale = torch.nn.Parameter(torch.tensor(2.0))
    model.eval()
    randomise(model, seed)
    weights = {key: value for key, value in model.state_dict().items() if not key.endswith("attn_mask")}
    config = {"model_cfg": {"embed_dim": embed_dim, "custom_text": True,
                            "vision_cfg": {"timm_model_name": architecture, "timm_model_pretrained": False, "timm_pool": "token",
                                           "timm_proj": None, "image_size": 224},
                            "text_cfg": TEXT},
              "preprocess_cfg": {"mean": MEAN, "std": STD}, "sizes": sizes}
    return eva_tower(trunk), trunk, "open_clip_config.json", config, weights, (clip_tokens(), model.text)


def dinov3_case(seed: int, **keys):
    import transformers

    config = transformers.DINOv3ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=MLP, image_size=IMAGE, patch_size=PATCH,
        attn_implementation="eager", **keys)
    model = transformers.DINOv3ViTModel(config).eval()
    randomise(model, seed)
    encode = lambda images: model(pixel_values=images).pooler_output
    return dinov3_tower(model), encode, "config.json", json.loads(config.to_json_string()), model.state_dict(), None


def transformers_case(seed: int, kind: str, **keys):
    import transformers

    names = {"dinov2": ("Dinov2Config", "Dinov2Model"), "vit": ("ViTConfig", "ViTModel"),
             "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel")}[kind]
    config = getattr(transformers, names[0])(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=MLP, image_size=IMAGE, patch_size=PATCH,
        attn_implementation="eager", **keys)
    model = getattr(transformers, names[1])(config).eval()
    randomise(model, seed)
    encode = lambda images: model(pixel_values=images).last_hidden_state[:, 0]
    return transformers_tower(model), encode, "config.json", json.loads(config.to_json_string()), model.state_dict(), None


def siglip_case(seed: int):
    import transformers

    vision = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=MLP, image_size=IMAGE,
                  patch_size=PATCH)
    text = dict(hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS, intermediate_size=MLP, vocab_size=64,
                max_position_embeddings=12, projection_size=WIDTH, bos_token_id=62, eos_token_id=1, pad_token_id=1)
    config = transformers.SiglipConfig(vision_config=vision, text_config=text)
    model = transformers.SiglipModel(config).eval()
    randomise(model, seed)
    encode = lambda images: model.vision_model(pixel_values=images).pooler_output
    texts = (padded_tokens(), lambda tokens: model.text_model(input_ids=tokens).pooler_output)
    return siglip_tower(model.vision_model), encode, "config.json", json.loads(config.to_json_string()), model.state_dict(), texts


VISION = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=MLP, image_size=IMAGE, patch_size=PATCH)
BERT = dict(hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=HEADS, intermediate_size=MLP, vocab_size=64, bos_token_id=1,
            eos_token_id=2, pad_token_id=0)


def stored_config(model: torch.nn.Module) -> dict:
    """As `save_pretrained` writes it."""
    model.config.architectures = [type(model).__name__]
    return json.loads(model.config.to_json_string())


def clip_vision_case(seed: int):
    """The image tower of `CLIPModel` by itself, with its projection."""
    import transformers

    model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**VISION, projection_dim=12)).eval()
    randomise(model, seed)
    encode = lambda images: model(pixel_values=images).image_embeds
    tower = vision_model_tower(model.vision_model, model.visual_projection)
    return tower, encode, "config.json", stored_config(model), model.state_dict(), None


def chinese_clip_case(seed: int):
    import transformers

    config = transformers.ChineseCLIPConfig(vision_config=VISION, text_config=BERT, projection_dim=12)
    model = transformers.ChineseCLIPModel(config).eval()
    randomise(model, seed)
    encode = lambda images: model.visual_projection(model.vision_model(pixel_values=images).pooler_output)
    tower = vision_model_tower(model.vision_model, model.visual_projection)
    return tower, encode, "config.json", stored_config(model), model.state_dict(), None


def blip_case(seed: int):
    """BLIP for retrieval, whose projections have biases."""
    import transformers

    text = dict(BERT, encoder_hidden_size=WIDTH, sep_token_id=3)
    config = transformers.BlipConfig(vision_config=VISION, text_config=text, image_text_hidden_size=12)
    model = transformers.BlipForImageTextRetrieval(config).eval()
    randomise(model, seed)
    encode = lambda images: model.vision_proj(model.vision_model(pixel_values=images).last_hidden_state[:, 0])
    tower = vision_model_tower(model.vision_model, model.vision_proj)
    return tower, encode, "config.json", stored_config(model), model.state_dict(), None


def blip_vision_case(seed: int):
    import transformers

    model = transformers.BlipVisionModel(transformers.BlipVisionConfig(**VISION)).eval()
    randomise(model, seed)
    encode = lambda images: model(pixel_values=images).last_hidden_state[:, 0]
    return vision_model_tower(model, None), encode, "config.json", stored_config(model), model.state_dict(), None


def siglip_vision_case(seed: int):
    """The image tower of `SiglipModel` by itself."""
    import transformers

    config = transformers.SiglipVisionConfig(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=MLP,
                                             image_size=IMAGE + 5, patch_size=PATCH, hidden_act="gelu")
    model = transformers.SiglipVisionModel(config).eval()
    randomise(model, seed)
    encode = lambda images: model(pixel_values=images).pooler_output
    return siglip_tower(model), encode, "config.json", json.loads(config.to_json_string()), model.state_dict(), None


def tokenizer_cases(out: Path) -> None:
    """A small vocabulary with SigLIP's special tokens, and what OpenCLIP's `HFTokenizer` does with it."""
    from open_clip.tokenizer import get_clean_fn
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", *"a the dog dogs cat toy red very long text of one two three four été".split()]
    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="</s>", eos_token="</s>", unk_token="<unk>")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)
    texts = ["a dog", "The DOG's_toy, red!", "", "&lt;a&gt; cat &amp;amp; dog", "a zebra", "\u201cétÉ\u201d\n\n two",
             "a very long text of one two three four dogs"]
    clean = get_clean_fn("canonicalize")
    rows = tokenizer([clean(text) for text in texts], max_length=8, padding="max_length", truncation=True).input_ids
    (out / "cases.json").write_text(json.dumps({"context_length": 8, "texts": list(zip(texts, rows))}, indent=1) + "\n")


def plain_positions(out: Path) -> None:
    """Position embeddings that `Dinov2Model` interpolates: bicubic without antialiasing."""
    from transformers import Dinov2Config, Dinov2Model

    rows = []
    for side, size in [(3, 5), (5, 2), (7, 12), (9, 4), (1, 3)]:
        config = Dinov2Config(hidden_size=3, num_hidden_layers=1, num_attention_heads=1, image_size=PATCH * side, patch_size=PATCH)
        embeddings = Dinov2Model(config).embeddings
        torch.manual_seed(side)
        embeddings.position_embeddings.data.copy_(torch.randn(1, 1 + side * side, 3))
        with torch.inference_mode():
            tokens = torch.zeros(1, 1 + size * size, 3)
            expected = embeddings.interpolate_pos_encoding(tokens, PATCH * size, PATCH * size)
        stored = embeddings.position_embeddings.detach()
        rows.append({"from": side, "to": size, "stored": stored.flatten().tolist(), "expected": expected.flatten().tolist()})
    out.write_text(json.dumps(rows) + "\n")


SIGLIP_TEXT = {**TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
               "act_kwargs": {"approximate": "tanh"}, "hf_tokenizer_name": "none", "tokenizer_kwargs": {"clean": "canonicalize"}}

CASES = {
    "openclip-layer-scale": lambda: native(1, ls_init_value=0.1),
    "openclip-mean": lambda: native(2, no_ln_pre=True, pool_type="avg", final_ln_after_pool=True, ls_init_value=0.1),
    "openclip-normed-mean": lambda: native(3, pool_type="avg", act_kwargs={"approximate": "tanh"}, norm_kwargs={"eps": 1e-6}),
    "openclip-mean-of-all": lambda: native_mean_of_all(4),
    "openclip-coca": lambda: coca(31, 12),
    "openclip-coca-fused": lambda: coca(32, WIDTH),
    "timm-dinov2": lambda: timm_case(5, "vit_small_patch14_dinov2"),
    "timm-registers": lambda: timm_case(6, "vit_small_patch14_reg4_dinov2", reg_tokens=2),
    "timm-vit": lambda: timm_case(7, "vit_small_patch16_224", num_classes=5),
    "timm-mean": lambda: timm_case(8, "vit_small_patch16_224", global_pool="avg"),
    "timm-clip": lambda: timm_case(9, "vit_base_patch16_clip_224"),
    "timm-siglip-mean": lambda: timm_case(10, "vit_base_patch16_siglip_gap_224"),
    "timm-siglip": lambda: timm_case(11, "vit_base_patch16_siglip_224"),
    "transformers-dinov2": lambda: transformers_case(12, "dinov2", mlp_ratio=4),
    "transformers-registers": lambda: transformers_case(13, "dinov2_with_registers", num_register_tokens=3, mlp_ratio=4),
    "transformers-vit": lambda: transformers_case(14, "vit"),
    "transformers-siglip": lambda: siglip_case(15),
    "transformers-siglip-vision": lambda: siglip_vision_case(18),
    "openclip-timm": lambda: open_clip_timm(16, "vit_small_patch16_224", "avg", "linear", TEXT, 12, clip_tokens()),
    "openclip-eva01": lambda: open_clip_eva(19, "eva_giant_patch14_224"),
    "openclip-eva02": lambda: open_clip_eva(20, "eva02_base_patch16_clip_224"),
    "timm-eva02": lambda: timm_case(21, "eva02_base_patch14_224"),
    "timm-eva02-packed": lambda: timm_case(22, "eva02_small_patch14_224", global_pool="token"),
    "timm-dinov3": lambda: timm_case(23, "vit_small_patch16_dinov3", global_pool="token"),
    "timm-dinov3-gated": lambda: timm_case(24, "vit_small_plus_patch16_dinov3_qkvb"),
    "transformers-clip-vision": lambda: clip_vision_case(27),
    "transformers-chinese-clip": lambda: chinese_clip_case(28),
    "transformers-blip": lambda: blip_case(29),
    "transformers-blip-vision": lambda: blip_vision_case(30),
    "transformers-dinov3": lambda: dinov3_case(25, num_register_tokens=2),
    "transformers-dinov3-gated": lambda: dinov3_case(26, use_gated_mlp=True, hidden_act="silu", rope_theta=50.0),
    "openclip-siglip": lambda: open_clip_timm(17, "vit_base_patch32_siglip_256", "map", "none", SIGLIP_TEXT, WIDTH, padded_tokens()),
}


def main() -> None:
    out, names = Path(sys.argv[1]), sys.argv[2:] or list(CASES)
    tokenizer_cases(out.parent / "siglip-tokenizer")
    plain_positions(out.parent / "positions-plain.json")
    for name in names:
        tower, encode, file, config, weights, texts = CASES[name]()
        images = pictures(side=IMAGE + 5 if name == "transformers-siglip-vision" else IMAGE)
        case = {"images": images, **decompose(tower, images)}
        with torch.inference_mode():
            off = (case["repr"] - encode(images)).abs().max() / case["repr"].abs().max()
            assert off < 2e-6, f"{name}: the representation is off by {off}"
            if texts:
                case["text_tokens"], case["text_features"] = texts[0], texts[1](texts[0])
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(config, indent=2) + "\n")
        weight_file = "open_clip_model.safetensors" if file.startswith("open_clip") else "model.safetensors"
        save_file({key: value.clone().contiguous() for key, value in weights.items()}, folder / weight_file)
        save_file({key: value.clone().contiguous() for key, value in case.items()}, folder / "case.safetensors")
        print(f"{name}: representation within {off:.1e} of the library's")


if __name__ == "__main__":
    main()
