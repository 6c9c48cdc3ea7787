"""The demo: r-DAN learns the generated scenes beside two baselines, answers three questions, and all is reported."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade import checkpoint
from saccade.corpus import limited
from saccade.data import create_dataset
from saccade.data.records import Question, images_of
from saccade.evaluate import evaluate
from saccade.explain import Commands, Facts, Figure, MetricsTable, page, save_page
from saccade.predict import Predictor
from saccade.progress import SILENT, Report
from saccade.recipe import Recipe
from saccade.recipes import get_recipe
from saccade.serial import write_json
from saccade.train import train

# Enough for the demo's figures in a few minutes; the recipes themselves train longer, on all images.
IMAGES = 5000
EPOCHS = {"r-dan-scenes": 7, "ibowimg-scenes": 3, "question-only-scenes": 1}
ASKED = ("color", "relation", "count")


def run_demo(out: Path, *, smoke: bool = False, report: Report = SILENT) -> dict[str, Any]:
    """Train, evaluate, ask and report into `out`; returns r-DAN's test metrics, those of the baselines beside them."""
    started = time.perf_counter()
    found = {}
    for name in EPOCHS:
        recipe = _recipe(name, smoke)
        folder = out if recipe.model == "r-dan" else out / recipe.model
        report.say(f"{recipe.model}: {recipe.card.about}")
        train(recipe, folder, overwrite=True, report=report)
        found[recipe.model] = evaluate(folder, report=report)
    metrics = {**found.pop("r-dan"), "baselines": found, "seconds": round(time.perf_counter() - started, 1)}
    write_json(out / checkpoint.METRICS, metrics)
    save_page(_page(out, metrics, smoke), out / "report.html")
    return metrics


def _recipe(name: str, smoke: bool) -> Recipe:
    recipe = get_recipe(name)
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, limit=IMAGES),
        train=dataclasses.replace(recipe.train, epochs=EPOCHS[name]),
    )
    return recipe.smoke() if smoke else recipe


def _page(out: Path, metrics: dict[str, Any], smoke: bool) -> str:
    kinds = sorted(name for name in metrics if name.startswith("accuracy_"))
    columns = ["all", *(name.removeprefix("accuracy_") for name in kinds)]
    rows = {
        name: [values["accuracy"], *(values.get(kind) for kind in kinds)]
        for name, values in {"r-DAN": metrics, **metrics["baselines"]}.items()
    }
    looking = {
        name: [metrics.get(f"{name}{suffix}") for suffix in ("", "_color", "_shape")]
        for name in ("pointing_accuracy", "attention_mass")
    }
    warning = " This was a smoke run: its numbers mean nothing." if smoke else ""
    recipe = _recipe("r-dan-scenes", smoke)
    return page(
        "r-DAN looks at scenes",
        [
            MetricsTable(
                "Questions answered",
                columns,
                rows,
                first="model",
                caption=f"{metrics['questions']} questions about {metrics['images']} held-out scenes, by type.",
            ),
            MetricsTable(
                "Where it looked",
                ["all", "color", "shape"],
                looking,
                first="attention of the last step",
                best=False,
                caption="Pointing: the strongest region lies on a thing the question is about. "
                "Mass: the share of attention on those things.",
            ),
            *_asked(out, recipe),
            Facts(
                "How this was made",
                {
                    "model": "r-DAN, Nam, Ha and Kim, Dual Attention Networks, CVPR 2017",
                    "recipe": f"{recipe.name}, {recipe.train.epochs} epochs over {recipe.data.limit} images",
                    "seed": str(recipe.train.seed),
                    "regions": f"the grid of {recipe.features.backbone}, each with its position",
                    "time": f"{metrics['seconds'] / 60:.1f} minutes, baselines included",
                    "run directory": str(out),
                },
            ),
            Commands(
                "What to try next",
                [
                    (
                        f'saccade ask {out} IMAGE "what color is the circle?" --explain look.html',
                        "Ask it about another image",
                    ),
                    ("saccade train r-dan-scenes", "Train it longer"),
                    ("saccade scenes --out my-scenes", "See what own data looks like"),
                    ("saccade train dfaf-own --data.root DIR", "Train on own images"),
                ],
            ),
        ],
        lead="A small attention model read questions about generated scenes and answered them. "
        "The maps show where it looked, the shaded words what it read." + warning,
    )


def _asked(out: Path, recipe: Recipe) -> list[Figure]:
    """A question of each kind in ASKED, each about the next held-out scene that has one: not chosen by the answer."""
    data = create_dataset(recipe.data.name, limit=recipe.data.limit)
    questions = limited(data, "test", recipe)
    predictor = Predictor.from_pretrained(out)
    figures = []
    for question in _one_of_each(questions):
        reply = predictor.ask(data.open_image(question.image), question.text)
        figures.append(reply.figure(note=f"Right answer: {question.answers[0]}"))
    return figures


def _one_of_each(questions: Sequence[Question]) -> list[Question]:
    images, chosen = images_of(questions), []
    for kind in ASKED:
        image = next(image for image in images if any(q.image == image and q.kind == kind for q in questions))
        chosen.append(next(q for q in questions if q.image == image and q.kind == kind))
        images.remove(image)
    return chosen
