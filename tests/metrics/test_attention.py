from __future__ import annotations

import numpy as np
import pytest

from saccade.errors import DataError
from saccade.metrics.attention import (
    attention_entropy,
    attention_mass,
    fit,
    mean_and_count,
    pointing_accuracy,
    spread,
    strongest_point,
)

B, N = 7, 13


def grid(rows: int, columns: int) -> np.ndarray:
    return np.array(
        [[x / columns, y / rows, (x + 1) / columns, (y + 1) / rows] for y in range(rows) for x in range(columns)]
    )


def random_boxes(draw: np.random.Generator, *shape: int) -> np.ndarray:
    corners = np.sort(draw.random((*shape, 2, 2)), axis=-2)
    return corners.reshape(*shape, 4)


def examples(seed: int) -> tuple[np.ndarray, np.ndarray, list[list[tuple[float, ...]]], np.ndarray]:
    draw = np.random.default_rng(seed)
    mask = draw.random((B, N)) < 0.8
    weights = draw.random((B, N)) * mask
    boxes = [[tuple(map(float, box)) for box in random_boxes(draw, count)] for count in [1, 2, 3, 5, 0, 1, 4]]
    return weights / weights.sum(1, keepdims=True), random_boxes(draw, B, N), boxes, mask


@pytest.mark.parametrize("seed", range(5))
def test_pointing_equals_a_plain_loop(seed: int) -> None:
    weights, regions, boxes, mask = examples(seed)
    got = pointing_accuracy(weights, regions, boxes, mask)
    for b in range(B):
        if not boxes[b]:
            assert np.isnan(got[b])
            continue
        best = max((n for n in range(N) if mask[b, n]), key=lambda n: weights[b, n])
        x1, y1, x2, y2 = regions[b, best]
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        assert got[b] == any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes[b])


@pytest.mark.parametrize("seed", range(2))
def test_mass_equals_counting_points(seed: int) -> None:
    weights, regions, boxes, mask = examples(seed)
    got = attention_mass(weights, regions, boxes, mask)
    steps = (np.arange(200) + 0.5) / 200
    for b in range(B):
        if not boxes[b]:
            assert np.isnan(got[b])
            continue
        total = 0.0
        for n in range(N):
            x1, y1, x2, y2 = regions[b, n]
            xs, ys = np.meshgrid(x1 + steps * (x2 - x1), y1 + steps * (y2 - y1))
            inside = np.zeros_like(xs, dtype=bool)
            for left, top, right, bottom in boxes[b]:
                inside |= (left <= xs) & (xs <= right) & (top <= ys) & (ys <= bottom)
            total += weights[b, n] * inside.mean()
        assert got[b] == pytest.approx(total, abs=0.01)


def test_mass_inside_everything_is_one_and_order_is_nothing() -> None:
    weights, regions, boxes, mask = examples(0)
    assert attention_mass(weights, regions, [[(0.0, 0.0, 1.0, 1.0)]] * B) == pytest.approx(np.ones(B))
    order = np.random.default_rng(0).permutation(N)
    for metric in (attention_mass, pointing_accuracy):
        shuffled = metric(weights[:, order], regions[:, order], [box[::-1] for box in boxes], mask[:, order])
        np.testing.assert_allclose(shuffled, metric(weights, regions, boxes, mask), rtol=1e-12)


def test_a_worked_example() -> None:
    """2x2 cells; the box is the upper half and a quarter of the lower left cell."""
    weights = np.array([[0.1, 0.2, 0.4, 0.3], [0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    boxes = [[(0.0, 0.0, 1.0, 0.5), (0.0, 0.4, 0.25, 0.75)]] * 2 + [[]]
    assert attention_mass(weights, grid(2, 2), boxes) == pytest.approx(
        [0.3 + 0.4 / 4, 0.5 + 0.25 / 4, np.nan], nan_ok=True
    )
    assert pointing_accuracy(weights, grid(2, 2), boxes) == pytest.approx([1.0, 0.75, np.nan], nan_ok=True)
    assert attention_entropy(weights)[1:] == pytest.approx([np.log(4), 0.0])


def test_the_centre_on_an_edge_is_inside() -> None:
    weights, whole = np.array([[1.0]]), np.array([[0.0, 0.0, 1.0, 1.0]])
    assert pointing_accuracy(weights, whole, [[(0.5, 0.5, 1.0, 1.0)]]) == 1.0
    assert pointing_accuracy(weights, whole, [[(0.51, 0.5, 1.0, 1.0)]]) == 0.0


def test_a_region_without_area_counts_by_its_centre() -> None:
    points = np.array([[0.2, 0.2, 0.2, 0.2], [0.8, 0.8, 0.8, 0.8]])
    assert attention_mass(np.array([[0.7, 0.3]]), points, [[(0.0, 0.0, 0.5, 0.5)]]) == pytest.approx(0.7)


def test_padding_changes_nothing() -> None:
    weights, regions, boxes, mask = examples(1)
    wide = np.concatenate([weights, np.full((B, 3), 9.0)], 1)
    far = np.concatenate([regions, np.zeros((B, 3, 4))], 1)
    real = np.concatenate([mask, np.zeros((B, 3), dtype=bool)], 1)
    for metric in (attention_mass, pointing_accuracy):
        np.testing.assert_allclose(metric(wide, far, boxes, real), metric(weights, regions, boxes, mask), rtol=1e-12)
    np.testing.assert_allclose(attention_entropy(wide, real), attention_entropy(weights, mask), rtol=1e-12)


def test_a_row_without_weight_looks_nowhere() -> None:
    nothing, box = np.zeros((1, 4)), [[(0.0, 0.0, 1.0, 1.0)]]
    assert pointing_accuracy(nothing, grid(2, 2), box) == 0.0
    assert attention_mass(nothing, grid(2, 2), box) == 0.0
    assert attention_entropy(nothing) == 0.0


def test_weights_are_taken_as_shares() -> None:
    weights, regions, boxes, mask = examples(2)
    np.testing.assert_allclose(
        attention_mass(weights * 3, regions, boxes, mask), attention_mass(weights, regions, boxes, mask), rtol=1e-12
    )


def test_the_mean_leaves_out_what_has_no_boxes() -> None:
    assert mean_and_count(np.array([np.nan, 1.0, 0.0])) == (0.5, 2)
    mean, count = mean_and_count(np.array([np.nan]))
    assert np.isnan(mean)
    assert count == 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="finite and at least 0"):
        attention_entropy(np.array([[np.nan, 1.0]]))
    with pytest.raises(DataError, match=r"boxes of 1 examples, .* got 2"):
        attention_mass(np.ones((1, 4)), grid(2, 2), [[], []])


def test_the_fit_of_a_box_is_its_iou_with_the_map_by_a_plain_loop() -> None:
    draw = np.random.default_rng(5)
    cells, boxes = draw.random((3, 5, 7)), random_boxes(draw, 11)
    got = fit(cells, boxes)
    for e, n in np.ndindex(3, 11):
        x1, y1, x2, y2 = boxes[n]
        shared = held = 0.0
        for r, c in np.ndindex(5, 7):
            wide = max(0.0, min(x2, (c + 1) / 7) - max(x1, c / 7))
            high = max(0.0, min(y2, (r + 1) / 5) - max(y1, r / 5))
            shared += cells[e, r, c] / cells[e].max() * wide * high
            held += cells[e, r, c] / cells[e].max() / 35
        assert got[e, n] == pytest.approx(shared / ((x2 - x1) * (y2 - y1) + held - shared))


def test_the_box_of_a_map_that_is_a_box_fits_it_wholly_and_scale_does_not_matter() -> None:
    cells = np.zeros((2, 8, 8))
    cells[0, 2:5, 1:7] = 0.3
    boxes = np.array([[0, 0, 1, 1], [1 / 8, 2 / 8, 7 / 8, 5 / 8]])
    assert fit(cells, boxes) == pytest.approx(np.array([[18 / 64, 1], [0, 0]]))
    assert fit(7 * cells, boxes) == pytest.approx(fit(cells, boxes))


def test_a_map_over_the_image_equals_adding_up_cell_by_cell() -> None:
    draws = np.random.default_rng(3)
    boxes = np.sort(draws.random((5, 2, 2)), axis=1).reshape(5, 4)
    weights = draws.random((3, 5))
    found = spread(weights, boxes, 4, 6)
    for example, cells in zip(weights, found, strict=True):
        for row in range(4):
            for column in range(6):
                expected = 0.0
                for weight, (x1, y1, x2, y2) in zip(example, boxes, strict=True):
                    wide = max(0.0, min(x2, (column + 1) / 6) - max(x1, column / 6))
                    high = max(0.0, min(y2, (row + 1) / 4) - max(y1, row / 4))
                    expected += weight * wide * high / ((x2 - x1) * (y2 - y1))
                assert cells[row, column] == pytest.approx(expected)
    assert found.sum((1, 2)) == pytest.approx(weights.sum(1))


def test_what_lies_outside_the_image_or_has_no_area_is_not_on_the_map() -> None:
    boxes = np.array([[-0.5, 0, 0.5, 1], [0.2, 0.2, 0.2, 0.8]])
    assert spread(np.array([[0.5, 0.5]]), boxes, 2, 2).sum() == pytest.approx(0.25)


def test_the_strongest_point_of_a_box_is_its_middle() -> None:
    cells = spread(np.array([[1.0]]), np.array([[0.25, 0.5, 0.75, 1.0]]), 8, 8)
    assert strongest_point(cells)[0] == pytest.approx([0.5, 0.75])
    assert strongest_point(np.zeros((0, 8, 8))).shape == (0, 2)
