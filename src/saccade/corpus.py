"""A recipe's corpus: its records, its images, and the store of their regions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from saccade.data import GENERATED, create_dataset
from saccade.data.records import ChecksImages, Corpus, KeepsFiles, Record, images_of
from saccade.errors import DataError, RecipeError, StoreError, first
from saccade.features.extract import extract
from saccade.features.spec import FILES, IMPORTED, NO_FILES, POSITION_SIZE, deciding
from saccade.features.store import MANIFEST, FeatureStore
from saccade.progress import Forecast, Report
from saccade.recipe import DataConfig, Recipe
from saccade.serial import to_dict
from saccade.sharing import Workers


def open_data(recipe: Recipe, root: str | None = None) -> Corpus:
    """The recipe's corpus, in its own folder or another one."""
    config = recipe.data
    folder = config.root if root is None else root
    return create_dataset(config.name, folder, limit=config.limit, columns=config.columns, missing=config.missing)


def limited(data: Corpus, split: str, recipe: Recipe, kind: type[Record] | None = None) -> Sequence[Any]:
    """The task's records of a split, or those of another kind; or those about its first so many images."""
    records, limit = data.records(kind or recipe.task.task().Record, split), recipe.data.limit
    if skip := set(left_out(recipe, data, split)):
        records = [record for record in records if record.image not in skip]
        if not records:
            raise DataError(f"none of the {len(skip):,} images of split {split} is there", recipe.data.root)
    if limit is None:
        return records
    kept = set(images_of(records)[:limit])
    return [record for record in records if record.image in kept]


def build_store(
    recipe: Recipe,
    data: Corpus,
    report: Report,
    device: torch.device,
    splits: Sequence[str] | None = None,
    *,
    workers: Workers | None = None,
) -> FeatureStore:
    """The features of every image of the splits, by default of all.

    They are extracted, or the extraction resumed, where that is not done; a store that is there is added to. `workers`
    share the extraction; all of them must call this.
    """
    splits = splits or data.splits
    skip = {image for split in splits for image in left_out(recipe, data, split)}
    images = images_at_hand(data, recipe.data.limit, splits, without=skip)
    if recipe.features.backbone == IMPORTED:
        return _imported_store(recipe, images)
    require_images(recipe, data, splits, report)
    forecast = Forecast(report, f"extraction of the regions of {len(images):,} images", len(images))

    def progress(done: int, total: int) -> None:
        report.advance(f"extract {recipe.features.backbone}", done, total, "images")
        forecast.done(done)

    store = extract(
        images,
        data.open_image,
        _renamed(recipe),
        recipe.features,
        device=device,
        progress=progress,
        image_file=data.image_file if isinstance(data, KeepsFiles) else None,
        workers=workers,
    )
    check_width(recipe, store.region_size - POSITION_SIZE * store.spec.positions, store.path)
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
    check_width(recipe, store.region_size - POSITION_SIZE * store.spec.positions, store.path)
    return store


def check_width(recipe: Recipe, found: int, where: object) -> None:
    """Raise RecipeError where regions are not as wide as the recipe says."""
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
    spec = deciding(to_dict(features))
    for name in FILES:
        if spec.get(name) and spec[name] not in NO_FILES:
            spec[name] = os.path.realpath(spec[name])
    return _named(
        recipe,
        [
            spec,
            real_root(recipe.data),
            *_image_column(recipe),
        ],
    )


def real_root(data: DataConfig, root: str | None = None) -> str:
    """The corpus's folder, or another one, however it was written; "" for data that is generated."""
    folder = data.root if root is None else root
    return "" if data.name in GENERATED else folder if folder.startswith("hub:") else os.path.realpath(folder)


def _named(recipe: Recipe, facts: Sequence[Any]) -> Path:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path("stores") / f"{recipe.data.name}-{recipe.features.backbone}-{digest[:8]}"


def _renamed(recipe: Recipe) -> Path:
    """`store_path`, to which a finished store is moved from the name that earlier versions gave it."""
    path = store_path(recipe)
    fields = to_dict(recipe.features)
    spec = {name: value for name, value in fields.items() if name in deciding(fields)} | {"positions": None}
    old = _named(recipe, [spec, recipe.data.root, recipe.data.limit])
    if not recipe.data.store and not path.exists() and (old / MANIFEST).exists():
        with suppress(OSError):  # another process was quicker
            old.rename(path)
    return path


def _image_column(recipe: Recipe) -> list[str]:
    """The column of the images, where it is said: those of another column may have the same names."""
    return [column for column in recipe.data.columns if column.startswith("image=")]
