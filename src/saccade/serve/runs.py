"""The runs and the indexes that are served: what each is, what it takes, and what it makes of a batch of requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from saccade.checkpoint import load
from saccade.errors import RunError
from saccade.features.spec import NO_FILES
from saccade.hub import run_folder
from saccade.images import read_image
from saccade.index.index import FACTS, read_facts
from saccade.index.searching import Query, Searcher
from saccade.predict import Predictor, Prepared
from saccade.serve.examples import Examples
from saccade.serve.parsing import LOOKS, PENALTY, Asked
from saccade.serve.problems import RequestError
from saccade.serve.queue import Work
from saccade.serve.settings import FORMATS, Settings
from saccade.types import Without

ACTIONS = {"answering": "ask", "captioning": "caption", "matching": "match", "grounding": "ground"}
EXAMPLES_KEPT = 16


class Item(NamedTuple):
    """An image, the text about it, and what is taken away from both, as a batch has them."""

    image: Prepared
    text: str
    without: Without


def opened(content: bytes, pixels: int) -> Image.Image:
    """The upright image in the bytes of a file; raises ImageError for what is none of `FORMATS`, or too large."""
    return read_image(content, name="image", formats=tuple(FORMATS), pixels=pixels)


class ServedRun:
    """A run by its name, ready to be asked; `said` is what it was called on the command line."""

    def __init__(self, said: str, *, weights: str | None = None, device: str | None = None) -> None:
        loaded = load(run_folder(said))
        where = loaded.facts.spec.weights
        moved = where not in NO_FILES and not Path(where).is_file()
        self.predictor = Predictor.of(loaded, weights=weights if moved else None, device=device)
        self.said, self.name = said, name_of(said)
        self.recipe, self.task = self.predictor.recipe, self.predictor.task
        self.kind = self.recipe.task.kind
        self.action = ACTIONS[self.kind]
        self.examples = Examples(self.recipe)
        self._lock = threading.Lock()
        self._prepared: OrderedDict[int, Prepared] = OrderedDict()

    def described(self, settings: Settings) -> dict[str, Any]:
        """What the run is and takes, as plain values."""
        data = self.recipe.data
        return {
            "name": self.name,
            "task": self.kind,
            "action": self.action,
            "text": self.task.text,
            "model": self.recipe.model,
            "recipe": self.recipe.name,
            "trained_on": data.name,
            "options": self._options(settings),
            "examples": len(self.examples),
            "command": self.said,
        }

    def work(self, options: Mapping[str, Any]) -> Work:
        """What makes replies of items, with the options given."""
        return partial(self._replies, options)

    def checked(self, asked: Asked) -> None:
        """Refuse, before it waits, a text or options that cannot be; raises RequestError, DataError or RecipeError."""
        if self.task.text:
            if not asked.text.strip():
                raise RequestError(422, f"text: expected a {self.task.text}, got none")
            self.task.check_text(asked.text)
        self.task.check_options(self.predictor.model, self.recipe.task.options(**asked.options))

    @property
    def made_like(self) -> Hashable:
        """What an image that was prepared fits: the runs of which this is the same."""
        return self.predictor.extractor.spec

    def prepare(self, image: Image.Image) -> Prepared:
        """An image as the run takes it; called from threads."""
        return self.predictor.prepare(image)

    def seen(self, number: int) -> Prepared | None:
        """The image of an example that was asked about of late, prepared."""
        return self._prepared.get(number)

    def example(self, number: int) -> Prepared:
        """The image of an example, prepared; called from threads."""
        found = self.seen(number) or self.prepare(self.examples.image(number))
        with self._lock:
            self._prepared[number] = found
            if len(self._prepared) > EXAMPLES_KEPT:
                self._prepared.popitem(last=False)
        return found

    def _replies(self, options: Mapping[str, Any], items: Sequence[Item]) -> list[Any]:
        texts = [item.text for item in items] if self.task.text else None
        images, without = [item.image for item in items], [item.without for item in items]
        return self.predictor(images, texts, without=without, **options)

    def _options(self, settings: Settings) -> dict[str, dict[str, Any]]:
        """The options of the run's action, with what they are unless said, and their limits."""
        task: Any = self.recipe.task
        if self.kind == "answering":
            most = min(settings.top, self.task.sizes()["num_answers"])
            return {"top": _option(min(5, most), 1, most)}
        if self.kind == "captioning":
            found = {
                "beam": _option(task.beam, 1, settings.beam),
                "length_penalty": _option(task.length_penalty, PENALTY.least, PENALTY.most),
                "top": _option(1, 1, settings.beam),
            }
            if getattr(self.predictor.model, "hard", False):
                found["look"] = {"default": None, "choices": list(LOOKS)}
            return found
        return {"nms": _option(None, 0, 1)} if self.kind == "grounding" else {}


class ServedIndex:
    """An index by its name, and the run that it was made with, to be searched."""

    def __init__(self, said: str, *, moved_to: str | None = None, weights: str | None = None) -> None:
        self.said, self.name = said, name_of(said)
        made_with = read_facts(Path(said)).run if (Path(said) / FACTS).is_file() else ""
        moved = moved_to is not None and not made_with.startswith("h") and not Path(made_with).is_dir()
        self.searcher = Searcher(said, run=moved_to if moved else None, weights=weights)
        self.holds = self.searcher.index.facts.holds

    def described(self) -> dict[str, Any]:
        """What the index holds, as plain values."""
        facts = self.searcher.index.facts
        return {
            "name": self.name,
            "run": name_of(facts.run),
            "holds": self.holds,
            "count": len(self.searcher.index),
        }

    def search(self, top: int, figure: bool, queries: Sequence[Query]) -> list[tuple[list[str], list[Any], Any]]:
        """The unknown words, the hits, and the figure where one is wanted, of each query."""
        return [self._found(query, top, figure) for query in queries]

    def _found(self, query: Query, top: int, figure: bool) -> tuple[list[str], list[Any], Any]:
        hits = self.searcher.search(query, top=top)
        return self.searcher.unread(query), hits, self.searcher.figure(query, hits) if figure and hits else None


def check_names(kind: str, said: Sequence[str]) -> None:
    """Raise RunError where two have one name."""
    found: dict[str, str] = {}
    for each in said:
        if (name := name_of(each)) in found:
            raise RunError(
                f"{kind}s: {found[name]} and {each} are both called {name!r}, by which they are told apart: rename "
                "the folder of one of them"
            )
        found[name] = each


def name_of(said: str) -> str:
    """The name of a run or index: that of its folder, or of its repository."""
    if said.startswith(("hub:", "hf:")):
        return said.rpartition("/")[2]
    return Path(said).resolve().name


def _option(default: float | None, least: float | None, most: float | None) -> dict[str, Any]:
    return {"default": default, "least": least, "most": most}
