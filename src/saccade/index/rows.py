"""Rows of numbers in one file that grows at its end, read through memory mapping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from saccade.index.engine import IndexingError, Vectors

# Of bfloat16, which NumPy lacks, the bits.
STORED: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(np.int16)}


class Rows:
    """A file of rows of `size` numbers, without a header: how many of them count is kept elsewhere."""

    def __init__(self, path: Path, size: int, dtype: Literal["float32", "bfloat16"]) -> None:
        self.path, self.size, self.dtype = path, size, dtype
        self._row_bytes = size * STORED[dtype].itemsize

    def append(self, first: int, vectors: Vectors) -> None:
        """Write rows behind the first `first`, in place of what may be there, and see them onto the disk."""
        rows = torch.from_numpy(vectors)
        if self.dtype == "bfloat16":
            rows = rows.to(torch.bfloat16).view(torch.int16)
        with self.path.open("ab") as file:
            file.truncate(first * self._row_bytes)
            file.write(rows.numpy().data)
            file.flush()
            os.fsync(file.fileno())

    def mapped(self, count: int) -> Tensor:
        """The first `count` rows, whose pages come from disk as they are read; not to be written to.

        Raises IndexingError where the file has fewer.
        """
        held = self.path.stat().st_size // self._row_bytes if self.path.exists() else 0
        if held < count:
            raise IndexingError(
                f"{self.path} was altered: it has {held:,} rows of {count:,}; restore it, or delete the index and make "
                "it again"
            )
        if not count:
            return torch.empty(0, self.size, dtype=getattr(torch, self.dtype))
        # "c": PyTorch warns of arrays that cannot be written; what would be written stays in memory.
        array = np.memmap(self.path, STORED[self.dtype], "c", shape=(count, self.size))
        rows = torch.from_numpy(array)
        return rows if self.dtype == "float32" else rows.view(torch.bfloat16)
