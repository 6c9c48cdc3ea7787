from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["metrics.attention", "metrics.vqa", "metrics.wups", "data.daquar", "data.split"])
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(f"saccade.{name}"))
    assert attempted > 0
    assert failed == 0
