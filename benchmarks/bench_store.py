"""Reading random minibatches from a feature store, against NumPy copying the same rows from memory; and opening 10 GB.

    python benchmarks/bench_store.py [--images 5000] [--batches 30]

Compared, per minibatch of 128 random images x 196 regions x 2048 numbers in half precision (103 MB), the same for both:

    numpy   array[rows], `array` being the same features in memory: NumPy's copy into a fresh array
    store   FeatureStore.read(ids, dtype=None): shards on disk, in the page cache, to a fresh tensor

`first` are minibatches whose pages this process has not touched yet, `again` those of a second pass over the images.
Every figure is the median over the minibatches, the two sides taking turns.
"""

from __future__ import annotations

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
import tyro

from saccade.features.spec import FeatureSpec
from saccade.features.store import MANIFEST, FeatureStore
from saccade.features.writer import FeatureWriter
from saccade.serial import hash_file

GRID, SIZE, BATCH = (14, 14), 2048, 128
REGIONS = GRID[0] * GRID[1]


@dataclass(frozen=True)
class Options:
    images: int = 5000
    """Images in the store that is read; 0.8 MB each, on disk and once more in memory."""

    batches: int = 30
    """Minibatches of each pass."""

    sparse_images: int = 12500
    """Images in the store that is only opened."""

    results: Path = Path(__file__).parent / "results"
    """Where the table goes."""


def write(path: Path, images: int, array: np.ndarray | None) -> FeatureStore:
    ids = [f"{i:012}" for i in range(images)]
    spec = FeatureSpec()
    with FeatureWriter(path, ids, spec=spec, weights_hash="none", size=SIZE, grid=GRID) as writer:
        for i, image in enumerate(ids):
            writer.add(image, np.zeros((REGIONS, SIZE), np.float16) if array is None else array[i])
        return writer.finish()


def measure_reading(store: FeatureStore, array: np.ndarray, batches: int) -> list[dict[str, object]]:
    rows = []
    order = np.random.default_rng(0).permutation(len(array))[: len(array) // BATCH * BATCH].reshape(-1, BATCH)[:batches]
    ids = np.array(store.ids)
    for name in ("first", "again"):
        seconds: dict[str, list[float]] = {"numpy": [], "store": []}
        for picked in order:
            wanted = ids[picked].tolist()
            start = time.perf_counter()
            expected = array[picked]
            middle = time.perf_counter()
            regions = store.read(wanted, dtype=None)
            end = time.perf_counter()
            assert np.array_equal(regions.features[5].numpy(), expected[5])
            seconds["numpy"].append(middle - start)
            seconds["store"].append(end - middle)
        rate = {side: expected.nbytes / median(times) / 1e9 for side, times in seconds.items()}
        rows.append(
            {
                "what": f"minibatches, {name}",
                "numpy GB/s": f"{rate['numpy']:.2f}",
                "store GB/s": f"{rate['store']:.2f}",
                "share": f"{rate['store'] / rate['numpy']:.2f}",
            }
        )
    return rows


def measure_opening(folder: Path, images: int) -> list[dict[str, object]]:
    """Stretch a small store's shards, whose blocks stay unallocated, to the size of a large one."""
    per_shard = 512
    write(folder, per_shard, None)
    manifest = json.loads((folder / MANIFEST).read_text())
    shard = manifest["shards"][0]
    regions = (folder / shard["regions"]["file"]).read_bytes()[:128]  # the header
    shards = []
    for number in range(-(-images // per_shard)):
        file = folder / f"regions-{number:05}.npy"
        with file.open("wb") as out:
            out.write(regions)
            out.truncate(shard["regions"]["bytes"])
        index = folder / f"images-{number:05}.json"
        index.write_text(json.dumps({"ids": [f"{number:05}-{i:07}" for i in range(per_shard)], "failed": {}}))
        digest = hash_file(index)
        shards.append(
            {
                "regions": {**shard["regions"], "file": file.name},
                "images": {"file": index.name, "bytes": index.stat().st_size, "sha256": digest},
            }
        )
    (folder / MANIFEST).write_text(json.dumps({**manifest, "shards": shards}))
    before, start = resident(), time.perf_counter()
    store = FeatureStore.open(folder)
    seconds, grown = time.perf_counter() - start, resident() - before
    size = sum(file.stat().st_size for file in folder.iterdir())
    return [
        {
            "what": f"opening {size / 1e9:.1f} GB, {len(store)} images",
            "seconds": f"{seconds:.3f}",
            "memory MB": f"{grown / 1e6:.1f}",
        }
    ]


def resident() -> int:
    """Bytes of memory that the process holds (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main(options: Options) -> None:
    with TemporaryDirectory() as folder:
        rows = measure_opening(Path(folder), options.sparse_images)
    with TemporaryDirectory() as folder:
        block = np.random.default_rng(0).standard_normal((100, REGIONS, SIZE), dtype=np.float32).astype(np.float16)
        array = np.concatenate([block] * (options.images // 100))
        write(Path(folder), len(array), array)
        rows += measure_reading(FeatureStore.open(folder), array, options.batches)
    columns = ["what", "numpy GB/s", "store GB/s", "share", "seconds", "memory MB"]
    for row in rows:
        print(
            "  ".join(f"{name} {row[name]}" if name != "what" else f"{row[name]:32}" for name in columns if name in row)
        )
    options.results.mkdir(exist_ok=True)
    with (options.results / f"store-cpu-{torch.__version__.partition('+')[0]}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
