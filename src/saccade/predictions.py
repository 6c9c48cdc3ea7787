"""A run and many images to a file of predictions: in batches, read ahead, and resumed where it was killed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from saccade.checkpoint import MODEL
from saccade.data.batches import prefetch
from saccade.data.growing import ERROR, GrowingFile
from saccade.data.unlabelled import Asked, Unlabelled
from saccade.distribution import installed_version
from saccade.errors import DataError, ImageError, RecipeError
from saccade.features.extract import Loaded
from saccade.features.making import DECODERS
from saccade.predict import Predictor
from saccade.progress import SILENT, Report
from saccade.serial import hash_file
from saccade.tasks import Task, TaskConfig

NAMED = 20  # images that were left out are named up to so many, and counted beyond
WORDS = 10  # and so are words that were never seen in training

# By image, as the backbone takes it, or why it cannot be read.
LoadedImages = dict[str, Loaded | ImageError]


@dataclass(frozen=True)
class Predictions:
    """How many lines the file has, how many of them say an error instead, and whether all were there before."""

    lines: int
    failed: int
    there: bool = False


def predict(
    predictor: Predictor,
    source: Path,
    out: Path,
    *,
    root: Path | None = None,
    texts: Sequence[str] = (),
    batch_size: int = 32,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    report: Report = SILENT,
) -> Predictions:
    """Write what the run says of each image, or of each text about one, into a .jsonl or .csv file, a line each.

    `source` is a folder, an image, JSON Lines or CSV (`data.unlabelled` says what is in them), `root` the folder of the
    images that lines name, `texts` what is asked about every image. A line has the columns of its input, then what the
    task says; an image that cannot be read has its reason as "error", and the others go on. Images that follow each
    other and are the same are looked at once. `options` are the task's; only the best is given unless `top` says more.

    Killed and called again with the same arguments it goes on after the last whole line, to the same file; where that
    is finished, nothing is done. All lines are checked before the first is predicted. Raises RunError when the file is
    made of another run or input, unless it is to be overwritten, DataError for wrong lines, and ImageError, leaving no
    file, when none of the images could be read.
    """
    task, config = predictor.task, predictor.recipe.task
    if batch_size < 1:
        raise RecipeError(f"batch_size: expected at least 1, got {batch_size}")
    chosen = _options(config, options or {})
    task.check_options(predictor.model, chosen)
    if texts and not task.text:
        raise RecipeError(f"expected images alone, got {len(texts)} texts: this run is for {config.kind}")
    if out.resolve() == source.resolve():
        raise RecipeError(f"{out}: expected another file to write to than the one to read")
    asked = Unlabelled(source, root=root, column=task.text, texts=texts, check=task.check_text)
    about = {"run": str(predictor.path), "input": str(source), "saccade": installed_version()}
    made_of = _made_of(predictor, asked, texts, chosen)
    file = GrowingFile(out, made_of, about=about, last=(*task.columns, ERROR), overwrite=overwrite)
    if file.finished:
        return Predictions(file.done, file.failed, there=True)
    total = _checked(asked, task, report)
    with file:
        if file.done:
            report.say(f"going on after {file.done:,} of {total:,} lines")
        for lines in _lines(predictor, asked, file.done, batch_size, chosen, report):
            file.add(lines)
            report.advance("predict", file.done, total, f"{task.text or 'image'}s")
        if file.failed == total:
            file.discard()
            raise ImageError(f"none of the {total:,} lines has an image that could be read")
        file.finish()
    return Predictions(total, file.failed)


def _options(config: TaskConfig, said: Mapping[str, Any]) -> Any:
    """The task's options; of a task that can give several predictions the best alone, unless more are asked for."""
    known = {field.name for field in dataclasses.fields(config.Options)}
    return config.options(**({"top": 1} if "top" in known else {}) | {k: v for k, v in said.items() if v is not None})


def _made_of(predictor: Predictor, asked: Unlabelled, texts: Sequence[str], options: Any) -> dict[str, Any]:
    """What decides the predictions; two hashes are cut to what an error can show."""
    return {
        "run": hash_file(predictor.path / MODEL)[:16],
        "input": asked.sha256[:16],
        "folder": str(asked.root.resolve()),
        "texts": list(texts),
        "options": {name: value for name, value in dataclasses.asdict(options).items() if value is not None},
    }


def _checked(asked: Unlabelled, task: Task[Any, Any, Any], report: Report) -> int:
    """How many lines there are; raises DataError for one that is wrong, for none, and where no image is there."""
    total = missing = with_unread = 0
    unread: dict[str, None] = {}
    absent = ""
    for image, group in groupby(asked, key=lambda line: line.image):
        there = asked.find(image) is not None
        absent = absent if there else absent or image
        for line in group:
            total += 1
            missing += not there
            words = task.unread(line.text) if task.text else []
            with_unread += bool(words)
            unread |= dict.fromkeys(islice((word for word in words if word not in unread), WORDS - len(unread)))
    if not total:
        raise DataError("holds no line about an image", asked.path)
    if missing == total:
        raise DataError(
            f"none of its {total:,} lines has an image that is there, as {absent!r}; looked in {asked.root} and its "
            "folder images: name the folder with --root",
            asked.path,
        )
    if with_unread:
        more = ", ..." if len(unread) == WORDS else ""
        report.say(f"words never seen in training, ignored in {with_unread:,} of {total:,}: {', '.join(unread)}{more}")
    return total


def _lines(
    predictor: Predictor, asked: Unlabelled, done: int, batch_size: int, options: Any, report: Report
) -> Iterator[list[dict[str, Any]]]:
    """The lines that follow the first `done`, batch by batch.

    Batches are the same wherever it begins, and each draws with a generator of its own, so that a file that is gone on
    with is the one that it would have been.
    """
    told: set[str] = set()
    with ThreadPoolExecutor(DECODERS) as pool:

        def load(numbered: tuple[int, list[Asked]]) -> tuple[int, list[Asked], LoadedImages]:
            start, batch = numbered
            images = list(dict.fromkeys(line.image for line in batch))
            loaded = pool.map(lambda image: _load(predictor, asked, image), images)
            return start, batch, dict(zip(images, loaded, strict=True))

        for start, batch, loaded in prefetch(load, _batches(asked, batch_size, done)):
            for image, error in loaded.items():
                if isinstance(error, ImageError) and image not in told and len(told) < NAMED:
                    report.say(f"left out {error}")
                    told.add(image)
            yield _rows(predictor, start, batch, loaded, options)[max(done - start, 0) :]


def _batches(asked: Iterable[Asked], size: int, done: int) -> Iterator[tuple[int, list[Asked]]]:
    """The first line's number and the lines of each batch that holds one behind the first `done`.

    A batch has at most so many lines, and ends where an image would begin that does not fit in whole.
    """
    start, batch = 0, list[Asked]()
    for _, group in groupby(asked, key=lambda line: line.image):
        while alike := list(islice(group, size)):
            if len(batch) + len(alike) > size:
                if start + len(batch) > done:
                    yield start, batch
                start, batch = start + len(batch), []
            batch += alike
    if start + len(batch) > done:
        yield start, batch


def _load(predictor: Predictor, asked: Unlabelled, image: str) -> Loaded | ImageError:
    try:
        return predictor.extractor.load(asked.open_image(image), image)
    except ImageError as error:
        return error


def _rows(
    predictor: Predictor, start: int, batch: Sequence[Asked], loaded: LoadedImages, options: Any
) -> list[dict[str, Any]]:
    """A row for each line of a batch: its columns, and what the run says or why it says nothing."""
    task = predictor.task
    readable = {image: each for image, each in loaded.items() if not isinstance(each, ImageError)}
    lines = [line for line in batch if line.image in readable]
    seeds = np.random.SeedSequence([predictor.recipe.train.seed, start]).generate_state(1, np.uint64)
    said = iter(
        predictor.predictions(
            [task.example(line.image, line.text) for line in lines],
            lambda images: predictor.extractor.regions_of([readable[image] for image in images]),
            options,
            seed=int(seeds[0]),
        )
        if lines
        else ()
    )
    return [
        {
            **_carried(line.columns, (*task.columns, ERROR)),
            **(next(said).said() if line.image in readable else {ERROR: str(loaded[line.image])}),
        }
        for line in batch
    ]


def _carried(columns: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """The columns of the input; one that has the name of what is written is "given": the right answer, as it may be."""
    names = {*taken, *columns}
    carried = {}
    for name, value in columns.items():
        if name in taken:
            while name in names:
                name = f"given_{name}"  # noqa: PLW2901
            names.add(name)
        carried[name] = value
    return carried
