"""The models by name. Each comes from one file that reads like its paper."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from saccade.errors import RecipeError, UnknownNameError, look_up
from saccade.models.ban import BAN
from saccade.models.dan import RDAN
from saccade.models.dfaf import DFAF
from saccade.models.ibowimg import IBOWIMG
from saccade.models.lstm_q_i import LSTMQI
from saccade.models.mrn import MRN
from saccade.models.nic import NIC
from saccade.models.question_only import QuestionOnly
from saccade.models.san import SAN
from saccade.models.sat import SAT
from saccade.models.sat_hard import LOOKS
from saccade.models.smem import SMem

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "r-dan": RDAN,
    "smem-1": partial(SMem, hops=1),
    "smem-2": partial(SMem, hops=2),
    "ban": BAN,
    "ban-co": partial(BAN, attend="co"),
    "ban-unitary": partial(BAN, attend="unitary"),
    "dfaf": DFAF,
    "ibowimg": IBOWIMG,
    "lstm-q-i": LSTMQI,
    "san": SAN,
    "mrn": MRN,
    "question-only": QuestionOnly,
    "sat-soft": partial(SAT, attend="soft"),
    "sat-hard": partial(SAT, attend="hard"),
    "nic": NIC,
}

# What a model is told by its data, not by its recipe.
_FROM_DATA = ("self", "num_words", "num_answers", "region_size", "num_regions")


def create_model(
    name: str,
    *,
    num_words: int,
    region_size: int,
    num_answers: int | None = None,
    num_regions: int | None = None,
    **sizes: Any,
) -> nn.Module:
    """A freshly initialised model; `sizes` override the paper's. An answerer needs to know how many answers there are.

    `num_regions` is how many regions every image has, for the models that have parameters per location; the paper's
    number unless given. Raises UnknownNameError for a model or a size that does not exist, RecipeError for a size that
    cannot be.
    """
    build, known = look_up(MODELS, name, "model"), model_sizes(name)
    answers = () if num_answers is None else (num_answers,)
    if bool(answers) != answers_questions(name):
        does, asked = ("writes captions", "answers") if answers else ("answers questions", "captions")
        raise RecipeError(f"{name} {does}, the recipe is about {asked}: choose another model or recipe")
    for size, value in sizes.items():
        _check_size(name, size, value, look_up(known, size, f"size of {name}"))
    if num_regions is not None and needs_locations(name):
        sizes["num_regions"] = num_regions
    try:
        return build(num_words, *answers, region_size=region_size, **sizes)
    except (ValueError, RuntimeError) as error:  # what torch raises for a negative width or a dropout of 3
        given = ", ".join(f"{size}={value}" for size, value in sizes.items())
        raise RecipeError(f"{name} cannot be made with the sizes {given}: {error}") from None


def model_sizes(name: str) -> dict[str, Any]:
    """The sizes and options that a recipe may override, with the paper's values."""
    build = look_up(MODELS, name, "model")
    bound = build.keywords if isinstance(build, partial) else {}  # what makes the variant of that name
    parameters = inspect.signature(build).parameters
    return {key: p.default for key, p in parameters.items() if key not in (*_FROM_DATA, *bound)}


def needs_locations(name: str) -> bool:
    """Whether the model has parameters per location, so that every image must have the same grid of regions."""
    return "num_regions" in inspect.signature(look_up(MODELS, name, "model")).parameters


def answers_questions(name: str) -> bool:
    """Whether the model answers questions; the others write captions."""
    return "num_answers" in inspect.signature(look_up(MODELS, name, "model")).parameters


def set_look(model: nn.Module, look: str) -> None:
    """Let a model of hard attention decode so: "expectation", "argmax" or "sample"; raises RecipeError for others."""
    if not getattr(model, "hard", False):
        raise RecipeError("only a model of hard attention can be told how to look: leave out --look")
    if look not in LOOKS:
        raise UnknownNameError("look", look, LOOKS)
    model.look = look  # type: ignore[assignment]


def _check_size(name: str, size: str, value: Any, default: Any) -> None:
    """Refuse what is not of the kind of the paper's value, or not among the choices of an option."""
    if isinstance(default, str):
        build: Any = MODELS[name]
        hints = typing.get_type_hints((build.func if isinstance(build, partial) else build).__init__)
        choices = typing.get_args(hints[size])
        if value not in choices:
            raise RecipeError(f"size {size} of {name}: expected one of {', '.join(choices)}, got {value!r}")
        return
    kinds = bool if isinstance(default, bool) else int if isinstance(default, int) else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        what = "true or false" if isinstance(default, bool) else f"a number like {default!r}"
        raise RecipeError(f"size {size} of {name}: expected {what}, got {value!r}")


__all__ = ["MODELS", "answers_questions", "create_model", "model_sizes", "needs_locations", "set_look"]
