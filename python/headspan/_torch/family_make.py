"""From a model of another family to its folder: headspan runs on the folder before it is put in place."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from . import family_tokenizer, store
from .checkpoint import Checkpoint
from .compare import own_features
from .errors import ModelMismatch, PreprocessMismatch, TokenizerMismatch
from .family import NO_TEXTS, Family, FamilyTexts, Preprocessing
from .family_probe import Floats, Seen, extract, refuse
from .found import Features
from .make import place_of
from .preprocess import Checked, as_function, cause, check, difference, levels_of, run
from .probe_image import Levels, probe_image

#: Largest difference of two passes over the same pixels or token ids, as a share of the largest value. Both
#: compute in float32 on the CPU, where 27 blocks differ by some 1e-6; a dropped bias or another activation by
#: 1e-2 and more.
SAME = 1e-4

#: The same where buffers of the model that no file holds, such as the frequencies of rotary positions, are
#: rounded to 16 bits: headspan computes them anew. Small random towers of EVA-02 and DINOv3 differ by up to
#: 7e-4 in float16 and 4e-3 in bfloat16.
ROUNDED_BUFFERS = 1e-2

#: Largest difference of representations of a test image where the preprocess rounds otherwise than headspan.
#: With transformers' image processors 0.5 % of the values differ by a level; random towers of true geometry
#: then differ by 2e-4 to 5e-4 (small ones of the tests by up to 7e-3), with Lanczos interpolation by 2.3e-2
#: and more, with a shift by 1 pixel by 9e-2 and more.
ROUNDED_PIXELS = 1e-2

#: Levels up to which two preprocesses make the same pixels.
EQUAL_LEVELS = 0.02


def make(family: Family, folder: str | os.PathLike[str] | None, name: str | None) -> Checkpoint:
    """Checks a model, its preprocess and its tokenizer, and makes the folder."""
    if name is not None:
        store.check_name(name)
    preprocessing, found = family.stated, None
    if family.preprocess is not None and not family.own_words:
        found = _checked(family)
        preprocessing = Preprocessing(found.normalisation, found.resize)
    files = family.files(preprocessing)
    texts = family.texts
    if texts is not None and texts.tokenizer is not None:
        files |= family_tokenizer.files(texts)
    content = store.content_hash(family.tensors, files)
    label = f"{family.library}-{family.kind}"
    path, name = place_of(label, folder, name, content)
    store.refuse_other_checkpoint(path, files, content, family.weights)
    with store.scratch(path) as work:
        trial = work / "model"
        trial.mkdir()
        few, ids = (None, None) if texts is None else _tokenizer(texts)
        for file, value in {**(few or {}), **files}.items():
            (trial / file).write_bytes(value)
        if not store.linked(path / family.weights, trial / family.weights):
            store.write_weights(trial / family.weights, family.tensors, content)
        refuse(trial, family.kind)
        if family.preprocess is not None and family.own_words:
            found = _checked(family)
        words = family_tokenizer.WORDS if few else family_tokenizer.TEXTS
        seen = extract(trial, work, family.image_size, words if texts else None, family.kind)
        checked = [*(found.checked if found else ()), *_images(family, preprocessing, seen)]
        if texts is not None and ids is not None and seen.texts is not None:
            checked.append(_texts(texts, ids(words), seen.texts))
        store.write(path, family.tensors, files, content, family.weights, trial / family.weights)
    loud, quiet = _notes(family, found)
    for note in loud:
        warnings.warn(note, UserWarning, stacklevel=3)
    return Checkpoint(path, name, tuple(checked), (*loud, *quiet))


def _checked(family: Family) -> Checked:
    stated = family.stated.normalisation if family.is_stated else None
    return check(family.preprocess, family.image_size, stated, family.resizes)


def _tokenizer(texts: FamilyTexts) -> tuple[dict[str, bytes] | None, family_tokenizer.Ids]:
    """Files beside those of the folder, and the ids of texts."""
    if texts.tokenizer is not None:
        return None, family_tokenizer.ids(texts)
    return family_tokenizer.few_words(texts)


def _notes(family: Family, found: Checked | None) -> tuple[list[str], list[str]]:
    """Notes that are warnings, and others."""
    loud = list(found.warnings) if found else []
    quiet = [*family.notes, *(found.notes if found else ())]
    if family.preprocess is None and not family.is_stated:
        loud.append(
            "nothing says how images become pixels and no preprocess was given: headspan"
            f" {family.stated.resize.described(family.image_size)} and normalises by mean"
            f" {list(family.stated.normalisation.mean)} and std {list(family.stated.normalisation.std)}"
        )
    if family.texts is None:
        quiet.append(NO_TEXTS)
    elif family.texts.tokenizer is None:
        quiet.append("the folder has no tokenizer.json, which texts need: hand over the model's tokenizer")
    if _rounds_buffers(family.image[0], family.tensors):
        quiet.append(
            "the model has buffers of 16 bits that no file holds, such as rotary frequencies: headspan"
            " computes them in float32"
        )
    if any(tensor.dtype == torch.float64 for tensor in family.tensors.values()):
        quiet.append("the float64 weights were rounded to float32")
    return loud, quiet


def _images(family: Family, preprocessing: Preprocessing, seen: Seen) -> list[str]:
    """Compares representations over headspan's own pixels, then over those of the model's preprocess."""
    limit = SAME if not _rounds_buffers(family.image[0], family.tensors) else ROUNDED_BUFFERS
    own = _features(family.image, [_normalised(pixels, preprocessing) for pixels in seen.pixels])
    off = max(_off(*pair) for pair in zip(seen.representations, own, strict=True))
    if not off <= limit:
        raise ModelMismatch(
            f"the model's representation of a test image differs from headspan's by {off:.1e} of the largest"
            " value over the same pixels",
            f"something in its image tower is not what `{family.kind}` and its configuration say: a replaced"
            " module, a hook, another activation, epsilon or pooling",
        )
    checked = [f"representation of two test images, over the same pixels: {off:.1e} of the largest value"]
    if family.preprocess is None:
        return checked
    size, image = family.image_size, probe_image(family.image_size, portrait=False)
    pixels = run(as_function(family.preprocess), image, size)
    levels = levels_of(pixels, preprocessing.normalisation)
    apart = difference(levels, seen.pixels[0])
    by_own = _features(family.image, [torch.from_numpy(pixels).permute(2, 0, 1)])[0]
    off = _off(seen.representations[0], by_own)
    if not off <= (limit if apart <= EQUAL_LEVELS else max(limit, ROUNDED_PIXELS)):
        raise PreprocessMismatch(
            "with its own preprocess the model's representation of a test image differs from headspan's by"
            f" {off:.1e} of the largest value; their pixels differ by up to {apart:.1f} of 255 levels"
            + cause(levels, image, size),
            f"headspan {preprocessing.resize.described(size)} and normalises; leave the preprocess out to use"
            " that",
        )
    checked.append(
        f"representation of a test image, each by its own preprocess: {off:.1e} of the largest value, pixels"
        f" within {apart:.2f} of 255 levels"
    )
    return checked


def _normalised(pixels: Levels, preprocessing: Preprocessing) -> Tensor:
    """Levels `[s, s, 3]` as the pixels `[3, s, s]` of a model."""
    given = preprocessing.normalisation
    mean, std = (np.asarray(values, dtype=np.float32) for values in (given.mean, given.std))
    made = (pixels / np.float32(255) - mean) / std
    return torch.from_numpy(np.ascontiguousarray(made.transpose(2, 0, 1), dtype=np.float32))


def _features(call: tuple[nn.Module, Features], pixels: list[Tensor]) -> list[Floats]:
    """Representations by the model's own code."""
    found = own_features("image", call, torch.stack(pixels))
    return [np.asarray(row, dtype=np.float32) for row in found.detach().cpu().numpy()]


def _texts(texts: FamilyTexts, ids: Tensor, embedded: Floats) -> str:
    own = own_features("text", texts.call, ids).detach().cpu().numpy()
    own = own / np.linalg.norm(own, axis=-1, keepdims=True)
    off = _off(embedded, own.astype(np.float32))
    if off <= SAME:
        return f"embeddings of {len(own)} texts: {off:.1e} of the largest value"
    if texts.tokenizer is None:
        raise ModelMismatch(
            f"the model's embeddings of texts differ from headspan's by {off:.1e} of the largest value",
            "something in its text tower is not what the configuration says",
        )
    raise TokenizerMismatch(
        "the model's embeddings of texts by its own tokenizer differ from headspan's by"
        f" {off:.1e} of the largest value",
        "the tokenizer splits or pads texts by other rules than headspan, or the text tower is not what the"
        " configuration says; without the tokenizer the text tower is compared alone",
    )


def _off(found: Floats, own: Floats) -> float:
    if found.shape != own.shape:
        raise ModelMismatch(
            f"the model gives features of shape {list(own.shape)}, headspan of {list(found.shape)}"
        )
    return float(np.abs(found - own).max() / max(np.abs(own).max(), np.finfo(np.float32).tiny))


def _rounds_buffers(module: nn.Module, kept: Mapping[str, Tensor]) -> bool:
    """Whether the module holds buffers of 16 bits that are in no file."""
    return any(
        buffer.dtype in (torch.float16, torch.bfloat16) and name not in kept
        for name, buffer in module.named_buffers()
    )
