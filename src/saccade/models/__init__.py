"""The models by name. Each comes from one file that reads like its paper."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from saccade.errors import RecipeError, look_up
from saccade.models.dan import RDAN
from saccade.models.ibowimg import IBOWIMG
from saccade.models.question_only import QuestionOnly

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "r-dan": RDAN,
    "ibowimg": IBOWIMG,
    "question-only": QuestionOnly,
}

# What a model is told by its data, not by its recipe.
_FROM_DATA = ("self", "num_words", "num_answers", "region_size")


def create_model(name: str, *, num_words: int, num_answers: int, region_size: int, **sizes: Any) -> nn.Module:
    """A freshly initialised model; `sizes` override the paper's.

    Raises UnknownNameError for a model or a size that does not exist, RecipeError for a size that cannot be.
    """
    build, known = look_up(MODELS, name, "model"), model_sizes(name)
    for size, value in sizes.items():
        default = look_up(known, size, f"size of {name}")
        if not isinstance(value, int if isinstance(default, int) else int | float) or isinstance(value, bool):
            raise RecipeError(f"size {size} of {name}: expected a number like {default!r}, got {value!r}")
    try:
        return build(num_words, num_answers, region_size=region_size, **sizes)
    except (ValueError, RuntimeError) as error:  # what torch raises for a negative width or a dropout of 3
        given = ", ".join(f"{size}={value}" for size, value in sizes.items())
        raise RecipeError(f"{name} cannot be made with the sizes {given}: {error}") from None


def model_sizes(name: str) -> dict[str, Any]:
    """The sizes that a recipe may override, with the paper's values."""
    parameters = inspect.signature(look_up(MODELS, name, "model")).parameters
    return {key: p.default for key, p in parameters.items() if key not in _FROM_DATA}


__all__ = ["MODELS", "create_model", "model_sizes"]
