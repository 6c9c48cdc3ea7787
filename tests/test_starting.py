"""Starting from another run: what is taken acts as it did there, whatever else the new data has."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tests.runs import log, small, weights
from tests.test_models import SMALL, look, rows_of

from saccade import checkpoint
from saccade.build import FeatureFacts, build_model
from saccade.checkpoint import LoadedRun
from saccade.data.records import Caption, Question
from saccade.errors import RunError, SaccadeWarning
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.tuning import Together
from saccade.models import MODELS, model_sizes, output_of
from saccade.recipe import DataConfig, OptimConfig, Recipe
from saccade.recipes import get_recipe
from saccade.recipes.starting import fitted_to
from saccade.starting import STARTED, take
from saccade.tasks import AnsweringConfig, CaptioningConfig, GroundingConfig, MatchingConfig, TaskConfig
from saccade.tasks.grounding.task import GroundingTask
from saccade.tasks.matching.task import MatchingTask
from saccade.train import train
from saccade.types import Answers, Captions, Groundings, Matches, Regions

SPEC = FeatureSpec(backbone="scenes-cnn", image_size=96)
FACTS = FeatureFacts(SPEC, "abc", 11, (2, 3))
ASKED = [("what is red", "box"), ("what is blue here", "cat"), ("is it red", "yes"), ("what is this", "dog")]
FURTHER = [
    ("are zebras blue", "no"),
    ("what zebra is that", "ant"),
    ("is a box red", "yes"),
    ("here here here this this this this zebra", "box"),
]
CONFIGS: dict[type, TaskConfig] = {
    Answers: AnsweringConfig(),
    Captions: CaptioningConfig(min_word_count=1),
    Matches: MatchingConfig(min_word_count=1),
    Groundings: GroundingConfig(),
}
SPOKEN = ["a red box", "a blue cat is here", "a dog is red"]


def answering(texts: list[tuple[str, str]]):
    config = AnsweringConfig()
    records = [Question(str(i), "a", text, (answer,)) for i, (text, answer) in enumerate(texts)]
    return config.task().build(records, config)


def captioned(config: TaskConfig, texts: list[str]):
    return config.task().build([Caption(str(i), "a", text) for i, text in enumerate(texts)], config)


def recipe_of(name: str, **changes) -> Recipe:
    sizes = ({"hidden_size": 13} if "hidden_size" in model_sizes(name) else {}) | SMALL.get(name, {})
    recipe = Recipe(f"{name}-test", name, DataConfig("own"), SPEC, CONFIGS[output_of(name)], sizes=sizes)
    return dataclasses.replace(
        recipe, **{"train": dataclasses.replace(recipe.train, start_from="runs/other")} | changes
    )


def made(recipe: Recipe, task, seed: int, facts: FeatureFacts = FACTS) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = build_model(recipe, task, facts).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # none at its start, biases at 0 among them
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def run_of(recipe: Recipe, task, facts: FeatureFacts = FACTS, backbone=None, seed: int = 1) -> LoadedRun:
    return LoadedRun(Path("runs/other"), recipe, task, facts, made(recipe, task, seed, facts), backbone)


def tasks(name: str):
    """Of a model the task of a run, and that of data with other words and answers in another order, and a text."""
    if output_of(name) is Answers:
        return answering(ASKED), answering([*FURTHER, *reversed(ASKED)]), "is it red"
    config = CONFIGS[output_of(name)]
    return (
        captioned(config, SPOKEN),
        captioned(config, ["zebras run here", *SPOKEN, "here here are zebras", "dog dog dog dog"]),
        "a red cat is here",
    )


def computed(model, task, text: str) -> tuple[torch.Tensor, ...]:
    """Of one image and the text the logits, or both embeddings."""
    generator = torch.Generator().manual_seed(4)
    boxes = torch.rand(1, 6, 2, generator=generator) / 2
    features = torch.randn(1, 6, 11, generator=generator)
    regions = Regions(features, torch.ones(1, 6, dtype=torch.bool), torch.cat([boxes, boxes + 0.4], -1))
    return tuple(rows.detach()[0] for rows in rows_of(look(model, regions, task.vocabulary.encode([text]))))


def logits(model, task, text: str) -> torch.Tensor:
    [found] = computed(model, task, text)
    return found


def by_label(model, task, text: str) -> dict[str, torch.Tensor]:
    """The logits of each word or answer; of a matcher the two embeddings, of a grounder the logits of all phrases."""
    if isinstance(task, MatchingTask):
        return dict(zip(("image", "sentence"), computed(model, task, text), strict=True))
    found = logits(model, task, text)
    if isinstance(task, GroundingTask):
        return {"phrases": found}
    return dict(zip(list(task.entries().values())[-1], found.reshape(-1, found.shape[-1]).T, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_same_data_gives_the_same_model(name) -> None:
    recipe, (task, _, text) = recipe_of(name), tasks(name)
    run, model = run_of(recipe, task), made(recipe, task, 2)
    assert not any(map(torch.equal, computed(model, task, text), computed(run.model, task, text)))
    taken = take(model, run, recipe, task, FACTS)
    for tensor, value in run.model.state_dict().items():
        assert torch.equal(model.state_dict()[tensor], value), tensor
    assert all(map(torch.equal, computed(model, task, text), computed(run.model, task, text)))
    assert taken.tensors[0] == taken.tensors[1]
    assert all(known == number for known, number in taken.content.values())
    assert (taken.new, taken.warnings) == ((), ())
    assert str(taken).endswith("new: none")


@pytest.mark.parametrize("name", MODELS)
def test_words_and_answers_are_taken_by_their_text(name) -> None:
    recipe, (task, other, text) = recipe_of(name), tasks(name)
    assert [word for word in other.vocabulary.known_words() if word in task.vocabulary] != task.vocabulary.known_words()
    run, model = run_of(recipe, task), made(recipe, other, 2)
    fresh = by_label(model, other, text)
    taken = take(model, run, recipe, other, FACTS)
    ours, theirs = by_label(model, other, text), by_label(run.model, task, text)
    for label, value in theirs.items():
        torch.testing.assert_close(ours[label], value, atol=1e-5, rtol=1e-5)
    assert bool(set(ours) - set(theirs)) == (output_of(name) in (Answers, Captions))  # else words are no labels
    assert all(not torch.equal(ours[label], fresh[label]) for label in ours)  # the question is read as it was there
    words = (len(task.vocabulary.known_words()), len(other.vocabulary.known_words()))
    assert taken.content["words"] == words
    assert taken.content.get("answers") == ((4, 6) if output_of(name) is Answers else None)
    assert taken.tensors[0] == taken.tensors[1]


def test_the_rows_of_new_answers_are_those_of_a_fresh_model() -> None:
    recipe, (task, other, _) = recipe_of("ban"), tasks("ban")
    model = made(recipe, other, 2)
    before = model.answer[3].weight.detach().clone()
    take(model, run_of(recipe, task), recipe, other, FACTS)
    new = [i for i, answer in enumerate(other.answers) if answer not in task.answers]
    torch.testing.assert_close(model.answer[3].weight[new], before[new])


def test_a_smaller_vocabulary_takes_what_it_has() -> None:
    recipe, (task, other, text) = recipe_of("r-dan"), tasks("r-dan")
    run, model = run_of(recipe, other), made(recipe, task, 2)
    taken = take(model, run, recipe, task, FACTS)
    ours, theirs = (
        dict(zip(t.answers, logits(m, t, text), strict=True)) for m, t in ((model, task), (run.model, other))
    )
    assert all(torch.isclose(ours[answer], theirs[answer], atol=1e-6) for answer in task.answers)
    assert taken.content["answers"] == (4, 4)


@pytest.mark.parametrize(
    "name", ["r-dan", "m-dan", "smem-2", "ban", "dfaf", "san", "ibowimg", "mrn", "nic", "sat-soft"]
)
def test_weights_that_read_regions_are_new_where_these_mean_something_else(name) -> None:
    recipe, (task, _, _) = recipe_of(name), tasks(name)
    elsewhere = dataclasses.replace(FACTS, weights_hash="another")
    run, model = run_of(recipe, task, elsewhere), made(recipe, task, 2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    taken = take(model, run, recipe, task, FACTS)
    assert taken.new
    assert 0 < taken.tensors[0] < taken.tensors[1]
    for tensor in taken.new:
        kept = [
            key for key in before if key == tensor or key.startswith(tensor.replace(".weight", ".parametrizations"))
        ]
        assert kept
        assert all(torch.equal(model.state_dict()[key], before[key]) for key in kept)
    [warning] = taken.warnings
    assert "regions mean something else than to runs/other" in warning


def test_another_size_of_images_leaves_regions_their_meaning() -> None:
    recipe, (task, _, _) = recipe_of("smem-2"), tasks("smem-2")
    larger = dataclasses.replace(FACTS, spec=dataclasses.replace(SPEC, image_size=128), grid=(3, 4))
    taken = take(made(recipe, task, 2), run_of(recipe, task, larger), recipe, task, FACTS)
    assert taken.warnings == ()
    assert taken.new == ("keys.bias", "evidence.bias", "evidence_2.bias")  # of places, of which there are fewer


def test_of_another_model_what_has_the_same_names_and_shapes_is_taken_with_a_warning() -> None:
    (task, _, _), recipe = tasks("r-dan"), recipe_of("question-only")
    taken = take(made(recipe, task, 2), run_of(recipe_of("r-dan"), task), recipe, task, FACTS)
    assert any("another model, r-dan" in warning for warning in taken.warnings)
    assert taken.content == {"words": (7, 7), "answers": (4, 4)}


def test_a_run_of_another_task_says_so() -> None:
    recipe, (task, _, _), (said, _, _) = recipe_of("san", sizes={"embedding_size": 5}), tasks("san"), tasks("nic")
    taken = take(made(recipe, task, 2), run_of(recipe_of("nic"), said), recipe, task, FACTS)
    assert any("another task, captioning" in warning for warning in taken.warnings)


def test_the_recipe_is_fitted_to_the_run() -> None:
    run, recipe = get_recipe("r-dan-scenes"), get_recipe("r-dan-own")
    fitted = fitted_to(recipe, run)
    assert (fitted.features, fitted.sizes) == (run.features, run.sizes)
    assert fitted.train.finetune_from == run.train.finetune_from
    assert (fitted.data, fitted.optim, fitted.name) == (recipe.data, recipe.optim, recipe.name)
    assert fitted_to(recipe, dataclasses.replace(run, model="smem-2")).sizes == recipe.sizes


# Whole runs


def started(store: str, other: Path | str, **changes) -> Recipe:
    return small(store, start_from=str(other), **changes)


@pytest.fixture(scope="module")
def other(scenes_store, tmp_path_factory) -> Path:
    train(small(scenes_store, epochs=2), out := tmp_path_factory.mktemp("other") / "run")
    return out


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, *_: object) -> None:
        pass


def test_a_run_goes_on_from_where_another_ended(other, scenes_store, tmp_path) -> None:
    report = Heard()
    train(started(scenes_store, other, epochs=1), tmp_path / "new", report=report)
    assert log(tmp_path / "new")[0]["loss"] < log(other)[0]["loss"]
    [line] = [said for said in report.said if said.startswith("taken from")]
    assert "answers" in line
    assert line.endswith("new: none")
    assert json.loads((tmp_path / "new" / STARTED).read_text())["run"] == str(other)


def test_a_resumed_run_does_not_look_at_the_other_again(other, scenes_store, tmp_path) -> None:
    shutil.copytree(other, tmp_path / "other")
    # A cosine would depend on the number of epochs.
    steady = OptimConfig(name="adam", lr=1e-3)
    whole, one = (started(scenes_store, tmp_path / "other", epochs=epochs, optim=steady) for epochs in (2, 1))
    train(whole, tmp_path / "whole")
    train(one, tmp_path / "cut")
    shutil.rmtree(tmp_path / "other")
    train(whole, tmp_path / "cut", resume=True)
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "cut")[name])
    moved = dataclasses.replace(whole, train=dataclasses.replace(whole.train, start_from="elsewhere"))
    train(moved, tmp_path / "cut", resume=True)


def test_a_run_that_was_killed_before_its_first_save_starts_from_the_other_again(other, scenes_store, tmp_path) -> None:
    recipe = started(scenes_store, other, epochs=1)
    train(recipe, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "resume")
    (tmp_path / "cut" / "log.jsonl").unlink()
    train(recipe, tmp_path / "cut", resume=True)
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "cut")[name])


def test_a_backbone_that_was_trained_along_is_taken_and_learns_on(scenes_store, tmp_path, monkeypatch) -> None:
    tuned = {"finetune_from": 0, "finetune_lr": 1e-3, "augment": "none"}
    train(small(scenes_store, epochs=1, **tuned), tmp_path / "other")
    before = checkpoint.load(tmp_path / "other")
    # The recipe's own start of the backbone is later: a backbone that fits its model already need not wait.
    later, steady = tuned | {"finetune_from": 5, "finetune_lr": 1e-9}, OptimConfig(name="adam", lr=1e-3)
    recipe = started(scenes_store, tmp_path / "other", epochs=1, optim=steady, **later)
    report = Heard()
    with monkeypatch.context() as patched:
        patched.setattr(FeatureStore, "read", None)
        train(recipe, tmp_path / "new", report=report)
    assert any("the backbone; new: none" in said for said in report.said)
    after = checkpoint.load(tmp_path / "new")
    for name, value in before.backbone.items():
        torch.testing.assert_close(after.backbone[name], value, atol=1e-4, rtol=1e-3)
    assert log(tmp_path / "new")[0]["loss"] < log(tmp_path / "other")[0]["loss"]
    shutil.rmtree(tmp_path / "other")
    monkeypatch.setattr(FeatureStore, "read", None)  # what it holds is not this backbone's
    longer = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, epochs=2))
    train(longer, tmp_path / "new", resume=True)
    assert log(tmp_path / "new")[1]["loss"] < log(tmp_path / "new")[0]["loss"]


def test_a_trained_backbone_that_is_not_trained_on_is_warned_of(scenes_store, tmp_path) -> None:
    train(small(scenes_store, epochs=1, finetune_from=0, augment="none"), tmp_path / "other")
    with pytest.warns(SaccadeWarning, match="regions mean something else .* a backbone trained along"):
        train(started(scenes_store, tmp_path / "other", epochs=1), tmp_path / "new")


def test_a_backbone_of_other_shapes_is_not_taken() -> None:
    recipe, (task, _, _) = recipe_of("r-dan"), tasks("r-dan")
    backbone = torch.nn.Linear(3, 4)
    run = run_of(recipe, task, backbone={"weight": torch.zeros(4, 2), "bias": torch.zeros(4)})
    taken = take(Together(made(recipe, task, 2), backbone), run, recipe, task, FACTS)
    assert not taken.backbone
    assert taken.warnings


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such run directory"),
        ("hub:nowhere", "expected a repository of the Hugging Face hub as hub:OWNER/NAME"),
        ("empty", "is no run directory"),
    ],
)
def test_what_is_no_run_is_refused_before_anything_is_written(
    name, message, scenes_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=message):
        train(started(scenes_store, name), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_run_does_not_start_from_itself(other, scenes_store, tmp_path) -> None:
    shutil.copytree(other, tmp_path / "run")
    with pytest.raises(RunError, match=r"is the folder of the new run itself; name another one with --out"):
        train(started(scenes_store, tmp_path / "run"), tmp_path / "run", overwrite=True)
    assert checkpoint.load(tmp_path / "run").recipe.model == "r-dan"


def test_a_model_that_has_nothing_in_common_is_refused_by_name(other, tmp_path) -> None:
    recipe = get_recipe("sat-soft-scenes").smoke()
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, start_from=str(other)))
    with pytest.raises(RunError, match=r"is a run of r-dan \(r-dan-scenes\), of whose weights none fits sat-soft"):
        train(recipe, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_page_on_starting_runs(saccade, other, tmp_path, monkeypatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "starting.md").read_text(encoding="utf-8")
    shell, shown = re.findall(r"^```(?:text)?\n(.*?)^```", page, re.M | re.S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copytree(other, tmp_path / "runs" / "r-dan-scenes")
    write, begin = (line.split()[1:] for line in shell.splitlines())
    assert saccade(*write).code == 0
    outcome = saccade(*begin, "--train.epochs", 1, "--train.accelerator", "cpu")
    assert outcome.code == 0, outcome
    said = next(line for line in (outcome.err + outcome.out).splitlines() if line.startswith("taken from"))
    assert re.sub(r"\d+", "N", said).partition("; new")[0] == re.sub(r"\d+", "N", shown.strip()).partition("; new")[0]


def test_the_command_line_takes_what_makes_the_weights_fit(saccade, refused, other, tmp_path, monkeypatch) -> None:
    from saccade.data.scenes import write_scenes

    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "mine", images=20, seed=3)
    fields = ("--data.root", "mine", "--train.epochs", 1, "--train.accelerator", "cpu")
    for form in (("--train.start-from", other), (f"--train.start_from={other}",)):
        outcome = saccade("train", "r-dan-own", *fields, *form, "--out", "run", "--overwrite")
        assert outcome.code == 0, outcome
        assert "taken from" in outcome.err + outcome.out
    recipe, run = (json.loads((folder / "recipe.json").read_text()) for folder in (tmp_path / "run", other))
    assert recipe["features"] == run["features"]
    assert recipe["sizes"] == run["sizes"]
    said = ("--features.positions", "False", "--sizes.hidden-size", 8)
    parts = ("train.start_from", "no run directory")
    refused("train", "r-dan-own", *fields, "--train.start-from", "mine", parts=parts)
    outcome = saccade("train", "r-dan-own", *fields, "--train.start-from", other, *said[2:], "--out", "narrow")
    assert outcome.code == 0, outcome
    assert json.loads((tmp_path / "narrow" / "recipe.json").read_text())["sizes"]["hidden_size"] == 8
