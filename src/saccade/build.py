"""From a recipe to its data, features, task and model: the one file that knows the tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from saccade.data import create_dataset
from saccade.data.records import SPLITS, AnsweringData, Question, images_of
from saccade.data.split import count_questions
from saccade.errors import DataError
from saccade.features.extract import extract
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.models import create_model
from saccade.progress import Report
from saccade.recipe import Recipe
from saccade.serial import to_dict
from saccade.tasks.answering import AnsweringTask


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

    task: AnsweringTask
    store: FeatureStore
    facts: FeatureFacts
    train: Sequence[Question]
    val: Sequence[Question]


def build(recipe: Recipe, report: Report, device: torch.device) -> Setup:
    """Read the data, extract or open the features, and make the task from the training split alone."""
    create_model(recipe.model, num_words=1, num_answers=1, region_size=1, **recipe.sizes)  # refuse wrong names early
    data = create_dataset(recipe.data.name, recipe.data.root, limit=recipe.data.limit)
    train, val = (limited(data, split, recipe.data.limit) for split in ("train", "val"))
    if not train or not val:
        raise DataError(
            f"{recipe.data.name}: expected training and validation questions, got {len(train)} and {len(val)}"
        )
    for split, questions in {"training": train, "validation": val}.items():
        counts = count_questions(questions)
        report.say(f"{split}: " + ", ".join(f"{number:,} {what}" for what, number in counts.items()))
    store = build_store(recipe, data, report, device)
    train, val = (readable(questions, store, report) for questions in (train, val))
    task = AnsweringTask.build(train, recipe.task)
    wordless = next((q for q in (*train, *val) if not task.vocabulary.words(q.text)), None)
    if wordless is not None:
        raise DataError(f"question {wordless.id!r} about {wordless.image}: expected words, got {wordless.text!r}")
    facts = FeatureFacts(store.spec, store.weights_hash, store.region_size, store.grid)
    return Setup(task, store, facts, train, val)


def build_store(recipe: Recipe, data: AnsweringData, report: Report, device: torch.device) -> FeatureStore:
    """The features of every image of every split; extracted, or the extraction resumed, where that is not done."""
    images = [image for split in SPLITS for image in images_of(limited(data, split, recipe.data.limit))]
    path = store_path(recipe)
    return extract(
        images,
        data.open_image,
        path,
        recipe.features,
        device=device,
        progress=lambda done, total: report.advance(f"extract {recipe.features.backbone}", done, total, "images"),
    )


def readable(questions: Sequence[Question], store: FeatureStore, report: Report) -> Sequence[Question]:
    """The questions whose images have features; says how many are left out because their images could not be read."""
    kept = [question for question in questions if question.image in store]
    if len(kept) < len(questions):
        lost = [image for image in images_of(questions) if image not in store]
        named = "; ".join(store.failed[image] for image in lost[:3]) + ("; ..." if len(lost) > 3 else "")
        report.say(f"{len(questions) - len(kept)} questions left out, {len(lost)} images could not be read: {named}")
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


def limited(data: AnsweringData, split: str, limit: int | None) -> Sequence[Question]:
    """The questions of a split, or those about its first `limit` images."""
    questions = data.questions(split)
    if limit is None:
        return questions
    kept = set(images_of(questions)[:limit])
    return [question for question in questions if question.image in kept]


def build_model(recipe: Recipe, task: AnsweringTask, region_size: int) -> nn.Module:
    """The recipe's model, freshly initialised, sized by its data."""
    return create_model(
        recipe.model,
        num_words=len(task.vocabulary),
        num_answers=len(task.answers),
        region_size=region_size,
        **recipe.sizes,
    )
