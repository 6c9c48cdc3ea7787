"""What the numbers are: shares, plain numbers, ranks or counts, told by the names of the metrics.

One table. A name is that of an entry or begins with it, an underscore behind: `accuracy_yes_no` is an accuracy; of two
entries the longer one tells. Of what nobody listed whole numbers are counts, and others plain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["share", "plain", "rank", "count"]


@dataclass(frozen=True)
class Unit:
    """How a metric is shown and what may be done with it."""

    kind: Kind
    """share: a fraction of 1, shown as a percentage; plain: a number with a scale of its own; rank: a place in an
    order, 1 the best; count: how many there are."""
    mean: bool = False
    """Whether it is a mean over examples of values from 0 to 1, so that a binomial standard error bounds its own."""
    shown: bool = False
    """Whether the table of a comparison shows it unasked."""
    over: str = ""
    """The count in metrics.json that says over how many examples it is a mean, where it is one over all of a split."""
    alone: bool = False
    """Whether it is shown unasked by itself only, and not by type."""


SCORE, MEAN = Unit("share", shown=True), Unit("share", mean=True, shown=True)
LINE = Unit("share", mean=True, shown=True, over="phrases")
QUIET, PLAIN, RANK, COUNT = Unit("share", mean=True), Unit("plain"), Unit("rank", shown=True), Unit("count")

UNITS = {
    # Answers, and groups of accuracies by type.
    "accuracy": Unit("share", mean=True, shown=True, over="questions"),
    **dict.fromkeys(("wups", "question_types"), MEAN),
    # Captions. BLEU, METEOR and CIDEr are no means of values from 0 to 1.
    **dict.fromkeys(("bleu", "meteor"), SCORE),
    **dict.fromkeys(("rouge_l", "spice"), MEAN),
    "truth": Unit("share", mean=True, shown=True, over="images"),
    "cider": Unit("plain", shown=True),
    "distinct_captions": Unit("share"),
    # Where a model looks.
    "pointing_accuracy": Unit("share", mean=True, shown=True, alone=True),
    "pointing_accuracy_step": MEAN,
    "attention_mass": QUIET,
    "attention_entropy": PLAIN,
    # Search in both directions.
    **dict.fromkeys(("i2t", "t2i"), MEAN),
    "rsum": Unit("plain", shown=True),
    **dict.fromkeys(("i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr"), RANK),
    # Grounding: by any box and by the merged one, and of each what a line to beat gets, its name behind "of".
    **dict.fromkeys(("recall", "upper_bound", "mean_iou"), QUIET),
    **{
        f"{name}{end}": Unit("share", mean=True, shown=True, over="phrases", alone=True)
        for name in ("recall_1", "recall_5", "recall_10", "upper_bound", "mean_iou")
        for end in ("", "_merged")
    },
    "pointing_accuracy_box": Unit("share", mean=True, shown=True, over="phrases", alone=True),
    **dict.fromkeys(("recall_1_of", "recall_1_merged_of", "pointing_accuracy_of"), LINE),
    **dict.fromkeys(("mean_iou_of", "mean_iou_merged_of"), Unit("share", mean=True, over="phrases")),
    # Training. A loss is a mean over records, in nats: of a caption the sum over its words.
    **dict.fromkeys(("loss", "val_loss", "lr", "seconds", "records_per_second"), PLAIN),
    **dict.fromkeys(("epoch", "step", "words_used", "object_words"), COUNT),
    **dict.fromkeys(("questions", "answers", "captions", "images", "sentences", "empty_captions"), COUNT),
    **dict.fromkeys(("phrases", "sentences_without_result", "phrases_without_result"), COUNT),
}


def unit_of(name: str, value: object = 0.0) -> Unit:
    """The unit of a metric; the value decides where the table has no entry for the name.

    >>> unit_of("bleu_1_no_bp").kind, unit_of("i2t_medr").kind, unit_of("horses", 3).kind, unit_of("speed", 2.5).kind
    ('share', 'rank', 'count', 'plain')
    """
    parts = name.split("_")
    for length in range(len(parts), 0, -1):
        if unit := UNITS.get("_".join(parts[:length])):
            return replace(unit, shown=False) if unit.alone and length < len(parts) else unit
    return COUNT if isinstance(value, int) else PLAIN


def examples_of(name: str) -> str | None:
    """The count that says over how many examples the metric is a mean of values from 0 to 1; None where none does.

    >>> examples_of("accuracy"), examples_of("accuracy_yes_no"), examples_of("recall_1_of_whole_image")
    ('questions', None, 'phrases')
    """
    unit = UNITS.get(name) or UNITS.get(name.partition("_of_")[0] + "_of")
    return unit.over or None if unit else None


def format_metric(name: str, value: object, deviation: float | None = None) -> str:
    """The metric as it is printed, with its standard deviation where there is one; what is no number as it is.

    >>> format_metric("accuracy", 0.83142), format_metric("cider", 0.5403, 0.012), format_metric("i2t_medr", 7.0)
    ('83.14 %', '0.540 ± 0.012', '7.0')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    scale, places, end = _SHOWN_AS[unit_of(name, value).kind]
    if isinstance(value, int) and not end:
        return str(value)
    spread = "" if deviation is None else f" ± {scale * deviation:.{places}f}"
    return f"{scale * value:.{places}f}{spread}{end}"


_SHOWN_AS = {"share": (100, 2, " %"), "plain": (1, 3, ""), "rank": (1, 1, ""), "count": (1, 1, "")}


def format_difference(name: str, value: float) -> str:
    """How far two values of a metric are apart: points between shares.

    >>> format_difference("accuracy", 0.0213), format_difference("cider", 0.0213)
    ('2.13 points', '0.021')
    """
    scale, places, end = _SHOWN_AS[unit_of(name, value).kind]
    return f"{scale * value:.{places}f}{' points' if end else ''}"


def percentage(share: float) -> str:
    """A share with two decimals, as metrics have them.

    >>> percentage(0.83142)
    '83.14 %'
    """
    return f"{100 * share:.2f} %"
