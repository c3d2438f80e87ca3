"""Modules as users have them: wrapped, compiled, in training mode, on any device."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UnsupportedModel
from .names import is_buffer, plain

#: Parts of names that adapters have which were not merged into the weights (PEFT, loralib).
ADAPTERS = ("lora_", "base_layer", "adapter", "ia3_", "modules_to_save")


def unwrapped(module: Any) -> Any:
    """The module inside `torch.compile`, `DataParallel`, `DistributedDataParallel` and averaged models."""
    while True:
        if isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod
        elif type(module).__name__.startswith("FullyShardedDataParallel"):
            raise UnsupportedModel.part(
                "a model in `FullyShardedDataParallel`",
                "each process holds a part of the weights",
                "gather the weights first, and hand over the plain model",
            )
        elif _is_wrapper(module):
            module = module.module
        else:
            return module


def _is_wrapper(module: Any) -> bool:
    wrappers = ("DataParallel", "DistributedDataParallel", "AveragedModel")
    return type(module).__name__ in wrappers and isinstance(getattr(module, "module", None), nn.Module)


def weights(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by their names without wrappers, detached and where they are.

    Refuses what holds no plain float weights: sharded and quantised tensors.
    """
    found: dict[str, Tensor] = {}
    # Counters and positions are buffers of whole numbers; a quantised weight among them is missed later by
    # its name.
    buffers = [pair for pair in module.named_buffers(remove_duplicate=False) if pair[1].is_floating_point()]
    for name, tensor in [*module.named_parameters(remove_duplicate=False), *buffers]:
        if is_buffer(name):
            continue
        if hasattr(tensor, "full_tensor"):
            raise UnsupportedModel.part(f"`{name}`, a sharded tensor", "each process holds a part of it")
        if not tensor.is_floating_point():
            raise UnsupportedModel.part(
                f"`{name}` of type {tensor.dtype}",
                "weights must be floats, not quantised",
                "hand over the float model",
            )
        found[plain(name)] = tensor.detach()
    return found


def stored(module: nn.Module) -> dict[str, Tensor]:
    """The float tensors of `weights` that a file of the model holds: its `state_dict`."""
    kept = {plain(name) for name in module.state_dict()}
    return {name: tensor for name, tensor in weights(module).items() if name in kept}


def refuse_unready(module: nn.Module) -> None:
    """Refuses unmerged adapters, weights that are computed, and weights without values."""
    require(isinstance(module, nn.Module), f"`{type(module).__name__}`", "it is not a PyTorch model")
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedModel.part(
            "a TorchScript model",
            "its parts cannot be told",
            "load it without `jit`, or hand its file to `headspan run-all --checkpoint FILE`",
        )
    if type(module).__name__.startswith("Peft"):
        raise UnsupportedModel.part(
            f"a `{type(module).__name__}`",
            "its adapters stand beside the weights",
            "call `model = model.merge_and_unload()` and hand over the result",
        )
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            raise UnsupportedModel.part(
                f"`{name}` on the device `meta`",
                "it holds no values",
                "load the weights before the model is handed over",
            )
        if any(adapter in name for adapter in ADAPTERS):
            raise UnsupportedModel.part(
                f"`{name}`",
                "it is an adapter (LoRA) that was not merged into the weights",
                "merge it first, in PEFT with `model = model.merge_and_unload()`",
            )
        if "parametrizations" in name.split("."):
            raise UnsupportedModel.part(
                f"`{name}`",
                "it parametrises a weight",
                "call `torch.nn.utils.parametrize.remove_parametrizations` first",
            )


def to_float32(tensor: Tensor) -> Tensor:
    """A tensor as float32 on the CPU, contiguous; the same storage where it is that already."""
    return tensor.detach().to(device="cpu", dtype=torch.float32).contiguous()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each part is in the mode in which it was."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class _Call(nn.Module):
    """A function of a model as a forward pass, so that its weights can be replaced for one call."""

    def __init__(self, model: nn.Module, function: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, given: Tensor) -> Any:
        return self.function(self.model, given)


def call_in_float32(model: nn.Module, function: Callable[[nn.Module, Tensor], Any], given: Tensor) -> Tensor:
    """Calls `function(model, given)` with float32 weights on the CPU, in evaluation mode, without gradients.

    The model itself stays as it is: its weights are replaced for this call only.
    """
    state = {}
    for name, tensor in [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]:
        value = tensor.detach().to("cpu")
        state[f"model.{name}"] = value.float() if value.is_floating_point() else value
    call = _Call(model, function)
    with ExitStack() as contexts:
        contexts.enter_context(evaluating(call))
        contexts.enter_context(undisturbed())
        contexts.enter_context(_eager())
        contexts.enter_context(_plain_attention(model))
        result = torch.func.functional_call(call, state, (given,), tie_weights=False)
    if isinstance(result, tuple):
        result = result[0]
    if not isinstance(result, Tensor):
        raise UnsupportedModel.part(
            f"an output of type `{type(result).__name__}`", "features must be one tensor"
        )
    return result.float()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Disables gradients and autocast and makes the CPU the default device, whatever the user has set."""
    # Some models make indices on the default device.
    with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.device("cpu"):
        yield


@contextmanager
def _eager() -> Iterator[None]:
    """Runs compiled parts as they were written: compiling them again for one call would take minutes."""
    # Nothing was compiled in a process that has not imported the compiler, and importing it takes seconds.
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


@contextmanager
def _plain_attention(model: nn.Module) -> Iterator[None]:
    """Has transformers attend by PyTorch's own function: kernels for GPUs do not run on the CPU."""
    configs = [config for part in model.modules() if (config := getattr(part, "config", None)) is not None]
    stated = [(config, getattr(config, "_attn_implementation", None)) for config in configs]
    # Setting that of a whole model sets those of its parts, so all are read first; parts follow wholes here.
    changed = [(config, value) for config, value in stated if value not in (None, "eager", "sdpa")]
    for config, _ in changed:
        config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        for config, implementation in changed:
            config._attn_implementation = implementation


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI's activation, `x * sigmoid(1.702 x)`."""
    return x * torch.sigmoid(1.702 * x)


#: Points at which activations are told apart: GELU and QuickGELU differ by up to 0.02, GELU and its tanh form
#: by 0.0004.
_POINTS = (-6.0, 6.0, 97)


def activation(module: Any, part: str) -> str:
    """`quick_gelu`, `gelu` or `gelu_tanh`, judged by a module's values; an error for others."""
    x = torch.linspace(*_POINTS, dtype=torch.float32, device="cpu")
    try:
        with torch.no_grad(), _eager():
            y = unwrapped(module)(x.clone())
    except Exception as error:
        raise UnsupportedModel.part(
            f"`{part}` (`{type(module).__name__}`)", f"it cannot be called: {error}"
        ) from error
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "quick_gelu": quick_gelu,
        "gelu": nn.functional.gelu,
        "gelu_tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
    }
    for name, function in functions.items():
        if torch.allclose(y, function(x), rtol=0.0, atol=1e-5):
            return name
    raise UnsupportedModel.part(
        f"`{part}` (`{type(module).__name__}`)", "CLIP's activations are QuickGELU and exact GELU"
    )


def is_quick_gelu(module: Any, part: str) -> bool:
    """Whether a module computes QuickGELU, judged by its values; False for GELU, an error for others."""
    found = activation(module, part)
    require(
        found != "gelu_tanh",
        f"`{part}` (`{type(module).__name__}`, GELU by tanh)",
        "CLIP's activations are QuickGELU and exact GELU",
    )
    return found == "quick_gelu"


def one_activation(activations: Mapping[str, Any]) -> bool:
    """Whether all of some modules compute QuickGELU; an error if they differ."""
    kinds = {part: is_quick_gelu(module, part) for part, module in activations.items()}
    if len(set(kinds.values())) > 1:
        first = next(part for part, is_quick in kinds.items() if is_quick)
        other = next(part for part, is_quick in kinds.items() if not is_quick)
        raise UnsupportedModel.part(
            f"QuickGELU in `{first}` and GELU in `{other}`", "both towers must have one activation"
        )
    return next(iter(kinds.values()))


def one_eps(norms: Mapping[str, Any]) -> float:
    """The epsilon of all of some LayerNorms of a tower; an error if they differ or are something else."""
    found: dict[str, float] = {}
    for part, given in norms.items():
        norm = unwrapped(given)
        if not isinstance(norm, nn.LayerNorm) or norm.weight is None or norm.bias is None:
            raise UnsupportedModel.part(
                f"`{part}` (`{type(norm).__name__}`)",
                "the decomposition needs a LayerNorm with weight and bias there",
            )
        found[part] = float(norm.eps)
    if len(set(found.values())) > 1:
        raise UnsupportedModel.part(f"LayerNorms with different `eps` ({found})", "a tower must have one")
    return next(iter(found.values()))


def require(condition: bool, part: str, why: str, hint: str | None = None) -> None:
    """Refuses a part of a model unless the condition holds."""
    if not condition:
        raise UnsupportedModel.part(part, why, hint)


def image_side(positions: int, patch: int, stated: Any) -> int:
    """Side of the input in pixels for a square of patches and a class token; `stated` by the model."""
    side = math.isqrt(max(positions - 1, 0))
    require(
        side > 0 and side * side + 1 == positions,
        f"{positions} position embeddings",
        "a square of patches and one class token are needed",
    )
    sides = tuple(stated) if isinstance(stated, (tuple, list)) else (stated, stated)
    require(
        stated is None or sides == (side * patch, side * patch),
        f"an image size of {stated}",
        f"the model has {side} patches of {patch} pixels along each side",
    )
    return side * patch
