"""Region features from files made elsewhere, into a feature store."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

from saccade.errors import DataError
from saccade.features.import_hdf5 import MAP_SUFFIXES, Hdf5Source
from saccade.features.import_names import match_names, short_name
from saccade.features.import_records import Array, Grid, regions_of
from saccade.features.import_sources import FolderSource, LmdbSource, Source, TsvSource
from saccade.features.spec import IMPORTED, FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.writer import SHARD_IMAGES, FeatureWriter, finished_store
from saccade.images import files_below

Format = Literal["tsv", "hdf5", "npz", "npy", "lmdb"]
SUFFIXES: dict[str, Format] = {
    ".tsv": "tsv",
    ".hdf5": "hdf5",
    ".h5": "hdf5",
    ".npz": "npz",
    ".npy": "npy",
    ".lmdb": "lmdb",
    ".mdb": "lmdb",
}
# What reading a file that is not as its format asks for ends in.
BROKEN = (DataError, OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
END = 1 << 20  # bytes at the beginning and the end of a file that its hash is of
REPORTED = 64  # images between two reports of progress

Places = dict[str, tuple[Source, int]]


def import_features(
    sources: Sequence[Path],
    out: Path,
    *,
    format: Format | None = None,
    images: Sequence[str] | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    grid: Grid | None = None,
    rename: Callable[[str], str] = short_name,
    progress: Callable[[int, int], None] | None = None,
    shard_images: int = SHARD_IMAGES,
) -> FeatureStore:
    """The store of the features in files or folders, made or added to; docs/import_features.md has the layouts.

    The images are in the sources' order, under the ids that `rename` makes of the sources' names: all of them, or only
    `images`, which must all be there, and which are found under those ids or as `match_names` says. Boxes become
    fractions of width and height. `grid` (rows, columns) is for features that have no boxes as they are cells of a
    grid. The format is told by the first source's name unless given.

    An import that was killed goes on after its last whole shard. The store's `weights_hash` is the SHA-256 of the
    files' names, sizes, and first and last mebibyte (in folders of a file per image: of the first and last file).
    `progress` is told how many images are done, and of how many.

    Raises DataError, with file and line and image, for whatever is missing, twice, cut short, or not a feature or box
    that can be; StoreError when the folder `out` holds something else.
    """
    with ExitStack() as stack:
        kind = format or guess_format(sources)
        opened = [stack.enter_context(closing(source)) for source in _open(sources, kind)]
        places = _choose(_places(opened, rename), images)
        if not places:
            raise DataError("expected images to import, got none")
        first = next(iter(places))
        features, _, found = _read(places, first, grid, dtype)
        spec = FeatureSpec(
            backbone=IMPORTED,
            weights=f"{kind}: {Path(sources[0]).resolve().name}",
            regions="boxes" if found is None else "grid",
            dtype=dtype,
            width=features.shape[1],
        )
        ids, digest = list(places), hash_sources(opened)
        store = finished_store(out, ids, spec, digest)
        if store is not None:
            return store
        with FeatureWriter(
            out,
            ids,
            spec=spec,
            weights_hash=digest,
            size=features.shape[1],
            grid=found,
            shard_images=shard_images,
        ) as writer:
            _fill(writer, spec, first, places, grid, progress or (lambda _done, _total: None))
            return writer.finish()


def guess_format(sources: Sequence[Path]) -> Format:
    """The format by the name of the first source that is no map, or by what is in it; raises DataError."""
    path = next((path for path in sources if path.suffix not in MAP_SUFFIXES), None)
    if path is None:
        raise DataError("expected at least one file or folder of features, got none")
    if path.is_dir():
        if (path / "data.mdb").exists():
            return "lmdb"
        endings = {file.suffix for file in files_below(path)}
        held: list[Format] = [kind for kind in ("npz", "npy") if f".{kind}" in endings]
        if len(held) == 1:
            return held[0]
        got = " and ".join(held) or "none of them"
        raise DataError(f"expected data.mdb, .npz or .npy files in the folder, got {got}: say a format", path)
    for suffix in reversed(path.suffixes):  # released files are called .tsv.0, .tsv.1
        if suffix in SUFFIXES:
            return SUFFIXES[suffix]
    raise DataError(f"cannot tell its format by its name ({', '.join(SUFFIXES)}): say a format", path)


def hash_sources(sources: Sequence[Source]) -> str:
    """The SHA-256 of the files' names, sizes and ends; of a source's files, the ends of the first and the last."""
    digest = hashlib.sha256()
    for source in sources:
        for i, path in enumerate(source.files):
            size = path.stat().st_size
            digest.update(f"{path.name}\0{size}\0".encode())
            if i in (0, len(source.files) - 1):
                with path.open("rb") as file:
                    digest.update(file.read(END))
                    file.seek(max(0, size - END))
                    digest.update(file.read(END))
    return digest.hexdigest()


def _open(paths: Sequence[Path], kind: Format) -> Iterator[Source]:
    for path in paths:
        if not path.exists():
            raise DataError("no such file or folder", path)
        if kind in ("npz", "npy") and not path.is_dir():
            raise DataError(f"expected a folder of .{kind} files, got a file", path)
    if kind == "hdf5":
        files = [path for path in paths if path.suffix not in MAP_SUFFIXES]
        maps: list[Path | None] = [path for path in paths if path.suffix in MAP_SUFFIXES]
        if maps and len(maps) != len(files):
            raise DataError(f"expected a map for each of {len(files)} HDF5 files in their order, got {len(maps)}")
        yield from (Hdf5Source(file, ids) for file, ids in zip(files, maps or [None] * len(files), strict=True))
    elif kind == "tsv":
        yield from (TsvSource(path) for path in paths)
    elif kind == "lmdb":
        yield from (LmdbSource(path) for path in paths)
    else:
        yield from (FolderSource(path, ".npz" if kind == "npz" else ".npy") for path in paths)


def _places(sources: Sequence[Source], rename: Callable[[str], str]) -> Places:
    """Where each image is, in the sources' order."""
    places: Places = {}
    for source in sources:
        for position, name in enumerate(source.names):
            image = rename(name)
            if image in places:
                other, before = places[image]
                path, line = other.place(before)
                at = f"{path}:{line}" if line else f"{path}"
                raise DataError(f"image {image!r} is there already ({at}): leave one out", *source.place(position))
            places[image] = (source, position)
    return places


def _choose(places: Places, images: Sequence[str] | None) -> Places:
    if images is None:
        return places
    wanted = dict.fromkeys(images)
    found = match_names(list(places), list(wanted))
    if missing := [image for image in wanted if image not in found]:
        named, held = (", ".join(map(repr, each)) for each in (missing[:10], list(places)[:3]))
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise DataError(
            f"{len(missing)} of the {len(wanted)} images asked for are missing: {named}{more}; the {len(places)} in "
            f"the sources are called like {held or 'nothing'}"
        )
    called = {name: image for image, name in found.items()}
    return {called[name]: place for name, place in places.items() if name in called}


def _fill(
    writer: FeatureWriter,
    spec: FeatureSpec,
    first: str,
    places: Places,
    grid: Grid | None,
    progress: Callable[[int, int], None],
) -> None:
    width, total = spec.width, writer.total
    for image in writer.pending:
        if writer.done % REPORTED == 0:
            progress(writer.done, total)
        features, boxes, found = _read(places, image, grid, spec.dtype)
        if features.shape[1] != width:
            raise _wrong(places, image, f"expected {width} numbers a region like {first!r}, got {features.shape[1]}")
        if found != writer.grid:
            raise _wrong(places, image, f"expected {_kind(writer.grid)} like {first!r}, got {_kind(found)}")
        writer.add(image, features, boxes)
    progress(total, total)


def _read(places: Places, image: str, grid: Grid | None, dtype: str) -> tuple[Array, Array | None, Grid | None]:
    source, position = places[image]
    try:
        return regions_of(source.read(position), grid, dtype)
    except BROKEN as error:
        raise _wrong(places, image, str(error) or type(error).__name__) from None


def _wrong(places: Places, image: str, how: str) -> DataError:
    source, position = places[image]
    return DataError(f"image {image!r}: {how}", *source.place(position))


def _kind(grid: Grid | None) -> str:
    return "regions with boxes" if grid is None else f"a grid of {grid[0]} x {grid[1]}"
