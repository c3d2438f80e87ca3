"""What each attention head of a CLIP model looks at, and how cleanly.

The pipeline, the analyses and the command line of headspan in one package::

    import headspan

    run, = headspan.run_all(checkpoint="my-clip", images="my-photos")
    run.heads.pl()                                 # one row a head: label, texts, figures
    run["L11.H3"].neighbours(text="something red")  # nearest images under one head

Words: a *head* is named ``L{layer}.H{head}``, both counted from 0. Its *contribution* ``c`` is the vector of length ``d`` that it
adds to the image's representation ``r/|r|`` (arXiv 2409.06579). It is stored in *head space* as ``u``, of length
``head_dim + 3``, and ``c = B u`` with the head's *readout* ``B`` of shape ``[d, head_dim + 3]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headspan._errors import HeadspanError, InputError, NotFoundError
from headspan._native import __version__

if TYPE_CHECKING:
    from headspan._align import Alignment, align
    from headspan._answers import Alike, Carried, Extremes, Neighbours, Segmentation, Why
    from headspan._classification import Ablations, Pruned, Zeroshot, ablate, prune, zeroshot
    from headspan._diff import Difference, diff
    from headspan._engines import submit
    from headspan._explorer import Explorer
    from headspan._frame import Frame
    from headspan._pipeline import Comparison, command, compare, fetch, inspect, models, plan, run_all, status
    from headspan._repair import Repaired, repair
    from headspan._replication import Replication, replicate
    from headspan._report import Report, report
    from headspan._review import Agreement, agreement
    from headspan._run import Head, Run, open
    from headspan._stability import Stability, stability
    from headspan._torch import (
        Checkpoint,
        FolderInUse,
        ModelMismatch,
        PreprocessMismatch,
        TokenizerMismatch,
        TorchInputError,
        UnsupportedModel,
        from_open_clip,
        from_timm,
        from_transformers,
        run_module,
    )
    from headspan._weights import HeadWeights, weights

__all__ = [
    "Ablations",
    "Agreement",
    "Alignment",
    "Alike",
    "Carried",
    "Checkpoint",
    "Comparison",
    "Difference",
    "Explorer",
    "Extremes",
    "FolderInUse",
    "Frame",
    "Head",
    "HeadWeights",
    "HeadspanError",
    "InputError",
    "ModelMismatch",
    "Neighbours",
    "NotFoundError",
    "PreprocessMismatch",
    "Pruned",
    "Repaired",
    "Replication",
    "Report",
    "Run",
    "Segmentation",
    "Stability",
    "TokenizerMismatch",
    "TorchInputError",
    "UnsupportedModel",
    "Why",
    "Zeroshot",
    "__version__",
    "ablate",
    "agreement",
    "align",
    "command",
    "compare",
    "diff",
    "fetch",
    "from_open_clip",
    "from_timm",
    "from_transformers",
    "inspect",
    "models",
    "open",
    "plan",
    "prune",
    "repair",
    "replicate",
    "report",
    "run_all",
    "run_module",
    "stability",
    "status",
    "submit",
    "weights",
    "zeroshot",
]

# Where each name is. Modules are imported when a name is first used, so that `import headspan` is quick.
_PLACES = {
    "_align": ("Alignment", "align"),
    "_answers": ("Alike", "Carried", "Extremes", "Neighbours", "Segmentation", "Why"),
    "_classification": ("Ablations", "Pruned", "Zeroshot", "ablate", "prune", "zeroshot"),
    "_diff": ("Difference", "diff"),
    "_engines": ("submit",),
    "_explorer": ("Explorer",),
    "_frame": ("Frame",),
    "_pipeline": ("Comparison", "command", "compare", "fetch", "inspect", "models", "plan", "run_all", "status"),
    "_repair": ("Repaired", "repair"),
    "_replication": ("Replication", "replicate"),
    "_report": ("Report", "report"),
    "_review": ("Agreement", "agreement"),
    "_run": ("Head", "Run", "open"),
    "_stability": ("Stability", "stability"),
    "_weights": ("HeadWeights", "weights"),
    "_torch": (
        "Checkpoint",
        "FolderInUse",
        "ModelMismatch",
        "PreprocessMismatch",
        "TokenizerMismatch",
        "TorchInputError",
        "UnsupportedModel",
        "from_open_clip",
        "from_timm",
        "from_transformers",
        "run_module",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f"headspan.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'headspan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
