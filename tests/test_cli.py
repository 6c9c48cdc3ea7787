"""The commands as typed: what they print and where, their exit codes, and every bad input we could think of."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image
from tests.explain.page_reader import Reader

from saccade import checkpoint
from saccade.cli import COMMANDS, main
from saccade.commands.training import Train
from saccade.data import DATASETS
from saccade.models import MODELS
from saccade.recipes import RECIPES

NARROW = ("--smoke", "--sizes.hidden-size", "16", "--train.accelerator", "cpu")
BACKBONE = ("--features.backbone", "scenes-cnn", "--features.image-size", "96", "--features.positions")
RUN_FILES = (*checkpoint.ALWAYS, "tokenizer.json", "answers.json", checkpoint.MODEL)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Help, version, names


def test_help_names_every_command(saccade) -> None:
    outcome = saccade("--help")
    assert (outcome.code, outcome.err) == (0, "")
    for name in COMMANDS:
        assert f"  {name} " in outcome.out
    assert saccade().code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(saccade, command) -> None:
    outcome = saccade(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"usage: saccade {command}" in outcome.out


def test_the_help_of_ask_names_its_arguments_as_the_documents_do(saccade) -> None:
    assert "RUN IMAGE QUESTION" in saccade("ask", "--help").out.splitlines()[0]


def test_the_help_of_a_recipe_shows_its_own_values(saccade) -> None:
    outcome = saccade("train", "r-dan-scenes", "--help")
    assert outcome.code == 0
    for field in ("--optim.lr", "--data.root", "--features.backbone", "--sizes.hidden-size", "--out", "--resume"):
        assert field in outcome.out


def test_list_names_its_topics_with_how_many_there_are(saccade) -> None:
    outcome = saccade("list")
    assert outcome.code == 0
    lines = {line.split()[0]: line.split()[1:] for line in outcome.out.splitlines() if line.startswith("  ")}
    assert list(lines) == ["recipes", "models", "datasets", "backbones"]
    assert [lines[name][0] for name in ("recipes", "models", "datasets")] == [
        str(len(each)) for each in (RECIPES, MODELS, DATASETS)
    ]


def rows(text: str) -> dict[str, list[str]]:
    """The first words of the rows in each group of a list."""
    groups: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("  "):
            names = groups.setdefault(line.removesuffix(":"), [])
            continue
        names.append(line.split()[0])
        assert line.split()[1:], line
    return groups


@pytest.mark.parametrize(("topic", "names"), [("models", MODELS), ("recipes", RECIPES), ("datasets", DATASETS)])
def test_list_of_one_topic_has_every_name_once(saccade, topic, names) -> None:
    found = [name for group in rows(saccade("list", topic).out).values() for name in group]
    assert sorted(found) == sorted(names)


def test_list_of_models_is_by_task_and_of_recipes_by_data_set_own_data_first(saccade) -> None:
    models = rows(saccade("list", "models").out)
    assert set(models) == {"answering", "captioning", "matching", "grounding"}
    assert {kind for kind, names in models.items() if {"sat-soft", "nic"} & set(names)} == {"captioning"}
    assert "r-dan" in models["answering"]
    assert models["matching"] == ["m-dan", "vse"]
    recipes = rows(saccade("list", "recipes").out)
    assert next(iter(recipes)) == "own data"
    assert recipes["own data"] == [name for name, recipe in RECIPES.items() if recipe.data.name == "own"]
    assert recipes["scenes"] == [name for name, recipe in RECIPES.items() if recipe.data.name == "scenes"]
    [line] = [line for line in saccade("list", "recipes").out.splitlines() if line.startswith("  r-dan-own ")]
    assert line.split()[1:3] == ["r-dan", "own"]


def test_list_shows_the_rows_with_a_text(saccade, refused) -> None:
    assert set(rows(saccade("list", "recipes", "own").out)) == {"own data"}
    assert rows(saccade("list", "recipes", "NIC").out)["scenes"] == ["nic-scenes"]
    assert set(rows(saccade("list", "models", "captioning").out)) == {"captioning"}
    assert "backbones" not in saccade("list", "all").out
    refused("list", "recipes", "r-dan-sceens", parts=("no recipe named", "did you mean 'r-dan-scenes'"), code=2)
    refused("list", "recipe", parts=("no TOPIC named 'recipe'", "did you mean 'recipes'", "backbones"), code=2)


def test_list_of_backbones(saccade) -> None:
    names = saccade("list", "backbones").out.split()
    assert len(names) > 500
    assert {"scenes-cnn", "vgg19", "resnet152", "mobilenetv2_100"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["lst"], ("no command named 'lst'", "did you mean 'list'", "extract")),
        (["qqq"], ("no command named 'qqq'. Known:",)),
        (["train", "r-dan-scene"], ("no recipe named 'r-dan-scene'", "did you mean 'r-dan-scenes'")),
        (["train", "r-dan-scenes", "--model", "r-da"], ("no model named 'r-da'", "did you mean 'r-dan'")),
        (
            ["train", "r-dan-scenes", "--smoke", "--data.name", "scene"],
            ("no data set named 'scene'", "did you mean 'scenes'"),
        ),
        (["train", "r-dan-scenes", "--optim.lrr", "1"], ("no field named '--optim.lrr'", "did you mean '--optim.lr'")),
        (["train", "r-dan-scenes", "--epochs=1"], ("no field named '--epochs'", "did you mean '--train.epochs'")),
        (["train", "r-dan-scenes", "--sizes.hidden", "1"], ("'--sizes.hidden'", "did you mean '--sizes.hidden-size'")),
        (
            ["train", "r-dan-scenes", "--smoke", "--features.backbone", "scenes-cn"],
            ("no backbone named 'scenes-cn'", "did you mean 'scenes-cnn'"),
        ),
        (["extract", "{scenes}", "--out", "new", "--backbone", "vgg91"], ("no backbone named 'vgg91'", "'vgg19'")),
        (["train", "r-dan-scenes", "--sizes.atend", "1"], ("no field named '--sizes.atend'",)),
        (["train", "san-scenes", "--sizes.logits", "papr"], ("no --sizes.logits named 'papr'", "'paper'")),
        (["train", "r-dan-scenes", "--optim.name=adm"], ("no --optim.name named 'adm'", "did you mean 'adam'")),
        (["evaluate", "run", "--splt", "test"], ("no option named '--splt'", "did you mean '--split'")),
        (["evaluate", "run", "--split", "tst"], ("no --split named 'tst'", "did you mean 'test'")),
        (["caption", "--bem", "3"], ("no option named '--bem'", "did you mean '--beam'")),  # and no run or image
        (["ask", "run", "a.png", "what?", "--jsn"], ("no option named '--jsn'", "did you mean '--json'")),
        (["demo", "-smoke"], ("no option named '-smoke'", "did you mean '--smoke'")),
        (["score", "vq", "a.json"], ("no TASK named 'vq'", "did you mean 'vqa'")),
        (["compare", "r-dan-scenes", "--seedz", "1"], ("named '--seedz'", "did you mean '--seeds'")),
        (["compare", "r-dan-scenes", "--train.epoch", "1"], ("'--train.epoch'", "did you mean '--train.epochs'")),
        (["compare", "r-dan-scene"], ("no recipe named 'r-dan-scene'",)),
        (["completion", "bsh"], ("no SHELL named 'bsh'", "did you mean 'bash'")),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    refused, arguments, parts, own_scenes, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(*(a.format(scenes=own_scenes) for a in arguments), parts=parts, code=2)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["list", "models", "r-dan", "more"],
        ["train", "r-dan-scenes", "--sizes.hidden-size", "wide"],
        ["train", "ban-scenes", "--sizes.counter", "maybe"],
        ["ask"],
        ["evaluate", "run", "--split", "trian"],
        ["train", "r-dan-scenes", "--optim.lr", "fast"],
        ["train", "r-dan-scenes", "--optim.name", "adamx"],
        ["scenes"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_so_on_standard_error(saccade, arguments) -> None:
    outcome = saccade(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.strip()
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--optim.lr", "0"), "optim.lr: expected a number above 0, got 0.0"),
        (("--train.epochs", "-1"), "train.epochs: expected a whole number above 0, got -1"),
        (("--data.limit", "0"), "data.limit: expected a whole number above 0, or None, got 0"),
        (("--sizes.hidden-size", "-3"), "r-dan: hidden_size: expected a whole number from 1 to 65,536, got -3"),
        (("--sizes.dropout", "3"), "r-dan: dropout: expected a number of at least 0 and less than 1, got 3.0"),
        (("--train.accelerator", "abacus"), "train.accelerator"),
        (("--train.strategy", "nope"), "strategy"),
        (("--train.metric", "bleu"), "no validation metric named 'bleu'"),
        (("--features.layer", "2"), "scenes-cnn has one map"),
    ],
)
def test_a_value_that_cannot_be_is_refused(refused, scenes_store, trained_run, tmp_path, arguments, part) -> None:
    store = ("--data.store", tmp_path / "new" if "--features.layer" in arguments else scenes_store)
    refused("train", "r-dan-scenes", *NARROW, *store, *arguments, "--out", tmp_path / "run", parts=(part,))


# Scenes and features


@pytest.fixture(scope="session")
def own_scenes(tmp_path_factory) -> Path:
    """Twelve scenes as own data."""
    from saccade.data.scenes import write_scenes

    write_scenes(folder := tmp_path_factory.mktemp("own") / "scenes", images=12)
    return folder


def test_scenes_are_counted_and_never_written_over(saccade, refused, tmp_path) -> None:
    outcome = saccade("scenes", "--out", tmp_path / "scenes", "--images", 10)
    assert outcome.code == 0
    counts = dict(line.split() for line in outcome.out.splitlines()[:-1])
    questions = sum(
        len((tmp_path / "scenes" / f"{split}.jsonl").read_text().splitlines()) for split in ("train", "val", "test")
    )
    assert len(list((tmp_path / "scenes").rglob("*.png"))) == int(counts["images"]) == 10
    assert questions == int(counts["questions"])
    before = files_below(tmp_path)
    refused("scenes", "--out", tmp_path / "scenes", parts=("exists already", "name another"))
    refused("scenes", "--out", tmp_path / "few", "--images", 2, parts=("at least 3 images",))
    assert files_below(tmp_path) == before


def test_scenes_of_another_look_are_written_as_asked(saccade, refused, tmp_path) -> None:
    look = ("--size", 48, 64, "--background", "colored", "--things", 2, 3, "--small", 4, 5, "--large", 8, 9)
    outcome = saccade("scenes", "--out", tmp_path / "mine", "--images", 6, *look, "--without", "relation", "count")
    assert outcome.code == 0, outcome
    options = json.loads((tmp_path / "mine" / "scenes.json").read_text())
    assert options == {
        "images": 6,
        "seed": 0,
        "side": [48, 64],
        "background": "colored",
        "things": [2, 3],
        "small": [4, 5],
        "large": [8, 9],
        "without": ["count", "relation"],
    }
    assert "relation" not in (tmp_path / "mine" / "train.jsonl").read_text()
    for wrong in (("--size", 8), ("--size", 64, 32), ("--size", 64, 65, 66), ("--things", 2, 9)):
        refused("scenes", "--out", tmp_path / "new", *wrong, parts=("within",))
    assert not (tmp_path / "new").exists()


def test_the_next_step_that_scenes_names_can_be_taken(saccade, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = saccade("scenes", "--out", "mine", "--images", 10).out.splitlines()[-1]
    assert said.startswith("Train on them: saccade train dfaf-own --data.root mine ")
    outcome = saccade(*said.partition("saccade ")[2].split(), *NARROW[1:], "--train.epochs", "2")
    assert outcome.code == 0, outcome
    assert "Go on with: saccade evaluate runs/dfaf-own" in outcome.out
    assert saccade("evaluate", "runs/dfaf-own").code == 0


def test_extract_counts_and_lists_what_it_could_not_read(saccade, own_scenes, tmp_path) -> None:
    shutil.copytree(own_scenes, tmp_path / "images")
    whole = (tmp_path / "images" / "images" / "00003.png").read_bytes()
    (tmp_path / "images" / "images" / "00003.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "images" / "note.jpg").write_text("not an image")
    command = ("extract", tmp_path / "images", "--out", tmp_path / "st", "--backbone", "scenes-cnn")
    outcome = saccade(*command, "--image-size", 96)
    assert outcome.code == 0
    assert "11 images, regions of 64" in outcome.out
    assert "2 could not be read" in outcome.out
    left_out = [line for line in outcome.err.splitlines() if line.startswith("left out")]
    assert len(left_out) == 2
    assert "left out images/00003.png" in left_out[0]
    assert "left out note.jpg" in left_out[1]
    assert "not an image" in left_out[1]
    assert saccade(*command, "--image-size", 96).out == outcome.out  # found made
    other = saccade(*command, "--image-size", 64)
    assert other.code == 1
    assert "image_size is 96 there and 64 here" in other.err


@pytest.mark.filterwarnings("default")
def test_extract_warns_that_scenes_cnn_knows_scenes_alone(saccade, own_scenes, tmp_path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    for folder, lines in ((tmp_path, 1), (own_scenes, 0), (own_scenes / "images", 0)):
        out = tmp_path / f"store-{folder.name}"
        outcome = saccade("extract", folder, "--out", out, "--backbone", "scenes-cnn", "--image-size", 96)
        assert outcome.code == 0, outcome
        assert outcome.err.count("saccade: warning: scenes-cnn knows nothing but generated scenes on grey") == lines


@pytest.mark.filterwarnings("ignore:scenes-cnn knows nothing")
def test_extract_refuses_what_it_cannot_do(refused, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.jpg").write_text("words")
    Image.new("RGB", (9, 9)).save(tmp_path / "one.png")
    rest = ("--out", tmp_path / "store", "--backbone", "scenes-cnn", "--image-size", 96)
    refused("extract", tmp_path / "nowhere", *rest, parts=("no such folder of images",))
    refused("extract", tmp_path / "empty", *rest, parts=("no image files in it", ".jpg"))
    refused("extract", tmp_path, *rest, "--batch-size", 0, parts=("batch_size: expected at least 1",))
    refused("extract", tmp_path, *rest, "--shard-images", 0, parts=("shard_images: expected at least 1",))
    refused("extract", tmp_path, *rest, "--device", "cuda:99", parts=("there is no 'cuda:99' here", "cpu"))
    assert not (tmp_path / "store").exists()
    refused("extract", tmp_path / "words", *rest, parts=("none of the 1 images could be read", "not an image"))
    refused("extract", tmp_path, *rest[2:], "--out", tmp_path / "one.png" / "st", parts=("one.png", "ot a directory"))


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line_without_a_place_in_the_source(saccade, own_scenes, tmp_path) -> None:
    out = ("--out", tmp_path / "store")
    outcome = saccade(
        "extract", own_scenes, *out, "--backbone", "test_resnet", "--weights", "random", "--image-size", 32
    )
    assert outcome.code == 0
    [line] = [line for line in outcome.err.splitlines() if "warning" in line.lower()]
    assert line.startswith("saccade: warning: the weights of test_resnet are random")
    assert ".py" not in outcome.err


# Training


def test_train_takes_fields_and_says_what_comes_next(saccade, scenes_store, tmp_path) -> None:
    out = tmp_path / "run"
    fields = ("--optim.lr", "0.004", "--train.epochs", "1", "--data.store", scenes_store)
    outcome = saccade("train", "r-dan-scenes", *NARROW, *fields, "--out", out)
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-1] == f"Run directory: {out}. Go on with: saccade evaluate {out}"
    assert "accuracy  " in outcome.out
    assert "epoch 1/1: loss" in outcome.err
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["optim"]["lr"] == 0.004
    assert recipe["sizes"]["hidden_size"] == 16
    assert recipe["data"] == {
        "name": "scenes",
        "root": "",
        "train": "train",
        "genome": "",
        "limit": 24,
        "store": scenes_store,
        "columns": [],
        "missing": "error",
    }
    assert set(RUN_FILES) | {"metrics.json", "log.jsonl", "resume"} <= {path.name for path in out.iterdir()}
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["r-dan-scenes", "r-dan-vqa1"])
@pytest.mark.parametrize("said", [True, False])
def test_a_flag_may_be_said_whatever_the_recipe_says(name: str, said: bool) -> None:
    flag = "--train.group-by-image" if said else "--train.no-group-by-image"
    assert Train.parse([name, flag]).recipe.train.group_by_image is said


def test_another_model_takes_its_own_sizes(saccade, scenes_store, tmp_path) -> None:
    """The recipe says a dropout, which iBOWIMG has not."""
    fields = ("--data.store", scenes_store, "--model", "ibowimg", "--train.epochs", "1")
    outcome = saccade("train", "r-dan-scenes", *NARROW, *fields, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["sizes"] == {"hidden_size": 16}


def test_runs_are_neither_overwritten_nor_resumed_by_accident(refused, trained_run, scenes_store, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    command = ("train", "r-dan-scenes", *NARROW, "--data.store", scenes_store, "--out")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    refused(*command, tmp_path / "run", parts=("holds a run already", "--resume", "--overwrite"))
    changed = ("they differ in optim.lr (", ", now 0.5)")
    refused(*command, tmp_path / "run", "--resume", "--optim.lr", 0.5, parts=changed)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    refused(*command, tmp_path / "none", "--resume", parts=("holds no run to resume",))
    assert not (tmp_path / "none").exists()


def test_a_finished_run_resumes_to_its_metrics_and_one_killed_early_starts(
    saccade, refused, trained_run, scenes_store, scene, tmp_path
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    command = ("train", "r-dan-scenes", *NARROW, "--data.store", scenes_store, "--out", tmp_path / "run", "--resume")
    finished = saccade(*command)
    assert finished.code == 0, finished
    for name in ("model.safetensors", "metrics.json", "log.jsonl"):
        (tmp_path / "run" / name).unlink()
    shutil.rmtree(tmp_path / "run" / "resume")  # as it was before the first save
    refused("ask", tmp_path / "run", scene, "what?", parts=("model.safetensors is missing", "go on with `--resume`"))
    refused("evaluate", tmp_path / "run", parts=("model.safetensors is missing", "go on with `--resume`"))
    refused(*command[:-1], parts=("holds a run already",))
    assert saccade(*command).out == finished.out


@pytest.mark.parametrize("below", [True, False])
def test_places_that_cannot_be_written_are_named_before_the_work(
    refused, trained_run, scenes_store, scene, tmp_path, below
) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "deep" / "run" if below else tmp_path / "file"
    train = ("train", "r-dan-scenes", *NARROW)
    refused(*train, "--data.store", scenes_store, "--out", out, parts=("cannot be made", "is a file", "--out"))
    refused(*train, "--data.store", out, "--out", tmp_path / "run", parts=(str(tmp_path / "file"),))
    refused("evaluate", trained_run, "--out", out, parts=("cannot be made", "is a file", "--out"))
    refused("scenes", "--out", out, "--images", 3, parts=(str(out),))
    if below:
        refused("ask", trained_run, scene, "what?", "--explain", out / "a.png", parts=("cannot be written",))
    assert files_below(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"image": "images/00000.png", "question": "what?"}', "expected the key 'answers'"),
        ('{"image": "images/00000.png", "question": "what?", "answers": "red"}', '"answers" to be a list of strings'),
        ('{"image": "images/99999.png", "question": "what?", "answers": ["red"]}', "no such image file"),
        ('{"image": "images/00000.png", "question": "", "answers": ["red"]}', '"question" to be a string that is not'),
        ('{"image": ', "it is no JSON"),
        ("[1, 2]", "expected a JSON object"),
    ],
)
def test_a_wrong_line_of_own_data_is_named(refused, own_scenes, tmp_path, monkeypatch, line, expected) -> None:
    shutil.copytree(own_scenes, tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    lines = (tmp_path / "own" / "train.jsonl").read_text().splitlines()
    lines[2] = line
    (tmp_path / "own" / "train.jsonl").write_text("\n".join(lines))
    before = files_below(tmp_path)
    where = f"{Path('own') / 'train.jsonl'}:3: "
    refused("train", "r-dan-own", "--data.root", "own", *BACKBONE, *NARROW, parts=(where, expected))
    assert files_below(tmp_path) == before


def test_own_data_that_is_not_there(refused, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    refused("train", "r-dan-own", *NARROW, *BACKBONE, parts=("data set own needs its folder", "--data.root DIR"))
    refused("train", "r-dan-own", "--data.root", "none", *NARROW, *BACKBONE, parts=("none: no such folder",))
    refused("train", "r-dan-own", "--data.root", "empty", *NARROW, *BACKBONE, parts=("no train.jsonl here", '"image"'))
    refused("train", "r-dan-daquar", "--data.root", "empty", parts=("no qa.894.raw.train.txt here",))
    assert files_below(tmp_path) == ["empty"]


def test_a_run_killed_while_its_first_file_was_written_can_be_started_again(saccade, scenes_store, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".recipe.json.tmp").write_text("{")
    command = ("train", "r-dan-scenes", *NARROW, "--train.epochs", "1", "--data.store", scenes_store)
    assert saccade(*command, "--out", tmp_path / "run").code == 0
    assert not (tmp_path / "run" / ".recipe.json.tmp").exists()


# Evaluating


def test_evaluate_prints_one_json_object_and_writes_three_files(saccade, trained_run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = saccade("evaluate", trained_run, "--json", "--out", tmp_path / "found")
    assert outcome.code == 0
    metrics = json.loads(outcome.out)
    assert outcome.out.count("\n") == 1
    kinds = ("color", "shape", "count", "existence", "size", "relation", "position")
    looks = ("pointing_accuracy", "attention_mass", "attention_entropy")
    assert {"split", "questions", "images", "accuracy", *looks, *(f"accuracy_{kind}" for kind in kinds)} <= set(metrics)
    assert (metrics["split"], metrics["images"]) == ("test", 24)
    assert 0 <= metrics["accuracy"] <= 1
    assert json.loads((tmp_path / "found" / "metrics.json").read_text()) == metrics
    predictions = [json.loads(line) for line in (tmp_path / "found" / "predictions.jsonl").read_text().splitlines()]
    assert len(predictions) == metrics["questions"]
    assert sum(p["accuracy"] for p in predictions) / len(predictions) == pytest.approx(metrics["accuracy"])
    assert files_below(tmp_path) == ["found", "found/corpus.json", "found/metrics.json", "found/predictions.jsonl"]


def test_evaluate_prints_a_table_and_where_the_files_are(saccade, trained_run, tmp_path) -> None:
    outcome = saccade("evaluate", trained_run, "--split", "val", "--out", tmp_path / "found")
    lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert lines["split"] == "val"
    assert lines["accuracy"].endswith(" %")
    assert not lines["attention_entropy"].endswith("%")  # nats
    assert outcome.out.endswith(f"Written to {tmp_path / 'found'}\n")


def test_evaluate_does_not_depend_on_the_batch(saccade, trained_run, tmp_path) -> None:
    a, b = (
        json.loads(saccade("evaluate", trained_run, "--json", "--batch-size", n, "--out", tmp_path / str(n)).out)
        for n in (7, 256)
    )
    assert (a.pop("split"), b.pop("split")) == ("test", "test")
    assert a == pytest.approx(b, rel=1e-4)


def test_evaluate_refuses_what_is_no_run(refused, trained_run, own_scenes, tmp_path) -> None:
    refused("evaluate", tmp_path / "none", parts=("no such run directory", "saccade train RECIPE"))
    refused("evaluate", own_scenes, parts=("is no run directory", "model.safetensors"))
    refused("evaluate", trained_run / "recipe.json", parts=("no such run directory",))
    refused("evaluate", trained_run, "--batch-size", 0, parts=("batch_size: expected at least 1",))


# Asking

QUESTION = "what color is the circle?"


def test_ask_prints_answers_by_falling_probability(saccade, trained_run, scene) -> None:
    outcome = saccade("ask", trained_run, scene, QUESTION, "--top", 3)
    assert (outcome.code, outcome.err) == (0, "")
    shares = [float(line.split()[0]) for line in outcome.out.splitlines()]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    answers = json.loads((trained_run / "answers.json").read_text())
    assert all(line.split(" %  ")[1] in answers for line in outcome.out.splitlines())
    assert len(saccade("ask", trained_run, scene, QUESTION, "--top", 999).out.splitlines()) == len(answers)


def test_ask_json_is_one_object_with_the_attention(saccade, trained_run, scene) -> None:
    outcome = saccade("ask", trained_run, scene, QUESTION, "--json", "--top", 2)
    assert outcome.err == ""
    reply = json.loads(outcome.out)
    assert reply["answer"] == reply["answers"][0]["answer"]
    assert len(reply["answers"]) == 2
    assert (reply["words"], reply["grid"]) == (["what", "color", "is", "the", "circle"], [12, 12])
    lengths = {("regions",): 144, ("words",): 5}
    for each in reply["attention"]:
        assert len(each["weights"]) == lengths[tuple(each["axes"])]
        assert sum(each["weights"]) == pytest.approx(1, abs=1e-4)


def test_ask_draws_a_picture_and_a_page(saccade, trained_run, scene, tmp_path) -> None:
    for name in ("new/look.png", "look.html"):
        outcome = saccade("ask", trained_run, scene, QUESTION, "--explain", tmp_path / name)
        assert outcome.code == 0
        assert outcome.out.endswith(f"Attention drawn in {tmp_path / name}\n")
    with Image.open(tmp_path / "new" / "look.png") as picture:
        assert picture.width > 200
    page = (tmp_path / "look.html").read_text()
    [figure] = Reader(page).figures
    assert "circle" in figure["title"]
    assert figure["panels"][0]["picture"]["image"] == 0
    assert files_below(tmp_path) == ["look.html", "new", "new/look.png"]


@pytest.mark.parametrize("name", ["look.gif", "look"])
def test_an_unknown_picture_format_is_refused_before_the_model_is_loaded(
    refused, scene, tmp_path, monkeypatch, name
) -> None:
    from saccade.predict import Predictor

    monkeypatch.setattr(Predictor, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    parts = (f"no picture format named '{Path(name).suffix}'", ".html", ".png")
    refused("ask", "run", scene, QUESTION, "--explain", tmp_path / name, parts=parts, code=2)


def test_ask_names_the_words_it_does_not_know(saccade, trained_run, scene) -> None:
    outcome = saccade("ask", trained_run, scene, "Glorp zebras?")
    assert outcome.code == 0
    assert outcome.err == "Words never seen in training, ignored: glorp, zebras\n"
    assert len(outcome.out.splitlines()) == 5
    as_json = saccade("ask", trained_run, scene, "Glorp circle", "--json")
    assert json.loads(as_json.out)["unknown_words"] == ["glorp"]


@pytest.mark.parametrize("question", ["", "   ", "?!"])
def test_ask_refuses_a_question_without_words(refused, trained_run, scene, tmp_path, question) -> None:
    explain = ("--explain", tmp_path / "look.png")
    refused("ask", trained_run, scene, question, *explain, parts=("at least one word", repr(question)))
    assert files_below(tmp_path) == []


def huge_png(path: Path) -> None:
    """A PNG that says it has 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")))


def bad_image(kind: str, scene: Path, folder: Path) -> Path:
    path = folder / {"huge": "a.png", "folder": "a"}.get(kind, "a.jpg")
    if kind == "text":
        path.write_text("these are words")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        with Image.open(scene) as image:
            image.resize((300, 300)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "huge":
        huge_png(path)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("missing", "no such image file"),
        ("text", "not an image that Pillow can read"),
        ("empty", "not an image that Pillow can read"),
        ("truncated", "the image is damaged"),
        ("huge", "more pixels than the limit of 100,000,000; make the image smaller"),
        ("folder", "expected an image file, this is a folder"),
    ],
)
def test_ask_refuses_an_image_that_is_none(refused, trained_run, scene, tmp_path, kind, part) -> None:
    path = bad_image(kind, scene, tmp_path)
    before = files_below(tmp_path)
    explain = ("--explain", tmp_path / "look.png")
    refused("ask", trained_run, path, QUESTION, *explain, parts=(f"saccade: {path}: ", part))
    assert files_below(tmp_path) == before


def test_ask_refuses_no_answers(refused, trained_run, scene) -> None:
    refused("ask", trained_run, scene, QUESTION, "--top", 0, parts=("top: expected at least 1 answer, got 0",))


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_run_with_a_missing_file_names_it(refused, trained_run, scene, tmp_path, name) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    refused("ask", tmp_path / "run", scene, QUESTION, parts=(str(tmp_path / "run" / name), "is missing"))
    refused("evaluate", tmp_path / "run", parts=(str(tmp_path / "run" / name), "is missing"))


@pytest.mark.parametrize("how", ["a byte in the middle", "the last byte", "cut in half", "empty"])
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_run_with_an_altered_file_names_it(refused, trained_run, scene, tmp_path, name, how) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    if how == "cut in half":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    else:
        content[len(content) // 2 if how == "a byte in the middle" else -1] ^= 1
    path.write_bytes(content)
    line = refused("ask", tmp_path / "run", scene, QUESTION, parts=(str(path),))
    assert "was altered" in line or (name == checkpoint.MODEL and "is damaged" in line)
    assert not (tmp_path / "run" / "test").exists()


def test_a_run_whose_companions_are_of_another_run_is_refused(refused, trained_run, scene, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    answers = json.loads((tmp_path / "run" / "answers.json").read_text())
    (tmp_path / "run" / "answers.json").write_text(json.dumps(answers[::-1]))
    refused("ask", tmp_path / "run", scene, QUESTION, parts=("answers.json was altered since the model was saved",))


def test_other_backbone_weights_than_those_of_training_are_refused(refused, trained_run, scene, tmp_path) -> None:
    from importlib import resources

    from safetensors.torch import load_file, save_file

    with resources.as_file(resources.files("saccade.features") / "scenes_cnn.safetensors") as path:
        weights = load_file(path)
        shutil.copy(path, tmp_path / "same.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, tmp_path / "other.safetensors")
    ask = ("ask", trained_run, scene, QUESTION, "--weights")
    refused(*ask, tmp_path / "other.safetensors", parts=("not those that", "--weights"))
    refused(*ask, tmp_path / "none.safetensors", parts=("there is no file",))
    refused(*ask, scene, parts=("is not a file of weights",))
    main([*map(str, ask), str(tmp_path / "same.safetensors")])


# Processes: what only the shell sees


def test_a_failure_of_the_installed_command_is_one_line(tmp_path) -> None:
    command = Path(sys.executable).with_name("saccade")
    if not command.exists():
        pytest.skip("the command is not installed beside this Python")
    done = subprocess.run(
        [command, "scenes", "--images", "2", "--out", tmp_path / "none"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("saccade: ")


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from saccade.cli import main; main(['--help'])"]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True) as process:
        os.close(write)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from saccade.cli import main; main(['--version'])"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (1, "saccade: No space left on device\n")


def test_the_demo_ends_with_a_run_its_metrics_and_a_report(saccade, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = saccade("demo", "--smoke")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == f"Report: {tmp_path / 'runs' / 'demo' / 'report.html'}"
    metrics = json.loads((tmp_path / "runs" / "demo" / "metrics.json").read_text())
    assert metrics["split"] == "test"
    assert set(metrics["baselines"]) == {"ibowimg", "question-only"}
    page = (tmp_path / "runs" / "demo" / "report.html").read_text()
    answers = [line for figure in Reader(page).figures for line in figure["lines"] if line.startswith("Right answer: ")]
    assert len(answers) == 3
    assert "its numbers mean nothing" in page
    assert saccade("demo", "--smoke").code == 0  # what an earlier demo left is replaced
