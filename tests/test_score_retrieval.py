"""Ranks of other people's models from NumPy files: similarities, embeddings, folds, and what is not as expected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.errors import RecipeError
from saccade.metrics.retrieval import rank_similarities
from saccade.score import score_retrieval


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    images, sentences = rng.normal(size=(20, 8)), rng.normal(size=(60, 8))
    sentences += np.repeat(images, 3, axis=0)
    tables = {"images": images, "sentences": sentences, "similarities": images @ sentences.T}
    for name, table in tables.items():
        np.save(tmp_path / f"{name}.npy", table)
    return {name: tmp_path / f"{name}.npy" for name in tables}


def test_similarities_and_embeddings_give_the_same(files, saccade) -> None:
    table = torch.from_numpy(np.load(files["similarities"]))
    expected = rank_similarities(table, np.repeat(np.arange(20), 3)).metrics()
    assert score_retrieval([files["similarities"]], 3) == pytest.approx(expected)
    assert score_retrieval([files["images"], files["sentences"]], 3) == pytest.approx(expected)
    outcome = saccade("score", "retrieval", files["similarities"], "--captions-per-image", 3, "--json")
    assert json.loads(outcome.out) == pytest.approx(expected)
    outcome = saccade("score", "retrieval", files["images"], files["sentences"], "--captions-per-image", 3)
    assert f"t2i_r1 {100 * expected['t2i_r1']:.2f} %" in " ".join(outcome.out.split())


def test_folds_are_parts_of_the_images_with_their_sentences(files) -> None:
    table = np.load(files["similarities"])
    parts = [table[5 * part : 5 * part + 5, 15 * part : 15 * part + 15] for part in range(4)]
    means = [rank_similarities(torch.from_numpy(part), np.repeat(np.arange(5), 3)).metrics() for part in parts]
    found = score_retrieval([files["similarities"]], 3, folds=4)
    assert found["rsum"] == pytest.approx(sum(each["rsum"] for each in means) / 4)
    assert (found["images"], found["sentences"]) == (5, 15)
    with pytest.raises(RecipeError, match="20 images do not make 3 equal parts"):
        score_retrieval([files["similarities"]], 3, folds=3)


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_counts_that_cannot_be_are_refused_before_a_file_is_read(value: object) -> None:
    with pytest.raises(RecipeError, match=f"folds: expected a whole number above 0, got {value}"):
        score_retrieval(["nowhere.npy"], 5, folds=value)
    with pytest.raises(RecipeError, match=f"captions_per_image: expected a whole number above 0, got {value}"):
        score_retrieval(["nowhere.npy"], value)


def test_what_is_not_as_expected_is_said(files, tmp_path, refused) -> None:
    similarities, images = files["similarities"], files["images"]
    refused("score", "retrieval", similarities, parts=("similarities.npy", "5 sentences for each of 20 images", "60"))
    refused("score", "retrieval", images, images, images, parts=("expected SIMILARITIES or IMAGES SENTENCES, got 3",))
    (tmp_path / "text.npy").write_text("0.1 0.2")
    np.save(tmp_path / "line.npy", np.ones(3))
    np.save(tmp_path / "numbers.npy", np.ones((3, 3), dtype=np.int64))
    np.save(tmp_path / "empty.npy", np.ones((0, 3)))
    np.savez(tmp_path / "several.npy.npz", a=np.ones(3))
    for name, part in {
        "text.npy": "expected an array of NumPy",
        "line.npy": "expected a table of floating-point numbers, got [3]",
        "numbers.npy": "expected a table of floating-point numbers",
        "empty.npy": "with numbers in it",
        "several.npy.npz": "got several arrays",
        "none.npy": "cannot be read (No such file or directory)",
    }.items():
        refused("score", "retrieval", tmp_path / name, "--captions-per-image", 1, parts=(name, part))
    refused("score", "captions", images, parts=("expected RESULTS REFERENCES",))
    wide = tmp_path / "wide.npy"
    np.save(wide, np.ones((60, 9)))
    refused("score", "retrieval", images, wide, "--captions-per-image", 3, parts=("expected embeddings",))
