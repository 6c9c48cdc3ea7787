"""The run directory: all that is needed to use a model anywhere, resume its training, and notice damage. No pickle.

    recipe.json  features.json                  written once, before training; recipe.json has the format's number
    tokenizer.json  answers.json                so are the files of the task: words, and what else it learnt
    model.safetensors                           the best weights so far, and the hashes of all these files
    metrics.json  log.jsonl  resume/step-*/     results, one line per epoch, the state to go on from
    corpus.json                                 which corpus it was trained on (`saccade.provenance`)

Each file is written under a temporary name and renamed, so a run killed at any moment leaves whole files only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from saccade import state
from saccade.build import FeatureFacts, build_model, differing_fields
from saccade.errors import RunError
from saccade.features.spec import NO_FILES
from saccade.recipe import RECIPE_FILE, Recipe, recipe_from_dict, recipe_to_dict
from saccade.serial import from_dict, locked, read_json, temporary_name, to_dict, write_json, write_text
from saccade.tasks import Task
from saccade.tensors import TIED, each_once, load_tensors, under_all_names, weights_hash

RECIPE, FEATURES = RECIPE_FILE, "features.json"
METRICS, MODEL, LOG, RESUME = "metrics.json", state.MODEL, state.LOG, state.RESUME
ALWAYS = (RECIPE, FEATURES)  # beside the files of the task
# What may differ between a run and its resumption without making it another run.
# The number of epochs is not among them under a cosine schedule, which depends on it.
RESUMABLE = ("epochs", "patience", "save_every", "devices", "num_nodes", "accelerator", "strategy", "logger")
# Places of files, which may have moved: what makes it another run is other content, which `check_facts` and the
# comparison of the vocabularies tell. Word vectors and another run are no more than where a run started from.
PLACES = ("data.root", "data.store", "task.glove", "features.weights", "train.start_from")
NO_PLACES = ("", *NO_FILES)


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run directory read back, its model in evaluation mode; `backbone` are weights trained along with it."""

    path: Path
    recipe: Recipe
    task: Task[Any, Any, Any]
    facts: FeatureFacts
    model: nn.Module
    backbone: dict[str, Tensor] | None = None

    def require(self, kind: str) -> None:
        """Raise RunError, saying how the run is used, where its task is another."""
        if self.recipe.task.kind != kind:
            raise RunError(
                f"this run of {self.recipe.name} is for {self.recipe.task.kind}, not for {kind}: use {self.task.usage}"
            )


def check_writable(path: Path) -> None:
    """Raise RunError when no folder can be made at this path: to be asked before the work that would be lost."""
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise RunError(f"{path} cannot be made: {existing} is a file; name another folder with --out")
    if not os.access(existing, os.W_OK):
        raise RunError(f"{path} cannot be made: no permission to write to {existing}; name another folder with --out")


def changes(path: Path, recipe: Recipe, *, moved: bool = False) -> dict[str, tuple[Any, Any]]:
    """The fields, with both values, that make the recipe of the run at this path another one than this.

    With `moved` files may lie elsewhere than they did.
    """
    saved = read_recipe(path)
    free = {f"train.{field}" for field in RESUMABLE}
    free -= {"train.epochs"} if recipe.optim.schedule == "cosine" else set()
    differing = {name: pair for name, pair in differing_fields(saved, recipe).items() if name not in free}
    return {name: pair for name, pair in differing.items() if not (moved and _is_move(name, pair))}


def _is_move(name: str, pair: tuple[Any, Any]) -> bool:
    """Whether both values of a field are places of files; any store will do, for by default it is made."""
    return name == "data.store" or (name in PLACES and not set(pair) & set(NO_PLACES))


@contextmanager
def prepared(path: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Hold the path for one process, ready for a run of the recipe or for the rest of one.

    Raises RunError when it cannot be written, when it holds a run already and neither `resume` nor `overwrite` is said,
    when the run to resume is not there or was started with another recipe, or when another process trains there.
    """
    check_writable(path)
    _check_free(path, recipe, resume=resume, overwrite=overwrite)  # before the folder is made
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    busy = f"another process is training in {path}: wait for it to end, or name another folder with --out"
    with locked(path, RunError(busy)):
        _check_free(path, recipe, resume=resume, overwrite=overwrite)  # again, for one may have ended just now
        if overwrite and (path / RECIPE).exists():
            _empty(path)
        for left_over in (path / RESUME).glob(".*.tmp"):
            shutil.rmtree(left_over)
        kept = [each.name for each in path.iterdir()]
        try:
            yield
        except BaseException:
            # Nothing is lost, and what was written would only be in the way of the next try.
            if not resume and not is_begun(path):
                _empty(path, kept)
            with suppress(OSError):  # not empty: there is something to go on from
                for folder in new:
                    folder.rmdir()
            raise


def is_begun(path: Path) -> bool:
    """Whether the run has a state to go on from, or weights."""
    return (path / MODEL).exists() or any((path / RESUME).glob("step-*"))


def _empty(path: Path, kept: Sequence[str] = ()) -> None:
    """Delete what is in the folder, last of all what says that it is a run's; the folder is locked and stays."""
    for each in sorted(path.iterdir(), key=lambda each: each.name == RECIPE):
        if each.name in kept:
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _check_free(path: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that is not for such a run."""
    if not (path / RECIPE).exists():
        # A hidden file may be our own: the first one of a run that was killed while it was written.
        if path.exists() and any(not each.name.startswith(".") for each in path.iterdir()):
            raise RunError(f"{path} holds other files and no run; name an empty folder with --out")
        if resume:
            raise RunError(f"{path} holds no run to resume; leave out --resume to start one")
    elif resume:
        if changed := changes(path, recipe, moved=True):
            raise RunError(
                f"{path} was started with another recipe, so it cannot be resumed; they differ in "
                + ", ".join(f"{name} ({before!r}, now {now!r})" for name, (before, now) in changed.items())
            )
        if state.epochs_logged(path) > 1 and not any((path / RESUME).glob("step-*")):
            raise RunError(f"{path} cannot be resumed, for its folder {RESUME} is gone; --overwrite starts anew")
    elif not overwrite:
        raise RunError(
            f"{path} holds a run already; go on with --resume, start anew with --overwrite, or name another --out"
        )


def read_recipe(path: Path) -> Recipe:
    """The recipe of the run at this path."""
    return recipe_from_dict(read_json(path / RECIPE), where=RECIPE)


def create(path: Path, recipe: Recipe, task: Task[Any, Any, Any], facts: FeatureFacts) -> None:
    """Make the run directory with all that is known before training."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / RECIPE, recipe_to_dict(recipe))
    for name, text in task.files().items():
        write_text(path / name, text)
    write_json(path / FEATURES, to_dict(facts))


def resumed_task(path: Path, recipe: Recipe, found: Task[Any, Any, Any], facts: FeatureFacts) -> Task[Any, Any, Any]:
    """The task of a run that is resumed, which must have learnt the same from its data as is found in them today.

    Raises RunError where words or classes differ, or regions are not those it was started with: labels would be wrong.
    """
    saved = _load_task(path, recipe, list(found.files()))
    for what, kept in saved.content().items():
        now = found.content()[what]
        if list(kept) != list(now):
            gone, new = ([each for each in a if each not in set(b)] for a, b in ((kept, now), (now, kept)))
            raise RunError(
                f"{path} cannot be resumed, for the data changed: {what} were {len(kept):,} and are {len(now):,}"
                f"{_named('gone', gone)}{_named('new', new)}; restore the data, or start anew with --overwrite"
            )
    before = from_dict(FeatureFacts, read_json(path / FEATURES), where=FEATURES)
    for what in ("weights_hash", "region_size", "grid"):
        if getattr(before, what) != getattr(facts, what):
            raise RunError(
                f"{path} was started on other features, so it cannot be resumed: {what} {getattr(before, what)}, now "
                f"{getattr(facts, what)}; restore the backbone's weights or the store, or start anew with --overwrite"
            )
    return saved


def _named(how: str, names: Sequence[str]) -> str:
    return f", {how}: {', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}" if names else ""


def load(path: Path) -> LoadedRun:
    """Read a run back; raises RunError when a file is missing, altered, or does not fit the others."""
    if not path.is_dir():
        raise RunError(f"{path}: no such run directory; `saccade train RECIPE --out {path}` makes one")
    if not any((path / name).exists() for name in (MODEL, *ALWAYS)):
        raise RunError(f"{path} is no run directory: expected the files {', '.join((MODEL, *ALWAYS))} in it")
    weights, files = _load_weights(path)  # first, for it tells altered files from wrong ones
    recipe = read_recipe(path)
    facts = from_dict(FeatureFacts, read_json(path / FEATURES), where=FEATURES)
    task = _load_task(path, recipe, files)
    model, backbone = build_model(recipe, task, facts), None
    if recipe.train.finetune_from is not None:
        backbone, weights = _under("backbone.", weights), _under("model.", weights)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{path / MODEL} does not fit {RECIPE}: {' '.join(str(error).split())[:300]}") from None
    return LoadedRun(path, recipe, task, facts, model.eval(), backbone)


def _load_task(path: Path, recipe: Recipe, names: Sequence[str]) -> Task[Any, Any, Any]:
    """The task from its files in a run directory."""
    try:
        files = {name: (path / name).read_text(encoding="utf-8") for name in names if name not in ALWAYS}
        return recipe.task.task().from_files(files, recipe.task)
    except (FileNotFoundError, KeyError) as error:
        name = Path(error.filename).name if isinstance(error, FileNotFoundError) else error.args[0]
        raise RunError(f"{path / name} is missing: the run directory is incomplete, train it again") from None
    except (RunError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: {error}") from None


def save_model(path: Path, model: nn.Module, task: Task[Any, Any, Any]) -> None:
    """Write the best weights, together with the hashes of the files that give them meaning."""
    weights, tied = each_once(model.state_dict())
    names = [*ALWAYS, *task.files()]
    hashes = {name: _file_hash(path / name) for name in names} | {
        "weights": weights_hash(under_all_names(weights, tied))
    }
    temporary = temporary_name(path / MODEL)
    temporary.write_bytes(save(weights, metadata=hashes | tied))  # unlike save_file, with the permissions of others
    temporary.replace(path / MODEL)


def _load_weights(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The weights, and the names of the files that give them meaning, all as they were when the weights were saved."""
    file = path / MODEL
    if not file.exists():
        raise RunError(f"{file} is missing: training has not finished an epoch; go on with `--resume`")
    try:
        weights, hashes = load_tensors(file)
    except SafetensorError as error:
        raise RunError(f"{file} is damaged ({error}): restore it or train again") from None
    hashes.pop(TIED, None)
    if hashes.pop("weights", None) != weights_hash(weights):
        raise RunError(f"{file} was altered: its weights are not those that were saved; restore it or train again")
    for name in {**dict.fromkeys(ALWAYS), **hashes}:
        if not (path / name).exists():
            raise RunError(f"{path / name} is missing: the run directory is incomplete; restore it or train again")
        if hashes.get(name) != _file_hash(path / name):
            raise RunError(f"{path / name} was altered since the model was saved; restore it or train again")
    return weights, list(hashes)


def _under(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
