"""The command line: `saccade COMMAND ...`. Each command parses, calls the library, and prints what came."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import tyro

from saccade.errors import SaccadeError, SaccadeWarning, UnknownNameError, look_up
from saccade.features.spec import FeatureSpec
from saccade.recipe import Recipe
from saccade.recipes import RECIPES, get_recipe


@dataclass(frozen=True)
class Demo:
    """Train r-DAN on generated scenes, compare it with two baselines, ask it three questions, and write a report."""

    out: Path = Path("runs/demo")
    """Folder of the run, metrics.json and report.html; what an earlier demo left there is replaced."""
    smoke: bool = False
    """The same path in seconds, on a few images; its numbers mean nothing."""

    def run(self) -> None:
        """Run the demo and say where the report is."""
        from saccade.console import ConsoleReport
        from saccade.demo import run_demo

        with ConsoleReport() as report:
            metrics = run_demo(self.out, smoke=self.smoke, report=report)
        for name, row in {"r-dan": metrics, **metrics["baselines"]}.items():
            print(f"{name:14} answers {_percent(row['accuracy'])} of {metrics['questions']} test questions")
        print(f"Report: {(self.out / 'report.html').resolve()}")


@dataclass(frozen=True)
class List:
    """List the models, recipes, data sets or backbones that commands and recipes can name."""

    what: Annotated[
        Literal["all", "models", "recipes", "datasets", "backbones"],
        tyro.conf.arg(metavar="WHAT"),
        tyro.conf.Positional,
    ] = "all"
    """Which table to print."""

    def run(self) -> None:
        """Print the tables."""
        from saccade.tables import tables

        for title, rows in tables(self.what).items():
            if self.what == "all":
                print(f"{title}:")
            for name, about in rows.items():
                print(f"  {name:24} {about}".rstrip())


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a run on a split: metrics.json and predictions.jsonl."""

    run_directory: Annotated[Path, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory."""
    split: Literal["train", "val", "test"] = "test"
    """Which split."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the two files; RUN/SPLIT by default."""
    root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the corpus, where it has moved since training."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    batch_size: int = 256
    """Questions at a time."""
    json: bool = False
    """Print the metrics as one JSON object and nothing else."""

    def run(self) -> None:
        """Evaluate and print the metrics."""
        from saccade.console import ConsoleReport
        from saccade.evaluate import evaluate

        with ConsoleReport() as report:
            metrics = evaluate(
                self.run_directory,
                split=self.split,
                out=self.out,
                root=self.root,
                weights=self.weights,
                batch_size=self.batch_size,
                report=report,
            )
        if self.json:
            print(json.dumps(metrics))
            return
        _print_metrics(metrics)
        print(f"Written to {self.out or self.run_directory / self.split}")


@dataclass(frozen=True)
class Ask:
    """Ask a trained model a question about an image."""

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or a repository on the Hugging Face hub."""
    image: Annotated[Path, tyro.conf.arg(metavar="IMAGE"), tyro.conf.Positional]
    """Image file."""
    question: Annotated[str, tyro.conf.arg(metavar="QUESTION"), tyro.conf.Positional]
    """The question, in quotes."""
    explain: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw where the model looked and what it read into this .png, .jpg or .html file."""
    top: int = 5
    """How many answers to show."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    json: bool = False
    """Print one JSON object, attention included, and nothing else."""

    def run(self) -> None:
        """Ask and print the answers."""
        from saccade.explain.files import check_suffix, save
        from saccade.predict import Predictor

        if self.explain is not None:
            check_suffix(self.explain)
        reply = Predictor.from_pretrained(self.run_directory, weights=self.weights).ask(
            self.image, self.question, top=self.top
        )
        if self.explain is not None:
            save(reply.explanation(), self.explain)
        if reply.unknown_words:
            print(f"Words never seen in training, ignored: {', '.join(reply.unknown_words)}", file=sys.stderr)
        if self.json:
            print(json.dumps(reply.to_dict()))
            return
        for answer, probability in reply.answers:
            print(f"{_percent(probability):>8}  {answer}")
        if self.explain is not None:
            print(f"Attention drawn in {self.explain}")


@dataclass(frozen=True)
class Extract:
    """Turn a folder of images into a feature store; killed and started again, it goes on where it was."""

    images: Annotated[Path, tyro.conf.arg(metavar="IMAGES"), tyro.conf.Positional]
    """Folder of images, searched with its subfolders."""
    out: Path
    """Folder of the store."""
    features: Annotated[FeatureSpec, tyro.conf.arg(name="")] = field(default_factory=FeatureSpec)
    """How an image becomes regions."""
    batch_size: int = 32
    """Images at a time."""

    def run(self) -> None:
        """Extract and print what the store holds."""
        from saccade.console import ConsoleReport
        from saccade.features.extract import extract
        from saccade.images import find_images, open_image

        names = find_images(self.images)
        with ConsoleReport() as report:
            store = extract(
                names,
                lambda name: open_image(self.images / name),
                self.out,
                self.features,
                batch_size=self.batch_size,
                progress=lambda done, total: report.advance(f"extract {self.features.backbone}", done, total, "images"),
            )
        for name, reason in store.failed.items():
            print(f"left out {name}: {reason}", file=sys.stderr)
        print(
            f"{len(store)} images, regions of {store.region_size} in {self.out}; {len(store.failed)} could not be read"
        )


@dataclass(frozen=True)
class WriteScenes:
    """Write generated scenes as PNG files and JSON Lines: a worked example of own data."""

    out: Path
    """Folder to make."""
    images: int = 1000
    """How many images, over all splits."""
    seed: int = 0
    """Another seed, other scenes."""

    def run(self) -> None:
        """Write them and say how to go on."""
        from saccade.data.scenes import write_scenes

        counts = write_scenes(self.out, images=self.images, seed=self.seed)
        for name, count in counts.items():
            print(f"{name:20} {count}")
        fields = "--features.backbone scenes-cnn --features.image-size 96 --features.positions"
        print(f"Train on them: saccade train r-dan-own --data.root {self.out} {fields}")


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

        recipe = _saved_recipe(arguments) or get_recipe(arguments[0])
        defaults = model_sizes(recipe.model)
        recipe = dataclasses.replace(recipe, sizes=defaults | recipe.sizes)
        prog = f"saccade train {arguments[0]}"
        parsed, unknown = tyro.cli(
            cls, args=arguments[1:], prog=prog, default=cls(recipe), config=FLAGS, return_unknown_args=True
        )
        if unknown:
            raise UnknownNameError("field", unknown[0].partition("=")[0], _field_names(cls(recipe)))
        # The recipe's sizes are for its own model: another one takes the paper's, and what was said here.
        usual = defaults if parsed.recipe.model == recipe.model else recipe.sizes
        chosen = {name: value for name, value in parsed.recipe.sizes.items() if usual.get(name) != value}
        recipe = dataclasses.replace(parsed.recipe, sizes=chosen)
        if parsed.smoke:
            look_up(dict.fromkeys(known_backbones()), recipe.features.backbone, "backbone")
            recipe = recipe.smoke()
        return dataclasses.replace(parsed, recipe=recipe)

    def run(self) -> None:
        """Train and print the validation metrics of the best epoch."""
        from saccade.console import ConsoleReport
        from saccade.train import train

        out = self.out or Path("runs") / self.recipe.name
        with ConsoleReport() as report:
            metrics = train(self.recipe, out, resume=self.resume, overwrite=self.overwrite, report=report)
        _print_metrics(metrics)
        print(f"Run directory: {out}. Go on with: saccade evaluate {out}")


def _saved_recipe(arguments: Sequence[str]) -> Recipe | None:
    """With --resume, the recipe that the run was started with, so that its fields need not be said again."""
    if "--resume" not in arguments:
        return None
    from saccade.checkpoint import RECIPE
    from saccade.serial import from_dict, read_json

    said = dict(pairwise(arguments)) | dict(a.split("=", 1) for a in arguments if "=" in a)
    file = Path(said.get("--out", Path("runs") / get_recipe(arguments[0]).name)) / RECIPE
    return from_dict(Recipe, read_json(file), where=RECIPE) if file.exists() else None


FLAGS = (tyro.conf.FlagCreatePairsOff,)

COMMANDS = {
    "demo": Demo,
    "list": List,
    "train": Train,
    "evaluate": Evaluate,
    "ask": Ask,
    "extract": Extract,
    "scenes": WriteScenes,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0 done, 1 a failure that the message explains, 2 wrong usage."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            _dispatch(arguments)
            sys.stdout.flush()
    except SaccadeError as error:
        print(f"saccade: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UnknownNameError) else 1)
    except KeyboardInterrupt:
        print(
            "saccade: stopped; a training run goes on with --resume, an extraction with the same command",
            file=sys.stderr,
        )
        sys.exit(130)
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # it is standard output that cannot be written: let nothing more be tried at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # which is only the reader of our output gone, as `| head` does
            place = "" if error.filename is None else f"{error.filename}: "
            print(f"saccade: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:10} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
        print("usage: saccade COMMAND ...\n", *lines, "\nsaccade COMMAND --help says more.", sep="\n")
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"saccade {version('saccade')}")
        return
    command = look_up(COMMANDS, arguments[0], "command")
    if command is Train:
        Train.parse(arguments[1:]).run()
    else:
        tyro.cli(command, args=arguments[1:], prog=f"saccade {arguments[0]}", config=FLAGS).run()


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


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our warnings on one line; those of others with their place, for it is not the user's doing."""
    if issubclass(category, SaccadeWarning):
        text = f"saccade: warning: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def _print_metrics(metrics: Mapping[str, Any]) -> None:
    """A line each; shares as percentages, except entropies, which are in nats."""
    for name, value in metrics.items():
        share = isinstance(value, float) and "entropy" not in name
        print(f"{name:36} {_percent(value) if share else f'{value:.3f}' if isinstance(value, float) else value}")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
