"""From a recipe to its data, features, task and model: the one file that knows the tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saccade.data import create_dataset
from saccade.data.records import Caption, ChecksImages, Corpus, Question, images_of
from saccade.data.visual_genome import genome_questions
from saccade.errors import DataError, RecipeError, StoreError
from saccade.features.extract import extract
from saccade.features.spec import IMPORTED, POSITION_SIZE, FeatureSpec
from saccade.features.store import FeatureStore
from saccade.metrics.vqa import preprocess_answer
from saccade.models import create_model, model_sizes, needs_locations
from saccade.nn.text_encoders import FixedLengthGRU
from saccade.progress import Report
from saccade.recipe import CaptioningConfig, Card, Recipe
from saccade.serial import to_dict
from saccade.tasks import AnsweringTask, CaptioningTask, Task, TaskType
from saccade.word_vectors import read_vectors, related_vectors


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
    task: Task
    store: FeatureStore
    facts: FeatureFacts
    train: Sequence[Any]
    val: Sequence[Any]


def build(recipe: Recipe, report: Report, device: torch.device) -> Setup:
    """Read the data, extract or open the features, and make the task from the training split alone."""
    check_model(recipe)
    data = create_dataset(recipe.data.name, recipe.data.root, limit=recipe.data.limit)
    train, val = (limited(data, split, recipe.data.limit, task_of(recipe)) for split in ("train", "val"))
    if not train or not val:
        raise DataError(f"{recipe.data.name}: expected data to train and validate on, got {len(train)} and {len(val)}")
    if recipe.data.train == "train+val":
        train, val = [*train, *val], []
    for split, questions in {"training": train, "validation": val}.items():
        counts = task_of(recipe).counts(questions)
        report.say(f"{split}: " + ", ".join(f"{number:,} {what}" for what, number in counts.items()))
    store = build_store(recipe, data, report, device)
    train, val = (readable(questions, store, report) for questions in (train, val))
    task: Task = task_of(recipe).build(train, recipe.task)  # type: ignore[arg-type]
    if isinstance(task, AnsweringTask):
        train = [*train, *_genome(recipe, train, task, report)]
    task.check([*train, *val])
    facts = FeatureFacts(store.spec, store.weights_hash, store.region_size, store.grid)
    return Setup(data, task, store, facts, train, val)


def _genome(recipe: Recipe, train: Sequence[Question], task: AnsweringTask, report: Report) -> Sequence[Question]:
    """Visual Genome's questions about the training images whose answers are classes; none unless they are asked for."""
    if not recipe.data.genome:
        return ()
    if not recipe.data.name.startswith("vqa"):
        raise RecipeError(f"data.genome: only VQA's images have questions of Visual Genome, not {recipe.data.name}")
    found = genome_questions(recipe.data.genome, images_of(train), task.answers, preprocess_answer)
    report.say(f"Visual Genome: {len(found):,} further training questions")
    return found


def load_vectors(model: nn.Module, recipe: Recipe, setup: Setup, report: Report) -> None:
    """Let the model's word embeddings start from the GloVe file that the recipe names, if it names one.

    A second table, as BAN has, starts from what the words that share a question with each word mean. Raises DataError
    for a file that holds no such vectors, RecipeError for a model that takes none or others.
    """
    if isinstance(recipe.task, CaptioningConfig) or not recipe.task.glove:
        return
    encoder = next((module for module in model.modules() if isinstance(module, FixedLengthGRU)), None)
    if encoder is None:
        raise RecipeError(f"{recipe.model} starts from no word vectors: leave out --task.glove")
    vocabulary = setup.task.vocabulary
    vectors, found = read_vectors(Path(recipe.task.glove), vocabulary.listed())
    width = encoder.tables[0].embedding_dim
    if vectors.shape[1] != width:
        raise RecipeError(
            f"task.glove: expected vectors of {width} numbers, {recipe.task.glove} has {vectors.shape[1]}; give "
            f"another file, or set --sizes.embedding-size {vectors.shape[1]}"
        )
    report.say(f"word vectors: {found:,} of {len(vocabulary) - 2:,} words are in {recipe.task.glove}")
    tables = [vectors]
    if len(encoder.tables) > 1:
        texts = [row[row > 0].tolist() for row in vocabulary.encode([q.text for q in setup.train]).ids]
        tables.append(related_vectors(vectors, texts))
    encoder.load_vectors(*tables)


def build_store(recipe: Recipe, data: Corpus, report: Report, device: torch.device) -> FeatureStore:
    """The features of every image of every split; extracted, or the extraction resumed, where that is not done."""
    images = images_at_hand(data, recipe.data.limit)
    if recipe.features.backbone == IMPORTED:
        return _imported_store(recipe, images)
    if isinstance(data, ChecksImages):
        for split in data.splits:
            data.require_images(split)
    store = extract(
        images,
        data.open_image,
        store_path(recipe),
        recipe.features,
        device=device,
        progress=lambda done, total: report.advance(f"extract {recipe.features.backbone}", done, total, "images"),
    )
    _check_width(recipe, store)
    return store


def images_at_hand(data: Corpus, limit: int | None = None) -> list[str]:
    """The images of every split that is here, each once, or the first `limit` of each split; no texts are made."""
    return list(dict.fromkeys(image for split in data.splits for image in data.images(split)[:limit]))


def _imported_store(recipe: Recipe, images: Sequence[str]) -> FeatureStore:
    """The store that `saccade import-features` made, which must have every image."""
    if not recipe.data.store:
        raise RecipeError(
            f"{recipe.name} trains on features from files: turn them into a store with saccade import-features, then "
            "say --data.store DIR"
        )
    store = FeatureStore.open(recipe.data.store, positions=recipe.features.positions)
    if missing := [image for image in images if image not in store]:
        raise StoreError(
            f"{store.path} lacks {len(missing):,} of the {len(images):,} images of {recipe.data.name}: "
            f"{', '.join(missing[:10])}{', ...' if len(missing) > 10 else ''}; import the files that have them too"
        )
    _check_width(recipe, store)
    return store


def _check_width(recipe: Recipe, store: FeatureStore) -> None:
    width, found = recipe.features.width, store.region_size - POSITION_SIZE * store.spec.positions
    if width is not None and found != width:
        raise RecipeError(
            f"{recipe.name} expects regions of {width} numbers, {store.path} has {found}: name another --data.store, "
            f"or set --features.width {found}"
        )


def readable(texts: Sequence[Any], store: FeatureStore, report: Report) -> Sequence[Any]:
    """The texts whose images have features; says how many are left out because their images could not be read."""
    kept = [text for text in texts if text.image in store]
    if len(kept) < len(texts):
        lost = [image for image in images_of(texts) if image not in store]
        named = "; ".join(store.failed[image] for image in lost[:3]) + ("; ..." if len(lost) > 3 else "")
        what = "captions" if isinstance(texts[0], Caption) else "questions"
        report.say(f"{len(texts) - len(kept)} {what} left out, {len(lost)} images could not be read: {named}")
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


def task_of(recipe: Recipe) -> TaskType:
    """The task that the recipe's settings are for."""
    return CaptioningTask if isinstance(recipe.task, CaptioningConfig) else AnsweringTask


def check_model(recipe: Recipe) -> None:
    """Refuse a model or sizes that cannot be, and a model of another task than the recipe's."""
    num_answers = None if isinstance(recipe.task, CaptioningConfig) else 1
    create_model(recipe.model, num_words=1, num_answers=num_answers, region_size=1, **recipe.sizes)


def limited(data: Corpus, split: str, limit: int | None, task: TaskType = AnsweringTask) -> Sequence[Any]:
    """The task's texts of a split, questions or captions, or those about its first `limit` images."""
    texts = task.texts(data, split)
    if limit is None:
        return texts
    kept = set(images_of(texts)[:limit])
    return [text for text in texts if text.image in kept]


def build_model(recipe: Recipe, task: Task, facts: FeatureFacts) -> nn.Module:
    """The recipe's model, freshly initialised, sized by its data.

    Raises RecipeError for a model with parameters per location where images differ in their regions.
    """
    if facts.grid is None and needs_locations(recipe.model):
        raise RecipeError(
            f"{recipe.model} learns something for each place in the image, so it needs a grid of regions, not boxes"
        )
    return create_model(
        recipe.model,
        num_words=len(task.vocabulary),
        num_answers=task.num_answers,
        region_size=facts.region_size,
        num_regions=None if facts.grid is None else facts.grid[0] * facts.grid[1],
        **recipe.sizes,
    )


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
