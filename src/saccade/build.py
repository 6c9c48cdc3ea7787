"""From a recipe to its data, features, task and model: the one file that knows the tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saccade.choice import check_choice
from saccade.data import create_dataset
from saccade.data.records import ChecksImages, Corpus, images_of
from saccade.errors import DataError, RecipeError, SaccadeWarning, StoreError, look_up
from saccade.features.backbones import create_backbone
from saccade.features.extract import covers_image, extract
from saccade.features.spec import IMPORTED, POSITION_SIZE, FeatureSpec
from saccade.features.store import FeatureStore
from saccade.models import create_model, data_sizes, model_sizes, needs_locations, output_of
from saccade.progress import Report
from saccade.recipe import Card, Recipe
from saccade.serial import to_dict
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


def build(recipe: Recipe, report: Report, device: torch.device) -> Setup:
    """Read the data, extract or open the features, and make the task from the training split alone."""
    model = check_model(recipe)
    _check_backbone(recipe)
    kind = recipe.task.task()
    data = create_dataset(recipe.data.name, recipe.data.root, limit=recipe.data.limit)
    train, val = (limited(data, split, recipe) for split in ("train", "val"))
    if not train or not val:
        raise DataError(f"{recipe.data.name}: expected data to train and validate on, got {len(train)} and {len(val)}")
    if recipe.data.train == "train+val":
        train, val = [*train, *val], []
    for split, records in {"training": train, "validation": val}.items():
        counts = kind.counts(records)
        report.say(f"{split}: " + ", ".join(f"{number:,} {what}" for what, number in counts.items()))
    task = _task(recipe, train, val)  # before the features, so that hours of extraction are not for nothing
    for remark in task.remarks(train):
        report.say(remark)
    task.ready(model)
    if val:
        check_choice(recipe, task, val, data)
    further = _further(recipe, task, train, report)
    store = build_store(recipe, data, report, device)
    at_hand = readable(train, store.failed, report, kind.noun)
    val = readable(val, store.failed, report, kind.noun)
    if len(at_hand) < len(train):
        train, task = at_hand, _task(recipe, at_hand, val)
        further = _further(recipe, task, train, report)
    facts = FeatureFacts(store.spec, store.weights_hash, store.region_size, store.grid)
    return Setup(data, task, store, facts, [*train, *further], val)


def _task(recipe: Recipe, train: Sequence[Any], val: Sequence[Any]) -> Task[Any, Any, Any]:
    task = recipe.task.task().build(train, recipe.task)
    task.check([*train, *val])
    task.trainable(train)
    return task


def _further(recipe: Recipe, task: Task[Any, Any, Any], train: Sequence[Any], report: Report) -> Sequence[Any]:
    further = task.further(recipe, train, report)
    task.check(further)
    return further


def build_store(recipe: Recipe, data: Corpus, report: Report, device: torch.device) -> FeatureStore:
    """The features of every image of every split; extracted, or the extraction resumed, where that is not done."""
    images = images_at_hand(data, recipe.data.limit)
    if recipe.features.backbone == IMPORTED:
        return _imported_store(recipe, images)
    require_images(data, data.splits)
    store = extract(
        images,
        data.open_image,
        store_path(recipe),
        recipe.features,
        device=device,
        progress=lambda done, total: report.advance(f"extract {recipe.features.backbone}", done, total, "images"),
    )
    _check_width(recipe, store.region_size - POSITION_SIZE * store.spec.positions, store.path)
    return store


def require_images(data: Corpus, splits: Sequence[str]) -> None:
    """Raise DataError, saying how many and which, when images of the splits are missing."""
    if isinstance(data, ChecksImages):
        for split in splits:
            data.require_images(split)


def images_at_hand(data: Corpus, limit: int | None = None) -> list[str]:
    """The images of every split that is here, each once, or the first `limit` of each split."""
    return list(dict.fromkeys(image for split in data.splits for image in data.images(split)[:limit]))


def _imported_store(recipe: Recipe, images: Sequence[str]) -> FeatureStore:
    """The store that `saccade import-features` made, which must have every image."""
    store = FeatureStore.open(recipe.data.store, positions=recipe.features.positions)
    if missing := [image for image in images if image not in store]:
        raise StoreError(
            f"{store.path} lacks {len(missing):,} of the {len(images):,} images of {recipe.data.name}: "
            f"{', '.join(missing[:10])}{', ...' if len(missing) > 10 else ''}; import the files that have them too"
        )
    _check_width(recipe, store.region_size - POSITION_SIZE * store.spec.positions, store.path)
    return store


def _check_width(recipe: Recipe, found: int, where: object) -> None:
    width = recipe.features.width
    if width is not None and found != width:
        raise RecipeError(
            f"{recipe.name} expects regions of {width} numbers, {where} has {found}: name another --data.store, "
            f"or set --features.width {found}"
        )


def readable(records: Sequence[Any], failed: Mapping[str, str], report: Report, noun: str) -> Sequence[Any]:
    """The records but for those about images that could not be read, for the reasons given; says how many are left out.

    Raises DataError where none is left.
    """
    kept = [record for record in records if record.image not in failed]
    if len(kept) < len(records):
        lost = [image for image in images_of(records) if image in failed]
        named = "; ".join(failed[image] for image in lost[:3]) + ("; ..." if len(lost) > 3 else "")
        report.say(f"{len(records) - len(kept)} {noun} left out, {len(lost)} images could not be read: {named}")
        if not kept:
            raise DataError(f"none of the {len(lost)} images could be read: {named}")
    return kept


def store_path(recipe: Recipe) -> Path:
    """Where the recipe's features lie: as told, or a folder named after what they depend on."""
    if recipe.data.store:
        return Path(recipe.data.store)
    spec = to_dict(recipe.features) | {"positions": None}  # these are added when features are read
    facts = json.dumps([spec, recipe.data.root, recipe.data.limit], sort_keys=True)
    return (
        Path("stores")
        / f"{recipe.data.name}-{recipe.features.backbone}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"
    )


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
    return create_model(recipe.model, region_size=1, **dict.fromkeys(data_sizes(recipe.model), 1), **recipe.sizes)


def limited(data: Corpus, split: str, recipe: Recipe) -> Sequence[Any]:
    """The task's records of a split, or those about its first so many images."""
    records, limit = data.records(recipe.task.task().Record, split), recipe.data.limit
    if limit is None:
        return records
    kept = set(images_of(records)[:limit])
    return [record for record in records if record.image in kept]


def build_model(recipe: Recipe, task: Task[Any, Any, Any], facts: FeatureFacts) -> nn.Module:
    """The recipe's model, freshly initialised, sized by its data.

    Raises RecipeError for a model with parameters per location where images differ in their regions.
    """
    if facts.grid is None and needs_locations(recipe.model):
        raise _needs_a_grid(recipe)
    return create_model(
        recipe.model,
        **task.sizes(),
        region_size=facts.region_size,
        num_regions=None if facts.grid is None else facts.grid[0] * facts.grid[1],
        **recipe.sizes,
    )


def _needs_a_grid(recipe: Recipe) -> RecipeError:
    return RecipeError(
        f"{recipe.model} learns something for each place in the image, so it needs a grid of regions over all of it, "
        "not boxes: set --features.resize squash"
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
        _check_width(recipe, backbone.channels, features.backbone)
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
