"""Ranks against sorting, ties and collapsed models, pieces against the whole, folds and the fault of SCAN's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saccade.errors import DataError
from saccade.metrics import retrieval
from saccade.metrics.retrieval import mean_of_folds, rank_embeddings, rank_similarities


def ranks_by_sorting(scores: np.ndarray, image_of: np.ndarray) -> tuple[list[int], list[int]]:
    """The obvious version, of scores without ties: sort, and look where the first right one stands."""
    i2t = [1 + min(np.flatnonzero(image_of[np.argsort(-row)] == i)) for i, row in enumerate(scores) if i in image_of]
    t2i = [1 + int(np.flatnonzero(np.argsort(-scores[:, s]) == image_of[s])[0]) for s in range(scores.shape[1])]
    return i2t, t2i


@pytest.mark.parametrize(("images", "sentences"), [(7, 35), (130, 1100), (300, 1025), (1, 4), (5, 3)])
def test_ranks_are_those_of_sorting(images: int, sentences: int) -> None:
    rng = np.random.default_rng(images)
    image_of = rng.integers(images, size=sentences)
    z_v, z_u = rng.normal(size=(images, 16)), rng.normal(size=(sentences, 16))
    expected = ranks_by_sorting(z_v @ z_u.T, image_of)
    by_embedding = rank_embeddings(torch.from_numpy(z_v), torch.from_numpy(z_u), image_of)
    by_similarity = rank_similarities(torch.from_numpy(z_v @ z_u.T), image_of)
    for found in (by_embedding, by_similarity):
        assert found.i2t.tolist() == expected[0]
        assert found.t2i.tolist() == expected[1]
        assert (found.images, found.sentences) == (images, sentences)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("images", "size"), [(131, 33), (40, 1536), (257, 64)])
def test_a_collapsed_model_has_the_last_rank_everywhere(images: int, size: int, dtype: torch.dtype) -> None:
    one = torch.randn(2, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)
    image_of = np.arange(5 * images) // 5
    found = rank_embeddings(one[:1].expand(images, -1), one[1:].expand(5 * images, -1), image_of)
    assert set(found.i2t) == {5 * images - 4}  # all wrong sentences stand before
    assert set(found.t2i) == {images}
    assert found.metrics()["rsum"] == 0


def test_ties_and_what_is_no_number_count_against_the_model() -> None:
    nan = torch.nan
    scores = torch.tensor([[0.5, 0.5, 0.2], [0.5, 0.4, nan], [0.1, nan, 0.9]])
    found = rank_similarities(scores, [0, 1, 2])
    assert found.i2t.tolist() == [2, 3, 2]
    assert found.t2i.tolist() == [2, 3, 2]
    # An image's own sentences do it no harm, however many are alike, and one that is no number is not its best.
    assert rank_similarities(torch.tensor([[0.7, 0.7, nan, 0.1]]), [0, 0, 0, 0]).i2t.tolist() == [1]
    assert rank_similarities(torch.full((2, 4), nan), [0, 0, 1, 1]).i2t.tolist() == [3, 3]


def test_metrics_have_their_names_and_the_sizes_of_the_galleries() -> None:
    scores = torch.tensor([[9.0, 1, 2, 8], [3, 4, 5, 6], [7, 7, 7, 0]])
    metrics = rank_similarities(scores, [0, 0, 1, 2]).metrics()
    assert metrics == {
        "i2t_r1": pytest.approx(1 / 3),
        "i2t_r5": 1.0,
        "i2t_r10": 1.0,
        "i2t_medr": 2.0,
        "i2t_meanr": pytest.approx(7 / 3),
        "t2i_r1": 0.25,
        "t2i_r5": 1.0,
        "t2i_r10": 1.0,
        "t2i_medr": 2.5,
        "t2i_meanr": 2.25,
        "rsum": pytest.approx(4 + 1 / 3 + 0.25),
        "images": 3,
        "sentences": 4,
    }


def test_the_mean_of_folds_is_not_what_scan_prints() -> None:
    folds = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        image_of = np.arange(60) // 5
        scores = rng.normal(size=(12, 60)) + 2 * (np.arange(12)[:, None] == image_of)
        folds.append(rank_similarities(torch.from_numpy(scores), image_of).metrics())
    means = mean_of_folds(folds)
    recalls = [f"{way}_r{depth}" for way in ("i2t", "t2i") for depth in (1, 5, 10)]
    for name in [*recalls, "i2t_medr", "t2i_meanr"]:
        assert means[name] == pytest.approx(sum(fold[name] for fold in folds) / 5)
    assert means["rsum"] == pytest.approx(sum(means[name] for name in recalls))
    assert (means["images"], means["sentences"]) == (12, 60)
    # kuanghuei/SCAN, evaluation.py: rows of r (5), ri (5), ar, ari, rsum; it prints mean_metrics[10] * 6.
    of_images = [sum(fold[name] for name in recalls[:3]) / 3 for fold in folds]
    printed = 6 * sum(of_images) / 5
    assert abs(printed - means["rsum"]) > 0.05
    assert printed == pytest.approx(2 * sum(means[name] for name in recalls[:3]))


def test_pieces_are_small(monkeypatch) -> None:
    seen = []
    real = retrieval._padded
    monkeypatch.setattr(retrieval, "_padded", lambda rows, length: seen.append(length) or real(rows, length))
    rank_embeddings(torch.randn(300, 8), torch.randn(3000, 8), np.arange(3000) // 10)
    assert set(seen) == set(retrieval.TILE)


@pytest.mark.parametrize(
    ("images", "sentences", "image_of", "message"),
    [
        ((3, 4), (5, 3), [0] * 5, "expected embeddings"),
        ((3, 4), (5, 4), [0] * 4, "of each of 5 sentences"),
        ((3, 4), (2, 4), [0, 3], "expected images from 0 to 2, got 0 to 3"),
        ((3, 4), (0, 4), [], "of each of 0 sentences|no sentences"),
        ((3, 4), (2, 4), [0.0, 1.0], "the number of the image"),
    ],
)
def test_what_does_not_fit_is_refused(images, sentences, image_of, message) -> None:
    with pytest.raises(DataError, match=message):
        rank_embeddings(torch.zeros(images), torch.zeros(sentences), image_of)
