"""The counter, stage by stage, against loops in NumPy float64; and whether it counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from saccade.nn.counting import Counter, overlap

ROWS, BOXES, OBJECTS, QUERIES = 3, 7, 5, 2


def some_boxes(rows: int = ROWS, boxes: int = BOXES, seed: int = 1) -> torch.Tensor:
    corners = torch.rand(rows, boxes, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([corners.amin(2), corners.amax(2)], dim=-1)


def some_logits(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def counter(objects: int = OBJECTS) -> Counter:
    """With functions that are far from straight, and all different."""
    made = Counter(objects).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        made.weight[:, 1:] = torch.randn(made.weight[:, 1:].shape, generator=generator, dtype=torch.float64)
    return made


class Transcription:
    """One row and query at a time, each stage in loops over boxes i, j, k."""

    def __init__(self, module: Counter) -> None:
        self.weight, self.n = module.weight.detach().numpy(), module.objects

    def f(self, which: int, x: float) -> float:
        w = abs(self.weight[which]) / abs(self.weight[which]).sum()
        whole = int(16 * x)
        inside = (16 * x - whole) * w[whole + 1] if whole < 16 else 0.0
        return sum(w[: whole + 1]) + inside

    def strongest(self, boxes: np.ndarray, logits: np.ndarray) -> tuple[list, list]:
        order = sorted(range(len(logits)), key=lambda i: -logits[i])[: self.n]
        kept = [i for i in order if logits[i] > -math.inf]
        none = self.n - len(kept)
        return [list(boxes[i]) for i in kept] + [[0.0] * 4] * none, [1 / (1 + math.exp(-logits[i])) for i in kept] + [
            0.0
        ] * none

    @staticmethod
    def overlap(boxes: list) -> np.ndarray:
        out = np.zeros((len(boxes), len(boxes)))
        for i, (ax1, ay1, ax2, ay2) in enumerate(boxes):
            for j, (bx1, by1, bx2, by2) in enumerate(boxes):
                shared = max(min(ax2, bx2) - max(ax1, bx1), 0) * max(min(ay2, by2) - max(ay1, by1), 0)
                union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
                out[i, j] = shared / (union + 1e-12)
        return out

    def edges(self, a: list, distance: np.ndarray) -> np.ndarray:
        return np.array(
            [[self.f(0, a[i] * a[j]) * self.f(1, distance[i, j]) for j in range(self.n)] for i in range(self.n)]
        )

    def copies(self, a: list, distance: np.ndarray) -> np.ndarray:
        n = range(self.n)
        x = [[self.f(3, a[i] * a[j]) * self.f(4, distance[i, j]) for j in n] for i in n]
        out = np.zeros(self.n)
        for i in n:
            for j in n:
                alike = self.f(2, 1 - abs(a[i] - a[j]))
                for k in n:
                    alike *= self.f(2, 1 - abs(x[i][k] - x[j][k]))
                out[i] += alike
        return out

    def count(self, a: list, distance: np.ndarray) -> float:
        edges, same, n = self.edges(a, distance), self.copies(a, distance), range(self.n)
        total = sum(edges[i, j] / (same[i] * same[j]) for i in n for j in n)
        return math.sqrt(total + sum(self.f(0, a[i] * a[i]) / same[i] for i in n))

    def one_hot(self, count: float) -> np.ndarray:
        count, out = min(count, self.n), np.zeros(self.n + 1)
        whole = int(count)
        out[whole] += 1 - (count - whole)
        out[min(whole + 1, self.n)] += count - whole
        return out

    def confidence(self, a: list, distance: np.ndarray) -> float:
        of_attention = sum(abs(self.f(5, x) - 0.5) for x in a) / self.n
        of_distance = sum(abs(self.f(6, x) - 0.5) for x in distance.ravel()) / self.n**2
        return self.f(7, of_attention + of_distance)

    def __call__(self, boxes: np.ndarray, logits: np.ndarray) -> np.ndarray:
        corners, a = self.strongest(boxes, logits)
        distance = 1 - self.overlap(corners)
        return self.one_hot(self.count(a, distance)) * self.confidence(a, distance)


def close(ours: torch.Tensor, theirs: object) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), np.array(theirs), atol=1e-6)


def test_the_functions_equal_a_walk_along_their_segments() -> None:
    module, x = counter(), torch.linspace(0, 1, 161, dtype=torch.float64)
    for which in range(16):
        close(module.f(which, x), [Transcription(module).f(which, each) for each in x.tolist()])
        y = module.f(which, x)
        assert (y[0].item(), y[-1].item()) == (0, pytest.approx(1))
        assert (y.diff() >= 0).all()


@pytest.mark.parametrize("row", range(ROWS))
def test_every_stage_equals_its_loops(row: int) -> None:
    module = counter()
    plain, boxes, logits = Transcription(module), some_boxes(), some_logits(ROWS, BOXES)
    corners, a = plain.strongest(boxes[row].numpy(), logits[row].numpy())
    top, strength = (each[row] for each in module.strongest(boxes, logits))
    close(top, corners)
    close(strength, a)
    close(overlap(top), plain.overlap(corners))
    distance = 1 - plain.overlap(corners)
    relevance = strength.unsqueeze(-1) * strength.unsqueeze(-2)
    close(relevance, np.outer(a, a))
    close(module.f(0, relevance) * module.f(1, 1 - overlap(top)), plain.edges(a, distance))
    close(module.copies(strength, relevance, 1 - overlap(top)), plain.copies(a, distance))
    close(module.one_hot(torch.tensor(plain.count(a, distance))), plain.one_hot(plain.count(a, distance)))
    close(module.confidence(strength, 1 - overlap(top)), plain.confidence(a, distance))
    close(module(boxes, logits)[row], plain(boxes[row].numpy(), logits[row].numpy()))


def test_several_queries_to_the_boxes_of_a_row_equal_one_at_a_time() -> None:
    module, boxes, logits = counter(), some_boxes(), some_logits(ROWS, QUERIES, BOXES)
    counts = module(boxes, logits)
    assert counts.shape == (ROWS, QUERIES, OBJECTS + 1)
    for row in range(ROWS):
        for query in range(QUERIES):
            close(counts[row, query], Transcription(module)(boxes[row].numpy(), logits[row, query].numpy()))


@pytest.mark.parametrize("count", [0.0, 0.25, 2.75, 3.0, 5.0, 5.5])
def test_a_count_lies_between_two_whole_numbers(count: float) -> None:
    close(counter().one_hot(torch.tensor(count, dtype=torch.float64)), Transcription(counter()).one_hot(count))


@pytest.mark.parametrize("boxes", [1, 3, OBJECTS])
def test_fewer_boxes_than_objects_count_like_boxes_that_are_masked(boxes: int) -> None:
    module, few, logits = counter(), some_boxes(boxes=boxes), some_logits(ROWS, boxes)
    close(module(few, logits), [Transcription(module)(few[row].numpy(), logits[row].numpy()) for row in range(ROWS)])
    elsewhere = some_boxes(boxes=BOXES - boxes, seed=9)
    masked = torch.cat([logits, torch.full((ROWS, BOXES - boxes), -math.inf, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(module(torch.cat([few, elsewhere], dim=1), masked), module(few, logits))


@pytest.mark.parametrize("count", range(11))
def test_boxes_that_lie_apart_are_counted_and_those_not_attended_to_are_not(count: int) -> None:
    left = torch.arange(13.0) / 13
    boxes = torch.stack([left, torch.zeros(13), left + 1 / 13, torch.ones(13)], dim=1).unsqueeze(0)
    logits = torch.where(torch.arange(13) < count, 40.0, -40.0).unsqueeze(0)
    expected = torch.nn.functional.one_hot(torch.tensor([count]), 11).float()
    torch.testing.assert_close(Counter()(boxes, logits).detach(), expected, atol=1e-4, rtol=0)


def test_boxes_on_one_object_count_once() -> None:
    box, other = torch.tensor([0.1, 0.2, 0.4, 0.6]), torch.tensor([0.5, 0.2, 0.9, 0.6])
    twice = torch.stack([box] * 4 + [other] * 3).unsqueeze(0)
    assert Counter()(twice[:, :4], torch.full((1, 4), 40.0)).argmax().item() == 1
    assert Counter()(twice, torch.full((1, 7), 40.0)).argmax().item() == 2


def test_the_gradient_is_exact_and_reaches_eight_functions_and_the_logits() -> None:
    module, boxes, logits = counter(3), some_boxes(1, 4), some_logits(1, 4).requires_grad_()

    def counts(weight: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"weight": weight}, (boxes, logits))

    assert torch.autograd.gradcheck(counts, (module.weight, logits))
    weight, attention = torch.autograd.grad(module(boxes, logits).square().sum(), (module.weight, logits))
    assert attention.count_nonzero() == 3  # the strongest three are counted
    assert weight[:8].any(dim=1).all()
    assert not weight[8:].any()
    assert not weight[:, 0].any()


def test_an_image_without_boxes_counts_zero_with_a_finite_gradient() -> None:
    logits = torch.full((2, 7), -math.inf, requires_grad=True)
    module = Counter()
    counts = module(torch.rand(2, 7, 4), logits)
    assert counts.argmax(1).tolist() == [0, 0]
    assert all(each.isfinite().all() for each in torch.autograd.grad(counts[:, 0].sum(), (logits, module.weight)))


def test_half_precision_measures_the_boxes_in_full_and_comes_back_in_half() -> None:
    boxes, logits = some_boxes().float(), some_logits(ROWS, BOXES).bfloat16()
    counts = counter().float()(boxes, logits)
    assert counts.dtype == torch.bfloat16
    torch.testing.assert_close(counts, counter().float()(boxes, logits.float()).bfloat16())
