"""What keeps an index's rows and finds them: an engine knows rows by their number, and nothing of what they stand for.

Which numbers count, and what they are called, is in the index's catalogue. An engine is told what it needs of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Int64

from saccade.errors import RecipeError, SaccadeError, look_up
from saccade.limits import COUNT, check_limit
from saccade.serial import check_types

Vectors = Float32[np.ndarray, "rows size"]
Keys = Int64[np.ndarray, " rows"]
# Scores and keys of the rows found for each query, best first; key -1, with a score of -inf, where there are fewer.
Found = tuple[Float32[np.ndarray, "queries top"], Int64[np.ndarray, "queries top"]]

NONE = -1


class IndexingError(SaccadeError):
    """An index is missing, altered, in use, made with another model, or cannot be reached."""


@dataclass(frozen=True)
class EngineConfig:
    """Which engine keeps the rows, and how."""

    engine: Literal["exact", "faiss", "milvus"] = "exact"
    """exact: every row is compared, from a memory-mapped file; faiss: a graph, or compressed lists beyond ten million
    rows (saccade-attention[faiss]); milvus: a Milvus server or a file of Milvus Lite (saccade-attention[milvus])."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The numbers of the rows of exact and faiss; bfloat16 takes half the space, and rounds to 8 bits."""
    links: int = 16
    """Neighbours that a row has in the graph of faiss or milvus: more find more, and take longer and more space."""
    build_effort: int = 100
    """Candidates kept while a row is put into the graph."""
    search_effort: int = 64
    """Candidates kept while the graph is searched: more find more, and take longer."""
    address: str = ""
    """milvus: the server's address, as in http://localhost:19530, or a file whose name ends in .db."""
    collection: str = "saccade"
    """milvus: the collection's name, an index's own."""

    def __post_init__(self) -> None:
        check_types(self)
        check_limit(COUNT, links=self.links, build_effort=self.build_effort, search_effort=self.search_effort)
        if (self.engine == "milvus") != bool(self.address):
            raise RecipeError(
                "address: the engine milvus, and no other, needs the address of a server, or a file ending in .db; got "
                f"the engine {self.engine} and the address {self.address!r}"
            )


@dataclass(frozen=True, eq=False)
class Live:
    """Which rows count: the first `count`, but for those `removed`, in order; no row's norm is above `largest`.

    Of the first `count`, an engine that does not keep removed rows has `forgotten` so many.
    """

    count: int
    removed: Keys
    largest: float
    forgotten: int = 0

    @property
    def fewer(self) -> int:
        """How many rows count."""
        return self.count - len(self.removed) - self.forgotten


class Engine(ABC):
    """Rows of numbers in or behind a folder. `generation` tells files of different numberings of the rows apart."""

    # Whether removed rows stay where they are until `rewrite`.
    keeps_removed: ClassVar[bool] = True

    def __init__(self, folder: Path, size: int, config: EngineConfig, generation: int = 0) -> None:
        self.folder, self.size, self.config, self.generation = folder, size, config, generation

    @abstractmethod
    def append(self, first: int, vectors: Vectors, ids: Sequence[str]) -> None:
        """Keep the rows `first`, `first` + 1 and so on, for good when it returns.

        Rows from `first` on may be there of a process that was killed: they are no more.
        """

    @abstractmethod
    def vectors(self, keys: Keys) -> Vectors:
        """The rows of those numbers, as they are kept."""

    @abstractmethod
    def search(self, queries: Vectors, top: int, live: Live) -> Found:
        """For each query the rows with the highest inner product, of those that count."""

    def forget(self, keys: Keys) -> None:
        """Let go of removed rows, where the engine can; it may be told so more than once."""

    def rename(self, key: int, name: str) -> None:
        """Hear that a row stands for something of another name, where the engine keeps names too."""

    def compute_on(self, device: str) -> None:
        """Search on that device, where the engine can."""

    def settle(self, live: Live) -> None:
        """Make all rows quick to find, when the last of many is appended."""

    def rewrite(self, keys: Keys, generation: int) -> Engine:  # noqa: ARG002
        """An engine of those rows alone, numbered from 0 on in their order; itself, where it keeps no others."""
        return self

    def discard(self) -> None:
        """Delete what the engine has in the folder or behind it."""

    def tidy(self) -> None:
        """Delete what was left of other numberings by a process that was killed."""

    def close(self) -> None:
        """Let go of files and connections."""


def create_engine(folder: Path, size: int, config: EngineConfig, generation: int) -> Engine:
    """The engine of that name; raises RecipeError, saying what to install, where its library is missing."""
    from saccade.index.exact import Exact  # noqa: PLC0415 - each is loaded when it is asked for

    def faiss() -> type[Engine]:
        from saccade.index.graph import Graph  # noqa: PLC0415

        return Graph

    def milvus() -> type[Engine]:
        from saccade.index.milvus import Milvus  # noqa: PLC0415

        return Milvus

    engines: dict[str, Callable[[], type[Engine]]] = {"exact": lambda: Exact, "faiss": faiss, "milvus": milvus}
    return look_up(engines, config.engine, "engine")()(folder, size, config, generation)


def nothing_found(queries: int, top: int) -> Found:
    """What a search among no rows finds."""
    return np.full((queries, top), -np.inf, np.float32), np.full((queries, top), NONE, np.int64)


def as_rows(vectors: npt.ArrayLike, size: int) -> Vectors:
    """Vectors as an engine takes them; raises IndexingError for another size and for what is no number."""
    rows: Vectors = np.require(vectors, np.float32, ["C", "W"])  # PyTorch warns of arrays that cannot be written
    if rows.ndim != 2 or rows.shape[1] != size:
        raise IndexingError(f"expected embeddings [rows, {size}], got {list(rows.shape)}")
    if not np.isfinite(rows).all():
        raise IndexingError("expected embeddings of numbers, got some that are none: the model's weights are damaged")
    return rows
