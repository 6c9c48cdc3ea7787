"""Builds an index over and over, killed at random moments, then once to its end: run by test_killed.py, or by hand.

python tests/index/building.py FOLDER JOBS.json ROWS SEED

JOBS.json: {"exact": {"engine": {"engine": "exact"}, "kills": 10}}
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from saccade.index import engine, exact, graph, index, milvus
from saccade.serial import from_dict, read_json

SIZE, PIECE = 16, 25


def rows(start: int, count: int) -> np.ndarray:
    """The same rows, however they are asked for."""
    return np.stack([np.random.default_rng(i).standard_normal(SIZE).astype(np.float32) for i in range(start, count)])


def build(folder: Path, config: engine.EngineConfig, count: int) -> None:
    """Add what is not there, every fourth piece once more, a tenth removed again, and settle now and then."""
    facts = index.IndexFacts(holds="images", size=SIZE, run="run", fingerprint="none", source="photos", engine=config)
    made = (folder / index.FACTS).exists()
    with index.Index.open(folder, writing=True) if made else index.Index.create(folder, facts) as opened:
        for number in range(0, count, PIECE):
            ids = [f"{i:05}.jpg" for i in range(number, number + PIECE)]
            if all(name in opened for name in ids if not name.endswith("7.jpg")) and number % (4 * PIECE):
                continue
            opened.add(ids, rows(number, number + PIECE))
            if number % (8 * PIECE) == 0:
                opened.remove([f"{i:05}.jpg" for i in range(0, number, 10)])
                opened.settle()
        opened.remove([name for name in opened.catalogue.ids() if name.endswith("7.jpg")])
        opened.add([f"{i:05}.jpg" for i in range(0, count, 10)], rows(0, count)[::10])
        opened.settle()


def run(
    folder: Path, config: engine.EngineConfig, count: int, kills: int, chance: random.Random, seconds: float
) -> list[str]:
    """Build in processes of their own, killed as the system kills within so many seconds; how each one ended."""
    ends = []
    for left in range(kills, -1, -1):
        child = os.fork()
        if not child:
            try:
                build(folder, config, count)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        if left:
            time.sleep(chance.uniform(0.0, seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        ends.append("killed" if os.WIFSIGNALED(status) else f"ended {os.WEXITSTATUS(status)}")
    return ends


def main(folder: Path, jobs: Path, count: int, seed: int) -> None:
    """Each job's index left alone, and killed so many times; prints how the processes of either ended."""
    graph.COMPARED, graph.PIECE, graph.SAVED_SECONDS, exact.BLOCK = 50, 60, 0.0, 128
    found = {}
    for name, job in read_json(jobs).items():
        config = from_dict(engine.EngineConfig, job["engine"])
        if config.engine == "milvus":
            milvus.load_pymilvus()
        seconds = 0.0
        for kind, kills in (("alone", 0), ("killed", job["kills"])):
            began, place = time.monotonic(), folder / f"{kind}-{name}"
            found[f"{kind}-{name}"] = run(place, config, count, kills, random.Random(seed), seconds)
            seconds = time.monotonic() - began  # what a whole one takes on this machine
    print(json.dumps(found))


if __name__ == "__main__":
    where, what, *numbers = sys.argv[1:]
    main(Path(where), Path(what), *map(int, numbers))
