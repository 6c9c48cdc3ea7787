"""Which corpus a run was trained and evaluated on, so that the numbers of one never take the place of another's.

`corpus.json`, in a run directory and beside each evaluation's metrics, has the corpus's folder and the SHA-256 of what
a split of it holds. A corpus is the same one where either is: it may have moved, and it may have grown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.checkpoint import METRICS, RECIPE, read_recipe
from saccade.corpus import limited, real_root
from saccade.data.records import Caption, Corpus, KeepsFiles, images_of
from saccade.errors import RunError, SaccadeError
from saccade.recipe import DataConfig, Recipe
from saccade.serial import from_dict, read_json, to_dict, write_json

CORPUS = "corpus.json"
TOLD_BY = "val"  # the split that a run's corpus is known by; smaller than train, and one that training always has


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus as `corpus.json` has it; ``root`` is its folder's real path, "" for data that is generated.

    ``sha256`` is of all that the records of the split say, and of the sizes of its images' files.
    """

    name: str
    root: str
    split: str
    sha256: str

    def same(self, other: CorpusFacts) -> bool:
        """Whether both are one corpus: in the same folder, or with the same split."""
        here = (self.root, other.root), (self.split, other.split), (self.sha256, other.sha256)
        root, split, content = (a == b for a, b in here)
        return self.name == other.name and (root or (split and content))


@dataclass(frozen=True)
class Place:
    """The folder for an evaluation's files, what it was made on, and whether that is the run's own corpus."""

    folder: Path
    corpus: CorpusFacts
    own: bool

    def claim(self) -> None:
        """Note in the folder whose numbers it has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / CORPUS, to_dict(self.corpus))


def record(run: Path, recipe: Recipe, data: Corpus) -> None:
    """Note in a run directory which corpus it is trained on, unless that is noted."""
    if not (run / CORPUS).exists():
        write_json(run / CORPUS, to_dict(_facts(recipe, data, TOLD_BY, recipe.data.root)))


def choose_place(
    run: Path, recipe: Recipe, data: Corpus, split: str, *, root: str | None = None, out: Path | None = None
) -> Place:
    """Where an evaluation's files go: `out`, or a folder in the run that has no numbers of another corpus.

    That is RUN/SPLIT for the run's own corpus, wherever it lies by now, and RUN/SPLIT-of-NAME for another one. Raises
    RunError where `out` has the numbers of another corpus.
    """
    corpus = _facts(recipe, data, split, recipe.data.root if root is None else root)
    own = root is None or _is_own(run, recipe, data, corpus)
    return _place(_folders(run, split, corpus.root)[0 if own else 1 :], corpus, out, own=own)


def choose_place_of_boxes(
    run: Path, config: DataConfig, data: Corpus, split: str, sentences: Sequence[Caption], *, out: Path | None = None
) -> Place:
    """Where go the metrics of a run against the boxes of sentences' phrases: `out`, or RUN/boxes-SPLIT-of-NAME.

    Raises RunError where `out` has the numbers of another corpus.
    """
    corpus = _facts_of(config, data, split, config.root, sentences)
    return _place(_folders_of_boxes(run, split, corpus.root), corpus, out, own=False)


def place_of_boxes(run: Path, split: str, config: DataConfig) -> Path:
    """The folder in the run with its metrics against the boxes of a corpus."""
    first, second = _folders_of_boxes(run, split, real := real_root(config))
    known = _read(first)
    return first if known is not None and known.root == real else second


def _place(folders: Sequence[Path], corpus: CorpusFacts, out: Path | None, *, own: bool) -> Place:
    """`out`, which must not have the numbers of another corpus, or the first folder that has none."""
    if out is not None:
        if _is_taken(out, corpus, own):
            known = _read(out)
            whose = f"the corpus in {known.root}" if known else "a corpus that it does not name"
            raise RunError(f"{out} has the metrics of {whose}, these are of {corpus.root}: name another folder")
        return Place(out, corpus, own)
    free = (folder for folder in folders if not _is_taken(folder, corpus, own))
    return Place(next(free, folders[-1]), corpus, own)


def place_of(run: Path, split: str, *, root: str | None = None) -> Path:
    """The folder in the run where the split of its own corpus, or of the one in another folder, was evaluated last."""
    if (run / RECIPE).exists():
        real = real_root(read_recipe(run).data, root)
        for folder in _folders(run, split, real):
            known = _read(folder)
            if known is not None and known.root == real:
                return folder
    return run / split


def _folders(run: Path, split: str, root: str) -> list[Path]:
    """Where evaluations of a corpus may lie: as the run's own, under its name, and under one that only it has."""
    name = f"{split}-of-{Path(root).name or 'root'}"
    digest = hashlib.sha256(root.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return [run / split, run / name, run / f"{name}-{digest}"]


def _folders_of_boxes(run: Path, split: str, root: str) -> list[Path]:
    return _folders(run, f"boxes-{split}", root)[1:]


def _is_taken(folder: Path, corpus: CorpusFacts, own: bool) -> bool:
    """Whether the folder has the numbers of another corpus; those of no known one are taken for the run's own."""
    known = _read(folder)
    return (folder / METRICS).exists() and not own if known is None else not known.same(corpus)


def _is_own(run: Path, recipe: Recipe, data: Corpus, corpus: CorpusFacts) -> bool:
    """Whether a corpus is the one that the run was trained on, in the same folder or moved."""
    if corpus.root == real_root(recipe.data):
        return True
    for known in (_read(run), _read(run / corpus.split)):
        with suppress(SaccadeError):  # a corpus without that split
            if known is not None and known.same(_facts(recipe, data, known.split, corpus.root)):
                return True
    return False


def _facts(recipe: Recipe, data: Corpus, split: str, root: str) -> CorpusFacts:
    return _facts_of(recipe.data, data, split, root, limited(data, split, recipe))


def _facts_of(config: DataConfig, data: Corpus, split: str, root: str, records: Sequence[Any]) -> CorpusFacts:
    digest = hashlib.sha256()
    for each in records:
        digest.update(ascii(each).encode())
    if isinstance(data, KeepsFiles):
        for image in images_of(records):
            file = data.image_file(image)
            digest.update(str(None if file is None else file.stat().st_size).encode())
    return CorpusFacts(config.name, real_root(config, root), split, digest.hexdigest())


def _read(folder: Path) -> CorpusFacts | None:
    """What a folder notes; None where there is nothing, or nothing that can be read."""
    with suppress(SaccadeError):
        return from_dict(CorpusFacts, read_json(folder / CORPUS))
    return None
