"""BAN's bilinear attention logits beside the one-line einsum, at the sizes of the authors' best model.

    python benchmarks/bench_ban.py [--device cuda] [--seconds 5] [--rounds 3]

"einsum" is the authors' order, in which PyTorch scales the regions for every glimpse; "einsum, words first" scales the
words. Each case runs in a process of its own, so that its peak memory is its own: on the CPU the growth of the resident
set over the inputs, on a GPU what PyTorch allocated beyond them. On the CPU it is one thread, whose processor time
counts, so that other processes do not. The versions take turns; the quickest run of all rounds and the highest peak are
kept. Logits and gradients are compared before anything is timed.
Writes benchmarks/results/ban-logits-<device>-<torch>.csv.
"""

from __future__ import annotations

import csv
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from saccade.nn.bilinear import bilinear_logits

TEXTS, GLIMPSES, REGIONS, WORDS, SIZE = 64, 8, 36, 14, 3840

VERSIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "saccade": bilinear_logits,
    "einsum": lambda queries, words, regions: torch.einsum("gk,bnk,btk->bgtn", queries, regions, words),
    "einsum, words first": lambda *inputs: torch.einsum("gk,btk,bnk->bgtn", *inputs),
}


def inputs(texts: int, device: str) -> list[Tensor]:
    """The queries of the glimpses, words and regions."""
    torch.manual_seed(0)
    shapes = (GLIMPSES, SIZE), (texts, WORDS, SIZE), (texts, REGIONS, SIZE)
    return [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]


def compare(device: str) -> None:
    """Two texts through every version: the same logits and gradients."""
    few = inputs(2, device)
    results = []
    for version in VERSIONS.values():
        logits = version(*few)
        results.append([logits, *torch.autograd.grad(logits.sin().sum(), few)])
    for other in results[1:]:
        torch.testing.assert_close(results[0], other, atol=1e-2, rtol=1e-2)


def measure(version: str, backward: bool, device: str, seconds: float) -> tuple[float, float]:
    """Milliseconds of the quickest run and peak MiB of one case, after a run to warm up."""
    torch.set_num_threads(1)
    clock = time.perf_counter if device == "cuda" else time.process_time
    tensors = inputs(TEXTS, device)
    gradient = torch.randn(TEXTS, GLIMPSES, WORDS, REGIONS, device=device)

    def run() -> float:
        started = clock()
        with torch.set_grad_enabled(backward):
            logits = VERSIONS[version](*tensors)
        if backward:
            torch.autograd.grad(logits, tensors, gradient)
        if device == "cuda":
            torch.cuda.synchronize()
        return clock() - started

    before = _memory(device)
    run()
    started, times = time.perf_counter(), []
    while len(times) < 5 or time.perf_counter() - started < seconds:
        times.append(run())
    return 1000 * min(times), _memory(device) - before


def _memory(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(device: str = "cpu", seconds: float = 5.0, rounds: int = 3) -> None:
    """Measure every version, forward and with backward, several times in turn."""
    context, rows = multiprocessing.get_context("spawn"), []
    with context.Pool(1) as pool:  # not here, where what it takes would count as memory of the cases
        pool.apply(compare, (device,))
    for backward in (False, True):
        cases = [(version, backward, device, seconds) for version in VERSIONS]
        measured = []
        for _ in range(rounds):
            with context.Pool(1, maxtasksperchild=1) as pool:
                measured.append(pool.starmap(measure, cases, chunksize=1))
        for version, results in zip(VERSIONS, zip(*measured, strict=True), strict=True):
            quickest, peak = (pick(values) for pick, values in zip((min, max), zip(*results, strict=True), strict=True))
            rows.append(("forward+backward" if backward else "forward", version, f"{quickest:.1f}", round(peak)))
    head = ("pass", "version", "best_ms", "peak_mib")
    path = Path(__file__).parent / "results" / f"ban-logits-{device}-{torch.__version__.split('+')[0]}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    table = Table(*head)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
