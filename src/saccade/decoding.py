"""Greedy search, beam search and sampling over any captioner with `start` and `step`, batched over images.

The beam is the authors' of Show, Attend and Tell (kelvinxu/arctic-captions, `gen_sample`). Each step takes the best
continuations of an image's live hypotheses, as many as the beam is wide less the captions already finished; those that
end are set aside, the others live on. A finished caption thus narrows the beam, so that

- a beam of 1 is greedy search, whatever the length penalty;
- a beam as wide as there are continuations is exhaustive: no caption is set aside in favour of another;
- what is found does not depend on the length penalty, which ranks what was found.

An image is done when nothing alive can outrank its `n_best` finished captions, or nothing is alive. That changes no
result: a log-probability only falls, so a live one, divided by the most favourable length, bounds all it can become.

Padding and the unknown word are never chosen, the end not before `min_length`. Log-probabilities are still those of the
softmax over the whole vocabulary, forbidden words included. Ties go to the better hypothesis, then to the lower
word id; among finished captions to the earlier one. Put the model in evaluation mode first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saccade.errors import RecipeError, RunError
from saccade.hypotheses import NEVER, Hypothesis, Search
from saccade.text import END_ID
from saccade.types import AttentionMap, Decoded, DecoderState, Regions

FINISHED, UNFINISHED, NONE = range(3)  # in the order of preference
DROPPED_AT = 1 / 8  # done images leave the batch once they are so much of it: each time copies what the others hold


@runtime_checkable
class Captioner(Protocol):
    """A model that writes a caption word by word."""

    def start(self, regions: Regions) -> DecoderState:
        """The state before the first word, one row for each image."""

    def step(self, state: DecoderState, words: Tensor) -> Decoded:
        """The next word's logits, given the last word of each row (0 before the first)."""


class _Choice(NamedTuple):
    """Continuations: of which hypothesis, by which word, their log-probability (-inf for none), and doubtful ties."""

    parents: Int[Tensor, "images beam"]
    words: Int[Tensor, "images beam"]
    log_p: Float[Tensor, "images beam"]
    tied: Bool[Tensor, ""]

    @property
    def ended(self) -> Bool[Tensor, "images beam"]:
        return (self.words == END_ID) & (self.log_p > -torch.inf)


# From scores [images, hypotheses, vocabulary], the room left in each image's beam, and whether to sort out all ties.
_Choose = Callable[[Tensor, Tensor, bool], _Choice]


class _Front(NamedTuple):
    """The images still in the batch: live hypotheses (-inf where none), room for more, the best finished scores."""

    images: Int[Tensor, " images"]
    log_p: Float[Tensor, "images hypotheses"]
    room: Int[Tensor, " images"]
    best: Float[Tensor, "images n_best"]

    def after(self, choice: _Choice, words: int, search: Search) -> tuple[_Front, Bool[Tensor, " images"]]:
        """The front behind a step that chose a word of that place, and which images are done."""
        scores = search.score(choice.log_p, words).masked_fill(~choice.ended, -torch.inf)
        best = torch.cat([self.best, scores], 1).topk(self.best.shape[1]).values
        log_p = choice.log_p.masked_fill((choice.words == END_ID) | choice.log_p.isnan(), -torch.inf)
        # The most favourable length of all that the live ones can still finish with.
        length = search.max_length + 1 if search.length_penalty > 0 else words + 1
        done = search.score(log_p.amax(1), length) <= best[:, -1]
        log_p = log_p.masked_fill(done.unsqueeze(1), -torch.inf)
        return _Front(self.images, log_p, self.room - choice.ended.sum(1), best), done


class _Step(NamedTuple):
    """What a step chose, for the images then in the batch, and the maps it chose by."""

    images: Tensor
    choice: _Choice
    maps: tuple[AttentionMap, ...]


def decode(
    model: Captioner,
    regions: Regions,
    search: Search,
    generator: torch.Generator | None = None,
    *,
    attention: bool = True,
) -> list[list[Hypothesis]]:
    """For each image its captions, found as `search` says; a generator is needed to sample."""
    if not search.sample:
        return (greedy if search.beam == 1 else beam_search)(model, regions, search, attention=attention)
    if generator is None:
        raise RecipeError("sampling needs a torch.Generator on the regions' device, got none: pass one")
    return sample(model, regions, search, generator, attention=attention)


def greedy(model: Captioner, regions: Regions, search: Search, *, attention: bool = True) -> list[list[Hypothesis]]:
    """For each image one caption, of the likeliest word each time; `beam` and `n_best` are disregarded."""
    search = replace(search, beam=1, n_best=1)
    return _search(model, regions, search, lambda scores, *_: _words(scores, 1, scores.argmax(2)), attention)


def sample(
    model: Captioner, regions: Regions, search: Search, generator: torch.Generator, *, attention: bool = True
) -> list[list[Hypothesis]]:
    """For each image `n_best` captions in the order drawn; log-probabilities are those at temperature 1."""
    width = search.n_best

    def draw(scores: Tensor, *_: object) -> _Choice:
        # What a row has in common, its log-probability so far, cancels; a row that has ended is NaN and draws anything.
        p = torch.softmax(scores / search.temperature, 2).nan_to_num(1.0).expand(-1, width, -1)
        return _words(scores, width, torch.multinomial(p.flatten(0, 1), 1, generator=generator).view(-1, width))

    return _search(model, regions, replace(search, beam=width, sample=True), draw, attention)


def beam_search(
    model: Captioner, regions: Regions, search: Search, *, attention: bool = True, wider: bool = False
) -> list[list[Hypothesis]]:
    """For each image up to `n_best` captions, best first; unfinished ones follow where too few were finished.

    Raises RecipeError when the beam is wider than the vocabulary, which an exhaustive search allows with `wider`.
    """

    def best(scores: Tensor, room: Tensor, exact: bool) -> _Choice:
        if not wider:
            search.check(scores.shape[2])
        return _best(scores, search.beam, room, exact)

    return _search(model, regions, search, best, attention)


def _search(
    model: Captioner, regions: Regions, search: Search, choose: _Choose, attention: bool
) -> list[list[Hypothesis]]:
    """The loop over words: the model's step, the choice, and the choice's states gathered."""
    if regions.grouping is not None:
        raise RecipeError("expected regions with one row for each image to caption, got grouped ones: ungroup them")
    count, device = len(regions.features), regions.features.device
    if count == 0:
        return []
    with torch.no_grad():
        state = model.start(regions)
        words = torch.zeros(count, dtype=torch.long, device=device)
        alive, room = torch.zeros(count, 1, device=device), torch.full((count,), search.beam, device=device)
        best = torch.full((count, search.n_best), -torch.inf, device=device)
        front, steps = _Front(torch.arange(count, device=device), alive, room, best), []
        for t in range(search.max_length + 1):
            decoded, before = model.step(state, words), front
            scores = _scores(decoded.logits, before.log_p, t, search)
            for exact in (False, True):
                choice = choose(scores, before.room, exact)
                front, done = before.after(choice, t + 1, search)
                *done_here, tied = torch.cat([done, choice.tied.view(1)]).tolist()  # the step's one word to the host
                if not tied:
                    break
            steps.append(_Step(before.images, choice, decoded.attention if attention else ()))
            if all(done_here) or t == search.max_length:
                break
            parents, words, state = choice.parents, choice.words, decoded.state
            if sum(done_here) >= DROPPED_AT * len(done_here):
                kept = torch.tensor([i for i, gone in enumerate(done_here) if not gone], device=device)
                front, state = _Front(*(each[kept] for each in front)), state.keep(kept)
                parents, words = parents[kept], words[kept]
            first = torch.arange(len(parents), device=device).unsqueeze(1) * before.log_p.shape[1]
            state, words = state.gather((first + parents).flatten()), words.flatten()
        return _collect(steps, count, before, search)


def _scores(logits: Tensor, log_p: Tensor, t: int, search: Search) -> Float[Tensor, "images hypotheses vocabulary"]:
    """The log-probability of each hypothesis with each next word; -inf for those that may not be."""
    scores = torch.log_softmax(logits.double() if logits.dtype == torch.float64 else logits.float(), 1)
    for word in NEVER:
        scores[:, word] = -torch.inf
    if t < search.min_length:
        scores[:, END_ID] = -torch.inf
    return scores.view(*log_p.shape, -1).add_(log_p.unsqueeze(2).to(scores.dtype))


def _words(scores: Tensor, width: int, words: Int[Tensor, "images width"]) -> _Choice:
    """Each hypothesis continued by its word; at the first step all continue the one there is."""
    parents = torch.arange(width, device=words.device).clamp(max=scores.shape[1] - 1).expand_as(words)
    log_p = scores.expand(-1, width, -1).gather(2, words.unsqueeze(2)).squeeze(2)
    return _Choice(parents, words, log_p, torch.zeros((), dtype=torch.bool, device=words.device))


def _best(scores: Tensor, width: int, room: Tensor, exact: bool) -> _Choice:
    """The best continuations, as many as there is room for; those of one score in the order of their places.

    `topk` leaves open which of equal ones it takes: where that matters `tied` is True, and `exact` must sort them all.
    """
    flat, vocabulary, size = scores.flatten(1), scores.shape[2], scores[0].numel()
    if size <= width:
        flat = torch.nn.functional.pad(flat, (0, width + 1 - size), value=-torch.inf)
    log_p, places = flat.sort(dim=1, descending=True, stable=True) if exact else flat.topk(width + 1)
    tied = ((log_p[:, width - 1] == log_p[:, width]) & (log_p[:, width] > -torch.inf)).any()
    places, order = places[:, :width].sort(1)
    log_p, order = log_p.gather(1, order).sort(dim=1, descending=True, stable=True)
    log_p = log_p.masked_fill(torch.arange(width, device=flat.device) >= room.unsqueeze(1), -torch.inf)
    places = places.gather(1, order).clamp(max=size - 1)
    return _Choice(places // vocabulary, places % vocabulary, log_p, tied)


def _cut(before: _Front, choice: _Choice) -> tuple[_Choice, Bool[Tensor, "images beam"]]:
    """The last step as if all that lived had ended there, without an end where none was chosen, and which those are."""
    width = before.log_p.shape[1]
    ended = before.log_p.new_full((len(before.images), width + 1), -torch.inf)  # the last column takes what is no end
    ended = ended.scatter(1, choice.parents.masked_fill(~choice.ended, width), choice.log_p)[:, :width]
    log_p = torch.where(ended == -torch.inf, before.log_p, ended)
    parents = torch.arange(width, device=log_p.device).expand_as(log_p)
    return _Choice(parents, torch.full_like(parents, END_ID), log_p, choice.tied), ended == -torch.inf


def _table(steps: list[_Step], name: str, count: int) -> Tensor:
    """What the steps chose as one table [steps, images, beam], 0 or False where an image had left."""
    first: Tensor = getattr(steps[0].choice, name)
    table = first.new_zeros(len(steps), count, first.shape[1])
    for row, step in zip(table, steps, strict=True):
        row[step.images] = getattr(step.choice, name)
    return table


def _collect(steps: list[_Step], count: int, before: _Front, search: Search) -> list[list[Hypothesis]]:
    """The captions to return, of all that ended, or lived when there was one step to go."""
    cut = torch.zeros(len(steps), count, search.beam, dtype=torch.bool, device=before.images.device)
    if len(steps) > search.max_length:
        choice, cut[-1, before.images] = _cut(before, steps[-1].choice)
        steps = [*steps[:-1], steps[-1]._replace(choice=choice)]
    log_p, words, parents, ended = (_table(steps, name, count) for name in ("log_p", "words", "parents", "ended"))
    scores = torch.stack([search.score(each, length) for length, each in enumerate(log_p, start=1)])
    scores = torch.where(cut, search.score(log_p, search.max_length), scores).masked_fill(~ended, -torch.inf)
    rank = torch.where(ended, torch.where(cut, UNFINISHED, FINISHED), NONE)
    scores, rank, log_p = (each.transpose(0, 1).flatten(1) for each in (scores, rank, log_p))
    order = scores.sort(dim=1, descending=True, stable=True).indices
    order = order.gather(1, rank.gather(1, order).sort(dim=1, stable=True).indices)[:, : search.n_best]
    if search.sample:  # as drawn
        order = order.gather(1, (order % search.beam).argsort(dim=1))
    lengths = order // search.beam
    ids, rows = _trace(words, parents, lengths, order % search.beam)
    facts = (each.tolist() for each in (ids, lengths, log_p.gather(1, order), rank.gather(1, order)))
    return _listed(facts, _maps(steps, rows), search)


def _listed(facts: Iterable[list[Any]], maps: list[AttentionMap], search: Search) -> list[list[Hypothesis]]:
    """The captions as they are returned; raises RunError where an image has none."""
    captions: list[list[Hypothesis]] = []
    for i, of_image in enumerate(zip(*facts, strict=True)):
        captions.append([])
        for j, (ids, n, log_p, rank) in enumerate(zip(*of_image, strict=True)):
            own = tuple(replace(each, weights=each.weights[i, j, None, :n]) for each in maps)
            if rank != NONE:
                captions[i].append(Hypothesis(tuple(ids[:n]), log_p, rank == FINISHED, own))
        if not captions[i]:
            lengths = f"{search.min_length} to {search.max_length}"
            advice = "its logits are not finite, check the model's weights and the features"
            raise RunError(f"expected captions of {lengths} words, got none for image {i} of the batch: {advice}")
    return captions


def _trace(words: Tensor, parents: Tensor, lengths: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Word ids of captions [images, n_best, words], followed back from their ends, and the rows that chose them."""
    ids, rows = [], []
    for t in reversed(range(len(words))):
        parent = parents[t].gather(1, place)
        ids.append(words[t].gather(1, place))
        rows.append(parent)
        place = torch.where(t <= lengths, parent, place)
    return torch.stack(ids[::-1], 2), torch.stack(rows[::-1], 2)


def _maps(steps: list[_Step], rows: Int[Tensor, "images n_best words"]) -> list[AttentionMap]:
    """The maps along captions, [images, n_best, words, ...]."""
    maps = []
    for k, each in enumerate(steps[0].maps):
        along, axes = [], each.weights.shape[1:]
        for t, step in enumerate(steps):
            # An image that had left has no caption so long: what is looked up for it is cut off.
            place = torch.zeros_like(rows[:, :1, 0])
            place[step.images, 0] = torch.arange(len(step.images), device=rows.device)
            along.append(step.maps[k].weights.reshape(len(step.images), -1, *axes)[place, rows[:, :, t]])
        kind = "rows" if each.kind == "joint" and len(each.axes) == 1 else each.kind
        maps.append(AttentionMap(torch.stack(along, 2), ("words", *each.axes), each.name, kind))
    return maps
