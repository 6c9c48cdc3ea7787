"""The models by name. Each comes from one file that reads like its paper, and is loaded when it is made.

What a model takes is read from its source, so that the table loads no PyTorch.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from saccade.errors import RecipeError, look_up
from saccade.models.signatures import Signature, Size, signature

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """A model of the table: the file and the class it comes from, and what makes it another than that class's own."""

    module: str
    name: str
    variant: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., nn.Module]:
        """What makes the model."""
        return partial(self.model_class(), **self.variant)

    def model_class(self) -> Any:
        """The class, which several entries may be variants of."""
        return getattr(import_module(f"saccade.models.{self.module}"), self.name)

    def signature(self) -> Signature:
        """What the class takes and returns."""
        return signature(f"saccade.models.{self.module}", self.name)


MODELS: Mapping[str, Entry] = {
    "r-dan": Entry("dan", "RDAN"),
    "r-dan-grounder": Entry("dan_grounder", "RDANGrounder"),
    "m-dan": Entry("dan", "MDAN"),
    "vse": Entry("dan", "MDAN", {"steps": 0}),
    "smem-1": Entry("smem", "SMem", {"hops": 1}),
    "smem-2": Entry("smem", "SMem", {"hops": 2}),
    "ban": Entry("ban", "BAN"),
    "ban-co": Entry("ban", "BAN", {"attend": "co"}),
    "ban-unitary": Entry("ban", "BAN", {"attend": "unitary"}),
    "ban-grounder": Entry("ban_grounder", "BANGrounder"),
    "dfaf": Entry("dfaf", "DFAF"),
    "dfaf-grounder": Entry("dfaf_grounder", "DFAFGrounder"),
    "ibowimg": Entry("ibowimg", "IBOWIMG"),
    "lstm-q-i": Entry("lstm_q_i", "LSTMQI"),
    "san": Entry("san", "SAN"),
    "mrn": Entry("mrn", "MRN"),
    "question-only": Entry("question_only", "QuestionOnly"),
    "sat-soft": Entry("sat", "SAT", {"attend": "soft"}),
    "sat-hard": Entry("sat", "SAT", {"attend": "hard"}),
    "nic": Entry("nic", "NIC"),
}

# What the regions decide. A model's other sizes without a default are its data's too: num_words, num_answers.
_FROM_REGIONS = ("region_size", "num_regions")


def create_model(name: str, *, region_size: int, num_regions: int | None = None, **sizes: Any) -> nn.Module:
    """A freshly initialised model; `sizes` hold what it must know of its data, `data_sizes`, and override the paper's.

    `num_regions` is how many regions every image has, for the models that have parameters per location; the paper's
    number unless given. Raises UnknownNameError for a model or a size that does not exist, RecipeError for a size that
    is missing or cannot be.
    """
    entry, needed, known = look_up(MODELS, name, "model"), data_sizes(name), own_sizes(name)
    if missing := [size for size in needed if size not in sizes]:
        raise RecipeError(f"{name} needs to know {' and '.join(missing)} of its data: give a number for each")
    for size, value in sizes.items():
        look_up(dict.fromkeys([*needed, *known]), size, f"size of {name}")
        _check_size(name, size, value, entry.signature().sizes[size])
    if num_regions is not None and needs_locations(name):
        sizes["num_regions"] = num_regions
    try:
        return entry.load()(region_size=region_size, **sizes)
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from None
    except (ValueError, RuntimeError) as error:  # what torch raises for more than memory holds
        given = ", ".join(f"{size}={value}" for size, value in sizes.items() if size not in needed)
        raise RecipeError(f"{name} cannot be made with the sizes {given}: {error}") from None


def own_sizes(name: str) -> dict[str, Size]:
    """The sizes and options that a recipe may override: what each is, and the paper's value."""
    entry = look_up(MODELS, name, "model")
    sizes = entry.signature().sizes.items()
    return {key: size for key, size in sizes if not size.needed and key not in (*_FROM_REGIONS, *entry.variant)}


def model_sizes(name: str) -> dict[str, Any]:
    """The sizes and options that a recipe may override, with the paper's values."""
    return {key: size.default for key, size in own_sizes(name).items()}


def data_sizes(name: str) -> tuple[str, ...]:
    """The sizes that only the data can tell, beside those of the regions: `num_words`, of an answerer `num_answers`."""
    sizes = look_up(MODELS, name, "model").signature().sizes
    return tuple(key for key, size in sizes.items() if size.needed and key not in _FROM_REGIONS)


def needs_locations(name: str) -> bool:
    """Whether the model has parameters per location, so that every image must have the same grid of regions."""
    return "num_regions" in look_up(MODELS, name, "model").signature().sizes


def output_of(name: str) -> type:
    """What the model's `forward` returns, such as `Answers` or `Groundings`, by which a task knows its models."""
    output: type = typing.get_type_hints(look_up(MODELS, name, "model").model_class().forward)["return"]
    return output


def _check_size(name: str, size: str, value: Any, known: Size) -> None:
    """Refuse what is not of the kind of the paper's value, or not among the choices of an option."""
    if known.choices:
        if value not in known.choices:
            raise RecipeError(f"size {size} of {name}: expected one of {', '.join(known.choices)}, got {value!r}")
        return
    kinds = (int, float) if known.kind is float else known.kind
    if not isinstance(value, kinds) or isinstance(value, bool) != (known.kind is bool):
        what = "true or false" if known.kind is bool else f"a number like {1 if known.needed else known.default!r}"
        raise RecipeError(f"size {size} of {name}: expected {what}, got {value!r}")


__all__ = ["MODELS", "create_model", "data_sizes", "model_sizes", "needs_locations", "output_of", "own_sizes"]
