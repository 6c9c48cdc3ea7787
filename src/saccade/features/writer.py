"""Writing a feature store, image by image, so that a kill at any moment costs one shard at most."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from saccade.errors import StoreError
from saccade.features.files import ImageFiles
from saccade.features.shards import Shard
from saccade.features.spec import IMPORTED, NOT_STORED, FeatureSpec
from saccade.features.store import FORMAT, MANIFEST, PLAN, FeatureStore, read_manifest
from saccade.serial import hash_file, locked, read_json, to_dict, write_json

if TYPE_CHECKING:
    from torch import Tensor

SHARD_IMAGES = 512


class FeatureWriter:
    """A store being made or added to: say which images it shall hold, `add` or `fail` each of `pending`, then `finish`.

    What the folder holds already is kept, be it a finished store, which stays as it is until `finish`, or the whole
    shards of one that is not: `pending` are the images that it lacks, in their order, and those that have another file
    than they were read from, by `files`. Raises StoreError where the folder holds anything else or features made
    otherwise, or another process writes to it. `grid` is None when images differ in their regions, which then come with
    boxes. A context manager: leaving it gives up an open shard.
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
        files: ImageFiles | None = None,
    ) -> None:
        check_ids(ids)
        self.path, self.grid, self.shard_images = path, grid, shard_images
        self._size, self._dtype, self._files = size, np.dtype(spec.dtype), files
        self._plan = {
            "format": FORMAT,
            "spec": to_dict(spec),
            "weights_hash": weights_hash,
            "dtype": spec.dtype,
            "size": size,
            "grid": None if grid is None else list(grid),
            "shard_images": shard_images,
        }
        self._shard: Shard | None = None
        path.mkdir(parents=True, exist_ok=True)
        self._lock = ExitStack()
        self._lock.enter_context(locked(path, StoreError(f"another process is writing to {path}: wait for it to end")))
        try:
            self._begin(ids)
        except BaseException:
            self.close()
            raise

    @property
    def pending(self) -> list[str]:
        """The images still to come, in order."""
        return self._todo[self._added :]

    @property
    def total(self) -> int:
        """How many images are in no finished store yet."""
        return self._adopted + len(self._todo)

    @property
    def done(self) -> int:
        """How many of these are written."""
        return self._adopted + self._added

    @property
    def room(self) -> int:
        """How many images the shard has place for."""
        return self.shard_images - (0 if self._shard is None else len(self._shard))

    def file_hash(self, image: str) -> str | None:
        """The hash of the image's file, where there is one, to be asked before it is read; from any thread."""
        return None if self._files is None else self._files.hash(image)

    def add(
        self,
        image: str,
        features: npt.NDArray[Any] | Tensor,
        boxes: npt.NDArray[Any] | Tensor | None = None,
        file: str | None = None,
    ) -> None:
        """Append features [regions, size] of the next image, and boxes [regions, 4] unless the store has a grid.

        `file` is the hash of the file that it was read from.
        """
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
        shard.add(image, rows, places, file)
        self._advance()

    def fail(self, image: str, reason: str, file: str | None = None) -> None:
        """Note why the next image has no features."""
        self._open(image).fail(image, reason, file)
        self._advance()

    def finish(self) -> FeatureStore:
        """Write the manifest and open the store; raises StoreError, and deletes the shards, when every image failed."""
        assert not self.pending, f"{len(self.pending)} images are still to come"
        there, first = self._manifest, len(self._manifest.get("shards", ()))
        if not there and len(self._failed) == len(self._held):
            self._refuse_failed()
        if self._shards > first:
            shards = [*there.get("shards", ()), *(self._entries(k) for k in range(first, self._shards))]
            plan = {k: v for k, v in (there or self._plan).items() if k != "size"}
            rows = sum(shard["regions"]["shape"][0] for shard in shards)
            done = {
                "images": fingerprint(list(self._held)),
                "count": len(self._held) - len(self._failed),
                "shape": [rows, self._size],
                "failed": self._failed,
                "shards": shards,
            }
            write_json(self.path / MANIFEST, plan | done)
            (self.path / PLAN).unlink(missing_ok=True)
        if self._files is not None:
            self._files.write()
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

    def _begin(self, ids: Sequence[str]) -> None:
        self._manifest: dict[str, Any] = {}  # of what is finished
        self._held: dict[str, str | None] = {}  # the hash of each image's file
        self._failed: dict[str, str] = {}
        self._shards = self._adopted = self._added = 0
        if (self.path / MANIFEST).exists():
            self._continue()
        elif (self.path / PLAN).exists():
            refuse_other_plan(self.path, read_json(self.path / PLAN), self._plan)
        elif any(self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and no feature store: write to another folder")
        else:
            write_json(self.path / PLAN, self._plan)
        # A shard's index is written after its features, so it says that the shard is whole.
        while (index := self.path / f"images-{self._shards:05}.json").exists():
            self._adopted += self._take(read_json(index))
        self._todo = lacking(ids, self._held, self._failed, self._files)

    def _continue(self) -> None:
        """Begin with what a finished store holds."""
        there = read_manifest(self.path)
        # How many images its shards have is nothing to the next ones.
        wanted = self._plan | {"shard_images": there.get("shard_images")}
        refuse_other_plan(self.path, there | {"size": there["shape"][1]}, wanted)
        store = FeatureStore.open(self.path)
        self._manifest, self._shards = there, len(there["shards"])
        self._held, self._failed = store.file_hashes(), dict(store.failed)

    def _take(self, index: dict[str, Any]) -> int:
        """Count a whole shard, by its index, among what is there; how many images it has."""
        ids: list[str] = index["ids"]
        self._held.update(zip(ids, index.get("files", [None] * len(ids)), strict=True))
        for image in ids:
            self._failed.pop(image, None)
        self._failed |= index["failed"]
        self._shards += 1
        return len(ids)

    def _refuse_failed(self) -> None:
        """Leave nothing of a store without an image."""
        for file in [*self.path.glob("*-[0-9]*.*"), self.path / PLAN]:
            file.unlink()
        image, reason = next(iter(self._failed.items()))
        raise StoreError(f"none of the {len(self._failed)} images could be read; the first, {image!r}: {reason}")

    def _open(self, image: str) -> Shard:
        assert image == self._todo[self._added], f"expected image {self._todo[self._added]!r}, got {image!r}"
        if self._shard is None:
            self._shard = Shard(self.path, self._shards, self._dtype, self._size, self.grid is None)
        return self._shard

    def _advance(self) -> None:
        self._added += 1
        if self._shard is not None and (not self.room or self._added == len(self._todo)):
            self._take(self._shard.finish())
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


def lacking(
    ids: Sequence[str], held: Mapping[str, str | None], failed: Container[str], files: ImageFiles | None
) -> list[str]:
    """The images that a store does not hold, or holds as they were in another file; `held` has the files' hashes."""
    return [
        image
        for image in ids
        if image not in held or (files is not None and files.changed(image, held[image], failed=image in failed))
    ]


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between how the features of a store were made and the wanted ones, each in words."""
    # What is done or checked when features are read does not make another store.
    specs = [{**plan.get("spec", {}), **dict.fromkeys(NOT_STORED)} for plan in (there, wanted)]
    # The file of the weights may have moved: what is in it has a hash.
    if there.get("weights_hash") == wanted.get("weights_hash", ""):
        specs = [{**spec, "weights": None} for spec in specs]
    return [
        f"{name} is {before.get(name)!r} there and {now.get(name)!r} here"
        for before, now in (specs, (there, wanted))
        for name in now
        if name != "spec" and before.get(name) != now[name]
    ]


def refuse_other_plan(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise StoreError saying what differs between the plan of the store in that folder and the wanted one."""
    if differ := differences(there, wanted):
        imported = there.get("spec", {}).get("backbone") == IMPORTED != wanted["spec"]["backbone"]
        hint = "It was imported from files: keep it, and write" if imported else "Delete it, or write"
        raise StoreError(f"{path} holds features made otherwise: {'; '.join(differ)}. {hint} to another folder")


def finished_store(
    path: Path, ids: Sequence[str], spec: FeatureSpec, weights_hash: str | None, files: ImageFiles | None = None
) -> FeatureStore | None:
    """The finished store in a folder where it holds those images, all as they are in their files now; else None.

    Raises StoreError when it was made otherwise. A weights hash of None is not compared.
    """
    if not (path / MANIFEST).exists():
        return None
    store, wanted = FeatureStore.open(path, reading=spec), {"spec": to_dict(spec)}
    refuse_other_plan(
        path, read_manifest(path), wanted if weights_hash is None else {**wanted, "weights_hash": weights_hash}
    )
    (path / PLAN).unlink(missing_ok=True)  # there when the process was killed between the two
    if lacking(ids, store.file_hashes(), store.failed, files):
        return None
    if files is not None:
        files.save()
    return store
