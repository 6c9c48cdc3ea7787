"""Where a run lies that a user names: a folder here, or a repository of the Hugging Face hub."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from saccade.errors import RunError

HUB = re.compile(r"(?:hub:|hf://)([\w-][\w.-]*/[\w.-]+)")


def run_folder(run: str | Path) -> Path:
    """The run's folder: as named, or fetched from the hub where the name begins with hub: or hf://; raises RunError."""
    path, name = Path(run), str(run)
    if not name.startswith(("hub:", "hf:")):
        if not path.exists() and re.fullmatch(r"[\w-]+/[\w.-]+", name):
            raise RunError(
                f"{path}: no such run directory; `saccade train RECIPE --out {path}` makes one. The Hugging Face hub "
                f"is asked for as hub:{name}"
            )
        return path
    match = HUB.fullmatch(name)
    if match is None:
        raise RunError(f"{name}: expected a repository of the Hugging Face hub as hub:OWNER/NAME")
    return _fetched(match[1])


def _fetched(repository: str) -> Path:
    """The folder of a repository's run, fetched from the hub unless it is in its cache; raises RunError."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only here is the hub needed
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    from saccade.state import MODEL  # noqa: PLC0415 - loads PyTorch, which a name alone does not need

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its warnings of retries and of missing accounts say less than our error
    try:
        folder = Path(snapshot_download(repository, allow_patterns=["*.json", MODEL], ignore_patterns=["*/*"]))
        if (folder / MODEL).exists():
            return folder
        reason = f"its repository lacks {MODEL}"
    except RepositoryNotFoundError:
        reason = "it has none, or it is private"
    except Exception as error:  # the hub's client raises what its HTTP library raises
        reason = str(error).partition("\n")[0] or type(error).__name__
    finally:
        logger.setLevel(level)
    raise RunError(f"hub:{repository}: the hub gave no run of that name ({reason})")
