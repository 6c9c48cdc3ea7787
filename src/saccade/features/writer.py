"""Writing a feature store in shards, so that a kill at any moment costs those that were being made."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence, Set
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from saccade.errors import StoreError
from saccade.features.files import ImageFiles
from saccade.features.shards import Layout, ShardPlan, ShardWriter
from saccade.features.spec import IMPORTED, FeatureSpec, deciding
from saccade.features.store import FORMAT, MANIFEST, PLAN, FeatureStore, read_manifest
from saccade.serial import hash_file, locked, read_json, remove_left_overs, to_dict, write_json

if TYPE_CHECKING:
    from torch import Tensor

SHARD_IMAGES = 512


class FeatureWriter:
    """A store being made or added to: say which images it shall hold, have all `plans` made, then `finish`.

    What the folder holds already is kept, be it a finished store, which stays as it is until `finish`, or the whole
    shards of one that is not: `plans` are shards of the images that it lacks, in their order, and of those that have
    another file than they were read from, by `files`. Any process may make any of them, with a `ShardWriter`; or this
    one all, when each of `pending` is given to `add` or `fail` in turn. Raises StoreError where the folder holds
    anything else or features made otherwise, or another process holds such a writer. `grid` is None when images differ
    in their regions, which then come with boxes. A context manager: leaving it gives up an open shard.
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
        self.path, self.grid, self.layout = path, grid, Layout(path, spec.dtype, size, grid)
        self._files, self._shard_images = files, shard_images
        self._plan = {
            "format": FORMAT,
            "spec": to_dict(spec),
            "weights_hash": weights_hash,
            "dtype": spec.dtype,
            "size": size,
            "grid": None if grid is None else list(grid),
            "shard_images": shard_images,
        }
        self._shard: ShardWriter | None = None
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
        """The images that are still to be added, in order."""
        return self._todo[self._added :]

    @property
    def total(self) -> int:
        """How many images are in no finished store yet."""
        return self._adopted + len(self._todo)

    @property
    def done(self) -> int:
        """How many of these were there or are added."""
        return self._adopted + self._added

    def add(
        self,
        image: str,
        features: npt.NDArray[Any] | Tensor,
        boxes: npt.NDArray[Any] | Tensor | None = None,
        file: str | None = None,
    ) -> None:
        """Append the regions of the next image, as `ShardWriter.add` does."""
        self._open(image).add(image, features, boxes, file)
        self._advance()

    def fail(self, image: str, reason: str, file: str | None = None) -> None:
        """Note why the next image has no features."""
        self._open(image).fail(image, reason, file)
        self._advance()

    def learn(self, known: Mapping[str, str]) -> None:
        """Take over what another process learnt of the images' files."""
        if self._files is not None:
            self._files.learn(known)

    def finish(self) -> FeatureStore:
        """Write the manifest and open the store; raises StoreError, and deletes the shards, when every image failed."""
        made = sorted({*self._whole, *(plan.number for plan in self.plans)})
        missing = [number for number in made if not self.layout.index(number).exists()]
        assert not missing, f"the shards {missing} are still to come"
        there, (held, failed) = self._manifest, self._holdings(self._indices(made))
        if not there and len(failed) == len(held):
            self._refuse_failed(failed)
        if made:
            shards = [*there.get("shards", ()), *(self._entries(number) for number in made)]
            plan = {k: v for k, v in (there or self._plan).items() if k != "size"}
            rows = sum(shard["regions"]["shape"][0] for shard in shards)
            done = {
                "images": fingerprint(list(held)),
                "count": len(held) - len(failed),
                "shape": [rows, self.layout.size],
                "failed": failed,
                "shards": shards,
            }
            write_json(self.path / MANIFEST, plan | done)
            (self.path / PLAN).unlink(missing_ok=True)
        if self._files is not None:
            self._files.write()
        remove_left_overs(self.path)  # of workers that were killed
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
        self._first = self._added = 0
        if (self.path / MANIFEST).exists():
            self._continue()
        elif (self.path / PLAN).exists():
            refuse_other_plan(self.path, read_json(self.path / PLAN), self._plan)
        elif any(self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and no feature store: write to another folder")
        else:
            write_json(self.path / PLAN, self._plan)
        # Shards are made in any order: whole ones lie anywhere among those that are missing.
        found = (index.stem.removeprefix("images-") for index in self.path.glob("images-*.json"))
        self._whole = sorted(int(number) for number in found if number.isdigit() and int(number) >= self._first)
        whole = self._indices(self._whole)
        held, failed = self._holdings(whole)
        self._todo = lacking(ids, held, failed, self._files)
        self._adopted = sum(len(index["ids"]) for index in whole)
        self.plans = self._divide({image for index in whole for image in index["ids"]})

    def _continue(self) -> None:
        """Begin with what a finished store holds."""
        there = read_manifest(self.path)
        # How many images its shards have is nothing to the next ones.
        wanted = self._plan | {"shard_images": there.get("shard_images")}
        refuse_other_plan(self.path, there | {"size": there["shape"][1]}, wanted)
        self._manifest = there
        self._first = 1 + max(int(Path(shard["images"]["file"]).stem.rpartition("-")[2]) for shard in there["shards"])

    def _indices(self, shards: Sequence[int]) -> list[dict[str, Any]]:
        return [read_json(self.layout.index(number)) for number in shards]

    def _holdings(self, indices: Sequence[dict[str, Any]]) -> tuple[dict[str, str | None], dict[str, str]]:
        """The hash of the file of each image in what is finished and those shards; which of them failed, and why."""
        held: dict[str, str | None] = {}
        failed: dict[str, str] = {}
        if self._manifest:
            store = FeatureStore.open(self.path)
            held, failed = store.file_hashes(), dict(store.failed)
        for index in indices:
            ids: list[str] = index["ids"]
            held.update(zip(ids, index.get("files", [None] * len(ids)), strict=True))
            for image in ids:
                failed.pop(image, None)
            failed |= index["failed"]
        return held, failed

    def _divide(self, whole: Set[str]) -> list[ShardPlan]:
        """What is to do by shards, which take the numbers that are missing first: all end as if none had been.

        `whole` are the images in shards that are there already.
        """
        size, after = self._shard_images, max(self._whole, default=self._first - 1) + 1
        free = [number for number in range(self._first, after) if number not in set(self._whole)]
        if not whole.isdisjoint(self._todo):
            free = []  # an image in two shards is what the later one says
        numbers = chain(free, count(after))
        parts = (tuple(self._todo[start : start + size]) for start in range(0, len(self._todo), size))
        return [ShardPlan(number, part) for part, number in zip(parts, numbers, strict=False)]

    def _refuse_failed(self, failed: Mapping[str, str]) -> None:
        """Leave nothing of a store without an image."""
        for file in [*self.path.glob("*-[0-9]*.*"), self.path / PLAN]:
            file.unlink()
        image, reason = next(iter(failed.items()))
        raise StoreError(f"none of the {len(failed)} images could be read; the first, {image!r}: {reason}")

    def _open(self, image: str) -> ShardWriter:
        assert image == self._todo[self._added], f"expected image {self._todo[self._added]!r}, got {image!r}"
        if self._shard is None:
            self._shard = ShardWriter(self.layout, self.plans[self._added // self._shard_images].number)
        return self._shard

    def _advance(self) -> None:
        self._added += 1
        plan = self.plans[(self._added - 1) // self._shard_images]
        if self._shard is not None and len(self._shard) == len(plan.images):
            self._shard.finish()
            self._shard = None

    def _entries(self, number: int) -> dict[str, Any]:
        """A shard's files as the manifest lists them."""
        entries: dict[str, Any] = {}
        for kind, file in self.layout.files(number).items():
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
    specs = [deciding(plan.get("spec", {})) for plan in (there, wanted)]
    # Files may have moved: the boxes of each image have a hash beside it, and so have the weights.
    moved = ["regions_file"]
    if there.get("weights_hash") == wanted.get("weights_hash", ""):
        moved += ["weights", "detector_weights"]
    specs = [{**spec, **dict.fromkeys(moved)} for spec in specs]
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
