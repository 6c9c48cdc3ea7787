"""Values that cannot be: each is refused by name, before anything is extracted or written. The tables are complete."""

from __future__ import annotations

import dataclasses
import math
import typing
from pathlib import Path

import pytest

from saccade.build import check_model
from saccade.data.scenes import write_scenes
from saccade.errors import RecipeError, SaccadeError, UnknownNameError
from saccade.features.spec import FeatureSpec
from saccade.limits import Limit
from saccade.models import MODELS, create_model, data_sizes, model_sizes, output_of
from saccade.recipe import LIMITS, Recipe
from saccade.recipes import RECIPES, get_recipe
from saccade.tasks import AnsweringConfig, CaptioningConfig, MatchingConfig
from saccade.train import train
from saccade.types import Answers

NAN, INF = math.nan, math.inf
NOTHING = (0, -1, NAN, INF, "x", True)  # of a field that counts something
NEGATIVE = (-0.5, NAN, INF, -INF, "x", True)
PART = (*NEGATIVE, 1.0, 1.5)

BAD: dict[str, tuple[object, ...]] = {
    "data.limit": NOTHING,
    "features.layer": (-2, 10_000, 1.5, NAN),
    "features.image_size": (*NOTHING, 1, 15, 10**6, 96.5),
    "features.mean": ((0.5, 0.5, 120.0), (-0.1, 0.5, 0.5), (NAN, 0.5, 0.5), (0.5, 0.5), 0.5),
    "features.std": ((0.0, 0.5, 0.5), (-0.5, 0.5, 0.5), (INF, 0.5, 0.5), (57.0, 57.0, 57.0), (0.5,)),
    "features.max_regions": (*NOTHING, 1.5, 10_001),
    "features.detector_threshold": (*NEGATIVE, 1.5),
    "features.detector_nms": (*NEGATIVE, 1.5),
    "features.width": NOTHING,
    "optim.lr": (0, *NEGATIVE),
    "optim.bias_lr": NEGATIVE,
    "optim.embedding_lr": NEGATIVE,
    "optim.momentum": (*PART, 2),
    "optim.betas": ((2.0, 2.0), (0.9, 1.0), (-0.1, 0.9), (0.9, NAN), (0.9,), 0.9),
    "optim.weight_decay": NEGATIVE,
    "optim.warmup_epochs": NEGATIVE,
    "optim.milestones": ((-3,), (0,), (1.5,), (3, -1), 3),
    "optim.factor": (0, *NEGATIVE),
    "optim.period": NOTHING,
    "optim.rates": ((-1.0,), (1.0, NAN), (INF,), 1.0),
    "optim.loss_weight": (0, *NEGATIVE),
    "optim.clip": (0, *NEGATIVE),
    "train.epochs": (*NOTHING, 1.5),
    "train.batch_size": NOTHING,
    "train.accumulate": NOTHING,
    "train.patience": (-1, NAN, 1.5, "x", True),
    "train.average": PART,
    "train.seed": (-1, 2**64, 1.5, NAN, True),
    "train.finetune_from": (-1, 1.5, NAN, True),
    "train.finetune_lr": (0, *NEGATIVE),
    "train.finetune_stages": NOTHING,
    "train.finetune_size": (*NOTHING, 1, 10**6),
    "train.devices": NOTHING,
    "train.num_nodes": NOTHING,
    "train.save_every": NOTHING,
    "task.answers": NOTHING,
    "task.min_answer_count": NOTHING,
    "task.min_word_count": NOTHING,
    "task.max_words": NOTHING,
    "task.words": (*NOTHING, 2),
    "task.label_smoothing": PART,
    "task.beam": NOTHING,
    "task.max_length": NOTHING,
    "task.min_length": (-1, NAN, 1.5, "x", 31),
    "task.length_penalty": (NAN, INF, "x"),
    "task.margin": NEGATIVE,
    "task.warmup_epochs": (-1, NAN, INF, 1.5, "x", True),
}
# What is nothing but the ids that are no words, of which captions have one more.
BAD_OF = {("task.words", CaptioningConfig): (3,)}
# Of fields that are no numbers: another type, or none of the choices.
OTHER = {
    "data.name": (3,),
    "data.root": (None, 3),
    "data.train": ("test", ""),
    "data.genome": (3,),
    "data.store": (3,),
    "data.columns": (3,),
    "data.missing": ("ignore",),
    "features.backbone": (None,),
    "features.weights": (None,),
    "features.resize": ("stretch",),
    "features.regions": ("lattice", "file"),
    "features.windows": ("rooms", None),
    "features.regions_file": (None, "boxes.jsonl"),
    "features.detector": (None,),
    "features.detector_weights": (None,),
    "features.dtype": ("int8",),
    "features.positions": ("yes", 1),
    "features.standardize": ("yes", 1),
    "features.backbone_args": (("global_pool",), ("pretrained=True",), 3),
    "optim.name": ("lion",),
    "optim.decay": ("none",),
    "optim.decay_inside_clip": (1,),
    "optim.schedule": ("linear", "epochs"),
    "optim.clip_by": ("l1",),
    "train.group_by_image": ("yes",),
    "train.metric": (None,),
    "train.augment": ("flip",),
    "train.precision": ("8-bit",),
    "train.accelerator": (3,),
    "train.strategy": (3,),
    "train.logger": (3,),
    "train.start_from": (3,),
    "task.targets": ("softmax",),
    "task.scoring": ("f1",),
    "task.related": ("both",),
    "task.glove": (3,),
    "task.batches": ("random",),
    "task.loss": ("easiest",),
}
CHOICES = {("task.words", AnsweringConfig)}  # of the others it is a number
BASES = {AnsweringConfig: "r-dan-scenes", CaptioningConfig: "nic-scenes", MatchingConfig: "m-dan-scenes"}


def fields_of(group: str) -> dict[str, list[object]]:
    """The fields of a group of the recipe, and its recipes: of the task, those of each task."""
    kinds = {"task": [config() for config in BASES]}.get(group)
    configs = kinds or [getattr(get_recipe("r-dan-scenes"), group)]
    found: dict[str, list[object]] = {}
    for config in configs:
        for field in dataclasses.fields(config):
            found.setdefault(f"{group}.{field.name}", []).append(config)
    return found


FIELDS = {name: configs for group in ("data", "features", "optim", "train", "task")
          for name, configs in fields_of(group).items()}  # fmt: skip


def test_every_field_of_a_recipe_is_in_a_table() -> None:
    assert {*BAD, *OTHER} == FIELDS.keys() - {"task.kind"}
    assert LIMITS.keys() <= BAD.keys()


@pytest.mark.parametrize("name", [*BAD, *OTHER])
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_field(name: str) -> None:
    group, _, field = name.partition(".")
    for config in (config for config in FIELDS[name] if (name, type(config)) not in CHOICES):
        base = get_recipe(BASES.get(type(config), "r-dan-scenes"))
        for value in (*{**BAD, **OTHER}[name], *BAD_OF.get((name, type(config)), ())):
            with pytest.raises(RecipeError) as refused:
                dataclasses.replace(base, **{group: dataclasses.replace(config, **{field: value})})
            assert field in str(refused.value), value
            assert "expected" in str(refused.value) or "cannot be said" in str(refused.value) or value == "epochs"


BAD_SIZES = (0, -1, NAN, INF, 10**9, "x", True, None, 1.5)
KINDS_OF_SIZES = {bool: ("yes", 1, None), str: ("nope", 3, None), float: (-0.5, 2.0, 1.0, NAN, INF, "x", True, None)}
# What may be 1 and more: not a part of something.
WEIGHTS = {"penalty", "reward_weight", "entropy_weight"}
NONE_WILL_DO = {("m-dan", "steps"), ("r-dan-grounder", "steps")}  # which may be 0


@pytest.mark.parametrize("name", MODELS)
def test_a_size_that_cannot_be_is_refused_by_its_name(name: str) -> None:
    data = dict.fromkeys(data_sizes(name), 5)
    visited = 0
    for size, usual in model_sizes(name).items():
        values = KINDS_OF_SIZES.get(type(usual), BAD_SIZES)
        for value in values:
            if (size in WEIGHTS and value in (1.0, 2.0)) or (size == "expectation" and value == 1.0):
                continue
            if value == 0 and (name, size) in NONE_WILL_DO:
                continue
            with pytest.raises(SaccadeError, match=f"{size}.*expected"):
                create_model(name, region_size=4, **data, **{size: value})
            visited += 1
    for size in (*data, "region_size"):
        for value in (0, -1):
            if name == "question-only" and size == "region_size":  # which it does not read
                continue
            with pytest.raises(RecipeError, match=f"{size}: expected"):
                create_model(name, **{"region_size": 4, **data, size: value})
    assert visited >= 8 * bool(model_sizes(name))


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(RecipeError, match="heads: expected a divisor of hidden_size, 512, got 7"):
        create_model("dfaf", num_words=5, num_answers=5, region_size=4, heads=7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim": {"warmup_epochs": 13.0}}, r"optim\.warmup_epochs: expected at most train\.epochs, 12, got 13\.0"),
        ({"train": {"patience": 0}}, r"train\.patience: expected a whole number above 0, or None, got 0"),
        ({"train": {"metric": "acuracy"}}, r"train\.metric: no validation metric named 'acuracy' to choose by, did you "
         r"mean 'accuracy'\? there are accuracy, accuracy_color.*val_loss"),
        ({"train": {"metric": "accuracy_colour"}}, "did you mean 'accuracy_color'"),
        ({"train": {"logger": "tensorbord"}}, r"no train\.logger named 'tensorbord'; did you mean 'tensorboard'\?"),
        ({"train": {"logger": "wandb"}}, r'wandb needs .*: pip install "saccade-attention\[wandb\]"'),
        ({"train": {"accelerator": "abacus"}}, "accelerator"),
        ({"train": {"strategy": "nope"}}, "strategy"),
        ({"train": {"finetune_from": 1, "finetune_stages": 9}}, r"train\.finetune_stages: .*has no stages"),
        ({"task": {"glove": "nowhere.txt"}}, "starts from no word vectors"),
        ({"data": {"genome": "nowhere"}}, r"data\.genome: only VQA's images"),
        ({"data": {"name": "senes"}}, "'senes'; did you mean 'scenes'"),
        ({"features": {"backbone": "resnet51"}}, "'resnet51'; did you mean 'resnet51q'"),
        ({"features": {"layer": 7}}, "expected layer -1, got 7"),
        ({"features": {"width": 5}}, "expects regions of 5 numbers, scenes-cnn has 64"),
        ({"features": {"backbone_args": ("depth=3",)}}, "backbone_args do not fit"),
        ({"sizes": {"steps": 0}}, "r-dan: steps: expected a whole number from 1 to 1,000, got 0"),
        ({"sizes": {"stepps": 1}}, "'stepps'; did you mean 'steps'"),
        ({"model": "r-dam"}, "'r-dam'; did you mean 'r-dan'"),
        ({"model": "nic"}, "nic is a model for captioning"),
        ({"model": "smem-1", "features": {"resize": "crop"}}, "needs a grid of regions"),
        ({"model": "ban", "task": {"glove": "nowhere.txt"}}, "no such file"),
    ],
)  # fmt: skip
def test_what_only_the_data_tells_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = get_recipe("r-dan-scenes")
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, limit=8), sizes={})
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, accelerator="cpu"))
    for name, value in changes.items():
        group = getattr(recipe, name)
        new = dataclasses.replace(group, **value) if dataclasses.is_dataclass(group) else value
        recipe = dataclasses.replace(recipe, **{name: new})
    with pytest.raises(SaccadeError, match=message):
        train(recipe, tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_refuses_too_and_leaves_nothing(refused, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, code in {
        ("--sizes.hidden-size", 0): 1,
        ("--sizes.dropout", 1.5): 1,
        ("--optim.momentum", 2): 1,
        ("--features.image-size", 1): 1,
        ("--train.metric", "cidre"): 1,
        ("--train.logger", "csw"): 2,
    }.items():
        name = str(arguments[0]).rpartition(".")[2].replace("-", "_")
        refused("train", "r-dan-scenes", "--data.limit", 8, *arguments, parts=(name,), code=code)
    assert list(tmp_path.iterdir()) == []


def test_answers_that_nobody_knows_are_refused_before_extraction(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "data", images=12)
    recipe = get_recipe("r-dan-own")
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, root="data"))
    monkeypatch.setattr("saccade.tasks.answering.task.AnsweringTask.scorable", lambda *_: False)
    with pytest.raises(SaccadeError, match="right answers of some questions to validate on are not known"):
        train(recipe, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_every_recipe_is_one_that_can_be_trained() -> None:
    for recipe in RECIPES.values():
        recipe.check_training()
        recipe.smoke().check_training()
        if typing.cast("type", output_of(recipe.model)) is Answers and "vqa" not in recipe.name:
            check_model(recipe)


def test_recipes_and_specs_say_what_they_expected() -> None:
    with pytest.raises(RecipeError, match="image_size: expected a whole number above 0, got 0"):
        FeatureSpec(image_size=0)
    assert str(Limit()) == "a number"
    assert isinstance(get_recipe("r-dan-scenes"), Recipe)
    assert issubclass(UnknownNameError, SaccadeError)
