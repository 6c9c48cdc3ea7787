"""Own data looked at before training: how much there is of what, what would make training useless, and what to do."""

from __future__ import annotations

import dataclasses
import shlex
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from saccade.check.expected import Expected, expected_seconds
from saccade.check.pictures import look_at, picture_remarks, sizes
from saccade.check.texts import answer_counts, baselines, caption_remarks, question_remarks
from saccade.data.own import OwnData
from saccade.data.records import SPLITS, Caption, Question, images_of
from saccade.errors import DataError, SaccadeError, SaccadeWarning
from saccade.fitting import fitted
from saccade.progress import SILENT, Report
from saccade.recipe import DataConfig, Recipe
from saccade.recipes import get_recipe

RECIPES = {"questions": "dfaf-own", "captions": "sat-soft-own", "phrases": "ban-grounder-own"}
SHOWN = 20  # wrong lines
EXAMPLES = 5

Written = Question | Caption


@dataclass(frozen=True)
class Findings:
    """What a check found.

    ``errors`` are why training would refuse the data, the first of ``wrong`` many; ``warnings`` what would make it of
    little use. ``counts`` are by split, ``answers`` and ``kinds`` how many questions have each, ``blind`` what is right
    without looking. ``expected`` is how long training takes, or why that cannot be told. ``examples`` are records of
    training.
    """

    holds: str
    counts: Mapping[str, Mapping[str, int]]
    errors: Sequence[str]
    wrong: int
    warnings: Sequence[str]
    answers: Mapping[str, int]
    kinds: Mapping[str, int]
    blind: Mapping[str, float]
    sizes: str
    recipe: str
    command: str
    expected: Expected | str
    examples: Sequence[Written]

    @property
    def trainable(self) -> bool:
        """Whether training would begin."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "examples"}
        why = self.expected if isinstance(self.expected, str) else ""
        expected = None if isinstance(self.expected, str) else dataclasses.asdict(self.expected)
        return {**values, "trainable": self.trainable, "expected": expected, "why": why}


def check(
    root: str | Path,
    *,
    columns: Sequence[str] = (),
    missing: Literal["error", "skip"] = "error",
    quick: bool = False,
    report: Report = SILENT,
) -> tuple[Findings, OwnData]:
    """What there is to say about own data, and the data; `quick` opens no image and measures no time.

    Raises DataError where there is no own data at all.
    """
    refused: list[DataError] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SaccadeWarning)
        data = OwnData(root, columns=columns, missing=missing, refuse=refused.append)
    splits = {split: _records(data, split) for split in SPLITS}
    errors = [str(error) for error in refused[:SHOWN]]
    errors += [f"{split}: {error}" for split in ("train", "val") if (error := _empty(data, split)) and not errors]
    remarks = [str(each.message) for each in caught]
    boxed = any(phrase.boxes for each in splits["train"] if isinstance(each, Caption) for phrase in each.phrases)
    recipe = _recipe(
        "phrases" if boxed else data.holds, DataConfig("own", str(root), columns=tuple(columns), missing=missing)
    )
    questions = {split: [each for each in found if isinstance(each, Question)] for split, found in splits.items()}
    if not errors and (refusal := _refusal(recipe, splits["train"])):
        errors.append(f"train: {refusal}")
    remarks += _text_remarks(data.holds, splits, questions, recipe)
    size = ""
    if not quick:
        images = {split: images_of(found) for split, found in splits.items()}
        gone = {image for split in SPLITS if images[split] for image in data.missing_images(split)}
        every = [image for some in images.values() for image in some if image not in gone]
        seen = look_at(list(dict.fromkeys(every)), data.open_image, report)
        remarks += picture_remarks(images, seen)
        size = sizes(seen)
        if seen and all(each.failed for each in seen.values()):
            errors.append(f"none of the {len(seen)} images can be opened: {next(iter(seen.values())).failed}")
    everything = [question for found in questions.values() for question in found]
    return Findings(
        holds=data.holds,
        counts={split: data.counts(split) for split in SPLITS},
        errors=errors,
        wrong=max(len(refused), len(errors)),
        warnings=remarks,
        answers=answer_counts(everything),
        kinds=dict(Counter(question.kind for question in everything if question.kind).most_common()),
        blind=baselines(questions),
        sizes=size,
        recipe=recipe.name,
        command=_command(recipe),
        expected=_expected(recipe, data, quick=quick, wrong=bool(errors)),
        examples=_examples(splits["train"]),
    ), data


def _recipe(holds: str, data: DataConfig) -> Recipe:
    return dataclasses.replace(get_recipe(RECIPES[holds or "questions"]), data=data)


def _text_remarks(
    holds: str, splits: Mapping[str, Sequence[Written]], questions: Mapping[str, Sequence[Question]], recipe: Recipe
) -> list[str]:
    there = {split: found for split, found in splits.items() if found}
    task: Any = recipe.task
    if not there:
        return []
    if holds == "captions":
        captions = {split: [each for each in found if isinstance(each, Caption)] for split, found in there.items()}
        return caption_remarks(captions, "ptb", task.min_word_count)
    return question_remarks({split: questions[split] for split in there}, task.words, task.min_word_count)


def _records(data: OwnData, split: str) -> Sequence[Written]:
    """The records of a split; none where there are none."""
    if not any(data.counts(split).values()):
        return ()
    return data.records(Caption if data.holds == "captions" else Question, split)


def _empty(data: OwnData, split: str) -> str:
    try:
        data.images(split)
    except DataError as error:
        return str(error)
    return ""


def _refusal(recipe: Recipe, records: Sequence[Written]) -> str:
    """Why the recipe's task cannot be made of the records: words or answers that are all too rare."""
    try:
        recipe.task.task().build(records, recipe.task).trainable(records)
    except SaccadeError as error:
        return str(error)
    return ""


def _expected(recipe: Recipe, data: OwnData, *, quick: bool, wrong: bool) -> Expected | str:
    if quick or wrong:
        return "not measured, as --quick says" if quick else "not measured, for training would refuse the data"
    try:
        return expected_seconds(fitted(recipe, data), data)
    except SaccadeError as error:
        return f"cannot be told: {error}"


def _command(recipe: Recipe) -> str:
    words = ["saccade", "train", recipe.name, "--data.root", recipe.data.root]
    words += ["--data.columns", *recipe.data.columns] if recipe.data.columns else []
    words += ["--data.missing", "skip"] if recipe.data.missing == "skip" else []
    return shlex.join(words)


def _examples(records: Sequence[Written]) -> list[Written]:
    """Some records about different images, from all over the split."""
    by_image: dict[str, list[Written]] = {}
    for record in records:
        by_image.setdefault(record.image, []).append(record)
    images = list(by_image)
    chosen = [images[place * len(images) // EXAMPLES] for place in range(min(EXAMPLES, len(images)))] if images else []
    return [by_image[image][place % len(by_image[image])] for place, image in enumerate(dict.fromkeys(chosen))]
