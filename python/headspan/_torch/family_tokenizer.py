"""Tokenizer files of models that are no plain CLIP, and a tokenizer of a few words for models without one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import TokenizerMismatch
from .family import FamilyTexts
from .store import TOKENIZER, TOKENIZER_CONFIG
from .tokenizer import END, START, tokenizer_json

#: Texts whose embeddings are compared: plain words, which no cleaning changes.
TEXTS = ("a photo of a cat", "two red birds")
#: Texts of the tokenizer of a few words, whose ids are in their names.
WORDS = ("w5 w9 w3", "w7")
_FEW = 12
#: The padding of SigLIP is its end token.
_PADDING = "</s>"

Ids = Callable[[Sequence[str]], Tensor]


def files(texts: FamilyTexts) -> dict[str, bytes]:
    """The files of the tokenizer that was handed over."""
    if not texts.padded:
        return {TOKENIZER: tokenizer_json(texts.tokenizer, texts.limits, None)}
    # OpenCLIP wraps tokenizers of transformers.
    inner = getattr(texts.tokenizer, "tokenizer", texts.tokenizer)
    backend = getattr(inner, "backend_tokenizer", None)
    padding = getattr(inner, "pad_token", None)
    if backend is None or padding is None:
        raise TokenizerMismatch(
            f"a tokenizer of type `{type(inner).__name__}` cannot be stored",
            "SigLIP's texts need a fast tokenizer of transformers with a `pad_token`; or leave it out",
        )
    value = json.loads(backend.to_str())
    # Truncation and padding are those of the last call, and headspan has its own.
    value["truncation"] = value["padding"] = None
    return {TOKENIZER: _json(value), TOKENIZER_CONFIG: _json({"pad_token": str(padding)})}


def ids(texts: FamilyTexts) -> Ids:
    """Token ids `[n, context_length]` of texts, by the tokenizer that was handed over."""
    given, length = texts.tokenizer, texts.limits.context_length
    if hasattr(given, "backend_tokenizer") and texts.padded:
        return lambda rows: given(
            list(rows), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )["input_ids"]
    if hasattr(given, "backend_tokenizer"):
        # headspan puts CLIP's start and end token around what the tokenizer's rules give.
        start, end = (given.convert_tokens_to_ids(token) for token in (START, END))

        def whole(rows: Sequence[str]) -> Tensor:
            inner = given(list(rows), add_special_tokens=False)["input_ids"]
            return _zeros_behind([[start, *row[: length - 2], end] for row in inner], length)

        return whole
    return lambda rows: torch.as_tensor(given(list(rows)))


def few_words(texts: FamilyTexts) -> tuple[dict[str, bytes], Ids]:
    """A tokenizer of `WORDS`, to compare models that came without one, and its ids."""
    length, count = texts.limits.context_length, texts.limits.vocab_size
    special = {_PADDING: 1} if texts.padded else {START: count - 2, END: count - 1}
    words = {f"w{number}": number for number in range(2, _FEW)}
    begin: list[str] = [] if texts.padded else [START]
    end = [_PADDING] if texts.padded else [END]

    def rows(given: Sequence[str]) -> Tensor:
        numbers = [
            [special[name] for name in begin] + [words[word] for word in text.split()] for text in given
        ]
        numbers = [row + [special[name] for name in end] for row in numbers]
        if texts.padded:
            return torch.tensor([row + [special[_PADDING]] * (length - len(row)) for row in numbers])
        return _zeros_behind(numbers, length)

    def part(name: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": 0}}

    single: list[dict[str, Any]] = [
        *map(part, begin),
        {"Sequence": {"id": "A", "type_id": 0}},
        *map(part, end),
    ]
    value: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]} for name, number in special.items()
            },
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, **special, **words}, "unk_token": "<unk>"},
    }
    made = {TOKENIZER: _json(value), TOKENIZER_CONFIG: _json({"pad_token": _PADDING})}
    return made if texts.padded else {TOKENIZER: made[TOKENIZER]}, rows


def _zeros_behind(rows: Sequence[Sequence[int]], length: int) -> Tensor:
    found = torch.zeros(len(rows), length, dtype=torch.int64, device="cpu")
    for number, row in enumerate(rows):
        found[number, : len(row)] = torch.as_tensor(list(row)[:length])
    return found


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
