"""The package as it is installed: its name on the index, its version, and whether another project lies in its place."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

# `saccade` there is another project's, which installs a package of that name too.
NAME = "saccade-attention"
FOREIGN = "saccade"


REMEDY = f"pip uninstall -y {FOREIGN} && pip install --force-reinstall --no-deps {NAME}"


def installed_version() -> str:
    """The version of the installed distribution, or that there is none, as where the source alone is on the path."""
    try:
        return distribution(NAME).version
    except PackageNotFoundError:
        return "(not installed)"


def install_command(extra: str) -> str:
    """What to type for the packages that an extra adds."""
    return f'pip install "{NAME}[{extra}]"'


def overwritten() -> str:
    """What to do where another project's files lie in this package's folder; empty where none do. Costs nothing."""
    if hasattr(sys.modules["saccade"], "_HOMES"):
        return ""
    return f"saccade/__init__.py is gone or another project's: `import saccade` lacks its names; mend it: {REMEDY}"


def installed_beside() -> str:
    """What to do where the other project is installed too; empty where it is not."""
    try:
        other = distribution(FOREIGN)
    except PackageNotFoundError:
        return ""
    if any(point.value.startswith("saccade.cli:") for point in other.entry_points):
        return ""  # this project, as it was called before
    return (
        f"the distribution {FOREIGN} {other.version} is installed too, which is another project. Both have a file "
        f"saccade/__init__.py: the one installed last is there, and uninstalling either removes it; mend it: {REMEDY}"
    )
