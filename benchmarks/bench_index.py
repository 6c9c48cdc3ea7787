"""Indexes of embeddings: the engines beside plain torch and FAISS's flat index, by the number of rows.

    python benchmarks/bench_index.py [--rows 10000 100000 1000000] [--folder FOLDER]

Rows and queries are normalised and clustered as embeddings are: one of 1,000 centres plus noise in 32 dimensions,
lifted to 512, plus a tenth of noise in all of them (`--noise` makes all of it noise, where graphs fail). Asked for are
the 10 best, of single queries and of batches of 64. In one process, taking turns, so that a busy machine is busy for
all:

    bytes    the sum of all numbers of the file, read as float32: one pass over the bytes
    product  the rows times the queries, block by block, nothing looked for: one pass with its arithmetic
    torch    (queries @ rows.T).topk(10)
    flat     FAISS's IndexFlatIP
    exact    saccade's engine through `Index.search`, ids and all; faiss and milvus likewise

The least of the repeats counts; `x` are times of the product of the same numbers. Recall is the share of the 10 that
`torch` finds. Memory is the most that a process of its own held while it built, or opened and searched once, above what
it held when libraries were loaded; mapped files count where they were read. Builds are kept in the folder, with what
they took, for the next run. Writes benchmarks/results/index-cpu-VERSION.csv.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
import torch
import tyro

from saccade.index.engine import EngineConfig
from saccade.index.index import Index, IndexFacts

SIZE, TOP, BATCH, PIECE = 512, 10, 64, 10_000
BLOCK = 65_536


@dataclass(frozen=True)
class Options:
    """What is measured."""

    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    engines: tuple[str, ...] = ("float32", "bfloat16", "faiss", "milvus")
    """exact in either dtype; faiss's graph; Milvus Lite, up to 100,000 rows."""
    efforts: tuple[int, ...] = (16, 32, 64, 128)
    """faiss: search efforts to try."""
    repeats: int = 7
    threads: int = 2
    noise: bool = False
    """Rows that are nothing but noise."""
    folder: Path | None = None
    """Where data and indexes are kept; else nowhere."""
    results: Path = Path(__file__).parent / "results"
    """Where the table goes."""


def embeddings(count: int, seed: int, noise: bool) -> torch.Tensor:
    """Normalised rows."""
    made, drawn = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    lift = torch.randn(32, SIZE, generator=made) / 32**0.5
    centres = torch.randn(1000, 32, generator=made)
    rows = torch.randn(count, SIZE, generator=drawn)
    if not noise:
        latent = centres[torch.randint(1000, (count,), generator=drawn)]
        rows = (latent + 0.5 * torch.randn(count, 32, generator=drawn)) @ lift + 0.1 * rows
    return torch.nn.functional.normalize(rows, dim=1)


def write_data(path: Path, count: int, noise: bool) -> None:
    with path.open("wb") as file:
        for start in range(0, count, PIECE):
            file.write(embeddings(min(PIECE, count - start), start + 1, noise).numpy().data)


def config_of(engine: str) -> EngineConfig:
    if engine == "milvus":
        return EngineConfig(engine="milvus", address="milvus.db")
    return EngineConfig(engine="faiss") if engine == "faiss" else EngineConfig(dtype=engine)  # type: ignore[arg-type]


def build(folder: Path, data: Path, engine: str) -> dict[str, float]:
    """Make an index; seconds by the clock and of the processor, bytes, memory."""
    rows = np.memmap(data, np.float32, "r").reshape(-1, SIZE)
    before, started, worked = held(), time.perf_counter(), time.process_time()
    facts = IndexFacts(
        holds="images", size=SIZE, run="run", fingerprint="none", source="photos", engine=config_of(engine)
    )
    with Index.create(folder, facts) as index:
        for start in range(0, len(rows), PIECE):
            index.add([f"{i:09}.jpg" for i in range(start, min(start + PIECE, len(rows)))], rows[start : start + PIECE])
        index.settle()
    return {
        "build seconds": round(time.perf_counter() - started, 1),
        "build processor seconds": round(time.process_time() - worked, 1),
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "build memory MB": (most() - before) // 1_000_000,
    }


def held() -> int:
    """Bytes of memory that the process holds; the most it holds is counted from here on (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return most("VmRSS")


def most(what: str = "VmHWM") -> int:
    """The most bytes of memory that the process held since then."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def called(part: Callable[..., Any], threads: int, *arguments: Any) -> Any:
    """What a part gives, run in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=answer, args=(there, part, threads, arguments))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def answer(sent: Any, part: Callable[..., Any], threads: int, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    sent.send(part(*arguments))


def alone(path: Path, options: Options) -> float:
    """MB that opening an index and one search take."""
    queries, before = embeddings(1, 10**9, options.noise).numpy(), held()
    with Index.open(path) as index:
        index.search(queries, TOP)
    return (most() - before) // 1_000_000


def built(base: Path, data: Path, rows: int, engine: str, options: Options) -> tuple[Path, dict[str, float]]:
    """An index as it was made before, or is now."""
    folder, notes = base / f"{engine}-{rows}", base / f"{engine}-{rows}.json"
    if not notes.exists():
        shutil.rmtree(folder, ignore_errors=True)
        notes.write_text(json.dumps(called(build, options.threads, folder, data, engine)))
    return folder, json.loads(notes.read_text())


def by_turns(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The least seconds of each side."""
    least = dict.fromkeys(sides, float("inf"))
    for _ in range(repeats + 1):  # the first one warms up, and never is the least for it
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            least[name] = min(least[name], time.perf_counter() - started)
    return least


def compared(data: Path, folders: dict[str, Path], options: Options) -> list[dict[str, Any]]:
    """All sides by turns, for single queries and batches; the share of the best that each finds."""
    faiss.omp_set_num_threads(options.threads)
    array = np.memmap(data, np.float32, "c").reshape(-1, SIZE)
    rows = torch.from_numpy(array)
    rounded = rows.bfloat16() if "bfloat16" in folders else rows[:0].bfloat16()
    flat = faiss.IndexFlatIP(SIZE)
    flat.add(array)
    queries = embeddings(256, 10**9, options.noise)
    best = torch.cat([(part @ rows.T).topk(TOP).indices for part in queries.split(BATCH)]).tolist()
    indexes = {name: Index.open(folder) for name, folder in folders.items()}
    table = []
    for asked in (1, BATCH):
        turn = iter(range(10**9))

        def some(asked: int = asked, turn: Any = turn) -> torch.Tensor:
            return queries.roll(-asked * next(turn), 0)[:asked]

        def product(of: torch.Tensor, some: Any = some) -> None:
            part = some().to(of.dtype)
            for start in range(0, len(of), BLOCK):
                part @ of[start : start + BLOCK].T

        sides: dict[str, Callable[[], Any]] = {
            "bytes float32": rows.sum,
            "product float32": lambda: product(rows),
            "torch float32": lambda some=some: (some() @ rows.T).topk(TOP),
            "flat float32": lambda some=some: flat.search(some().numpy(), TOP),
        }
        if len(rounded):
            sides["bytes bfloat16"] = rounded.view(torch.float32).sum
            sides["product bfloat16"] = lambda: product(rounded)
            sides["torch bfloat16"] = lambda some=some: (some().bfloat16() @ rounded.T).topk(TOP)
        recalls, fast = {}, {}
        for name, index in indexes.items():
            efforts = options.efforts if name == "faiss" else (None,)
            for effort in efforts:
                label = f"faiss {effort}" if effort else name if name == "milvus" else f"exact {name}"

                def search(part: np.ndarray, index: Index = index, effort: int | None = effort) -> Any:
                    if effort:
                        index._engine.config = replace(index._engine.config, search_effort=effort)
                    return index.search(part, TOP)

                found = [search(part.numpy()) for part in queries.split(BATCH)]
                ids = [[int(each.id[:9]) for each in one] for part in found for one in part]
                shared = [len(set(ours) & set(theirs)) for ours, theirs in zip(ids, best, strict=True)]
                recalls[label] = sum(shared) / TOP / len(best)
                side = lambda search=search, some=some: search(some().numpy())  # noqa: E731
                (fast if name in ("faiss", "milvus") else sides)[label] = side
        least = by_turns(sides, options.repeats) | by_turns(fast, 10 * options.repeats)
        for name, seconds in least.items():
            dtype = "bfloat16" if name.endswith("bfloat16") else "float32"
            table.append(
                {
                    "rows": len(rows),
                    "what": name,
                    "threads": options.threads,
                    "queries": asked,
                    "milliseconds": f"{1000 * seconds:.3g}",
                    "queries/s": f"{asked / seconds:.3g}" if not name.startswith("bytes") else "",
                    "x": f"{seconds / least[f'product {dtype}']:.3g}",
                    "recall": f"{recalls[name]:.4f}" if name in recalls else "",
                }
            )
    for index in indexes.values():
        index.close()
    return table


def measure(base: Path, options: Options) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = []
    for rows in options.rows:
        data = base / f"{'noise' if options.noise else 'clustered'}-{rows}.float32"
        if not data.exists():
            write_data(data, rows, options.noise)
        engines = [each for each in options.engines if each != "milvus" or rows <= 100_000]
        made = {engine: built(base, data, rows, engine, options) for engine in engines}
        memory = {engine: called(alone, options.threads, made[engine][0], options) for engine in engines}
        for row in called(compared, options.threads, data, {each: made[each][0] for each in engines}, options):
            engine = next((each for each in engines if row["what"] in (f"exact {each}", each)), None)
            engine = "faiss" if row["what"].startswith("faiss") else engine
            if engine and row["queries"] == 1:
                table.append(row | made[engine][1] | {"search memory MB": memory[engine]})
            else:
                table.append(row)
            print("  ".join(f"{name} {value}" for name, value in table[-1].items() if value != ""), flush=True)
    return table


def main(options: Options) -> None:
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        table = measure(options.folder, options)
    else:
        with TemporaryDirectory() as folder:
            table = measure(Path(folder), options)
    options.results.mkdir(exist_ok=True)
    version = torch.__version__.partition("+")[0]
    name = f"index-{'noise-' if options.noise else ''}cpu-{version}.csv"
    columns = list(dict.fromkeys(name for row in table for name in row))
    with (options.results / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
