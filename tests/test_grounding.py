"""`saccade ground`, and a run that grounds, from training to its page: as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.explain.page_reader import Reader

from saccade import Predictor
from saccade.cli import main
from saccade.data import create_dataset
from saccade.data.records import Caption
from saccade.data.scenes import write_scenes
from saccade.errors import DataError, RunError
from saccade.evaluate import evaluate
from saccade.score import score_grounding

SENTENCE = "the red circle is left of the blue square."


@pytest.fixture(scope="module")
def predictor(grounding_run: Path) -> Predictor:
    return Predictor.from_pretrained(grounding_run)


def ground(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    main(["ground", *map(str, arguments)])
    return capsys.readouterr()


def test_the_command_prints_a_box_in_pixels_for_each_phrase(grounding_run, scene, capsys) -> None:
    out, _ = ground(
        capsys, grounding_run, scene, SENTENCE, "--phrase", "the red circle", "--phrase", "square", "--top", 2
    )
    lines = out.splitlines()
    assert [line.partition("%")[2].partition(":")[0].strip() for line in lines] == ["the red circle"] * 2 + [
        "square"
    ] * 2
    numbers = [int(part.strip(",")) for part in lines[0].partition(":")[2].replace("to", "").split()]
    assert len(numbers) == 4
    assert 0 <= min(numbers) <= max(numbers) <= 96


def test_json_and_the_reply_say_the_same(grounding_run, predictor, scene, capsys) -> None:
    out, _ = ground(capsys, grounding_run, scene, SENTENCE, "--json")
    found, reply = json.loads(out), predictor.ground(scene, SENTENCE)
    assert found == json.loads(json.dumps(reply.to_dict()))
    assert [each["phrase"] for each in found["phrases"]] == ["the red circle", "the blue square"]
    assert all(len(each["boxes"]) == 10 for each in found["phrases"])
    assert all(sum(each["weights"][0]) == pytest.approx(1, abs=1e-3) for each in found["attention"])
    assert repr(reply) == f"GroundReply({SENTENCE!r}, 'the red circle', 'the blue square')"
    [shown] = Reader(reply._repr_html_()).figures
    assert len(shown["panels"]) >= 3


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_phrases_are_drawn_in_colours_each_with_its_map(grounding_run, scene, tmp_path, capsys, suffix) -> None:
    drawn = tmp_path / f"look{suffix}"
    out, _ = ground(capsys, grounding_run, scene, SENTENCE, "--explain", drawn)
    assert f"drawn in {drawn}" in out
    assert drawn.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--phrase", "the red circel"],
            'blue square." is "the red circle"',
        ),
        (["--top", "0"], "top: expected at least 1 box"),
        (["--nms", "2"], "nms: expected"),
        (["--explain", "look.gif"], "did you mean '.png'"),
    ],
)
def test_what_the_command_refuses(grounding_run, scene, capsys, arguments, message) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["ground", str(grounding_run), str(scene), SENTENCE, *arguments])
    assert stopped.value.code in (1, 2)
    assert message in capsys.readouterr().err


def test_unreadable_images_and_other_runs_are_refused(grounding_run, matching_run, scene, tmp_path, capsys) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    for run, image, message in (
        (grounding_run, tmp_path / "gone.jpg", "gone.jpg"),
        (grounding_run, tmp_path / "broken.jpg", "broken.jpg"),
        (matching_run, scene, "is for matching, not for grounding"),
        (tmp_path / "none", scene, "none"),
    ):
        with pytest.raises(SystemExit):
            main(["ground", str(run), str(image), SENTENCE])
        assert message in capsys.readouterr().err
    with pytest.raises(RunError, match=r"use saccade ground, or Predictor\.ground"):
        Predictor.from_pretrained(grounding_run).ask(scene, "where is it")


def test_suppression_leaves_out_what_overlaps_a_better_box(predictor, scene) -> None:
    all_boxes, thinned = (predictor.ground(scene, SENTENCE, nms=nms).phrases[0].found.boxes for nms in (None, 0.2))
    assert all_boxes[0] == thinned[0]
    assert all_boxes != thinned


def test_a_run_is_evaluated_as_score_scores_its_results(grounding_run, tmp_path) -> None:
    metrics = evaluate(grounding_run, out=tmp_path / "out", accelerator="cpu")
    assert {"recall_1_of_whole_image", "recall_1_of_sentence_without_phrase", "recall_1_several"} <= metrics.keys()
    assert metrics["phrases_without_box"] == 0
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == metrics["sentences"]
    data = create_dataset("scenes-phrases", limit=24)
    own = [
        {
            "image": record.image,
            "sentence": record.text,
            "phrases": [{"words": p.words, "boxes": p.boxes, "types": p.kinds} for p in record.phrases],
        }
        for record in data.records(Caption, "test")
    ]
    annotations = tmp_path / "test.jsonl"
    annotations.write_text("".join(json.dumps(line) + "\n" for line in own))
    scored = score_grounding(tmp_path / "out" / "results.json", annotations)
    for name in ("recall_1", "recall_10", "recall_1_merged", "mean_iou", "recall_5_several", "pointing_accuracy_box"):
        assert scored[name] == pytest.approx(metrics[name]), name


@pytest.mark.filterwarnings("ignore:the weights of .* are random")
def test_own_sentences_with_phrases_are_learnt_and_captions_without_are_refused(tmp_path, capsys) -> None:
    write_scenes(tmp_path / "own", images=12)
    for split in ("train", "val", "test"):
        (tmp_path / "own" / f"phrases_{split}.jsonl").replace(tmp_path / "own" / f"{split}.jsonl")
    arguments = ["--smoke", "--sizes.hidden-size", "8", "--train.accelerator", "cpu", "--train.logger", "none"]
    main(
        ["train", "ban-grounder-own", "--data.root", str(tmp_path / "own"), "--out", str(tmp_path / "run"), *arguments]
    )
    out = "".join(capsys.readouterr())
    assert "phrases with box one" in out
    assert "upper bound: " in out
    assert "upper bound by type: one " in out
    for split in ("train", "val", "test"):
        (tmp_path / "own" / f"captions_{split}.jsonl").replace(tmp_path / "own" / f"{split}.jsonl")
    with pytest.raises(SystemExit):
        main(
            [
                "train",
                "ban-grounder-own",
                "--data.root",
                str(tmp_path / "own"),
                "--out",
                str(tmp_path / "b"),
                *arguments,
            ]
        )
    assert "expected sentences with phrases that have boxes, got none" in capsys.readouterr().err


def test_many_sentences_are_predicted_into_a_file(grounding_run, scene, tmp_path, capsys) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_text(json.dumps({"image": str(scene), "sentence": SENTENCE, "note": 1}) + "\n")
    main(["predict", str(grounding_run), str(lines), "--root", "/", "--out", str(tmp_path / "out.jsonl")])
    [found] = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert [each["phrase"] for each in found["phrases"]] == ["the red circle", "the blue square"]
    assert found["note"] == 1


def test_a_sentence_without_phrases_and_one_without_words(predictor, scene) -> None:
    with pytest.raises(DataError, match="no phrase was noticed"):
        predictor.ground(scene, "is left of")
    with pytest.raises(DataError, match="at least one word"):
        predictor.ground(scene, "...")
