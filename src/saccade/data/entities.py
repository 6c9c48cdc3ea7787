"""Flickr30k Entities: boxes for the phrases of captions (Plummer et al. 2015), in the official layout.

    Sentences/1000268201.txt      [/EN#18/people A child] in [/EN#19/clothing a pink dress] ...   five lines
    Annotations/1000268201.xml    the boxes of each number, in pixels of the original photograph, and its size
    train.txt, val.txt, test.txt  the images' numbers, one on each line
    images/1000268201.jpg         also in flickr30k-images/, or Flickr8k's names (1000268201_693b08cb0e.jpg), also in
                                  Flicker8k_Dataset/ beside this folder or in flickr8k/ beside it

A photograph may have been resized since: boxes are kept as fractions of the size that the annotation names. The files
count pixels from 1, and a box holds its last ones: 1 is subtracted from xmin and ymin, nothing from xmax and ymax, so
that a box of the whole photograph is (0, 0, 1, 1). The corpus's own reader subtracts 1 from all four, which makes every
box one pixel narrower and lower, and MDETR's evaluator from none; at IoU 0.5 that matters for the smallest boxes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from saccade.data.captioned import CaptionCorpus, ImageFolders, SplitReader, held_out
from saccade.data.lines import read_lines
from saccade.data.records import SPLITS, Box, Caption, Phrase, images_of
from saccade.data.texts import composed
from saccade.errors import DataError

FOLDERS = ("images", "flickr30k-images", "../flickr8k/Flicker8k_Dataset", "../Flicker8k_Dataset")
LINES = 5
# A phrase in brackets with its number and types, or what stands between two phrases.
PART = re.compile(r"\[/EN#(\d+)((?:/[^\s/\[\]]+)+) +([^\[\]]+)\]|([^\[\]]+)")
NOTHING, NOT_VISUAL = "0", "notvisual"  # the number of what is no entity, and its type


class Entity(NamedTuple):
    """What an annotation says of a number: its boxes, or why it has none."""

    boxes: tuple[Box, ...]
    absent: str


class Sentence(NamedTuple):
    """A caption without its brackets, and its phrases."""

    text: str
    phrases: tuple[Phrase, ...]


class FlickrEntities(CaptionCorpus):
    """Flickr30k's captions with phrases; an image's id is the name of its file, or its number where it has no file.

    Every bracket is a phrase, with all its types and with its number as ``entity``, which recurs where another sentence
    speaks of the same. One without boxes says why in ``absent``: "scene" (it is all around), "no box" (the annotators
    drew none), "not visual" (number 0, which is no entity, or that type), or "not annotated" (a number that the
    annotation lacks). Where test.txt is missing, "test" is the
    official validation split and "val" images held out of training. Raises DataError with the file, and the line in
    text files, for what is malformed.
    """

    def __init__(self, root: Path | str) -> None:
        root = Path(root)
        self._entities = root
        self._image_files = ImageFolders(root, FOLDERS)
        splits = {split: _numbers(path) for split in SPLITS if (path := root / f"{split}.txt").is_file()}
        if missing := [split for split in ("train", "val") if split not in splits]:
            raise DataError(f"no {missing[0]}.txt here; expected the numbers of the split's images", root)
        official = "test" in splits
        if not official:
            chosen = held_out(splits["train"])
            train, test = splits["train"], splits["val"]
            splits = {
                "train": [number for number in train if number not in chosen],
                "val": [number for number in train if number in chosen],
                "test": test,
            }
        readers = {
            split: SplitReader(partial(self._images_of, numbers), self._captions_about)
            for split, numbers in splits.items()
        }
        super().__init__(root, readers, self._image_files.find, folders=FOLDERS, official_test=official)

    @cached_property
    def _names(self) -> dict[str, str]:
        """The name of each image's file by the image's number, the first folder's where there are several."""
        names = [name for name in self._image_files.names() if name.endswith(".jpg")]
        return {number_of(name): name for name in reversed(names)}

    def _images_of(self, numbers: Iterable[str]) -> list[str]:
        return [self._names.get(number, number) for number in numbers]

    def _captions_about(self, images: Iterable[str]) -> Iterator[Caption]:
        for image in images:
            for place, sentence in enumerate(read_sentences(self._entities, number_of(image))):
                yield Caption(f"{image}#{place}", image, sentence.text, sentence.phrases)


def add_phrases(captions: Sequence[Caption], root: Path) -> list[Caption]:
    """Flickr's captions in their order, those that are word for word among the sentences in `root` with phrases.

    Upper and lower case are taken as equal. Images that have no file there are left as they are.
    """
    known: dict[tuple[str, str], tuple[Phrase, ...]] = {}
    for image in images_of(captions):
        if (root / "Sentences" / f"{number_of(image)}.txt").is_file():
            for sentence in read_sentences(root, number_of(image)):
                known[image, sentence.text.lower()] = sentence.phrases
    return [replace(c, phrases=known.get((c.image, c.text.lower()), c.phrases)) for c in captions]


def number_of(image: str) -> str:
    """The number of a photograph on Flickr, with which the name of its file begins.

    >>> number_of("1000268201_693b08cb0e.jpg")
    '1000268201'
    """
    return image.removesuffix(".jpg").partition("_")[0]


def read_sentences(root: Path, number: str) -> list[Sentence]:
    """The five captions of an image with all their phrases; raises DataError."""
    path = root / "Sentences" / f"{number}.txt"
    if not path.is_file():
        raise DataError(f"image {number} has no captions: no such file", path)
    entities = _entities(root / "Annotations" / f"{number}.xml")
    sentences = []
    for place, line in read_lines(path):
        try:
            sentences.append(_sentence(line.strip(), entities))
        except DataError as error:
            raise DataError(str(error), path, place) from None
    if len(sentences) != LINES:
        raise DataError(f"expected {LINES} lines with a caption each, got {len(sentences)}", path)
    return sentences


def _sentence(line: str, entities: Mapping[str, Entity]) -> Sentence:
    text, phrases, end = "", [], 0
    for part in PART.finditer(line):
        if part.start() != end:
            break
        end = part.end()
        number, types, phrase, between = part.groups()
        if number:
            # A bracket that opens in the middle of a word belongs to that word, and so does one that closes there.
            start = len(text.split()) - (text != "" and not text[-1].isspace())
            words = (start, len((text + phrase).split()))
            phrases.append(_phrase(words, number, tuple(types[1:].split("/")), entities))
        text += phrase or between
    if end != len(line):
        raise DataError(f"expected phrases as in [/EN#18/people A child], got {line[end : end + 40]!r}")
    if not text.strip():
        raise DataError(f"expected a caption, got an empty one: {line!r}")
    if empty := [each for each in phrases if each.words[0] == each.words[1]]:
        raise DataError(f"expected words in every phrase, got none behind /{'/'.join(empty[0].kinds)} in {line!r}")
    return Sentence(composed(" ".join(text.split())), tuple(phrases))


def _phrase(words: tuple[int, int], number: str, kinds: tuple[str, ...], entities: Mapping[str, Entity]) -> Phrase:
    found = entities.get(number, Entity((), "not annotated"))
    if not found.boxes and (number == NOTHING or NOT_VISUAL in kinds):
        found = Entity((), "not visual")
    return Phrase(words, found.boxes, kinds, "" if number == NOTHING else number, found.absent)


def _entities(path: Path) -> dict[str, Entity]:
    """What is said of each number."""
    found: dict[str, Entity] = {}
    try:
        root = ElementTree.parse(path).getroot()
        width, height = _whole(root, "size/width"), _whole(root, "size/height")
        for item in root.iter("object"):
            boxes = tuple(_box(box, width, height) for box in item.iter("bndbox"))
            scene = item.findtext("scene", "").strip() == "1"
            for name in item.iter("name"):
                before = found.get(name.text or "", Entity((), ""))
                every = before.boxes + boxes
                absent = "" if every else "scene" if scene or before.absent == "scene" else "no box"
                found[name.text or ""] = Entity(every, absent)
    except FileNotFoundError:
        raise DataError("no such file; expected the boxes of the image's phrases", path) from None
    except ElementTree.ParseError as error:
        raise DataError(f"expected an XML file, whole; it is none ({error})", path) from None
    except DataError as error:
        raise DataError(str(error), path) from None
    return found


def _box(element: ElementTree.Element, width: int, height: int) -> Box:
    x1, y1, x2, y2 = (_whole(element, key) for key in ("xmin", "ymin", "xmax", "ymax"))
    # As the module says; a box may reach a little beyond the edge.
    left, top = max(0, x1 - 1) / max(1, width), max(0, y1 - 1) / max(1, height)
    right, bottom = min(width, x2) / max(1, width), min(height, y2) / max(1, height)
    if not (left < right and top < bottom):
        raise DataError(f"expected a box inside {width} x {height} pixels, got {x1}, {y1}, {x2}, {y2}")
    return left, top, right, bottom


def _whole(element: ElementTree.Element, name: str) -> int:
    text = element.findtext(name, "").strip()
    if not text.isdecimal():
        raise DataError(f"expected a whole number in <{name}>, got {text!r}")
    return int(text)


def _numbers(path: Path) -> list[str]:
    return list(dict.fromkeys(number_of(line.strip()) for _, line in read_lines(path)))
