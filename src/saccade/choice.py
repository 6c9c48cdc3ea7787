"""Which epoch is the best: the rule, and what is refused before an epoch is trained because no choice could be made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from saccade.data.records import Corpus
from saccade.errors import DataError, RecipeError
from saccade.metrics.units import unit_of
from saccade.recipe import Recipe
from saccade.tasks import Task

AnyTask = Task[Any, Any, Any]

VAL_LOSS = "val_loss"  # beside the metrics, the loss of the validation split
# A metric below that is zero but for rounding: BLEU-4 of captions that share no four words with another is 1e-9.
ZERO = 1e-4


def is_better(metric: str, record: Mapping[str, Any], best: Mapping[str, Any] | None) -> bool:
    """Whether an epoch's record in the log is better than that of the best before it.

    The metric is higher or, where that is equal, the validation loss lower; a metric below 1e-4 is equal to 0, so that
    the loss alone decides as long as the metric says nothing. Without validation the later epoch is the better one.
    """
    return best is None or metric not in record or _standing(metric, record) > _standing(metric, best)


def _standing(metric: str, record: Mapping[str, Any]) -> tuple[float, float]:
    score, loss = (math.nan if value is None else float(value) for value in (record.get(metric), record.get(VAL_LOSS)))
    says = metric != VAL_LOSS and math.isfinite(score) and score >= ZERO
    return (score if says else 0.0), (-loss if math.isfinite(loss) else -math.inf)


def learnable(task: AnyTask, records: Sequence[Any]) -> list[Any]:
    """The validation records that have a loss; none where no training record could be like them."""
    try:
        return task.trainable(records)
    except DataError:
        return []


def check_choice(recipe: Recipe, task: AnyTask, records: Sequence[Any], data: Corpus) -> None:
    """Refuse, before the work, a metric that the validation records will not give, or records that give none.

    Raises RecipeError with the nearest metric there is, DataError.
    """
    if not task.scorable(records):
        raise DataError(
            f"{recipe.data.name}: the right answers of some {task.noun} to validate on are not known; give all of them"
        )
    metric = recipe.train.metric
    names = None if metric == task.metric else task.metric_names(records, data)
    if names is not None:
        check_metric(metric, names, loss=bool(learnable(task, records)))


def check_metric(metric: str, known: Iterable[str], *, loss: bool) -> None:
    """Raise RecipeError for a metric that cannot choose between epochs: more of it must be better."""
    names = [name for name in known if unit_of(name).kind not in ("count", "rank")] + [VAL_LOSS] * loss
    if metric not in names:
        nearest = get_close_matches(metric, names, n=1, cutoff=0.5)
        meant = f", did you mean {nearest[0]!r}?" if nearest else ";"
        listed = ", ".join(names)
        raise RecipeError(f"train.metric: no validation metric named {metric!r} to choose by{meant} there are {listed}")
