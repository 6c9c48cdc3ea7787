"""Ranks of the right images and sentences among all others, both ways, and what is said of them.

Recall@K is the share of queries of which a right item is among the first K, the median and the mean rank are those of
the best right one, counted from 1. An image is right by any of its sentences, a sentence by its one image.

Ties count against the model: a wrong item that scores as high as the right one stands before it, and so does one whose
score is no number. A model that gives all the same thus gets the last rank everywhere, not the first; evaluations that
sort, as those of VSE++ and SCAN do, give it what the order of the files happens to be.

Scores are computed in tiles, of which two are held at a time. All tiles have one shape, so that equal rows give equal
numbers wherever they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from saccade.errors import DataError

# The row of each sentence's image, and from some sentences to what gives their scores with a range of images.
Rows = Sequence[int] | npt.NDArray[np.integer[Any]]
Scores = Callable[[npt.NDArray[np.int64]], Callable[[slice], Tensor]]

DEPTHS = (1, 5, 10)
TILE = (256, 1024)  # images, sentences: large enough for a product to be quick, small against the whole
WAYS = ("i2t", "t2i")


@dataclass(frozen=True, eq=False)
class Ranks:
    """The best right item's rank for each query, from 1: of images among sentences, of sentences among images.

    ``i2t`` has the images that have sentences, in their order. ``images`` and ``sentences`` are the size of the
    galleries.
    """

    i2t: npt.NDArray[np.int64]
    t2i: npt.NDArray[np.int64]
    images: int
    sentences: int

    def metrics(self) -> dict[str, float]:
        """Recall@1, 5 and 10, median and mean rank, both ways; `rsum`, the sum of the six recalls; the galleries."""
        found: dict[str, float] = {}
        for way, ranks in zip(WAYS, (self.i2t, self.t2i), strict=True):
            found |= {f"{way}_r{depth}": float(np.mean(ranks <= depth)) for depth in DEPTHS}
            found |= {f"{way}_medr": float(np.median(ranks)), f"{way}_meanr": float(np.mean(ranks))}
        found["rsum"] = sum(found[f"{way}_r{depth}"] for way in WAYS for depth in DEPTHS)
        return {**found, "images": self.images, "sentences": self.sentences}


def rank_embeddings(
    images: Float[Tensor, "images size"], sentences: Float[Tensor, "sentences size"], image_of: Rows
) -> Ranks:
    """The ranks by inner product; ``image_of`` is the row of each sentence's image.

    Raises DataError where sizes do not fit, and for a sentence of an image that there is not.
    """
    if images.ndim != 2 or sentences.ndim != 2 or images.shape[1] != sentences.shape[1]:
        raise DataError(
            f"expected embeddings [images, size] and [sentences, size], got {list(images.shape)} and "
            f"{list(sentences.shape)}"
        )

    def scores(chosen: npt.NDArray[np.int64]) -> Callable[[slice], Tensor]:
        columns = _padded(sentences[chosen], TILE[1]).T
        return lambda rows: (_padded(images[rows], TILE[0]) @ columns)[: rows.stop - rows.start, : len(chosen)]

    return _ranks(scores, len(images), len(sentences), image_of)


def first_images(images: Float[Tensor, "images size"], sentences: Float[Tensor, "sentences size"]) -> list[int]:
    """The row of the image with the highest inner product with each sentence."""
    parts = (sentences[rows] @ images.T for rows in _parts(len(sentences), TILE[1]))
    return [row for part in parts for row in part.argmax(dim=1).tolist()]


def rank_similarities(similarities: Float[Tensor, "images sentences"], image_of: Rows) -> Ranks:
    """The ranks by scores of any kind, one for each image and sentence; ``image_of`` as for `rank_embeddings`."""
    if similarities.ndim != 2:
        raise DataError(f"expected similarities [images, sentences], got {list(similarities.shape)}")
    images, sentences = similarities.shape
    return _ranks(lambda chosen: lambda rows: similarities[rows][:, chosen], images, sentences, image_of)


def mean_of_folds(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each metric's mean over folds, as COCO's 1K is five folds of its 5,000 images; the galleries are those of a fold.

    The sum of recalls is a mean like every other. SCAN's evaluation (kuanghuei/SCAN, `evalrank` with `fold5`) prints in
    its place six times the mean recall from image to sentence, the eleventh of its columns where the thirteenth is
    meant.
    """
    means = {name: float(np.mean([fold[name] for fold in folds])) for name in folds[0]}
    return means | {name: folds[0][name] for name in ("images", "sentences")}


def _ranks(scores: Scores, images: int, sentences: int, image_of: Rows) -> Ranks:
    """The ranks, from tiles of the scores of sentences in the order of their images."""
    image = _checked(image_of, images, sentences)
    order = np.argsort(image, kind="stable")  # an image's sentences lie side by side, and so in few tiles
    image = image[order]
    own = torch.full((sentences,), torch.nan, dtype=scores(order[:1])(slice(0, 1)).dtype)
    for columns in _parts(sentences, TILE[1]):
        of_rows = scores(order[columns])
        for rows in _parts(images, TILE[0]):
            here = np.flatnonzero((image[columns] >= rows.start) & (image[columns] < rows.stop))
            if here.size:
                own[columns][here] = of_rows(rows)[image[columns][here] - rows.start, here].cpu()
    counts = torch.from_numpy(np.bincount(image, minlength=images))
    index = torch.from_numpy(image)
    of_numbers = own.nan_to_num(-torch.inf, torch.inf, -torch.inf)
    best = torch.full((images,), -torch.inf, dtype=own.dtype).scatter_reduce(0, index, of_numbers, "amax")
    before_images, before_sentences = torch.zeros(images, dtype=torch.int64), torch.zeros(sentences, dtype=torch.int64)
    for columns in _parts(sentences, TILE[1]):
        of_rows = scores(order[columns])
        for rows in _parts(images, TILE[0]):
            tile = of_rows(rows)
            before_images[rows] += (~(tile < best[rows, None].to(tile.device))).sum(1).cpu()
            before_sentences[columns] += (~(tile < own[columns].to(tile.device))).sum(0).cpu()
    # Of the sentences that are not below the best of an image's own, those that are its own do no harm.
    harmless = torch.zeros(images, dtype=torch.int64).scatter_add(0, index, (~(own < best[index])).long())
    i2t, t2i = 1 + before_images - harmless, np.empty(sentences, np.int64)
    t2i[order] = before_sentences.numpy()
    return Ranks(i2t[counts > 0].numpy(), t2i, images, sentences)


def _checked(image_of: Rows, images: int, sentences: int) -> npt.NDArray[np.int64]:
    rows = np.asarray(image_of)
    if rows.shape != (sentences,) or not np.issubdtype(rows.dtype, np.integer):
        raise DataError(f"expected the number of the image of each of {sentences:,} sentences, got {list(rows.shape)}")
    if not sentences or rows.min() < 0 or rows.max() >= images:
        raise DataError(
            f"expected images from 0 to {images - 1}, got "
            + (f"{rows.min()} to {rows.max()}" if sentences else "no sentences")
        )
    return rows.astype(np.int64)


def _padded(rows: Float[Tensor, "rows size"], length: int) -> Float[Tensor, "length size"]:
    return rows if len(rows) == length else torch.nn.functional.pad(rows, (0, 0, 0, length - len(rows)))


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
