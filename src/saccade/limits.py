"""What numbers may be, and the error that names one that may not: of recipes, tasks, features and models alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from saccade.errors import RecipeError


@dataclass(frozen=True)
class Limit:
    """The finite numbers that a field may have, or each number of a tuple; bounds are included unless they say not."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    whole: bool = False
    optional: bool = False
    """Whether None will do too."""

    def __str__(self) -> str:
        """What is expected, in words.

        >>> str(Limit(least=0, below=1)), str(Limit(above=0, whole=True, optional=True)), str(Limit(least=1, most=9))
        ('a number of at least 0 and less than 1', 'a whole number above 0, or None', 'a number from 1 to 9')
        """
        kind = "a whole number" if self.whole else "a number"
        if self.least is not None and self.most is not None:
            said = f"from {self.least:,} to {self.most:,}"
        else:
            bounds = {"of at least": self.least, "above": self.above, "at most": self.most, "less than": self.below}
            said = " and ".join(f"{word} {bound:,}" for word, bound in bounds.items() if bound is not None)
        return f"{kind} {said}".rstrip() + (", or None" if self.optional else "")

    def allows(self, value: object) -> bool:
        """Whether the field may have this value."""
        if value is None:
            return self.optional
        if isinstance(value, tuple | list):
            return all(each is not None and self.allows(each) for each in value)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )


COUNT = Limit(above=0, whole=True)
POSITIVE = Limit(above=0)
NOT_NEGATIVE = Limit(least=0)
SHARE = Limit(least=0, most=1)
# Of something that is not to be taken whole: a dropout of 1 leaves nothing.
PART = Limit(least=0, below=1)
# Wider layers and longer stacks than memory holds are slips of the hand.
WIDTH = Limit(least=1, most=65_536, whole=True)
DEPTH = Limit(least=1, most=1_000, whole=True)
PIXELS = Limit(least=16, most=16_384, whole=True)


def optional(limit: Limit) -> Limit:
    """The limit of a field that may also be None."""
    return Limit(limit.least, limit.above, limit.most, limit.below, limit.whole, optional=True)


def check_limit(limit: Limit, **values: object) -> None:
    """Raise RecipeError for the first value beyond the limit, with its name, what was expected, and what came."""
    check_limits({name: (limit, value) for name, value in values.items()})


def check_limits(fields: Mapping[str, tuple[Limit, object]]) -> None:
    """Raise RecipeError for the first of the named values that is beyond its limit."""
    for name, (limit, value) in fields.items():
        if not limit.allows(value):
            raise RecipeError(f"{name}: expected {limit}, got {value!r}")
