"""The feature store: region features of many images in a folder, read from disk a batch at a time.

The folder holds shards of some hundred images each and, written last, a manifest:

    manifest.json          how the features were made, how many there are, every file with its size and SHA-256
    regions-00000.npy      [rows, size]: the regions of the shard's images, one image after the other
    boxes-00000.npy        [rows, 4], unless the regions are the cells of one grid laid over the whole image
    images-00000.json      the shard's image ids in order, how many regions each has, which images failed and why, and
                           the hashes of the images' files
    files.json             when those files were last looked at (`saccade.features.files`)

A folder without its manifest is unfinished: `plan.json` says what is being written (`saccade.features.writer`). One
with it may grow: shards that it does not list are being added. An image in two shards is what the later one says.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from saccade.errors import RunError, StoreError
from saccade.features.spec import POSITION_SIZE, FeatureSpec, at_reading
from saccade.serial import from_dict, hash_file, read_json

if TYPE_CHECKING:
    from saccade.types import Regions

FORMAT = "saccade-features-1"
MANIFEST, PLAN = "manifest.json", "plan.json"
# Below this many bytes starting threads costs more than they save.
THREADED = 16 << 20
THREADS = min(4, os.cpu_count() or 1)

Array = npt.NDArray[Any]


class FeatureStore:
    """The regions of many images, by image id. Pages of the shards come from disk as they are read; nothing is kept.

    ``spec`` says how the features were made and ``weights_hash`` with which weights; ``ids`` are the images in it,
    ``failed`` those that could not be read, with the reason; ``grid`` is (rows, columns) where all regions are the
    cells of a grid over the whole image.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], *, reading: FeatureSpec | None = None) -> None:
        self.path = path
        self._shards = manifest["shards"]
        spec = from_dict(FeatureSpec, manifest["spec"], where="features")
        self.spec = spec if reading is None else dataclasses.replace(spec, **at_reading(reading))
        self.weights_hash: str = manifest["weights_hash"]
        self.failed: dict[str, str] = manifest["failed"]
        self.grid: tuple[int, int] | None = manifest["grid"] and (manifest["grid"][0], manifest["grid"][1])
        self._size: int = manifest["shape"][1]
        self._dtype = np.dtype(manifest["dtype"])
        self._features = [self._map(shard["regions"], self._dtype) for shard in self._shards]
        self._boxes = [self._map(shard["boxes"], np.dtype(np.float32)) for shard in self._shards if "boxes" in shard]
        self._read_index()

    @classmethod
    def open(cls, path: Path | str, *, reading: FeatureSpec | None = None) -> FeatureStore:
        """The finished store in a folder, read as a spec says (by default as it was asked for when made).

        Raises StoreError when it is missing, unfinished, or a file is not as the manifest says. Contents are not read:
        `verify` does that.
        """
        path = Path(path)
        if not (path / MANIFEST).exists():
            if (path / PLAN).exists():
                raise StoreError(f"{path} is unfinished: run the same extraction again, it goes on where it stopped")
            if path.exists():
                raise StoreError(f"{path} is not a feature store: it has no {MANIFEST}; make one with saccade extract")
            raise StoreError(f"{path}: no such feature store; make it with saccade extract")
        manifest = read_manifest(path)
        try:
            return cls(path, manifest, reading=reading)
        except (KeyError, TypeError, IndexError) as error:
            raise StoreError(f"{path / MANIFEST} was altered ({error!r}): restore it, or delete the folder") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.spec)

    @property
    def ids(self) -> Sequence[str]:
        """The images that have features, in the order they were extracted."""
        return list(self._row_of)

    @property
    def region_size(self) -> int:
        """Numbers per region, the position code included."""
        return self._size + POSITION_SIZE * self.spec.positions

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, image: object) -> bool:
        return image in self._row_of

    def read(self, ids: Sequence[str], *, dtype: Literal["float16", "float32"] | None = "float32") -> Regions:
        """The regions of images, in the order asked for, shorter ones padded; `dtype` None keeps the stored one.

        Raises StoreError for images that the store lacks.
        """
        rows = self._rows(ids)
        counts = self._counts[rows].tolist()
        shape = (len(rows), max(counts, default=0))
        features = np.empty((*shape, self._size), self._dtype)
        boxes = None if self.grid else np.empty((*shape, 4), np.float32)

        def copy(some: range) -> None:
            for i in some:
                shard, start, n = self._shard[rows[i]], self._start[rows[i]], counts[i]
                features[i, :n] = self._features[shard][start : start + n]
                features[i, n:] = 0
                if boxes is not None:
                    boxes[i, :n] = self._boxes[shard][start : start + n]
                    boxes[i, n:] = 0

        # Copying and the page faults it meets release the interpreter's lock.
        threads = THREADS if features.nbytes >= THREADED else 1
        if threads == 1:
            copy(range(len(rows)))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(copy, [range(i, len(rows), threads) for i in range(threads)]))
        return self._regions(features, boxes, counts, dtype)

    def boxes(self, ids: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Where the regions of images lie [regions, 4], x1, y1, x2, y2 in fractions, without reading their features.

        Raises StoreError for images that the store lacks.
        """
        rows = self._rows(ids)
        if self.grid:
            from saccade.features.boxes import grid_boxes  # noqa: PLC0415  (loads torch)

            return [grid_boxes(self.grid).numpy() for _ in rows]
        places = [(self._boxes[self._shard[row]], self._start[row], self._counts[row]) for row in rows]
        return [np.array(boxes[start : start + count]) for boxes, start, count in places]

    def file_hashes(self) -> dict[str, str | None]:
        """The hash of the file that each image was read from, failed ones included; None where none was kept."""
        found: dict[str, str | None] = {}
        for shard in self._shards:
            index = read_json(self.path / shard["images"]["file"])
            found.update(zip(index["ids"], index.get("files", [None] * len(index["ids"])), strict=True))
        return found

    def verify(self) -> None:
        """Read every byte; raises StoreError naming the first file that is not the one that was written."""
        for shard in self._shards:
            for entry in shard.values():
                if hash_file(self.path / entry["file"]) != entry["sha256"]:
                    raise self._altered(entry, "other contents than were written")

    def _regions(self, rows: Array, boxes: Array | None, counts: list[int], dtype: str | None) -> Regions:
        # Not needed to write a store, and half a gigabyte to load.
        import torch  # noqa: PLC0415

        from saccade.features.boxes import as_read, grid_boxes  # noqa: PLC0415
        from saccade.types import Regions  # noqa: PLC0415

        features = torch.from_numpy(rows)
        n, width = features.shape[:2]
        mask = torch.arange(width) < torch.tensor(counts, dtype=torch.long)[:, None]
        if boxes is not None:
            places = torch.from_numpy(boxes)
        else:
            assert self.grid is not None
            places = grid_boxes(self.grid).expand(n, -1, -1)[:, :width]
        spec = self.spec
        features = as_read(features, places, mask, standardize=spec.standardize, positions=spec.positions)
        if dtype is not None:
            features = features.to(getattr(torch, dtype))
        return Regions(features, mask, places, self.grid)

    def _rows(self, ids: Sequence[str]) -> list[int]:
        try:
            return [self._row_of[image] for image in ids]
        except KeyError:
            missing = list(dict.fromkeys(image for image in ids if image not in self._row_of))
        listed = ", ".join(
            f"{image!r} ({self.failed[image]})" if image in self.failed else repr(image) for image in missing[:10]
        )
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise StoreError(f"{self.path} has no features of {listed}{more}: extract them too")

    def _map(self, entry: dict[str, Any], dtype: np.dtype[Any]) -> Array:
        file = self.path / entry["file"]
        if not file.exists():
            raise self._altered(entry, "missing")
        if file.stat().st_size != entry["bytes"]:
            raise self._altered(entry, f"{file.stat().st_size} bytes instead of {entry['bytes']}")
        try:
            array: Array = np.load(file, mmap_mode="r")
        except (ValueError, EOFError, OSError) as error:
            raise self._altered(entry, str(error)) from None
        if array.dtype != dtype or list(array.shape) != entry["shape"]:
            raise self._altered(entry, f"{array.dtype} {array.shape} instead of {dtype} {tuple(entry['shape'])}")
        return array.view(np.ndarray)  # a plain array: indexing a memmap costs more

    def _read_index(self) -> None:
        """Where each image's regions lie: its shard, its first row there, and how many rows."""
        self._row_of: dict[str, int] = {}
        shards: list[int] = []
        starts: list[int] = []
        counts: list[int] = []
        for number, shard in enumerate(self._shards):
            entry = shard["images"]
            if not (self.path / entry["file"]).exists() or hash_file(self.path / entry["file"]) != entry["sha256"]:
                raise self._altered(entry, "missing or changed")
            index = read_json(self.path / entry["file"])
            kept = [image for image in index["ids"] if image not in index["failed"]]
            for image in index["failed"]:
                self._row_of.pop(image, None)
            self._row_of.update(zip(kept, range(len(shards), len(shards) + len(kept)), strict=True))
            here: list[int] = index.get("counts", [self.grid and self.grid[0] * self.grid[1]] * len(kept))
            shards += [number] * len(kept)
            starts += accumulate(here[:-1], initial=0) if here else []
            counts += here
        self._shard, self._start, self._counts = np.array(shards), np.array(starts), np.array(counts)

    def _altered(self, entry: dict[str, Any], how: str) -> StoreError:
        return StoreError(
            f"{self.path / entry['file']} was altered ({how}): restore it, or delete {self.path} and extract again"
        )


def _reopen(path: Path, reading: FeatureSpec) -> FeatureStore:
    return FeatureStore.open(path, reading=reading)


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the store in that folder; raises StoreError when it is no manifest of this version."""
    try:
        manifest = read_json(path / MANIFEST)
    except RunError as error:
        raise StoreError(f"{error}; restore it, or delete {path} and extract again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f"{path / MANIFEST}: expected a manifest of the format {FORMAT}")
    return manifest
