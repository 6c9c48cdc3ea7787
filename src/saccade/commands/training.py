"""Commands that train recipes: train, compare."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from saccade.console import FLAGS, print_metrics
from saccade.devices import is_first_process
from saccade.errors import RecipeError, RunError, UnknownNameError, look_up
from saccade.features.spec import IMPORTED
from saccade.recipe import Recipe, recipe_from_dict
from saccade.recipes import RECIPES, get_recipe


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

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Train:
        """Read `RECIPE [fields]`; the recipe decides which fields there are and what they are by default."""
        if not arguments or arguments[0].startswith("-"):
            asked = bool({"-h", "--help"} & set(arguments))
            print("usage: saccade train RECIPE [--help] [any field]", file=sys.stdout if asked else sys.stderr)
            print(f"RECIPE is one of: {', '.join(RECIPES)}", file=sys.stdout if asked else sys.stderr)
            sys.exit(0 if asked else 2)
        from saccade.features.backbones import known_backbones
        from saccade.models import model_sizes

        recipe = _saved_recipe(arguments) or _started(get_recipe(arguments[0]), arguments)
        defaults = model_sizes(recipe.model)
        recipe = dataclasses.replace(recipe, sizes=defaults | recipe.sizes)
        prog = f"saccade train {arguments[0]}"
        # A flag and its "no-" both, so that what holds already may be said again: of all recipes alike, or to resume.
        parsed, unknown = tyro.cli(cls, args=arguments[1:], prog=prog, default=cls(recipe), return_unknown_args=True)
        if unknown:
            raise UnknownNameError("field", unknown[0].partition("=")[0], _field_names(cls(recipe)))
        # The recipe's sizes are for its own model: another one takes the paper's, and what was said here.
        usual = defaults if parsed.recipe.model == recipe.model else recipe.sizes
        chosen = {name: value for name, value in parsed.recipe.sizes.items() if usual.get(name) != value}
        recipe = dataclasses.replace(parsed.recipe, sizes=chosen)
        if parsed.smoke and recipe.features.backbone != IMPORTED:
            look_up(dict.fromkeys(known_backbones()), recipe.features.backbone, "backbone")
        if parsed.smoke:
            recipe = recipe.smoke()
        return dataclasses.replace(parsed, recipe=recipe)

    def run(self) -> None:
        """Train and print the validation metrics of the best epoch."""
        from saccade.console import ConsoleReport
        from saccade.train import train

        out = self.out or Path("runs") / self.recipe.name
        with ConsoleReport() as report:
            metrics = train(self.recipe, out, resume=self.resume, overwrite=self.overwrite, report=report)
        if not is_first_process():
            return
        print_metrics(metrics)
        print(f"Run directory: {out}. Go on with: saccade evaluate {out}")


def _saved_recipe(arguments: Sequence[str]) -> Recipe | None:
    """With --resume, the recipe that the run was started with, so that its fields need not be said again."""
    if "--resume" not in arguments:
        return None
    from saccade.checkpoint import RECIPE
    from saccade.serial import read_json

    said = dict(pairwise(arguments)) | dict(a.split("=", 1) for a in arguments if "=" in a)
    file = Path(said.get("--out", Path("runs") / get_recipe(arguments[0]).name)) / RECIPE
    return recipe_from_dict(read_json(file), where=RECIPE) if file.exists() else None


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

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> tuple[Compare, list[tuple[str, Recipe]]]:
        """The options, and the recipes by what was typed for each."""
        names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
        rest = list(arguments[len(names) :])
        if not names and not {"-h", "--help"} & set(rest):
            raise RecipeError("compare: expected recipes, as in: saccade compare r-dan-scenes ibowimg-scenes --seeds 3")
        prog = "saccade compare RECIPE ..."
        parsed, fields = tyro.cli(cls, args=rest, prog=prog, config=FLAGS, return_unknown_args=True)
        typed = [shlex.split(name) for name in names]
        recipes = [Train.parse([recipe, *fields, *own]).recipe for recipe, *own in typed]
        return parsed, list(zip(names, recipes, strict=True))

    def run(self, recipes: Sequence[tuple[str, Recipe]]) -> None:
        """Train or reuse, evaluate, and print the table."""
        from saccade.compare import Entry, compare
        from saccade.console import ConsoleReport

        entries = [Entry(label, recipe) for label, recipe in recipes]
        with ConsoleReport() as report:
            comparison = compare(entries, self.out, seeds=self.seeds, split=self.split, report=report)
        print(comparison.table())
        print(f"Written to {self.out}/comparison.md, .csv and .json")


def _field_names(value: Any, prefix: str = "--") -> list[str]:
    """The options that set the fields of a dataclass, those of the recipe without its name before them."""
    if isinstance(value, Mapping):
        fields = dict(value)
    else:
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    names = []
    for name, inner in fields.items():
        if dataclasses.is_dataclass(inner) or isinstance(inner, Mapping):
            names += _field_names(inner, prefix if name == "recipe" else f"{prefix}{name}.")
        else:
            names.append(prefix + name.replace("_", "-"))
    return names
