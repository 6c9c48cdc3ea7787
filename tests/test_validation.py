"""The validation loss: equal to one by one, of the weights that are kept, and without a trace in training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.runs import LINEAR, log, small, weights
from tests.test_choice import captions
from tests.test_separable import recipe as contrast

from saccade.build import build, build_model
from saccade.progress import SILENT
from saccade.recipe import Recipe
from saccade.train import train
from saccade.validation import validate


def by_hand(recipe: Recipe, state: dict[str, torch.Tensor]) -> float:
    """The mean loss of the validation records, each in a batch of its own."""
    setup = build(recipe, SILENT, torch.device("cpu"))
    model = build_model(recipe, setup.task, setup.facts).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        records = setup.task.trainable(setup.val)
        losses = [
            setup.task.loss(model, setup.task.collate([each], setup.store.read, grouped=False), lambda rows: rows)
            for each in records
        ]
    return sum(loss.item() for loss in losses) / len(losses)


def test_it_is_the_mean_over_the_questions_without_dropout(scenes_store, tmp_path) -> None:
    recipe = small(scenes_store, epochs=1, optim=LINEAR, sizes={"dropout": 0.4})
    train(recipe, tmp_path / "run")
    assert log(tmp_path / "run")[0]["val_loss"] == pytest.approx(by_hand(recipe, weights(tmp_path / "run")), rel=1e-5)


def test_it_is_that_of_the_running_mean_where_that_is_kept(scenes_store, tmp_path) -> None:
    recipe = small(scenes_store, epochs=1, optim=LINEAR, average=0.9)
    train(recipe, tmp_path / "run")
    kept = load_file(tmp_path / "run" / "model.safetensors")
    assert log(tmp_path / "run")[0]["val_loss"] == pytest.approx(by_hand(recipe, kept), rel=1e-5)
    assert by_hand(recipe, kept) != pytest.approx(by_hand(recipe, weights(tmp_path / "run")), rel=1e-5)


def test_of_captions_it_is_a_mean_over_captions_without_smoothing(scenes_store, tmp_path) -> None:
    """An image has five captions: more than a batch of the images that are decoded together."""
    recipe = captions(scenes_store, 1, "cider")
    recipe = dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, label_smoothing=0.4),
        train=dataclasses.replace(recipe.train, batch_size=7),
    )
    train(recipe, tmp_path / "run")
    assert log(tmp_path / "run")[0]["val_loss"] == pytest.approx(by_hand(recipe, weights(tmp_path / "run")), rel=1e-5)


def test_a_loss_that_compares_texts_takes_the_same_batches_each_time(scenes_store, tmp_path) -> None:
    still = dataclasses.replace(contrast(scenes_store, epochs=2), optim=dataclasses.replace(LINEAR, lr=1e-30))
    train(still, tmp_path / "run")
    first, second = log(tmp_path / "run")
    assert first["val_loss"] == second["val_loss"] > 0


def test_it_leaves_training_as_it_was_and_reads_each_image_once(scenes_store, tmp_path, monkeypatch) -> None:
    recipe = small(scenes_store, epochs=2, optim=LINEAR, sizes={"dropout": 0.3})
    train(recipe, tmp_path / "with")
    seen: list[str] = []

    def watched(fabric, model, task, records, data, read, recipe) -> dict[str, float | None]:
        def noted(images):
            seen.extend(images)
            return read(images)

        before = torch.get_rng_state()
        found = validate(fabric, model, task, records, data, noted, recipe)
        assert torch.equal(before, torch.get_rng_state())
        return found

    monkeypatch.setattr("saccade.train.validate", watched)
    train(recipe, tmp_path / "watched")
    assert len(seen) == 2 * len(set(seen)) == 48  # in two epochs
    ours, theirs = weights(tmp_path / "with"), weights(tmp_path / "watched")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_answers_that_are_no_class_have_no_loss_but_are_scored(scenes_store, tmp_path: Path) -> None:
    recipe = small(scenes_store, epochs=1, optim=LINEAR)
    few = dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, answers=2))
    train(few, tmp_path / "run")
    assert log(tmp_path / "run")[0]["val_loss"] == pytest.approx(by_hand(few, weights(tmp_path / "run")), rel=1e-5)
