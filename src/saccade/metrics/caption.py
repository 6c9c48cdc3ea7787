"""The metrics of generated captions, as coco-caption's evaluation gives them, without Java.

METEOR and SPICE are programs in Java: `saccade.metrics.java`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from saccade.errors import DataError
from saccade.metrics.bleu import bleu_scores
from saccade.metrics.cider import cider_d
from saccade.metrics.ngrams import count_ngrams
from saccade.metrics.ptb import tokenize
from saccade.metrics.rouge import rouge_l

NAMED = 5  # an error names so many images


def caption_metrics(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """The metrics of one caption per image against all its references; both by image, as people write them.

    They are tokenised as coco-caption does (`saccade.metrics.ptb`), then scored by `tokenized_caption_metrics`, where
    the metrics and the errors are listed.

    >>> scores = caption_metrics({"a": "A dog.", "b": "A cat."}, {"a": ["A dog!", "One dog."], "b": ["The cat sits."]})
    >>> round(scores["bleu_1_no_bp"], 6), scores["distinct_captions"], scores["words_used"]
    (0.75, 1.0, 3)
    """
    tokenized = {image: [tokenize(caption) for caption in captions] for image, captions in references.items()}
    return tokenized_caption_metrics({image: tokenize(caption) for image, caption in results.items()}, tokenized)


def tokenized_caption_metrics(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """The metrics of captions that are words with a space between them; "" is a caption of no words.

    - `bleu_1` to `bleu_4` of the corpus, and `bleu_1_no_bp` to `bleu_4_no_bp`, without brevity penalty
    - `rouge_l`, and `cider`, from 0 to 10: means over the images
    - `cider_d`: the same number as `cider`, since what coco-caption calls CIDEr is CIDEr-D (`saccade.metrics.cider`)
    - `distinct_captions`, the share of different captions among the results, and `words_used`, how many different words
      they have: small where a model says the same of every image

    Raises DataError without results, for images without a reference, and when the two speak of different images.
    """
    check_images(results, references)
    captions, by_image = list(results.values()), [references[image] for image in results]
    ngrams = count_ngrams(captions, by_image)
    cider = float(np.mean(cider_d(ngrams)))
    return {
        **bleu_scores(ngrams),
        "rouge_l": float(np.mean([rouge_l(*pair) for pair in zip(captions, by_image, strict=True)])),
        "cider": cider,
        "cider_d": cider,
        "distinct_captions": len(set(captions)) / len(captions),
        "words_used": len({word for caption in captions for word in caption.split()}),
    }


def check_images(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError unless results and references speak of the same images, at least one, each with a reference."""
    problems = {
        "results without references": [image for image in results if not references.get(image)],
        "references without a result": [image for image in references if image not in results],
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {len(images):,} ({_first(images)})" for what, images in problems.items() if images)
        raise DataError(
            f"expected a caption and at least one reference for the same images, got {told}; score the images of one "
            "split, with the references of that split alone"
        )
    if not results:
        raise DataError("expected the caption of at least one image, got none")


def _first(images: Iterable[str]) -> str:
    shown = list(images)
    return ", ".join(map(repr, shown[:NAMED])) + (", ..." if len(shown) > NAMED else "")
