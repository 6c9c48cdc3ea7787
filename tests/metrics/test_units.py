"""Units: every metric that the code makes has the one it should, and is printed in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import saccade
from saccade.console import print_metrics
from saccade.metrics.caption import caption_metrics
from saccade.metrics.grounding import WHOLE, GroundedPhrase, grounding_metrics, line_metrics
from saccade.metrics.retrieval import rank_similarities
from saccade.metrics.units import UNITS, examples_of, format_difference, format_metric, unit_of

SHARES = """
    accuracy accuracy_yes_no accuracy_what_color_is accuracy_color_plus wups_0.9 wups_0.0 question_types
    bleu_1 bleu_2 bleu_3 bleu_4 bleu_1_no_bp bleu_2_no_bp bleu_3_no_bp bleu_4_no_bp rouge_l meteor spice truth
    distinct_captions pointing_accuracy pointing_accuracy_step_1 pointing_accuracy_color attention_mass
    attention_mass_step_2 attention_mass_number i2t_r1 i2t_r5 i2t_r10 t2i_r1 t2i_r5 t2i_truth t2i_r10 t2i_r1_of_5_folds
    recall_1 recall_5 recall_10 upper_bound mean_iou pointing_accuracy_box pointing_accuracy_step
    recall_1_merged recall_5_merged recall_10_merged upper_bound_merged mean_iou_merged
    recall_1_people recall_1_merged_people upper_bound_body_parts pointing_accuracy_box_people
    recall_1_of_whole_image recall_1_merged_of_whole_image mean_iou_of_whole_image mean_iou_merged_of_usual_window
    pointing_accuracy_of_centre
""".split()  # noqa: SIM905
PLAIN = "cider cider_d attention_entropy attention_entropy_step_1 attention_entropy_color loss lr".split()  # noqa: SIM905
PLAIN += ["seconds", "records_per_second", "rsum", "rsum_of_5_folds"]
RANKS = ["i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr", "i2t_medr_of_5_folds"]
COUNTS = """
    words_used object_words questions answers captions sentences images images_of_5_folds images_without_result
    empty_captions epoch phrases phrases_people phrases_without_result sentences_without_result
""".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("kind", "names"),
    [("share", SHARES), ("plain", [*PLAIN, "records_per_second"]), ("rank", RANKS), ("count", COUNTS)],
)
def test_the_unit_of_every_metric(kind: str, names: list[str]) -> None:
    assert {name: unit_of(name, 1).kind for name in names} == dict.fromkeys(names, kind)


def test_every_metric_that_the_code_names_is_listed() -> None:
    found = set(caption_metrics({"a": "A dog."}, {"a": ["The dog."]}))
    found |= rank_similarities(torch.eye(2), [0, 1]).metrics().keys()
    files = [
        *Path(saccade.__file__).parent.glob("metrics/*.py"),
        *Path(saccade.__file__).parent.glob("tasks/**/*.py"),
        *Path(saccade.__file__).parent.glob("score/*.py"),
    ]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            keys = node.keys if isinstance(node, ast.Dict) else []
            found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    known = {name for name in found if any(name == entry or name.startswith(f"{entry}_") for entry in UNITS)}
    assert {"accuracy", "bleu_1_no_bp", "cider_d", "meteor", "pointing_accuracy", "object_words", "t2i_r5"} <= known
    assert known <= {*SHARES, *PLAIN, *RANKS, *COUNTS}


def test_what_a_comparison_shows_of_grounding_and_over_how_many_phrases_it_is_a_mean() -> None:
    phrases = [GroundedPhrase([WHOLE], [WHOLE], ["people", "of old"], [WHOLE], (0.5, 0.5))]
    found = grounding_metrics(phrases)
    lines = line_metrics("whole_image", phrases, [WHOLE]) | line_metrics("centre", phrases, [(0.5, 0.5)])
    names = [name for name in found if name.partition("_")[0] != "phrases"]
    assert {name: unit_of(name).kind for name in [*names, *lines]} == dict.fromkeys([*names, *lines], "share")
    by_type = {name for name in names if name.endswith(("_people", "_type_of_old"))}
    assert len(by_type) == 2 * len(set(names) - by_type)
    assert {name for name in names if unit_of(name).shown} == set(names) - by_type
    assert {name for name in lines if unit_of(name).shown} == {name for name in lines if "mean_iou" not in name}
    over = {name: examples_of(name) for name in [*names, *lines]}
    assert {name for name, count in over.items() if count} == {*names, *lines} - by_type - {"pointing_accuracy"}
    assert set(over.values()) == {"phrases", None}


def test_what_nobody_listed_is_a_count_or_plain() -> None:
    assert (unit_of("horses", 3).kind, unit_of("horses", 3.0).kind) == ("count", "plain")
    assert unit_of("accuracyx", 0.5).kind == "plain"  # no underscore, no accuracy
    assert format_metric("horses", 1234) == "1234"
    assert format_metric("split", "test") == "test"
    assert format_metric("horses", 0.5) == "0.500"


@pytest.mark.parametrize(
    ("name", "value", "deviation", "text"),
    [
        ("accuracy", 0.83142, None, "83.14 %"),
        ("accuracy", 1, None, "100.00 %"),
        ("accuracy_no", 0.5, 0.0123, "50.00 ± 1.23 %"),
        ("cider", 0.54, 0.01, "0.540 ± 0.010"),
        ("attention_entropy_step_1", 1.5, None, "1.500"),
        ("i2t_medr", 7.0, 0.5, "7.0 ± 0.5"),
        ("words_used", 12, None, "12"),
        ("words_used", 12.5, 0.5, "12.5 ± 0.5"),
    ],
)
def test_a_metric_as_it_is_printed(name: str, value: float, deviation: float | None, text: str) -> None:
    assert format_metric(name, value, deviation) == text


def test_differences_of_shares_are_points() -> None:
    assert format_difference("bleu_4", 0.0123) == "1.23 points"
    assert format_difference("cider", 0.0123) == "0.012"


def test_only_means_over_a_split_have_its_number_of_examples() -> None:
    assert (examples_of("accuracy"), examples_of("truth")) == ("questions", "images")
    assert [examples_of(name) for name in ("accuracy_color", "cider", "bleu_4", "pointing_accuracy", "horses")] == [
        None
    ] * 5
    assert all(UNITS[name].mean for name in UNITS if examples_of(name))
    assert not any(UNITS[name].mean for name in ("bleu", "meteor", "cider", "attention_entropy"))


def test_what_the_console_prints(capsys: pytest.CaptureFixture[str]) -> None:
    print_metrics(
        {
            "split": "test",
            "questions": 997,
            "accuracy": 0.5,
            "loss": 0.25,
            "question_types": {"cider is it": 0.5, "loss": 1.0},
            "baselines": {"nic": {"cider": 0.25}},
        }
    )
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["split", "test"],
        ["questions", "997"],
        ["accuracy", "50.00", "%"],
        ["loss", "0.250"],
        ["question_types:"],
        ["cider", "is", "it", "50.00", "%"],
        ["loss", "100.00", "%"],
        ["baselines:"],
        ["nic:"],
        ["cider", "0.250"],
    ]
