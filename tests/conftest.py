"""Shape checks on models, their blocks and the types while testing, and where the real data lies."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: what is small here, threads only slow down

import pytest
from jaxtyping import install_import_hook

install_import_hook(["saccade.nn", "saccade.models", "saccade.types"], "beartype.beartype")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs; tests that ask for it are skipped where SACCADE_DATA is unset."""
    folder = os.environ.get("SACCADE_DATA")
    if not folder:
        pytest.skip("SACCADE_DATA is not set: the real photographs are not here")
    return Path(folder)


@pytest.fixture(scope="session")
def scenes_store(tmp_path_factory) -> str:
    """The folder of the features of 24 scenes a split; extracted by the first test that trains on them."""
    return str(tmp_path_factory.mktemp("features") / "store")


@pytest.fixture(scope="session")
def trained_run(scenes_store, tmp_path_factory) -> Path:
    """A narrow r-DAN after two epochs on 24 scenes; copy it before changing it."""
    from saccade.recipes import get_recipe
    from saccade.train import train

    recipe = get_recipe("r-dan-scenes").smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=scenes_store),
        train=dataclasses.replace(recipe.train, accelerator="cpu"),
        sizes=recipe.sizes | {"hidden_size": 16},
    )
    out = tmp_path_factory.mktemp("runs") / "run"
    train(recipe, out)
    return out


@pytest.fixture(scope="session")
def matching_run(scenes_store, tmp_path_factory) -> Path:
    """A narrow m-DAN after one epoch on 24 scenes; copy it before changing it."""
    from saccade.recipes import get_recipe
    from saccade.train import train

    recipe = get_recipe("m-dan-scenes").smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=scenes_store),
        train=dataclasses.replace(recipe.train, accelerator="cpu", epochs=1),
        sizes=recipe.sizes | {"hidden_size": 16},
    )
    out = tmp_path_factory.mktemp("runs") / "matcher"
    train(recipe, out)
    return out


@pytest.fixture(scope="session")
def grounding_run(tmp_path_factory) -> Path:
    """A narrow BAN grounder after one epoch on sentences about 24 scenes; copy it before changing it."""
    from saccade.recipes import get_recipe
    from saccade.train import train

    recipe = get_recipe("ban-grounder-scenes-phrases").smoke()
    folder = tmp_path_factory.mktemp("runs")
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=str(folder / "store")),
        train=dataclasses.replace(recipe.train, accelerator="cpu", epochs=1),
        sizes=recipe.sizes | {"hidden_size": 16},
    )
    train(recipe, folder / "grounder")
    return folder / "grounder"


@pytest.fixture(scope="session")
def captioning_run(scenes_store, tmp_path_factory) -> Path:
    """A narrow captioner of hard attention, which can be told how to look; copy it before changing it."""
    from saccade.recipes import get_recipe
    from saccade.train import train

    recipe = get_recipe("sat-hard-scenes").smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=scenes_store, limit=24),
        train=dataclasses.replace(recipe.train, accelerator="cpu", finetune_from=None, epochs=1),
        sizes=recipe.sizes | {"hidden_size": 16, "embedding_size": 12},
    )
    out = tmp_path_factory.mktemp("runs") / "captioner"
    train(recipe, out)
    return out


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory) -> Path:
    """Seven scenes as PNG files."""
    from saccade.data.scenes import Scenes

    folder = tmp_path_factory.mktemp("scenes")
    for number in range(7):
        Scenes().open_image(f"test/{number:05d}").save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def scenes_index(matching_run, scenes_folder, tmp_path_factory) -> Path:
    """An index of the seven scenes."""
    from saccade.index.embedder import Embedder
    from saccade.index.photographs import index_photographs

    out = tmp_path_factory.mktemp("indexes") / "photos"
    index_photographs(Embedder(matching_run, device="cpu"), scenes_folder, out)
    return out


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Path:
    """A held-out scene as a PNG file."""
    from saccade.data.scenes import Scenes

    path = tmp_path_factory.mktemp("image") / "scene.png"
    Scenes().open_image("test/00000").save(path)
    return path


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def saccade(capsys):
    """Runs a command here: `saccade("list", "models")`."""
    from saccade.cli import main

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(saccade):
    """Runs a command that must fail with one line holding all the parts; returns the line."""

    def run(*arguments: object, parts: tuple[str, ...], code: int = 1) -> str:
        outcome = saccade(*arguments)
        # What work had been done by then may have been reported in lines of its own.
        lines = [line for line in outcome.err.splitlines() if line.startswith("saccade: ")]
        assert outcome.code == code, outcome
        assert outcome.out == ""
        assert len(lines) == 1
        assert outcome.err.splitlines()[-1] == lines[0]
        assert "Traceback" not in outcome.err
        for part in parts:
            assert part in lines[0]
        return lines[0]

    return run


@pytest.fixture(scope="session")
def cluster():
    """Ray on this machine with two workers at a time, for all tests: it starts slowly."""
    from saccade.clusters import ray_cluster

    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'saccade-attention[ray]'")
    with ray_cluster("local", processors=2) as workers:
        yield workers
