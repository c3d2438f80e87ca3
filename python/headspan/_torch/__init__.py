"""From PyTorch: models in memory become checkpoint folders, and checkpoint folders become modules.

Importing this imports neither PyTorch nor a library of models.
"""

from .api import from_open_clip, from_timm, from_transformers, run_module
from .checkpoint import Checkpoint
from .errors import (
    FolderInUse,
    ModelMismatch,
    PreprocessMismatch,
    TokenizerMismatch,
    TorchInputError,
    UnsupportedModel,
)

__all__ = [
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
]
