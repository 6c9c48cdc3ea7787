"""Ranks of images and sentences in tiles, against the obvious version that holds the table of all scores.

    python benchmarks/bench_retrieval.py [--images 5000] [--sentences 25000] [--size 1536]

Random embeddings of so many images and sentences, equally many of each image:

    whole   images @ sentences.T, then comparisons of the whole table with each query's best right score
    tiles   saccade.metrics.retrieval.rank_embeddings

Each runs once to warm up on a tenth, then `--repeats` times; the least time counts. Memory is what a process of its own
needs above what it had when it began: the peak of its resident set from then on, which Linux counts. Ranks must agree
but for scores that differ by rounding. Writes benchmarks/results/retrieval-cpu.csv.
"""

from __future__ import annotations

import csv
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from saccade.metrics.retrieval import rank_embeddings

RESULTS = Path(__file__).parent / "results" / "retrieval-cpu.csv"


@dataclass
class Options:
    """What is measured."""

    images: int = 5000
    sentences: int = 25_000
    size: int = 1536
    repeats: int = 2


def whole(images: torch.Tensor, sentences: torch.Tensor, image_of: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The ranks from the whole table."""
    S = images @ sentences.T
    own = S[image_of, torch.arange(len(sentences))]
    best = torch.full((len(images),), -torch.inf).scatter_reduce(0, image_of, own, "amax")
    not_below = (best[:, None] <= S).sum(1)
    harmless = torch.zeros(len(images), dtype=torch.int64).scatter_add(0, image_of, (own >= best[image_of]).long())
    return (1 + not_below - harmless).numpy(), (own <= S).sum(0).numpy()


def tiles(images: torch.Tensor, sentences: torch.Tensor, image_of: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The ranks as Saccade has them."""
    found = rank_embeddings(images, sentences, image_of.numpy())
    return found.i2t, found.t2i


def measured(version: Callable[..., Any], options: Options, sent: Any) -> None:
    """The ranks, the least seconds and the memory of a version, in a process of its own."""
    generator = torch.Generator().manual_seed(0)
    image_of = torch.arange(options.sentences) * options.images // options.sentences
    images = torch.randn(options.images, options.size, generator=generator)
    sentences = images[image_of] / 8 + torch.randn(options.sentences, options.size, generator=generator)
    few = options.sentences // 10
    version(images[: int(image_of[few - 1]) + 1], sentences[:few], image_of[:few])
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before, seconds = kilobytes("VmRSS"), []
    for _ in range(options.repeats):
        started = time.perf_counter()
        ranks = version(images, sentences, image_of)
        seconds.append(time.perf_counter() - started)
    sent.send((ranks, min(seconds), kilobytes("VmHWM") - before))


def kilobytes(what: str) -> int:
    """Of memory that the process holds, or held at most."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1])


def main(options: Options) -> None:
    """Measure both, compare their ranks, write the table."""
    rows, found = [], {}
    for version in (whole, tiles):
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=measured, args=(version, options, there))
        process.start()
        found[version.__name__], seconds, memory = here.recv()
        process.join()
        rows.append({"version": version.__name__, "seconds": round(seconds, 2), "megabytes": memory // 1024})
        print(rows[-1])
    for ours, theirs in zip(found["tiles"], found["whole"], strict=True):
        differ = np.flatnonzero(ours != theirs)
        assert len(differ) <= len(ours) / 1000, f"{len(differ)} of {len(ours)} ranks differ"
        assert np.abs(ours - theirs).max() <= 2
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(
        f"time {rows[1]['seconds'] / rows[0]['seconds']:.2f}, memory {rows[1]['megabytes'] / rows[0]['megabytes']:.2f}"
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
