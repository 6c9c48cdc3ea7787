"""Scoring boxes of phrases, end to end: as MDETR's evaluator does, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.caption_files import entity_xml, write_entities
from tests.metrics.official_grounding import (
    ALL,
    Numbers,
    boxes_by_entity,
    from_the_left_edge,
    overlap,
    phrases_by_sentence,
    recalls,
    size_of,
)

from saccade.metrics.names import metric_keys
from saccade.score import score_grounding

IMAGES = ("1001", "1002", "1003", "1007", "1008", "1010", "1013")
SIZE = (400, 300)
KINDS = ("people", "clothing", "bodyparts/people", "other", "scene")
HEADS = {1: "recall_1", 5: "recall_5", 10: "recall_10", ALL: "upper_bound"}


def random_box(rng: np.random.Generator) -> Numbers:
    x, y = (int(rng.integers(1, side - 90)) for side in SIZE)
    return x, y, x + int(rng.integers(40, 90)), y + int(rng.integers(40, 90))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Flickr30k Entities of a few images, with random boxes, several of some entities and none of others."""
    rng = np.random.default_rng(7)
    root = write_entities(tmp_path / "entities", {"val": IMAGES}, None)
    for image in IMAGES:
        objects = {str(n): [random_box(rng) for _ in range(rng.integers(0, 4))] for n in range(1, 12)}
        (root / "Annotations" / f"{image}.xml").write_text(entity_xml(objects, SIZE))
        lines = []
        for _ in range(5):
            count = rng.integers(0, 5)
            heads = [f"[/EN#{rng.integers(0, 13)}/{rng.choice(KINDS)} a thing]" for _ in range(count)]
            lines.append(" and ".join([*heads, "nothing else ."]))
        (root / "Sentences" / f"{image}.txt").write_text("\n".join(lines) + "\n")
    return root


def clear(box: Numbers, meant: Sequence[Numbers]) -> bool:
    """Whether it does not matter for the verdict on a box that boxes are a pixel wider or narrower."""
    columns = list(zip(*meant, strict=True))
    around = (min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3]))
    return all(abs(float(overlap(box, one)) - 0.5) > 0.08 for one in (*meant, around))


def predict(root: Path, images: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """Results for every sentence: random boxes, some near the right one, some around all."""
    rng, entries = np.random.default_rng(seed), []
    for image in images:
        truth = boxes_by_entity(root, image)
        for number, phrases in enumerate(phrases_by_sentence(root, image)):
            lists = []
            for entity in (entity for entity, _ in phrases if entity in truth):
                meant = truth[entity]
                columns = list(zip(*meant, strict=True))
                around = (min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3]))
                boxes = [box for box in (random_box(rng) for _ in range(rng.integers(1, 16))) if clear(box, meant)]
                if rng.random() < 0.7 or not boxes:
                    boxes.insert(int(rng.triangular(0, 0, len(boxes) + 1)), meant[0] if rng.random() < 0.5 else around)
                lists.append([box for box in boxes if clear(box, meant)] or [(0, 0, 9, 9)])
            entries.append({"image_id": image, "sentence_id": number, "boxes": lists})
    return entries


def write(path: Path, entries: Sequence[Mapping[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(entry, default=int) + "\n" for entry in entries))
    else:
        path.write_text(json.dumps(list(entries), default=int))
    return path


def assert_equal(found: Mapping[str, float], official: Mapping[tuple[int, str], float], end: str) -> None:
    keys = metric_keys({kind for _, kind in official} - {"all"})
    assert len(keys) > 3
    expected = {
        f"{HEADS[top]}{end}" + ("" if kind == "all" else f"_{keys[kind]}"): share
        for (top, kind), share in official.items()
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_recalls_are_those_of_mdetrs_evaluator(folder: Path, seed: int) -> None:
    entries = predict(folder, IMAGES, seed)
    found = score_grounding(write(folder / "results.json", entries), folder)
    assert 0.05 < found["recall_1"] < found["recall_5"] < found["recall_10"] <= found["upper_bound"]
    assert found["mean_iou_merged"] != found["mean_iou"]
    for merge_boxes, end in ((False, ""), (True, "_merged")):
        assert_equal(found, recalls(folder, IMAGES, entries, merge_boxes=merge_boxes), end)


def test_the_recalls_are_those_of_mdetrs_evaluator_on_photographs(real_data: Path, tmp_path: Path) -> None:
    """Exactly where boxes are counted as here; where they are counted as there, of few phrases the verdict differs."""
    root = real_data / "flickr30k_entities"
    images = (root / "val.txt").read_text().split()
    rng = np.random.default_rng(0)
    entries, phrases = [], 0
    for image in images:
        size, truth = size_of(root, image), boxes_by_entity(root, image)
        for number, heads in enumerate(phrases_by_sentence(root, image)):
            lists = []
            for _ in (entity for entity, _ in heads if entity in truth):
                corners = np.sort(rng.uniform(0, 1, (12, 2, 2)) * size, 1).reshape(12, 4).astype(int)
                lists.append([box for box in corners.tolist() if box[2] > box[0] and box[3] > box[1]])
            phrases += len(lists)
            entries.append({"image_id": image, "sentence_id": number, "boxes": lists})
    found = score_grounding(write(tmp_path / "results.jsonl", entries), root, split="val")
    assert found["phrases"] == phrases
    for merge_boxes, end in ((False, ""), (True, "_merged")):
        theirs = recalls(root, images, entries, merge_boxes=merge_boxes, coordinates=from_the_left_edge)
        assert_equal(found, theirs, end)
        as_there = recalls(root, images, entries, merge_boxes=merge_boxes)
        assert abs(as_there[1, "all"] - found[f"recall_1{end}"]) < 0.005
