"""Scoring what other people's models ground, from a file of boxes: one object for each sentence, as MDETR's evaluator.

    {"image_id": "1000268201", "sentence_id": 0, "boxes": [[[7, 151, 108, 340], ...], ...]}

`boxes` has a list for each phrase of the sentence that has a box, in the sentence's order: the boxes predicted, best
first, as x1, y1, x2, y2. `points`, if there, has for each of them the [x, y] at which the model's map is strongest. A
list of such objects in a .json file, or one a line in a .jsonl file.

In pixels they are of the photograph in its original size, the left edge of which is at 0 and the right one at its
width, whatever is counted from 1 in the files of Flickr30k Entities: its boxes are read as `saccade.data.entities`
says. Fractions are of width and height.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from saccade.data.entities import number_of
from saccade.data.lines import read_lines
from saccade.data.own_lines import read_object
from saccade.data.records import Phrase
from saccade.data.vqa_json import doubles, read_json
from saccade.errors import DataError, RecipeError, SaccadeWarning, UnknownNameError, first, show
from saccade.metrics.grounding import WHOLE, GroundedPhrase, grounding_metrics, line_metrics
from saccade.score.phrases import Annotations, Sentence, is_entities, read_entities, read_own

ENTRY = '{"image_id": "1000268201", "sentence_id": 0, "boxes": [[[7, 151, 108, 340]]]}'
FAR = 2.0  # no fraction of a box that has anything to do with its image is larger

Boxes = Float[np.ndarray, "boxes 4"]
Point = Float[np.ndarray, " 2"]


class _Predicted(NamedTuple):
    """What was predicted of a phrase; no boxes, and no point, where there is nothing."""

    boxes: Boxes
    point: Point | None


NOTHING = _Predicted(np.zeros((0, 4)), None)
Results = dict[Sentence, list[_Predicted]]


def score_grounding(
    results: Path | str,
    annotations: Path | str,
    *,
    split: str | None = None,
    unit: Literal["pixels", "fractions"] | None = None,
    missing: Literal["error", "miss"] = "error",
) -> dict[str, float]:
    """The metrics of `saccade.metrics.grounding` for a file of boxes, and what the whole image as the box would get.

    `annotations` is a folder of Flickr30k Entities, of which the images of the results are scored, or all that
    `split`.txt there names; or a JSON Lines file of own sentences, all of which are. `unit` is what the boxes are in:
    unless told pixels with Entities, fractions with own sentences. The upper bound is that of all boxes given for a
    phrase, as MDETR's evaluator has it.

    First the counts `images`, `sentences` (with a box) and `phrases`. Sentences without a result, and phrases without a
    box among the results, are an error; with `missing` "miss" they count as misses, and as `sentences_without_result`
    and `phrases_without_result`, and a SaccadeWarning says how many. Raises DataError for files that are not as
    expected, UnknownNameError for results of an image that is not there, with the nearest that is.
    """
    path, truth = Path(results), Path(annotations)
    entities = is_entities(truth)
    unit = unit or ("pixels" if entities else "fractions")
    _check_choices(truth, entities, split, unit)
    found = _read(path, entities)
    images = list(dict.fromkeys(image for image, _ in found))
    known = read_entities(truth, images, split) if entities else read_own(truth)
    _check_fit(found, known, path)
    _check_unit(found, unit, path)
    lacking = _lacking(found, known)
    if any(lacking.values()):
        _tell(lacking, missing, path)
    phrases = list(_grounded(found, known, unit))
    asked = [sentence for sentence, expected in known.phrases.items() if expected]
    if not asked:
        raise DataError("expected phrases with a box, got none about the images of the results", truth)
    counts = {"images": len({image for image, _ in asked}), "sentences": len(asked), "phrases": len(phrases)}
    counts |= {f"{name}_without_result": len(each) for name, each in lacking.items() if each}
    return counts | grounding_metrics(phrases) | line_metrics("whole_image", phrases, [WHOLE] * len(phrases))


def _check_choices(truth: Path, entities: bool, split: str | None, unit: str) -> None:
    if entities:
        return
    if truth.is_dir():
        raise DataError("expected a folder of Flickr30k Entities, with Sentences/ and Annotations/, or a file", truth)
    if split is not None:
        raise RecipeError(f"split: a file of own sentences is scored whole, got {split!r}; leave it out")
    if unit == "pixels":
        raise RecipeError(
            "boxes in pixels need the photographs' sizes, which own sentences do not have: give fractions"
        )


def _read(path: Path, entities: bool) -> Results:
    """The results by sentence."""
    found = [_result(entry, place, entities) for entry, place in _entries(path)]
    if not found:
        raise DataError(f"expected results, one at least, as in {ENTRY}; got none", path)
    if twice := doubles(sentence for sentence, _ in found):
        raise DataError(f"expected one result for each sentence, got more for {_named(twice)}", path)
    return dict(found)


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of the file, and where each is."""
    if path.suffix.lower() == ".jsonl":
        for number, line in read_lines(path):
            try:
                yield read_object(line, ENTRY), f"{path}:{number}"
            except DataError as error:
                raise DataError(str(error), path, number) from None
        return
    document = read_json(path)
    if not isinstance(document, list):
        raise DataError(f"expected a list of objects like {ENTRY} in a .json file, got {show(document)}", path)
    for place, entry in enumerate(document):
        if not isinstance(entry, dict):
            raise DataError(f"expected objects like {ENTRY}, got {show(entry)} at {place}", path)
        yield entry, f"{path}, entry {place}"


def _result(entry: Mapping[str, Any], place: str, entities: bool) -> tuple[Sentence, list[_Predicted]]:
    image, number, boxes, points = (entry.get(key) for key in ("image_id", "sentence_id", "boxes", "points"))
    if type(image) not in (int, str) or not str(image).strip():
        raise DataError(f'{place}: expected "image_id" to be a string or a whole number, got {show(image)}')
    if not (type(number) in (int, str) and str(number).isdecimal()):
        raise DataError(f'{place}: expected "sentence_id" to be a whole number, counted from 0, got {show(number)}')
    if not isinstance(boxes, list):
        raise DataError(f'{place}: expected "boxes" to be a list with one list of boxes per phrase, got {show(boxes)}')
    points = [None] * len(boxes) if points is None else points
    if not isinstance(points, list) or len(points) != len(boxes):
        raise DataError(f'{place}: expected "points" to be a list as long as "boxes", got {show(points)}')
    name = number_of(str(image)) if entities else str(image)
    predicted = [_Predicted(_boxes(each, place), _point(at, place)) for each, at in zip(boxes, points, strict=True)]
    return (name, int(str(number))), predicted


def _boxes(value: object, place: str) -> Boxes:
    """The boxes predicted of a phrase; null is none."""
    if value is None or value == []:
        return np.zeros((0, 4))
    boxes = _numbers(value)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"{place}: expected the boxes of a phrase as a list of [x1, y1, x2, y2], got {show(value)}")
    if len(wrong := boxes[(boxes[:, 2:] < boxes[:, :2]).any(1)]):
        raise DataError(
            f"{place}: expected boxes [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2, got {wrong[0].tolist()}; are they "
            "x, y, width, height?"
        )
    return boxes


def _point(value: object, place: str) -> Point | None:
    """Where a map is strongest; null is nowhere."""
    if value is None:
        return None
    point = _numbers(value)
    if point.shape != (2,):
        raise DataError(f"{place}: expected a point of a phrase as [x, y], got {show(value)}")
    return point


def _numbers(value: object) -> np.ndarray:
    """An array of the value's finite numbers; of no dimension where it is none."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError):
        return np.zeros(())
    return numbers if np.isfinite(numbers).all() else np.zeros(())


def _check_fit(found: Results, known: Annotations, path: Path) -> None:
    """Raises an error unless there are such sentences, with as many phrases with a box as the results have lists."""
    images = {image for image, _ in known.phrases}
    for sentence, predicted in found.items():
        image, number = sentence
        if image not in images:
            raise UnknownNameError(f"image with annotations for the results of {path}", image, images)
        if sentence not in known.phrases:
            last = max(place for other, place in known.phrases if other == image)
            raise DataError(f"expected a sentence of image {image} from 0 to {last}, got {number}", path)
        expected = known.phrases[sentence]
        if len(predicted) != len(expected):
            raise DataError(
                f"expected a list of boxes for each of the {len(expected)} phrases with a box of sentence {number} of "
                f"image {image} (words {_words(expected)}), got {len(predicted)}; write [] for one without "
                "a prediction",
                path,
            )


def _words(phrases: Sequence[Phrase]) -> str:
    return ", ".join(f"{phrase.words[0]} to {phrase.words[1] - 1}" for phrase in phrases) or "none"


def _check_unit(found: Results, unit: str, path: Path) -> None:
    """Raises DataError for boxes that can only be in the other unit."""
    largest = [float(np.abs(each.boxes).max()) for predicted in found.values() for each in predicted if len(each.boxes)]
    if unit == "fractions" and largest and max(largest) > FAR:
        raise DataError(
            f"expected boxes in fractions of width and height, got {max(largest):g}; of boxes in pixels say "
            "`--unit pixels`",
            path,
        )
    if unit == "pixels" and largest and max(largest) <= 1:
        raise DataError(
            f"expected boxes in pixels, got no number above {max(largest):g}; of fractions say `--unit fractions`", path
        )


def _lacking(found: Results, known: Annotations) -> dict[str, list[Sentence]]:
    """Sentences without a result, and for each phrase without a box in a result its sentence."""
    return {
        "sentences": [sentence for sentence, expected in known.phrases.items() if expected and sentence not in found],
        "phrases": [sentence for sentence, predicted in found.items() for each in predicted if not len(each.boxes)],
    }


def _tell(lacking: Mapping[str, Sequence[Sentence]], missing: str, path: Path) -> None:
    """Say what the results lack: a warning where that counts as misses, else DataError."""
    said = "; ".join(f"{len(each):,} {name} without boxes ({_named(each)})" for name, each in lacking.items() if each)
    if missing == "error":
        raise DataError(
            f"expected boxes for every phrase that has one, got {said}; to count them as misses, say `--missing miss`",
            path,
        )
    warnings.warn(f"{path}: {said}, counted as misses", SaccadeWarning, stacklevel=3)


def _named(sentences: Sequence[Sentence]) -> str:
    return first(f"{image}#{number}" for image, number in dict.fromkeys(sentences))


def _grounded(found: Results, known: Annotations, unit: str) -> Iterator[GroundedPhrase]:
    """Every phrase with what was predicted of it, in fractions."""
    for sentence, expected in known.phrases.items():
        size = np.array(known.sizes[sentence[0]] if unit == "pixels" else WHOLE[2:], dtype=np.float64)
        predicted = found.get(sentence, [NOTHING] * len(expected))
        for phrase, (boxes, point) in zip(expected, predicted, strict=True):
            ranked = boxes / np.tile(size, 2)
            at = None if point is None else point / size
            yield GroundedPhrase(ranked, phrase.boxes, phrase.kinds, proposals=ranked, point=at)
