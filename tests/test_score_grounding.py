"""Scoring boxes of phrases, end to end: as MDETR's evaluator does, and what is refused."""

from __future__ import annotations

import json
import warnings
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

from saccade.errors import DataError, RecipeError, SaccadeError, SaccadeWarning, UnknownNameError
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


def sentence(
    image: str = "1001", number: int = 0, boxes: Any = (((1, 0, 100, 200),), ((40, 20, 80, 60),))
) -> dict[str, Any]:
    return {"image_id": image, "sentence_id": number, "boxes": boxes}


# Of the phrases of the sentences that `write_entities` writes, as many have boxes.
PHRASES = (2, 1, 1, 0, 1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two images with the same sentences: a phrase with a box, one with two, one that is a scene."""
    return write_entities(tmp_path / "entities", {"val": ("1001", "1002")}, None)


def whole(image: str = "1001") -> list[dict[str, Any]]:
    """The whole photograph for every phrase."""
    return [sentence(image, number, [[(0, 0, 400, 200)]] * count) for number, count in enumerate(PHRASES)]


def test_pixels_are_of_the_original_photograph_and_fractions_of_its_sides(small: Path, tmp_path: Path) -> None:
    """The boxes meant are (1, 1) to (100, 200) in pixels counted from 1: from 0 to 100 and from 0 to 200."""
    pixels = [sentence(number=0, boxes=[[(0, 0, 100, 200)], [(200, 0, 400, 100)]])]
    pixels += [{**each, "boxes": [[(0, 0, 100, 200)]] * len(each["boxes"])} for each in whole()[1:]]
    found = score_grounding(write(tmp_path / "pixels.jsonl", pixels), small)
    assert (found["images"], found["sentences"], found["phrases"]) == (1, 4, 5)
    assert (found["recall_1"], found["mean_iou_people"], found["mean_iou_clothing"]) == (
        0.8,
        1,
        0.5 + 0.5 * overlap_of_pink(),
    )
    fractions = [
        {**each, "boxes": [[[b[0] / 400, b[1] / 200, b[2] / 400, b[3] / 200] for b in one] for one in each["boxes"]]}
        for each in pixels
    ]
    again = score_grounding(write(tmp_path / "fractions.json", fractions), small, unit="fractions")
    assert again == pytest.approx(found)


def overlap_of_pink() -> float:
    """Of the left quarter and the first of the boxes of what is pink."""
    return 40 * 40 / (100 * 200)


def test_the_whole_image_stands_beside_the_results(small: Path, tmp_path: Path) -> None:
    found = score_grounding(write(tmp_path / "results.json", whole()), small)
    for name in ("recall_1", "recall_1_merged", "mean_iou", "mean_iou_merged"):
        assert found[f"{name}_of_whole_image"] == found[name]
    assert found["pointing_accuracy_of_whole_image"] == found["pointing_accuracy_box"]
    assert found["upper_bound"] == found["recall_10"]
    assert "pointing_accuracy" not in found


def test_points_tell_where_a_map_is_strongest(small: Path, tmp_path: Path) -> None:
    entries = [{**each, "points": [[50, 199]] * len(each["boxes"])} for each in whole()]
    entries[0]["points"] = [None, [300, 50]]
    found = score_grounding(write(tmp_path / "results.json", entries), small)
    assert (found["pointing_accuracy"], found["pointing_accuracy_clothing"]) == (3 / 5, 0.5)


@pytest.mark.parametrize("image", [1001, "1001", "1001.jpg", "1001_693b08cb0e.jpg"])
def test_images_may_be_numbers_or_names_of_files(small: Path, tmp_path: Path, image: int | str) -> None:
    entries = [{**each, "image_id": image, "sentence_id": str(each["sentence_id"])} for each in whole()]
    assert score_grounding(write(tmp_path / "results.json", entries), small)["phrases"] == 5


def test_a_split_is_scored_whole(small: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "results.json", whole())
    with pytest.raises(
        DataError, match=r"4 sentences without boxes \(1002#0, 1002#1, 1002#2, 1002#4\).*--missing miss"
    ):
        score_grounding(path, small, split="val")
    alone = score_grounding(path, small)
    with pytest.warns(SaccadeWarning, match="4 sentences without boxes .*, counted as misses"):
        found = score_grounding(path, small, split="val", missing="miss")
    assert (found["images"], found["sentences"], found["phrases"]) == (2, 8, 10)
    assert found["sentences_without_result"] == 4
    assert found["mean_iou_merged"] == pytest.approx(alone["mean_iou_merged"] / 2) != 0
    assert found["mean_iou_merged_of_whole_image"] == pytest.approx(alone["mean_iou_merged"])


@pytest.mark.parametrize("nothing", [[], None])
def test_phrases_without_boxes_are_an_error_or_misses(small: Path, tmp_path: Path, nothing: object) -> None:
    entries = whole()
    entries[0]["boxes"] = [nothing, [(200, 0, 400, 100)]]
    path = write(tmp_path / "results.json", entries)
    with pytest.raises(DataError, match=r"1 phrases without boxes \(1001#0\)"):
        score_grounding(path, small)
    with pytest.warns(SaccadeWarning, match="1 phrases without boxes"):
        found = score_grounding(path, small, missing="miss")
    assert (found["phrases_without_result"], found["recall_1_clothing"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("entries", "error", "part"),
    [
        ([sentence("1011")], UnknownNameError, "no image in .* named '1011'; did you mean '1001'"),
        ([sentence(number=5)], DataError, "a sentence of image 1001 from 0 to 4, got 5"),
        ([sentence(number=3, boxes=[[(0, 0, 9, 9)]])], DataError, r"each of the 0 phrases .*\(words none\), got 1"),
        (
            [sentence(boxes=[[(0, 0, 9, 9)]])],
            DataError,
            r"each of the 2 phrases .*\(words 0 to 1, 3 to 5\), got 1; write \[\]",
        ),
        ([sentence(), sentence()], DataError, "one result for each sentence, got more for 1001#0"),
        (
            [sentence(boxes=[[(0, 0, 0.5, 1)], [(0, 0, 1, 1)]])],
            DataError,
            "in pixels, got no number above 1; .*--unit fractions",
        ),
        (
            [sentence(boxes=[[(9, 9, 5, 20)], []])],
            DataError,
            r"x1 <= x2 .*got \[9.0, 9.0, 5.0, 20.0\]; are they x, y, width",
        ),
        ([sentence(boxes=[[(0, 0, 9)], []])], DataError, r"a list of \[x1, y1, x2, y2\], got \[\[0, 0, 9\]\]"),
        ([sentence(boxes=[(0, 0, 9, 9), []])], DataError, r"a list of \[x1, y1, x2, y2\], got \[0, 0, 9, 9\]"),
        ([sentence(boxes=[["a"], []])], DataError, r'a list of \[x1, y1, x2, y2\], got \["a"\]'),
        ([sentence(boxes=[[(0, 0, float("nan"), 9)], []])], DataError, "got .*NaN"),
        ([sentence(boxes=None)], DataError, 'entry 0: expected "boxes" to be a list with one list of boxes per phrase'),
        ([{**sentence(), "points": [[1, 2]]}], DataError, '"points" to be a list as long as "boxes"'),
        ([{**sentence(), "points": [[1], None]}], DataError, r"a point of a phrase as \[x, y\], got \[1\]"),
        ([sentence(image=None)], DataError, '"image_id" to be a string or a whole number, got null'),  # type: ignore[arg-type]
        ([sentence(number=-1)], DataError, '"sentence_id" to be a whole number, counted from 0, got -1'),
        ([3], DataError, "expected objects like .*, got 3 at 0"),
        ([], DataError, "expected results, one at least"),
    ],
)
def test_bad_results(small: Path, tmp_path: Path, entries: list[Any], error: type[SaccadeError], part: str) -> None:
    with pytest.raises(error, match=part):
        score_grounding(write(tmp_path / "results.json", entries), small)


def test_bad_files(small: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "good.json", whole())
    (tmp_path / "object.json").write_text("{}")
    (tmp_path / "bad.jsonl").write_text(json.dumps(sentence()) + "\n{\n")
    for results, part in (
        ("none.json", "no such file"),
        ("object.json", "a list of objects"),
        ("bad.jsonl", "bad.jsonl:2: "),
    ):
        with pytest.raises(DataError, match=part):
            score_grounding(tmp_path / results, small)
    with pytest.raises(DataError, match=r"expected a folder of Flickr30k Entities, with Sentences/"):
        score_grounding(good, tmp_path)
    with pytest.raises(DataError, match=r"test.txt: cannot be read"):
        score_grounding(good, small, split="test")
    (small / "none.txt").write_text("1002\n")
    with pytest.raises(UnknownNameError, match=r"no image of none.txt in .* named '1001'; did you mean '1002'"):
        score_grounding(good, small, split="none")


OWN = {
    "image": "a.jpg",
    "sentence": "A child in pink .",
    "phrases": [
        {"words": [0, 2], "boxes": [[0, 0, 0.5, 1]], "types": ["people"]},
        {"words": [3, 4], "boxes": [[0, 0, 0.25, 0.5], [0.5, 0.5, 1, 1]]},
    ],
}


def test_own_sentences_are_in_fractions_and_counted_by_image(tmp_path: Path) -> None:
    second = {"image": "b/b.jpg", "sentence": "Nobody .", "phrases": [{"words": [0, 1], "boxes": [[0, 0, 1, 1]]}]}
    nothing = {"image": "a.jpg", "sentence": "It is late .", "phrases": []}
    truth = write(tmp_path / "val.jsonl", [OWN, second, nothing, {**OWN, "phrases": OWN["phrases"][:1]}])  # type: ignore[index]
    entries = [
        sentence("a.jpg", 0, [[(0, 0, 0.5, 1)], [(0, 0, 1, 1)]]),
        sentence("a.jpg", 2, [[(0.5, 0, 1, 1)]]),
        sentence("b/b.jpg", 0, [[(0, 0, 1, 1)]]),
    ]
    found = score_grounding(write(tmp_path / "results.jsonl", entries), truth)
    assert {name: found[name] for name in ("images", "sentences", "phrases", "phrases_people")} == {
        "images": 2, "sentences": 3, "phrases": 4, "phrases_people": 2,
    }  # fmt: skip
    assert (found["recall_1"], found["recall_1_merged"], found["recall_1_people"]) == (0.5, 0.75, 0.5)
    with pytest.raises(DataError, match=r"1 sentences without boxes \(b/b.jpg#0\)"):
        score_grounding(write(tmp_path / "fewer.jsonl", entries[:2]), truth)
    with pytest.raises(UnknownNameError, match=r"named 'c.jpg'.*Known: a.jpg, b/b.jpg"):
        score_grounding(write(tmp_path / "other.jsonl", [sentence("c.jpg")]), truth)
    with pytest.raises(DataError, match=r"in fractions of width and height, got 400; .*`--unit pixels`"):
        score_grounding(write(tmp_path / "pixels.json", [sentence("b/b.jpg", 0, [[(0, 0, 400, 200)]])]), truth)
    with pytest.raises(RecipeError, match="boxes in pixels need the photographs' sizes"):
        score_grounding(tmp_path / "results.jsonl", truth, unit="pixels")
    with pytest.raises(RecipeError, match="split: a file of own sentences is scored whole, got 'val'"):
        score_grounding(tmp_path / "results.jsonl", truth, split="val")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"sentence": ""}, 'val.jsonl:1: expected "sentence" to be a string that is not empty'),
        ({"phrases": {}}, '"phrases" to be a list of objects like .*, got {}'),
        ({"phrases": [{"words": [3, 6], "boxes": []}]}, r"phrase 1: .* for the 5 words of .*, got \[3, 6\]"),
        ({"phrases": [{"phrase": "a kid", "boxes": []}]}, 'got "a kid"; the nearest in .* is "A child"'),
        (
            {"phrases": [{"words": [0, 1], "boxes": [[0, 0, 2, 1]]}]},
            r"fractions of width and height.*got \[0, 0, 2, 1\]",
        ),
        ({"word": 1}, "val.jsonl:1: no key named 'word'"),
        ({"phrases": []}, "expected phrases with a box, got none"),
    ],
)
def test_bad_own_sentences(tmp_path: Path, change: dict[str, Any], part: str) -> None:
    truth = write(tmp_path / "val.jsonl", [{**OWN, **change}])
    with pytest.raises(DataError, match=part):
        score_grounding(write(tmp_path / "results.json", [sentence("a.jpg", 0, [])]), truth)
    write(truth, [{"image": "a.jpg", "captions": ["A child ."]}])
    with pytest.raises(DataError, match=r"val.jsonl:1: expected a sentence with phrases, got captions; as in"):
        score_grounding(tmp_path / "results.json", truth)


def test_the_command(saccade: Any, refused: Any, small: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "results.json", whole())
    printed = saccade("score", "grounding", path, small).out
    assert "recall_1_merged_of_whole_image" in printed
    assert "phrases                              5\n" in printed
    found = json.loads(saccade("score", "grounding", path, small, "--json").out)
    assert found == score_grounding(path, small)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        told = saccade("score", "grounding", path, small, "--split", "val", "--missing", "miss", "--json")
    assert json.loads(told.out)["sentences_without_result"] == 4
    assert told.err.startswith("saccade: warning: ")
    assert told.err.endswith("counted as misses\n")
    refused("score", "grounding", path, parts=("expected RESULTS ANNOTATIONS, got 1 files",))
    refused("score", "grounding", path, small, "--unit", "fractions", parts=("in fractions", "got 400"))
