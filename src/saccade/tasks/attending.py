"""Which map of a model is held against the boxes of phrases, told by the axes of its maps and not by its name.

- A model that finds phrases, `("phrases", "regions")`: as it finds them.
- One with maps over regions alone that it looks with when it has read a text, `("regions",)`: it reads the phrase as if
  that were the whole text, and its last such map counts.
- One whose words look, axes that end in `("words", "regions")` and weights that are not "raw": it reads the sentence,
  and of its last such map, the mean over heads, a phrase has the mean over its words' rows, each scaled to sum to 1. Of
  a captioner, told the sentence, the row of a word is the look from which the word is predicted.
- One that embeds images without a text: the image's own last map, the same for every phrase.

Beside each phrase stands the same by the rest of its sentence, read as if that were the phrase. A cell of a grid is
hardly ever the box of a phrase, so the window is found too, of those of `regions: windows`, that fits the map best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.data.records import Box, Caption
from saccade.errors import RecipeError
from saccade.features.proposals import read_windows
from saccade.metrics.attention import fit
from saccade.tasks.base import Reader, Task
from saccade.tasks.grounding.batch import boxes_of, grouping_of
from saccade.tasks.grounding.finding import MAP_SIDE, find_regions, phrase_text, region_maps
from saccade.tasks.grounding.prediction import GroundingPrediction, PhrasePrediction
from saccade.tasks.reading import read_regions
from saccade.text import UNKNOWN_ID, Vocabulary, pad_words
from saccade.types import AttentionMap, Grouping, Regions, Words

# From regions and the words about them to the maps that a model looked with, in order.
Look = Callable[[Regions, Words], Sequence[AttentionMap]]
Shares = Float[Tensor, "phrases regions"]


@dataclass(frozen=True, eq=False)
class Attended:
    """Where a model looked for the phrases of a sentence, those that it could read, and by which `map`.

    ``windows`` are those that fit the phrases' maps best; none where the model finds boxes itself.
    """

    map: str
    prediction: GroundingPrediction
    windows: tuple[Box, ...] = ()


@dataclass(frozen=True, eq=False)
class SentenceBatch:
    """Sentences with phrases, of any run; several may share an image, as `regions` say."""

    regions: Regions
    sentences: tuple[Caption, ...]

    def to(self, device: torch.device | str) -> SentenceBatch:
        """The same batch on another device."""
        return SentenceBatch(self.regions.to(device), self.sentences)


@dataclass(frozen=True)
class PhraseReader:
    """What batches sentences for a task's model and asks where it looked for their phrases, as a task predicts."""

    task: Task[Any, Any, Any]

    def stack(self, examples: Sequence[Caption], read: Reader) -> SentenceBatch:
        """The sentences as a batch."""
        return SentenceBatch(read_regions(examples, read, grouped=True), tuple(examples))

    def predict(
        self,
        model: Any,
        batch: SentenceBatch,
        options: Any,  # noqa: ARG002
        *,
        attention: bool,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
    ) -> list[Attended]:
        """Where the model looked for the phrases of each sentence."""
        return self.task.attend(model, batch.regions, batch.sentences)


class _Asked(NamedTuple):
    """A phrase by its place among the sentences and in its sentence: the sentence's ids, and which are its own."""

    sentence: int
    phrase: int
    ids: list[int]
    start: int
    end: int

    @property
    def alone(self) -> list[int]:
        return self.ids[self.start : self.end]

    @property
    def rest(self) -> list[int]:
        return [*self.ids[: self.start], *self.ids[self.end :]] or [UNKNOWN_ID]


def attend_by_text(
    look: Look,
    regions: Regions,
    sentences: Sequence[Caption],
    vocabulary: Vocabulary,
    *,
    max_words: int | None = None,
    end: Sequence[int] = (),
) -> list[Attended]:
    """Where a model that reads looks for the phrases with boxes, by the map that this file names.

    Texts are cut after `max_words` words and have the ids of their `end` behind them. A phrase is left out that the
    model does not come to, and so are those of a sentence in which the tokeniser sees other words than in its parts.
    Raises RecipeError for a model without such a map.
    """
    asked = _asked(sentences, vocabulary)
    if not asked:
        return _attended("", regions, sentences, {}, {})
    rows = grouping_of(regions, len(sentences)).image

    def looked(of: Sequence[int], texts: Sequence[Sequence[int]]) -> AttentionMap:
        """The map that counts, of texts about the images of sentences."""
        words = pad_words([[*ids[:max_words], *end] for ids in texts]).to(regions.mask.device)
        return choose_map(look(regions.grouped(Grouping.of(rows[list(of)])), words))

    whole = {each.sentence: each.ids for each in asked}
    about = [each.sentence for each in asked]
    chosen, rest = looked(list(whole), list(whole.values())), looked(about, [each.rest for each in asked])
    if chosen.axes == ("regions",):
        shares, blind = looked(about, [each.alone for each in asked]).weights, rest.weights
    else:
        of_text = {sentence: row for row, sentence in enumerate(whole)}
        of_asked = chosen.weights[[of_text[i] for i in about]]
        shares = mean_of_words(of_asked, [(each.start, each.end) for each in asked])
        blind = mean_of_words(rest.weights, [(0, len(each.rest)) for each in asked])
    keys = [(each.sentence, each.phrase) for each in asked]
    return _attended(
        describe(chosen), regions, sentences, *(dict(zip(keys, each.cpu(), strict=True)) for each in (shares, blind))
    )


def attend_by_image(maps: Sequence[AttentionMap], regions: Regions, sentences: Sequence[Caption]) -> list[Attended]:
    """Each image's own last map for every phrase with a box, whatever is written; raises RecipeError without one."""
    chosen = choose_map(maps)
    weights = chosen.weights[grouping_of(regions, len(sentences)).image].cpu()
    shares = {
        (i, j): weights[i] for i, each in enumerate(sentences) for j, phrase in enumerate(each.phrases) if phrase.boxes
    }
    return _attended(describe(chosen), regions, sentences, shares, shares)


def choose_map(maps: Sequence[AttentionMap]) -> AttentionMap:
    """The last map over regions alone, or else from words to regions; raises RecipeError where there is none."""
    alone = [each for each in maps if each.axes == ("regions",)]
    words = [each for each in maps if each.axes[-2:] == ("words", "regions") and each.kind != "raw"]
    if not (alone or words):
        has = f"its maps are {', '.join(map(describe, maps))}" if maps else "it has none"
        raise RecipeError(
            f"expected a model with a map over regions, or from words to regions, got one without: {has}. "
            "Those of r-dan, m-dan, san, smem, ban, dfaf, sat and of grounders can be held against boxes"
        )
    return (alone or words)[-1]


def mean_of_words(
    weights: Float[Tensor, "texts *heads words regions"], spans: Sequence[tuple[int, int]]
) -> Float[Tensor, "texts regions"]:
    """The mean, over heads, of the rows of each text's span of words, each scaled to sum to 1.

    Words that do not look count for nothing; where none of the span does, it is 0.
    """
    rows = weights.flatten(1, -3).mean(1) if weights.dim() > 3 else weights
    places, edges = torch.arange(rows.shape[1], device=rows.device), torch.tensor(spans, device=rows.device)
    inside = (edges[:, :1] <= places) & (places < edges[:, 1:])
    rows = rows.double() * inside.unsqueeze(2)
    totals = rows.sum(2, keepdim=True)
    looking = totals > 0
    scaled = rows / totals.where(looking, torch.ones_like(totals))
    mean: Tensor = scaled.sum(1) / looking.sum(1).clamp(min=1)
    return mean


def describe(map_: AttentionMap) -> str:
    """A map's name and axes.

    >>> describe(AttentionMap(torch.ones(1, 2), ("regions",), "step 2"))
    'step 2 (regions)'
    """
    return f"{map_.name} ({', '.join(map_.axes)})"


def _asked(sentences: Sequence[Caption], vocabulary: Vocabulary) -> list[_Asked]:
    """The phrases with boxes that have words for the vocabulary."""
    spans = []
    for i, sentence in enumerate(sentences):
        boxed = [(j, phrase.words) for j, phrase in enumerate(sentence.phrases) if phrase.boxes]
        places = vocabulary.places(sentence.text) if boxed else None
        spans += [(i, j, places[a], places[b]) for j, (a, b) in boxed if places[a] < places[b]] if places else []
    read = dict.fromkeys(i for i, *_ in spans)
    if not read:
        return []
    words = vocabulary.encode([sentences[i].text for i in read])
    ids = {i: row[mask].tolist() for i, row, mask in zip(read, words.ids, words.mask, strict=True)}
    return [_Asked(i, j, ids[i], start, end) for i, j, start, end in spans]


def _attended(
    name: str,
    regions: Regions,
    sentences: Sequence[Caption],
    shares: dict[tuple[int, int], Float[Tensor, " regions"]],
    blind: dict[tuple[int, int], Float[Tensor, " regions"]],
) -> list[Attended]:
    """The phrases whose shares are known, their regions ranked by them, and the best by the rest of the sentence."""
    side, windows = _map_side(regions.grid), read_windows()
    seen, boxes = (regions.per_text(of).cpu() for of in (regions.mask, boxes_of(regions)))
    found = []
    for i, sentence in enumerate(sentences):
        here = boxes[i][seen[i]].double()
        looks = {j: shares[i, j].double()[seen[i]] for j in range(len(sentence.phrases)) if (i, j) in shares}
        looks = {j: each for j, each in looks.items() if each.sum() > 0}
        rows = torch.stack(list(looks.values())) if looks else torch.zeros(0, len(here))
        phrases = [
            PhrasePrediction(
                sentence.phrases[j],
                phrase_text(sentence.text, sentence.phrases[j].words),
                place,
                _best(blind[i, j][seen[i]], here),
            )
            # Shares are their own softmax once they are logarithms.
            for j, place in zip(looks, find_regions(rows.log(), here, side=side), strict=True)
        ]
        best = windows[fit(region_maps(rows, here, side), windows).argmax(1)].tolist()
        fitting = tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in best)
        found.append(Attended(name, GroundingPrediction(sentence, tuple(phrases), here.numpy()), fitting))
    return found


def _map_side(grid: tuple[int, int] | None) -> int:
    """How many cells a map has in each direction: as many as of windows, or some more, whole ones in each of a grid's.

    >>> _map_side(None), _map_side((14, 14)), _map_side((8, 8)), _map_side((9, 9))
    (28, 28, 32, 36)
    """
    both = 1 if grid is None else math.lcm(*grid)
    return both * math.ceil(MAP_SIDE / both)


def _best(shares: Float[Tensor, " regions"], boxes: Float[Tensor, "regions 4"]) -> Box | None:
    """The box of the strongest region; None where nothing was looked at."""
    if not shares.sum() > 0:
        return None
    x1, y1, x2, y2 = boxes[shares.argmax()].tolist()
    return x1, y1, x2, y2
