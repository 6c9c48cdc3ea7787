"""COCO's captions (Chen et al. 2015) in the official files, of 2014 or 2017.

    annotations/captions_train2014.json, annotations/captions_val2014.json      or in the folder itself
        {"images": [{"id": 391895, "file_name": "COCO_val2014_000000391895.jpg"}, ...],
         "annotations": [{"image_id": 391895, "id": 770337, "caption": "A man ..."}, ...]}
    train2014/COCO_train2014_000000000009.jpg, val2014/                         or in images/

The captions of the official test images are not public. A file is read when a split that needs it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from saccade.data.captioned import (
    CaptionCorpus,
    ImageFolders,
    SplitReader,
    caption_records,
    captions_about,
    held_out,
    refuse_without_captions,
)
from saccade.data.records import Caption
from saccade.data.vqa_json import read_json, whole
from saccade.errors import DataError, show

YEARS: tuple[Literal[2014, 2017], ...] = (2014, 2017)
FOLDERS = ("annotations", "")


class CocoCaptions(CaptionCorpus):
    """COCO's captions; an image's id is its number, as in "391895".

    As test captions are not public, "test" is the official validation split and "val" 500 training images held out.
    `year` is by default that of the files found. Captions beyond the first `most` of an image are discarded, as Xu et
    al. 2015 do; None keeps all. Raises DataError naming the file for what is not as expected.
    """

    def __init__(self, root: Path | str, *, year: Literal[2014, 2017] | None = None, most: int | None = 5) -> None:
        root = Path(root)
        years = YEARS if year is None else (year,)
        self._paths = next((found for each in years if len(found := _files(root, each)) == 2), {})
        if not self._paths:
            names = " or ".join(f"captions_train{each}.json and captions_val{each}.json" for each in years)
            raise DataError(f"expected {names}, here or in annotations/", root)
        self._most = most
        self._read_files: dict[str, tuple[dict[str, list[Caption]], dict[str, str]]] = {}
        folders = {
            split: (subset, f"images/{subset}")
            for split, path in self._paths.items()
            for subset in [path.stem.removeprefix("captions_")]
        }
        self._image_files = {split: ImageFolders(root, names) for split, names in folders.items()}
        readers = {
            "train": SplitReader(partial(self._training, held=False), partial(self._captions_about, "train")),
            "val": SplitReader(partial(self._training, held=True), partial(self._captions_about, "train")),
            "test": SplitReader(lambda: tuple(self._load("val")[0]), partial(self._captions_about, "val")),
        }
        looked = [name for names in folders.values() for name in names]
        super().__init__(root, readers, self._file, folders=looked, official_test=False)

    def _training(self, *, held: bool) -> Sequence[str]:
        by_image, _ = self._load("train")
        chosen = held_out(by_image)
        return [image for image in by_image if (image in chosen) == held]

    def _captions_about(self, file: str, images: Sequence[str]) -> Iterator[Caption]:
        return captions_about(self._load(file)[0], images)

    def _load(self, split: str) -> tuple[dict[str, list[Caption]], dict[str, str]]:
        if split not in self._read_files:
            self._read_files[split] = _read(self._paths[split], self._most)
        return self._read_files[split]

    def _file(self, image: str) -> Path | None:
        for split in ("val", "train"):  # the smaller file first; no number is in both
            files = self._load(split)[1]
            if image in files:
                return self._image_files[split].find(files[image])
        return None


def _files(root: Path, year: int) -> dict[str, Path]:
    paths = {
        split: [root / folder / f"captions_{split}{year}.json" for folder in FOLDERS] for split in ("train", "val")
    }
    return {split: path for split, options in paths.items() if (path := next(filter(Path.is_file, options), None))}


def _read(path: Path, most: int | None) -> tuple[dict[str, list[Caption]], dict[str, str]]:
    """The captions of each image, and the name of its file, in the file's order of images."""
    document = read_json(path)
    try:
        files = {str(whole(entry, "id")): _string(entry, "file_name") for entry in _objects(document, "images")}
        texts: dict[str, list[str]] = {image: [] for image in files}
        for entry in _objects(document, "annotations"):
            image = str(whole(entry, "image_id"))
            if image not in texts:
                raise DataError(f'expected image {image} of a caption among "images": {show(entry)}')
            texts[image].append(_string(entry, "caption"))
    except DataError as error:
        raise DataError(str(error), path) from None
    refuse_without_captions(texts, texts, path)
    return {image: caption_records(image, said, most) for image, said in texts.items()}, files


def _objects(document: Any, key: str) -> list[dict[str, Any]]:
    entries = document.get(key) if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DataError(f'expected an object with a list "{key}" of at least one entry, got {show(document)}')
    if wrong := [entry for entry in entries if not isinstance(entry, dict)]:
        raise DataError(f'expected each of "{key}" to be an object, got {show(wrong[0])}')
    return entries


def _string(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if isinstance(value, str) and value.strip():
        return value
    raise DataError(f'expected "{key}" to be a string that is not empty, got {show(value)} in {show(entry)}')
