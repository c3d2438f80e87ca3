"""`tokenizer.json` from the tokenizers of OpenCLIP and transformers."""

from __future__ import annotations

import json
from typing import Any

from .architecture import Text
from .errors import TokenizerMismatch

START, END = "<|startoftext|>", "<|endoftext|>"

#: OpenCLIP's names of the special tokens.
OPEN_CLIP_NAMES = {"<start_of_text>": START, "<end_of_text>": END}

#: Tokens of CLIP's own vocabulary, of which headspan can fetch the tokenizer.
CLIP_VOCABULARY = 49408

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenizer_json(tokenizer: Any, text: Text, end: int | None) -> bytes:
    """The file's content; `end` is the id at which the model takes a text's feature, `None` for the highest.

    An error says why headspan or the model cannot use the tokenizer.
    """
    _check_length(tokenizer, text)
    # OpenCLIP wraps tokenizers of transformers.
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        value = json.loads(backend.to_str())
    elif hasattr(tokenizer, "encoder") and hasattr(tokenizer, "bpe_ranks"):
        _check_cleaning(tokenizer)
        value = _from_merges(tokenizer.encoder, tokenizer.bpe_ranks)
    elif hasattr(tokenizer, "to_str"):
        value = json.loads(tokenizer.to_str())
    else:
        raise TokenizerMismatch(
            f"a tokenizer of type `{type(tokenizer).__name__}` cannot be stored",
            "hand over OpenCLIP's tokenizer or a fast tokenizer of transformers; or leave it out",
        )
    # Truncation and padding are those of the last call, and headspan has its own.
    value["truncation"] = value["padding"] = None
    _check_ids(value, text, end)
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _check_length(tokenizer: Any, text: Text) -> None:
    length = getattr(tokenizer, "context_length", None)
    if isinstance(length, int) and length != text.context_length:
        raise TokenizerMismatch(
            f"the tokenizer makes {length} tokens of a text, the model takes {text.context_length}"
        )


def _check_cleaning(tokenizer: Any) -> None:
    clean = getattr(getattr(tokenizer, "clean_fn", None), "__name__", "_clean_lower")
    if clean != "_clean_lower" or getattr(tokenizer, "reduction_fn", None) is not None:
        raise TokenizerMismatch(
            f"the tokenizer cleans or cuts texts by other rules than CLIP's (`{clean}`)",
            "leave the tokenizer out, or use `clean='lower'`",
        )


def _from_merges(encoder: dict[str, int], ranks: dict[tuple[str, str], int]) -> dict[str, Any]:
    """The file of a byte-level BPE whose words end with `</w>`, as `SimpleTokenizer` is one."""
    vocabulary = {OPEN_CLIP_NAMES.get(token, token): index for token, index in encoder.items()}
    merges = [list(pair) for pair in sorted(ranks, key=lambda pair: ranks[pair]) if len(pair) == 2]
    ids = {token: vocabulary.get(token) for token in (START, END)}
    special = {token: {"id": token, "ids": [index], "tokens": [token]} for token, index in ids.items()}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": START, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": END, "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": special,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def _check_ids(value: dict[str, Any], text: Text, end: int | None) -> None:
    vocabulary = value.get("model", {}).get("vocab")
    if not isinstance(vocabulary, dict):
        raise TokenizerMismatch(
            "the tokenizer has no vocabulary by token; headspan reads BPE, WordPiece and word vocabularies"
        )
    ids: dict[str, int] = {
        **vocabulary,
        **{token["content"]: token["id"] for token in value.get("added_tokens") or ()},
    }
    for token in (START, END):
        if token not in ids:
            raise TokenizerMismatch(
                f"the tokenizer has no token `{token}`: it is not CLIP's", "leave it out to use CLIP's"
            )
    highest = max(ids.values())
    if ids[END] >= text.vocab_size or ids[START] >= text.vocab_size:
        raise TokenizerMismatch(
            f"the tokenizer has {highest + 1} tokens, the model's vocabulary {text.vocab_size}: they do not"
            " belong together"
        )
    if end is None:
        return
    if ids[END] != end:
        raise TokenizerMismatch(
            f"the model takes a text's feature at token {end} (`eos_token_id`), the tokenizer's `{END}` is"
            f" {ids[END]}"
        )
    above = [token for token, index in ids.items() if end < index < text.vocab_size]
    if above:
        raise TokenizerMismatch(
            f"the tokenizer has tokens above the end token's id {end}, such as `{above[0]}`: headspan takes a"
            " text's feature at the highest id, this model at the end token"
        )
