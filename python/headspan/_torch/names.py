"""Names of tensors: which a model must have, and from transformers' to OpenCLIP's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .architecture import Architecture
from .errors import TorchInputError, UnsupportedModel

VISION = "visual."
TEMPERATURE = "logit_scale"

#: Modules that wrap another one without a name of their own, wherever they stand.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})

#: Tensors that hold nothing learned.
BUFFERS = ("attn_mask", "position_ids", "input_resolution", "context_length", "vocab_size")

#: Prefixes of transformers' names and what OpenCLIP calls them.
PREFIXES = (
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.final_layer_norm.", "ln_final."),
    ("visual_projection.weight", "visual.proj"),
    ("text_projection.weight", "text_projection"),
)
PARTS = (
    (".self_attn.out_proj.", ".attn.out_proj."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
)
TRANSPOSED = ("visual.proj", "text_projection")

#: The tensor that every image tower has, in OpenCLIP's and transformers' names.
ANCHORS = ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight")


def expected(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model under OpenCLIP's name with its shape."""
    vision, text, d = architecture.vision, architecture.text, architecture.embed_dim
    table: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (vision.width, 3, vision.patch_size, vision.patch_size),
        "visual.class_embedding": (vision.width,),
        "visual.positional_embedding": (vision.tokens, vision.width),
        "visual.proj": (vision.width, d),
        "token_embedding.weight": (text.vocab_size, text.width),
        "positional_embedding": (text.context_length, text.width),
        "text_projection": (text.width, d),
        TEMPERATURE: (),
    }
    for norm, width in (
        ("visual.ln_pre", vision.width),
        ("visual.ln_post", vision.width),
        ("ln_final", text.width),
    ):
        table |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for tower, sizes in (("visual.transformer", vision), ("transformer", text)):
        for layer in range(sizes.layers):
            shapes = _block(sizes.width, sizes.mlp_width)
            table |= {f"{tower}.resblocks.{layer}.{name}": shape for name, shape in shapes.items()}
    return table


def _block(width: int, mlp_width: int) -> dict[str, tuple[int, ...]]:
    return {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (mlp_width, width),
        "mlp.c_fc.bias": (mlp_width,),
        "mlp.c_proj.weight": (width, mlp_width),
        "mlp.c_proj.bias": (width,),
    }


def plain(name: str) -> str:
    """A tensor's name without the wrappers in it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def is_buffer(name: str) -> bool:
    """Whether a tensor holds nothing learned."""
    return name.rpartition(".")[2] in BUFFERS


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a `CLIPModel` under OpenCLIP's names, with projections transposed and q, k, v stacked."""
    renamed: dict[str, Tensor] = {}
    split: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        for begin, other in PREFIXES:
            if name.startswith(begin):
                name = other + name[len(begin) :]
                break
        for part, other in PARTS:
            name = name.replace(part, other)
        third = next((letter for letter in "qkv" if f".self_attn.{letter}_proj." in name), None)
        if third is not None:
            block, _, kind = name.partition(f".self_attn.{third}_proj.")
            split.setdefault(f"{block}.attn.in_proj_{kind}", {})[third] = tensor
        else:
            renamed[name] = tensor.T if name in TRANSPOSED else tensor
    for name, thirds in split.items():
        if sorted(thirds) != ["k", "q", "v"]:
            raise UnsupportedModel.part(
                f"`{name}`", "it needs `q_proj`, `k_proj` and `v_proj`, each with its bias"
            )
        renamed[name] = torch.cat([thirds["q"], thirds["k"], thirds["v"]])
    return renamed


def from_file(tensors: Mapping[str, Tensor], shown: str) -> dict[str, Tensor]:
    """Tensors of a file under OpenCLIP's names, whatever wrappers and prefix its program gave them."""
    bare = {plain(name): tensor for name, tensor in tensors.items()}
    if len(bare) < len(tensors):
        bare = dict(tensors)
    found = [(name[: -len(anchor)], anchor) for name in bare for anchor in ANCHORS if name.endswith(anchor)]
    if not found:
        raise TorchInputError(
            f"`{shown}` has no image tower of CLIP: none of its tensors is a `{ANCHORS[0]}`"
        )

    def has_text(prefix: str) -> bool:
        inner = (
            "token_embedding.weight",
            "text.token_embedding.weight",
            "text_model.embeddings.token_embedding.weight",
        )
        return any(prefix + name in bare for name in inner)

    prefix, anchor = min(found, key=lambda place: (not has_text(place[0]), len(place[0])))
    own = {name[len(prefix) :]: tensor for name, tensor in bare.items() if name.startswith(prefix)}
    if anchor == ANCHORS[1]:
        return from_transformers(own)
    return text_beside(own)


def text_beside(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's `custom_text` models have the text tower below `text.`, others have it beside `visual.`."""
    if "token_embedding.weight" in tensors:
        return dict(tensors)
    return {name.removeprefix("text."): tensor for name, tensor in tensors.items()}


def complete(tensors: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """The tensors of the model; a missing, extra or misshapen one is an error."""
    table = expected(architecture)
    problems = []
    chosen: dict[str, Tensor] = {}
    for name, shape in table.items():
        tensor = tensors.get(name)
        if tensor is None:
            if name != TEMPERATURE:
                problems.append(f"`{name}` is missing")
            continue
        if name == TEMPERATURE and tensor.numel() == 1:
            tensor = tensor.reshape(())
        if tuple(tensor.shape) != shape:
            problems.append(f"`{name}` has shape {tuple(tensor.shape)}, expected {shape}")
        chosen[name] = tensor
    extra = [name for name in tensors if name not in table and not is_buffer(name) and name != "logit_bias"]
    problems += [f"`{name}` has no place in a CLIP model" for name in sorted(extra)]
    if problems:
        shown = problems[:8] + ([f"and {len(problems) - 8} more"] if len(problems) > 8 else [])
        raise UnsupportedModel("the weights are not those of a plain CLIP model:\n  " + "\n  ".join(shown))
    return chosen
