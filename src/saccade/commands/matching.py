"""The command that says how well sentences fit an image: match."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from saccade.commands.replying import Numbers, tell_unknown, without_of


@dataclass(frozen=True)
class Match:
    """Let a trained model say how well sentences fit an image, the best first."""

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or hub:OWNER/NAME, a repository of the Hugging Face hub."""
    image: Annotated[Path, tyro.conf.arg(metavar="IMAGE"), tyro.conf.Positional]
    """Image file."""
    sentences: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SENTENCE"), tyro.conf.Positional]
    """Sentences, each in quotes."""
    explain: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw where the model looked and what it read of each sentence into this .png, .jpg or .html file."""
    without_regions: Numbers = ()
    """Take these regions of the image away first, counted from 0, those of a grid row by row."""
    without_words: Numbers = ()
    """Take these words of the sentence away first, counted from 0, as --json lists them; of one sentence alone."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    json: bool = False
    """Print one JSON object, attention included, and nothing else."""

    def run(self) -> None:
        """Print the score of each sentence, best first."""
        from saccade.errors import RecipeError
        from saccade.explain import Figure, check_suffix, save
        from saccade.predict import Predictor

        if not self.sentences:
            raise RecipeError('match: expected at least one sentence, as in: saccade match RUN photo.jpg "two dogs"')
        if self.without_words and len(self.sentences) > 1:
            raise RecipeError(
                f"without words: the numbers are of one sentence's words, got {len(self.sentences)} sentences: say one"
            )
        if self.explain is not None:
            check_suffix(self.explain)
        without = without_of(self.without_regions, self.without_words)
        predictor = Predictor.from_pretrained(self.run_directory, weights=self.weights)
        predictor.require("matching")
        found = predictor(self.image, self.sentences, without=without)
        replies = sorted(found, key=lambda reply: -reply.score)
        if self.explain is not None:
            figures = tuple(reply.figure() for reply in replies)
            save(figures[0] if len(figures) == 1 else Figure(f"{len(figures)} sentences", parts=figures), self.explain)
        tell_unknown(list(dict.fromkeys(word for reply in found for word in reply.unknown_words)))
        if self.json:
            print(json.dumps({"matches": [reply.to_dict() for reply in replies]}))
            return
        for reply in replies:
            print(f"{reply.score:>10.4g}  {reply.sentence}")
        if self.explain is not None:
            print(f"Attention drawn in {self.explain}")
