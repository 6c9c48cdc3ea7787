"""HDF5 files of features: a row for every image, or datasets of its own for every image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from saccade.errors import DataError
from saccade.features.import_records import KNOWN, Record, record_of
from saccade.features.import_sources import Source, package
from saccade.features.restricted import load_pickle

MAP_SUFFIXES = (".pkl", ".json")


class Hdf5Source(Source):
    """An HDF5 file with a row for every image, or datasets of its own for every image.

    Rows as hengyuan-hu/bottom-up-attention-vqa writes them (tools/detection_features_converter.py): image_features
    [images, 36, 2048], image_bb in pixels, and spatial_features [images, 36, 6], which begin with the box in fractions.
    Or as jnhwkim/ban-vqa does (tools/adaptive_detection_features_converter.py): the regions of all images one after the
    other, and pos_boxes [images, 2] saying where each image's begin and end. `ids` is their map from image ids to rows,
    a pickled dict or JSON; `train36_imgid2idx.pkl` or `.json` beside `train36.hdf5` unless given.

    Datasets for every image: `<id>_features`, `<id>_boxes` and `<id>_size` (height, width), as
    luo3300612/image-captioning-DLCT has them (others/extract_region_feature.py), or the group `<id>` with features,
    bboxes and image_size (width, height). aimagelab/meshed-memory-transformer's file is of the first kind without
    sizes, so that its boxes cannot be placed.
    """

    def __init__(self, path: Path, ids: Path | None = None) -> None:
        self.files = (path,)
        h5py = package("h5py", path)
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"expected an HDF5 file, got what cannot be read as one ({error})", path) from None
        try:
            self._rows = self._map(path, ids) if "image_features" in self._file else None
            self._flat = [name.removesuffix("_features") for name in self._file if name.endswith("_features")]
            self.names = self._flat or list(self._file)
            if self._rows is not None:
                self.names = sorted(self._rows, key=self._rows.__getitem__)
            elif not KNOWN.isdisjoint(self._file):
                raise DataError(f"expected image_features, or image ids, got {', '.join(self._file)}", path)
        except BaseException:
            self.close()
            raise

    def read(self, position: int) -> Record:
        """The image at a place in `names`."""
        name = self.names[position]
        return self._of_image(name) if self._rows is None else self._of_row(self._rows[name])

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _map(self, path: Path, ids: Path | None) -> dict[str, int]:
        beside = (path.with_name(f"{path.stem}_imgid2idx{suffix}") for suffix in MAP_SUFFIXES)
        ids = ids or next((file for file in beside if file.exists()), None)
        if ids is None:
            raise DataError(f"expected a map from image ids to rows beside it, {path.stem}_imgid2idx.pkl", path)
        self.files = (path, ids)
        rows_of = _read_map(ids)
        rows = len(self._file["pos_boxes" if "pos_boxes" in self._file else "image_features"])
        if wrong := [name for name, row in rows_of.items() if not (isinstance(row, int) and 0 <= row < rows)]:
            raise DataError(f"image {wrong[0]!r} is in row {rows_of[wrong[0]]!r}, but {path.name} has {rows} rows", ids)
        return rows_of

    def _of_row(self, row: int) -> Record:
        features = self._file["image_features"]
        rows: int | slice = row
        if "pos_boxes" in self._file:
            start, end = self._file["pos_boxes"][row].tolist()
            if not 0 <= start < end <= len(features):
                raise DataError(f"expected its regions within {len(features)} rows, pos_boxes has {start} to {end}")
            rows = slice(start, end)
        if "spatial_features" in self._file:
            return Record(features[rows], self._file["spatial_features"][rows][:, :4], None, "fractions")
        boxes = self._file["image_bb"][rows] if "image_bb" in self._file else None
        return Record(features[rows], boxes, None, "pixels")

    def _of_image(self, name: str) -> Record:
        if not self._flat:
            held = self._file[name]
            parts = dict(held) if hasattr(held, "keys") else {"features": held}
            size = parts.get("image_size")
            sides = None if size is None else np.ravel(size[()])
        else:
            known = {part: f"{name}_{part}" for part in ("features", "boxes")}
            parts = {part: self._file[full] for part, full in known.items() if full in self._file}
            size = self._file.get(f"{name}_size")
            sides = None if size is None else np.ravel(size[()])[::-1]
        found = {part: data[()] for part, data in parts.items() if part in KNOWN}
        return record_of(found if sides is None else {**found, "width": sides[0], "height": sides[1]})


def _read_map(path: Path) -> dict[str, Any]:
    try:
        rows_of = json.loads(path.read_bytes()) if path.suffix == ".json" else load_pickle(path.read_bytes())
    except (DataError, ValueError) as error:
        raise DataError(f"expected a map from image ids to rows: {error}", path) from None
    if not isinstance(rows_of, dict):
        raise DataError(f"expected a map from image ids to rows, got {type(rows_of).__name__}", path)
    return {str(name): row for name, row in rows_of.items()}
