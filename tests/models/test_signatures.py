"""What a constructor takes, read from its source: the same as Python finds, and a text about every argument."""

from __future__ import annotations

import inspect
import typing

import pytest

from saccade.models import MODELS, create_model, data_sizes, model_sizes, output_of
from saccade.recipes import RECIPES
from saccade.tables import task_of
from saccade.types import Answers, Captions, Groundings, Matches


@pytest.mark.parametrize("name", MODELS)
def test_the_source_says_what_the_class_takes(name: str) -> None:
    entry = MODELS[name]
    found, build = entry.signature(), entry.model_class().__init__
    parameters = {key: each for key, each in inspect.signature(build).parameters.items() if key != "self"}
    hints = typing.get_type_hints(build)
    assert list(found.sizes) == list(parameters)
    assert len(found.sizes) >= 4
    for key, parameter in parameters.items():
        size = found.sizes[key]
        assert size.kind == hints[key], key
        assert size.needed == (parameter.default is inspect.Parameter.empty)
        assert size.needed or size.default == parameter.default
        assert type(size.default) is type(parameter.default) or size.needed
        assert size.choices == (typing.get_args(hints[key]) or ())
    assert found.about == (inspect.getdoc(entry.model_class()) or "").partition("\n")[0]
    assert found.output == output_of(name).__name__
    assert entry.variant.keys() <= parameters.keys() - model_sizes(name).keys()


@pytest.mark.parametrize("name", MODELS)
def test_every_argument_of_a_constructor_has_a_text(name: str) -> None:
    sizes = MODELS[name].signature().sizes
    assert [key for key, size in sizes.items() if len(size.about) < 5 or "`" in size.about] == []
    documented = [
        line.split("`")[1] for line in inspect.getdoc(MODELS[name].model_class().__init__).splitlines() if "- `" in line
    ]
    assert documented == list(sizes)  # in order, and none that is not there


def test_the_task_of_a_model_is_that_of_what_it_returns() -> None:
    outputs = {"answering": Answers, "captioning": Captions, "matching": Matches, "grounding": Groundings}
    assert [name for name in MODELS if outputs[task_of(name)] is not output_of(name)] == []
    assert {recipe.model for recipe in RECIPES.values()} == set(MODELS)


def test_a_variant_is_made_as_the_table_says() -> None:
    made = create_model("sat-hard", **dict.fromkeys(data_sizes("sat-hard"), 5), region_size=3, hidden_size=7)
    assert made.hard
    assert "attend" not in model_sizes("sat-hard")
