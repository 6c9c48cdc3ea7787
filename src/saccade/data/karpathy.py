"""Karpathy's splits of Flickr8k, Flickr30k and COCO (Karpathy and Fei-Fei 2015), which most captioning papers use.

    dataset_flickr8k.json, dataset_flickr30k.json, dataset_coco.json
        {"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A child ...", ...}, ...], ...}]}
    a.jpg  beside that file, in images/, Flicker8k_Dataset/, Flickr8k_Dataset/ or flickr30k-images/; COCO's in
           train2014/ and val2014/ as "filepath" says, there or in images/

COCO's 30,504 validation images that are neither in Karpathy's val nor in his test are his "restval".
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

from saccade.data.captioned import (
    CaptionCorpus,
    ImageFolders,
    SplitReader,
    caption_records,
    captions_about,
    refuse_without_captions,
)
from saccade.data.records import SPLITS, Caption
from saccade.data.vqa_json import read_json
from saccade.errors import DataError, show

FOLDERS = ("", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "flickr30k_images")
RESTVAL = "restval"


class Karpathy(CaptionCorpus):
    """A corpus in Karpathy's splits; an image's id is the name of its file, and COCO's its number, as in "391895".

    COCO's `restval` counts as training, or is left out where `restval` is false. Captions beyond the first `most` of
    an image are discarded, as Xu et al. 2015 do; None keeps all. Raises DataError naming file and image for what is
    not as expected.
    """

    def __init__(
        self,
        root: Path | str,
        corpus: Literal["flickr8k", "flickr30k", "coco"],
        *,
        restval: bool = True,
        most: int | None = 5,
    ) -> None:
        root, path = Path(root), Path(root) / f"dataset_{corpus}.json"
        if not path.is_file():
            raise DataError(f"no {path.name} here; expected Karpathy's file of captions and splits", root)
        by_split: dict[str, dict[str, list[Caption]]] = {split: {} for split in SPLITS}
        self._files: dict[str, str] = {}
        for place, entry in enumerate(_entries(path)):
            try:
                image, file, split, texts = _image(entry)
                if image in self._files:
                    raise DataError(f"expected every image once, got {image!r} again")
            except DataError as error:
                raise DataError(f"image {place}: {error}", path) from None
            self._files[image] = file
            if split != RESTVAL or restval:
                by_split["train" if split == RESTVAL else split][image] = caption_records(image, texts, most)
        readers: dict[str, SplitReader] = {}
        for split, captioned in by_split.items():
            refuse_without_captions(captioned, captioned, path)
            readers[split] = SplitReader(partial(tuple, captioned), partial(captions_about, captioned))
        folders = ImageFolders(root, FOLDERS)
        super().__init__(root, readers, lambda image: folders.find(self._files.get(image, "")), folders=FOLDERS)


def _entries(path: Path) -> list[Any]:
    # Of a sentence its text alone is kept, as soon as it is parsed: its tokens would take several times the memory.
    document = read_json(path, lambda entry: entry.get("raw", entry))
    entries = document.get("images") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise DataError(f'expected an object with a list "images", got {show(document)}', path)
    return entries


def _image(entry: Any) -> tuple[str, str, str, list[str]]:
    """An entry's image, its file, its split, and its captions."""
    if not isinstance(entry, dict) or not isinstance(name := entry.get("filename"), str) or not name:
        raise DataError(f'expected an object with a "filename", got {show(entry)}')
    if (split := entry.get("split")) not in (*SPLITS, RESTVAL):
        raise DataError(f'{name}: expected "split" to be train, val, test or restval, got {show(split)}')
    texts = entry.get("sentences")
    if not isinstance(texts, list):
        raise DataError(f'{name}: expected a list "sentences", got {show(texts)}')
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f'{name}: expected sentence {number} to have a "raw" that is not empty, got {show(text)}')
    folder = entry.get("filepath", "")
    if not isinstance(folder, str):
        raise DataError(f'{name}: expected "filepath" to be a folder, got {show(folder)}')
    image = str(entry["cocoid"]) if "cocoid" in entry else name
    return image, f"{folder}/{name}" if folder else name, str(split), texts
