"""What can be named: models, recipes, data sets and backbones, each with a line about it."""

from __future__ import annotations

import inspect
from functools import partial

from saccade.data import DATASETS
from saccade.features.backbones import known_backbones
from saccade.models import MODELS
from saccade.recipes import RECIPES


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


def _about(model: object) -> str:
    if not isinstance(model, partial):
        return _first_line(model)
    variant = ", ".join(f"{option}={value}" for option, value in model.keywords.items())
    return f"{_first_line(model.func)} ({variant})"


def _first_line(of: object) -> str:
    return (inspect.getdoc(of) or "").partition("\n")[0]
