"""One shard of a feature store being written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.serial import temporary_name, write_json


class Shard:
    """The files of one shard under temporary names, image after image, until it is finished or given up."""

    def __init__(self, path: Path, number: int, dtype: np.dtype[Any], size: int, boxes: bool) -> None:
        self._index = path / f"images-{number:05}.json"
        self._features = _GrowingFile(path / f"regions-{number:05}.npy", size, dtype)
        self._boxes = _GrowingFile(path / f"boxes-{number:05}.npy", 4, np.dtype(np.float32)) if boxes else None
        self._ids: list[str] = []
        self._counts: list[int] = []
        self._failed: dict[str, str] = {}
        self._files: list[str | None] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, image: str, features: npt.NDArray[Any], boxes: npt.NDArray[Any] | None, file: str | None) -> None:
        """Append an image's regions, and its boxes where the shard has some; `file` is its file's hash."""
        self._ids.append(image)
        self._files.append(file)
        self._counts.append(len(features))
        self._features.append(features)
        if self._boxes is not None and boxes is not None:
            self._boxes.append(boxes)

    def fail(self, image: str, reason: str, file: str | None) -> None:
        """Note an image that has no regions, and why."""
        self._ids.append(image)
        self._files.append(file)
        self._failed[image] = reason

    def finish(self) -> dict[str, Any]:
        """The index that was written, last, for it says that the files are whole."""
        self._features.finish()
        index: dict[str, Any] = {"ids": self._ids}
        if self._boxes is not None:
            self._boxes.finish()
            index["counts"] = self._counts
        index["failed"] = self._failed
        if any(self._files):
            index["files"] = self._files
        write_json(self._index, index)
        return index

    def discard(self) -> None:
        """Leave nothing of it."""
        for file in (self._features, self._boxes):
            if file is not None:
                file.discard()


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
