"""Flickr8k: photographs with five captions each (Hodosh, Young and Hockenmaier 2013), in the official layout.

    Flickr8k_text/Flickr8k.token.txt                                name.jpg#0, a tab, a caption; five for each image
    Flickr8k_text/Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt, Flickr_8k.testImages.txt      a name on each line
    Flicker8k_Dataset/name.jpg                                      the official spelling; Flickr8k_Dataset/ as well
    flickr30k_entities/                                             optional, in the folder or beside it: see below

    captions.txt, Images/name.jpg       Kaggle's layout: CSV with the header image,caption; five lines for each image

The text files may also lie in the folder itself. The official token file has captions of some images that are in no
split, one of them under a misspelt name (2258277193_586949ec62.jpg.1): they are left out and counted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from saccade.data.captioned import (
    CaptionCorpus,
    ImageFolders,
    SplitReader,
    captions_about,
    held_out,
    refuse_without_captions,
)
from saccade.data.entities import add_phrases
from saccade.data.lines import read_lines
from saccade.data.records import SPLITS, Caption
from saccade.data.split import hold_out
from saccade.data.texts import refuse_wordless
from saccade.errors import DataError

FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images", "")
TEXT = "Flickr8k_text"
TOKENS = "Flickr8k.token.txt"
KAGGLE = "captions.txt"
HEADER = ["image", "caption"]
SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
LINE = re.compile(r"(?P<image>[^#\t]+)#(?P<number>\d+)\t(?P<text>.*)")
QUIRK = re.compile(r"(?<=\.jpg)\.\d+$")


class Flickr8k(CaptionCorpus):
    """Flickr8k; an image's id is the name of its file.

    Where Flickr_8k.testImages.txt is missing, "test" is the 1,000 official development images and "val" 500 training
    images held out; Kaggle's folder has no splits, so that a tenth of its images is held out for each of the two.
    `official_test` says whether the test is the official one. `entities` is a folder of Flickr30k Entities, by default
    flickr30k_entities in this one or beside it; captions that are word for word among its sentences get phrases.
    `ignored` counts the captions of images in no split. Raises DataError with file and line for what is malformed.
    """

    def __init__(self, root: Path | str, *, entities: Path | str | None = None) -> None:
        root = Path(root)
        text = root / TEXT if (root / TEXT).is_dir() else root
        splits = {split: _names(text, name) for split, name in SPLIT_FILES.items() if (text / name).is_file()}
        if not splits and (root / KAGGLE).is_file():
            official, self.ignored = False, 0
            self._by_image = _rows(root / KAGGLE)
            splits = _drawn(self._by_image)
        else:
            official = "test" in splits
            self._by_image, self.ignored = _official(text, splits)
            splits = splits if official else _without_test(splits)
        self._entities = _entities_folder(root, entities)
        readers = {split: SplitReader(partial(tuple, names), self._captions_about) for split, names in splits.items()}
        super().__init__(root, readers, ImageFolders(root, FOLDERS).find, folders=FOLDERS, official_test=official)

    def _captions_about(self, images: Iterable[str]) -> Iterable[Caption]:
        captions = list(captions_about(self._by_image, images))
        return captions if self._entities is None else add_phrases(captions, self._entities)


def _official(text: Path, splits: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[Caption]], int]:
    """The captions of each image in a split, and how many others there are, once the files are found to fit."""
    for split in ("train", "val"):
        if split not in splits:
            raise DataError(
                f"no {SPLIT_FILES[split]} here; expected the names of the {split} images, or {KAGGLE} and Images/ as "
                "Kaggle has them",
                text,
            )
    _refuse_overlap(splits, text)
    by_image, ignored = _tokens(text / TOKENS, {name for names in splits.values() for name in names})
    for split, names in splits.items():
        refuse_without_captions(names, by_image, text / SPLIT_FILES[split])
    return by_image, ignored


def _without_test(splits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The development images as the test, and training images held out to validate on."""
    chosen = held_out(splits["train"])
    return {
        "train": [name for name in splits["train"] if name not in chosen],
        "val": [name for name in splits["train"] if name in chosen],
        "test": list(splits["val"]),
    }


def _drawn(images: Iterable[str]) -> dict[str, list[str]]:
    """All three splits, where the corpus has none."""
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for image, split in hold_out(images, ("val", "test")).items():
        found[split].append(image)
    return found


def _entities_folder(root: Path, named: Path | str | None) -> Path | None:
    if named is not None:
        if not (Path(named) / "Sentences").is_dir():
            raise DataError("no Sentences/ here; expected a folder of Flickr30k Entities", named)
        return Path(named)
    candidates = (folder / "flickr30k_entities" for folder in (root, root.absolute().parent))
    return next((folder for folder in candidates if (folder / "Sentences").is_dir()), None)


def _names(folder: Path, file: str) -> list[str]:
    names: dict[str, None] = {}
    for number, line in read_lines(folder / file):
        name = line.strip()
        if name in names:
            raise DataError(f"expected every image once, got {name!r} again", folder / file, number)
        names[name] = None
    return list(names)


def _refuse_overlap(splits: Mapping[str, Collection[str]], folder: Path) -> None:
    seen: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if (other := seen.setdefault(name, split)) != split:
                raise DataError(
                    f"image {name!r} is in {SPLIT_FILES[other]} and in {SPLIT_FILES[split]}; an image may be in one "
                    "split only, or its test says nothing",
                    folder,
                )


def _tokens(path: Path, wanted: Collection[str]) -> tuple[dict[str, list[Caption]], int]:
    """The captions of the images wanted, and how many others there are."""
    found: dict[str, dict[str, Caption]] = {}
    ignored = 0
    for number, line in read_lines(path):
        match = LINE.fullmatch(line.rstrip("\r"))
        if match is None:
            raise DataError(f"expected name.jpg#0, a tab and a caption, got {line.strip()[:80]!r}", path, number)
        text = " ".join(match["text"].split())
        _refuse_empty(text, match["image"], path, number)
        image = match["image"] if match["image"] in wanted else QUIRK.sub("", match["image"])
        if image not in wanted:
            ignored += 1
            continue
        name = f"{image}#{int(match['number'])}"
        captions = found.setdefault(image, {})
        if name in captions:
            raise DataError(f"expected every caption once, got {name} again", path, number)
        captions[name] = Caption(name, image, text)
    return {image: list(captions.values()) for image, captions in found.items()}, ignored


def _rows(path: Path) -> dict[str, list[Caption]]:
    """The captions of each image in Kaggle's file, in the file's order."""
    found: dict[str, list[Caption]] = {}
    for number, line in read_lines(path):
        try:
            row = next(csv.reader([line.strip()], strict=True))
        except csv.Error as error:
            raise DataError(f"expected a line of CSV, got {line.strip()[:80]!r} ({error})", path, number) from None
        if number == 1 and row != HEADER:
            raise DataError(f"expected the header {','.join(HEADER)}, got {line.strip()[:80]!r}", path, number)
        if len(row) != len(HEADER) or not row[0].strip():
            raise DataError(
                f"expected the name of an image, a comma and a caption, in double quotes where it has a comma, got "
                f"{line.strip()[:80]!r}",
                path,
                number,
            )
        if number > 1:
            image, text = row[0].strip(), " ".join(row[1].split())
            _refuse_empty(text, image, path, number)
            captions = found.setdefault(image, [])
            captions.append(Caption(f"{image}#{len(captions)}", image, text))
    return found


def _refuse_empty(text: str, image: str, path: Path, number: int) -> None:
    """Raises DataError for a caption without a word."""
    if not text:
        raise DataError(f"expected a caption of {image}, got an empty one", path, number)
    try:
        refuse_wordless(text, f"the caption of {image}", symbols=True)
    except DataError as error:
        raise DataError(str(error), path, number) from None
