"""Scoring files of captions by themselves, without a model: COCO's JSON, or plain text.

COCO's format, both files ending in .json:

    results      [{"image_id": 391895, "caption": "a man on a bicycle"}, ...]
    references   {..., "annotations": [{"image_id": 391895, "id": 770337, "caption": "A man rides ..."}, ...]}

Plain text, as machine translation has it: the results one caption a line, and one or more files of references of as
many lines each; line i of every file is about the same image. All in UTF-8.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.data.vqa_json import doubles, read_json
from saccade.errors import DataError, SaccadeWarning, first, show
from saccade.metrics.caption import caption_metrics, check_images
from saccade.metrics.java import java_metrics
from saccade.metrics.ptb import tokenize

COCO_RESULTS = 'a list of objects with an "image_id" and a "caption", as COCO\'s results are'
COCO_REFERENCES = (
    'an object with a list "annotations" of objects with an "image_id" and a "caption", as COCO\'s captions are'
)


def score_captions(results: Path | str, references: Sequence[Path | str], *, java: bool) -> dict[str, Any]:
    """The metrics of `saccade.metrics.caption` for a file of captions and the file or files of its references.

    First `images`, how many are scored: those of the results, as in coco-caption. Where there are some, also
    `images_without_result`, those of the references besides, and `empty_captions`, those among the results without a
    word, which score 0; a SaccadeWarning says so, and that CIDEr says nothing of one image alone. With `java` also
    `meteor` and `spice`; where SPICE alone cannot run, a SaccadeWarning says why and it is left out.

    Raises DataError for results without references, an image with two results, a reference without a word, and files
    that are not as expected, and SaccadeError where `java` is asked for and missing or fails.
    """
    path, others = Path(results), [Path(reference) for reference in references]
    captions, every = _read(path, others)
    by_image = {image: group for image, group in every.items() if image in captions}
    try:
        check_images(captions, by_image)
    except DataError as error:
        raise DataError(str(error), path) from None
    without = [image for image in every if image not in captions]
    empty = [image for image, caption in captions.items() if not tokenize(caption)]
    _warn(path, len(captions), without, empty)
    counts = {"images_without_result": len(without), "empty_captions": len(empty)}
    found = {"images": len(captions)} | {name: count for name, count in counts.items() if count}
    scores = found | caption_metrics(captions, by_image)
    return scores | java_metrics(captions, by_image) if java else scores


def _warn(path: Path, images: int, without: Sequence[str], empty: Sequence[str]) -> None:
    """Say what makes the scores other than one may think."""
    said = []
    if without:
        said.append(f"{len(without):,} images of the references have no result and are left out ({first(without)})")
    if empty:
        said.append(f"{len(empty):,} captions have no word and score 0 (of {first(empty)})")
    if images == 1:
        said.append(
            "cider is 0 for one image alone, whatever its caption: words weigh by how few of the images have them"
        )
    for each in said:
        warnings.warn(f"{path}: {each}", SaccadeWarning, stacklevel=3)


def _read(results: Path, references: Sequence[Path]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The caption and the references of every image, in the format that the files' names tell."""
    if not references:
        raise DataError("expected at least one file of references, got none", results)
    in_json = [path.suffix.lower() == ".json" for path in (results, *references)]
    if any(in_json):
        if not all(in_json) or len(references) != 1:
            names = ", ".join(path.name for path in references)
            raise DataError(
                "expected results and references both in COCO's format, one .json file each, or both in plain text, "
                f"got {results.name} with {names}"
            )
        return _coco_results(results), _coco_references(references[0])
    lines = _lines(results)
    columns = [_with_words(path, _lines(path)) for path in references]
    for path, column in zip(references, columns, strict=True):
        if len(column) != len(lines):
            raise DataError(
                f"expected a reference on each of {len(lines):,} lines, as many as {results} has captions, got "
                f"{len(column):,}; line i of both files is about the same image",
                path,
            )
    return (
        {f"line {number}": caption for number, caption in enumerate(lines, 1)},
        {f"line {number}": list(group) for number, group in enumerate(zip(*columns, strict=True), 1)},
    )


def _coco_results(path: Path) -> dict[str, str]:
    document = read_json(path)
    if not isinstance(document, list) or not document:
        raise DataError(f"expected {COCO_RESULTS}, at least one, got {show(document)}", path)
    pairs = [_pair(entry, path, COCO_RESULTS) for entry in document]
    if twice := doubles(image for image, _ in pairs):
        raise DataError(
            f"expected one caption per image, got {len(twice):,} images with more than one ({first(twice)})", path
        )
    return dict(pairs)


def _coco_references(path: Path) -> dict[str, list[str]]:
    document = read_json(path)
    annotations = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(annotations, list) or not annotations:
        raise DataError(f"expected {COCO_REFERENCES}, at least one, got {show(document)}", path)
    by_image: dict[str, list[str]] = {}
    for entry in annotations:
        image, caption = _pair(entry, path, COCO_REFERENCES)
        if not caption.strip():
            raise DataError(f"expected a reference of image {image} with a word in it, got {caption!r}", path)
        by_image.setdefault(image, []).append(caption)
    return by_image


def _pair(entry: object, path: Path, expected: str) -> tuple[str, str]:
    """The image and the caption of an entry; an image may be a number or a string, and 5 and "5" are the same."""
    image, caption = (entry.get("image_id"), entry.get("caption")) if isinstance(entry, dict) else (None, None)
    if isinstance(image, bool) or not isinstance(image, int | str) or not isinstance(caption, str):
        raise DataError(f"expected {expected}, got {show(entry)} among them", path)
    return str(image), caption


def _lines(path: Path) -> list[str]:
    """The lines of a text file; raises DataError for one that cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such file", path) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"expected a text file in UTF-8; it is none ({error})", path) from None
    return text.removesuffix("\n").split("\n")


def _with_words(path: Path, lines: list[str]) -> list[str]:
    """The lines; raises DataError for one that is empty."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise DataError("expected a reference with a word in it, got an empty line", path, number)
    return lines
