"""Recipes for own data: one for every model, fitted to the model, the backbone and the amount of texts."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tests.runs import LINEAR, assert_same_weights, small

from saccade.commands.training import Train
from saccade.errors import UnknownNameError
from saccade.models import MODELS
from saccade.progress import Forecast, Report, about
from saccade.recipes import RECIPES, get_recipe, of_model, own
from saccade.train import train


def test_every_model_has_a_recipe_for_own_data() -> None:
    assert {f"{model}-own" for model in MODELS} == {name for name in RECIPES if name.endswith("-own")}
    assert all(own.is_own(RECIPES[f"{model}-own"]) for model in MODELS)


@pytest.mark.parametrize(
    ("recipe", "model"),
    [("r-dan-own", "ban"), ("r-dan-own", "smem-2"), ("ban-scenes", "smem-2"), ("san-daquar", "dfaf")],
)
def test_another_model_brings_its_own_sizes_and_name(recipe: str, model: str) -> None:
    found, typed = of_model(get_recipe(recipe), model), Train.parse([recipe, "--model", model]).recipe
    corpus = recipe.rpartition("-")[2]
    assert found.sizes == get_recipe(f"{model}-{corpus}").sizes != {}
    assert (typed.name, typed.model, typed.sizes) == (f"{model}-{corpus}", model, found.sizes)
    assert found.optim == get_recipe(found.name if corpus == "own" else recipe).optim


def test_the_papers_sizes_stay_the_papers() -> None:
    assert of_model(get_recipe("r-dan-vqa1"), "dfaf").sizes == {}
    assert of_model(get_recipe("r-dan-own"), "r-dan") == get_recipe("r-dan-own")
    with pytest.raises(UnknownNameError, match="ban"):
        of_model(get_recipe("r-dan-own"), "bam")


def test_another_backbone_gives_its_last_map_unless_a_layer_is_typed() -> None:
    plain = Train.parse(["r-dan-own", "--features.backbone", "resnet50"]).recipe
    assert (plain.features.layer, plain.features.image_size, plain.features.standardize) == (-1, 256, True)
    assert (
        Train.parse(["r-dan-own", "--features.backbone=resnet50", "--features.layer", "2"]).recipe.features.layer == 2
    )
    assert Train.parse(["r-dan-own", "--features.backbone", "scenes-cnn"]).recipe.features.image_size == 96
    same = Train.parse(["r-dan-own", "--features.backbone", own.FEATURES.backbone]).recipe
    assert same.features == own.FEATURES
    paper = Train.parse(["ban-daquar", "--features.backbone", "resnet50"]).recipe
    assert paper.features.layer == get_recipe("ban-daquar").features.layer


@pytest.mark.parametrize(("texts", "epochs"), [(50, 40), (6_400, 12), (22_400, 10), (1_000_000, 10)])
def test_epochs_follow_from_steps(texts: int, epochs: int) -> None:
    assert own.fitted(get_recipe("dfaf-own"), texts).train.epochs == epochs


@pytest.mark.parametrize(("texts", "start"), [(50, 8), (6_400, 3), (22_400, 2)])
def test_the_backbone_learns_along_when_the_model_knows_something(texts: int, start: int) -> None:
    recipe = get_recipe("dfaf-own")
    assert own.fitted(recipe, texts).train.finetune_from == start
    assert own.fitted(recipe, texts, keep=("train.epochs",)).train.finetune_from == 3  # of the recipe's 12
    assert own.fitted(recipe, texts, keep=("train.finetune_from",)).train.finetune_from == recipe.train.finetune_from
    as_it_is = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, finetune_from=None))
    assert own.fitted(as_it_is, texts).train.finetune_from is None


@pytest.mark.parametrize(("side", "size"), [(28, 128), (64, 128), (96, 144), (150, 240), (500, 256)])
def test_small_images_are_enlarged_less(side: int, size: int) -> None:
    recipe = get_recipe("dfaf-own")
    assert own.fitted(recipe, 100, side).features == dataclasses.replace(own.FEATURES, image_size=size)
    assert own.fitted(recipe, 100, side, keep=("features.image_size",)).features == own.FEATURES


def test_few_texts_are_dropped_more_of_and_what_was_typed_stays() -> None:
    recipe = get_recipe("dfaf-own")
    few, many = own.fitted(recipe, own.FEW - 1), own.fitted(recipe, own.FEW)
    assert many.sizes == recipe.sizes
    assert few.sizes["classifier_dropout"] > many.sizes["classifier_dropout"]
    kept = own.fitted(recipe, 100, keep=("sizes.classifier_dropout", "train.epochs"))
    assert kept.sizes["classifier_dropout"] == recipe.sizes["classifier_dropout"]
    assert kept.train.epochs == recipe.train.epochs
    for model in MODELS:
        fitted = own.fitted(get_recipe(f"{model}-own"), 10)
        assert fitted.sizes.keys() <= get_recipe(f"{model}-own").sizes.keys() | own.DROPPED_MORE.get(model, {}).keys()


def test_the_command_line_fits_the_recipe_to_the_data_at_hand(tmp_path, monkeypatch) -> None:
    from saccade.data.scenes import write_scenes

    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "mine", images=12)
    read = ["r-dan-own", "--data.root", "mine"]
    assert Train.parse(read).ready().train.epochs == own.MOST
    assert Train.parse(read).ready().sizes["dropout"] == own.DROPPED_MORE["r-dan"]["dropout"]
    typed = Train.parse([*read, "--train.epochs", "12", "--sizes.dropout=0.1"]).ready()
    assert (typed.train.epochs, typed.sizes["dropout"]) == (12, 0.1)
    assert Train.parse(read).ready().features.image_size == 144  # the images have 96
    for field, name, value in (("image-size", "image_size", 192), ("backbone", "backbone", "resnet50")):
        features = Train.parse([*read, f"--features.{field}", str(value)]).ready().features
        assert (features.image_size, getattr(features, name)) == (192 if field == "image-size" else 256, value)
    assert Train.parse([*read, "--resume"]).ready().train.epochs == get_recipe("r-dan-own").train.epochs
    assert Train.parse(["r-dan-scenes"]).ready() == get_recipe("r-dan-scenes")


# A backbone trained along in parts and by several processes


def tuned(store: str, **changes):
    """r-DAN on scenes with a small network of timm, whose last stage is trained along."""
    recipe = small(store, optim=LINEAR, epochs=1, finetune_from=0, finetune_lr=1e-2, augment="none", **changes)
    backbone = {"backbone": "test_resnet", "weights": "random", "image_size": 96, "standardize": True}
    return dataclasses.replace(
        recipe,
        features=dataclasses.replace(recipe.features, **backbone),
        data=dataclasses.replace(recipe.data, store="", limit=8),
        train=dataclasses.replace(recipe.train, finetune_stages=1),
    )


@pytest.mark.filterwarnings("ignore:the weights of test_resnet are random")
@pytest.mark.parametrize(
    "how",
    [
        {"accumulate": 3},
        {"devices": 2, "strategy": "ddp_fork"},
        {"devices": 2, "strategy": "ddp_fork", "accumulate": 2},
    ],
)
def test_a_backbone_learns_the_same_in_parts_and_on_two_devices(how, scenes_store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(tuned(scenes_store), tmp_path / "one")
    recipe = tuned(scenes_store)
    train(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **how)), tmp_path / "parts")
    assert_same_weights(tmp_path / "one", tmp_path / "parts", rtol=1e-3, atol=1e-4)
    assert sum(1 for _ in (tmp_path / "stores").iterdir()) == 1  # of what does not learn; no other is needed
    assert json.loads((tmp_path / "one" / "features.json").read_text())["spec"]["layer"] == -1


# How long it will take


class Heard(Report):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_the_time_is_said_once_when_the_first_units_are_done() -> None:
    heard, now = Heard(), iter([0.0, 1.0, 3.0, 9.0])
    forecast = Forecast(heard, "extraction of 101 images", 101, clock=lambda: next(now))
    for done in (0, 1, 2, 3, 4, 101):
        forecast.done(done)
    assert heard.said == ["extraction of 101 images: about 2 minutes"]  # 2 units in 3 seconds


def test_what_is_soon_over_is_not_forecast() -> None:
    heard, now = Heard(), iter([0.0, 2.0])
    forecast = Forecast(heard, "work", 10, clock=lambda: next(now))
    forecast.done(1)
    forecast.done(8)
    assert heard.said == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (4, "10 seconds"),
        (31, "30 seconds"),
        (60, "a minute"),
        (89, "a minute"),
        (240, "4 minutes"),
        (3600, "an hour"),
        (9000, "2 hours"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert about(seconds) == f"about {said}"
