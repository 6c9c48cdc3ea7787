"""Greedy search, beam search and sampling over any captioner with `start` and `step`, batched over images.

The beam is the authors' of Show, Attend and Tell (kelvinxu/arctic-captions, `gen_sample`). Each step takes the best
continuations of an image's live hypotheses, as many as the beam is wide less the captions already finished; those that
end are set aside, the others live on. A finished caption thus narrows the beam, so that

- a beam of 1 is greedy search, whatever the length penalty;
- a beam as wide as there are continuations is exhaustive: no caption is set aside in favour of another;
- what is found does not depend on the length penalty, which ranks what was found.

An image is done when nothing alive can outrank its `n_best` finished captions, or nothing is alive. That changes no
result: a log-probability only falls, so a live one, divided by the most favourable length, bounds all it can become.
The search ends when all images are done.

Padding and the unknown word are never chosen, the end not before `min_length`, and no other words than those that the
search is told to `begin` with. Log-probabilities are still those of the
softmax over the whole vocabulary, forbidden words included. Of equally likely continuations those live on that `topk`
takes, in its order; of equal captions the one finished earlier is the better. Put the model in evaluation mode first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from saccade.errors import RecipeError, RunError
from saccade.hypotheses import NEVER, Hypothesis, Search
from saccade.text import END_ID
from saccade.types import AttentionMap, Decoded, DecoderState, Regions


@runtime_checkable
class Captioner(Protocol):
    """A model that writes a caption word by word."""

    def start(self, regions: Regions) -> DecoderState:
        """The state before the first word, one row for each image."""

    def step(self, state: DecoderState, words: Tensor) -> Decoded:
        """The next word's logits, given the last word of each row (0 before the first)."""


class _Choice(NamedTuple):
    """The continuations that live on or end: of which hypothesis, by which word, their log-probability (-inf: none)."""

    parents: Int[Tensor, "images beam"]
    words: Int[Tensor, "images beam"]
    log_p: Float[Tensor, "images beam"]

    @property
    def ended(self) -> Bool[Tensor, "images beam"]:
        return (self.words == END_ID) & (self.log_p > -torch.inf)


def decode(
    model: Captioner,
    regions: Regions,
    search: Search,
    generator: torch.Generator | None = None,
    *,
    attention: bool = True,
) -> list[list[Hypothesis]]:
    """For each image its captions, found as `search` says: the best first, drawn ones in the order drawn.

    Unfinished captions follow where too few were finished. A `generator` on the regions' device is needed to sample.
    What hard attention draws comes from it too; without one from PyTorch's own, which all threads share. Raises
    RecipeError where a model without hard attention is told how to look, RunError where logits are not finite.
    """
    if regions.grouping is not None:
        raise RecipeError("expected regions with one row for each image to caption, got grouped ones: ungroup them")
    if search.sample:
        search = replace(search, beam=search.n_best)
        if generator is None:
            raise RecipeError("sampling needs a torch.Generator on the regions' device, got none: pass one")
    with torch.no_grad():
        return _decode(model, regions, search, generator, attention) if len(regions.features) else []


def _decode(
    model: Captioner, regions: Regions, search: Search, generator: torch.Generator | None, attention: bool
) -> list[list[Hypothesis]]:
    """The loop over words: the model's step, the choice, and the chosen rows of its state."""
    step, count, device = _step_of(model, search, generator), len(regions.features), regions.features.device
    state, words = model.start(regions), torch.zeros(count, dtype=torch.long, device=device)
    alive, room = torch.zeros(count, 1, device=device), torch.full((count,), search.beam, device=device)
    best = torch.full((count, search.n_best), -torch.inf, device=device)  # scores of finished captions
    choices, maps = [], []
    for t in range(search.max_length + 1):
        decoded, before = step(state, words), alive
        scores = _scores(decoded.logits, before, t, search)
        choice = _drawn(scores, search, generator) if search.sample else _best(scores, room, search)
        choices.append(choice)
        maps.append(decoded.attention if attention else ())
        room = room - choice.ended.sum(1)
        ended = search.score(choice.log_p, t + 1).masked_fill(~choice.ended, -torch.inf)
        best = torch.cat([best, ended], 1).topk(search.n_best).values
        alive, done = _alive(choice, best, t, search)
        if t == search.max_length or done.all():  # the step's one word to the host
            break
        first = torch.arange(count, device=device).unsqueeze(1) * before.shape[1]
        state, words = decoded.state.gather((first + choice.parents).flatten()), choice.words.flatten()
    return _collect(choices, before, maps, search)


def _step_of(
    model: Captioner, search: Search, generator: torch.Generator | None
) -> Callable[[DecoderState, Tensor], Decoded]:
    """The model's step; of hard attention with how it looks and what it draws from."""
    check_search(model, search)
    told: Any = model.step
    return partial(told, look=search.look, generator=generator) if getattr(model, "hard", False) else model.step


def check_search(model: object, search: Search) -> None:
    """Refuse, with RecipeError, to tell a model without hard attention how to look."""
    if search.look is not None and not getattr(model, "hard", False):
        raise RecipeError("only a model of hard attention can be told how to look: leave out --look")


def _scores(logits: Tensor, log_p: Tensor, t: int, search: Search) -> Float[Tensor, "images hypotheses vocabulary"]:
    """The log-probability of each hypothesis with each next word; -inf for those that may not be."""
    scores = torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), 1)
    for word in NEVER:
        scores[:, word] = -torch.inf
    if t < search.min_length:
        scores[:, END_ID] = -torch.inf
    if t < len(search.begin):
        scores[:, : search.begin[t]] = scores[:, search.begin[t] + 1 :] = -torch.inf
    return scores.view(*log_p.shape, -1).add_(log_p.unsqueeze(2).to(scores.dtype))


def _best(
    scores: Float[Tensor, "images hypotheses vocabulary"], room: Int[Tensor, " images"], search: Search
) -> _Choice:
    """The best continuations, as many as there is room for in each image's beam."""
    flat, vocabulary, size = scores.flatten(1), scores.shape[2], scores[0].numel()
    if size < search.beam:
        flat = pad(flat, (0, search.beam - size), value=-torch.inf)
    log_p, places = flat.topk(search.beam)
    places = places.clamp(max=size - 1)
    beyond = torch.arange(search.beam, device=room.device) >= room.unsqueeze(1)
    return _Choice(places // vocabulary, places % vocabulary, log_p.masked_fill(beyond, -torch.inf))


def _drawn(
    scores: Float[Tensor, "images hypotheses vocabulary"], search: Search, generator: torch.Generator | None
) -> _Choice:
    """Each hypothesis continued by a word drawn at the temperature; at the first step all continue the one there is."""
    width, count = search.beam, scores.shape[1]
    # What a row has in common, its log-probability so far, cancels; a row that has ended is NaN and draws anything.
    p = torch.softmax(scores / search.temperature, 2).nan_to_num(1.0).expand(-1, width, -1)
    words = torch.multinomial(p.flatten(0, 1), 1, generator=generator).view(-1, width)
    parents = torch.arange(width, device=words.device).clamp(max=count - 1).expand_as(words)
    return _Choice(parents, words, scores.expand(-1, width, -1).gather(2, words.unsqueeze(2)).squeeze(2))


def _alive(
    choice: _Choice, best: Float[Tensor, "images n_best"], t: int, search: Search
) -> tuple[Float[Tensor, "images beam"], Bool[Tensor, " images"]]:
    """The log-probabilities of what lives on behind word t, -inf for what does not, and which images are done."""
    log_p = choice.log_p.masked_fill((choice.words == END_ID) | choice.log_p.isnan(), -torch.inf)
    # The most favourable length of all that the live ones can still finish with.
    length = search.max_length + 1 if search.length_penalty > 0 else t + 2
    done = search.score(log_p.amax(1), length) <= best[:, -1]
    return log_p.masked_fill(done.unsqueeze(1), -torch.inf), done


def _collect(
    choices: list[_Choice], before: Float[Tensor, "images beam"], maps: list[tuple[AttentionMap, ...]], search: Search
) -> list[list[Hypothesis]]:
    """The captions to return, best first, the unfinished ones last; raises RunError for an image that has none."""
    last, log_p, score = _ends(choices, before, search)
    finished = torch.arange(score.shape[1], device=score.device) < len(choices) * search.beam
    rank = torch.where(score > -torch.inf, torch.where(finished, 0, 1), 2)
    order = score.sort(dim=1, descending=True, stable=True).indices
    order = order.gather(1, rank.gather(1, order).sort(dim=1, stable=True).indices)[:, : search.n_best]
    if search.sample:  # as drawn
        order = order.gather(1, (order % search.beam).argsort(dim=1))

    lengths = (order // search.beam).clamp(max=search.max_length)
    ids, rows = _trace(choices, lengths, last.gather(1, order))
    facts = (each.tolist() for each in (ids, lengths, log_p.gather(1, order), finished[order]))
    along = _along(maps, rows)
    captions: list[list[Hypothesis]] = []
    for i, of_image in enumerate(zip(*facts, strict=True)):
        captions.append([])
        for j, (words, n, value, whole) in enumerate(zip(*of_image, strict=True)):
            own = tuple(replace(each, weights=each.weights[i, j, None, :n]) for each in along)
            if value > -torch.inf:
                captions[i].append(Hypothesis(tuple(words[:n]), value, whole, own))
        if not captions[i]:
            span = f"{search.min_length} to {search.max_length}"
            advice = "its logits are not finite, check the model's weights and the features"
            raise RunError(f"expected captions of {span} words, got none for image {i} of the batch: {advice}")
    return captions


def _ends(
    choices: list[_Choice], before: Float[Tensor, "images beam"], search: Search
) -> tuple[Int[Tensor, "images ends"], Float[Tensor, "images ends"], Float[Tensor, "images ends"]]:
    """Of all captions the place of the last word, log-probability and score, -inf for none: a step's after another's.

    Behind them, where captions have become as long as they may, those alive `before` a last step that ended them not.
    """
    places = [choice.parents for choice in choices]
    log_p = [choice.log_p.masked_fill(~choice.ended, -torch.inf) for choice in choices]
    scores = [search.score(each, words + 1) for words, each in enumerate(log_p)]
    if len(choices) > search.max_length:
        ended = torch.zeros_like(before).scatter_add(1, places[-1], choices[-1].ended.to(before.dtype)) > 0
        places.append(torch.arange(search.beam, device=before.device).expand_as(before))
        log_p.append(before.masked_fill(ended, -torch.inf))
        scores.append(search.score(log_p[-1], search.max_length))
    places_of, log_p_of, score_of = (torch.stack(each, 1).flatten(1) for each in (places, log_p, scores))
    return places_of, log_p_of, score_of


def _trace(
    choices: list[_Choice], lengths: Int[Tensor, "images n_best"], place: Int[Tensor, "images n_best"]
) -> tuple[Tensor, Tensor]:
    """Words of captions [images, n_best, words] and the rows that chose them, followed back from the last's place."""
    ids, rows = [], []
    for t in reversed(range(len(choices))):
        parents = choices[t].parents.gather(1, place)
        ids.append(choices[t].words.gather(1, place))
        rows.append(parents)
        place = torch.where(t < lengths, parents, place)
    return torch.stack(ids[::-1], 2), torch.stack(rows[::-1], 2)


def _along(maps: list[tuple[AttentionMap, ...]], rows: Int[Tensor, "images n_best words"]) -> list[AttentionMap]:
    """The steps' maps along captions, [images, n_best, words, ...]."""
    found, image = [], torch.arange(len(rows), device=rows.device).unsqueeze(1)
    for of_steps in zip(*maps, strict=True):
        first, weights = of_steps[0], [each.weights.unflatten(0, (len(rows), -1)) for each in of_steps]
        along = torch.stack([each[image, rows[:, :, t]] for t, each in enumerate(weights)], 2)
        kind: Any = "rows" if first.kind == "joint" and len(first.axes) == 1 else first.kind
        found.append(AttentionMap(along, ("words", *first.axes), first.name, kind))
    return found
