"""What can be named: models, recipes, data sets and backbones, with a line about each. Only backbones load PyTorch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

from saccade.data import DATASETS, GENERATED
from saccade.errors import UnknownNameError, look_up
from saccade.models import MODELS
from saccade.recipe import Recipe
from saccade.recipes import RECIPES
from saccade.tasks import TASKS

# What the tables hold, and how many entries, where counting does not take seconds.
TOPICS: Mapping[str, str] = {
    "recipes": "a model on a data set, with all that decides a training run: saccade train RECIPE",
    "models": "what learns, by the task it is for: saccade train RECIPE --model MODEL",
    "datasets": "what it learns from: saccade train RECIPE --data.name DATASET",
    "backbones": "the networks that make regions of images, over a thousand: --features.backbone NAME",
}
OWN = "own"
Rows = dict[str, tuple[str, ...]]


def topics() -> Rows:
    """The tables by name, with how many entries each has and what they are."""
    counts = {"recipes": len(RECIPES), "models": len(MODELS), "datasets": len(DATASETS)}
    return {name: (str(counts.get(name, "")), about) for name, about in TOPICS.items()}


def list_models(task: str | None = None) -> list[str]:
    """The names of the models, or of those for a task; raises UnknownNameError for a task that there is not.

    >>> list_models("captioning")
    ['sat-soft', 'sat-hard', 'nic']
    """
    if task is not None:
        look_up(TASKS, task, "task")
    return [name for name in MODELS if task in (None, task_of(name))]


def list_recipes() -> list[str]:
    """The names of the recipes, which `get_recipe` takes."""
    return list(RECIPES)


def list_datasets() -> list[str]:
    """The names of the data sets, which a recipe's `data.name` takes."""
    return list(DATASETS)


def list_backbones() -> list[str]:
    """The names of the backbones, which a FeatureSpec takes."""
    return [name for rows in _backbones().values() for name in rows]


def table(topic: str, text: str = "") -> dict[str, Rows]:
    """The rows of a table in groups by title, those with that text in them; raises UnknownNameError where none has it.

    Recipes are grouped by data set, own data first, models by task. A row is what stands beside a name.
    """
    look_up(TOPICS, topic, "topic")
    groups = {"recipes": _recipes, "models": _models, "datasets": _datasets, "backbones": _backbones}[topic]()
    beginning = re.compile(rf"(?<!\w){re.escape(text)}", re.IGNORECASE)  # of a word in the line, anywhere in the name
    found = {
        title: {name: row for name, row in rows.items() if text in name or beginning.search(" ".join((title, *row)))}
        for title, rows in groups.items()
    }
    if text and not any(found.values()):
        noun = {"datasets": "data set"}.get(topic, topic.removesuffix("s"))
        raise UnknownNameError(noun, text, [name for rows in groups.values() for name in rows])
    return {title: rows for title, rows in found.items() if rows}


def _recipes() -> dict[str, Rows]:
    order = [OWN, *GENERATED, *DATASETS]
    groups: dict[str, Rows] = {}
    for recipe in sorted(RECIPES.values(), key=lambda recipe: order.index(recipe.data.name)):
        title = "own data" if recipe.data.name == OWN else recipe.data.name
        groups.setdefault(title, {})[recipe.name] = (recipe.model, recipe.data.name, recipe.card.about)
    return groups


def _models() -> dict[str, Rows]:
    groups: dict[str, Rows] = {}
    for name in MODELS:
        groups.setdefault(task_of(name), {})[name] = (_about(name),)
    return groups


def task_of(model: str) -> str:
    """The name of the task that the model is for, which its recipes say."""
    recipes: list[Recipe] = [recipe for recipe in RECIPES.values() if recipe.model == model]
    return recipes[0].task.kind if recipes else "without a recipe"


def _datasets() -> dict[str, Rows]:
    groups: dict[str, Rows] = {"own data": {}, "generated": {}, "from files": {}}
    for name, entry in DATASETS.items():
        title = "own data" if name == OWN else "generated" if name in GENERATED else "from files"
        groups[title][name] = ((inspect.getdoc(entry) or "").partition("\n")[0],)
    return groups


def _backbones() -> dict[str, Rows]:
    from saccade.features.backbones import OWN_BACKBONES, known_backbones  # noqa: PLC0415 - loads PyTorch and timm

    groups: dict[str, Rows] = {"Saccade's": {}, "timm's": {}}
    for name in known_backbones():
        groups["Saccade's" if name in OWN_BACKBONES else "timm's"][name] = ()
    return groups


def _about(name: str) -> str:
    entry = MODELS[name]
    variant = ", ".join(f"{option}={value}" for option, value in entry.variant.items())
    return entry.signature().about + (f" ({variant})" if variant else "")
