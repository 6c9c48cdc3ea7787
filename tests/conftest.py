"""Shape checks on every annotated function while testing, and where the real data lies."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("saccade", "beartype.beartype")


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
def scene(tmp_path_factory) -> Path:
    """A held-out scene as a PNG file."""
    from saccade.data.scenes import Scenes

    path = tmp_path_factory.mktemp("image") / "scene.png"
    Scenes().open_image("test/00000").save(path)
    return path
