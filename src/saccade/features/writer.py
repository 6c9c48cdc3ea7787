"""Writing a feature store, image by image, so that a kill at any moment costs one shard at most."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from saccade.errors import StoreError
from saccade.features.spec import AT_READING, IMPORTED, FeatureSpec
from saccade.features.store import FORMAT, MANIFEST, PLAN, FeatureStore, read_manifest
from saccade.serial import hash_file, locked, read_json, temporary_name, to_dict, write_json

if TYPE_CHECKING:
    from torch import Tensor

SHARD_IMAGES = 512


class FeatureWriter:
    """A store being written: say first what will be in it, `add` or `fail` each image in that order, then `finish`.

    Where the folder holds an unfinished store of the same plan, the images of its whole shards are `done`; go on with
    `pending`. Raises StoreError where it holds anything else, or another process writes to it. `grid` is None when
    images differ in their regions, which then come with boxes. A context manager: leaving it gives up an open shard.
    """

    def __init__(
        self,
        path: Path,
        ids: Sequence[str],
        *,
        spec: FeatureSpec,
        weights_hash: str,
        size: int,
        grid: tuple[int, int] | None,
        shard_images: int = SHARD_IMAGES,
    ) -> None:
        check_ids(ids)
        self.path, self.ids, self.grid, self.shard_images = path, list(ids), grid, shard_images
        self._size, self._dtype = size, np.dtype(spec.dtype)
        self._plan = {
            "format": FORMAT,
            "spec": to_dict(spec),
            "weights_hash": weights_hash,
            "dtype": spec.dtype,
            "size": size,
            "grid": None if grid is None else list(grid),
            "shard_images": shard_images,
            "images": fingerprint(ids),
        }
        self._shard: _Shard | None = None
        path.mkdir(parents=True, exist_ok=True)
        self._lock = ExitStack()
        self._lock.enter_context(locked(path, StoreError(f"another process is writing to {path}: wait for it to end")))
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def pending(self) -> list[str]:
        """The images still to come, in order."""
        return self.ids[self.done :]

    def add(
        self, image: str, features: npt.NDArray[Any] | Tensor, boxes: npt.NDArray[Any] | Tensor | None = None
    ) -> None:
        """Append features [regions, size] of the next image, and boxes [regions, 4] unless the store has a grid."""
        shard = self._open(image)
        rows = np.asarray(features, self._dtype)
        places = None if boxes is None else np.asarray(boxes, np.float32)
        expected = (len(rows) if self.grid is None else self.grid[0] * self.grid[1], self._size)
        if rows.shape != expected:
            raise StoreError(f"image {image!r}: expected features of shape {expected}, got {rows.shape}")
        if (places is None) != (self.grid is not None) or (places is not None and places.shape != (len(rows), 4)):
            raise StoreError(
                f"image {image!r}: expected boxes unless the store has a grid, four numbers for each region"
            )
        shard.add(image, rows, places)
        self._advance()

    def fail(self, image: str, reason: str) -> None:
        """Note why the next image has no features."""
        self._open(image).fail(image, reason)
        self._advance()

    def finish(self) -> FeatureStore:
        """Write the manifest and open the store; raises StoreError, and deletes the shards, when every image failed."""
        assert self.done == len(self.ids), f"{len(self.pending)} images are still to come"
        failed: dict[str, str] = {}
        for k in range(self._shards):
            failed |= read_json(self.path / f"images-{k:05}.json")["failed"]
        if len(failed) == len(self.ids):
            for file in [*self.path.glob("*-[0-9]*.*"), self.path / PLAN]:
                file.unlink()
            image, reason = next(iter(failed.items()))
            raise StoreError(f"none of the {len(failed)} images could be read; the first, {image!r}: {reason}")
        shards = [self._entries(k) for k in range(self._shards)]
        rows = sum(shard["regions"]["shape"][0] for shard in shards)
        done = {"count": len(self.ids) - len(failed), "shape": [rows, self._size], "failed": failed, "shards": shards}
        write_json(self.path / MANIFEST, {**{k: v for k, v in self._plan.items() if k != "size"}, **done})
        (self.path / PLAN).unlink()
        self.close()
        return FeatureStore.open(self.path)

    def close(self) -> None:
        """Let go of the folder; a shard that is not whole is given up."""
        if self._shard is not None:
            self._shard.discard()
            self._shard = None
        self._lock.close()

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _shards(self) -> int:
        return -(-len(self.ids) // self.shard_images)

    def _begin(self) -> None:
        if (self.path / MANIFEST).exists():
            raise StoreError(f"{self.path} already holds a feature store: delete it, or write to another folder")
        if (self.path / PLAN).exists():
            refuse_other_plan(self.path, read_json(self.path / PLAN), self._plan)
        elif any(self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and no feature store: write to another folder")
        else:
            write_json(self.path / PLAN, self._plan)
        # A shard's index is written after its features, so it says that the shard is whole.
        whole = 0
        while whole < self._shards and (self.path / f"images-{whole:05}.json").exists():
            whole += 1
        self.done = min(whole * self.shard_images, len(self.ids))

    def _open(self, image: str) -> _Shard:
        assert image == self.ids[self.done], f"expected image {self.ids[self.done]!r}, got {image!r}"
        if self._shard is None:
            self._shard = _Shard(self.path, self.done // self.shard_images, self._dtype, self._size, self.grid is None)
        return self._shard

    def _advance(self) -> None:
        self.done += 1
        if self._shard is not None and (self.done % self.shard_images == 0 or self.done == len(self.ids)):
            self._shard.finish()
            self._shard = None

    def _entries(self, number: int) -> dict[str, Any]:
        """A shard's files as the manifest lists them."""
        kinds = ("regions", "images") if self.grid is not None else ("regions", "boxes", "images")
        entries = {}
        for kind in kinds:
            file = self.path / f"{kind}-{number:05}.{'json' if kind == 'images' else 'npy'}"
            entries[kind] = {"file": file.name, "bytes": file.stat().st_size, "sha256": hash_file(file)}
            if kind != "images":
                entries[kind]["shape"] = list(np.load(file, mmap_mode="r").shape)
        return entries


class _Shard:
    """The files of one shard under temporary names."""

    def __init__(self, path: Path, number: int, dtype: np.dtype[Any], size: int, boxes: bool) -> None:
        self._index = path / f"images-{number:05}.json"
        self._features = _GrowingFile(path / f"regions-{number:05}.npy", size, dtype)
        self._boxes = _GrowingFile(path / f"boxes-{number:05}.npy", 4, np.dtype(np.float32)) if boxes else None
        self._ids: list[str] = []
        self._counts: list[int] = []
        self._failed: dict[str, str] = {}

    def add(self, image: str, features: npt.NDArray[Any], boxes: npt.NDArray[Any] | None) -> None:
        self._ids.append(image)
        self._counts.append(len(features))
        self._features.append(features)
        if self._boxes is not None and boxes is not None:
            self._boxes.append(boxes)

    def fail(self, image: str, reason: str) -> None:
        self._ids.append(image)
        self._failed[image] = reason

    def finish(self) -> None:
        self._features.finish()
        counts = {}
        if self._boxes is not None:
            self._boxes.finish()
            counts = {"counts": self._counts}
        write_json(self._index, {"ids": self._ids, **counts, "failed": self._failed})

    def discard(self) -> None:
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


def check_ids(ids: Sequence[str]) -> None:
    """Raise StoreError when there are no images, or one comes twice."""
    if not ids:
        raise StoreError("expected images to extract features of, got none")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(image for image in ids if image in seen or seen.add(image))  # type: ignore[func-returns-value]
        raise StoreError(f"image {twice!r} is given more than once: give every image one id")


def fingerprint(ids: Sequence[str]) -> dict[str, Any]:
    """How many ids there are, and the SHA-256 of them in order."""
    return {"count": len(ids), "sha256": hashlib.sha256("\0".join(ids).encode()).hexdigest()}


def refuse_other_plan(path: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise StoreError saying what differs between the plan of the store in that folder and the wanted one."""
    # What is done when features are read does not make another store.
    specs = [{**plan.get("spec", {}), **dict.fromkeys(AT_READING)} for plan in (there, wanted)]
    # The file of the weights may have moved: what is in it has a hash.
    if there.get("weights_hash") == wanted.get("weights_hash", ""):
        specs = [{**spec, "weights": None} for spec in specs]
    differ = [
        f"{name} is {before.get(name)!r} there and {now.get(name)!r} here"
        for before, now in (specs, (there, wanted))
        for name in now
        if name not in ("spec", "images") and before.get(name) != now[name]
    ]
    if there.get("images") != wanted["images"]:
        before, now = there.get("images", {}).get("count"), wanted["images"]["count"]
        differ.append(f"it is of {before} images, these are {now}" if before != now else "it is of other images")
    if differ:
        imported = there.get("spec", {}).get("backbone") == IMPORTED != wanted["spec"]["backbone"]
        hint = "It was imported from files: keep it, and write" if imported else "Delete it, or write"
        raise StoreError(f"{path} holds features made otherwise: {'; '.join(differ)}. {hint} to another folder")


def finished_store(path: Path, ids: Sequence[str], spec: FeatureSpec, weights_hash: str | None) -> FeatureStore | None:
    """The finished store of those images, or of more, in a folder; None where there is no manifest.

    Raises StoreError when it was made otherwise or lacks an image. A weights hash of None is not compared.
    """
    if not (path / MANIFEST).exists():
        return None
    store, there = FeatureStore.open(path, reading=spec), read_manifest(path)
    holds_all = all(image in store or image in store.failed for image in ids)
    wanted = {"spec": to_dict(spec), "images": there["images"] if holds_all else fingerprint(ids)}
    refuse_other_plan(path, there, wanted if weights_hash is None else {**wanted, "weights_hash": weights_hash})
    (path / PLAN).unlink(missing_ok=True)  # there when the process was killed between the two
    return store
