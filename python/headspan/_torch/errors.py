"""Errors about models in PyTorch. Each has a `hint` that says what to do."""

from __future__ import annotations


class TorchInputError(ValueError):
    """A model, a preprocess or a folder that headspan cannot take.

    `hint` says what to do, or is `None`; it also stands below the message.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\nhint: {hint}")
        self.hint = hint


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
