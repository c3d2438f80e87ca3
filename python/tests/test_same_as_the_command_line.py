"""Each result of the API is that of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import headspan


def same_images(frame: pl.DataFrame, found: list[dict]) -> None:
    assert frame["image_id"].to_list() == [one["image_id"] for one in found]
    assert frame["image_index"].to_list() == [one["image_index"] for one in found]
    # JSON has as many digits as a float32 needs.
    assert frame["score"].to_list() == [np.float32(one["score"]) for one in found]


def test_the_demo_is_that_of_the_command_line(runs, tmp_path):
    command = [sys.executable, "-m", "headspan", "--quiet", "run-all", "--json", "--runs", str(tmp_path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [run["model"] for run in told["runs"]] == ["scenes-4", "scenes-6"]
    for table in ("textspan", "labels", "metrics", "moments", "readout", "texts", "images"):
        own, theirs = (folder / "scenes/scenes-4" / f"{table}.parquet" for folder in (runs, tmp_path))
        assert own.read_bytes() == theirs.read_bytes(), table


def test_a_second_call_finds_everything_done(runs):
    found = headspan.run_all(runs=runs, progress=False)
    assert [run.name for run in found] == ["scenes/scenes-4", "scenes/scenes-6"]
    states = {(row["model"], row["stage"]): row["state"] for row in headspan.status(runs=runs)}
    assert set(states.values()) == {"done"} and len(states) == 10


def test_status(runs, answer):
    rows = headspan.status(runs=runs, dataset="scenes")
    theirs = answer("status")["runs"]
    assert [row["fingerprint"] for row in rows] == [stage["fingerprint"] for run in theirs for stage in run["stages"]]


def test_plan(runs, answer):
    rows = headspan.plan(runs=runs)
    theirs = answer("plan")["models"]
    assert [row["stage"] for row in rows] == [stage["stage"] for model in theirs for stage in model["stages"]]
    assert {row["state"] for row in rows} == {"done"}
    assert [row["parts"] for row in rows if row["stage"] == "images"] == [{"done": 2, "total": 2}] * 2
    changed = headspan.plan(runs=runs, settings={"textspan": {"rank": 7}})
    assert {row["stage"] for row in changed if row["state"] == "stale"} == {"textspan", "label", "metrics"}


def test_compare(runs, run, answer):
    found, theirs = headspan.compare(runs=runs, dataset="scenes"), answer("compare")
    assert found.rows == theirs["rows"] and found.differences == theirs["differences"]
    assert found.page.is_file() and len(found.frame) > 0
    assert [row["model"] for row in headspan.compare([run]).rows] == ["scenes-4"]


def test_diff(runs, answer):
    before, after = (headspan.open(runs / "scenes" / name) for name in ("scenes-4", "scenes-6"))
    found, theirs = headspan.diff(before, after), answer("diff", "scenes/scenes-4", "scenes/scenes-6")
    assert found.heads == theirs["heads"] and found.scores == theirs["scores"]
    assert found.pairing == "assignment" and found.images == 2000 and [len(heads) for heads in found.unpaired] == [8, 0]
    frame = found.frame.pl()
    assert frame["cka"].to_list() == [pair["cka"] for pair in found.heads]
    assert found.page.is_file() and found.before in repr(found) and "share of variance" in found._repr_html_()
    itself = headspan.diff(before, before)
    assert itself.pairing == "position" and all(pair["cka"] > 1 - 1e-9 for pair in itself.heads)


def test_weights_are_those_of_numpy(run, answer):
    found = headspan.weights(run, directions=3, texts=4)
    theirs = answer("weights", "scenes-4", "--directions", "3", "--texts-per-direction", "4")
    assert found.heads == theirs["heads"] and found.frame.pl().height == sum(len(head["spectrum"]) for head in found.heads)
    readouts = pl.read_parquet(run.path / "readout.parquet")
    texts = np.stack(pl.read_parquet(run.path / "texts.parquet")["embedding"].to_numpy()).astype(np.float64)
    texts -= texts.mean(axis=0)
    for head, row in zip(found.heads, readouts.iter_rows(named=True)):
        readout = np.array(row["readout"], dtype=np.float64).reshape(row["d"], row["head_dim"] + 3)[:, : row["head_dim"]]
        left, singular, _ = np.linalg.svd(readout, full_matrices=False)
        np.testing.assert_allclose(head["spectrum"], singular, rtol=1e-6)
        for direction, wanted in zip(head["directions"], left.T):
            named = sum(text["weight"] * texts[text["text_index"]] for text in direction["texts"])
            inside = left.T @ named
            cosine = abs(wanted @ named) / np.linalg.norm(inside)
            assert abs(cosine - direction["fidelity"]) < 1e-5, head["head"]
            assert 0 < len(direction["texts"]) <= 4


def test_stability(run, answer):
    found = headspan.stability(run, splits=2, seed=3, against=run)
    theirs = answer("stability", "scenes-4", "--splits", "2", "--seed", "3", "--against", "scenes-4")
    assert found.figures == theirs["figures"] and "jaccard" in repr(found)
    frame = found.frame.pl()
    assert frame.filter(pl.col("kind") == "run")["value"].unique().to_list() == [1.0]
    assert frame.filter(pl.col("head").is_null() & (pl.col("kind") == "halves")).height == 2


def test_report(run, tmp_path, answer):
    headspan.zeroshot(run)
    found = headspan.report(run, tmp_path / "python", paper=True)
    theirs = answer("report", "scenes-4", "--out", str(tmp_path / "shell"), "--paper")
    assert found.paper is not None and Path(theirs["index"]) == tmp_path / "shell/index.html"
    files = sorted(path.relative_to(tmp_path / "python") for path in (tmp_path / "python").rglob("*") if path.is_file())
    assert Path("scenes-4.html") in files and Path("data/scenes-4/zeroshot.csv") in files and len(files) > 10
    for file in files:
        assert (tmp_path / "python" / file).read_bytes() == (tmp_path / "shell" / file).read_bytes()
    by_class = pl.read_csv(tmp_path / "python/data/scenes-4/zeroshot-classes.csv")
    assert by_class["images"].sum() == 2000 and by_class["top1"].is_sorted()


def test_zeroshot(run, answer):
    found, theirs = headspan.zeroshot(run), answer("zeroshot", "scenes-4")
    assert found.accuracy == theirs["accuracy"] and (found.images, found.classes) == (2000, 10)
    frame = found.frame.pl()
    share = (frame["predicted"] == frame["class_index"]).mean()
    assert abs(share - next(row["accuracy"] for row in found.accuracy if row["scope"] == "all")) < 1e-12
    assert found.class_frame.pl()["embedding"].to_numpy().shape == (10, 96)


def test_ablate(run, answer):
    found = headspan.ablate(run, kind="heads", heads=["L3.H1", "L3.H5"], permutations=20, reconstruct=True, draws=2)
    flags = ("--kind", "heads", "--heads", "L3.H1", "--heads", "L3.H5", "--permutations", "20", "--reconstruct", "--draws", "2")
    theirs = answer("ablate", "scenes-4", *flags)
    assert found.ablations == theirs["ablations"] and found.reconstruction == theirs["reconstruction"]
    frame = found.frame.pl().filter(pl.col("scope") == "all")
    assert frame["kind"].to_list() == ["head"] * 32 + ["list", "random"]
    assert found.reconstruction_frame.pl().height == len(found.reconstruction)


def test_repair_of_a_cue_that_a_classifier_learned(run, answer, tmp_path):
    water = {"boat", "fish", "star", "mug", "ball"}, {"sea", "beach", "snow", "mountains"}
    scenes = pl.read_parquet(run.path.parents[1] / ".built-in/scenes/scenes.parquet")
    side = lambda column, names: pl.when(pl.col(column).is_in(list(names))).then(pl.lit("water")).otherwise(pl.lit("land"))
    table = tmp_path / "sides.csv"
    scenes.select("image_id", side=side("shapes", water[0]), ground=side("backgrounds", water[1])).write_csv(table)
    given = dict(groups=table, learn=True, class_="side", cue="ground", correlation=0.95, permutations=100, by_ablation=True)
    texts = ["a photo of the sea", "a photo of a forest"]
    found = headspan.repair(run, heads="backgrounds", text=texts, count=3, **given)
    flags = ["--groups", table, "--learn", "--class", "side", "--cue", "ground", "--correlation", "0.95", "--permutations", "100"]
    flags += ["--heads", "backgrounds", "--text", texts[0], "--text", texts[1], "--count", "3", "--by-ablation"]
    theirs = answer("repair", "scenes-4", *flags)
    assert found.repair == theirs["repair"] and found.classifier == "learned" and "worst group" in repr(found)
    worst = found.frame.pl().filter(pl.col("scope") == "worst_group")
    assert worst["choice"].to_list() == ["property", "ablation", "text"]
    # Random heads do not repair it, chosen ones do.
    assert (worst["accuracy_after"] > worst["accuracy_before"] + 0.05).all() and (worst["p"] < 0.15).all()
    assert (worst["random_mean"] < worst["accuracy_before"] + 0.02).all()


def test_replicate_a_paper_of_ones_own(runs, run, answer, tmp_path):
    paper = tmp_path / "mine.toml"
    paper.write_text("""
id = "mine"
title = "A made-up paper"
source = "nowhere"
[setting]
labeller = "lexicon"
[[data]]
id = "scenes"
what = "the demo"
[[table]]
name = "Scores"
data = "scenes"
unit = "share"
measure = { command = "metrics", metrics = ["association_associated_heads"] }
[[table.figure]]
row = "scenes-4"
column = "association"
model = "scenes-4"
published = 0.5
""")
    found = headspan.replicate(paper, runs=runs)
    [row] = found.figures
    scores = pl.read_parquet(run.path / "metrics.parquet")
    own = scores.filter(pl.col("metric") == "association_associated_heads", pl.col("scope") == "model").row(0, named=True)
    assert row["measured"] == own["value"] and row["ci_low"] == own["ci_low"] and "0.5, here" in repr(found)
    planned = headspan.replicate("2310.05916", runs=runs, dry_run=True, images={"waterbirds": "nowhere.csv"})
    assert all(row["measured"] is None for row in planned.figures) and planned.not_known


def test_prune_scales_heads_and_nothing_else(run, tmp_path):
    saved = tmp_path / "softer"
    found = headspan.prune(run, heads=["L2.H1", "L3.H6"], factor=0.5, limit=50, save=saved)
    before = _tensors(next(Path(run.checkpoint).glob("*.safetensors")))
    after = _tensors(saved / "open_clip_model.safetensors")
    assert before.keys() == after.keys() and found.saved == saved and found.images == 50
    wanted = {f"visual.transformer.resblocks.{layer}.attn.out_proj.weight": slice(16 * head, 16 * head + 16) for layer, head in ((2, 1), (3, 6))}
    for name, values in before.items():
        scaled = values.copy()
        if name in wanted:
            scaled[:, wanted[name]] *= 0.5
        np.testing.assert_array_equal(after[name], scaled, err_msg=name)
    assert headspan.prune(run, ccs=["5", "0-1"], limit=20).frame.pl()["target"].unique().sort().to_list() == ["CCS 0-1", "CCS 5"]


def _tensors(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "F16": np.float16}

    def values(entry):
        first, last = entry["data_offsets"]
        return np.frombuffer(content[begin + first : begin + last], types[entry["dtype"]]).reshape(entry["shape"])

    return {name: values(entry) for name, entry in header.items()}


def test_align(runs, tmp_path):
    built_in = runs / ".built-in"
    tower, clip = (built_in / "models" / name for name in ("scenes-6", "scenes-4"))
    images, out = built_in / "scenes" / "images", tmp_path / "aligned"
    found = headspan.align(images=images, from_=tower, to=clip, out=out, limit=300, held_out=0.25, progress=False)
    command = [sys.executable, "-m", "headspan", "align", "--images", images, "--from", tower, "--to", clip, "--out", tmp_path / "theirs"]
    command += ["--limit", "300", "--held-out", "0.25", "--json"]
    theirs = json.loads(subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout)
    assert found.figures == theirs["figures"] and found.fingerprint == theirs["fingerprint"]
    assert found.figures["fitted"] + found.figures["held_out"] == 300 and "held-out images" in repr(found)
    # Both models were trained on these scenes' kind, so that one says much about the other.
    assert found.figures["r2"] > 0.3 and found.figures["top5"] > 5 * found.figures["chance5"]
    run, = headspan.run_all(checkpoint=found, images=images, limit=50, runs=tmp_path / "runs", progress=False)
    assert len(run.labels) == 24 and run.path.name == "aligned"
    with pytest.raises(headspan.HeadspanError, match="a map needs"):
        headspan.align(images=images, from_=tower, to=clip, out=tmp_path / "few", limit=20, progress=False)


def test_models(answer):
    command = [sys.executable, "-m", "headspan", "models", "--json"]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert headspan.models() == theirs["models"]


def test_inspect(run):
    found = headspan.inspect(run.checkpoint)
    command = [sys.executable, "-m", "headspan", "--quiet", "inspect", str(run.checkpoint), "--json"]
    assert found == json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert found["usable"] and found["family"] == "CLIP" and found["tensors"]["layers"] == 4
    assert headspan.inspect(run.checkpoint, quick_gelu=True)["facts"] != found["facts"]
    with pytest.raises(headspan.HeadspanError, match="the configuration expects"):
        headspan.inspect(run.checkpoint, architecture="ViT-B-32")


@pytest.mark.parametrize("name", ["images", "texts", "textspan", "labels", "scores"])
def test_tables_are_those_on_the_disk(run, name):
    file = {"scores": "metrics"}.get(name, name)
    frame = getattr(run, name)
    assert frame.pl().equals(pl.read_parquet(run.path / f"{file}.parquet"))
    assert len(frame) == frame.pl().height and frame.columns == frame.pl().columns


def test_neighbours_of_a_text_and_of_an_image(run, answer):
    head = run["L3.H1"]
    asked = ("query", "neighbours", "scenes-4", "--heads", "L3.H1", "--count", "5")
    theirs = answer(*asked, "--text", "something red")["found"]
    found = head.neighbours(text="something red", k=5)
    same_images(found.pl(), theirs["images"])
    assert found.compared == theirs["compared"] and found.heads == ["L3.H1"]
    same_images(head.neighbours("something red", k=5).pl(), theirs["images"])
    theirs = answer(*asked, "--image", "#7", "--dot")["found"]
    same_images(head.neighbours(7, k=5, cosine=False).pl(), theirs["images"])
    assert vars(found.carried) == answer(*asked, "--text", "something red")["carried"]
    assert head.neighbours(7).carried is None, "of an image nothing is carried"
    theirs = answer(*asked, "--image", "#7", "--farthest")["found"]
    same_images(head.neighbours(image=7, k=5, farthest=True).pl(), theirs["images"])


def test_neighbours_by_a_property_and_of_a_file(run, answer, tmp_path):
    name = next(iter(run.properties))
    image = tmp_path / "seven.png"
    run.image(7).save(image)
    theirs = answer("query", "neighbours", "scenes-4", "--heads", name, "--count", "4", "--file", image)
    for subject in (image, run.image(7), run.pixels(7)):
        same_images(run.neighbours(subject, heads=name, k=4).pl(), theirs["found"]["images"])
    assert run.neighbours(image, heads=run.properties[name], k=4).heads == [head.name for head in run.properties[name]]


def test_extremes(run, answer):
    asked = ("query", "extremes", "scenes-4", "--head", "L3.H1", "--count", "3")
    for flags, named in (((), {}), (("--pick", "2"), {"pick": 2}), (("--text", "a dog"), {"text": "a dog"})):
        theirs, found = answer(*asked, *flags)["found"], run["L3.H1"].extremes(**named, k=3)
        frame = found.pl()
        for end in ("largest", "between", "smallest"):
            same_images(frame.filter(pl.col("end") == end), theirs[end])
        assert (found.mean, found.std) == pytest.approx((theirs["mean"], theirs["std"]), rel=1e-12)


def test_segmentation(run, answer):
    asked = ("query", "segment", "scenes-4", "--heads", "L3", "--image", "#3")
    theirs = answer(*asked, "--text", "a dog")
    found = run.segment(3, "a dog", heads="L3")
    assert found.scores.shape == (1, theirs["grid"], theirs["grid"])
    assert found.heads == [f"L{head['layer']}.H{head['head']}" for head in theirs["heads"]]
    assert found.scores.ravel().tolist() == [np.float32(one) for one in theirs["maps"][0]["scores"]]
    assert found.margins == [np.float32(theirs["maps"][0]["margin"])]
    for flags, baseline in (
        (("--baseline", "none"), None),
        (("--baseline", "pool"), "pool"),
        (("--baseline-text", "a photo", "--baseline-text", "a cat"), ["a photo", "a cat"]),
    ):
        other = run.segment(3, "a dog", heads="L3", baseline=baseline)
        theirs = answer(*asked, "--text", "a dog", *flags)["maps"][0]["scores"]
        assert other.scores.ravel().tolist() == [np.float32(one) for one in theirs]
        assert other.subtracted != found.subtracted and not np.allclose(other.scores, found.scores)
    theirs = answer(*asked, "--text", "a dog", "--text", "a red thing")
    found = run.segment(3, ["a dog", "a red thing"], heads="L3")
    for own, one in zip(found.scores, theirs["maps"]):
        assert own.ravel().tolist() == [np.float32(score) for score in one["scores"]]
    assert found.contrastive and not run.segment(3, ["a dog", "a cat"], contrastive=False).contrastive


def test_search(run, answer, tmp_path):
    theirs = answer("query", "search", "something red", "--model", "scenes-4", "--count", "5")
    found = run.search("something red").pl()
    assert found.height == len(run) and found.columns == ["name", "property", "times", "above", "span"]
    names = [f"L{one['head']['layer']}.H{one['head']['head']}" for one in theirs["heads"]]
    assert found["name"].to_list()[:5] == names
    assert found["times"].to_list()[:5] == [one["carried"]["times"] for one in theirs["heads"]]
    image = tmp_path / "seven.png"
    run.image(7).save(image)
    theirs = answer("query", "search", "--file", image, "--model", "scenes-4", "--count", "5")
    assert run.search(image=7).pl()["excited"].to_list()[:5] == pytest.approx([one["excited"] for one in theirs["heads"]])
    with pytest.raises(headspan.InputError):
        run.search()


def test_why(run, answer):
    theirs = answer("query", "why", "scenes-4", "--heads", "L3.H1", "--image", "#3", "--neighbour", "#9")
    found = run.why(3, 9, heads="L3.H1")
    assert found.scores.ravel().tolist() == [np.float32(one) for one in theirs["maps"][0]["scores"]]


def test_contributions_are_those_of_export(run, command_line, tmp_path):
    out = tmp_path / "contributions.npy"
    command_line("export", "--model", "scenes-4", "--heads", "L3.H1", "--out", out)
    head = run["L3.H1"]
    assert np.array_equal(head.contributions(), np.load(out))
    assert np.array_equal(head.contributions([5, 2]), np.load(out)[[5, 2]])
    assert np.array_equal(head.contributions(5), np.load(out)[5])
    # The vectors of head space and the readout give the same, up to the order of the sums.
    expected = head.vectors() @ head.readout.T
    assert np.allclose(expected, np.load(out), rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_new_image_has_the_contributions_of_the_same_image_of_the_run(run):
    head = run["L3.H1"]
    known, new = head.contributions(11), head.contributions(run.image(11))
    # A batch and a single image are summed in another order.
    assert np.abs(known - new).max() <= 1e-5 * np.abs(known).max()


def test_heads_have_what_the_tables_have(run):
    head = run["L3.H1"]
    spanned = run.textspan.pl().filter(pl.col("layer") == 3, pl.col("head") == 1).sort("pick")
    assert head.texts == spanned["text"].to_list() and head.variance_shares == spanned["variance_share"].to_list()
    label = run.labels.pl().filter(pl.col("layer") == 3, pl.col("head") == 1)
    assert (head.label, head.description, head.agreement) == label.select("property", "description", "agreement").row(0)
    assert [one.name for one in run] == run.heads.pl()["name"].to_list() and len(run) == 32
    assert run[3, 1].name == "L3.H1" and [one.layer for one in run.select("L2")] == [2] * 8


def test_alike(run, runs):
    other = headspan.open(runs / "scenes/scenes-6")
    own = run["L3.H1"].alike().pl()
    assert own.height == 31 and own["correlation"].is_sorted(descending=True)
    assert run["L3.H1"].alike(other).pl().height == 24


def test_embeddings_are_of_unit_norm_and_those_of_the_pool(run):
    pool = run.texts.pl()
    found = run.embed(pool["text"].head(3).to_list())
    assert found.shape == (3, run.d) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.allclose(found, np.stack(pool["embedding"].head(3).to_list()), atol=1e-5)
    assert run.embed("one text").shape == (run.d,)


def test_other_commands(run, command_line, runs):
    text = headspan.command("metrics", "scenes-4", runs=runs, dataset="scenes")
    assert text == command_line("metrics", "scenes-4") and "scenes-4" in text


def test_the_checkpoint_is_found(run):
    assert (Path(run.checkpoint) / "open_clip_config.json").is_file()
