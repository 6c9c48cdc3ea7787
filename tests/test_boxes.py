"""Runs of every task held against the boxes of phrases, from end to end: metrics, files, places, and errors."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from tests.data.caption_files import write_entities

from saccade import checkpoint
from saccade.boxes import evaluate_boxes
from saccade.data.own import OwnData
from saccade.data.records import Caption
from saccade.data.scenes import write_scenes
from saccade.errors import DataError, RecipeError, RunError, StoreError
from saccade.evaluate import evaluate
from saccade.metrics.grounding import GroundedPhrase
from saccade.recipes import get_recipe
from saccade.tasks.grounding.lines import Lines
from saccade.train import train

LINES = ("whole_image", "centre", "central_window", "usual_window", "sentence_without_phrase")


@pytest.fixture(scope="module")
def phrases(tmp_path_factory) -> Path:
    """Sentences with phrases about scenes, as own data; 5 test images."""
    root = tmp_path_factory.mktemp("data") / "phrases"
    write_scenes(root, images=50, seed=3)
    for split in ("train", "val", "test"):
        (root / f"phrases_{split}.jsonl").replace(root / f"{split}.jsonl")
    return root


@pytest.fixture(autouse=True)
def stores(tmp_path_factory, monkeypatch) -> None:
    """One folder for the stores of all tests here."""
    monkeypatch.chdir(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def runs(trained_run, matching_run, scenes_store, tmp_path_factory) -> dict[str, Path]:
    """A narrow run of each task, and one of a captioner without attention."""
    folders = {"answering": trained_run, "matching": matching_run}
    sizes = {"hidden_size": 16, "embedding_size": 12}
    for name in ("sat-soft", "nic"):
        recipe = get_recipe(f"{name}-scenes").smoke()
        recipe = dataclasses.replace(
            recipe,
            data=dataclasses.replace(recipe.data, store=scenes_store),
            train=dataclasses.replace(recipe.train, accelerator="cpu", finetune_from=None),
            sizes=recipe.sizes | sizes,
        )
        folders[name] = tmp_path_factory.mktemp("runs") / name
        train(recipe, folders[name])
    return folders


@pytest.fixture(scope="module")
def grounder(phrases, tmp_path_factory) -> Path:
    """A narrow run that has learnt from these phrases."""
    recipe = get_recipe("ban-grounder-scenes-phrases").smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, name="own", root=str(phrases), limit=None),
        features=dataclasses.replace(recipe.features, max_regions=40),
        train=dataclasses.replace(recipe.train, accelerator="cpu"),
        sizes=recipe.sizes | {"hidden_size": 16},
    )
    folder = tmp_path_factory.mktemp("runs") / "grounder"
    train(recipe, folder)
    return folder


def held(run: Path, boxes: Path, **options) -> dict:
    return evaluate_boxes(run, str(boxes), accelerator="cpu", **options)


@pytest.mark.parametrize(
    ("run", "map_"),
    [
        ("answering", "step 2 (regions)"),
        ("matching", "step 2 (regions)"),
        ("sat-soft", "attention (words, regions)"),
    ],
)
def test_a_run_of_every_task_gets_the_columns_and_lines_of_grounding(run: str, map_: str, runs, phrases) -> None:
    found = held(runs[run], phrases, split="val")
    data = OwnData(phrases)
    boxed = [p for each in data.records(Caption, "val") for p in each.phrases if p.boxes]
    assert (found["split"], found["map"], found["phrases_left_out"]) == ("val", map_, 0)
    assert found["phrases"] == len(boxed)
    for end in ("", "_merged"):
        for name in ("recall_1", "recall_5", "recall_10", "upper_bound", "mean_iou"):
            assert 0 <= found[f"{name}{end}"] <= 1
    assert {"pointing_accuracy", "pointing_accuracy_box", "recall_1_several"} <= found.keys()
    for line in (*LINES, "fitting_window"):
        assert f"pointing_accuracy_of_{line}" in found
    lines = Lines.of(data.records(Caption, "train"))
    assert lines.metrics([GroundedPhrase((), p.boxes, p.kinds) for p in boxed], []).items() <= found.items()
    folder = runs[run] / f"boxes-val-of-{phrases.name}"
    assert json.loads((folder / "metrics.json").read_text()) == found
    said = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert sum(len(each["phrases"]) for each in said) == len(boxed)


def test_what_batches_hold_changes_nothing(runs, phrases, tmp_path) -> None:
    for run in ("answering", "sat-soft"):
        found = [held(runs[run], phrases, batch_size=n, out=tmp_path / run / str(n)) for n in (3, 100)]
        assert found[0] == pytest.approx(found[1])


def test_a_grounder_gets_what_it_gets_when_it_is_evaluated(grounder, phrases) -> None:
    own = evaluate(grounder, accelerator="cpu")
    found = held(grounder, phrases)
    assert found["map"] == "phrases (phrases, regions)"
    shared = own.keys() & found.keys()
    assert shared >= {"phrases", "recall_1", "pointing_accuracy", "recall_1_of_usual_window"}
    assert set(own) - shared == set()
    assert {name: found[name] for name in shared} == {name: own[name] for name in shared}
    assert {path.name for path in grounder.glob("*test*")} == {"test", f"boxes-test-of-{phrases.name}"}


def test_the_command_prints_the_metrics_and_where_they_are(saccade, runs, phrases, tmp_path) -> None:
    outcome = saccade("evaluate", runs["answering"], "--boxes", phrases, "--limit", 2, "--accelerator", "cpu")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split() == ["split", "test"]
    assert "step 2 (regions)" in outcome.out
    assert outcome.out.splitlines()[-1] == f"Written to {runs['answering'] / f'boxes-test-of-{phrases.name}'}"
    as_json = saccade(
        "evaluate", runs["answering"], "--boxes", phrases, "--limit", 2, "--json", "--out", tmp_path / "o"
    )
    found = json.loads(as_json.out)
    assert found["images"] == 2
    assert found == json.loads((tmp_path / "o" / "metrics.json").read_text())


def test_folders_of_one_name_have_places_of_their_own(runs, phrases, tmp_path) -> None:
    other = Path(shutil.copytree(phrases, tmp_path / phrases.name))
    lines = (other / "test.jsonl").read_text().splitlines(keepends=True)
    (other / "test.jsonl").write_text("".join(lines[:4]))
    first = held(runs["matching"], phrases)
    second = held(runs["matching"], other)
    assert first["sentences"] > second["sentences"]
    assert len(list(runs["matching"].glob("boxes-test-of-*"))) == 2
    assert held(runs["matching"], phrases) == first
    with pytest.raises(RunError, match="has the metrics of the corpus in"):
        held(runs["matching"], other, out=runs["matching"] / f"boxes-test-of-{phrases.name}")


def test_flickr30k_entities_are_told_by_their_folder(runs, tmp_path) -> None:
    root = write_entities(tmp_path, {"train": ["11", "13", "17"], "val": ["19"], "test": ["23"]})
    found = held(runs["answering"], root, split="val")
    assert (found["images"], found["sentences"], found["phrases"], found["phrases_left_out"]) == (1, 5, 5, 0)
    assert found["phrases_without_box_scene"] == 1
    assert found["phrases_without_box_not_visual"] == 1
    assert found["phrases_of_unknown_words"] > 0
    assert {"recall_1_people", "recall_1_clothing"} <= found.keys()


# What is refused


def test_a_model_without_a_map_is_refused_before_the_work(refused, runs, phrases) -> None:
    refused("evaluate", runs["nic"], "--boxes", phrases, parts=("map over regions", "it has none", "sat"))
    assert not list(runs["nic"].glob("boxes*"))


def test_a_run_on_features_from_files_wants_their_store(runs, phrases, tmp_path) -> None:
    run = Path(shutil.copytree(runs["answering"], tmp_path / "run"))
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["features"]["backbone"] = "imported"
    (run / "recipe.json").write_text(json.dumps(recipe))
    loaded = checkpoint.load(runs["answering"])
    checkpoint.save_model(run, loaded.model, loaded.task)
    with pytest.raises(StoreError, match="name the store of its own"):
        held(run, phrases)


def test_folders_without_boxes_are_refused(runs, phrases, tmp_path) -> None:
    questions = tmp_path / "questions"
    write_scenes(questions, images=30)
    with pytest.raises(DataError, match="this folder holds questions"):
        held(runs["answering"], questions)
    with pytest.raises(DataError, match="no such folder"):
        held(runs["answering"], tmp_path / "none")
    bare = Path(shutil.copytree(phrases, tmp_path / "bare"))
    lines = [json.loads(line) for line in (bare / "test.jsonl").read_text().splitlines()]
    (bare / "test.jsonl").write_text("".join(json.dumps({**line, "phrases": []}) + "\n" for line in lines))
    with pytest.raises(DataError, match=r"none of the \d+ sentences of split test has a phrase with a box"):
        held(runs["answering"], bare)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--boxes", "d", "--root", "e"], "--root: means nothing with --boxes"),
        (["--boxes", "d", "--ray", "local"], "--ray: means nothing with --boxes"),
        (["--boxes", "d", "--beam", "3"], "--beam: means nothing with --boxes"),
        (["--boxes", "d", "--limit", "0"], "limit: expected"),
        (["--boxes", "d", "--batch-size", "0"], "batch_size: expected"),
        (["--limit", "3"], "--limit: a run is evaluated on a whole split"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(refused, runs, arguments: list[str], part: str) -> None:
    refused("evaluate", runs["answering"], *arguments, parts=(part,))


def test_a_task_that_says_of_no_phrase_where_it_looked_is_refused(runs, monkeypatch, phrases) -> None:
    monkeypatch.delattr(type(checkpoint.load(runs["sat-soft"]).task), "attend")
    with pytest.raises(RecipeError, match="a run about captions says of no phrase where it looked"):
        held(runs["sat-soft"], phrases)
