"""One shard of a feature store being written, by whichever process makes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from saccade.errors import StoreError
from saccade.serial import temporary_name, write_json

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """What the shards of a store have alike: their folder, the numbers of a region, and the grid of the regions.

    `grid` is None when images differ in their regions, which then come with boxes.
    """

    path: Path
    dtype: str
    size: int
    grid: tuple[int, int] | None

    def index(self, number: int) -> Path:
        """The file that is written last: where it is, the shard of that number is whole."""
        return self.path / f"images-{number:05}.json"

    def files(self, number: int) -> dict[str, Path]:
        """The files of the shard of that number by what they hold, the index last."""
        kinds = ("regions",) if self.grid is not None else ("regions", "boxes")
        return {kind: self.path / f"{kind}-{number:05}.npy" for kind in kinds} | {"images": self.index(number)}


@dataclass(frozen=True)
class ShardPlan:
    """A shard that is to be made: its number, and its images in order."""

    number: int
    images: tuple[str, ...]


class ShardWriter:
    """The files of one shard under temporary names, image after image, until it is finished or given up.

    Several processes may write shards of one store at once. A context manager: leaving it gives up an unfinished one.
    """

    def __init__(self, layout: Layout, number: int) -> None:
        self._layout, self._dtype = layout, np.dtype(layout.dtype)
        files = layout.files(number)
        self._index = files["images"]
        self._features = _GrowingFile(files["regions"], layout.size, self._dtype)
        self._boxes = _GrowingFile(files["boxes"], 4, np.dtype(np.float32)) if "boxes" in files else None
        self._ids: list[str] = []
        self._counts: list[int] = []
        self._failed: dict[str, str] = {}
        self._files: list[str | None] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self,
        image: str,
        features: npt.NDArray[Any] | Tensor,
        boxes: npt.NDArray[Any] | Tensor | None = None,
        file: str | None = None,
    ) -> None:
        """Append an image's features [regions, size], and boxes [regions, 4] unless the store has a grid.

        `file` is the hash of the file that it was read from.
        """
        grid = self._layout.grid
        rows = np.asarray(features, self._dtype)
        places = None if boxes is None else np.asarray(boxes, np.float32)
        expected = (len(rows) if grid is None else grid[0] * grid[1], self._layout.size)
        if rows.shape != expected:
            raise StoreError(f"image {image!r}: expected features of shape {expected}, got {rows.shape}")
        if (places is None) != (grid is not None) or (places is not None and places.shape != (len(rows), 4)):
            raise StoreError(
                f"image {image!r}: expected boxes unless the store has a grid, four numbers for each region"
            )
        self._ids.append(image)
        self._files.append(file)
        self._counts.append(len(rows))
        self._features.append(rows)
        if self._boxes is not None and places is not None:
            self._boxes.append(places)

    def fail(self, image: str, reason: str, file: str | None = None) -> None:
        """Note an image that has no regions, and why."""
        self._ids.append(image)
        self._files.append(file)
        self._failed[image] = reason

    def finish(self) -> None:
        """Give the files their names, the index last, for it says that they are whole.

        A shard that another process made meanwhile is left as it is.
        """
        if self._index.exists():
            self.discard()
            return
        self._features.finish()
        index: dict[str, Any] = {"ids": self._ids}
        if self._boxes is not None:
            self._boxes.finish()
            index["counts"] = self._counts
        index["failed"] = self._failed
        if any(self._files):
            index["files"] = self._files
        write_json(self._index, index)

    def discard(self) -> None:
        """Leave nothing of it, unless it is finished."""
        for file in (self._features, self._boxes):
            if file is not None:
                file.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class _GrowingFile:
    """An .npy file of rows, under a temporary name until it is finished."""

    def __init__(self, path: Path, width: int, dtype: np.dtype[Any]) -> None:
        self._path, self._temporary = path, temporary_name(path)
        self._dtype, self._width, self._rows = dtype, width, 0
        self._file = self._temporary.open("wb")
        self._header()

    def append(self, rows: npt.NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(rows).data)
        self._rows += len(rows)

    def finish(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)

    def discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _header(self) -> None:
        # NumPy pads the header so that the number of rows can grow in place.
        shape = {"shape": (self._rows, self._width), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, {**shape, "descr": np.lib.format.dtype_to_descr(self._dtype)})
