"""The data sets by name. Each comes from one file that reads a corpus as it lies on disk; scenes are generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from saccade.data.daquar import Daquar
from saccade.data.own import OwnData
from saccade.data.records import SPLITS, AnsweringData
from saccade.data.scenes import Scenes
from saccade.errors import DataError, look_up


def _daquar_37(root: Path) -> Daquar:
    """DAQUAR with the reduced 37 answer classes."""
    return Daquar(root, classes=37)


@lru_cache(maxsize=2)  # asked for several times in a row, when training and then evaluating
def _scenes(limit: int | None) -> Scenes:
    whole = Scenes()
    return whole if limit is None else Scenes(**{split: min(limit, len(whole.images(split))) for split in SPLITS})


# From the folder that `--data.root` names to the corpus; None for data that needs no folder.
DATASETS: Mapping[str, Callable[[Path], AnsweringData] | None] = {
    "scenes": None,
    "own": OwnData,
    "daquar": Daquar,
    "daquar-37": _daquar_37,
}


def create_dataset(name: str, root: str | Path = "", *, limit: int | None = None) -> AnsweringData:
    """The corpus of that name in its folder; generated data makes the first `limit` images of each split only.

    Raises UnknownNameError, or DataError when no such folder is named.
    """
    reader = look_up(DATASETS, name, "data set")
    if reader is None:
        return _scenes(limit)
    if not str(root):
        raise DataError(f"data set {name} needs its folder: say --data.root DIR")
    if not Path(root).is_dir():
        raise DataError(f"no such folder; --data.root names the folder of {name}", root)
    return reader(Path(root))
