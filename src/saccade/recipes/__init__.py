"""The recipes by name: documents that run. One file per paper."""

from __future__ import annotations

from collections.abc import Mapping

from saccade.errors import look_up
from saccade.recipe import Recipe
from saccade.recipes import ban, baselines, dan, dfaf, smem

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (*dan.RECIPES, *smem.RECIPES, *ban.RECIPES, *dfaf.RECIPES, *baselines.RECIPES)
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; raises UnknownNameError with the nearest one."""
    return look_up(RECIPES, name, "recipe")
