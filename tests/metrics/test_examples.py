from __future__ import annotations

import doctest
import importlib

import pytest

WITH_EXAMPLES = [
    *(
        f"metrics.{name}"
        for name in (
            "attention",
            "bleu",
            "caption",
            "cider",
            "grounding",
            "names",
            "ngrams",
            "ptb",
            "rouge",
            "units",
            "vqa",
            "wups",
        )
    ),
    "data.daquar",
    "data.split",
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(f"saccade.{name}"))
    assert attempted > 0
    assert failed == 0
