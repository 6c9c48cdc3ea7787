"""The data sets by name. Each comes from one file that reads a corpus as it lies on disk, or generates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from saccade.data.coco_captions import CocoCaptions
from saccade.data.daquar import Daquar
from saccade.data.entities import FlickrEntities
from saccade.data.flickr import Flickr8k
from saccade.data.karpathy import Karpathy
from saccade.data.own import OwnData
from saccade.data.positions import Positions
from saccade.data.records import SPLITS, Corpus
from saccade.data.scenes import PhrasedScenes, Scenes
from saccade.data.vqa import Vqa
from saccade.errors import DataError, look_up


def _daquar_37(root: Path) -> Daquar:
    """DAQUAR with the reduced 37 answer classes."""
    return Daquar(root, classes=37)


def _positions_absolute(**sizes: int) -> Positions:
    """Is a red square on that side of the image? SMem's synthetic experiment; 75 % of the answers are "no"."""
    return Positions("absolute", **sizes)


def _positions_relative(**sizes: int) -> Positions:
    """Is a red square on that side of the cat? SMem's synthetic experiment; 75 % of the answers are "no"."""
    return Positions("relative", **sizes)


def _vqa1(root: Path) -> Vqa:
    """VQA v1, open-ended questions about photographs."""
    return Vqa(root, 1)


def _vqa1_multiple_choice(root: Path) -> Vqa:
    """VQA v1, the answer to be chosen among eighteen."""
    return Vqa(root, 1, task="multiple-choice")


def _vqa1_abstract(root: Path) -> Vqa:
    """VQA v1, open-ended questions about abstract scenes."""
    return Vqa(root, 1, abstract=True)


def _vqa1_abstract_multiple_choice(root: Path) -> Vqa:
    """VQA v1 about abstract scenes, the answer to be chosen among eighteen."""
    return Vqa(root, 1, abstract=True, task="multiple-choice")


def _vqa2(root: Path) -> Vqa:
    """VQA v2, open-ended questions about photographs, each with a different answer for a similar one."""
    return Vqa(root, 2)


def _flickr8k_karpathy(root: Path) -> Karpathy:
    """Flickr8k in Karpathy's JSON and splits."""
    return Karpathy(root, "flickr8k")


def _flickr30k(root: Path) -> Karpathy:
    """Flickr30k in Karpathy's JSON and splits."""
    return Karpathy(root, "flickr30k")


def _coco(root: Path) -> Karpathy:
    """COCO's captions in Karpathy's JSON and splits, `restval` counted as training."""
    return Karpathy(root, "coco")


# From the number of images of each split to the corpus.
GENERATED: Mapping[str, Callable[..., Scenes | Positions]] = {
    "scenes": Scenes,
    "scenes-phrases": PhrasedScenes,
    "positions-absolute": _positions_absolute,
    "positions-relative": _positions_relative,
}
OWN = "own"
# From the folder that `--data.root` names to the corpus.
READ: Mapping[str, Callable[[Path], Corpus]] = {
    OWN: OwnData,
    "vqa1": _vqa1,
    "vqa1-multiple-choice": _vqa1_multiple_choice,
    "vqa1-abstract": _vqa1_abstract,
    "vqa1-abstract-multiple-choice": _vqa1_abstract_multiple_choice,
    "vqa2": _vqa2,
    "daquar": Daquar,
    "daquar-37": _daquar_37,
    "flickr8k": Flickr8k,
    "flickr8k-karpathy": _flickr8k_karpathy,
    "flickr30k": _flickr30k,
    "flickr30k-entities": FlickrEntities,
    "coco": _coco,
    "coco-official": CocoCaptions,
}
DATASETS: Mapping[str, Callable[..., Corpus]] = {**GENERATED, **READ}


def create_dataset(
    name: str,
    root: str | Path = "",
    *,
    limit: int | None = None,
    columns: Sequence[str] = (),
    missing: Literal["error", "skip"] = "error",
) -> Corpus:
    """The corpus of that name in its folder; generated data makes the first `limit` images of each split only.

    `columns` say which columns of own rows hold what; with `missing` "skip" own data may lack images. Raises
    UnknownNameError, or DataError when no such folder is named.
    """
    look_up(DATASETS, name, "data set")
    if columns and name != OWN:
        raise DataError(f"data.columns names the columns of own rows; {name} has files of its own: leave it out")
    if name in GENERATED:
        corpus: Corpus = _generated(name, limit)
        return corpus
    if not str(root):
        raise DataError(f"data set {name} needs its folder: say --data.root DIR")
    if name == OWN:
        return OwnData(root, columns=columns, missing=missing)
    if not Path(root).is_dir():
        raise DataError(f"no such folder; --data.root names the folder of {name}", root)
    return READ[name](Path(root))


@lru_cache(maxsize=2)  # asked for several times in a row, when training and then evaluating
def _generated(name: str, limit: int | None) -> Scenes | Positions:
    whole = GENERATED[name]()
    sizes = {split: len(whole.images(split)) for split in SPLITS}
    if limit is not None:
        whole = GENERATED[name](**{split: min(limit, size) for split, size in sizes.items()})
    return whole
