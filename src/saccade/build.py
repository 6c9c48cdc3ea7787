"""From a recipe to its data, features, task and model: the one file that knows the tables."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saccade.choice import check_choice
from saccade.corpus import build_store, check_width, limited, open_data, readable
from saccade.data import GENERATED
from saccade.data.records import Corpus
from saccade.data.scenes import written_background
from saccade.data.scenes_look import Look
from saccade.errors import DataError, RecipeError, SaccadeWarning, look_up
from saccade.features.backbones import create_backbone
from saccade.features.extract import covers_image
from saccade.features.spec import IMPORTED, FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.tuning import Tuning
from saccade.models import create_model, data_sizes, model_sizes, needs_locations, output_of
from saccade.progress import Report
from saccade.recipe import Card, Recipe
from saccade.serial import to_dict
from saccade.sharing import Workers
from saccade.tasks import TASKS, Task


@dataclass(frozen=True)
class FeatureFacts:
    """How a run's regions were made: enough to make them again from a raw image, and to notice other weights."""

    spec: FeatureSpec
    weights_hash: str
    region_size: int
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Setup:
    """What a recipe trains on."""

    data: Corpus
    task: Task[Any, Any, Any]
    store: FeatureStore
    facts: FeatureFacts
    train: Sequence[Any]
    val: Sequence[Any]
    tuning: Tuning | None = None
    """The backbone as something to train, where the recipe says so."""


def build(
    recipe: Recipe,
    report: Report,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
    workers: Workers | None = None,
) -> Setup:
    """Read the data, extract or open the features, and make the task from the training split alone.

    `autocast` makes the context that a backbone in training runs in; `workers` share the extraction, and all of them
    must call this.
    """
    model = check_model(recipe)
    _check_backbone(recipe)
    kind = recipe.task.task()
    data = open_data(recipe)
    train, val = (limited(data, split, recipe) for split in ("train", "val"))
    if not train or not val:
        raise DataError(f"{recipe.data.name}: expected data to train and validate on, got {len(train)} and {len(val)}")
    if recipe.data.train == "train+val":
        train, val = [*train, *val], []
    for split, records in {"training": train, "validation": val}.items():
        counts = kind.counts(records)
        report.say(f"{split}: " + ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in counts.items()))
    task = _task(recipe, train, val)  # before the features, so that hours of extraction are not for nothing
    for remark in task.remarks(train):
        report.say(remark)
    task.ready(model)
    if val:
        check_choice(recipe, task, val, data)
    further = _further(recipe, task, train, report)
    if recipe.data.name not in GENERATED:
        warn_of_scenes_cnn(recipe.features, recipe.data.root)
    tuning = _tuning(recipe, data, device, autocast)
    store = _stores(recipe, tuning, partial(build_store, data=data, report=report, device=device, workers=workers))
    at_hand = readable(train, store.failed, report, kind.noun)
    val = readable(val, store.failed, report, kind.noun)
    if len(at_hand) < len(train):
        train, task = at_hand, _task(recipe, at_hand, val)
        further = _further(recipe, task, train, report)
    places = store.boxes if tuning is None or recipe.train.finetune_from else tuning.boxes
    for remark in task.remarks_on_regions(val or train, places):
        report.say(remark)
    facts = FeatureFacts(store.spec, store.weights_hash, store.region_size, store.grid)
    if tuning is not None:
        facts = FeatureFacts(recipe.features, store.weights_hash, tuning.region_size, tuning.grid)
    return Setup(data, task, store, facts, [*train, *further], val, tuning)


def _tuning(
    recipe: Recipe, data: Corpus, device: torch.device, autocast: Callable[[], AbstractContextManager[Any]] | None
) -> Tuning | None:
    config = recipe.train
    if config.finetune_from is None:
        return None
    return Tuning(
        recipe.features,
        data.open_image,
        device,
        config.augment,
        stages=config.finetune_stages,
        size=config.finetune_size,
        autocast=autocast,
    )


def _stores(recipe: Recipe, tuning: Tuning | None, stored: Callable[[Recipe], FeatureStore]) -> FeatureStore:
    """The store of the regions; where a backbone is trained along, also that of what it keeps of an image.

    One that is trained from the first epoch on needs no other.
    """
    kept = None if tuning is None else tuning.kept
    if tuning is None or kept is None:
        return stored(recipe)
    regions = stored(recipe) if recipe.train.finetune_from else None
    of_kept = dataclasses.replace(recipe, features=kept, data=dataclasses.replace(recipe.data, store=""))
    tuning.from_store(held := stored(of_kept))
    return regions or held


def _task(recipe: Recipe, train: Sequence[Any], val: Sequence[Any]) -> Task[Any, Any, Any]:
    task = recipe.task.task().build(train, recipe.task)
    task.check([*train, *val])
    task.trainable(train)
    return task


def warn_of_scenes_cnn(spec: FeatureSpec, *folders: Path | str) -> None:
    """Warn where the backbone of the scenes is to look at something else; written scenes are told by their file."""
    if spec.backbone != "scenes-cnn" or spec.weights != "pretrained":
        return
    background = next(filter(None, map(written_background, folders)), None)
    if background != Look().background:
        seen = "these images may be something else" if background is None else f"behind these it is {background}"
        warnings.warn(
            f"scenes-cnn knows nothing but generated scenes on {Look().background}, and {seen}: expect little of it, "
            "or choose another one with --features.backbone (of saccade extract: --backbone)",
            SaccadeWarning,
            stacklevel=2,
        )


def _further(recipe: Recipe, task: Task[Any, Any, Any], train: Sequence[Any], report: Report) -> Sequence[Any]:
    further = task.further(recipe, train, report)
    task.check(further)
    return further


def check_model(recipe: Recipe) -> nn.Module:
    """Refuse a model or sizes that cannot be, one of another task than the recipe's, and features that are nowhere.

    Returns such a model for the smallest data there could be.
    """
    output, task = output_of(recipe.model), recipe.task.task()
    if output is not task.Output:
        does = next((kind for kind, config in TASKS.items() if config.task().Output is output), "another task")
        raise RecipeError(
            f"{recipe.model} is a model for {does}, the recipe is for {recipe.task.kind}, about {task.noun}: choose "
            "another model or recipe"
        )
    if recipe.train.accumulate > 1 and not task.separable:
        raise RecipeError(
            f"train.accumulate: the loss of {recipe.task.kind} compares the {task.noun} of a batch with each other, so "
            "that it cannot be computed in parts: leave it out, or lower --train.batch-size"
        )
    if recipe.features.backbone == IMPORTED and not recipe.data.store:
        raise RecipeError(
            f"{recipe.name} trains on features from files: turn them into a store with saccade import-features, then "
            "say --data.store DIR"
        )
    for size in recipe.sizes:
        look_up(model_sizes(recipe.model), size, f"size of {recipe.model}")
    return model_of_sizes(recipe, {}, 1)


def build_model(recipe: Recipe, task: Task[Any, Any, Any], facts: FeatureFacts) -> nn.Module:
    """The recipe's model, freshly initialised, sized by its data.

    Raises RecipeError for a model with parameters per location where images differ in their regions.
    """
    if facts.grid is None and needs_locations(recipe.model):
        raise _needs_a_grid(recipe)
    regions = None if facts.grid is None else facts.grid[0] * facts.grid[1]
    return model_of_sizes(recipe, task.sizes(), facts.region_size, regions)


def model_of_sizes(
    recipe: Recipe, sizes: Mapping[str, int], region_size: int, num_regions: int | None = None
) -> nn.Module:
    """The recipe's model with those sizes of the data; 1 of each that is not said."""
    data = {**dict.fromkeys(data_sizes(recipe.model), 1), **sizes}
    return create_model(recipe.model, **data, region_size=region_size, num_regions=num_regions, **recipe.sizes)


def _needs_a_grid(recipe: Recipe) -> RecipeError:
    return RecipeError(
        f"{recipe.model} learns something for each place in the image, so it needs a grid of regions over all of it, "
        "not boxes: set "
        + ("--features.resize squash" if recipe.features.regions == "grid" else "--features.regions grid")
    )


def _check_backbone(recipe: Recipe) -> None:
    """Refuse, before images are read, what the backbone cannot do: tuning, a size of images, a width of regions."""
    features, config = recipe.features, recipe.train
    if features.backbone == IMPORTED:
        if config.finetune_from is not None:
            raise RecipeError("train.finetune_from: features from files have no backbone to train")
        return
    if needs_locations(recipe.model) and not covers_image(features):
        raise _needs_a_grid(recipe)
    tuned = config.finetune_from is not None and (config.finetune_stages, config.finetune_size) != (None, None)
    if not tuned and features.width is None:
        return
    untrained = dataclasses.replace(features, weights="random")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaccadeWarning)  # that it is random
        backbone = create_backbone(untrained)
        check_width(recipe, backbone.channels, features.backbone)
        if tuned:
            backbone.last_stages(config.finetune_stages)
            try:
                create_backbone(dataclasses.replace(untrained, image_size=config.finetune_size or features.image_size))
            except RecipeError as error:
                raise RecipeError(f"train.finetune_size: {error}") from None


def differing_fields(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """The fields in which two recipes differ, by dotted name; sizes left out are the paper's."""
    ours, theirs = _fields(a), _fields(b)
    names = sorted(ours.keys() | theirs.keys())
    return {name: (ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)}


def _fields(recipe: Recipe) -> dict[str, Any]:
    values = to_dict(dataclasses.replace(recipe, sizes=model_sizes(recipe.model) | recipe.sizes, card=Card("")))
    groups = {name: value for name, value in values.items() if isinstance(value, dict)}
    inner = {f"{group}.{name}": value for group, fields in groups.items() for name, value in fields.items()}
    return {name: value for name, value in values.items() if name not in groups} | inner
