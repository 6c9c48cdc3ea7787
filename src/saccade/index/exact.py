"""The engine that compares every row: one pass over a memory-mapped file, block by block, on a CPU or a GPU.

Rows in bfloat16 are read at twice the speed where the arithmetic is in bfloat16 too, which rounds the query and each
product. How far off that is has a bound; rows that could be among the best by that bound are multiplied again in
float32, so that what is found is exact for the rows as they are kept. Many queries at a time keep a CPU busy with
arithmetic, not with reading: on a single core tiles of rows are then widened to float32, which is quicker and needs no
bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saccade.index.engine import NONE, Engine, EngineConfig, Found, Keys, Live, Vectors, nothing_found
from saccade.index.rows import Rows

BLOCK = 65_536  # rows at a time, at most
SCORES = 1 << 20  # at a time: few enough to stay in the cache while the highest are looked for
TILE = 1024  # rows widened at a time, which stay in the cache meanwhile
CHUNK = 64  # scores of which the highest alone is looked at first
MANY = 8  # queries from which on a single core is quicker in float32; two were not
ROUNDING = 2.0**-8  # of a number in bfloat16, relative
SLACK = 1.02  # for what rounds besides: sums in float32, the bound itself
PAIRS = 16_384  # queries and rows multiplied again at a time

# Scores and keys of the best of some rows for each query.
Best = tuple[Float[Tensor, "queries best"], Int64[Tensor, "queries best"]]


class Exact(Engine):
    """Rows in a file, all of them compared with each query."""

    def __init__(self, folder: Path, size: int, config: EngineConfig, generation: int = 0) -> None:
        super().__init__(folder, size, config, generation)
        self.rows = Rows(folder / f"rows-{generation:03}.{config.dtype}", size, config.dtype)
        self.device = torch.device("cpu")
        self._held: Tensor | None = None

    def append(self, first: int, vectors: Vectors, ids: Sequence[str]) -> None:  # noqa: ARG002
        """Keep rows at the end of the file."""
        self._held = None
        self.rows.append(first, vectors)

    def vectors(self, keys: Keys) -> Vectors:
        """The rows of those numbers, in float32."""
        found: Vectors = self.rows.mapped(int(keys.max(initial=-1)) + 1)[torch.from_numpy(keys)].float().numpy()
        return found

    def search(self, queries: Vectors, top: int, live: Live) -> Found:
        """The rows with the highest inner product; of equal ones found the earlier first."""
        if not live.fewer or not len(queries):
            return nothing_found(len(queries), top)
        self._all(live.count)  # which says on which device
        return padded(self._compared(torch.from_numpy(queries).to(self.device), top, live, 0), top)

    def compute_on(self, device: str) -> None:
        """Search on that device, in whose memory the rows are kept from the first search on, if they fit in."""
        self.device, self._held = torch.device(device), None

    def rewrite(self, keys: Keys, generation: int) -> Engine:
        """The rows given alone, in a file of their own."""
        other = type(self)(self.folder, self.size, self.config, generation)
        rows = self.rows.mapped(int(keys.max(initial=-1)) + 1)
        for start in range(0, len(keys), BLOCK):
            some = rows[torch.from_numpy(keys[start : start + BLOCK])]
            other.append(start, some.float().numpy(), ())
        return other

    def discard(self) -> None:
        """Delete the file."""
        self._held = None
        self.rows.path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete files of other numberings."""
        for file in self.folder.glob(f"rows-[0-9][0-9][0-9].{self.config.dtype}"):
            if file != self.rows.path:
                file.unlink()

    def _all(self, count: int) -> Tensor:
        """The first rows, mapped once; on another device than the CPU, in its memory."""
        if self._held is None or len(self._held) != count:
            mapped = self.rows.mapped(count)
            try:
                self._held = mapped.to(self.device)
            except torch.OutOfMemoryError:
                self._held, self.device = mapped, mapped.device
        return self._held

    def _compared(self, queries: Float[Tensor, "queries size"], top: int, live: Live, first: int) -> Best:
        """The best of the rows from number `first` on, each compared."""
        rows = self._all(live.count)[first:]
        removed = torch.from_numpy(live.removed[live.removed >= first] - first).to(self.device)
        widens = len(queries) >= MANY and rows.device.type == "cpu" and torch.get_num_threads() == 1
        if rows.dtype == torch.bfloat16 and not widens:
            scores, keys = _best_by_rounded(queries, rows, top, removed, live.largest)
        else:
            blocks = _blocks(queries, rows, removed, torch.float32)
            found = [(values, places + start) for start, each in blocks for values, places in [_highest(each, top)]]
            scores, keys = best_of(found, top)
        return scores, keys + first


def _blocks(
    queries: Float[Tensor, "queries size"],
    rows: Float[Tensor, "rows size"],
    removed: Int64[Tensor, " removed"],
    arithmetic: torch.dtype,
) -> Iterator[tuple[int, Float[Tensor, "queries block"]]]:
    """Where each block of rows begins and its scores in float32, filled up to whole chunks by what is no score."""
    asked = queries.to(arithmetic)
    size = min(BLOCK, max(SCORES // len(queries), TILE) // CHUNK * CHUNK)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        scores = (asked @ block.T if block.dtype == arithmetic else _widened(asked, block)).float()
        if len(block) % CHUNK:
            scores = torch.nn.functional.pad(scores, (0, -len(block) % CHUNK), value=-torch.inf)
        bounds = torch.tensor([start, start + len(block)], device=removed.device)
        first, last = torch.searchsorted(removed, bounds).tolist()
        if last > first:
            scores[:, removed[first:last] - start] = -torch.inf
        yield start, scores


def _widened(queries: Float[Tensor, "queries size"], rows: Float[Tensor, "rows size"]) -> Float[Tensor, "queries rows"]:
    """Scores in the queries' arithmetic, the rows brought to it tile by tile."""
    scores, tile = queries.new_empty(len(rows), len(queries)), queries.new_empty(TILE, rows.shape[1])
    for start in range(0, len(rows), TILE):
        some = rows[start : start + TILE]
        torch.mm(tile[: len(some)].copy_(some), queries.T, out=scores[start : start + TILE])
    return scores.T.contiguous()


def _highest(scores: Float[Tensor, "queries rows"], top: int) -> Best:
    """The highest scores of each query and where they stand: looked for in the chunks with the highest maxima.

    Each chunk that holds one of the highest has a maximum among the highest maxima, so that none is missed.
    """
    queries, rows = scores.shape
    chunks = rows // CHUNK
    if chunks <= top:
        return scores.topk(min(top, rows), dim=1)
    chunked = scores.view(queries, chunks, CHUNK)
    chosen = chunked.amax(dim=2).topk(top, dim=1).indices
    candidates = chunked.gather(1, chosen[:, :, None].expand(-1, -1, CHUNK)).flatten(1)
    values, places = candidates.topk(top, dim=1)
    return values, chosen.gather(1, places // CHUNK) * CHUNK + places % CHUNK


def best_of(found: Sequence[Best], top: int) -> Best:
    """The best of several bests, the earlier row first where scores are equal."""
    scores, keys = torch.cat([each[0] for each in found], dim=1), torch.cat([each[1] for each in found], dim=1)
    by_key = keys.argsort(dim=1)
    by_score = scores.gather(1, by_key).argsort(dim=1, descending=True, stable=True)[:, :top]
    order = by_key.gather(1, by_score)
    return scores.gather(1, order), keys.gather(1, order)


def _best_by_rounded(
    queries: Float[Tensor, "queries size"],
    rows: Float[Tensor, "rows size"],
    top: int,
    removed: Int64[Tensor, " removed"],
    largest: float,
) -> Best:
    """The best rows by products in float32, of those that products in bfloat16 do not rule out."""
    of_query = (queries - queries.bfloat16().float()).norm(dim=1) * largest
    best = queries.new_full((len(queries), top), -torch.inf)  # of the blocks so far, rounded
    kept: list[tuple[Tensor, Tensor, Tensor]] = []  # queries, rows and rounded scores that are not ruled out
    least = best[:, -1]
    for start, scores in _blocks(queries, rows, removed, torch.bfloat16):
        best = torch.cat([best, _highest(scores, top)[0]], dim=1).topk(top, dim=1).values
        least = _not_ruled_out(best, of_query)
        chunked = scores.view(len(queries), -1, CHUNK)
        query, chunk = (chunked.amax(dim=2) >= least[:, None]).nonzero(as_tuple=True)
        some = chunked[query, chunk]
        pair, place = (some >= least[query, None]).nonzero(as_tuple=True)
        kept.append((query[pair], chunk[pair] * CHUNK + place + start, some[pair, place]))
    query, keys, rounded = (torch.cat(each) for each in zip(*kept, strict=True))
    fit = (rounded >= least[query]) & (rounded > -torch.inf)
    query, keys = query[fit], keys[fit]
    products = [
        (rows[keys[part]].float() * queries[query[part]]).sum(dim=1)
        for part in (slice(start, start + PAIRS) for start in range(0, len(keys), PAIRS))
    ]
    return best_of([_by_query(query, keys, torch.cat([queries.new_empty(0), *products]), len(queries))], top)


def _not_ruled_out(
    best: Float[Tensor, "queries top"], of_query: Float[Tensor, " queries"]
) -> Float[Tensor, " queries"]:
    """The least rounded score of a row that may be among the best, by the best rounded scores.

    Of two rows that change places, each is off by no more than rounding the query and the product makes.
    """
    of_product = ROUNDING * best[:, [0, -1]].abs().amax(dim=1)
    return (best[:, -1] - 2 * SLACK * (of_query + of_product)).nan_to_num(-torch.inf)


def _by_query(query: Int64[Tensor, " pairs"], keys: Int64[Tensor, " pairs"], scores: Tensor, queries: int) -> Best:
    """Scores and keys with a row for each query, those of fewer filled up by what is no score."""
    order = query.argsort(stable=True)
    counts = query.bincount(minlength=queries)
    place = torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts)[query[order]]
    shape = (queries, max(int(counts.max()), 1))
    table = scores.new_full(shape, -torch.inf), keys.new_zeros(shape)
    table[0][query[order], place], table[1][query[order], place] = scores[order], keys[order]
    return table


def padded(found: Best, top: int) -> Found:
    """As many as were asked for, with places for those that there are not."""
    scores, keys = (each.cpu().numpy() for each in found)
    places = nothing_found(len(scores), top)
    places[0][:, : scores.shape[1]], places[1][:, : scores.shape[1]] = scores, keys
    places[1][np.isneginf(places[0])] = NONE
    return places
