"""Scoring what other people's models match, from NumPy files: a table of similarities, or embeddings of both sides.

    similarities.npy                [images, sentences], higher for what fits better
    images.npy, sentences.npy       [images, size] and [sentences, size], compared by inner product

The sentences are in the order of their images, equally many of each: those of image 0, then those of image 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.errors import DataError, RecipeError
from saccade.limits import COUNT, check_limit
from saccade.metrics.retrieval import Ranks, mean_of_folds, rank_embeddings, rank_similarities


def score_retrieval(files: Sequence[Path | str], per_image: int, *, folds: int = 1) -> dict[str, float]:
    """The metrics of `saccade.metrics.retrieval` for one file of similarities, or for two of embeddings.

    With `folds`, the images are scored in so many equal parts, each by itself, and the means are given. Files are
    mapped, not loaded, so that they may be larger than memory. Raises DataError for files that are not as expected,
    RecipeError for numbers that cannot be or do not divide what there is.
    """
    if len(files) not in (1, 2):
        raise RecipeError(f"expected SIMILARITIES or IMAGES SENTENCES, got {len(files)} files")
    check_limit(COUNT, captions_per_image=per_image, folds=folds)
    arrays = [_read(Path(file)) for file in files]
    images, sentences = arrays[0].shape if len(arrays) == 1 else (len(arrays[0]), len(arrays[1]))
    if sentences != images * per_image:
        raise DataError(
            f"expected {per_image} sentences for each of {images:,} images, got {sentences:,} sentences: "
            + ("a row is an image, a column a sentence" if len(arrays) == 1 else "say --captions-per-image"),
            Path(files[-1]),
        )
    if images % folds:
        raise RecipeError(f"folds: {images:,} images do not make {folds} equal parts")
    size = images // folds
    parts = [_ranks(arrays, slice(part * size, (part + 1) * size), per_image).metrics() for part in range(folds)]
    return mean_of_folds(parts)


def _ranks(arrays: Sequence[npt.NDArray[np.floating[Any]]], rows: slice, per_image: int) -> Ranks:
    columns = slice(rows.start * per_image, rows.stop * per_image)
    image_of = np.repeat(np.arange(rows.stop - rows.start), per_image)
    if len(arrays) == 1:
        return rank_similarities(torch.from_numpy(arrays[0][rows, columns]), image_of)
    return rank_embeddings(torch.from_numpy(arrays[0][rows]), torch.from_numpy(arrays[1][columns]), image_of)


def _read(path: Path) -> npt.NDArray[np.floating[Any]]:
    try:
        # Copied when written to, which nothing does: PyTorch takes no array that must not be written.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path) from None
    except (ValueError, EOFError):
        raise DataError("expected an array of NumPy, as np.save writes it", path) from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        shape = list(array.shape) if isinstance(array, np.ndarray) else "several arrays"
        raise DataError(f"expected a table of floating-point numbers, got {shape}", path)
    if not array.size:
        raise DataError(f"expected a table with numbers in it, got {list(array.shape)}", path)
    return array
