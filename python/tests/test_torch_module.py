"""A checkpoint folder becomes a module that gives head contributions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch_models as models

from headspan._torch import TorchInputError, from_open_clip, from_transformers, run_module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return from_open_clip(
        models.open_clip_model(True), folder=tmp_path_factory.mktemp("checkpoint") / "clip"
    ).path


def test_layers_are_chosen_as_on_the_command_line(folder: Path) -> None:
    with torch.no_grad():
        whole = run_module(folder, "all")(models.pixels(2)).contributions.unflatten(
            1, (models.LAYERS, models.HEADS)
        )
        for layers, expected in [
            ("last:4", [1, 2, 3, 4]),
            ("last:99", [0, 1, 2, 3, 4]),
            ("3, 1,3", [1, 3]),
            ([4, 0], [0, 4]),
            (range(2), [0, 1]),
        ]:
            found = run_module(folder, layers)(models.pixels(2))
            assert found.heads == [(layer, head) for layer in expected for head in range(models.HEADS)]
            assert models.off(found.contributions.unflatten(1, (-1, models.HEADS)), whole[:, expected]) < 1e-6
    for wrong in ("last:0", "last:x", "5", [], [-1], "some", [0.5, "a"], 3):
        with pytest.raises(TorchInputError, match="expected `last:4`"):
            run_module(folder, wrong)  # type: ignore[arg-type]


def test_head_vectors_and_readout_give_the_contributions(folder: Path) -> None:
    module = run_module(folder, [1, 4])
    images = models.pixels(3)
    representation, vectors, heads = module.head_vectors(images)
    dim = models.WIDTH // models.HEADS + 3
    assert vectors.shape == (3, 2 * models.HEADS, dim)
    readout = module.readout()
    assert readout.shape == (2 * models.HEADS, models.EMBED, dim)
    found = module(images)
    assert torch.equal(found.representation, representation) and found.heads == heads
    for row in range(2 * models.HEADS):
        assert models.off(vectors[:, row] @ readout[row].T, found.contributions[:, row]) < 1e-6


def test_it_is_differentiable_in_pixels_and_weights(folder: Path) -> None:
    module = run_module(folder, "2", dtype=torch.float64)
    images = models.pixels(1).double().requires_grad_()

    def score(given: Any) -> Any:
        return (module(given).contributions[:, 1] ** 2).sum()

    score(images).backward()
    assert images.grad is not None and module.transformer.resblocks[2].attn.out_proj.weight.grad is not None
    assert module.transformer.resblocks[0].mlp.c_fc.weight.grad.abs().max() > 0
    step = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        numeric = (score(images + 1e-6 * step) - score(images - 1e-6 * step)) / 2e-6
    assert float((images.grad * step).sum()) == pytest.approx(float(numeric), rel=1e-5)


def test_types_and_copies(folder: Path) -> None:
    images = models.pixels(2)
    exact = run_module(folder)(images)
    half = run_module(folder, dtype=torch.bfloat16)(images.bfloat16())
    assert half.contributions.dtype == torch.bfloat16
    assert models.off(half.contributions.float(), exact.contributions) < 0.1
    module = run_module(folder)
    assert not module.training and all(parameter.requires_grad for parameter in module.parameters())
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    again = run_module(folder)(images)
    assert torch.equal(again.contributions, exact.contributions), "the file must stay as it is"
    assert torch.equal(other(images).contributions, exact.contributions)


def test_other_files_of_weights_are_read(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "open_clip_model.safetensors")
    images = models.pixels(2)
    expected = run_module(folder)(images).contributions
    config = (folder / "open_clip_config.json").read_bytes()
    training = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in weights.items()}}
    for name, write in {
        "epoch_3.pt": lambda path: torch.save(training, path),
        "open_clip_pytorch_model.bin": lambda path: torch.save(weights, path),
        "mine.safetensors": lambda path: save_file({f"_orig_mod.{k}": v for k, v in weights.items()}, path),
    }.items():
        place = tmp_path / name.partition(".")[0]
        place.mkdir()
        (place / "open_clip_config.json").write_bytes(config)
        write(place / name)
        assert models.off(run_module(place)(images).contributions, expected) < 1e-6, name
        assert models.off(run_module(place / name)(images).contributions, expected) < 1e-6, name


def test_folders_of_transformers_are_read(tmp_path: Path) -> None:
    model = models.transformers_model(True, eps=1e-3)
    model.save_pretrained(tmp_path / "theirs")
    made = from_transformers(model, folder=tmp_path / "ours")
    images = models.pixels(2)
    theirs = run_module(tmp_path / "theirs")(images)
    assert models.off(theirs.contributions, run_module(made)(images).contributions) < 1e-6
    assert models.off(theirs.representation, models.image_features(model, images)) < 1e-5


def test_another_image_size_interpolates_as_open_clip_does(folder: Path, tmp_path: Path) -> None:
    from open_clip.model import resize_pos_embed

    model = models.open_clip_model(True)
    other = models.open_clip_model(True, image_size=64)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    resize_pos_embed(state, other)
    other.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    module = run_module(folder, image_size=64)
    assert models.off(module(images).representation, models.image_features(other, images)) < 1e-5
    assert run_module(folder, image_size=models.SIZE)(models.pixels(1)).representation.shape == (
        1,
        models.EMBED,
    )
    with pytest.raises(TorchInputError, match="multiple of the model's patch size"):
        run_module(folder, image_size=50)


def test_bad_input_is_an_error_that_says_where(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    module = run_module(folder)
    for wrong in (torch.zeros(3, 48, 48), torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 48, 48)):
        with pytest.raises(TorchInputError, match=r"expected \[n, 3, 48, 48\]"):
            module(wrong)
    with pytest.raises(TorchInputError, match="does not exist"):
        run_module(tmp_path / "none")
    with pytest.raises(TorchInputError, match="has no configuration"):
        run_module(tmp_path)
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    with pytest.raises(TorchInputError, match="has no weights"):
        run_module(tmp_path)
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["visual.proj"] = weights["visual.proj"][:, :20].contiguous()
    del weights["visual.ln_pre.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(TorchInputError) as raised:
        run_module(tmp_path)
    assert "`visual.ln_pre.bias` is missing" in str(raised.value)
    assert "`visual.proj` has shape (32, 20), expected (32, 24)" in str(raised.value)
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(TorchInputError, match="not a CLIP configuration"):
        run_module(tmp_path)


def test_an_adapter_must_be_merged(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="PEFT is not installed")
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj", "fc1"], r=2, init_lora_weights=False)
    model = peft.get_peft_model(models.transformers_model(True), config).eval()
    images = models.pixels(2)
    features = models.image_features(model.base_model.model, images)
    for unmerged in (model, model.base_model.model):
        with pytest.raises(TorchInputError, match="merge_and_unload"):
            from_transformers(unmerged, folder=tmp_path / "clip")
    assert not (tmp_path / "clip").exists()
    made = from_transformers(model.merge_and_unload(), folder=tmp_path / "clip")
    assert models.off(run_module(made)(images).representation, features) < 1e-5


def test_gradients_stay_possible_in_inference_mode(folder: Path) -> None:
    with torch.inference_mode():
        module = run_module(folder)
    module(models.pixels(1)).representation.sum().backward()
    assert module.proj.grad is not None


@pytest.mark.parametrize("activation", ["gelu", "quick-gelu"])
def test_the_projects_reference_values(activation: str) -> None:
    """Right values: `tools/reference/make_cases.py`, which headspan's own passes are tested against."""
    from safetensors.torch import load_file

    place = models.REPOSITORY / "crates/model/tests/data/model" / activation
    case = load_file(place / "case.safetensors")
    module = run_module(place, "all")
    with torch.no_grad():
        found = module(case["images"])
    assert models.off(found.representation, case["repr"]) < 1e-5
    assert models.off(found.contributions.unflatten(1, case["attn"].shape[1:3]), case["attn"]) < 1e-5
    if activation == "quick-gelu":
        for file in ("weights.bin", "training.pt", "huggingface.safetensors"):
            with torch.no_grad():
                other = run_module(place / file, "all")(case["images"])
            assert models.off(other.contributions, found.contributions) < 1e-5, file
        # A pickled module would run code.
        with pytest.raises(TorchInputError, match="without running code"):
            run_module(place / "module.pt")
