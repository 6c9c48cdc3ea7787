"""How sentences about other things score on an index, against which a hit is set.

What an inner product means differs from model to model and from index to index. So the sentences of the training split
that are kept with the run are looked for in the index, and the best score of each is kept: the index's background. A
hit that is no better than what most of these find is unlikely to be what was asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from saccade.index.embedder import SENTENCES_AT_ONCE, Embedder
from saccade.index.index import Index, explained
from saccade.serial import write_text

BACKGROUND = "background.json"

Scores = Float[np.ndarray, " sentences"]


def renew(index: Index, embedder: Embedder) -> None:
    """Compute the background again where the index has changed since, and keep it with the index."""
    changes = index.catalogue.changes
    if read(index.path) is not None and _kept(index.path)["changes"] == changes:
        return
    best = [round(score, 6) for score in background(index, embedder).tolist()]
    with explained(index.path):
        write_text(index.path / BACKGROUND, json.dumps({"changes": changes, "best": best}) + "\n")


def background(index: Index, embedder: Embedder) -> Scores:
    """The best score of each of the run's sample of training sentences, in order of size."""
    sentences, best = embedder.task.background, []
    for start in range(0, len(sentences), SENTENCES_AT_ONCE):
        found = index.search(embedder.sentences(sentences[start : start + SENTENCES_AT_ONCE]), 1)
        best += [hits[0].score for hits in found if hits]
    return np.sort(np.array(best))


def share_below(background: Scores, score: float) -> float:
    """The share of the background that scores lower."""
    return float(np.searchsorted(background, score, side="left") / len(background))


def read(path: Path) -> Scores | None:
    """The background of the index in a folder; None where it has none."""
    best = np.array(_kept(path)["best"])
    return best if len(best) else None


def _kept(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads((path / BACKGROUND).read_text(encoding="utf-8"))
        return {"changes": kept["changes"], "best": kept["best"]}
    except (OSError, ValueError, KeyError, TypeError):  # it was never made, or the process was killed before
        return {"changes": None, "best": []}
