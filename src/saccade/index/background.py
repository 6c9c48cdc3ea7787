"""How sentences about other things score on an index, against which a hit is set.

What an inner product means differs from model to model and from index to index. So the sentences of the training split
that are kept with the run are looked for in the index, and the best scores of each are kept: the index's background. It
tells how many photographs of this index score as high as a hit does for a sentence about something else, on average. A
hit of which there would be several by chance is unlikely to be what was asked for.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float

from saccade.index.embedder import SENTENCES_AT_ONCE, Embedder
from saccade.index.index import Index, explained
from saccade.serial import write_text

BACKGROUND = "background.json"
BEST = 50  # scores of each sentence that are kept: beyond, a hit is unlikely however it is looked at


class Background:
    """The best scores of a number of sentences on an index."""

    def __init__(self, best: Float[np.ndarray, " scores"], sentences: int) -> None:
        self._best, self._sentences = np.sort(best), sentences

    @classmethod
    def of(cls, index: Index, embedder: Embedder) -> Background:
        """The background of the run's sample of training sentences."""
        texts, best = embedder.task.background, []
        for start in range(0, len(texts), SENTENCES_AT_ONCE):
            found = index.search(embedder.sentences(texts[start : start + SENTENCES_AT_ONCE]), BEST)
            best += [hit.score for hits in found for hit in hits]
        return cls(np.array(best), len(texts))

    @classmethod
    def read(cls, path: Path) -> Background | None:
        """That of the index in a folder; None where it has none."""
        with suppress(OSError, ValueError, KeyError, TypeError):  # it was never made, or was cut short
            kept = json.loads((path / BACKGROUND).read_text(encoding="utf-8"))
            return cls(np.array(kept["best"], np.float64), int(kept["sentences"]))
        return None

    def expected(self, score: float) -> float:
        """How many of the index score so high or higher, on average over the sentences; at most `BEST`."""
        return float(len(self._best) - np.searchsorted(self._best, score, side="left")) / self._sentences

    def write(self, path: Path, changes: int) -> None:
        """Keep it in the index's folder; `changes` is how many times the index had changed by then."""
        best = [round(score, 5) for score in self._best.tolist()]
        kept = {"changes": changes, "sentences": self._sentences, "best": best}
        write_text(path / BACKGROUND, json.dumps(kept) + "\n")


def renew(index: Index, embedder: Embedder) -> None:
    """Compute the background again where the index has changed since, and keep it with the index."""
    changes = index.catalogue.changes
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads((index.path / BACKGROUND).read_text(encoding="utf-8"))["changes"] == changes:
            return
    with explained(index.path):
        Background.of(index, embedder).write(index.path, changes)
