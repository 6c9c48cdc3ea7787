"""Weights that sum to 1: what is refused, the scale they are drawn with, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from saccade.errors import SaccadeError

# Half precision leaves sums of a few hundred weights within this of 1.
SUM_TOLERANCE = 0.02
# A scale reaches at least this many times the even share, so that an almost even map looks almost even.
LEAST_CONTRAST = 4.0
# The strongest weight is worth an outline when it is this many times the even share; else the map is called even.
LEAST_LEAD = 1.2


def check_weights(weights: Sequence[float], what: str) -> None:
    """Raise SaccadeError for weights that are none at all, not finite, below 0, or do not sum to 1."""
    if not len(weights):
        raise SaccadeError(f"{what}: expected a row of at least one, got none")
    if wrong := sum(not math.isfinite(weight) for weight in weights):
        raise SaccadeError(f"{what}: {wrong} of {len(weights)} are not finite numbers")
    if min(weights) < 0:
        raise SaccadeError(f"{what}: expected none below 0, got {min(weights):.3g}")
    total = math.fsum(weights)
    if abs(total - 1) > SUM_TOLERANCE:
        raise SaccadeError(f"{what}: expected a sum of 1, got {total:.3g}")


def even_share(weights: Sequence[float]) -> float:
    """The weight that each would have if all had the same."""
    return 1.0 / len(weights)


def scale_top(weights: Sequence[float]) -> float:
    """The weight at the upper end of the scale that these weights are drawn with; the lower end is 0."""
    return min(1.0, max(*weights, least_top(weights)))


def least_top(weights: Sequence[float]) -> float:
    """What the upper end of their scale is at the least."""
    return min(1.0, LEAST_CONTRAST * even_share(weights))


def scaled(weights: Sequence[float]) -> Float[np.ndarray, " weights"]:
    """The weights' places on their scale, from 0 to 1."""
    return np.clip(np.asarray(weights, dtype=np.float64) / scale_top(weights), 0.0, 1.0)


def strongest(weights: Sequence[float]) -> int | None:
    """The index of the largest weight, or None when the weights are as good as even."""
    top = int(np.argmax(weights))
    return top if weights[top] > LEAST_LEAD * even_share(weights) else None


def weight_text(weight: float, count: int) -> str:
    """A weight among `count`, with enough decimals that the printed weights sum to 1 within 0.05.

    >>> weight_text(1 / 7, 7), weight_text(1 / 196, 196)
    ('0.14', '0.0051')
    """
    return f"{weight:.{max(2, math.ceil(math.log10(count)) + 1)}f}"


def short_text(weight: float) -> str:
    """A weight on its own, to two digits.

    >>> short_text(0.3219), short_text(1 / 196), short_text(1.0)
    ('0.32', '0.0051', '1.0')
    """
    return f"{weight:#.2g}"


def share_text(share: float) -> str:
    """A share of 1 as a percentage with one decimal; what is almost nothing is not called nothing.

    >>> share_text(0.8314), share_text(0.0002), share_text(0.0)
    ('83.1 %', '< 0.1 %', '0.0 %')
    """
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def said(weights: Sequence[float]) -> str:
    """What a map with these weights over regions says, in words.

    >>> said([0.7, 0.1, 0.1, 0.1])
    '4 regions, the strongest 0.70, 2.8 times the even share'
    >>> said([0.5, 0.5]), said([1.0])
    ('even: none of 2 regions above 1.2 times the mean', '1 region, which has all the weight')
    """
    count, top = len(weights), strongest(weights)
    if count == 1:
        return "1 region, which has all the weight"
    if top is None:
        return f"even: none of {count} regions above {LEAST_LEAD} times the mean"
    lead = weights[top] / even_share(weights)
    times = f"{lead:.1f}" if lead < 10 else f"{lead:.0f}"
    return f"{count} regions, the strongest {short_text(weights[top])}, {times} times the even share"
