"""How long a recipe will take here, measured on its first images and batches."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from saccade.build import FeatureFacts, build_model
from saccade.corpus import images_at_hand, left_out, limited
from saccade.data.batches import ordered_batches
from saccade.data.records import Corpus, images_of
from saccade.errors import ImageError, SaccadeWarning
from saccade.features.devices import find_device
from saccade.features.extract import Extractor
from saccade.features.spec import FeatureSpec
from saccade.features.tuning import Tuning
from saccade.optim import build_optimizer
from saccade.progress import about
from saccade.recipe import Recipe
from saccade.types import Regions

SAMPLE = 8  # images
LONG = 2.0  # seconds after which nothing is done twice


@dataclass(frozen=True)
class Expected:
    """Seconds of extraction and of training; the latter at most, for `patience` may end it earlier."""

    extraction: float
    training: float

    def __str__(self) -> str:
        """In words."""
        parts = f"{about(self.extraction)} to extract, {about(self.training)} to train"
        return f"{about(self.extraction + self.training)}: {parts}"


def expected_seconds(recipe: Recipe, data: Corpus) -> Expected:
    """How long the recipe takes on this machine: some images through its backbone, and some steps of its model.

    The backbone is not trained for that, for its weights do not change the time. Raises SaccadeError where that cannot
    be told: a backbone that there is not, no image that can be opened.
    """
    device = find_device()
    skip = {image for split in data.splits for image in left_out(recipe, data, split)}
    images, opened = images_at_hand(data, recipe.data.limit, without=skip), _readable(data, skip)
    spec = dataclasses.replace(
        recipe.features, weights="random", dtype="float32", detector_weights="random", detector_threshold=0.0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaccadeWarning)  # of the random weights
        extractor = Extractor(spec, device=device)
        opened = opened[: max(1, int(LONG / _seconds(lambda: extractor.read(opened[:1], data.open_image))))]
        looked = extractor.read(opened, data.open_image)
        looking = _seconds(lambda: extractor.read(opened, data.open_image)) / len(opened)
        keeping, learning = (each / len(opened) for each in _tuned_seconds(recipe, spec, opened, data, device))
    facts = FeatureFacts(spec, extractor.weights_hash, extractor.region_size, looked.grid)
    step, validation, looks = _epoch(recipe, data, looked.to("cpu"), facts, device)
    epochs = recipe.train.epochs
    tuned = 0 if recipe.train.finetune_from is None else max(0, epochs - recipe.train.finetune_from)
    along = looks * learning + len(images_of(limited(data, "val", recipe))) * looking
    if keeping and recipe.train.finetune_from == 0:
        looking = 0.0  # the features of the whole backbone are not stored
    return Expected(len(images) * (looking + keeping), epochs * (step + validation) + tuned * along)


def _readable(data: Corpus, skip: set[str]) -> list[str]:
    """The first images of training that can be opened."""
    found: list[str] = []
    for image in data.images("train"):
        if image not in skip and len(found) < SAMPLE:
            try:
                data.open_image(image)
            except ImageError as error:
                failed = error
                continue
            found.append(image)
    if not found:
        raise failed
    return found


def _tuned_seconds(
    recipe: Recipe, spec: FeatureSpec, images: Sequence[str], data: Corpus, device: torch.device
) -> tuple[float, float]:
    """Where the backbone is trained along: what it takes to keep of the images what can be kept, and a step of it."""
    config = recipe.train
    if config.finetune_from is None:
        return 0.0, 0.0
    tuning = Tuning(
        spec, data.open_image, device, config.augment, stages=config.finetune_stages, size=config.finetune_size
    )
    tuning.unfreeze()

    def learn() -> None:
        torch.autograd.backward(tuning.read_augmented(images).features.sum())

    whole = _seconds(learn)
    if tuning.kept is None:
        return 0.0, whole
    keeper = Extractor(tuning.kept, device=device)
    keeping = _seconds(lambda: keeper.read(images, data.open_image))
    return keeping, max(whole - keeping, 0.0)


def _epoch(
    recipe: Recipe, data: Corpus, looked: Regions, facts: FeatureFacts, device: torch.device
) -> tuple[float, float, int]:
    """Seconds of an epoch's steps and of its validation, and how many images its batches look at."""
    train, val = (limited(data, split, recipe) for split in ("train", "val"))
    task = recipe.task.task().build(train, recipe.task)
    records, examples = task.trainable(train), task.examples(val)
    batches, grouped = task.batches(records, recipe.train, 0), recipe.train.group_by_image
    model = build_model(recipe, task, facts).to(device)
    optimizer = build_optimizer(recipe.optim, model)
    first = [records[i] for group in batches[0] for i in group]

    def step() -> None:
        batch = task.collate(first, partial(_read, looked), grouped=grouped)
        torch.autograd.backward(task.loss(model, batch.to(device), lambda rows: rows) / len(first))
        optimizer.step()
        optimizer.zero_grad()

    stepping = _seconds(step) * len(batches)
    model.eval()
    shares = ordered_batches([example.image for example in examples], recipe.train.batch_size)
    options, generator = recipe.task.options(), torch.Generator(device).manual_seed(0)

    def validate() -> None:
        batch = task.stack([examples[i] for group in shares[0] for i in group], partial(_read, looked))
        with torch.inference_mode():
            task.predict(model, batch.to(device), options, attention=False, generator=generator)

    looks = sum(len(batch) if grouped else sum(map(len, batch)) for batch in batches)
    return stepping, _seconds(validate) * len(shares), looks


def _read(looked: Regions, images: Sequence[str]) -> Regions:
    """As many regions as a batch has: those of the images looked at, over and over."""
    rows = torch.arange(len(images)) % len(looked.features)
    boxes = None if looked.boxes is None else looked.boxes[rows]
    return Regions(looked.features[rows], looked.mask[rows], boxes, looked.grid)


def _seconds(work: Callable[[], object]) -> float:
    """What the work takes the second time, for the first makes what later ones find made; or that, if it is long."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        if seconds > LONG:
            break
    return seconds
