"""Start from another run: what of its weights fits a new model.

A run of the same kind has a tensor of the same name and shape for each of the new model's, but for the axes that count
words or answers: of those, the entries that both have are taken, by their text. Which axes count what is found by
making the model with one word, answer or number of a region more. A weight that is normalised, as BAN's are, is one
tensor here: its rows are taken as they act, not as they are parametrised.

Regions that are made otherwise mean something else, so that the weights that read them are new then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from saccade import checkpoint
from saccade.build import FeatureFacts, model_of_sizes
from saccade.checkpoint import LoadedRun
from saccade.errors import RunError, first
from saccade.features.spec import IMPORTED
from saccade.features.tuning import Together
from saccade.hub import run_folder
from saccade.recipe import Recipe
from saccade.serial import from_dict, read_json, write_json
from saccade.tasks import Task

STARTED = "started.json"  # in a run that was started from another: what was taken
# What decides which number of a region says what; another size of images only makes more regions or fewer.
MEANING = ("backbone", "layer", "regions", "positions", "standardize", "mean", "std", "backbone_args")
REGION = "region_size"

Axes = Mapping[str, Mapping[int, str]]  # of tensors by name: which axis has which size of the data


@dataclass(frozen=True)
class Taken:
    """What of a new model came from another run.

    ``content`` says of how many words and answers, by their kind, how many were known; ``new`` names the tensors that
    nothing was taken for; ``backbone`` whether the backbone that was trained along was taken too.
    """

    run: str
    tensors: tuple[int, int]
    content: dict[str, tuple[int, int]] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    backbone: bool = False
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            f"{known:,} of {all_:,} {what}" for what, (known, all_) in {"tensors": self.tensors, **self.content}.items()
        ]
        backbone = ["the backbone"] if self.backbone else []
        return f"taken from {self.run}: {', '.join(parts + backbone)}; new: {first(self.new) or 'none'}"


def check(recipe: Recipe, out: Path) -> None:
    """Refuse, before anything is deleted or extracted, a run to start from that is none, itself, or has nothing alike.

    Raises RunError.
    """
    if not (name := recipe.train.start_from):
        return
    folder = run_folder(name)
    if folder.resolve() == out.resolve():
        raise RunError(f"train.start_from: {name} is the folder of the new run itself; name another one with --out")
    other = checkpoint.load(folder).recipe
    alike = _shapes(other, {}, 1).items() & _shapes(recipe, {}, 1).items()
    if not alike:
        raise RunError(_nothing(name, other, recipe))


def opened(recipe: Recipe, out: Path) -> LoadedRun | None:
    """The run to start from; None where the recipe names none, or where `out` has a state to go on from."""
    if not recipe.train.start_from or any((out / checkpoint.RESUME).glob("step-*")):
        return None
    return checkpoint.load(run_folder(recipe.train.start_from))


def take(model: nn.Module, run: LoadedRun, recipe: Recipe, task: Task[Any, Any, Any], facts: FeatureFacts) -> Taken:
    """Put what fits of the run into the model, and the backbone, if one is trained with it; raises RunError if none."""
    fresh, backbone = (model.model, model.backbone) if isinstance(model, Together) else (model, None)
    same, with_backbone = _same_regions(run, facts, backbone)
    if with_backbone and backbone is not None and run.backbone is not None:
        backbone.load_state_dict(run.backbone)
    ours, theirs = _tensors(fresh), _tensors(run.model)
    our_axes, their_axes = _axes(recipe, task, facts), _axes(run.recipe, run.task, run.facts)
    new, counted, unread = [], set(), 0
    for name, target in ours.items():
        axes = our_axes.get(name, {})
        pairs = _pairs(axes, task, run.task)
        fits = name in theirs and axes == their_axes.get(name, {}) and _fits(target, theirs[name], axes)
        unread += fits and REGION in axes.values() and not same
        if not fits or (REGION in axes.values() and not same) or not all(old for old, _ in pairs.values()):
            new.append(name)
            continue
        counted |= set(axes.values()) - {REGION}
        _put(fresh, run.model, name, pairs)
    if len(new) == len(ours):
        raise RunError(_nothing(recipe.train.start_from, run.recipe, recipe))
    return Taken(
        recipe.train.start_from,
        (len(ours) - len(new), len(ours)),
        _content(task, run.task, counted),
        tuple(new),
        with_backbone,
        tuple(_warnings(run, recipe, facts, same=same, unread=unread)),
    )


def write(out: Path, taken: Taken) -> None:
    """Keep what was taken beside the run that started from it."""
    write_json(out / STARTED, asdict(taken))


def continues_backbone(out: Path) -> bool:
    """Whether the run at this path went on with the backbone that another run had trained."""
    return (out / STARTED).exists() and from_dict(Taken, read_json(out / STARTED), where=STARTED).backbone


def _same_regions(run: LoadedRun, facts: FeatureFacts, backbone: nn.Module | None) -> tuple[bool, bool]:
    """Whether regions mean the same to both models; and whether they do so by a backbone that the run trained."""
    alike = all(getattr(run.facts.spec, name) == getattr(facts.spec, name) for name in MEANING)
    if run.backbone is None:
        # The hash of imported features is that of files, which differ with the images.
        return alike and (facts.spec.backbone == IMPORTED or run.facts.weights_hash == facts.weights_hash), False
    if backbone is None or not alike:
        return False, False
    fits = {name: value.shape for name, value in run.backbone.items()} == {
        name: value.shape for name, value in backbone.state_dict().items()
    }
    return fits, fits


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and buffers by name, a parametrised one as the tensor that acts."""
    found = {name: value for name, value in model.state_dict().items() if ".parametrizations." not in f".{name}"}
    for path, module in model.named_modules():
        if parametrize.is_parametrized(module):
            found |= {f"{path}.{name}": getattr(module, name).detach() for name in module.parametrizations}
    return found


def _shapes(recipe: Recipe, sizes: Mapping[str, int], region_size: int, regions: int | None = None) -> dict[str, Any]:
    """The shapes of the tensors of the recipe's model, with one of everything in the data that is not said."""
    with torch.device("meta"):
        model = model_of_sizes(recipe, sizes, region_size, regions)
    return {name: tuple(tensor.shape) for name, tensor in _tensors(model).items()}


def _axes(recipe: Recipe, task: Task[Any, Any, Any], facts: FeatureFacts) -> Axes:
    """Which axes of which tensors have a size of the data."""
    regions = None if facts.grid is None else facts.grid[0] * facts.grid[1]
    sizes = task.sizes()
    usual = _shapes(recipe, sizes, facts.region_size, regions)
    found: dict[str, dict[int, str]] = {}
    for size in (*sizes, REGION):
        more = sizes | {size: sizes[size] + 1} if size != REGION else sizes
        longer = _shapes(recipe, more, facts.region_size + (size == REGION), regions)
        for name, shape in usual.items():
            for axis, (one, other) in enumerate(zip(shape, longer[name], strict=True)):
                if one != other:
                    found.setdefault(name, {})[axis] = size
    return found


def _fits(target: Tensor, source: Tensor, axes: Mapping[int, str]) -> bool:
    """Whether shapes are alike but for the axes that are taken entry by entry."""
    free = {axis for axis, size in axes.items() if size != REGION}
    pairs = zip(target.shape, source.shape, strict=False)
    return target.dim() == source.dim() and all(a == b or axis in free for axis, (a, b) in enumerate(pairs))


def _pairs(
    axes: Mapping[int, str], task: Task[Any, Any, Any], other: Task[Any, Any, Any]
) -> dict[int, tuple[list[int], list[int]]]:
    """For each axis that counts texts: the places of the texts that both have, there and here."""
    found = {}
    for axis, size in axes.items():
        if size != REGION:
            there = {text: place for place, text in enumerate(other.entries().get(size, ()))}
            here = [place for place, text in enumerate(task.entries()[size]) if text in there]
            found[axis] = ([there[task.entries()[size][place]] for place in here], here)
    return found


def _put(model: nn.Module, other: nn.Module, name: str, pairs: Mapping[int, tuple[list[int], list[int]]]) -> None:
    """Put the other model's tensor of that name into this one's, of the axes in `pairs` the entries named there."""
    path, _, leaf = name.rpartition(".")
    target, source = model.get_submodule(path), other.get_submodule(path)
    known, wanted = getattr(source, leaf).detach(), getattr(target, leaf).detach()
    with torch.no_grad():
        if all(old == new == list(range(wanted.shape[axis])) for axis, (old, new) in pairs.items()) and (
            known.shape == wanted.shape
        ):
            names = [
                name for name in target.state_dict() if name == leaf or name.startswith(f"parametrizations.{leaf}.")
            ]
            for each in names:
                target.state_dict()[each].copy_(source.state_dict()[each])
            return
        merged = _merged(wanted, known.to(wanted), list(pairs.items()))
        if parametrize.is_parametrized(target, leaf):
            setattr(target, leaf, merged)
        else:
            getattr(target, leaf).copy_(merged)


def _merged(target: Tensor, source: Tensor, pairs: Sequence[tuple[int, tuple[list[int], list[int]]]]) -> Tensor:
    """The target with the source's entries in place of its own, of each axis those that the pairs name."""
    if not pairs:
        return source
    (axis, (old, new)), *rest = pairs
    olds, news = (torch.tensor(places, device=target.device) for places in (old, new))
    inner = _merged(target.index_select(axis, news), source.index_select(axis, olds), rest)
    return target.index_copy(axis, news, inner)


def _content(task: Task[Any, Any, Any], other: Task[Any, Any, Any], counted: set[str]) -> dict[str, tuple[int, int]]:
    """How many of the task's texts the other one knows too, of the sizes that something was taken by."""
    known = other.content()
    found = {}
    for what, texts in task.content().items():
        if f"num_{what}" in counted:
            found[what] = (len(set(texts) & set(known.get(what, ()))), len(texts))
    return found


def _warnings(run: LoadedRun, recipe: Recipe, facts: FeatureFacts, *, same: bool, unread: int) -> list[str]:
    name, found = recipe.train.start_from, []
    if run.recipe.task.kind != recipe.task.kind:
        found.append(
            f"{name} is a run of another task, {run.recipe.task.kind}: what has the same names and shapes is taken"
        )
    elif run.recipe.model != recipe.model:
        found.append(
            f"{name} is a run of another model, {run.recipe.model}: what has the same names and shapes is taken"
        )
    if not same:
        spec, how = run.facts.spec, "a backbone trained along" if run.backbone is not None else "its features"
        found.append(
            f"regions mean something else than to {name}, so that the weights that read them are new ({unread} would "
            f"have fitted): it has {how}, {spec.backbone}, here it is {facts.spec.backbone}"
        )
    return found


def _nothing(name: str, other: Recipe, recipe: Recipe) -> str:
    return (
        f"train.start_from: {name} is a run of {other.model} ({other.name}), of whose weights none fits {recipe.model} "
        "with these sizes: start from a run of the same model, or leave it out"
    )
