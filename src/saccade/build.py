"""From a recipe to its data, features, task and model: the one file that knows the tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saccade.choice import check_choice
from saccade.data import GENERATED, create_dataset
from saccade.data.records import ChecksImages, Corpus, KeepsFiles, images_of
from saccade.data.scenes import written_background
from saccade.data.scenes_look import Look
from saccade.errors import DataError, RecipeError, SaccadeWarning, StoreError, first, look_up
from saccade.features.backbones import create_backbone
from saccade.features.extract import covers_image, extract
from saccade.features.spec import IMPORTED, NO_FILES, NOT_STORED, POSITION_SIZE, FeatureSpec
from saccade.features.store import MANIFEST, FeatureStore
from saccade.features.tuning import Tuning
from saccade.models import create_model, data_sizes, model_sizes, needs_locations, output_of
from saccade.progress import Report
from saccade.recipe import Card, DataConfig, Recipe
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
    tuning: Tuning | None = None
    """The backbone as something to train, where the recipe says so."""


def build(
    recipe: Recipe,
    report: Report,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
) -> Setup:
    """Read the data, extract or open the features, and make the task from the training split alone.

    `autocast` makes the context that a backbone in training runs in.
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
        report.say(f"{split}: " + ", ".join(f"{number:,} {what}" for what, number in counts.items()))
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
    store = build_store(recipe if tuning is None else _kept(recipe, tuning), data, report, device)
    at_hand = readable(train, store.failed, report, kind.noun)
    val = readable(val, store.failed, report, kind.noun)
    if len(at_hand) < len(train):
        train, task = at_hand, _task(recipe, at_hand, val)
        further = _further(recipe, task, train, report)
    facts = FeatureFacts(store.spec, store.weights_hash, store.region_size, store.grid)
    if tuning is not None:
        facts = FeatureFacts(recipe.features, store.weights_hash, tuning.region_size, tuning.grid)
        if tuning.kept is not None:
            tuning.from_store(store)
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


def _kept(recipe: Recipe, tuning: Tuning) -> Recipe:
    """The recipe whose store is what the tuning keeps of an image."""
    return recipe if tuning.kept is None else dataclasses.replace(recipe, features=tuning.kept)


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


def open_data(recipe: Recipe, root: str | None = None) -> Corpus:
    """The recipe's corpus, in its own folder or another one."""
    config = recipe.data
    folder = config.root if root is None else root
    return create_dataset(config.name, folder, limit=config.limit, columns=config.columns, missing=config.missing)


def build_store(
    recipe: Recipe, data: Corpus, report: Report, device: torch.device, splits: Sequence[str] | None = None
) -> FeatureStore:
    """The features of every image of the splits, by default of all.

    They are extracted, or the extraction resumed, where that is not done; a store that is there is added to.
    """
    splits = splits or data.splits
    skip = {image for split in splits for image in left_out(recipe, data, split)}
    images = images_at_hand(data, recipe.data.limit, splits, without=skip)
    if recipe.features.backbone == IMPORTED:
        return _imported_store(recipe, images)
    require_images(recipe, data, splits, report)
    store = extract(
        images,
        data.open_image,
        _renamed(recipe),
        recipe.features,
        device=device,
        progress=lambda done, total: report.advance(f"extract {recipe.features.backbone}", done, total, "images"),
        image_file=data.image_file if isinstance(data, KeepsFiles) else None,
    )
    _check_width(recipe, store.region_size - POSITION_SIZE * store.spec.positions, store.path)
    return store


def require_images(recipe: Recipe, data: Corpus, splits: Sequence[str], report: Report) -> None:
    """Raise DataError when images of the splits are missing; or say so, where the recipe leaves them out."""
    for split in splits:
        if missing := left_out(recipe, data, split):
            report.say(
                f"{split}: {len(missing):,} of {len(data.images(split)):,} images are not there, left out with the "
                f"{recipe.task.task().noun} about them: {first(missing)}"
            )
        elif isinstance(data, ChecksImages):
            data.require_images(split)


def left_out(recipe: Recipe, data: Corpus, split: str) -> list[str]:
    """The images of a split that are not there and left out, where the recipe says so.

    None where the features come from files, for which no image is needed.
    """
    if recipe.data.missing == "error" or recipe.features.backbone == IMPORTED or not isinstance(data, ChecksImages):
        return []
    return data.missing_images(split)


def images_at_hand(
    data: Corpus, limit: int | None = None, splits: Sequence[str] | None = None, *, without: Collection[str] = ()
) -> list[str]:
    """The images of the splits, by default of every one that is here, each once, or the first `limit` of each.

    Those `without` which it is to be are left out.
    """
    found = ([image for image in data.images(split) if image not in without][:limit] for split in splits or data.splits)
    return list(dict.fromkeys(image for some in found for image in some))


def _imported_store(recipe: Recipe, images: Sequence[str]) -> FeatureStore:
    """The store that `saccade import-features` made, which must have every image."""
    store = FeatureStore.open(recipe.data.store, reading=recipe.features)
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
    """Where the recipe's features lie: as told, or a folder named after what they depend on.

    That is the corpus, by its folder wherever it is seen from, and how regions are made, but neither how many images
    there are nor what is added or checked when features are read.
    """
    if recipe.data.store:
        return Path(recipe.data.store)
    features = recipe.features
    weights = features.weights if features.weights in NO_FILES else os.path.realpath(features.weights)
    return _named(
        recipe,
        [
            to_dict(features) | dict.fromkeys(NOT_STORED) | {"weights": weights},
            real_root(recipe.data),
            *_image_column(recipe),
        ],
    )


def real_root(data: DataConfig, root: str | None = None) -> str:
    """The corpus's folder, or another one, however it was written; "" for data that is generated."""
    return "" if data.name in GENERATED else os.path.realpath(data.root if root is None else root)


def _named(recipe: Recipe, facts: Sequence[Any]) -> Path:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path("stores") / f"{recipe.data.name}-{recipe.features.backbone}-{digest[:8]}"


def _renamed(recipe: Recipe) -> Path:
    """`store_path`, to which a finished store is moved from the name that earlier versions gave it."""
    path = store_path(recipe)
    spec = to_dict(recipe.features) | {"positions": None}
    old = _named(recipe, [spec, recipe.data.root, recipe.data.limit])
    if not recipe.data.store and not path.exists() and (old / MANIFEST).exists():
        with suppress(OSError):  # another process was quicker
            old.rename(path)
    return path


def _image_column(recipe: Recipe) -> list[str]:
    """The column of the images, where it is said: those of another column may have the same names."""
    return [column for column in recipe.data.columns if column.startswith("image=")]


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


def limited(data: Corpus, split: str, recipe: Recipe) -> Sequence[Any]:
    """The task's records of a split, or those about its first so many images."""
    records, limit = data.records(recipe.task.task().Record, split), recipe.data.limit
    if skip := set(left_out(recipe, data, split)):
        records = [record for record in records if record.image not in skip]
        if not records:
            raise DataError(f"none of the {len(skip):,} images of split {split} is there", recipe.data.root)
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
