"""Comparisons: their figures against NumPy, what is trained again and what is not, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import saccade.compare
from saccade import checkpoint
from saccade.compare import Comparison, Entry, Result, Row, _folder_names, compare
from saccade.errors import DataError, RecipeError, RunError, UnknownNameError
from saccade.progress import Report
from saccade.recipe import OptimConfig, Recipe
from saccade.recipes import get_recipe
from saccade.serial import to_dict

# Made-up accuracies of three entries with three, three and two seeds.
ACCURACIES = {"a": (0.50, 0.53, 0.58), "b": (0.61, 0.60, 0.65), "c|d --x 1": (0.59, 0.64)}
ABOUT = {"split": "test", "questions": 997, "images": 131}
STUCK = OptimConfig(name="sgd", lr=1e-30)


def made_up(accuracies: dict[str, tuple[float, ...]], *, runs: int, **further: float) -> Comparison:
    rows = [
        Row(
            label,
            tuple(
                Result(seed, {**ABOUT, "accuracy": value, **further}, parameters=1234, seconds=60.0 * (seed + 1))
                for seed, value in enumerate(values)
            ),
        )
        for label, values in accuracies.items()
    ]
    return Comparison(tuple(rows), runs)


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


# The table


def test_means_and_deviations_are_numpys() -> None:
    for row in made_up(ACCURACIES, runs=8).rows:
        values = np.array(ACCURACIES[row.label])
        assert row.mean("accuracy") == pytest.approx(values.mean(), rel=1e-12)
        assert row.deviation("accuracy") == pytest.approx(values.std(ddof=1), rel=1e-12)
        assert row.seconds == pytest.approx(60 * np.arange(1, len(values) + 1).mean())


def test_differences_are_from_the_best_with_welchs_standard_error() -> None:
    found = made_up(ACCURACIES, runs=8).differences()
    best = np.array(ACCURACIES["b"])
    assert [(each.label, each.best) for each in found] == [("a", "b"), ("c|d --x 1", "b")]
    for each in found:
        values = np.array(ACCURACIES[each.label])
        error = np.sqrt(best.var(ddof=1) / len(best) + values.var(ddof=1) / len(values))
        assert each.value == pytest.approx(best.mean() - values.mean(), rel=1e-9)
        assert each.standard_error == pytest.approx(error, rel=1e-9)
        assert each.exceeds == (each.value > 2 * error)
    assert [each.exceeds for each in found] == [True, False]


def test_one_seed_has_no_deviation_and_no_verdict() -> None:
    comparison = made_up({"a": (0.5,), "b": (0.75,)}, runs=2)
    assert comparison.rows[0].deviation("accuracy") is None
    (difference,) = comparison.differences()
    assert (difference.label, difference.value, difference.standard_error, difference.exceeds) == (
        "a",
        0.25,
        None,
        None,
    )
    text = comparison.to_markdown()
    assert "| `a` | 1,234 | 50.00 % | 1.0 |" in text
    assert "- `a`: 25.00 points; one seed does not tell how much of it is noise" in text
    assert "one seed each" in text
    assert "Deviations" not in text


def test_the_sampling_error_bounds_that_of_drawn_questions() -> None:
    comparison = made_up({"a": (0.3, 0.3), "b": (0.9, 0.9)}, runs=4)
    drawn = np.random.default_rng(0).binomial(997, 0.3, size=20_000) / 997
    assert comparison.sampling_error() == pytest.approx(drawn.std(), rel=0.03)


def test_the_markdown_in_full() -> None:
    text = made_up(ACCURACIES, runs=9, accuracy_color=0.25, attention_entropy=1.5, attention_mass=0.5).to_markdown()
    assert text == (
        "| recipe | parameters | accuracy | accuracy_color | training minutes |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| `a` | 1,234 | 53.67 ± 4.04 % | 25.00 ± 0.00 % | 2.0 |\n"
        "| `b` | 1,234 | 62.00 ± 2.65 % | 25.00 ± 0.00 % | 2.0 |\n"
        "| `c\\|d --x 1` | 1,234 | 61.50 ± 3.54 % | 25.00 ± 0.00 % | 1.5 |\n"
        "\n"
        "Split test: 997 questions about 131 images; mean ± sample standard deviation over 2 to 3 seeds.\n"
        "\n"
        "Unfinished: 8 of 9 runs so far.\n"
        "\n"
        "Below `b`, the best by accuracy:\n"
        "\n"
        "- `a`: 8.33 points, standard error 2.79: exceeds 2 standard errors\n"
        "- `c|d --x 1`: 0.50 points, standard error 2.93: does not exceed 2 standard errors\n"
        "\n"
        "Deviations over seeds are the noise of training alone: all runs answer the same questions. Which questions "
        "were asked gives an accuracy a standard error of up to 1.58 points besides (binomial, questions taken as "
        "independent).\n"
    )


def test_chosen_metrics_and_those_that_an_entry_lacks() -> None:
    with_maps, without = made_up({"a": (0.5, 0.6)}, runs=4, attention_entropy=1.5), made_up({"b": (0.5, 0.5)}, runs=4)
    both = Comparison(with_maps.rows + without.rows, 4)
    assert both.metrics() == ["accuracy", "attention_entropy"]
    table = both.to_markdown(["attention_entropy"])
    assert "| `a` | 1,234 | 1.500 ± 0.000 |" in table
    assert "| `b` | 1,234 | – |" in table
    with pytest.raises(UnknownNameError, match="no metric named 'acuracy'; did you mean 'accuracy'"):
        both.table(["acuracy"])
    with pytest.raises(UnknownNameError, match="no metric named 'attention_entropy'"):
        both.rows[1].mean("attention_entropy")


def test_the_plain_table_is_aligned() -> None:
    head, *lines = made_up(ACCURACIES, runs=8).table().split("\n\n")[0].splitlines()
    assert head.split() == ["recipe", "parameters", "accuracy", "training", "minutes"]
    assert {len(line) for line in lines} == {len(head)}
    assert len(lines) == 3


def test_the_csv_can_be_analysed_again() -> None:
    comparison = made_up(ACCURACIES, runs=8)
    lines = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    found = {label: [float(x["accuracy"]) for x in group] for label, group in _grouped(lines)}
    assert {label: tuple(values) for label, values in found.items()} == ACCURACIES
    assert lines[0] | {"accuracy": ""} == {
        "label": "a", "seed": "0", "parameters": "1234", "seconds": "60.0",
        "split": "test", "questions": "997", "images": "131", "accuracy": "",
    }  # fmt: skip


def _grouped(lines: list[dict]) -> list[tuple[str, list[dict]]]:
    return [(label, list(group)) for label, group in itertools.groupby(lines, key=lambda line: line["label"])]


def test_the_json_holds_runs_summaries_and_differences() -> None:
    value = json.loads(json.dumps(made_up(ACCURACIES, runs=8).to_dict()))
    assert value["runs"] == 8
    assert [len(row["results"]) for row in value["rows"]] == [3, 3, 2]
    assert value["rows"][1]["summary"]["accuracy"]["mean"] == pytest.approx(0.62)
    assert [each["exceeds"] for each in value["differences"]] == [True, False]


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
    stale = again / "ibowimg-scenes" / "seed-0"
    metrics = stale / "test" / "metrics.json"
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
    for lives in (*(chance.randint(1, 30) for _ in range(6)), 0):
        try:
            comparison = compare(entries, out, seeds=2, report=Killer(lives))
        except Killed:
            kills += 1
    assert kills == 6
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
    entry = Entry("stuck", dataclasses.replace(recipe, optim=STUCK))
    first = compare([entry], tmp_path / "out", seeds=1)
    assert len(log(tmp_path / "out" / "stuck" / "seed-0")) == 3
    monkeypatch.setattr(saccade.compare, "train", lambda *_, **__: pytest.fail("trained"))
    assert compare([entry], tmp_path / "out", seeds=1) == first


def test_more_epochs_go_on_with_a_run_and_fewer_are_refused(scenes_store, tmp_path) -> None:
    def lasting(epochs: int) -> list[Entry]:
        return [Entry("x", small("ibowimg-scenes", scenes_store, train={"epochs": epochs}))]

    compare(lasting(1), tmp_path / "out", seeds=1)
    longer = compare(lasting(3), tmp_path / "out", seeds=1)
    assert timeless(longer) == timeless(compare(lasting(3), tmp_path / "other", seeds=1))
    with pytest.raises(RunError, match=r"a run of 3 epochs where the recipe now ends after 2: name another --out"):
        compare(lasting(2), tmp_path / "out", seeds=1)


def test_a_run_cut_off_between_its_log_and_its_weights_is_not_finished(whole, entries, tmp_path) -> None:
    again = copied(whole[0], tmp_path / "again")
    run = again / "ibowimg-scenes" / "seed-1"
    best = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(best | {"epoch": 3 - best["epoch"]}))
    shutil.rmtree(run / "resume")
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
    with pytest.raises(RecipeError, match="expected at least one recipe"):
        compare([], tmp_path)
    with pytest.raises(RecipeError, match="seeds: expected at least 1, got 0"):
        compare(entries, tmp_path, seeds=0)
    with pytest.raises(UnknownNameError, match="no split named 'tset'; did you mean 'test'"):
        compare(entries, tmp_path, split="tset")
    with pytest.raises(
        RecipeError, match=r"two recipes are labelled 'x', and differ in .*train\.seed \(0, 1\): rename"
    ):
        compare([Entry("x", entries[0].recipe), Entry("x", changed(entries[0].recipe, train={"seed": 1}))], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is a file; name another folder"):
        compare(entries, tmp_path / "file")


@pytest.mark.usefixtures("untrained")
def test_what_would_fail_in_the_end_is_refused_before_anything_is_trained(entries, tmp_path, monkeypatch) -> None:
    impossible = dataclasses.replace(entries[0].recipe, sizes={"hidden_size": -3})
    with pytest.raises(RecipeError, match="r-dan cannot be made with the sizes hidden_size=-3"):
        compare([*entries, Entry("x", impossible)], tmp_path)
    several = changed(entries[0].recipe, train={"devices": 2})
    with pytest.raises(RecipeError, match=r"'x' trains in 2 processes with the strategy 'auto'.*ddp_spawn or ddp_fork"):
        compare([*entries, Entry("x", several)], tmp_path)
    monkeypatch.setattr(saccade.compare, "limited", lambda *_: [])
    with pytest.raises(DataError, match="the test split of scenes has 0 questions and answers to 0 of them"):
        compare(entries, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("untrained")
def test_a_folder_with_the_run_of_another_recipe_is_refused_before_anything_is_trained(entries, tmp_path) -> None:
    folder = tmp_path / "ibowimg-scenes" / "seed-1"
    folder.mkdir(parents=True)
    recipe = changed(entries[1].recipe, optim={"lr": 0.5}, train={"seed": 1, "save_every": 9})
    (folder / "recipe.json").write_text(json.dumps(to_dict(recipe)))
    with pytest.raises(
        RunError, match=r"seed-1 holds a run of another recipe.*differ in optim\.lr \(0\.5, 0\.001\): nam"
    ):
        compare(entries, tmp_path, seeds=2)


def test_data_that_changed_between_two_runs_is_noticed(whole, entries, tmp_path) -> None:
    again = copied(whole[0], tmp_path / "again")
    metrics = again / "ibowimg-scenes" / "seed-1" / "test" / "metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"questions": 5}))
    with pytest.raises(RunError, match=r"ibowimg-scenes/seed-1 cannot be compared.* questions \d+, 5; delete"):
        compare(entries, again, seeds=2)
