"""Every model at its paper's sizes beside a plainly written version of its equations, in one run.

    python benchmarks/bench_models.py [--device cuda] [--seconds 20]

Each case runs in a process of its own, so that its peak memory is its own: on the CPU the growth of the resident set,
on a GPU what PyTorch allocated. The two versions share weights, and their logits are compared before anything is timed.
Writes benchmarks/results/models-<device>-<torch>.csv.
"""

from __future__ import annotations

import csv
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from saccade.models import MODELS, create_model
from saccade.types import Regions, Words

VOCABULARY, ANSWERS = 10_000, 2_000


@dataclass(frozen=True)
class Size:
    """A batch at the paper's sizes."""

    batch: int
    regions: int
    region_size: int
    words: int


SIZES = {
    "r-dan": Size(batch=128, regions=196, region_size=2048, words=16),
    "ibowimg": Size(batch=128, regions=1, region_size=1024, words=16),
    "question-only": Size(batch=128, regions=1, region_size=2048, words=16),
}


def plain_r_dan(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """Equations 1 to 15 as they stand: the hidden states h_n of every region are formed for every question and step."""
    v, drop = regions.features, model.dropout
    states, _ = model.text_encoder.lstm(model.text_encoder.dropout(model.text_encoder.embedding(words.ids)))
    forward, backward = states.chunk(2, dim=-1)
    u = drop(forward + backward)
    m = torch.tanh(model.contexts[0](drop(v.mean(1)))) * u.mean(1)
    for look, read, P in zip(model.looks, model.reads, model.contexts[1:], strict=True):
        h_v = torch.tanh(look.items(drop(v))) * torch.tanh(look.memory(drop(m))).unsqueeze(1)
        alpha_v = torch.softmax(look.logit(h_v), dim=1)
        h_u = torch.tanh(read.items(u)) * torch.tanh(read.memory(drop(m))).unsqueeze(1)
        alpha_u = torch.softmax(read.logit(h_u), dim=1)
        m = m + torch.tanh(P(drop((alpha_v * v).sum(1)))) * (alpha_u * u).sum(1)
    return model.answer(drop(m))


def plain_ibowimg(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """One-hot words, their maximum over the question, and the two linear maps."""
    one_hot = nn.functional.one_hot(words.ids, VOCABULARY).to(regions.features.dtype)
    bag = model.words.linear(one_hot.amax(1))
    return model.answer(torch.cat([bag, regions.features.mean(1)], dim=1))


def plain_question_only(model: nn.Module, _: Regions, words: Words) -> Tensor:
    """The LSTM over the padded batch."""
    states, _ = model.text_encoder.lstm(model.text_encoder.dropout(model.text_encoder.embedding(words.ids)))
    forward, backward = states.chunk(2, dim=-1)
    return model.answer(model.dropout((forward + backward).mean(1)))


PLAIN: dict[str, Callable[[nn.Module, Regions, Words], Tensor]] = {
    "r-dan": plain_r_dan,
    "ibowimg": plain_ibowimg,
    "question-only": plain_question_only,
}


def measure(name: str, version: str, backward: bool, device: str, seconds: float) -> tuple[float, float]:
    """Examples per second and peak MiB of one case; warm-up first, then as many runs as fit."""
    size = SIZES[name]
    torch.manual_seed(0)
    model = create_model(name, num_words=VOCABULARY, num_answers=ANSWERS, region_size=size.region_size).to(device)
    features = torch.randn(size.batch, size.regions, size.region_size, device=device)
    ids = torch.randint(2, VOCABULARY, (size.batch, size.words), device=device)
    regions = Regions(features, torch.ones(features.shape[:2], dtype=torch.bool, device=device))
    words = Words(ids, torch.ones_like(ids, dtype=torch.bool))

    def forward() -> Tensor:
        return (
            model(regions, words, attention=False).logits
            if version == "saccade"
            else PLAIN[name](model, regions, words)
        )

    def run() -> None:
        with torch.set_grad_enabled(backward):
            logits = forward()
        if backward:
            logits.sum().backward()
            model.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    model.eval()
    # Two examples suffice to compare, and leave the peak to what is measured.
    two = Regions(features[:2], regions.mask[:2]), Words(ids[:2], words.mask[:2])
    with torch.no_grad():
        torch.testing.assert_close(model(*two).logits, PLAIN[name](model, *two), atol=1e-3, rtol=1e-3)
    model.train(backward)
    before = _memory(device)
    run()
    started, runs = time.perf_counter(), 0
    while runs < 3 or time.perf_counter() - started < seconds:
        run()
        runs += 1
    return runs * size.batch / (time.perf_counter() - started), _memory(device) - before


def _memory(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(device: str = "cpu", seconds: float = 10.0) -> None:
    """Measure every model, both versions, forward and with backward."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for name in MODELS:
        for backward in (False, True):
            for version in ("saccade", "plain"):
                with context.Pool(1) as pool:
                    rate, peak = pool.apply(measure, (name, version, backward, device, seconds))
                rows.append((name, "forward+backward" if backward else "forward", version, round(rate, 1), round(peak)))
    head = ("model", "pass", "version", "examples_per_second", "peak_mib")
    path = Path(__file__).parent / "results" / f"models-{device}-{torch.__version__.split('+')[0]}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    table = Table(*head)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
