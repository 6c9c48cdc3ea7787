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

from saccade.models import MODELS, create_model, output_of
from saccade.types import Answers, Regions, Words

VOCABULARY, ANSWERS = 10_000, 2_000

ANSWERERS = tuple(name for name in MODELS if output_of(name) is Answers)  # captioners are in bench_captioning.py


@dataclass(frozen=True)
class Size:
    """A batch at the paper's sizes."""

    batch: int
    regions: int
    region_size: int
    words: int


SIZES = {
    "r-dan": Size(batch=128, regions=196, region_size=2048, words=16),
    "smem-1": Size(batch=50, regions=49, region_size=1024, words=12),
    "smem-2": Size(batch=50, regions=49, region_size=1024, words=12),
    "ban": Size(batch=32, regions=36, region_size=2048, words=14),
    "ban-co": Size(batch=32, regions=36, region_size=2048, words=14),
    "ban-unitary": Size(batch=32, regions=36, region_size=2048, words=14),
    "dfaf": Size(batch=32, regions=36, region_size=2048, words=14),
    "ibowimg": Size(batch=128, regions=1, region_size=1024, words=16),
    "question-only": Size(batch=128, regions=1, region_size=2048, words=16),
    "lstm-q-i": Size(batch=128, regions=1, region_size=4096, words=16),
    "san": Size(batch=100, regions=196, region_size=512, words=16),
    "mrn": Size(batch=128, regions=1, region_size=2048, words=16),
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


def plain_smem(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """Equations 1 to 11 as they stand: questions padded with zero rows to their full length."""
    S = model.dropout(regions.features)
    V = nn.functional.pad(model.words(words.ids), (0, 0, 0, len(model.place_weight) - words.ids.shape[1]))
    A, E = model.keys(S), model.evidence(S)
    w_1 = torch.softmax((V @ A.mT).amax(1), dim=1)
    o = (w_1.unsqueeze(2) * E).sum(1) + (model.place_weight[:, None] * V).sum(1) + model.question_bias
    if model.evidence_2 is not None:
        w_2 = torch.softmax((E * o.unsqueeze(1)).sum(2), dim=1)
        o = o + (w_2.unsqueeze(2) * model.evidence_2(S)).sum(1)
    return model.answer(model.dropout(torch.relu(o)))


def plain_ban(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """The authors' code: three-operand einsums for the logits and for what each glimpse pools."""
    Y, (x, _) = regions.features, model.text_encoder(words)
    q, v = model.attention.words(x), model.attention.regions(Y)
    logits = torch.einsum("gk,bnk,btk->bgtn", model.attention.query, v, q) + model.attention.bias
    if model.attend == "bilinear":
        A = torch.softmax(logits.flatten(2), dim=2).reshape(logits.shape)
    else:
        even = torch.full_like(logits[..., 0], 1 / logits.shape[2])
        listen = torch.softmax(logits.mean(3), dim=2) if model.attend == "co" else even
        A = listen.unsqueeze(3) * torch.softmax(logits.mean(2), dim=2).unsqueeze(2)
    counts = model.counter(regions.boxes, logits.amax(2))
    for g, glimpse in enumerate(model.glimpses):
        u = torch.einsum("btn,btk,bnk->bk", A[:, g], glimpse.words(x), glimpse.regions(Y))
        x = x + (glimpse.output(u) + model.counts[g](counts[:, g])).unsqueeze(1)
    return model.answer(x.sum(1))


def plain_dfaf(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """Section 2 as it stands: attention weights are formed, head by head in one product."""

    def attend(Q: Tensor, K: Tensor, V: Tensor, heads: int) -> Tensor:
        Q, K, V = (each.unflatten(2, (heads, -1)).transpose(1, 2) for each in (Q, K, V))
        weights = torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, dim=-1)
        return (weights @ V).transpose(1, 2).flatten(2)

    drop = model.dropout
    R, E = model.regions(drop(regions.features)), model.words(drop(model.text_encoder(words)[0]))
    for block in model.blocks:
        inter = block.inter
        R_Q, R_K, R_V = inter.regions(drop(R)).chunk(3, dim=-1)
        E_Q, E_K, E_V = inter.words(drop(E)).chunk(3, dim=-1)
        R, E = (
            inter.merge_regions(drop(torch.cat([R, attend(R_Q, E_K, E_V, inter.heads)], dim=-1))),
            inter.merge_words(drop(torch.cat([E, attend(E_Q, R_K, R_V, inter.heads)], dim=-1))),
        )
        means = E.mean(1), R.mean(1)
        updated = []
        for flow, items, other in zip(block.intra, (R, E), means, strict=True):
            gate = 1 + torch.sigmoid(flow.gate(drop(other))).unsqueeze(1)
            Q, K, V = flow.maps(drop(items)).chunk(3, dim=-1)
            updated.append(flow.output(drop(items + attend(gate * Q, gate * K, V, flow.heads))))
        R, E = updated
    return model.classifier(R.mean(1) * E.mean(1))


def plain_lstm_q_i(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """The LSTM over the padded batch."""
    h, c = model.lstm(torch.tanh(model.dropout(model.embedding(words.ids))))[1]
    question = torch.tanh(model.question(model.dropout(torch.cat([c[0], h[0], c[1], h[1]], dim=1))))
    mean = nn.functional.normalize(regions.features.mean(1), dim=1)
    return model.answer(model.dropout(torch.tanh(model.image(model.dropout(mean))) * question))


def plain_san(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """The paper's form with the LSTM over the padded batch."""
    v, u = torch.tanh(model.image(regions.features)), model.lstm.lstm(model.embedding(words.ids))[1][0][0]
    for layer in model.layers:
        h = torch.tanh(layer.items(v) + layer.question(u).unsqueeze(1))
        u = (torch.softmax(layer.logit(h), dim=1) * v).sum(1) + u
    return model.answer(model.dropout(u))


def plain_mrn(model: nn.Module, regions: Regions, words: Words) -> Tensor:
    """The GRU over the padded batch."""
    v = nn.functional.normalize(regions.features.mean(1), dim=1)
    embedded = model.embedding(words.ids)
    H = model.gru(embedded * model.word_dropout(torch.ones_like(embedded[:, :1])))[1][0]
    for block in model.blocks:
        H = block(H, v, regions)
    return model.answer(model.dropout(H))


PLAIN: dict[str, Callable[[nn.Module, Regions, Words], Tensor]] = {
    "r-dan": plain_r_dan,
    "ibowimg": plain_ibowimg,
    "question-only": plain_question_only,
    "smem-1": plain_smem,
    "smem-2": plain_smem,
    "ban": plain_ban,
    "ban-co": plain_ban,
    "ban-unitary": plain_ban,
    "dfaf": plain_dfaf,
    "lstm-q-i": plain_lstm_q_i,
    "san": plain_san,
    "mrn": plain_mrn,
}


def measure(name: str, version: str, backward: bool, device: str, seconds: float) -> tuple[float, float]:
    """Examples per second and peak MiB of one case; warm-up first, then as many runs as fit."""
    size = SIZES[name]
    torch.manual_seed(0)
    model = create_model(name, num_words=VOCABULARY, num_answers=ANSWERS, region_size=size.region_size).to(device)
    features = torch.randn(size.batch, size.regions, size.region_size, device=device)
    ids = torch.randint(2, VOCABULARY, (size.batch, size.words), device=device)
    corners = torch.rand(size.batch, size.regions, 2, device=device) / 2
    mask = torch.ones(features.shape[:2], dtype=torch.bool, device=device)
    regions = Regions(features, mask, torch.cat([corners, corners + 0.3], -1))
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
    two = Regions(features[:2], mask[:2], regions.boxes[:2]), Words(ids[:2], words.mask[:2])
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


def main(device: str = "cpu", seconds: float = 10.0, models: tuple[str, ...] = ANSWERERS) -> None:
    """Measure the models, both versions, forward and with backward."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for name in models:
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
