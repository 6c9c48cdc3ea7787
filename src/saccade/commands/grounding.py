"""The command that finds phrases in an image: ground."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from saccade.commands.replying import Numbers, tell_unknown, without_of
from saccade.metrics.units import percentage


@dataclass(frozen=True)
class Ground:
    """Let a trained model find the things in an image that the phrases of a sentence name."""

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or hub:OWNER/NAME, a repository of the Hugging Face hub."""
    image: Annotated[Path, tyro.conf.arg(metavar="IMAGE"), tyro.conf.Positional]
    """Image file."""
    sentence: Annotated[str, tyro.conf.arg(metavar="SENTENCE"), tyro.conf.Positional]
    """The sentence, in quotes."""
    phrase: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WORDS"), tyro.conf.UseAppendAction] = ()
    """Find these words of the sentence, in quotes; may be said several times. By default the phrases that are noticed:
    runs of words such as phrases were made of in training."""
    explain: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the boxes of all phrases in colours, and each one's map, into this .png, .jpg or .html file."""
    top: int = 1
    """How many boxes of each phrase to show, at most 10."""
    nms: float | None = None
    """Leave out boxes that overlap a better one with more than this IoU."""
    without_regions: Numbers = ()
    """Take these regions of the image away first, counted from 0, those of a grid row by row."""
    without_words: Numbers = ()
    """Take these words of the sentence away first, counted from 0, as --json lists them."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    regions_file: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The boxes of the image, of a run whose regions come from a file."""
    detector_weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The detector's weights file, of a run whose regions a detector finds, where it has moved since training."""
    json: bool = False
    """Print one JSON object, attention included, and nothing else."""

    def run(self) -> None:
        """Find the phrases and print their boxes in pixels of the image."""
        from saccade.errors import RecipeError
        from saccade.explain.files import check_suffix, save
        from saccade.predict import Predictor

        if self.top < 1:
            raise RecipeError(f"top: expected at least 1 box, got {self.top}")
        if self.explain is not None:
            check_suffix(self.explain)
        without = without_of(self.without_regions, self.without_words)
        predictor = Predictor.from_pretrained(
            self.run_directory,
            weights=self.weights,
            detector_weights=self.detector_weights,
            regions_file=self.regions_file,
        )
        reply = predictor.ground(self.image, self.sentence, self.phrase, nms=self.nms, without=without)
        if self.explain is not None:
            save(reply.figure(), self.explain)
        tell_unknown(reply.unknown_words)
        if self.json:
            print(json.dumps(reply.to_dict()))
            return
        width, height = reply.image.size
        for each in reply.phrases:
            for box, score in list(zip(each.found.boxes, each.found.scores, strict=True))[: self.top]:
                x1, y1, x2, y2 = (round(edge * side) for edge, side in zip(box, (width, height) * 2, strict=True))
                print(f"{percentage(score):>8}  {each.text}: {x1}, {y1} to {x2}, {y2}")
        if self.explain is not None:
            print(f"Boxes and maps drawn in {self.explain}")
