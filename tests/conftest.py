"""Shape checks on every annotated function while testing, and where the real data lies."""

from __future__ import annotations

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
