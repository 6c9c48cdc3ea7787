"""The models by name. Each comes from one file that reads like its paper."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from saccade.errors import RecipeError, look_up
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

# What the regions decide. A model's other sizes without a default are its data's too: num_words, num_answers.
_FROM_REGIONS = ("region_size", "num_regions")


def create_model(name: str, *, region_size: int, num_regions: int | None = None, **sizes: Any) -> nn.Module:
    """A freshly initialised model; `sizes` hold what it must know of its data, `data_sizes`, and override the paper's.

    `num_regions` is how many regions every image has, for the models that have parameters per location; the paper's
    number unless given. Raises UnknownNameError for a model or a size that does not exist, RecipeError for a size that
    is missing or cannot be.
    """
    build, needed, known = look_up(MODELS, name, "model"), data_sizes(name), model_sizes(name)
    if missing := [size for size in needed if size not in sizes]:
        raise RecipeError(f"{name} needs to know {' and '.join(missing)} of its data: give a number for each")
    for size, value in sizes.items():
        _check_size(name, size, value, look_up(dict.fromkeys(needed, 1) | known, size, f"size of {name}"))
    if num_regions is not None and needs_locations(name):
        sizes["num_regions"] = num_regions
    try:
        return build(region_size=region_size, **sizes)
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from None
    except (ValueError, RuntimeError) as error:  # what torch raises for more than memory holds
        given = ", ".join(f"{size}={value}" for size, value in sizes.items() if size not in needed)
        raise RecipeError(f"{name} cannot be made with the sizes {given}: {error}") from None


def model_sizes(name: str) -> dict[str, Any]:
    """The sizes and options that a recipe may override, with the paper's values."""
    build = look_up(MODELS, name, "model")
    bound = build.keywords if isinstance(build, partial) else {}  # what makes the variant of that name
    own = {key: p.default for key, p in _parameters(name).items() if p.default is not inspect.Parameter.empty}
    return {key: value for key, value in own.items() if key not in (*_FROM_REGIONS, *bound)}


def data_sizes(name: str) -> tuple[str, ...]:
    """The sizes that only the data can tell, beside those of the regions: `num_words`, of an answerer `num_answers`."""
    empty = inspect.Parameter.empty
    return tuple(key for key, p in _parameters(name).items() if p.default is empty and key not in _FROM_REGIONS)


def needs_locations(name: str) -> bool:
    """Whether the model has parameters per location, so that every image must have the same grid of regions."""
    return "num_regions" in _parameters(name)


def output_of(name: str) -> type:
    """What the model's `forward` returns, by which a task knows its models: `Answers` or `Captions`."""
    output: type = typing.get_type_hints(_class_of(name).forward)["return"]
    return output


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(look_up(MODELS, name, "model")).parameters


def _class_of(name: str) -> Any:
    """The class of a model, of whose variants each entry of the table is one."""
    build: Any = look_up(MODELS, name, "model")
    return build.func if isinstance(build, partial) else build


def _check_size(name: str, size: str, value: Any, default: Any) -> None:
    """Refuse what is not of the kind of the paper's value, or not among the choices of an option."""
    if isinstance(default, str):
        choices = typing.get_args(typing.get_type_hints(_class_of(name).__init__)[size])
        if value not in choices:
            raise RecipeError(f"size {size} of {name}: expected one of {', '.join(choices)}, got {value!r}")
        return
    kinds = bool if isinstance(default, bool) else int if isinstance(default, int) else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        what = "true or false" if isinstance(default, bool) else f"a number like {default!r}"
        raise RecipeError(f"size {size} of {name}: expected {what}, got {value!r}")


__all__ = ["MODELS", "create_model", "data_sizes", "model_sizes", "needs_locations", "output_of"]
