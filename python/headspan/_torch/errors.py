"""Errors about models in PyTorch. Each has a `hint` that says what to do."""

from __future__ import annotations

from headspan._errors import InputError


class TorchInputError(InputError):
    """A model, a preprocess or a folder that headspan cannot take."""


class UnsupportedModel(TorchInputError):
    """A part of a model that headspan cannot decompose or store. Nothing has been written."""

    @classmethod
    def part(cls, part: str, why: str, hint: str | None = None) -> UnsupportedModel:
        """The error for one named part of a model."""
        return cls(f"{part} is not supported: {why}", hint)


class ModelMismatch(TorchInputError):
    """A model that computes something else than its parts suggest."""


class PreprocessMismatch(TorchInputError):
    """A preprocess that makes other pixels than headspan would."""


class TokenizerMismatch(TorchInputError):
    """A tokenizer that headspan or the model cannot use."""


class FolderInUse(TorchInputError):
    """A folder that holds another checkpoint."""
