"""The phrases that results are held against: those with a box, by image and sentence.

Of a folder of Flickr30k Entities, where the sentences of an image are counted from 0 in its file, or of a JSON Lines
file of own sentences, as `saccade.data.own` has them, where they are counted from 0 in the file's order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from saccade.data.entities import number_of, read_sentences
from saccade.data.lines import read_lines
from saccade.data.own_lines import SENTENCE_LINE, kind_of_line, read_record, read_sentence, read_text
from saccade.data.own_phrases import read_phrases
from saccade.data.records import Caption, Phrase
from saccade.errors import DataError, SaccadeError, UnknownNameError

Sentence = tuple[str, int]


@dataclass(frozen=True)
class Annotations:
    """What is meant by the phrases of some images."""

    phrases: Mapping[Sentence, tuple[Phrase, ...]]
    """Those with a box, by image and sentence; none of a sentence without any."""
    sizes: Mapping[str, tuple[int, int]]
    """Width and height of each image; none where only fractions are known."""


def is_entities(path: Path) -> bool:
    """Whether it is a folder of Flickr30k Entities."""
    return (path / "Sentences").is_dir()


def read_entities(root: Path, images: Iterable[str], split: str | None) -> Annotations:
    """The phrases of the images named, or of all of a split; raises DataError, UnknownNameError for one not there."""
    if split is None:
        known, which = {path.stem for path in (root / "Sentences").glob("*.txt")}, f"image in {root}"
        wanted = dict.fromkeys(images)
    else:
        wanted = dict.fromkeys(number_of(line.strip()) for _, line in read_lines(root / f"{split}.txt"))
        known, which = set(wanted), f"image of {split}.txt in {root}"
    if unknown := [image for image in images if image not in known]:
        raise UnknownNameError(which, unknown[0], known)
    phrases: dict[Sentence, tuple[Phrase, ...]] = {}
    for image in wanted:
        for place, sentence in enumerate(read_sentences(root, image)):
            phrases[image, place] = _boxed(sentence.phrases)
    return Annotations(phrases, {image: _size(root / "Annotations" / f"{image}.xml") for image in wanted})


def read_own(path: Path) -> Annotations:
    """The phrases of all images of a JSON Lines file; raises DataError."""
    return of_captions(_captions(path))


def of_captions(captions: Iterable[Caption]) -> Annotations:
    """The phrases of captions, those of an image counted in their order."""
    phrases: dict[Sentence, tuple[Phrase, ...]] = {}
    count: dict[str, int] = defaultdict(int)
    for caption in captions:
        phrases[caption.image, count[caption.image]] = _boxed(caption.phrases)
        count[caption.image] += 1
    return Annotations(phrases, {})


def _boxed(phrases: Iterable[Phrase]) -> tuple[Phrase, ...]:
    return tuple(phrase for phrase in phrases if phrase.boxes)


def _size(path: Path) -> tuple[int, int]:
    """Width and height, of a file whose boxes have been read."""
    size = ElementTree.parse(path).getroot().find("size")
    assert size is not None
    return int(size.findtext("width", "")), int(size.findtext("height", ""))


def _captions(path: Path) -> Iterator[Caption]:
    for number, line in read_lines(path):
        try:
            record = read_record(line)
            if (kind := kind_of_line(record)) != "sentences":
                raise DataError(f"expected a sentence with phrases, got {kind}; as in {SENTENCE_LINE}")
            text = read_sentence(record)
            yield Caption(str(number), read_text(record, "image"), text, read_phrases(record, text))
        except SaccadeError as error:
            raise DataError(str(error), path, number) from None
