"""Choose windows, fixed boxes of many scales and ratios, on the training annotations of a corpus alone.

    python tools/choose_windows.py photographs flickr30k-entities FLICKR30K_ENTITIES
    python tools/choose_windows.py scenes scenes-phrases

Candidates are boxes of many widths and heights on a lattice of places, and what was annotated, rounded. The whole image
is taken first, then again and again the candidate that covers most of the phrases that none covers so far: one is
covered where any of its boxes overlaps with the candidate by an IoU of at least 0.5. So the first so many windows are
the best so many, as greedily chosen ones go. On ties the candidate that comes first in the list is taken, and nothing
is drawn: the same annotations give the same windows. They are written to src/saccade/features/windows_NAME.json.

What they cover of the test split, of which nothing is read until they are written, is printed. Of Flickr30k Entities
"train" here is all of train.txt but 500 images, and "test" the official validation split where test.txt is missing.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from saccade.data import create_dataset
from saccade.data.records import Caption, Corpus

WINDOWS = 400
OUT = Path(__file__).parents[1] / "src" / "saccade" / "features"
SIDES = (0.06, 0.09, 0.13, 0.18, 0.25, 0.34, 0.45, 0.58, 0.72, 0.86, 1.0)
STEP = 1 / 6  # of a window's side from one place to the next
CELLS = 25  # what was annotated is rounded to this part of the image's sides
IOU = 0.5

Boxes = npt.NDArray[np.float32]
Annotated = tuple[tuple[float, float, float, float], ...]


def phrases(corpus: Corpus, split: str) -> Counter[Annotated]:
    """How many phrases of a split have which boxes."""
    records = corpus.records(Caption, split)
    return Counter(phrase.boxes for record in records for phrase in record.phrases if phrase.boxes)


def candidates(annotated: Boxes) -> Boxes:
    """The whole image, the lattice, and the annotated boxes as rounded; each once."""
    lattice = [(x, y, x + w, y + h) for w in SIDES for h in SIDES for x in places(w) for y in places(h)]
    rounded = np.unique(np.round(annotated * CELLS) / CELLS, axis=0)
    boxes = np.concatenate((np.array([(0, 0, 1, 1), *lattice]), rounded)).round(3)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)].astype(np.float32)


def places(side: float) -> list[float]:
    """Where windows of that side begin, from edge to edge."""
    steps = int(np.ceil((1 - side) / (side * STEP) - 1e-9))
    return [0.0] if not steps else [(1 - side) * step / steps for step in range(steps + 1)]


def covered(box: Boxes, boxes: Boxes, first: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which phrases a box covers; the boxes of phrase i begin at row `first[i]`."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.prod(sides.clip(0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.logical_or.reduceat(common >= IOU * (areas - common), first)


def laid_out(known: Counter[Annotated]) -> tuple[Boxes, npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """All boxes, where those of each phrase begin, and how many phrases have them."""
    lengths = np.array([len(boxes) for boxes in known])
    rows = np.array([box for boxes in known for box in boxes], np.float32)
    return rows, np.cumsum(lengths) - lengths, np.array(list(known.values()))


def choose(known: Counter[Annotated]) -> list[list[float]]:
    """The windows in the order in which they were chosen."""
    boxes, first, weights = laid_out(known)
    pool = candidates(boxes)
    # What each covers, a bit a phrase: all of it at once would fill the memory.
    covers = np.stack([np.packbits(covered(box, boxes, first)) for box in pool])
    left = np.ones(len(weights), bool)

    def gain(candidate: int) -> int:
        return int(weights[np.unpackbits(covers[candidate], count=len(weights)).view(bool) & left].sum())

    chosen: list[int] = []
    # What a candidate adds only ever falls: one that still adds most when counted anew is the best of all.
    queue = [(-gain(i), i) for i in range(len(pool))]
    heapq.heapify(queue)
    candidate = 0  # the whole image
    while True:
        chosen.append(candidate)
        left &= ~np.unpackbits(covers[candidate], count=len(weights)).view(bool)
        if len(chosen) == WINDOWS:
            return [[round(float(x), 3) for x in pool[i]] for i in chosen]
        while True:
            _, candidate = heapq.heappop(queue)
            if candidate in chosen:
                continue
            now = gain(candidate)
            if not queue or (-now, candidate) <= queue[0]:
                break
            heapq.heappush(queue, (-now, candidate))


def share_covered(windows: list[list[float]], known: Counter[Annotated]) -> float:
    """The share of phrases that any of the windows covers."""
    boxes, first, weights = laid_out(known)
    hit = np.zeros(len(weights), bool)
    for window in windows:
        hit |= covered(np.array(window, np.float32), boxes, first)
    return float(weights[hit].sum() / weights.sum())


def main() -> None:
    """Choose, write, and say what was gained."""
    name, dataset, *root = sys.argv[1:]
    corpus = create_dataset(dataset, *root)
    training = phrases(corpus, "train")
    windows = choose(training)
    out = OUT / f"windows_{name}.json"
    out.write_text("[\n" + ",\n".join(json.dumps(window) for window in windows) + "\n]\n", encoding="utf-8")
    for split, known in (("train", training), ("test", phrases(corpus, "test"))):
        for count in (50, 100, 200, WINDOWS):
            share = share_covered(windows[:count], known)
            print(f"{split}, {known.total():,} phrases: {100 * share:.2f} % by {count} windows")


if __name__ == "__main__":
    main()
