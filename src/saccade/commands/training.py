"""Commands that train recipes: train, compare."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from saccade.commands.parsing import PLAIN, Flag, describe, flags_of, refuse_unknown
from saccade.console import print_metrics
from saccade.data import DATASETS
from saccade.devices import is_first_process
from saccade.errors import RecipeError, RunError, look_up
from saccade.features.spec import IMPORTED
from saccade.models import MODELS, model_sizes, own_sizes
from saccade.recipe import RECIPE_FILE, Recipe, recipe_from_dict
from saccade.recipes import RECIPES, get_recipe, of_model, own
from saccade.serial import read_json

RECIPE_NAME = Flag("recipe", "The recipe to start from.", "RECIPE", (), 1, positional=True)


@dataclass(frozen=True)
class Train:
    """Train a recipe, any field of which can be set; `saccade list recipes` names them."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    """The recipe's fields."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Run directory; runs/RECIPE by default."""
    resume: bool = False
    """Go on with the run in that folder where it was stopped or killed."""
    overwrite: bool = False
    """Delete the run in that folder and start anew."""
    smoke: bool = False
    """Shrink the recipe to seconds: a few images, two epochs, a small untrained backbone where none is shipped."""
    typed: tyro.conf.Suppress[tuple[str, ...]] = ()
    """The fields that were typed, which nothing else decides."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Train:
        """Read `RECIPE [fields]`; the recipe decides which fields there are and what they are by default."""
        if not arguments or arguments[0].startswith("-"):
            asked = bool({"-h", "--help"} & set(arguments))
            print("usage: saccade train RECIPE [--help] [any field]", file=sys.stdout if asked else sys.stderr)
            print(f"RECIPE is one of: {', '.join(RECIPES)}", file=sys.stdout if asked else sys.stderr)
            sys.exit(0 if asked else 2)
        recipe = _saved_recipe(arguments) or _chosen(arguments)
        default = cls(_with_sizes(recipe))
        refuse_unknown(arguments[1:], flags_of(default, pairs=True), "field")
        describe(default)
        # A flag and its "no-" both, so that what holds already may be said again: of all recipes alike, or to resume.
        parsed = tyro.cli(cls, args=arguments[1:], prog=f"saccade train {arguments[0]}", default=default)
        look_up(DATASETS, parsed.recipe.data.name, "data set")
        names = (argument.partition("=")[0] for argument in arguments)
        typed = tuple(name.removeprefix("--").replace("-", "_") for name in names if name.startswith("--"))
        return dataclasses.replace(parsed, recipe=_without_usual_sizes(parsed.recipe), typed=typed)

    @classmethod
    def flags(cls, words: Sequence[str]) -> list[Flag]:
        """The recipe, and behind one its fields, with the sizes of the model that is said."""
        recipe = RECIPES.get(words[0]) if words else None
        if recipe is None:
            return [RECIPE_NAME]
        model = _said(words, "--model")
        recipe = of_model(recipe, model) if model is not None and model in MODELS else recipe
        return [RECIPE_NAME, *flags_of(cls(_with_sizes(recipe)), pairs=True)]

    def ready(self) -> Recipe:
        """The recipe to train: for own data with what the amount of it decides, with --smoke the small one.

        In place of that its own backbone must exist all the same.
        """
        if not self.smoke:
            return self.recipe if self.resume else self._fitted()
        if self.recipe.features.backbone != IMPORTED:
            from saccade.features.backbones import known_backbones

            look_up(dict.fromkeys(known_backbones()), self.recipe.features.backbone, "backbone")
        return self.recipe.smoke()

    def _fitted(self) -> Recipe:
        """The recipe for own data as the data has it, but for what was typed."""
        if not own.is_own(self.recipe):
            return self.recipe
        from saccade.corpus import open_data
        from saccade.fitting import fitted

        keep = self.typed
        if self.recipe.train.start_from:  # what the weights of that run need
            keep += ("features.image_size", "train.finetune_from", *(f"sizes.{name}" for name in self.recipe.sizes))
        return fitted(self.recipe, open_data(self.recipe), keep=keep)

    def run(self) -> None:
        """Train and print the validation metrics of the best epoch."""
        from saccade.console import ConsoleReport
        from saccade.train import train

        out = self.out or Path("runs") / self.recipe.name
        with ConsoleReport() as report:
            metrics = train(self.ready(), out, resume=self.resume, overwrite=self.overwrite, report=report)
        if not is_first_process():
            return
        print_metrics(metrics)
        print(f"Run directory: {out}. Go on with: saccade evaluate {out}")


def _saved_recipe(arguments: Sequence[str]) -> Recipe | None:
    """With --resume, the recipe that the run was started with, so that its fields need not be said again."""
    if "--resume" not in arguments:
        return None
    file = Path(_said(arguments, "--out") or Path("runs") / _named(arguments).name) / RECIPE_FILE
    return recipe_from_dict(read_json(file), where=RECIPE_FILE) if file.exists() else None


def _said(arguments: Sequence[str], flag: str) -> str | None:
    """The value that was typed behind a flag, the last one."""
    said = dict(pairwise(arguments)) | dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    return said.get(flag)


def _with_sizes(recipe: Recipe) -> Recipe:
    """The recipe with a field for each size of its model, whose type, choices and meaning the command line shows."""
    known, fields = own_sizes(recipe.model), []
    for name in recipe.sizes:
        look_up(known, name, f"size of {recipe.model}")
    for name, size in known.items():
        value = recipe.sizes.get(name, size.default)
        first = size.about.partition(" ")[0]
        about = size.about if first.rstrip(":") in size.choices else f"{size.about[:1].upper()}{size.about[1:]}"
        about = about if value == size.default else f"{about}; the paper's is {size.default}"
        value = float(value) if size.kind is float and isinstance(value, int) else value
        fields.append((name, size.kind, dataclasses.field(default=value, metadata={"help": f"{about}."})))
    sizes = dataclasses.make_dataclass("Sizes", fields, frozen=True)
    title: Any = {"help": f"What {recipe.model} is made of."}
    named = [("sizes", sizes, dataclasses.field(default_factory=sizes, metadata=title))]
    whole = dataclasses.make_dataclass("Recipe", named, bases=(Recipe,), frozen=True)
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    typed = whole(**values | {"sizes": sizes()})
    assert isinstance(typed, Recipe)
    return typed


def _without_usual_sizes(typed: Recipe) -> Recipe:
    """The recipe again, with those sizes alone that differ from the paper's."""
    usual = model_sizes(typed.model)
    values = {field.name: getattr(typed, field.name) for field in dataclasses.fields(Recipe)}
    chosen = {name: getattr(typed.sizes, name) for name in usual if getattr(typed.sizes, name) != usual[name]}
    return Recipe(**values | {"sizes": chosen})


def _chosen(arguments: Sequence[str]) -> Recipe:
    """The recipe that was typed, fitted to what was typed behind it: model, backbone, and the run to start from."""
    return _started(_named(arguments), arguments)


def _named(arguments: Sequence[str]) -> Recipe:
    """The recipe that was typed, fitted to the model and the backbone that were typed behind it."""
    recipe = get_recipe(arguments[0])
    model, backbone = (_said(arguments, flag) for flag in ("--model", "--features.backbone"))
    recipe = recipe if model is None else of_model(recipe, model)
    return recipe if backbone is None else own.of_backbone(recipe, backbone)


def _started(recipe: Recipe, arguments: Sequence[str]) -> Recipe:
    """The recipe as it is; with --train.start-from, with what makes the weights of that run fit."""
    said = [*pairwise(arguments), *(tuple(argument.split("=", 1)) for argument in arguments if "=" in argument)]
    named = [value for flag, value in said if flag in ("--train.start-from", "--train.start_from")]
    if not named:
        return recipe
    from saccade.hub import run_folder
    from saccade.recipes.starting import fitted_to
    from saccade.serial import read_json

    file = run_folder(named[-1]) / "recipe.json"
    if not file.exists():
        raise RunError(f"train.start_from: {named[-1]} is no run directory: it has no recipe.json")
    return fitted_to(recipe, recipe_from_dict(read_json(file), where=str(file)))


@dataclass(frozen=True)
class Compare:
    """Train and evaluate several recipes, each with several seeds, on the same features and split; print a table.

    A recipe may be followed by fields of its own, in quotes: "ban-scenes --sizes.glimpses 4". Fields that stand alone
    are for all recipes. What an earlier comparison trained in that folder is used again.
    """

    out: Path = Path("runs/compare")
    """Folder of the runs, comparison.md, comparison.csv and comparison.json."""
    seeds: int = 3
    """How many seeds each recipe is trained with."""
    split: Literal["val", "test"] = "test"
    """Which split to evaluate on."""

    entries: tyro.conf.Suppress[tuple[tuple[str, Train], ...]] = ()
    """The recipes by what was typed for each."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Compare:
        """Read `RECIPE... [options] [fields]`."""
        names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
        rest = list(arguments[len(names) :])
        if not names and not {"-h", "--help"} & set(rest):
            raise RecipeError("compare: expected recipes, as in: saccade compare r-dan-scenes ibowimg-scenes --seeds 3")
        typed = [_split(name) for name in names]
        for recipe, *_ in typed:
            get_recipe(recipe)
        refuse_unknown(rest, cls.flags(names), "option or field")
        describe(cls)
        parsed, fields = tyro.cli(
            cls, args=rest, prog="saccade compare RECIPE ...", config=PLAIN, return_unknown_args=True
        )
        recipes = [Train.parse([recipe, *fields, *own]) for recipe, *own in typed]
        return dataclasses.replace(parsed, entries=tuple(zip(names, recipes, strict=True)))

    @classmethod
    def flags(cls, words: Sequence[str]) -> list[Flag]:
        """The recipes, the options, and the fields of all the recipes."""
        recipes = [_split(word) for word in takewhile(lambda word: not word.startswith("-"), words)]
        fields = [flag for recipe in recipes for flag in Train.flags(recipe) if not flag.positional]
        return [dataclasses.replace(RECIPE_NAME, takes=None), *flags_of(cls), *dict.fromkeys(fields)]

    def run(self) -> None:
        """Train or reuse, evaluate, and print the table."""
        from saccade.compare import Entry, compare
        from saccade.console import ConsoleReport

        entries = [Entry(label, train.ready()) for label, train in self.entries]
        with ConsoleReport() as report:
            comparison = compare(entries, self.out, seeds=self.seeds, split=self.split, report=report)
        print(comparison.table())
        print(f"Written to {self.out}/comparison.md, .csv and .json")


def _split(typed: str) -> list[str]:
    """The recipe and the fields of its own that stand together in quotes."""
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise RecipeError(f'compare: expected a recipe or "RECIPE --field value", got {typed!r}: {error}') from None
