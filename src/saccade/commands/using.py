"""Commands that use what is trained: demo, list, evaluate, ask, caption."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from saccade.commands.parsing import Flag, flags_of, parse, task_options, with_task_options
from saccade.commands.replying import Numbers, tell_unknown, without_of
from saccade.console import print_metrics
from saccade.devices import is_first_process
from saccade.metrics.units import percentage


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
            print(f"{name:14} answers {percentage(row['accuracy'])} of {metrics['questions']} test questions")
        print(f"Report: {(self.out / 'report.html').resolve()}")


@dataclass(frozen=True)
class List:
    """List the recipes, models, data sets or backbones that commands and recipes can name."""

    topic: Annotated[
        Literal["topics", "recipes", "models", "datasets", "backbones", "all"],
        tyro.conf.arg(metavar="TOPIC"),
        tyro.conf.Positional,
    ] = "topics"
    """recipes, models, datasets or backbones; topics: what each of them is; all: every one but the backbones."""
    text: Annotated[str, tyro.conf.arg(metavar="TEXT"), tyro.conf.Positional] = ""
    """Only the rows with that text in them, as in `saccade list recipes own`."""

    def run(self) -> None:
        """Print the tables, in groups."""
        from saccade.tables import TOPICS, table, topics

        if self.topic == "topics":
            _print_rows(topics())
            print("saccade list TOPIC shows one of them, saccade list TOPIC TEXT its rows with that text.")
            return
        named = [name for name in TOPICS if name != "backbones"] if self.topic == "all" else [self.topic]
        for name in named:
            for title, rows in table(name, self.text).items():
                print(f"{name}, {title}:" if self.topic == "all" else f"{title}:")
                _print_rows(rows)


def _print_rows(rows: Mapping[str, tuple[str, ...]]) -> None:
    """A line each, in columns."""
    lines = [(name, *row) for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a run on a split, or hold where it looks against boxes: metrics.json and predictions.jsonl."""

    run_directory: Annotated[Path, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory."""
    split: Literal["train", "val", "test", "test-dev"] = "test"
    """Which split; test-dev is VQA's."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the files; by default RUN/SPLIT, or RUN/SPLIT-of-NAME for another corpus than the run's own, and
    RUN/boxes-SPLIT-of-NAME with --boxes."""
    boxes: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Hold the run's maps, of whatever task, against the boxes of the phrases in this folder, Flickr30k Entities' or
    own sentences with phrases."""
    limit: int | None = None
    """With --boxes: look at the split's first so many images only."""
    root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the corpus, where it has moved since training or is another one."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Finished store of the features, made as the run's were; by default the corpus's own below stores."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    batch_size: int = 256
    """Questions, or images to caption, at a time."""
    accelerator: str = "auto"
    """cpu, cuda, mps or auto."""
    devices: int = 1
    """Processes, one per device."""
    strategy: str = "auto"
    """Lightning Fabric's strategy for several processes: ddp, ddp_spawn, ddp_fork."""
    ray: str | None = None
    """Share the work through Ray: `local` starts it on this machine, `auto` joins the cluster that the machine is a
    part of, else the cluster's address."""
    json: bool = False
    """Print the metrics as one JSON object and nothing else."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Evaluate:
        """Read the command's own flags and the options of every task."""
        return parse(with_task_options(cls), arguments, prog="saccade evaluate")

    @classmethod
    def flags(cls, words: Sequence[str]) -> list[Flag]:  # noqa: ARG003 - the same behind any run
        """The command's own flags and the options of every task."""
        return flags_of(with_task_options(cls))

    def run(self) -> None:
        """Evaluate and print the metrics."""
        metrics, folder = self._evaluated() if self.boxes is None else self._held_against_boxes(self.boxes)
        if not is_first_process():
            return
        if self.json:
            print(json.dumps(metrics))
            return
        print_metrics(metrics)
        print(f"Written to {folder}")

    def _evaluated(self) -> tuple[dict[str, Any], Path]:
        """The metrics, and the folder that has them."""
        from saccade.console import ConsoleReport
        from saccade.errors import RecipeError
        from saccade.evaluate import evaluate
        from saccade.provenance import place_of

        if self.limit is not None:
            raise RecipeError("--limit: a run is evaluated on a whole split; only with --boxes on a part of it")
        with ConsoleReport() as report:
            metrics = evaluate(
                self.run_directory,
                split=self.split,
                out=self.out,
                root=self.root,
                store=self.store,
                weights=self.weights,
                batch_size=self.batch_size,
                options=task_options(self, Evaluate),
                accelerator=self.accelerator,
                devices=self.devices,
                strategy=self.strategy,
                ray=self.ray,
                report=report,
            )
        return metrics, self.out or place_of(self.run_directory, self.split, root=self.root)

    def _held_against_boxes(self, boxes: str) -> tuple[dict[str, Any], Path]:
        """The metrics of the maps, and the folder that has them."""
        from saccade.boxes import data_of_boxes, evaluate_boxes
        from saccade.console import ConsoleReport
        from saccade.errors import RecipeError
        from saccade.provenance import place_of_boxes

        said = {"root": self.root, "ray": self.ray, **task_options(self, Evaluate)}
        if foreign := [name for name, value in said.items() if value is not None]:
            raise RecipeError(f"--{foreign[0].replace('_', '-')}: means nothing with --boxes, leave one of them out")
        with ConsoleReport() as report:
            metrics = evaluate_boxes(
                self.run_directory,
                boxes,
                split=self.split,
                limit=self.limit,
                out=self.out,
                store=self.store,
                weights=self.weights,
                batch_size=self.batch_size,
                accelerator=self.accelerator,
                devices=self.devices,
                strategy=self.strategy,
                report=report,
            )
        return metrics, self.out or place_of_boxes(self.run_directory, self.split, data_of_boxes(boxes))


@dataclass(frozen=True)
class Ask:
    """Ask a trained model a question about an image."""

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or hub:OWNER/NAME, a repository of the Hugging Face hub."""
    image: Annotated[Path, tyro.conf.arg(metavar="IMAGE"), tyro.conf.Positional]
    """Image file."""
    question: Annotated[str, tyro.conf.arg(metavar="QUESTION"), tyro.conf.Positional]
    """The question, in quotes."""
    explain: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw where the model looked and what it read into this .png, .jpg or .html file."""
    top: int = 5
    """How many answers to show."""
    without_regions: Numbers = ()
    """Take these regions of the image away first, counted from 0, those of a grid row by row."""
    without_words: Numbers = ()
    """Take these words of the question away first, counted from 0, as --json lists them."""
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
        without = without_of(self.without_regions, self.without_words)
        predictor = Predictor.from_pretrained(self.run_directory, weights=self.weights)
        reply = predictor.ask(self.image, self.question, top=self.top, without=without)
        if self.explain is not None:
            save(reply.figure(), self.explain)
        tell_unknown(reply.unknown_words)
        if self.json:
            print(json.dumps(reply.to_dict()))
            return
        for answer, probability in reply.answers:
            print(f"{percentage(probability):>8}  {answer}")
        if self.explain is not None:
            print(f"Attention drawn in {self.explain}")


@dataclass(frozen=True)
class Caption:
    """Let a trained model write captions of images."""

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or hub:OWNER/NAME, a repository of the Hugging Face hub."""
    images: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="IMAGE"), tyro.conf.Positional]
    """Image files."""
    beam: int | None = None
    """Hypotheses kept while searching; the recipe's unless given."""
    length_penalty: float | None = None
    """Rank captions by log-probability over length to this power; the recipe's unless given."""
    top: int = 1
    """How many captions of each image to show; at most the beam."""
    look: Literal["expectation", "argmax", "sample"] | None = None
    """How hard attention looks: at the mean of the regions by their probability, at the likeliest, at one drawn."""
    begin: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """Words that the captions begin with, in quotes; the search goes on from there."""
    without_regions: Numbers = ()
    """Take these regions of the image away first, counted from 0, those of a grid row by row."""
    explain: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw where the model looked for each word into this .png, .jpg or .html file."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    json: bool = False
    """Print one JSON object, attention included, and nothing else."""

    def run(self) -> None:
        """Write the captions and print them."""
        from saccade.errors import ImageError, RecipeError
        from saccade.explain import captions_figure, check_suffix, save
        from saccade.features.making import unreadable
        from saccade.predict import Predictor

        if not self.images:
            raise RecipeError("caption: expected at least one image, as in: saccade caption RUN photo.jpg")
        if self.explain is not None:
            check_suffix(self.explain)
        without = without_of(self.without_regions)
        predictor = Predictor.from_pretrained(self.run_directory, weights=self.weights)
        failed = unreadable([str(image) for image in self.images], predictor.extractor.load)
        for reason in failed.values():
            print(f"left out {reason}", file=sys.stderr)
        images = [image for image in self.images if str(image) not in failed]
        if not images:
            raise ImageError(f"none of the {len(failed)} images could be read: {next(iter(failed.values()))}")
        replies = predictor.caption(
            images,
            without=without,
            beam=self.beam,
            length_penalty=self.length_penalty,
            top=self.top,
            look=self.look,
            begin=self.begin,
        )
        if self.explain is not None:
            several = len(replies) > 1
            figures = [reply.figure(reply.name if several else "") for reply in replies]
            save(captions_figure(figures), self.explain)
        if self.json:
            print(json.dumps({"captions": [reply.to_dict() for reply in replies]}))
            return
        for reply in replies:
            for text, score in ((reply.caption, reply.log_probability), *reply.alternatives):
                print(f"{reply.name}: {text}  (log-probability {score:.2f})")
        if self.explain is not None:
            print(f"Attention drawn in {self.explain}")
