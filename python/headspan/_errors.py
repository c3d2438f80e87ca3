"""What can go wrong, with the words and hints of the command line."""

from __future__ import annotations


class HeadspanError(Exception):
    """Something failed. ``message`` says what and where, ``hint`` what to do about it, or is None."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  hint: {hint}")
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[HeadspanError], tuple[str, str | None]]:
        return type(self), (self.message, self.hint)


class InputError(HeadspanError, ValueError):
    """A call with a value that it does not take."""


class NotFoundError(HeadspanError, LookupError):
    """Something that was named is not there: a file, a run, a model, a head, an image."""
