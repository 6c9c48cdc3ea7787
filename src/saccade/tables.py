"""What can be named: models, recipes, data sets and backbones, each with a line about it."""

from __future__ import annotations

import inspect
from functools import partial

from saccade.data import DATASETS
from saccade.errors import look_up
from saccade.features.backbones import known_backbones
from saccade.models import MODELS, output_of
from saccade.recipes import RECIPES
from saccade.tasks import TASKS


def tables(what: str = "all") -> dict[str, dict[str, str]]:
    """The tables asked for, by title; `all` leaves out the backbones, of which there are over a thousand."""
    found = {}
    if what in ("all", "models"):
        found["models"] = {name: _about(model) for name, model in MODELS.items()}
    if what in ("all", "recipes"):
        found["recipes"] = {name: recipe.card.about for name, recipe in RECIPES.items()}
    if what in ("all", "datasets"):
        found["datasets"] = {name: _first_line(entry) for name, entry in DATASETS.items()}
    if what == "backbones":
        found["backbones"] = dict.fromkeys(known_backbones(), "")
    return found


def list_models(task: str | None = None) -> list[str]:
    """The names of the models, or of those for a task; raises UnknownNameError for a task that there is not.

    >>> list_models("captioning")
    ['sat-soft', 'sat-hard', 'nic']
    """
    if task is None:
        return list(MODELS)
    output = look_up(TASKS, task, "task").task().Output
    return [name for name in MODELS if output_of(name) is output]


def list_recipes() -> list[str]:
    """The names of the recipes, which `get_recipe` takes."""
    return list(RECIPES)


def list_datasets() -> list[str]:
    """The names of the data sets, which a recipe's `data.name` takes."""
    return list(DATASETS)


def list_backbones() -> list[str]:
    """The names of the backbones, which a FeatureSpec takes."""
    return list(known_backbones())


def _about(model: object) -> str:
    if not isinstance(model, partial):
        return _first_line(model)
    variant = ", ".join(f"{option}={value}" for option, value in model.keywords.items())
    return f"{_first_line(model.func)} ({variant})"


def _first_line(of: object) -> str:
    return (inspect.getdoc(of) or "").partition("\n")[0]
