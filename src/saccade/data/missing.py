"""Images that a corpus speaks of and does not have: how the error says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from saccade.errors import DataError, first

NAMED = 10  # an error names so many images


def in_folders(image: str, folders: Sequence[str]) -> str:
    """Where an image was looked for, in words; "" is the corpus's own folder."""
    named = [f"{folder}/" for folder in folders if folder] + ["the folder itself"] * ("" in folders)
    return f"{image} in {', '.join(named)}"


def refuse_missing(missing: Sequence[str], images: Sequence[str], split: str, looked: str, root: Path | str) -> None:
    """Raises DataError when images of a split are missing, saying how many, which, and where was looked."""
    if missing:
        raise DataError(
            f"{len(missing):,} of the {len(images):,} images of split {split} are not there "
            f"({first(missing, NAMED)}); looked for {looked}: put the files there, or leave out what is about them "
            "with --data.missing skip",
            root,
        )
