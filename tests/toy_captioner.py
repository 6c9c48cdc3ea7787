"""A captioner of drawn tables for the tests of decoding, and its searches done slowly: lists, enumeration, one walk."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from saccade.hypotheses import Hypothesis, Search
from saccade.text import END_ID
from saccade.types import AttentionMap, Decoded, DecoderState, Regions

IMAGES, REGIONS, VOCABULARY = 5, 7, 6
LIKELY_UNKNOWN = 2.0
# A map for each path of words, looked up: what is computed differs in the last bit with the number of rows.
WEIGHTS = torch.rand(1009, REGIONS, generator=torch.Generator().manual_seed(0)).softmax(1)
GATES = torch.rand(1009, generator=torch.Generator().manual_seed(1))


@dataclass
class Toy:
    """Logits drawn for each image and last two words; maps that depend on the image and on every word so far."""

    logits: Tensor  # [images, vocabulary, vocabulary, vocabulary]
    steps: int = 0

    def start(self, regions: Regions) -> DecoderState:
        number = regions.features[:, 0, 0].long()
        before = torch.zeros_like(number)
        return DecoderState((number,), (before, before))

    def step(self, state: DecoderState, words: Tensor) -> Decoded:
        (number,), (before, path) = state.images, state.rows
        number = number.repeat_interleave(len(words) // len(number))
        path = (31 * path + words + number) % len(GATES)
        self.steps += 1
        maps = (
            AttentionMap(WEIGHTS.to(path.device)[path], ("regions",), "attention"),
            AttentionMap(GATES.to(path.device)[path], (), "beta", "raw"),
        )
        return Decoded(self.logits[number, before, words], DecoderState(state.images, (words, path)), maps)


def toy(seed: int = 0, scale: float = 1.5, end: float = 0.0, vocabulary: int = VOCABULARY) -> Toy:
    generator = torch.Generator().manual_seed(seed)
    shape = (IMAGES, vocabulary, vocabulary, vocabulary)
    logits = scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    logits[..., 1] += LIKELY_UNKNOWN
    logits[..., END_ID] += end
    return Toy(logits)


def some_images(*numbers: int) -> Regions:
    features = torch.zeros(len(numbers), REGIONS, 3, dtype=torch.float64)
    features[:, 0, 0] = torch.tensor(numbers)
    return Regions(features, torch.ones(len(numbers), REGIONS, dtype=torch.bool))


EVERY_IMAGE = some_images(*range(IMAGES))


def log_p(model: Toy, image: int, before: tuple[int, ...]) -> Tensor:
    """Log-probabilities of the word after those."""
    last = (0, 0, *before)[-2:]
    return model.logits[image, last[0], last[1]].log_softmax(0)


def log_p_of(model: Toy, image: int, ids: tuple[int, ...], end: bool = True) -> float:
    words = (*ids, END_ID) if end else ids
    return sum(log_p(model, image, words[:t])[word].item() for t, word in enumerate(words))


def everything(model: Toy, image: int, search: Search) -> list[tuple[float, tuple[int, ...]]]:
    """Every caption of allowed length, and of the words it is to begin with, with its score, best first."""
    words = range(END_ID + 1, model.logits.shape[-1])
    found = [
        (log_p_of(model, image, ids) / (length + 1) ** search.length_penalty, ids)
        for length in range(search.min_length, search.max_length + 1)
        for ids in itertools.product(words, repeat=length)
        if ids[: len(search.begin)] == search.begin
    ]
    return sorted(found, key=lambda each: -each[0])


def plain_greedy(model: Toy, image: int, search: Search) -> tuple[tuple[int, ...], float, bool]:
    ids: tuple[int, ...] = ()
    while True:
        choices = log_p(model, image, ids)
        choices[:2] = -math.inf
        if len(ids) < search.min_length:
            choices[END_ID] = -math.inf
        word = int(choices.argmax()) if len(ids) >= len(search.begin) else search.begin[len(ids)]
        if word == END_ID or len(ids) == search.max_length:
            return ids, log_p_of(model, image, ids, word == END_ID), word == END_ID
        ids = (*ids, word)


def plain_beam(model: Toy, image: int, search: Search) -> list[tuple[tuple[int, ...], float, bool]]:
    """The authors' search on lists, for one image and without stopping early; then the best finished, then the rest."""
    alive, finished = [((), 0.0)], []
    for t in range(search.max_length + 1):
        candidates = []
        for ids, so_far in alive:
            values = log_p(model, image, ids).tolist()
            every = range(END_ID if t >= search.min_length else END_ID + 1, len(values))
            for word in search.begin[t : t + 1] or every:
                candidates.append(((*ids, word), so_far + values[word]))
        candidates = sorted(candidates, key=lambda each: -each[1])[: search.beam - len(finished)]
        ended = [(ids[:-1], value) for ids, value in candidates if ids[-1] == END_ID]
        finished += ended
        if t == search.max_length:
            alive = [each for each in alive if each[0] not in [ids for ids, _ in ended]]
        else:
            alive = [each for each in candidates if each[0][-1] != END_ID]
    finished.sort(key=lambda each: -each[1] / (len(each[0]) + 1) ** search.length_penalty)
    alive.sort(key=lambda each: -each[1])
    return ([(*each, True) for each in finished] + [(*each, False) for each in alive])[: search.n_best]


def flat(captions: list[Hypothesis]) -> list[tuple[tuple[int, ...], float, bool]]:
    return [(each.ids, pytest.approx(each.log_probability, abs=1e-9), each.finished) for each in captions]


def score(caption: Hypothesis, search: Search) -> float:
    return caption.log_probability / (len(caption.ids) + caption.finished) ** search.length_penalty


def walk(model: Toy, image: int, ids: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The maps of a caption's words, each step taken anew."""
    state, rows, gates = model.start(some_images(image)), [], []
    for word in (0, *ids)[:-1] if ids else ():
        decoded = model.step(state, torch.tensor([word]))
        state = decoded.state
        rows.append(decoded.attention[0].weights)
        gates.append(decoded.attention[1].weights)
    return torch.stack(rows, 1), torch.stack(gates, 1)
