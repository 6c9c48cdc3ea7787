"""Every recipe, shrunk, trains and evaluates on tiny files in its corpus's official format. Counts what it visited."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.data.caption_files import (
    captions_about,
    coco_entry,
    draw,
    karpathy_entry,
    write_entities,
    write_flickr8k,
    write_karpathy,
)
from tests.data.vqa_files import write_vqa

from saccade.data.scenes import write_scenes
from saccade.evaluate import evaluate
from saccade.models import model_sizes, output_of
from saccade.recipes import RECIPES, get_recipe
from saccade.train import train
from saccade.types import Answers, Captions, Matches

IMAGES = 4
MOST = {"rsum": 6}  # of metrics that are no share
WIDTHS = {"hidden_size", "embedding_size", "attention_size", "lstm_size", "gru_size"}
"""The sizes that are narrowed here: what is looked at is the path; the paper's sizes are in the tests of the models."""


def write_daquar(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(1, 31):
        lines += [f"what is on the desk in the image{number} ?", "book, lamp" if number % 3 else "chair"]
        Image.new("RGB", (8, 6), (8 * number, 100, 50)).save(folder / "images" / f"image{number}.png")
    (folder / "qa.894.raw.train.txt").write_text("\n".join(lines))


def entries(entry: Callable[[int, str], dict]) -> list[dict]:
    splits = ("train",) * 5 + ("val", "test") * 2
    return [entry(number, split) for number, split in enumerate(splits, start=1)]


def write_own_captions(folder: Path) -> None:
    lines = []
    for number in range(20):
        draw(folder / f"{number}.png", number)
        lines.append(json.dumps({"image": f"{number}.png", "captions": captions_about(number)}))
    (folder / "train.jsonl").write_text("\n".join(lines))


def write_own_phrases(folder: Path) -> None:
    write_scenes(folder, images=20)
    for split in ("train", "val", "test"):
        (folder / f"phrases_{split}.jsonl").replace(folder / f"{split}.jsonl")


def write_flickr30k_entities(folder: Path) -> None:
    numbers = [str(number) for number in range(1, 3 * IMAGES + 1)]
    write_entities(folder, {split: numbers[part::3] for part, split in enumerate(("train", "val", "test"))})


WRITERS: dict[str, Callable[[Path], object]] = {
    "vqa1": lambda folder: write_vqa(folder, version=1, images_per_split=IMAGES),
    "vqa2": lambda folder: write_vqa(folder, version=2, images_per_split=IMAGES),
    "daquar": write_daquar,
    "own": lambda folder: write_scenes(folder, images=20),
    "own captions": write_own_captions,
    "own phrases": write_own_phrases,
    "flickr8k": lambda folder: write_flickr8k(folder),
    "flickr8k-karpathy": lambda folder: write_karpathy(folder, "flickr8k", entries(karpathy_entry)),
    "flickr30k": lambda folder: write_karpathy(folder, "flickr30k", entries(karpathy_entry)),
    "flickr30k-entities": write_flickr30k_entities,
    "coco": lambda folder: write_karpathy(folder, "coco", entries(coco_entry)),
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a corpus, written when first asked for."""
    parent = tmp_path_factory.mktemp("corpora")

    def folder(name: str) -> Path:
        path = parent / name
        if not path.exists() and name in WRITERS:
            WRITERS[name](path)
        return path

    return folder


@pytest.mark.filterwarnings("ignore:the weights of test_resnet are random")
@pytest.mark.parametrize("name", RECIPES)
def test_smoke_trains_and_evaluates(name: str, corpora, tmp_path) -> None:
    recipe = get_recipe(name).smoke()
    kind = recipe.task.kind
    own = {"captioning": "own captions", "matching": "own captions", "grounding": "own phrases"}
    root = corpora(own.get(kind, "own") if recipe.data.name == "own" else recipe.data.name)
    widths = WIDTHS & model_sizes(recipe.model).keys()
    features = recipe.features
    store = root.with_name(f"{root.name}-{features.backbone}-{features.resize}-{features.positions}-{features.regions}")
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, root=str(root), store=str(store), limit=IMAGES),
        train=dataclasses.replace(recipe.train, epochs=1, accelerator="cpu"),
        sizes=recipe.sizes | dict.fromkeys(widths, 32),
    )
    validated = train(recipe, tmp_path / "run")
    assert 0 <= validated[recipe.train.metric] <= MOST.get(recipe.train.metric, 1)
    metrics = evaluate(tmp_path / "run", accelerator="cpu")
    predictions = metrics[{"answering": "questions", "grounding": "sentences"}.get(kind, "images")]
    assert predictions > 0
    assert (tmp_path / "run" / "test" / "predictions.jsonl").read_text().count("\n") == predictions
    if kind == "matching":
        assert 0 <= metrics["rsum"] <= MOST["rsum"]
        assert metrics["sentences"] > predictions
        assert not (tmp_path / "run" / "test" / "results.json").exists()
    elif kind == "grounding":
        assert 0 <= metrics["recall_1"] <= metrics["recall_10"] <= 1
        assert 0 <= metrics["upper_bound"] <= 1
        assert metrics["phrases"] > 0
    elif kind == "captioning":
        results = json.loads((tmp_path / "run" / "test" / "results.json").read_text())
        assert {entry.keys() == {"image_id", "caption"} for entry in results} == {True}
        assert len(results) == predictions
    elif recipe.data.name.startswith("vqa"):  # the answers of the test split are the server's secret
        assert "accuracy" not in metrics
        results = json.loads((tmp_path / "run" / "test" / "results.json").read_text())
        assert {entry.keys() == {"question_id", "answer"} for entry in results} == {True}
        assert len(results) == metrics["questions"]
    else:
        assert 0 <= metrics["accuracy"] <= 1


def test_every_model_has_a_recipe_on_scenes_daquar_and_a_version_of_vqa() -> None:
    corpora = {
        name: {r.data.name for r in RECIPES.values() if r.model == name} for name in {r.model for r in RECIPES.values()}
    }
    assert len(corpora) >= 12
    answerers = {name: found for name, found in corpora.items() if output_of(name) is Answers}
    assert [name for name, found in answerers.items() if not {"scenes", "daquar"} <= found] == []
    assert [name for name, found in answerers.items() if not {"vqa1", "vqa2"} & found] == []
    captioners = {name: found for name, found in corpora.items() if output_of(name) is Captions}
    assert captioners.keys() == {"sat-soft", "sat-hard", "nic"}
    assert [
        name for name, found in captioners.items() if not {"scenes", "flickr8k", "flickr30k", "coco"} <= found
    ] == []
    matchers = {name: found for name, found in corpora.items() if output_of(name) is Matches}
    assert matchers.keys() == {"m-dan", "vse"}
    assert [name for name, found in matchers.items() if not {"scenes", "flickr8k", "flickr30k", "coco"} <= found] == []


def test_every_card_says_what_was_published_and_what_was_measured() -> None:
    lacking = [
        r.name for r in RECIPES.values() if not r.name.endswith("-own") and not (r.card.published and r.card.measured)
    ]
    assert lacking == []
