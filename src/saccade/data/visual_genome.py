"""The question-answer pairs of Visual Genome (Krishna et al. 2017) about COCO's images, to train on beside VQA.

    question_answers.json  [{"id": 1, "qas": [{"qa_id": 986769, "question": "What is it?", "answer": "A tree."}]}, ...]
    image_data.json        [{"image_id": 1, "coco_id": 42}, {"image_id": 2, "coco_id": null}, ...]

What else the objects hold is not read. Two keys had other names in version 1.0, "id" for "qa_id" and for "image_id";
these are read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from saccade.data.records import Question
from saccade.data.texts import composed
from saccade.data.vqa_json import doubles, read_json, whole
from saccade.errors import DataError, first, show

ANNOTATORS = 10  # a pair's one answer counts as if all the annotators of a VQA question had given it: score 1


def genome_questions(
    root: Path | str, keep: Iterable[str], answers: Collection[str], normalize: Callable[[str], str]
) -> tuple[Question, ...]:
    """The questions about the images in `keep`, ids of COCO, whose answer is one of `answers` once normalised.

    In that form it stands ten times in a question's `answers`, so that it earns 1. Ids are "genome-" and the pair's
    number. `keep` has the images of the split that is trained on, as learning from those of another would give its
    answers away. BAN's rule, with `metrics.vqa.preprocess_answer` as `normalize`. Raises DataError for a file that is
    missing or not as expected.
    """
    path = Path(root) / "question_answers.json"
    images = _coco_images(Path(root) / "image_data.json", set(keep))
    tens = {answer: (answer,) * ANNOTATORS for answer in answers}
    found: list[Question] = []

    def convert(entry: dict[str, Any]) -> dict[str, Any] | None:
        """Takes an image's pairs as soon as they are parsed, as all pairs with all their objects are gigabytes."""
        if "qas" not in entry:
            return entry
        image = images.get(whole(entry, "id", "image_id"))
        if image is not None:
            if not isinstance(entry["qas"], list):
                raise DataError(f'expected "qas" to be a list, got {show(entry["qas"])}')
            for number, text, answer in map(_pair, entry["qas"]):
                normal = normalize(answer)
                if normal in tens:
                    found.append(Question(f"genome-{number}", image, text, tens[normal], answer=normal))
        return None

    if not isinstance(read_json(path, convert), list):
        raise DataError('expected a list with an object for each image, as in [{"id": 1, "qas": [...]}]', path)
    if twice := doubles(question.id for question in found):
        raise DataError(f"expected every qa_id once, got {len(twice):,} more than once ({first(twice)})", path)
    return tuple(found)


def _coco_images(path: Path, keep: Collection[str]) -> dict[int, str]:
    """COCO's id of each of Visual Genome's images that is wanted."""
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError('expected a list with an object for each image, as in [{"image_id": 1, "coco_id": 42}]', path)
    try:
        coco = {whole(entry, "image_id", "id"): entry.get("coco_id") for entry in entries}
    except DataError as error:
        raise DataError(str(error), path) from None
    return {image: str(number) for image, number in coco.items() if str(number) in keep}


def _pair(entry: Any) -> tuple[int, str, str]:
    if not isinstance(entry, dict):
        raise DataError(f'expected each of "qas" to be an object, got {show(entry)}')
    number = whole(entry, "qa_id", "id")
    for key in ("question", "answer"):
        if not isinstance(entry.get(key), str):
            raise DataError(f'question {number}: expected "{key}" to be a string, got {show(entry.get(key))}')
    return number, entry["question"], composed(entry["answer"])
