"""The table of a comparison: its figures against NumPy, its files in full, what it says of noise."""

from __future__ import annotations

import csv
import io
import itertools
import json

import numpy as np
import pytest

from saccade.compare import Comparison, Result, Row
from saccade.errors import UnknownNameError

# Made-up accuracies of three entries with three, three and two seeds.
ACCURACIES = {"a": (0.50, 0.53, 0.58), "b": (0.61, 0.60, 0.65), "c|d --x 1": (0.59, 0.64)}
ABOUT = {"split": "test", "questions": 997, "images": 131}


def made_up(accuracies: dict[str, tuple[float, ...]], *, runs: int, **further: float) -> Comparison:
    rows = [
        Row(
            label,
            tuple(
                Result(seed, {**ABOUT, "accuracy": value, **further}, parameters=1234, seconds=60.0 * (seed + 1))
                for seed, value in enumerate(values)
            ),
        )
        for label, values in accuracies.items()
    ]
    return Comparison(tuple(rows), runs)


def test_means_and_deviations_are_numpys() -> None:
    for row in made_up(ACCURACIES, runs=8).rows:
        values = np.array(ACCURACIES[row.label])
        assert row.mean("accuracy") == pytest.approx(values.mean(), rel=1e-12)
        assert row.deviation("accuracy") == pytest.approx(values.std(ddof=1), rel=1e-12)
        assert row.seconds == pytest.approx(60 * np.arange(1, len(values) + 1).mean())


def test_differences_are_from_the_best_with_welchs_standard_error() -> None:
    found = made_up(ACCURACIES, runs=8).differences()
    best = np.array(ACCURACIES["b"])
    assert [(each.label, each.best) for each in found] == [("a", "b"), ("c|d --x 1", "b")]
    for each in found:
        values = np.array(ACCURACIES[each.label])
        error = np.sqrt(best.var(ddof=1) / len(best) + values.var(ddof=1) / len(values))
        assert each.value == pytest.approx(best.mean() - values.mean(), rel=1e-9)
        assert each.standard_error == pytest.approx(error, rel=1e-9)
        assert each.exceeds == (each.value > 2 * error)
    assert [each.exceeds for each in found] == [True, False]


def test_one_seed_has_no_deviation_and_no_verdict() -> None:
    comparison = made_up({"a": (0.5,), "b": (0.75,)}, runs=2)
    assert comparison.rows[0].deviation("accuracy") is None
    (difference,) = comparison.differences()
    assert (difference.label, difference.value, difference.standard_error, difference.exceeds) == (
        "a",
        0.25,
        None,
        None,
    )
    text = comparison.to_markdown()
    assert "| `a` | 1,234 | 50.00 % | 1.0 |" in text
    assert "- `a`: 25.00 points; one seed does not tell how much of it is noise" in text
    assert "one seed each" in text
    assert "Deviations" not in text


def test_the_sampling_error_bounds_that_of_drawn_questions() -> None:
    comparison = made_up({"a": (0.3, 0.3), "b": (0.9, 0.9)}, runs=4)
    drawn = np.random.default_rng(0).binomial(997, 0.3, size=20_000) / 997
    assert comparison.sampling_error() == pytest.approx(drawn.std(), rel=0.03)


def test_the_markdown_in_full() -> None:
    text = made_up(ACCURACIES, runs=9, accuracy_color=0.25, attention_entropy=1.5, attention_mass=0.5).to_markdown()
    assert text == (
        "| recipe | parameters | accuracy | accuracy_color | training minutes |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| `a` | 1,234 | 53.67 ± 4.04 % | 25.00 ± 0.00 % | 2.0 |\n"
        "| `b` | 1,234 | 62.00 ± 2.65 % | 25.00 ± 0.00 % | 2.0 |\n"
        "| `c\\|d --x 1` | 1,234 | 61.50 ± 3.54 % | 25.00 ± 0.00 % | 1.5 |\n"
        "\n"
        "Split test: 997 questions about 131 images; mean ± sample standard deviation over 2 to 3 seeds.\n"
        "\n"
        "Unfinished: 8 of 9 runs so far.\n"
        "\n"
        "Below `b`, the best by accuracy:\n"
        "\n"
        "- `a`: 8.33 points, standard error 2.79: exceeds 2 standard errors\n"
        "- `c|d --x 1`: 0.50 points, standard error 2.93: does not exceed 2 standard errors\n"
        "\n"
        "Deviations over seeds are the noise of training alone: all runs are of the same questions. Which questions "
        "were asked gives an accuracy a standard error of up to 1.58 points besides (binomial, questions taken as "
        "independent).\n"
    )


def test_chosen_metrics_and_those_that_an_entry_lacks() -> None:
    with_maps, without = made_up({"a": (0.5, 0.6)}, runs=4, attention_entropy=1.5), made_up({"b": (0.5, 0.5)}, runs=4)
    both = Comparison(with_maps.rows + without.rows, 4)
    assert both.metrics() == ["accuracy", "attention_entropy"]
    table = both.to_markdown(["attention_entropy"])
    assert "| `a` | 1,234 | 1.500 ± 0.000 |" in table
    assert "| `b` | 1,234 | – |" in table
    with pytest.raises(UnknownNameError, match="no metric named 'acuracy'; did you mean 'accuracy'"):
        both.table(["acuracy"])
    with pytest.raises(UnknownNameError, match="no metric named 'attention_entropy'"):
        both.rows[1].mean("attention_entropy")


def test_the_plain_table_is_aligned() -> None:
    head, *lines = made_up(ACCURACIES, runs=8).table().split("\n\n")[0].splitlines()
    assert head.split() == ["recipe", "parameters", "accuracy", "training", "minutes"]
    assert {len(line) for line in lines} == {len(head)}
    assert len(lines) == 3


def test_the_csv_can_be_analysed_again() -> None:
    comparison = made_up(ACCURACIES, runs=8)
    lines = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    found = {label: [float(x["accuracy"]) for x in group] for label, group in _grouped(lines)}
    assert {label: tuple(values) for label, values in found.items()} == ACCURACIES
    assert lines[0] | {"accuracy": ""} == {
        "label": "a", "seed": "0", "parameters": "1234", "seconds": "60.0",
        "split": "test", "questions": "997", "images": "131", "accuracy": "",
    }  # fmt: skip


def _grouped(lines: list[dict]) -> list[tuple[str, list[dict]]]:
    return [(label, list(group)) for label, group in itertools.groupby(lines, key=lambda line: line["label"])]


def test_the_json_holds_runs_summaries_and_differences() -> None:
    value = json.loads(json.dumps(made_up(ACCURACIES, runs=8).to_dict()))
    assert value["runs"] == 8
    assert [len(row["results"]) for row in value["rows"]] == [3, 3, 2]
    assert value["rows"][1]["summary"]["accuracy"]["mean"] == pytest.approx(0.62)
    assert [each["exceeds"] for each in value["differences"]] == [True, False]


def captions(metric: str, **values: tuple[float, ...]) -> Comparison:
    about = {"split": "test", "captions": 50, "images": 100}
    rows = [
        Row(label, tuple(Result(seed, {**about, metric: v}, 1234, 60.0) for seed, v in enumerate(of)))
        for label, of in values.items()
    ]
    return Comparison(tuple(rows), sum(map(len, values.values())), metric, "captions")


def test_differences_are_told_in_the_unit_of_the_metric() -> None:
    text = captions("cider", a=(0.50, 0.52), b=(0.54, 0.55)).to_markdown()
    assert "| `a` | 1,234 | 0.510 ± 0.014 | 1.0 |" in text
    assert "- `a`: 0.035, standard error 0.011: exceeds 2 standard errors" in text
    assert "binomial" not in text
    assert "sampling_error" not in captions("cider", a=(0.5,)).to_dict()


def test_a_mean_over_images_has_the_sampling_error_of_so_many() -> None:
    comparison = captions("truth", a=(0.5, 0.5), b=(0.9, 0.9))
    assert comparison.sampling_error() == pytest.approx(0.05)
    assert comparison.to_dict()["sampling_error"] == pytest.approx(0.05)
    assert "Which images were taken gives the truth a standard error of up to 5.00 points" in comparison.to_markdown()
    assert comparison.sampling_error("cider") is None
