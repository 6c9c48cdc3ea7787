"""The engine of FAISS: a graph of near rows (HNSW), or beyond ten million rows compressed lists of them (IVF-PQ).

The rows stay where the exact engine has them, and what FAISS makes of them only says which are worth a look: scores are
taken from the rows, and rows that are in no graph yet are compared one and all. A graph can be lost without loss.

    rows-000.float32       the rows
    graph-000.json         which file has the graph, and of how many rows; written last
    graph-000.120000.faiss the graph, with the rows in it rounded to bfloat16 or compressed; mapped when it is searched

Inner products that are no cosines are searched as they are. The usual detour by one more number, which makes all rows
equally long, was measured and finds far less (docs/search.md).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from saccade.errors import RecipeError, RunError
from saccade.index.engine import EngineConfig, Found, IndexingError, Live, Vectors, nothing_found
from saccade.index.exact import Best, Exact, best_of, padded
from saccade.serial import from_dict, read_json, temporary_name, to_dict, write_json

COMPARED = 2000  # rows that are quicker compared than put into a graph
COMPARED_SHARE = 0.02  # of the rows in the graph: so many behind it may be compared as well
PIECE = 10_000  # rows put into a graph at a time
SAVED_SECONDS = 600.0  # after which the graph so far is written
TEN_MILLION = 10_000_000  # rows beyond which a graph takes more memory than machines have
PER_LIST = 40  # rows at least from which the middle of a list is found: FAISS warns of fewer
REFINED = 16  # rows looked at more than asked for in a graph, whose scores are rounded
COMPRESSED = 20  # rows looked at for each asked for in compressed lists


@dataclass(frozen=True)
class GraphFile:
    """Which file has the graph, of how many bytes, and how many of the first rows are in it."""

    file: str
    bytes: int
    rows: int
    kind: Literal["graph", "lists"]


@dataclass(frozen=True, eq=False)
class Opened:
    """A graph that can be searched."""

    described: GraphFile
    index: Any  # FAISS's


class Graph(Exact):
    """Rows in a file, found by a graph of near ones."""

    def __init__(self, folder: Path, size: int, config: EngineConfig, generation: int = 0) -> None:
        super().__init__(folder, size, config, generation)
        self._faiss = load_faiss()
        self._manifest = folder / f"graph-{generation:03}.json"
        self._opened: Opened | None = None
        self._kept: tuple[tuple[int, int, int], Any] | None = None

    def search(self, queries: Vectors, top: int, live: Live) -> Found:
        """The rows with the highest inner product that the graph finds; of equal ones found the earlier first."""
        if not live.fewer or not len(queries):
            return nothing_found(len(queries), top)
        opened = self._open()
        if opened is None:
            return super().search(queries, top, live)
        asked, within = torch.from_numpy(queries), min(opened.described.rows, live.count)
        parts = [self._near(opened, queries, top, live, within)]
        if within < live.count:
            parts.append(self._compared(asked, top, live, within))
        scores, keys = best_of(parts, top)
        # A graph may lead nowhere where nearly all that is near was removed.
        lacking = (scores > -torch.inf).sum(1) < min(top, live.fewer)
        if lacking.any():
            found = padded((scores, keys), top)
            again = super().search(queries[lacking.numpy()], top, live)
            found[0][lacking.numpy()], found[1][lacking.numpy()] = again
            return found
        return padded((scores, keys), top)

    def compute_on(self, device: str) -> None:
        """On the CPU, where the graph is."""

    def settle(self, live: Live) -> None:
        """Put the rows into the graph that are not in it, where they are many; build it where it is damaged."""
        kind: Literal["graph", "lists"] = "lists" if live.count > TEN_MILLION else "graph"
        try:
            opened = self._open()
            held = opened.described if opened else None
        except IndexingError:
            held = None
        if held is not None and (held.kind != kind or held.rows > live.count):
            held = None
        behind = live.count - (held.rows if held else 0)
        if behind <= max(COMPARED, COMPARED_SHARE * (held.rows if held else 0)):
            return
        self._set_threads()
        index = self._read(held, mapped=False) if held else self._begin(kind, live.count)
        rows, saved = self.rows.mapped(live.count), time.monotonic()
        for start in range(held.rows if held else 0, live.count, PIECE):
            if time.monotonic() > saved + SAVED_SECONDS and (held is None or start > held.rows):
                held = self._save(index, kind, start)
                saved = time.monotonic()
            index.add(rows[start : start + PIECE].float().numpy())
        self._save(index, kind, live.count)

    def discard(self) -> None:
        """Delete the rows and the graph."""
        super().discard()
        self.close()
        self._manifest.unlink(missing_ok=True)
        self._delete_graphs(self.folder.glob(f"graph-{self.generation:03}.*.faiss"))

    def tidy(self) -> None:
        """Delete files of other numberings, and graphs that others have replaced."""
        super().tidy()
        for file in self.folder.glob("graph-[0-9][0-9][0-9].json"):
            if file != self._manifest:
                file.unlink()
        try:
            described = self._described()
        except IndexingError:
            return
        kept = described.file if described else None
        self._delete_graphs(file for file in self.folder.glob("graph-*.faiss") if file.name != kept)

    def close(self) -> None:
        """Let go of the files."""
        self._opened = self._kept = None

    def _near(self, opened: Opened, queries: Vectors, top: int, live: Live, within: int) -> Best:
        """The best of the rows that the graph leads to."""
        self._set_threads()
        effort, kept = self.config.search_effort, self._selector(opened.described.rows, within, live)
        if opened.described.kind == "graph":
            looked = top + max(top, REFINED)
            how = self._faiss.SearchParametersHNSW(efSearch=max(effort, looked), **kept)
        else:
            looked = top * COMPRESSED
            how = self._faiss.SearchParametersIVF(nprobe=effort, **kept)
        looked = min(looked, opened.described.rows)
        _, keys = opened.index.search(queries, looked, params=how)
        return self._scored(torch.from_numpy(queries), torch.from_numpy(keys), live.count)

    def _scored(self, queries: Tensor, keys: Int64[Tensor, "queries looked"], count: int) -> Best:
        """Rows with their products; -inf where there is no row."""
        rows, there = self._all(count), keys >= 0
        products = torch.stack(
            [rows[some].float() @ query for query, some in zip(queries, keys.clamp(min=0), strict=True)]
        )
        return products.masked_fill(~there, -torch.inf), keys.clamp(min=0)

    def _selector(self, rows: int, within: int, live: Live) -> dict[str, Any]:
        """What makes FAISS leave out removed rows, where there are any."""
        removed = live.removed[live.removed < within]
        if not len(removed) and within == rows:
            return {}
        of = (rows, within, len(removed))
        if self._kept is None or self._kept[0] != of:
            mask = np.zeros(rows, np.bool_)
            mask[:within] = True
            mask[removed] = False
            self._kept = of, self._faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        return {"sel": self._kept[1]}

    def _begin(self, kind: Literal["graph", "lists"], count: int) -> Any:
        """An empty graph, or lists whose middles are found in a sample of the rows."""
        faiss = self._faiss
        if kind == "graph":
            index = faiss.IndexHNSWSQ(
                self.size, faiss.ScalarQuantizer.QT_bf16, self.config.links, faiss.METRIC_INNER_PRODUCT
            )
            index.hnsw.efConstruction = self.config.build_effort
            return index
        lists = max(1, min(int(4 * count**0.5), count // PER_LIST))
        pieces = next(each for each in range(max(self.size // 8, 1), 0, -1) if self.size % each == 0)
        index = faiss.index_factory(self.size, f"IVF{lists}_HNSW32,PQ{pieces}", faiss.METRIC_INNER_PRODUCT)
        sample = np.random.default_rng(0).choice(count, min(count, lists * PER_LIST * 2), replace=False)
        index.train(self.vectors(np.sort(sample).astype(np.int64)))
        return index

    def _open(self) -> Opened | None:
        """The graph as it is now, which another process may have replaced; None where there is none."""
        for last in (False, True):
            described = self._described()
            if described is None or (self._opened is not None and self._opened.described == described):
                break
            try:
                self._opened = Opened(described, self._read(described, mapped=True))
            except FileNotFoundError:  # replaced between the one line and the other
                if last:
                    raise IndexingError(self._altered(f"{described.file} is missing")) from None
            else:
                break
        return self._opened if described is not None else None

    def _described(self) -> GraphFile | None:
        """What the manifest says; raises IndexingError where it or the graph was altered."""
        try:
            described = from_dict(GraphFile, read_json(self._manifest)) if self._manifest.exists() else None
        except (RunError, RecipeError, AttributeError) as error:
            raise IndexingError(self._altered(str(error))) from None
        if described is None:
            return None
        file = self.folder / described.file
        held = file.stat().st_size if file.exists() else described.bytes
        if held != described.bytes:
            raise IndexingError(self._altered(f"{described.file} has {held:,} bytes of {described.bytes:,}"))
        return described

    def _read(self, described: GraphFile, *, mapped: bool) -> Any:
        file = self.folder / described.file
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
        try:
            index = self._faiss.read_index(str(file), self._faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        except RuntimeError as error:
            raise IndexingError(self._altered(f"{described.file}: {error}")) from None
        if index.d != self.size or index.ntotal != described.rows:
            raise IndexingError(self._altered(f"{described.file} is the graph of another index"))
        return index

    def _save(self, index: Any, kind: Literal["graph", "lists"], rows: int) -> GraphFile:
        """Write the graph so far and, when it is on the disk, that it is the one to search."""
        file = self.folder / f"graph-{self.generation:03}.{rows}.faiss"
        temporary = temporary_name(file)
        try:
            with _as_system_errors():
                self._faiss.write_index(index, str(temporary))
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        described = GraphFile(file.name, file.stat().st_size, rows, kind)
        write_json(self._manifest, to_dict(described))
        earlier = self.folder.glob(f"graph-{self.generation:03}.*.faiss")
        self._delete_graphs(each for each in earlier if each != file)
        return described

    def _delete_graphs(self, files: Iterable[Path]) -> None:
        for file in files:
            with suppress(OSError):  # open elsewhere, on Windows
                file.unlink(missing_ok=True)

    def _altered(self, what: str) -> str:
        return (
            f"the graph of {self.folder} was altered ({what}): the rows are whole; run saccade index again, which "
            f"builds it anew, or delete {self._manifest.name}, without which every row is compared"
        )

    def _set_threads(self) -> None:
        self._faiss.omp_set_num_threads(torch.get_num_threads())


def load_faiss() -> ModuleType:
    """FAISS; raises RecipeError, saying what to install, where it is missing."""
    try:
        import faiss  # noqa: PLC0415
    except ImportError:
        raise RecipeError('the engine faiss needs FAISS: pip install "saccade-attention[faiss]"') from None
    module: ModuleType = faiss
    return module


@contextmanager
def _as_system_errors() -> Iterator[None]:
    """Raise FAISS's error of a full disk as the system would."""
    try:
        yield
    except RuntimeError as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise
