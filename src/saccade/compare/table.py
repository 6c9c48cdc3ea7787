"""The table of a comparison: means and standard deviations over seeds, and which differences may be noise."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.errors import look_up
from saccade.metrics.units import examples_of, format_difference, format_metric, unit_of
from saccade.serial import write_json, write_text

MARKDOWN, CSV, JSON = "comparison.md", "comparison.csv", "comparison.json"


@dataclass(frozen=True)
class Result:
    """One run on the split compared: its metrics.json, how many numbers its model learns, and how long it trained.

    ``seconds`` are those of its epochs, validation not counted.
    """

    seed: int
    metrics: Mapping[str, Any]
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """An entry's results, at least one."""

    label: str
    results: tuple[Result, ...]

    def values(self, metric: str) -> list[float]:
        """The metric in each run; raises UnknownNameError when one lacks it."""
        return [look_up(result.metrics, metric, "metric") for result in self.results]

    def has(self, metric: str) -> bool:
        """Whether every run has the metric."""
        return all(metric in result.metrics for result in self.results)

    def mean(self, metric: str) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.values(metric))

    def deviation(self, metric: str) -> float | None:
        """The sample standard deviation over seeds, with n - 1 below; None for one seed."""
        return statistics.stdev(self.values(metric)) if len(self.results) > 1 else None

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return self.results[0].parameters

    @property
    def seconds(self) -> float:
        """The mean time of training, validation not counted."""
        return statistics.fmean(result.seconds for result in self.results)


@dataclass(frozen=True)
class Difference:
    """How far an entry's mean lies below the best one's; the standard error is None where either has one run only."""

    label: str
    best: str
    value: float
    standard_error: float | None

    @property
    def exceeds(self) -> bool | None:
        """Whether it is more than two standard errors; None where that is unknown."""
        return None if self.standard_error is None else self.value > 2 * self.standard_error


@dataclass(frozen=True)
class Comparison:
    """A row for each entry that has a result, in the order given, and how many runs there are to be in all.

    ``metric`` is the one that tells which entry is best.
    """

    rows: tuple[Row, ...]
    runs: int
    metric: str = "accuracy"

    def metrics(self) -> list[str]:
        """The names of the metrics that some run has, but for counts."""
        every = [result.metrics for row in self.rows for result in row.results]
        return list(dict.fromkeys(name for of in every for name, value in of.items() if isinstance(value, float)))

    def differences(self, metric: str | None = None) -> list[Difference]:
        """Each other entry beside the one with the highest mean, the first of equals.

        The standard error is that of Welch's test, sqrt(s1^2 / n1 + s2^2 / n2): the noise of training alone.
        """
        metric = metric or self.metric
        rows = [row for row in self.rows if row.has(metric)]
        best = max(rows, key=lambda row: row.mean(metric))
        return [
            Difference(row.label, best.label, best.mean(metric) - row.mean(metric), _standard_error(best, row, metric))
            for row in rows
            if row is not best
        ]

    def sampling_error(self, metric: str | None = None) -> float | None:
        """The largest standard error of a mean that comes from which examples were taken, were they independent.

        Binomial, sqrt(p (1 - p) / examples); scores between 0 and 1 of the same mean cannot vary more. None for a
        metric that is no such mean, or over an unknown number of examples.
        """
        metric = metric or self.metric
        examples = examples_of(metric)
        if examples is None:
            return None
        means = [row.mean(metric) for row in self.rows if row.has(metric)]
        return max(math.sqrt(mean * (1 - mean) / self._about[examples]) for mean in means)

    def to_markdown(self, metrics: Sequence[str] | None = None) -> str:
        """The table as Markdown with notes on its noise; by default of the metrics shown by `metrics.units`."""
        if metrics is None:
            metrics = [name for name in self.metrics() if unit_of(name).shown]
        head, *body = self._cells(metrics)
        rule = ["---", *["---:"] * (len(head) - 1)]
        body = [["`" + label.replace("|", "\\|") + "`", *cells] for label, *cells in body]
        table = "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))
        return "\n\n".join([table, *self._notes("`")]) + "\n"

    def table(self, metrics: Sequence[str] | None = None) -> str:
        """The table as aligned plain text with the same notes, for a terminal; by default of the one metric."""
        lines = self._cells(metrics or (self.metric,))
        label, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = "\n".join(
            "  ".join([first.ljust(label), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
            for first, *cells in lines
        )
        return "\n\n".join([table, *self._notes("")])

    def to_csv(self) -> str:
        """A line for each run with all its metrics, shares as fractions of 1; empty where it lacks one."""
        results = [(row.label, result) for row in self.rows for result in row.results]
        names = list(dict.fromkeys(name for _, result in results for name in result.metrics))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["label", "seed", "parameters", "seconds", *names])
        for label, result in results:
            values = [result.metrics.get(name, "") for name in names]
            writer.writerow([label, result.seed, result.parameters, result.seconds, *values])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """The runs, their means and deviations, and the differences, as plain values."""
        rows = []
        for row in self.rows:
            known = [name for name in self.metrics() if row.has(name)]
            summary = {name: {"mean": row.mean(name), "deviation": row.deviation(name)} for name in known}
            rows.append(dataclasses.asdict(row) | {"summary": summary})
        differences = [dataclasses.asdict(each) | {"exceeds": each.exceeds} for each in self.differences()]
        return {"runs": self.runs, "rows": rows, "differences": differences, **self._errors()}

    def write(self, out: Path) -> None:
        """Write comparison.md, comparison.csv and comparison.json into a folder."""
        write_text(out / MARKDOWN, self.to_markdown())
        write_text(out / CSV, self.to_csv())
        write_json(out / JSON, self.to_dict())

    @property
    def _about(self) -> Mapping[str, Any]:
        """What all runs were evaluated on: split, questions, images."""
        return self.rows[0].results[0].metrics

    def _errors(self) -> dict[str, float]:
        """The sampling error, where the metric is a mean over examples."""
        error = self.sampling_error()
        return {} if error is None else {"sampling_error": error}

    def _cells(self, metrics: Sequence[str]) -> list[list[str]]:
        known = dict.fromkeys(self.metrics())
        for name in metrics:
            look_up(known, name, "metric")
        lines = [["recipe", "parameters", *metrics, "training minutes"]]
        for row in self.rows:
            values = [_mean_and_deviation(row, name) for name in metrics]
            lines.append([row.label, f"{row.parameters:,}", *values, f"{row.seconds / 60:.1f}"])
        return lines

    def _notes(self, quote: str) -> list[str]:
        """What was evaluated, and which of the differences may be noise."""
        about, done = self._about, [len(row.results) for row in self.rows]
        seeds = f"{max(done)} seeds" if min(done) == max(done) else f"{min(done)} to {max(done)} seeds"
        over = f"mean ± sample standard deviation over {seeds}" if max(done) > 1 else "one seed each"
        texts = next(f"{about[what]:,} {what}" for what in ("questions", "captions") if what in about)
        notes = [f"Split {about['split']}: {texts} about {about['images']:,} images; {over}."]
        if sum(done) < self.runs:
            notes.append(f"Unfinished: {sum(done)} of {self.runs} runs so far.")
        differences = self.differences()
        if differences:
            best = f"{quote}{differences[0].best}{quote}"
            verdicts = [f"- {quote}{each.label}{quote}: {_verdict(each, self.metric)}" for each in differences]
            notes += [f"Below {best}, the best by {self.metric}:", "\n".join(verdicts)]
        same = "answer the same questions" if "questions" in about else "caption the same images"
        training = f"Deviations over seeds are the noise of training alone: all runs {same}. "
        said = training if max(done) > 1 else ""
        error, examples = self.sampling_error(), examples_of(self.metric)
        if error is not None:
            taken = "questions were asked gives an" if examples == "questions" else f"{examples} were taken gives the"
            said += (
                f"Which {taken} {self.metric} a standard error of up to {format_difference(self.metric, error)} "
                f"besides (binomial, {examples} taken as independent)."
            )
        return [*notes, said.strip()] if said else notes


def _standard_error(a: Row, b: Row, metric: str) -> float | None:
    """Of the difference of two means; None where one of them is of a single run."""
    deviations = a.deviation(metric), b.deviation(metric)
    if None in deviations:
        return None
    return math.hypot(*(s / math.sqrt(len(row.results)) for s, row in zip(deviations, (a, b), strict=True) if s))


def _mean_and_deviation(row: Row, metric: str) -> str:
    """Both in the metric's unit; a dash where a run lacks it."""
    return format_metric(metric, row.mean(metric), row.deviation(metric)) if row.has(metric) else "–"


def _verdict(difference: Difference, metric: str) -> str:
    value = format_difference(metric, difference.value)
    if difference.standard_error is None:
        return f"{value}; one seed does not tell how much of it is noise"
    judged = "exceeds" if difference.exceeds else "does not exceed"
    error = format_difference(metric, difference.standard_error).removesuffix(" points")
    return f"{value}, standard error {error}: {judged} 2 standard errors"
