"""Recipes of the baselines iBOWIMG (Zhou et al. 2015) and question-only, on the features and splits of r-DAN's."""

from __future__ import annotations

import dataclasses

from saccade.recipe import Card, OptimConfig, Recipe
from saccade.recipes import dan

_ABOUT = {
    "ibowimg": "a bag of words beside the mean region: what no attention can do",
    "question-only": "the question without the image: what the wording gives away",
}


def _beside(model: str, recipe: Recipe) -> Recipe:
    """The baseline on another recipe's data and features."""
    dataset = recipe.name.removeprefix(f"{recipe.model}-")
    return dataclasses.replace(
        recipe,
        name=f"{model}-{dataset}",
        model=model,
        optim=OptimConfig(name="adam", lr=1e-3),
        train=dataclasses.replace(recipe.train, patience=5),
        sizes={name: size for name, size in recipe.sizes.items() if model == "question-only"},
        card=Card(_ABOUT[model]),
    )


RECIPES = tuple(_beside(model, recipe) for model in _ABOUT for recipe in dan.RECIPES)
