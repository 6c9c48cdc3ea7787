"""The recipes by name: documents that run. One file per paper, and one for own data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from saccade.errors import look_up
from saccade.models import MODELS
from saccade.recipe import Recipe
from saccade.recipes import ban, baselines, captioning_baselines, dan, dfaf, own, sat, smem

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for file in (own, dan, smem, ban, dfaf, baselines, sat, captioning_baselines)
    for recipe in file.RECIPES
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; raises UnknownNameError with the nearest one."""
    return look_up(RECIPES, name, "recipe")


def of_model(recipe: Recipe, model: str) -> Recipe:
    """The recipe with another model in sizes that fit it, under its own name.

    They are those of that model's recipe for the same data, for own data with its learning rate; else those for own
    data, or the paper's where the recipe has its own model's. Raises UnknownNameError for a model that there is not.
    """
    look_up(MODELS, model, "model")
    if model == recipe.model:
        return recipe
    name = f"{model}-{recipe.data.name}"
    fitting = RECIPES[name if name in RECIPES else f"{model}-own"].sizes if name in RECIPES or recipe.sizes else {}
    if own.is_own(recipe):
        recipe = dataclasses.replace(recipe, optim=dataclasses.replace(recipe.optim, lr=RECIPES[name].optim.lr))
    return dataclasses.replace(recipe, name=name, model=model, sizes=fitting)
