"""What a recipe takes of the recipe of a run that it starts from, so that the weights of that run fit."""

from __future__ import annotations

import dataclasses

from saccade.recipe import Recipe

# How the backbone is trained: these depend on which one it is.
WITH_BACKBONE = ("finetune_from", "finetune_lr", "finetune_stages", "finetune_size", "augment")


def fitted_to(recipe: Recipe, run: Recipe) -> Recipe:
    """The recipe with the run's features, its way to train the backbone, and, of the same model, its sizes."""
    backbone = {name: getattr(run.train, name) for name in WITH_BACKBONE}
    return dataclasses.replace(
        recipe,
        features=run.features,
        train=dataclasses.replace(recipe.train, **backbone),
        sizes=run.sizes if run.model == recipe.model else recipe.sizes,
    )
