"""What `import saccade` offers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import saccade
from saccade import distribution
from saccade.data import DATASETS
from saccade.errors import UnknownNameError
from saccade.models import MODELS
from saccade.recipes import RECIPES
from saccade.tasks import TASKS


def test_every_public_name_is_there() -> None:
    assert sorted(saccade.__all__) == dir(saccade)
    for name in saccade.__all__:
        assert getattr(saccade, name) is not None
    with pytest.raises(AttributeError, match="module 'saccade' has no attribute 'nothing'"):
        saccade.nothing  # noqa: B018


def test_the_version_is_that_of_the_distribution(monkeypatch) -> None:
    assert saccade.__version__ == version(distribution.NAME)
    monkeypatch.setattr(distribution, "NAME", "saccade-that-is-not-installed")
    assert saccade.__version__ == "(not installed)"


def test_what_can_be_named_is_listed() -> None:
    assert saccade.list_models() == list(MODELS)
    by_task = [saccade.list_models(task) for task in TASKS]
    assert sorted(name for names in by_task for name in names) == sorted(MODELS)
    assert saccade.list_models("captioning") == ["sat-soft", "sat-hard", "nic"]
    assert (saccade.list_recipes(), saccade.list_datasets()) == (list(RECIPES), list(DATASETS))
    assert {"scenes-cnn", "resnet152"} <= set(saccade.list_backbones())
    with pytest.raises(UnknownNameError, match="no task named 'captionin'; did you mean 'captioning'"):
        saccade.list_models("captionin")


def test_python_m_saccade_is_the_command_line() -> None:
    found = subprocess.run([sys.executable, "-m", "saccade", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == f"saccade {saccade.__version__}\n"
