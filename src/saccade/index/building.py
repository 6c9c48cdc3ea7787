"""What making an index of photographs and one of sentences have in common: which index, whose run, what was done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saccade.index.embedder import Embedder
from saccade.index.engine import EngineConfig, IndexingError
from saccade.index.index import FACTS, Index, IndexFacts, read_facts
from saccade.serial import to_dict


@dataclass(frozen=True)
class Update:
    """How many of what an index holds were added, changed, renamed, removed, left as they are, and not to be read."""

    added: int = 0
    changed: int = 0
    renamed: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: int = 0

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return to_dict(self)

    def __str__(self) -> str:
        counts = {"added": self.added, "changed": self.changed, "renamed": self.renamed, "removed": self.removed}
        said = [f"{count:,} {what}" for what, count in counts.items() if count]
        said.append(f"{self.unchanged:,} unchanged")
        return ", ".join(said) + (f"; {self.failed:,} could not be read" if self.failed else "")


def index_of(
    out: Path,
    embedder: Embedder,
    holds: Literal["images", "sentences"],
    source: str,
    config: EngineConfig | None,
    *,
    moved: bool,
) -> Index:
    """The index in a folder, made where there is none, open for writing.

    Raises IndexingError for one that was made with another run or engine, that holds something else, or that was made
    of another source, which may have `moved` if that is said.
    """
    place = _place(source)
    if not (out / FACTS).exists():
        run, engine = _place(embedder.name), config or EngineConfig()
        return Index.create(out, IndexFacts(holds, embedder.size, run, embedder.fingerprint, place, engine))
    facts = read_facts(out)
    refuse_other_run(out, facts, embedder)
    another = "name another folder with --out"
    if facts.holds != holds:
        raise IndexingError(f"{out} is an index of {facts.holds}, not of {holds}: {another}")
    if config is not None and facts.engine != config:
        raise IndexingError(
            f"{out} was made otherwise ({facts.engine}): leave out the engine and its options, or {another}"
        )
    if facts.source != place and not moved:
        raise IndexingError(f"{out} is the index of {facts.source}, not of {place}: {another}")
    index = Index.open(out, writing=True)
    index.moved(run=_place(embedder.name), source=place)
    return index


def refuse_other_run(path: Path, facts: IndexFacts, embedder: Embedder) -> None:
    """Raise IndexingError where an index was made with another run, whose embeddings mean something else."""
    if facts.fingerprint != embedder.fingerprint:
        raise IndexingError(
            f"{path} was made with another run than {embedder.name}, or before that was trained again ({facts.run}): "
            "embeddings of two models cannot be compared. Name that run, or index again into another folder with --out"
        )


def _place(name: str) -> str:
    """A folder or file wherever it is asked for from; the name of a repository, or a URL, as it is."""
    return str(Path(name).absolute()) if Path(name).exists() else name
