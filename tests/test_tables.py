"""Every model, recipe, data set and option: names, defaults, help texts. Counts what it visited."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import typing
from pathlib import Path

import pytest

import saccade.recipes
from saccade.cli import COMMANDS
from saccade.data import DATASETS, GENERATED, READ, create_dataset
from saccade.data.records import SPLITS, Corpus, Question, images_of
from saccade.features.backbones import known_backbones
from saccade.features.spec import IMPORTED, FeatureSpec
from saccade.models import MODELS, create_model, data_sizes
from saccade.recipe import Recipe, recipe_from_dict, recipe_to_dict
from saccade.recipes import RECIPES, get_recipe
from saccade.tasks import TASKS

SOURCE = Path(__file__).parent.parent / "src" / "saccade"
TABLES = {"models": MODELS, "data sets": DATASETS, "recipes": RECIPES, "commands": COMMANDS}


@pytest.fixture(scope="module")
def backbones() -> set[str]:
    return set(known_backbones())


@pytest.mark.parametrize("title", TABLES)
def test_names_are_lower_case_and_have_no_spaces(title: str) -> None:
    names = list(TABLES[title])
    assert [name for name in names if name != name.lower() or not name.replace("-", "").isalnum()] == []
    assert len(names) >= 3


def test_no_recipe_hides_another_of_its_name() -> None:
    modules = [
        importlib.import_module(f"saccade.recipes.{m.name}") for m in pkgutil.iter_modules(saccade.recipes.__path__)
    ]
    written = [recipe.name for module in modules for recipe in getattr(module, "RECIPES", ())]
    assert sorted(written) == sorted(RECIPES)
    assert len(modules) >= 2


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_names_what_exists(name: str, backbones: set[str]) -> None:
    recipe = get_recipe(name)
    assert recipe.model in MODELS
    assert recipe.data.name in DATASETS
    assert recipe.features.backbone in {*backbones, IMPORTED}
    # What a paper's grounder was published on has the paper's name alone.
    assert name == recipe.name
    assert name in {f"{recipe.model}-{recipe.data.name}", "ban-flickr30k-entities"}
    assert recipe.card.about


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_survives_json(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(recipe)))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_makes_its_model(name: str) -> None:
    recipe = get_recipe(name)
    model = create_model(recipe.model, **dict.fromkeys(data_sizes(recipe.model), 3), region_size=5, **recipe.sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("name", RECIPES)
def test_smoke_shrinks_a_recipe(name: str, backbones: set[str]) -> None:
    recipe, small = get_recipe(name), get_recipe(name).smoke()
    assert small.data.limit is not None
    assert small.data.limit <= 24
    assert small.train.epochs <= 2 < recipe.train.epochs
    assert small.train.batch_size < recipe.train.batch_size
    assert small.features.image_size <= 96
    assert small.features.backbone in backbones
    # It needs nothing from the network.
    assert small.features.weights == "random" or small.features.backbone == "scenes-cnn"
    assert (small.name, small.model, small.sizes) == (recipe.name, recipe.model, recipe.sizes)


def test_every_model_has_a_recipe_and_every_recipe_a_model() -> None:
    assert {recipe.model for recipe in RECIPES.values()} == set(MODELS)
    assert len(RECIPES) >= 2 * len(MODELS)


@pytest.mark.parametrize("name", GENERATED)
def test_data_sets_without_files_can_be_read(name: str) -> None:
    data = create_dataset(name)
    assert isinstance(data, Corpus)
    questions = data.records(Question, "val")
    assert len(questions) >= 1000
    assert data.open_image(images_of(questions)[0]).mode == "RGB"


def test_every_data_set_is_generated_or_read() -> None:
    assert set(DATASETS) == {*GENERATED, *READ}
    assert len(GENERATED) >= 3
    assert SPLITS == ("train", "val", "test")


def test_everything_public_has_a_docstring() -> None:
    visited, missing = 0, []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not text.strip():
            continue
        for node, name in _public(ast.parse(text), path.relative_to(SOURCE).as_posix()):
            visited += 1
            if not ast.get_docstring(node):
                missing.append(name)
    assert missing == []
    assert visited > 300


def test_every_field_of_a_recipe_has_a_help_text() -> None:
    """A group of fields, which is a dataclass itself, is helped by that dataclass's docstring."""
    configs = _with_parts(Recipe)
    assert {config.__name__ for config in configs} >= {
        "Recipe",
        "FeatureSpec",
        "AnsweringConfig",
        "CaptioningConfig",
        "TrainConfig",
    }
    assert FeatureSpec in configs
    fields = [field for config in configs for field in _undocumented(config)]
    assert fields == []
    assert sum(len(dataclasses.fields(config)) for config in configs) > 50


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_has_a_help_text(name: str) -> None:
    assert inspect.getdoc(COMMANDS[name])
    assert _undocumented(COMMANDS[name]) == []


def _public(tree: ast.Module, path: str) -> list[tuple[ast.Module | ast.ClassDef | ast.FunctionDef, str]]:
    """The module, its public functions and classes, and their public methods."""
    found: list[tuple[ast.Module | ast.ClassDef | ast.FunctionDef, str]] = [(tree, path)]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            found.append((node, f"{path}: {node.name}"))
            if isinstance(node, ast.ClassDef):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                found += [(m, f"{path}: {node.name}.{m.name}") for m in methods if not m.name.startswith("_")]
    return found


def _with_parts(config: type) -> list[type]:
    """A dataclass and those that its fields are, each once."""
    found = [config]
    hints = [*typing.get_type_hints(config).values(), *(TASKS.values() if config is Recipe else ())]
    for part in (alternative for hint in hints for alternative in (typing.get_args(hint) or (hint,))):
        if dataclasses.is_dataclass(part) and part not in found:
            found += [each for each in _with_parts(part) if each not in found]
    return found


def _undocumented(config: type) -> list[str]:
    """The fields without a docstring below them, or for a nested dataclass in it."""
    [node] = ast.parse(inspect.getsource(config)).body
    assert isinstance(node, ast.ClassDef)
    hints = typing.get_type_hints(config)
    missing = []
    for statement, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(statement.annotation):
            continue
        hint = hints[statement.target.id]
        documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        nested = dataclasses.is_dataclass(hint) and inspect.getdoc(hint)
        if not (documented or nested):
            missing.append(f"{config.__name__}.{statement.target.id}")
    return missing
