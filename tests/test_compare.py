"""Comparisons: what is trained again and what is not, what the files hold, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import random
import shutil
from pathlib import Path

import pytest

import saccade.compare
from saccade import checkpoint
from saccade.compare import Comparison, Entry, Result, _folder_names, compare
from saccade.errors import DataError, RecipeError, RunError, UnknownNameError
from saccade.progress import Report
from saccade.recipe import OptimConfig, Recipe
from saccade.recipes import get_recipe
from saccade.serial import to_dict


def small(name: str, store: str, **groups) -> Recipe:
    """A recipe on 24 scenes a split, narrow; `groups` are the fields to set, as in train={"epochs": 1}."""
    recipe = get_recipe(name).smoke()
    groups = {"data": {"store": store}, **groups}
    groups["train"] = {"accelerator": "cpu", "epochs": 1} | groups.get("train", {})
    sizes = recipe.sizes | ({} if recipe.model == "ibowimg" else {"hidden_size": 16}) | groups.pop("sizes", {})
    changed = {group: dataclasses.replace(getattr(recipe, group), **values) for group, values in groups.items()}
    return dataclasses.replace(recipe, sizes=sizes, **changed)


@pytest.fixture(scope="module")
def entries(scenes_store) -> list[Entry]:
    two = {"epochs": 2, "save_every": 4}
    return [
        Entry("r-dan-scenes --sizes.steps 1", small("r-dan-scenes", scenes_store, train=two, sizes={"steps": 1})),
        Entry("ibowimg-scenes", small("ibowimg-scenes", scenes_store, train=two)),
    ]


@pytest.fixture(scope="module")
def whole(entries, tmp_path_factory) -> tuple[Path, Comparison]:
    """Two entries with two seeds each, undisturbed; copy the folder before changing it."""
    out = tmp_path_factory.mktemp("compare") / "whole"
    return out, compare(entries, out, seeds=2)


@pytest.fixture
def untrained(monkeypatch) -> None:
    """Training and evaluating are errors."""
    monkeypatch.setattr(saccade.compare, "train", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr(saccade.compare, "evaluate", lambda *_, **__: pytest.fail("evaluated"))


@pytest.fixture
def evaluated(monkeypatch) -> list[Path]:
    """The runs that are evaluated from here on; training is an error."""
    found: list[Path] = []
    evaluate = saccade.compare.evaluate

    def noting(run: Path, **options) -> dict:
        found.append(run)
        return evaluate(run, **options)

    monkeypatch.setattr(saccade.compare, "train", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr(saccade.compare, "evaluate", noting)
    return found


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))  # with the files' times


def timeless(comparison: Comparison) -> list[tuple[str, list[Result]]]:
    return [(row.label, [dataclasses.replace(r, seconds=0.0) for r in row.results]) for row in comparison.rows]


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# What it trains


def test_every_entry_is_trained_with_every_seed_and_the_files_say_so(whole, entries) -> None:
    out, comparison = whole
    names = ["r-dan-scenes-sizes.steps-1", "ibowimg-scenes"]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*names, "comparison.md", "comparison.csv", "comparison.json"]
    )
    assert [row.label for row in comparison.rows] == [entry.label for entry in entries]
    lines = iter(csv.DictReader(io.StringIO((out / "comparison.csv").read_text())))
    for row, name in zip(comparison.rows, names, strict=True):
        assert [result.seed for result in row.results] == [0, 1]
        for result in row.results:
            run = out / name / f"seed-{result.seed}"
            loaded = checkpoint.load(run)
            assert loaded.recipe.train.seed == result.seed
            assert result.parameters == sum(p.numel() for p in loaded.model.parameters())
            assert result.seconds == pytest.approx(sum(line["seconds"] for line in log(run)))
            assert result.metrics == json.loads((run / "test" / "metrics.json").read_text())
            line = next(lines)
            assert (line["label"], int(line["seed"])) == (row.label, result.seed)
            assert float(line["accuracy"]) == result.metrics["accuracy"]
    assert (out / "comparison.md").read_text() == comparison.to_markdown()
    assert json.loads((out / "comparison.json").read_text()) == json.loads(json.dumps(comparison.to_dict()))
    assert "pointing_accuracy" in (out / "comparison.md").read_text()


@pytest.mark.usefixtures("untrained")
def test_finished_runs_are_reused(whole, entries, tmp_path) -> None:
    out, comparison = whole
    again = copied(out, tmp_path / "again")
    for resume in again.rglob("resume"):
        shutil.rmtree(resume)  # which may be deleted when training is over
    assert compare(entries, again, seeds=2) == comparison
    assert (again / "comparison.md").read_text() == (out / "comparison.md").read_text()
    fewer = compare(entries[1:], again, seeds=1)
    assert [(row.label, len(row.results)) for row in fewer.rows] == [(entry.label, 1) for entry in entries[1:]]


def test_evaluations_older_than_the_model_or_of_another_split_are_made_again(
    whole, entries, tmp_path, evaluated
) -> None:
    out, comparison = whole
    again = copied(out, tmp_path / "again")
    gone, other = (again / "r-dan-scenes-sizes.steps-1" / f"seed-{seed}" for seed in (0, 1))
    metrics = (stale := again / "ibowimg-scenes" / "seed-0") / "test" / "metrics.json"
    metrics.write_text(json.dumps(comparison.rows[1].results[0].metrics | {"accuracy": 1.0}))
    written = (stale / "model.safetensors").stat().st_mtime_ns
    os.utime(metrics, ns=(written, written))
    (gone / "test" / "metrics.json").unlink()
    metrics = other / "test" / "metrics.json"
    metrics.write_text(json.dumps(comparison.rows[0].results[1].metrics | {"split": "val", "accuracy": 1.0}))
    assert compare(entries, again, seeds=2) == comparison
    assert evaluated == [gone, stale, other]


def test_a_damaged_run_is_not_reused(whole, entries, tmp_path) -> None:
    again = copied(whole[0], tmp_path / "again")
    (again / "ibowimg-scenes" / "seed-1" / "answers.json").write_text("[]")
    with pytest.raises(RunError, match=r"seed-1/answers\.json was altered"):
        compare(entries, again, seeds=2)


class Killed(BaseException):
    pass


class Killer(Report):
    """Kills after so many reports."""

    def __init__(self, lives: int) -> None:
        self.lives = lives

    def advance(self, *_) -> None:
        self.say("")

    def say(self, text: str) -> None:
        self.lives -= 1
        if self.lives == 0:
            raise Killed


def test_killed_at_random_and_started_again_it_comes_to_the_same_table(whole, entries, tmp_path) -> None:
    out, chance, kills = tmp_path / "killed", random.Random(5), 0
    for lives in (*(chance.randint(1, 30) for _ in range(4)), 0):
        try:
            comparison = compare(entries, out, seeds=2, report=Killer(lives))
        except Killed:
            kills += 1
    assert kills == 4
    assert timeless(comparison) == timeless(whole[1])
    for run in out.glob("*/seed-*"):
        assert [line["epoch"] for line in log(run)] == [1, 2]


def test_tables_are_written_after_each_new_run_and_never_shrink(whole, entries, tmp_path, monkeypatch) -> None:
    again = copied(whole[0], tmp_path / "again")
    shutil.rmtree(again / "ibowimg-scenes" / "seed-0" / "test")
    shutil.rmtree(again / "ibowimg-scenes" / "seed-1")
    written = []
    write = Comparison.write
    monkeypatch.setattr(Comparison, "write", lambda table, out: (written.append(table), write(table, out)))
    compare(entries, again, seeds=2)
    assert [[len(row.results) for row in table.rows] for table in written] == [[2, 1], [2, 2]]
    assert ["Unfinished" in table.table() for table in written] == [True, False]


def test_a_run_that_ran_out_of_patience_is_finished(scenes_store, tmp_path, monkeypatch) -> None:
    recipe = small("ibowimg-scenes", scenes_store, train={"epochs": 7, "patience": 2})
    entry = Entry("stuck", dataclasses.replace(recipe, optim=OptimConfig(name="sgd", lr=1e-30)))
    first = compare([entry], tmp_path / "out", seeds=1)
    assert len(log(tmp_path / "out" / "stuck" / "seed-0")) == 3
    monkeypatch.setattr(saccade.compare, "train", lambda *_, **__: pytest.fail("trained"))
    assert compare([entry], tmp_path / "out", seeds=1) == first


def test_more_epochs_go_on_with_a_run_and_fewer_are_refused(scenes_store, tmp_path) -> None:
    def lasting(epochs: int) -> list[Entry]:
        groups = {"train": {"epochs": epochs}, "optim": {"schedule": "constant"}}
        return [Entry("x", small("ibowimg-scenes", scenes_store, **groups))]

    compare(lasting(1), tmp_path / "out", seeds=1)
    longer = compare(lasting(3), tmp_path / "out", seeds=1)
    assert timeless(longer) == timeless(compare(lasting(3), tmp_path / "other", seeds=1))
    with pytest.raises(RunError, match=r"a run of 3 epochs where the recipe now ends after 2; name another --out"):
        compare(lasting(2), tmp_path / "out", seeds=1)


def test_a_run_cut_off_between_its_log_and_its_weights_is_not_finished(whole, entries, tmp_path) -> None:
    run = (again := copied(whole[0], tmp_path / "again")) / "ibowimg-scenes" / "seed-1"
    best = json.loads((run / "metrics.json").read_text())
    (run / "log.jsonl").write_text((run / "log.jsonl").read_text().splitlines()[0] + "\n")
    (run / "metrics.json").unlink()
    shutil.rmtree(run / "resume")  # it is written after the first epoch's line
    before = (run / "model.safetensors").stat().st_mtime_ns
    assert timeless(compare(entries, again, seeds=2)) == timeless(whole[1])
    assert (run / "model.safetensors").stat().st_mtime_ns > before
    assert json.loads((run / "metrics.json").read_text()) == best


def test_seeds_go_on_from_the_recipes_and_root_replaces_its_own(scenes_store, tmp_path) -> None:
    entry = Entry("x", small("ibowimg-scenes", scenes_store, train={"seed": 5}))
    comparison = compare([entry], tmp_path / "out", seeds=2, split="val", root="elsewhere")
    assert [result.seed for result in comparison.rows[0].results] == [5, 6]
    assert {result.metrics["split"] for result in comparison.rows[0].results} == {"val"}
    runs = [checkpoint.load(tmp_path / "out" / "x" / f"seed-{seed}").recipe for seed in (5, 6)]
    assert [(run.data.root, run.train.seed) for run in runs] == [("elsewhere", 5), ("elsewhere", 6)]


def test_folder_names_are_readable_distinct_and_not_decided_by_their_order() -> None:
    labels = ["ban --x 0.5", "ban --x-0.5", "BAN --x 0.5", "dfaf", "comparison.csv", "--", "..", "é/" * 90, "é?" * 90]
    names = dict(zip(labels, _folder_names(labels), strict=True))
    assert len({name.lower() for name in names.values()}) == len(labels)
    assert names["dfaf"] == "dfaf"
    assert names["ban --x 0.5"].startswith("ban-x-0.5-")
    assert _folder_names(["ban-scenes --sizes.glimpses 4"]) == ["ban-scenes-sizes.glimpses-4"]
    assert dict(zip(labels[::-1], _folder_names(labels[::-1]), strict=True)) == names
    for name in names.values():
        assert len(name.encode()) < 200
        assert name[0].isalnum()
        assert not {"/", "\\", " "} & set(name)


# What it refuses


def changed(recipe: Recipe, **groups) -> Recipe:
    fields = {group: dataclasses.replace(getattr(recipe, group), **values) for group, values in groups.items()}
    return dataclasses.replace(recipe, **fields)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ({"data": {"limit": 12}}, r"data\.limit \(24, 12\)"),
        ({"data": {"store": "x"}}, r"data\.store \('.*', 'x'\)"),
        ({"data": {"name": "own", "root": "x"}}, r"data\.name \('scenes', 'own'\), data\.root \('', 'x'\)"),
        ({"features": {"positions": False}}, r"features\.positions \(True, False\)"),
        (
            {"task": {"scoring": "daquar", "answers": 7}},
            r"task\.answers \(2000, 7\), task\.scoring \('vqa', 'daquar'\)",
        ),
    ],
)
def test_entries_on_other_ground_cannot_be_compared(entries, tmp_path, groups, named) -> None:
    other = Entry("other", changed(entries[1].recipe, **groups))
    with pytest.raises(
        RecipeError, match=rf"'ibowimg-scenes' and 'other' cannot be compared.* differ in {named}: give"
    ):
        compare([entries[1], other], tmp_path)


@pytest.mark.usefixtures("untrained")
def test_the_same_recipe_twice_is_refused_however_it_is_said(entries, tmp_path) -> None:
    said = dataclasses.replace(entries[0].recipe, sizes={"hidden_size": 16, "steps": 2})  # the paper's steps
    unsaid = dataclasses.replace(said, name="renamed", sizes={"hidden_size": 16})
    with pytest.raises(RecipeError, match="'a' and 'b' are the same recipe: leave one out"):
        compare([*entries, Entry("a", said), Entry("b", unsaid)], tmp_path)


@pytest.mark.usefixtures("untrained")
def test_wrong_calls_say_what_is_wrong(entries, tmp_path) -> None:
    for match, wrong, seeds in [("at least one recipe", [], 3), ("seeds: expected at least 1, got 0", entries, 0)]:
        with pytest.raises(RecipeError, match=match):
            compare(wrong, tmp_path, seeds=seeds)
    with pytest.raises(UnknownNameError, match="no split named 'tset'; did you mean 'test'"):
        compare(entries, tmp_path, split="tset")
    with pytest.raises(
        RecipeError, match=r"two recipes are labelled 'x', and differ in .*train\.seed \(0, 1\): rename"
    ):
        compare([Entry("x", entries[0].recipe), Entry("x", changed(entries[0].recipe, train={"seed": 1}))], tmp_path)
    with pytest.raises(RunError, match="is a file; name another folder"):
        compare(entries, Path(__file__))


@pytest.mark.usefixtures("untrained")
def test_what_would_fail_in_the_end_is_refused_before_anything_is_trained(entries, tmp_path, monkeypatch) -> None:
    impossible = dataclasses.replace(entries[0].recipe, sizes={"hidden_size": -3})
    with pytest.raises(RecipeError, match="r-dan: hidden_size: expected a whole number from 1 to 65,536, got -3"):
        compare([*entries, Entry("x", impossible)], tmp_path)
    with pytest.raises(RecipeError, match=r"warmup_epochs: expected at most train\.epochs"):
        compare([*entries, Entry("x", changed(entries[0].recipe, optim={"warmup_epochs": 99.0}))], tmp_path)
    several = changed(entries[0].recipe, train={"devices": 2})
    with pytest.raises(RecipeError, match=r"'x' trains in 2 processes with the strategy 'auto'.*ddp_spawn or ddp_fork"):
        compare([*entries, Entry("x", several)], tmp_path)
    monkeypatch.setattr(saccade.compare, "limited", lambda *_: [])
    with pytest.raises(DataError, match="the test split of scenes has no right answers to score by: compare on"):
        compare(entries, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ({"optim": {"schedule": "constant", "factor": 0.5}}, r"optim\.factor \(0\.5, now 0\.1\)"),
        ({"train": {"epochs": 9, "save_every": 9}, "optim": {"schedule": "cosine"}}, r"train\.epochs \(9, now 2\)"),
    ],
)
def test_a_folder_with_the_run_of_another_recipe_is_refused_before_anything_is_trained(
    entries, tmp_path, groups, named
) -> None:
    folder = tmp_path / "ibowimg-scenes" / "seed-1"
    folder.mkdir(parents=True)
    wanted = changed(entries[1].recipe, optim={"schedule": groups["optim"]["schedule"]})
    saved = changed(changed(wanted, train={"seed": 1}), **groups)
    (folder / "recipe.json").write_text(json.dumps(to_dict(saved)))
    with pytest.raises(RunError, match=rf"seed-1 holds a run of another recipe: {named}; name another"):
        compare([entries[0], Entry("ibowimg-scenes", wanted)], tmp_path, seeds=2)


def test_data_that_changed_between_two_runs_is_noticed(whole, entries, tmp_path) -> None:
    again = copied(whole[0], tmp_path / "again")
    metrics = again / "ibowimg-scenes" / "seed-1" / "test" / "metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"questions": 5}))
    with pytest.raises(RunError, match=r"ibowimg-scenes/seed-1 cannot be compared.* records \d+, 5; delete"):
        compare(entries, again, seeds=2)


def test_a_split_whose_answers_are_secret_is_refused(whole, entries, tmp_path) -> None:
    again = copied(whole[0], tmp_path / "again")
    metrics = again / "ibowimg-scenes" / "seed-0" / "test" / "metrics.json"
    metrics.write_text(json.dumps({"split": "test", "questions": 5, "images": 3}))
    with pytest.raises(DataError, match="the test split of scenes has no right answers to score by: compare on"):
        compare(entries, again, seeds=2)
