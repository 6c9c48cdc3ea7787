"""The engine that compares every row: one pass over a memory-mapped file, block by block, on a CPU or a GPU.

Rows in bfloat16 are multiplied in bfloat16, which rounds the query and each product. How far off that is has a bound;
rows that could be among the best by that bound are multiplied again in float32, so that what is found is exact for the
rows as they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saccade.index.engine import NONE, Engine, EngineConfig, Found, Keys, Live, Vectors, nothing_found
from saccade.index.rows import Rows

BLOCK = 65_536  # rows at a time
CHUNK = 64  # scores of which the highest alone is looked at first
ROUNDING = 2.0**-8  # of a number in bfloat16, relative

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
        """The rows with the highest inner product; of equal ones the earlier first."""
        if not live.fewer or not len(queries):
            return nothing_found(len(queries), top)
        rows, asked = self._all(live.count), torch.from_numpy(queries).to(self.device)
        removed = torch.from_numpy(live.removed).to(self.device)
        if rows.dtype == torch.bfloat16:
            scores, keys = _best_by_rounded(asked, rows, top, removed, live.largest)
        else:
            scores, keys = _merged(_blocks(asked, rows, top, removed, torch.float32), top)
        return _padded(scores, keys, top)

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
        for file in self.folder.glob(f"*-[0-9][0-9][0-9].{self.config.dtype}"):
            if file != self.rows.path:
                file.unlink()

    def _all(self, count: int) -> Tensor:
        """The first rows, mapped once; on another device than the CPU, in its memory."""
        if self._held is None or len(self._held) != count:
            self._held = self.rows.mapped(count).to(self.device)
        return self._held


def _blocks(
    queries: Float[Tensor, "queries size"],
    rows: Float[Tensor, "rows size"],
    top: int,
    removed: Int64[Tensor, " removed"],
    arithmetic: torch.dtype,
) -> list[Best]:
    """The best of each block of rows for each query."""
    found, asked = [], queries.to(arithmetic)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].to(arithmetic)
        scores = asked @ block.T
        first, last = torch.searchsorted(removed, torch.tensor([start, start + len(block)], device=removed.device))
        if last > first:
            scores[:, removed[first:last] - start] = -torch.inf
        values, places = _highest(scores, top)
        found.append((values.float(), places + start))
    return found


def _highest(scores: Float[Tensor, "queries rows"], top: int) -> Best:
    """The highest scores of each query and where they stand: looked for in the chunks with the highest maxima.

    Each chunk that holds one of the highest has a maximum among the highest maxima, so that none is missed.
    """
    queries, rows = scores.shape
    chunks, rest = divmod(rows, CHUNK)
    if rest or chunks <= top:
        return scores.topk(min(top, rows), dim=1)
    chunked = scores.view(queries, chunks, CHUNK)
    chosen = chunked.amax(dim=2).topk(top, dim=1).indices
    candidates = chunked.gather(1, chosen[:, :, None].expand(-1, -1, CHUNK)).flatten(1)
    values, places = candidates.topk(top, dim=1)
    return values, chosen.gather(1, places // CHUNK) * CHUNK + places % CHUNK


def _merged(found: Sequence[Best], top: int) -> Best:
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
    wide = max(4 * top, CHUNK)
    blocks = _blocks(queries, rows, wide, removed, torch.bfloat16)
    scores, keys = _merged(blocks, sum(each[0].shape[1] for each in blocks))
    doubtful: list[int] = []
    if scores.shape[1] > top:
        of_query = (queries - queries.bfloat16().float()).norm(dim=1) * largest
        of_product = ROUNDING * scores[:, [0, top - 1]].abs().amax(dim=1)
        least = (scores[:, top - 1] - 2 * (of_query + of_product))[:, None]
        kept = int((scores >= least).sum(1).max())
        scores, keys = scores[:, :kept], keys[:, :kept]
        # Of a block whose last one is not ruled out, more may have been left out that are not either.
        full = [(each[0][:, -1:] >= least).flatten() for each in blocks if each[0].shape[1] == wide]
        doubtful = torch.stack(full).any(0).nonzero()[:, 0].tolist() if full else []
    products = torch.einsum("qs,qks->qk", queries, rows[keys].float()).masked_fill(scores == -torch.inf, -torch.inf)
    scores, keys = _merged([(products, keys)], top)
    if doubtful:
        again = _merged(_blocks(queries[doubtful], rows, top, removed, torch.float32), top)
        scores[doubtful], keys[doubtful] = again
    return scores, keys


def _padded(scores: Float[Tensor, "queries best"], keys: Int64[Tensor, "queries best"], top: int) -> Found:
    """As many as were asked for, with places for those that there are not."""
    found = nothing_found(len(scores), top)
    there = scores.shape[1]
    found[0][:, :there], found[1][:, :there] = scores.cpu(), keys.cpu()
    found[1][np.isneginf(found[0])] = NONE
    return found
