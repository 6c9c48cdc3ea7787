"""Predictor: a trained run and a raw image to an answer and the attention behind it."""

from __future__ import annotations

import dataclasses
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from saccade import checkpoint
from saccade.checkpoint import LoadedRun
from saccade.errors import DataError, RecipeError, RunError
from saccade.explain.explanation import Explanation, steps_of
from saccade.features.extract import Extractor
from saccade.features.spec import IMPORTED
from saccade.images import open_image, to_rgb
from saccade.types import AttentionMap, Regions


@dataclass(frozen=True, eq=False)
class Reply:
    """An answer to a question about an image.

    ``answers`` are the most probable with their probabilities, best first; ``unknown_words`` were never seen in
    training and say nothing to the model; ``attention`` are this one question's maps, over ``regions`` and ``words``.
    """

    question: str
    image: Image.Image
    answers: tuple[tuple[str, float], ...]
    words: tuple[str, ...]
    unknown_words: tuple[str, ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions

    @property
    def answer(self) -> str:
        """The most probable answer."""
        return self.answers[0][0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its step's name and axes."""
        return {
            "question": self.question,
            "answer": self.answer,
            "answers": [{"answer": answer, "probability": probability} for answer, probability in self.answers],
            "words": list(self.words),
            "unknown_words": list(self.unknown_words),
            "grid": self.regions.grid,
            "attention": [
                {"name": m.name, "axes": list(m.axes), "weights": m.weights[0].tolist()} for m in self.attention
            ],
        }

    def explanation(self, note: str = "") -> Explanation:
        """What `saccade.explain` draws: the image, the words, and each step's weights."""
        boxes = None if self.regions.boxes is None else self.regions.boxes[0]
        steps = steps_of(self.attention, boxes, self.regions.grid)
        return Explanation(self.image, self.question, self.words, self.answers, steps, note)


class Predictor:
    """A trained run, ready for raw images. Make one with `from_pretrained`."""

    def __init__(self, run: LoadedRun, extractor: Extractor, device: torch.device) -> None:
        self.recipe, self._task, self._extractor, self._device = run.recipe, run.task, extractor, device
        self._model = run.model.to(device)

    @classmethod
    def from_pretrained(cls, run: str | Path, *, weights: str | None = None, device: str | None = None) -> Predictor:
        """Load a run directory, or a repository of that name on the Hugging Face hub.

        `weights` is the backbone's weights file where it has moved since training; `device` is the first GPU, else the
        CPU. Raises RunError when the run is incomplete or altered, or when the backbone's weights are not the ones it
        was trained with.
        """
        loaded = checkpoint.load(_local(run))
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        spec = loaded.facts.spec
        if spec.backbone == IMPORTED:
            raise RunError(
                f"{run} was trained on features from files, whose extractor Saccade does not have, so it cannot look "
                "at another image: saccade evaluate works; a run on one of saccade list backbones can be asked"
            )
        if weights is None and spec.weights not in ("pretrained", "random") and not Path(spec.weights).is_file():
            raise RunError(
                f"{run} was trained with backbone weights from {spec.weights}, which is not here; say with --weights "
                "where the file is"
            )
        extractor = Extractor(spec if weights is None else dataclasses.replace(spec, weights=weights), device=chosen)
        if extractor.weights_hash != loaded.facts.weights_hash:
            raise RunError(
                f"the weights of backbone {spec.backbone} ({weights or spec.weights}) are not those that {run} was "
                "trained with; give the right file with --weights"
            )
        return cls(loaded, extractor, chosen)

    def ask(self, image: str | Path | Image.Image, question: str, *, top: int = 5) -> Reply:
        """Answer a question about an image, given as a file or as a Pillow image.

        Raises ImageError for an image that cannot be read, DataError for a question without words, RecipeError for a
        `top` below 1.
        """
        if top < 1:
            raise RecipeError(f"top: expected at least 1 answer, got {top}")
        picture = to_rgb(image) if isinstance(image, Image.Image) else open_image(image)
        vocabulary = self._task.vocabulary
        if not vocabulary.words(question):
            raise DataError(f"expected a question with at least one word, got {question!r}")
        words = vocabulary.encode([question], max_words=self.recipe.task.max_words)
        with torch.inference_mode():
            regions = self._extractor([picture]).to(self._device)
            output = self._model(regions, words.to(self._device))
        return Reply(
            question,
            picture,
            self._task.top(output.logits, top)[0],
            tuple(vocabulary.words(question)[: words.ids.shape[1]]),
            tuple(vocabulary.unknown(question)),
            tuple(dataclasses.replace(m, weights=m.weights.float().cpu()) for m in output.attention),
            regions.to("cpu"),
        )


def _local(run: str | Path) -> Path:
    """The run's folder: as named, or fetched from the hub when the name is OWNER/NAME and there is no folder OWNER."""
    path, name = Path(run), str(run)
    if path.parent.exists() or not re.fullmatch(r"[\w-]+/[\w.-]+", name):
        return path
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only here is the hub needed
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    wanted = [*checkpoint.COMPANIONS, checkpoint.MODEL, checkpoint.METRICS]
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its warnings of retries and of missing accounts say less than our error
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
        if (folder / checkpoint.MODEL).exists():
            return folder
        reason = f"its repository lacks {checkpoint.MODEL}"
    except RepositoryNotFoundError:
        reason = "it has none, or it is private"
    except Exception as error:  # the hub's client raises what its HTTP library raises
        reason = str(error).partition("\n")[0] or type(error).__name__
    finally:
        logger.setLevel(level)
    raise RunError(f"{name}: no such run directory here, and the hub gave none of that name ({reason})")
