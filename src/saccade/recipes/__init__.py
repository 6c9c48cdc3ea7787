"""The recipes by name: documents that run. One file per paper."""

from __future__ import annotations

from collections.abc import Mapping

from saccade.errors import look_up
from saccade.recipe import Recipe
from saccade.recipes import ban, baselines, captioning_baselines, dan, dfaf, own, sat, smem

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for paper in (dan, smem, ban, dfaf, baselines, sat, captioning_baselines, own)
    for recipe in paper.RECIPES
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; raises UnknownNameError with the nearest one."""
    return look_up(RECIPES, name, "recipe")
