"""What this package is called and which version of it is here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

DISTRIBUTION = "saccade"


def version() -> str:
    """The installed version; "unknown" where the package runs from a folder and is not installed."""
    try:
        return version_of(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
