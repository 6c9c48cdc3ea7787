"""Whether attention looks where it ought to: pointing, mass inside boxes, entropy. NumPy only.

Arguments, everywhere the same:

- `weights` [examples, regions], at least 0; whatever their sum, each row is taken as shares of it
- `regions` [examples, regions, 4], or [regions, 4] where all examples share a grid, and `boxes`, one sequence of boxes
  per example: x1, y1, x2, y2 as fractions of width and height
- `mask` [examples, regions], True where a region exists; weight on the others is ignored

Each function gives one value per example. NaN stands for an example without boxes, which says nothing about where to
look; `mean_and_count` leaves it out. A row without any weight looks nowhere: it points at nothing, and has mass 0 and
entropy 0. Bad weights, and lengths that differ, raise DataError.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from saccade.errors import DataError

Array = np.ndarray
Boxes = Sequence[Sequence[float]]


def pointing_accuracy(
    weights: Float[Array, "examples regions"],
    regions: Float[Array, "*examples regions 4"],
    boxes: Sequence[Boxes],
    mask: Bool[Array, "examples regions"] | None = None,
) -> Float[Array, " examples"]:
    """1 where the centre of the strongest region lies in one of the boxes, their edges included, else 0.

    Of several equally strong regions each counts the same, so the value is the share of them that hit: what breaking
    the tie at random gives on average, whatever the order of the regions.

    >>> grid = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
    >>> pointing_accuracy(np.array([[0.3, 0.7], [0.5, 0.5]]), grid, [[(0.6, 0.0, 1.0, 1.0)]] * 2)
    array([1. , 0.5])
    """
    shares, corners = _shares(weights, mask), _per_example(weights, regions, boxes)
    strongest = (shares == shares.max(1, keepdims=True)) & (shares > 0)
    centres = (corners[..., :2] + corners[..., 2:]) / 2
    hits = np.array([_inside(points, targets) for points, targets in zip(centres, boxes, strict=True)])
    return _where_boxes(boxes, (strongest & hits).sum(1) / np.maximum(strongest.sum(1), 1))


def attention_mass(
    weights: Float[Array, "examples regions"],
    regions: Float[Array, "*examples regions 4"],
    boxes: Sequence[Boxes],
    mask: Bool[Array, "examples regions"] | None = None,
) -> Float[Array, " examples"]:
    """The share of the weight that falls inside the boxes, from 0 to 1.

    A region's weight is spread evenly over its area, and counts by the fraction of that area which the union of the
    boxes covers: overlapping boxes count once. A region without area counts whole or not at all, by its centre.

    >>> grid = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
    >>> attention_mass(np.array([[0.25, 0.75]]), grid, [[(0.0, 0.0, 0.75, 1.0), (0.5, 0.0, 0.75, 1.0)]])
    array([0.625])
    """
    shares, corners = _shares(weights, mask), _per_example(weights, regions, boxes)
    covered = np.array([_covered(rows, targets) for rows, targets in zip(corners, boxes, strict=True)])
    return _where_boxes(boxes, (shares * covered).sum(1))


def attention_entropy(
    weights: Float[Array, "examples regions"], mask: Bool[Array, "examples regions"] | None = None
) -> Float[Array, " examples"]:
    """The entropy of the weights over the regions, in nats: 0 on one region, log(n) when uniform over n regions.

    >>> attention_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(6)
    array([0.      , 0.693147])
    """
    shares = _shares(weights, mask)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    entropy: Array = np.abs((shares * logs).sum(1))
    return entropy


def spread(
    weights: Float[Array, "examples regions"], regions: Float[Array, "regions 4"], rows: int, columns: int
) -> Float[Array, "examples rows columns"]:
    """The weights as maps over the image: each region's is spread evenly over its area, and overlaps add up.

    `regions` are those of one image. A map sums to what lies inside the image of the region's weights; regions without
    area count nowhere.

    >>> spread(np.array([[0.6, 0.4]]), np.array([[0, 0, 1, 1], [0, 0, 0.5, 1]]), 1, 2).round(2)
    array([[[0.7, 0.3]]])
    """
    corners = regions.astype(np.float64)
    wide = _overlap(corners[:, ::2], np.linspace(0, 1, columns + 1))
    high = _overlap(corners[:, 1::2], np.linspace(0, 1, rows + 1))
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    density = weights * np.divide(1.0, areas, out=np.zeros_like(areas), where=areas > 0)
    maps: Array = np.einsum("en,nr,nc->erc", density, high, wide, optimize=True)
    return maps


def fit(cells: Float[Array, "examples rows columns"], boxes: Float[Array, "boxes 4"]) -> Float[Array, "examples boxes"]:
    """How well each box fits each map, from 0 to 1: their IoU, where a map holds each cell by its share of the largest.

    The boxes' cells count by the part of them that a box covers (Ruzicka's similarity of fuzzy sets, whose intersection
    is here their product). Maps without any weight fit nothing.

    >>> fit(np.array([[[0.4, 0.4, 0.2, 0.0]]]), np.array([[0, 0, 0.5, 1], [0, 0, 0.75, 1], [0, 0, 1, 1]])).round(2)
    array([[0.8 , 0.83, 0.62]])
    """
    _, rows, columns = cells.shape
    peaks = cells.max((1, 2), keepdims=True)
    held = cells / np.where(peaks > 0, peaks, 1.0) / (rows * columns)
    corners = boxes.astype(np.float64)
    wide = _overlap(corners[:, ::2], np.linspace(0, 1, columns + 1)) * columns
    high = _overlap(corners[:, 1::2], np.linspace(0, 1, rows + 1)) * rows
    shared = np.einsum("erc,nr,nc->en", held, high, wide, optimize=True)
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    fits: Array = shared / (areas + held.sum((1, 2))[:, None] - shared)
    return fits


def strongest_point(cells: Float[Array, "examples rows columns"]) -> Float[Array, "examples 2"]:
    """The x and y of where each map is strongest: the middle of its strongest cells, or the first of them.

    The first where the middle is no strongest cell itself, as between two that are far apart.

    >>> strongest_point(np.array([[[0.1, 0.4, 0.4, 0.1]], [[0.5, 0.0, 0.0, 0.5]]]))
    array([[0.5  , 0.5  ],
           [0.125, 0.5  ]])
    """
    _, rows, columns = cells.shape
    found = []
    for each in cells:
        top = np.isclose(each, each.max(), rtol=1e-6)
        y, x = (place.mean() + 0.5 for place in np.nonzero(top))
        if not top[min(int(y), rows - 1), min(int(x), columns - 1)]:
            y, x = (place[0] + 0.5 for place in np.nonzero(top))
        found.append((x / columns, y / rows))
    return np.array(found).reshape(-1, 2)


def mean_and_count(values: Float[Array, " examples"]) -> tuple[float, int]:
    """The mean over the examples that have a value, and how many they are; the mean of none is NaN.

    >>> mean_and_count(np.array([1.0, np.nan, 0.5]))
    (0.75, 2)
    """
    known = values[~np.isnan(values)]
    return (float(known.mean()) if len(known) else float("nan")), len(known)


def _shares(
    weights: Float[Array, "examples regions"], mask: Bool[Array, "examples regions"] | None
) -> Float[Array, "examples regions"]:
    """The weights in double precision, those of regions that do not exist set to 0, each row scaled to sum to 1."""
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError("expected attention weights that are finite and at least 0")
    masked = weights.astype(np.float64) if mask is None else np.where(mask, weights, 0.0).astype(np.float64)
    totals = masked.sum(1, keepdims=True)
    shares: Array = masked / np.where(totals > 0, totals, 1.0)
    return shares


def _per_example(
    weights: Float[Array, "examples regions"], regions: Float[Array, "*examples regions 4"], boxes: Sequence[Boxes]
) -> Float[Array, "examples regions 4"]:
    if len(boxes) != len(weights):
        raise DataError(f"expected the boxes of {len(weights)} examples, one for each row of weights, got {len(boxes)}")
    return np.broadcast_to(regions.astype(np.float64), (*weights.shape, 4))


def _inside(points: Float[Array, "regions 2"], boxes: Boxes) -> Bool[Array, " regions"]:
    edges = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    return np.asarray(((points >= edges[..., :2]) & (points <= edges[..., 2:])).all(-1).any(0))


def _covered(regions: Float[Array, "regions 4"], boxes: Boxes) -> Float[Array, " regions"]:
    """The fraction of each region's area inside the union of the boxes, exactly.

    The boxes' edges cut the plane into a small grid, each cell of which is inside the union or outside.
    """
    if not boxes:
        return np.zeros(len(regions))
    edges = np.asarray(boxes, dtype=np.float64)
    columns, rows = np.unique(edges[:, ::2]), np.unique(edges[:, 1::2])
    across = (edges[:, :1] <= columns[:-1]) & (columns[1:] <= edges[:, 2:3])
    down = (edges[:, 1:2] <= rows[:-1]) & (rows[1:] <= edges[:, 3:])
    union = (across[:, :, None] & down[:, None, :]).any(0)
    wide, high = _overlap(regions[:, ::2], columns), _overlap(regions[:, 1::2], rows)
    inside = np.einsum("rx,xy,ry->r", wide, union.astype(np.float64), high)
    area = (regions[:, 2] - regions[:, 0]) * (regions[:, 3] - regions[:, 1])
    centres = (regions[:, :2] + regions[:, 2:]) / 2
    return np.where(area > 0, inside / np.where(area > 0, area, 1.0), _inside(centres, boxes))


def _overlap(spans: Float[Array, "regions 2"], cuts: Float[Array, " cuts"]) -> Float[Array, "regions intervals"]:
    """How much of each span lies between every two neighbouring cuts."""
    lengths: Array = np.minimum(spans[:, 1:], cuts[1:]) - np.maximum(spans[:, :1], cuts[:-1])
    return lengths.clip(0.0)


def _where_boxes(boxes: Sequence[Boxes], values: Float[Array, " examples"]) -> Float[Array, " examples"]:
    return np.where([len(targets) > 0 for targets in boxes], values, np.nan)
