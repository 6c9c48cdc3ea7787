"""Files of features in the layouts that are around, each as a list of images to read one at a time.

A source lists its images cheaply, then reads any of them, and never holds more than one: files of tens of gigabytes
take no more memory than small ones. HDF5 is in `saccade.features.import_hdf5`.
"""

from __future__ import annotations

import importlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from saccade.distribution import install_command
from saccade.errors import DataError
from saccade.features.import_records import KNOWN, Record, decode, record_of
from saccade.features.restricted import load_array, load_pickle
from saccade.images import files_below

# The pages of a mapped file count as memory of the process: an LMDB is mapped anew when so much of it was read.
REMAP = 64 << 20
# Where a TSV line of so many fields has its id, width, height and count; boxes and features are its last two.
TSV_LAYOUTS = {6: (0, 1, 2, 3), 10: (0, 2, 1, 7)}


class Source(ABC):
    """One file or folder of features: the `names` of its images in its order, and the `files` that hold them."""

    names: Sequence[str]
    files: Sequence[Path]

    @abstractmethod
    def read(self, position: int) -> Record:
        """The image at a place in `names`; raises what reading a broken file raises, without the file's name."""

    def place(self, position: int) -> tuple[Path, int | None]:  # noqa: ARG002
        """The file where that image is, and the line in it if it has lines."""
        return self.files[0], None

    def close(self) -> None:  # noqa: B027  (most hold nothing open)
        """Let go of the files."""


class TsvSource(Source):
    """The lines of a file of peteanderson80/bottom-up-attention (tools/generate_tsv.py), or of airsplay/lxmert.

    The former has image_id, image_w, image_h, num_boxes, boxes, features between tabs, the latter img_id, img_h, img_w,
    objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features. Boxes, in pixels, and features are
    float32 as base64.
    """

    def __init__(self, path: Path) -> None:
        self.files = (path,)
        self.names: list[str] = []
        self._lines: list[tuple[int, int]] = []
        with path.open("rb", buffering=1 << 20) as file:
            offset = size = 0
            for number, line in enumerate(file, 1):
                if line.strip():
                    size = self._list(line, number, size)
                    self._lines.append((offset, number))
                offset += len(line)
        self._file = path.open("rb", buffering=1 << 20)

    def read(self, position: int) -> Record:
        """The image at a place in `names`."""
        self._file.seek(self._lines[position][0])
        fields = _fields(self._file.readline())
        _, width, height, count = (fields[i] for i in TSV_LAYOUTS[len(fields)])
        boxes, features = decode(fields[-2], "boxes", int(count)), decode(fields[-1], "features", int(count))
        return Record(features, boxes, (float(width), float(height)), "pixels")

    def place(self, position: int) -> tuple[Path, int | None]:
        """The file, and the line in it."""
        return self.files[0], self._lines[position][1]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _list(self, line: bytes, number: int, size: int) -> int:
        """Note the image of a line, and give its bytes of features per box, which is `size` unless that is 0.

        A line that was cut short shows in the lengths of its fields, hours before it would be decoded.
        """
        fields = _fields(line)
        if len(fields) not in TSV_LAYOUTS:
            raise DataError(f"expected 6 or 10 fields between tabs, got {len(fields)}", self.files[0], number)
        name, _, _, digits = (fields[i] for i in TSV_LAYOUTS[len(fields)])
        if not digits.isdigit() or not int(digits):
            raise DataError(f"expected a number of boxes above 0, got {digits[:20]!r}", self.files[0], number)
        boxes, features, count = _decoded(fields[-2]), _decoded(fields[-1]), int(digits)
        size = size or int(features) // count
        if boxes != 16 * count or features != size * count or size % 4 or size < 4:
            raise DataError(
                f"expected base64 of {16 * count} bytes of boxes and {size * count} bytes of features, got "
                f"{int(boxes)} and {int(features)}: the line was cut short, or has features of another size than the "
                "first line",
                self.files[0],
                number,
            )
        self.names.append(name.decode("utf-8", "replace"))
        return size


class FolderSource(Source):
    """A folder with an .npz or .npy file for every image, whose name without the ending is the image's.

    An .npz file holds arrays by name: x, bbox in pixels, image_w and image_h, as in MILVLG/openvqa (where x is
    [numbers, regions]) and MILVLG/bottom-up-attention.pytorch, or features and norm_bb, as in ChenRocks/UNITER. An
    .npy file holds features alone, with a dict of bbox, image_width and image_height beside it in `<id>_info.npy`, as
    facebookresearch/mmf writes it; or is a dict of it all, as in facebookresearch/vilbert-multi-task.
    """

    def __init__(self, path: Path, suffix: Literal[".npz", ".npy"]) -> None:
        ours = (file for file in files_below(path) if file.suffix == suffix)
        self.files = [file for file in ours if not file.name.endswith("_info.npy")]
        self.names = [file.relative_to(path).with_suffix("").as_posix() for file in self.files]

    def read(self, position: int) -> Record:
        """The image at a place in `names`."""
        path = self.files[position]
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                members = {PurePosixPath(name).stem: name for name in archive.namelist()}
                return record_of({p: load_array(archive.read(members[p])) for p in members if p in KNOWN})
        array = load_array(path.read_bytes())
        if array.dtype.hasobject:
            return record_of(_dict(array.item()))
        info = path.with_name(f"{path.stem}_info.npy")
        return record_of({**(_dict(load_array(info.read_bytes()).item()) if info.exists() else {}), "features": array})

    def place(self, position: int) -> tuple[Path, int | None]:
        """The image's file."""
        return self.files[position], None


class LmdbSource(Source):
    """An LMDB whose keys are image ids and whose values are pickled dicts; the list of keys is under `keys`, if at all.

    As facebookresearch/vilbert-multi-task (vilbert/datasets/_image_features_reader.py, whose arrays were base64 text at
    first) and facebookresearch/mmf (tools/scripts/features/lmdb_conversion.py) have it.
    """

    def __init__(self, path: Path) -> None:
        self._lmdb = package("lmdb", path)
        self._path = path
        self.files = (path / "data.mdb" if path.is_dir() else path,)
        self._open()
        try:
            self._keys = self._list()
        except BaseException:
            self.close()
            raise
        self.names = [key.decode("utf-8", "replace") for key in self._keys]

    def read(self, position: int) -> Record:
        """The image at a place in `names`."""
        if self._read > REMAP:
            self.close()
            self._open()
        value = self._transaction.get(self._keys[position])
        if value is None:
            raise DataError("the list of keys has it, but there is no value under it")
        self._read += len(value)
        return record_of(_dict(load_pickle(value)))

    def close(self) -> None:
        """Let go of the database."""
        self._transaction.abort()
        self._environment.close()

    def _open(self) -> None:
        try:
            # With reading ahead: a value is a hundred pages in a row, and took four times as long page by page.
            self._environment = self._lmdb.open(
                str(self._path), subdir=self._path.is_dir(), readonly=True, lock=False, max_readers=1
            )
        except self._lmdb.Error as error:
            raise DataError(f"expected an LMDB, got what cannot be read as one ({error})", self._path) from None
        self._transaction = self._environment.begin()
        self._read = 0

    def _list(self) -> list[bytes]:
        held = self._transaction.get(b"keys")
        if held is None:
            return [bytes(key) for key in self._transaction.cursor().iternext(values=False)]
        keys = load_pickle(held)
        if not isinstance(keys, list) or not all(isinstance(key, str | bytes) for key in keys):
            raise DataError("expected a list of ids under the key 'keys'", self._path)
        return [key.encode() if isinstance(key, str) else key for key in keys]


def package(name: str, path: Path) -> Any:
    """An optional package; raises DataError saying how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"reading it needs the package {name}: {install_command('import')}", path) from None


def _fields(line: bytes) -> list[bytes]:
    return line.rstrip(b"\r\n").split(b"\t")


def _decoded(text: bytes) -> float:
    """How many bytes a base64 text is of, by its length; no whole number where it was cut within four characters."""
    return len(text) / 4 * 3 - text[-2:].count(b"=")


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"expected a dict with features and boxes, got {type(value).__name__}")
    return value
