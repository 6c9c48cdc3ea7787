"""Show, Attend and Tell at the paper's sizes: training against a plain loop, and a beam over images together or singly.

    python benchmarks/bench_captioning.py

Training: 64 captions of 13 words about 64 images of 196 regions of 512, hidden size 1800, 10,000 words. The plain loop
is the same model with the same weights, written as one would first write it: each step projects the regions again,
embeds its word and predicts the next. Losses and gradients of the two are compared first. Decoding: 64 images with a
beam of 5, together and one at a time, the same captions. Writes benchmarks/results/captioning-<device>-<torch>.csv.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from saccade.decoding import decode
from saccade.hypotheses import Search
from saccade.models import create_model
from saccade.models.sat import SAT
from saccade.types import Regions, Words

IMAGES, REGIONS, SIZE, WORDS, VOCABULARY, BEAM, LONGEST = 64, 196, 512, 13, 10_000, 5, 16


def main(device: str = "cpu", seconds: float = 30.0, compiled: bool = False) -> None:
    """Measure and write the table; `compiled` adds a row with torch.compile."""
    torch.manual_seed(0)
    regions = Regions(
        torch.randn(IMAGES, REGIONS, SIZE, device=device).relu(),
        torch.ones(IMAGES, REGIONS, dtype=torch.bool, device=device),
    )
    ids = torch.randint(3, VOCABULARY, (IMAGES, WORDS), device=device)
    words = Words(ids, torch.ones_like(ids, dtype=torch.bool))
    model = create_model("sat-soft", num_words=VOCABULARY, region_size=SIZE, dropout=0.0).to(device)
    assert isinstance(model, SAT)
    rows = [*training(model, regions, words, seconds, compiled), *decoding(model.eval(), regions, seconds)]
    head = ("what", "version", "per_second", "times")
    path = Path(__file__).parent / "results" / f"captioning-{device}-{torch.__version__.split('+')[0]}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    for row in (head, *rows):
        print("{:24} {:28} {:>12} {:>8}".format(*map(str, row)))


def training(
    model: SAT, regions: Regions, words: Words, seconds: float, compiled: bool
) -> list[tuple[str, str, float, float]]:
    """Training steps a second of each version, in turns."""

    def ours(called: Callable[..., object]) -> Tensor:
        output = called(regions, words, attention=False)
        return F.cross_entropy(output.logits.flatten(0, 1), words.ids.flatten()) + output.penalty.mean() / WORDS

    versions = {"plain loop": lambda: plain(model, regions, words), "saccade": lambda: ours(model)}
    if compiled:
        fast = torch.compile(model)
        versions["saccade, compiled"] = lambda: ours(fast)
    found = []
    for loss in versions.values():
        model.zero_grad()
        value = loss()
        value.backward()
        found.append([value.detach(), *(p.grad.clone() for p in model.parameters())])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-5, rtol=1e-3)
    rates = measure({name: lambda loss=loss: loss().backward() for name, loss in versions.items()}, seconds)
    return [
        ("training steps", name, round(rate, 3), round(rate / rates["plain loop"], 2)) for name, rate in rates.items()
    ]


def decoding(model: SAT, regions: Regions, seconds: float) -> list[tuple[str, str, float, float]]:
    """Captions a second, of all images together and one image at a time; the same ones."""
    search = Search(beam=BEAM, max_length=LONGEST)
    singly = [Regions(regions.features[i : i + 1], regions.mask[i : i + 1]) for i in range(IMAGES)]
    versions = {
        "one image at a time": lambda: [decode(model, each, search, attention=False)[0] for each in singly],
        "together": lambda: decode(model, regions, search, attention=False),
    }
    one, all_ = ([best[0].ids for best in run()] for run in versions.values())
    same = sum(a == b for a, b in zip(one, all_, strict=True))
    assert same >= IMAGES - 1, f"only {same} of {IMAGES} captions are the same"  # sums in another order may break a tie
    rates = measure(versions, seconds)
    slow = rates["one image at a time"]
    return [("captions, beam 5", name, round(rate * IMAGES, 2), round(rate / slow, 2)) for name, rate in rates.items()]


def measure(versions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Runs a second of each version, the median of runs taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in versions}
    started = time.perf_counter()
    while len(times["plain loop" if "plain loop" in times else "together"]) < 3 or (
        time.perf_counter() - started < seconds * len(versions)
    ):
        for name, run in versions.items():
            begun = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - begun)
    return {name: 1 / sorted(spent)[len(spent) // 2] for name, spent in times.items()}


def plain(model: SAT, regions: Regions, words: Words) -> Tensor:
    """The loss of soft attention, each step written out, with nothing computed ahead."""
    a, attend = regions.features, model.attention
    x = torch.relu(model.initial(a.mean(1)))
    h, c = torch.tanh(model.initial_h(x)), torch.tanh(model.initial_c(x))
    loss, covered = torch.zeros((), device=a.device), torch.zeros(a.shape[:2], device=a.device)
    word = torch.zeros_like(words.ids[:, 0])
    for t in range(words.ids.shape[1]):
        projected = torch.tanh(attend.second(attend.first(a)))
        e = attend.logit(torch.tanh(projected + attend.state(h).unsqueeze(1))).squeeze(2)
        alpha = torch.softmax(e, 1)
        context = torch.sigmoid(model.beta(h)) * (alpha.unsqueeze(2) * a).sum(1)
        embedded = model.embedding(word)
        gates = model.gates_word(embedded) + model.gates_state(h) + model.gates_context(context)
        i, f, o, g = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        logits = model.output_word(embedded + model.output_state(h) + model.output_context(context))
        word = words.ids[:, t]
        loss, covered = loss + F.cross_entropy(logits, word), covered + alpha
    return (loss + (1 - covered).square().sum(1).mean()) / words.ids.shape[1]


if __name__ == "__main__":
    tyro.cli(main)
