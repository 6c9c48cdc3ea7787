"""What the commands share that ask a run about an image: the numbers of what is taken away, and words to be told of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from saccade.types import Without

Numbers = Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")]


def without_of(regions: Sequence[int], words: Sequence[int] = ()) -> Without:
    """What is taken away; raises RecipeError for numbers that cannot be."""
    from saccade.types import Without

    return Without(tuple(regions), tuple(words))


def tell_unknown(words: Sequence[str]) -> None:
    """Say on standard error which words say nothing to the model, if any do."""
    if words:
        print(f"Words never seen in training, ignored: {', '.join(words)}", file=sys.stderr)
