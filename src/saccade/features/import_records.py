"""What a file says of one image, by any of the names in use, and the regions that are made of it."""

from __future__ import annotations

import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from saccade.errors import DataError

# Names of the same thing in openvqa, MILVLG/bottom-up-attention.pytorch, facebookresearch/vilbert-multi-task and mmf,
# ruotianluo/ImageCaptioning.pytorch (feat) and ChenRocks/UNITER (norm_bb).
NAMES = {
    "features": ("features", "x", "feat", "feature", "image_features", "image_feature", "image_feat"),
    "fractions": ("norm_bb", "spatial_features"),
    "boxes": ("boxes", "bbox", "bboxes", "image_bb", "image_bboxes"),
    "width": ("image_w", "img_w", "image_width", "width"),
    "height": ("image_h", "img_h", "image_height", "height"),
    "count": ("num_boxes", "num_bbox"),
}
KNOWN = frozenset(name for names in NAMES.values() for name in names)
# How far a box may reach over the image's edge, as a share of the image's side, and is cut off: detectors place boxes
# in a resized image whose sides are rounded.
OVERSHOOT = 0.01

Array = npt.NDArray[Any]
Grid = tuple[int, int]


@dataclass(frozen=True)
class Record:
    """The features and boxes of one image as a source has them.

    ``features`` are [regions, numbers], or a map with its channels last or first. ``boxes`` are x1, y1, x2, y2 in
    ``units``; None for units where the numbers must tell. ``size`` is the image's width and height in pixels.
    """

    features: Array
    boxes: Array | None = None
    size: tuple[float, float] | None = None
    units: Literal["pixels", "fractions"] | None = None


def record_of(found: Mapping[str, Any]) -> Record:
    """The record in a dict of arrays, or of arrays as base64 text; raises DataError when it has no features."""
    parts = {part: next((found[name] for name in names if name in found), None) for part, names in NAMES.items()}
    width, height, number = (_one(parts[part]) for part in ("width", "height", "count"))
    count = None if number is None else int(number)
    if parts["features"] is None:
        raise DataError(f"expected {' or '.join(NAMES['features'])}, got {', '.join(map(str, found)) or 'nothing'}")
    features = _numbers(parts["features"], "features", count)
    units: Literal["fractions"] | None = None if parts["fractions"] is None else "fractions"
    held = parts["boxes"] if units is None else parts["fractions"]
    boxes = None if held is None else _numbers(held, "boxes", count)
    if boxes is not None and units == "fractions":
        boxes = boxes[:, :4]  # followed by widths, heights and perhaps areas
    # openvqa's arrays x are [numbers, regions]; its loader turns them around.
    if boxes is not None and features.ndim == 2 and len(features) != len(boxes) == features.shape[1]:
        features = features.T
    if boxes is not None and count is not None and count < len(features) == len(boxes) and not features[count:].any():
        features, boxes = features[:count], boxes[:count]
    return Record(features, boxes, None if width is None or height is None else (width, height), units)


def decode(text: str | bytes, what: str, count: int) -> Array:
    """Float32 numbers written as base64, [count, size]; raises DataError when the text is cut short or no base64."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"the {what} are no whole base64 text ({error}): the file was cut short or altered") from None
    if count < 1 or not data or len(data) % (4 * count):
        raise DataError(f"expected the {what} of {count} boxes in four bytes a number, got {len(data)} bytes")
    return np.frombuffer(data, "<f4").reshape(count, -1)


def regions_of(record: Record, grid: Grid | None, dtype: str) -> tuple[Array, Array | None, Grid | None]:
    """Features [regions, size] in a dtype, and either boxes [regions, 4] in fractions or the grid that the regions are.

    A map is a grid; so are regions without boxes where `grid` says of what. Raises DataError for features and boxes
    that do not fit each other, are not finite, or say nothing of where they are.
    """
    features, found = _unfolded(record.features)
    if grid is not None and found is not None and found != grid:
        raise DataError(f"expected a map of {grid[0]} x {grid[1]}, got one of {found[0]} x {found[1]}")
    found = found or grid
    if not len(features):
        raise DataError("expected at least one region, got none")
    if found is not None and len(features) != found[0] * found[1]:
        raise DataError(f"expected {found[0]} x {found[1]} regions, got {len(features)}")
    if found is None and record.boxes is None:
        raise DataError(
            f"got {len(features)} regions without boxes: say with grid (rows, columns) that they are cells of a grid"
        )
    if not np.isfinite(features).all():
        raise DataError("expected finite features, got some that are not a number or infinite")
    with np.errstate(over="ignore"):
        rounded = features.astype(dtype)
    if not np.isfinite(rounded).all():
        raise DataError(f"got features beyond what {dtype} can hold (up to {abs(features).max():g}): ask for float32")
    if found is not None or record.boxes is None:
        return rounded, None, found
    if record.boxes.shape != (len(features), 4):
        raise DataError(f"expected 4 numbers of a box for each of {len(features)} regions, got {record.boxes.shape}")
    return rounded, _fractions(record.boxes.astype(np.float64), record).astype(np.float32), None


def _unfolded(features: Array) -> tuple[Array, Grid | None]:
    """Regions in rows, and the grid if they were a map, whose channels are the longest side: the first or the last."""
    if features.dtype.kind != "f":
        raise DataError(f"expected features of floating point numbers, got {features.dtype}")
    if features.ndim == 4 and len(features) == 1:
        features = features[0]
    if features.ndim == 3:
        first, middle, last = features.shape
        if first > max(middle, last):
            features = features.transpose(1, 2, 0)
        elif last <= max(first, middle):
            raise DataError(f"expected a map with its channels, the longest side, first or last, got {features.shape}")
        return features.reshape(-1, features.shape[2]), (features.shape[0], features.shape[1])
    if features.ndim != 2:
        raise DataError(f"expected features of the shape (regions, numbers) or a map of them, got {features.shape}")
    return features, None


def _fractions(boxes: Array, record: Record) -> Array:
    """Boxes as fractions of width and height, what overshoots by little cut off."""
    # Fractions are about 1 at most, and no image has boxes of which none reaches over its second pixel.
    units = record.units or ("fractions" if boxes.max() <= 2 else "pixels")
    given = boxes
    if units == "pixels":
        if record.size is None:
            raise DataError("the boxes are in pixels and the image's width and height are not given: add them")
        if not all(0 < side < math.inf for side in record.size):
            raise DataError(f"expected a width and height above 0, got {record.size[0]:g} x {record.size[1]:g}")
        boxes = boxes / np.array(record.size * 2)
    clipped = boxes.clip(0, 1)
    # Written so that what is not a number is wrong too.
    wrong = ~((abs(boxes - clipped) <= OVERSHOOT).all(1) & (boxes[:, 2:] - boxes[:, :2] >= -1e-6).all(1))
    if wrong.any():
        i = int(wrong.argmax())
        of = f" of an image of {record.size[0]:g} x {record.size[1]:g}" if units == "pixels" and record.size else ""
        numbers = ", ".join(f"{number:g}" for number in given[i])
        raise DataError(f"expected boxes x1, y1, x2, y2 within the image, got ({numbers}) as box {i}{of}, in {units}")
    clipped[:, 2:] = np.maximum(clipped[:, 2:], clipped[:, :2])
    return clipped


def _numbers(value: Any, what: str, count: int | None) -> Array:
    if not isinstance(value, str | bytes):
        array = np.asarray(value)
        if array.ndim < 2 or array.dtype.kind not in "fiu":
            raise DataError(f"expected {what} that are rows of numbers, got {array.dtype} of the shape {array.shape}")
        return array
    if count is None:
        raise DataError(f"the {what} are base64 text and there is no {' or '.join(NAMES['count'])}: add it")
    return decode(value, what, count)


def _one(value: Any) -> float | None:
    """The number in an array of one, or in text; None for None."""
    return None if value is None else float(np.asarray(value).item())
