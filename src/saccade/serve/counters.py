"""What the server has done, in numbers, and their text in Prometheus' format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

PREFIX = "saccade"
ABOUT = {
    "requests_total": "Requests by path and status.",
    "replies_total": "Replies that models gave, by run.",
    "batches_total": "Batches that the replies came in, by run.",
    "model_seconds_total": "Seconds that the models worked, by run.",
    "left_total": "Requests whose client left before their turn.",
    "refused_total": "Requests refused because the queue was full.",
    "dropped_images_total": "Images dropped because nobody asked about them, or to make room.",
    "waiting": "Requests that wait for the models.",
    "kept_images": "Images that are kept.",
    "kept_bytes": "Bytes of the images that are kept.",
}
GAUGES = ("waiting", "kept_images", "kept_bytes")


class Counters:
    """Counts by name and labels; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count so many more of what `ABOUT` names."""
        with self._lock:
            self._counts[name, tuple(labels.items())] += amount  # type: ignore[assignment]

    def text(self, **gauges: float) -> str:
        """All counts, and the gauges given, in Prometheus' text format."""
        with self._lock:
            counts = dict(self._counts)
        return "\n".join(_lines(counts | {(name, ()): value for name, value in gauges.items()})) + "\n"


def _lines(counts: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> Iterator[str]:
    for name, about in ABOUT.items():
        rows = sorted((labels, value) for (of, labels), value in counts.items() if of == name)
        if not rows:
            continue
        yield f"# HELP {PREFIX}_{name} {about}"
        yield f"# TYPE {PREFIX}_{name} {'gauge' if name in GAUGES else 'counter'}"
        for labels, value in rows:
            said = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
            yield f"{PREFIX}_{name}{f'{{{said}}}' if said else ''} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
