"""Scoring files of captions, end to end: COCO's JSON and plain text, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.metrics.caption_samples import official, random_captions

from saccade.errors import DataError, SaccadeError, SaccadeWarning
from saccade.metrics.caption import caption_metrics
from saccade.metrics.ptb import tokenize
from saccade.score import score_captions

NAMES = [f"bleu_{n}{end}" for end in ("", "_no_bp") for n in range(1, 5)]
NAMES += ["rouge_l", "cider", "cider_d", "distinct_captions", "words_used"]


def captions(seed: int = 0, images: int = 11) -> tuple[dict[int, str], dict[int, list[str]]]:
    """By image, as people write them."""
    results, references = random_captions(seed, images)
    return (
        {7 * i: f"A {text}." for i, text in enumerate(results)},
        {7 * i: [f"The {text}!" for text in group] for i, group in enumerate(references)},
    )


def write_coco(folder: Path, results: dict[Any, str], references: dict[Any, list[str]]) -> tuple[Path, Path]:
    """As COCO has them; the references in another order than the results, those of an image apart."""
    (folder / "results.json").write_text(json.dumps([{"image_id": i, "caption": c} for i, c in results.items()]))
    annotations = [{"image_id": i, "id": 100 + n, "caption": c} for i, g in references.items() for n, c in enumerate(g)]
    annotations.sort(key=lambda entry: (entry["id"], -entry["image_id"]))
    told = {"info": {}, "images": [{"id": image} for image in references], "annotations": annotations}
    (folder / "captions.json").write_text(json.dumps(told))
    return folder / "results.json", folder / "captions.json"


def write_text(folder: Path, name: str, lines: list[str]) -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def test_coco_files_score_as_their_captions_do(tmp_path: Path) -> None:
    results, references = captions()
    scores = score_captions(*_apart(write_coco(tmp_path, results, references)), java=False)
    assert list(scores) == ["images", *NAMES]
    assert scores.pop("images") == len(results)
    expected = caption_metrics(
        {str(i): text for i, text in results.items()}, {str(i): group for i, group in references.items()}
    )
    assert scores == pytest.approx(expected, rel=1e-12)
    assert scores["cider"] == scores["cider_d"] > 0


def _apart(paths: tuple[Path, Path]) -> tuple[Path, list[Path]]:
    return paths[0], [paths[1]]


def test_images_may_have_names(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(
        '[{"image_id": "a.jpg", "caption": "A dog."}, {"image_id": 5, "caption": "Cats."}]'
    )
    annotations = [{"image_id": "5", "caption": "Cats!"}, {"image_id": "a.jpg", "caption": "A dog runs."}]
    (tmp_path / "c.json").write_text(json.dumps({"annotations": annotations}))
    scores = score_captions(tmp_path / "r.json", [tmp_path / "c.json"], java=False)
    assert scores["bleu_1_no_bp"] == pytest.approx(1)
    assert (scores["distinct_captions"], scores["words_used"]) == (1, 3)


def test_plain_text_scores_as_coco_files_do(tmp_path: Path) -> None:
    results, references = captions(1)
    three = {image: (group * 3)[:3] for image, group in references.items()}
    coco = score_captions(*_apart(write_coco(tmp_path, results, three)), java=False)
    text = write_text(tmp_path, "results.txt", list(results.values()))
    files = [write_text(tmp_path, f"{n}.txt", [group[n] for group in three.values()]) for n in range(3)]
    assert score_captions(text, files, java=False) == pytest.approx(coco, rel=1e-12)
    files[0].write_bytes(files[0].read_bytes().replace(b"\n", b"\r\n"))
    assert score_captions(text, files, java=False) == pytest.approx(coco, rel=1e-12)


def test_one_caption_for_every_image_is_seen(tmp_path: Path) -> None:
    results = write_text(tmp_path, "results.txt", ["A dog runs."] * 4)
    references = write_text(tmp_path, "references.txt", ["A cat.", "A dog.", "A tree.", "Grass."])
    scores = score_captions(results, [references], java=False)
    assert (scores["distinct_captions"], scores["words_used"]) == (0.25, 3)


def test_java_is_asked_for_and_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", None)
    with pytest.raises(SaccadeError, match=r'pip install "saccade-attention\[java\]"'):
        score_captions(*_apart(write_coco(tmp_path, *captions())), java=True)


def test_java_adds_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, references = captions()
    monkeypatch.setattr("saccade.metrics.java.meteor", lambda words, _: float(words["0"] == tokenize(results[0])))
    monkeypatch.setattr("saccade.metrics.java.spice", lambda *_: 0.25)
    scores = score_captions(*_apart(write_coco(tmp_path, results, references)), java=True)
    assert list(scores) == ["images", *NAMES, "meteor", "spice"]
    assert (scores["meteor"], scores["spice"]) == (1, 0.25)


def test_results_without_references_are_named(tmp_path: Path) -> None:
    results, references = captions()
    other = {image + 1 if image > 40 else image: group for image, group in references.items()}
    parts = r"results\.json: .* got results without references: 5 \('42', '49', '56', '63', '70'\); score the images"
    with pytest.raises(DataError, match=parts):
        score_captions(*_apart(write_coco(tmp_path, results, other)), java=False)


def test_the_images_of_the_results_are_scored_and_the_others_counted(tmp_path: Path) -> None:
    """As coco-caption's example has it, `params["image_id"] = cocoRes.getImgIds()`."""
    results, references = captions()
    some = {image: results[image] for image in list(results)[:4]}
    with pytest.warns(
        SaccadeWarning, match=r"results\.json: 7 images of the references have no result and are left out"
    ):
        scores = score_captions(*_apart(write_coco(tmp_path, some, references)), java=False)
    assert (scores.pop("images"), scores.pop("images_without_result")) == (4, 7)
    alone = {str(image): references[image] for image in some}
    expected = caption_metrics({str(i): text for i, text in some.items()}, alone)
    assert scores == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("empty", ["", "  ", "...", "\u00ad"])
def test_an_empty_caption_scores_0_and_is_counted(tmp_path: Path, empty: str) -> None:
    results, references = captions()
    with pytest.warns(SaccadeWarning, match=r"1 captions have no word and score 0 \(of 14\)"):
        scores = score_captions(*_apart(write_coco(tmp_path, results | {14: empty}, references)), java=False)
    assert (scores["images"], scores["empty_captions"]) == (11, 1)
    assert "images_without_result" not in scores
    full = score_captions(*_apart(write_coco(tmp_path, results, references)), java=False)
    assert 0 < scores["rouge_l"] < full["rouge_l"]
    assert 0 < scores["cider"] < full["cider"]
    lines = write_text(tmp_path, "results.txt", ["A dog.", empty])
    with pytest.warns(SaccadeWarning, match=r"results\.txt: 1 captions have no word and score 0 \(of line 2\)"):
        scores = score_captions(lines, [write_text(tmp_path, "r.txt", ["A dog.", "A cat."])], java=False)
    assert scores["rouge_l"] == 0.5


def test_cider_of_one_image_is_said_to_say_nothing(tmp_path: Path) -> None:
    with pytest.warns(SaccadeWarning, match=r"results\.json: cider is 0 for one image alone, whatever its caption"):
        scores = score_captions(*_apart(write_coco(tmp_path, {1: "A dog."}, {1: ["A dog!"]})), java=False)
    assert (scores["cider"], scores["bleu_1"]) == (0, pytest.approx(1))


def test_words_of_every_script_keep_their_marks(tmp_path: Path) -> None:
    """Without its vowel signs the girl is the boy, and the wrong caption right."""
    results = {1: "लड़की पानी पीती है", 2: "एक कुत्ता घास पर दौड़ रहा है"}
    references = {1: ["लड़का पानी पीता है"], 2: ["एक कुत्ता घास पर दौड़ रहा है"]}
    scores = score_captions(*_apart(write_coco(tmp_path, results, references)), java=False)
    # What pycocoevalcap 1.2 gives, its tokeniser in Java.
    assert {name: round(scores[name], 3) for name in ("bleu_1", "bleu_4", "cider")} == {
        "bleu_1": 0.818,
        "bleu_4": 0.747,
        "cider": 5.417,
    }


@pytest.mark.parametrize(
    ("results", "references", "message"),
    [
        ("[", None, r"results\.json: expected a JSON file"),
        ("{}", None, r'results\.json: expected a list of objects with an "image_id" and a "caption".* got {}'),
        ("[]", None, r"results\.json: expected a list of objects .* at least one, got \[\]"),
        ("[5]", None, r"results\.json: expected a list of objects .* got 5 among them"),
        ('[{"image_id": 0}]', None, r'results\.json: expected a list .* got {"image_id": 0} among them'),
        ('[{"image_id": true, "caption": "a"}]', None, r'results\.json: expected a list .* got {"image_id": true'),
        ('[{"image_id": 0, "caption": "a"}, {"image_id": "0", "caption": "b"}]', None, r"got 1 images .* \(0\)"),
        (None, "[]", r'captions\.json: expected an object with a list "annotations" .* got \[\]'),
        (None, '{"annotations": []}', r'captions\.json: expected an object with a list "annotations"'),
        (None, '{"annotations": [{"image_id": 0, "caption": 5}]}', r"captions\.json: .* got .*5} among them"),
        (
            None,
            '{"annotations": [{"image_id": 0, "caption": ""}]}',
            r"captions\.json: expected a reference of image 0 with",
        ),
    ],
)
def test_wrong_json_is_refused(tmp_path: Path, results: str | None, references: str | None, message: str) -> None:
    paths = write_coco(tmp_path, *captions())
    for path, text in zip(paths, (results, references), strict=True):
        if text is not None:
            path.write_text(text)
    with pytest.raises(DataError, match=message):
        score_captions(paths[0], [paths[1]], java=False)


def test_wrong_text_is_refused(tmp_path: Path) -> None:
    results = write_text(tmp_path, "results.txt", ["A dog.", "A cat."])
    good = write_text(tmp_path, "good.txt", ["A dog!", "A cat!"])
    short = write_text(tmp_path, "short.txt", ["A dog!"])
    with pytest.raises(DataError, match=r"short\.txt: expected a reference on each of 2 lines, .* got 1"):
        score_captions(results, [good, short], java=False)
    empty = write_text(tmp_path, "empty.txt", ["A dog!", "  "])
    with pytest.raises(DataError, match=r"empty\.txt:2: expected a reference with a word in it, got an empty line"):
        score_captions(results, [good, empty], java=False)
    (tmp_path / "latin.txt").write_bytes("Café\nA cat\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.txt: expected a text file in UTF-8"):
        score_captions(results, [tmp_path / "latin.txt"], java=False)
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        score_captions(results, [tmp_path / "none.txt"], java=False)
    with pytest.raises(DataError, match=r"expected at least one file of references, got none"):
        score_captions(results, [], java=False)


def test_formats_do_not_mix(tmp_path: Path) -> None:
    coco, references = write_coco(tmp_path, *captions())
    text = write_text(tmp_path, "references.txt", ["A dog."])
    for files in ([text], [references, references]):
        with pytest.raises(DataError, match=r"both in COCO's format, one \.json file each, or both in plain text, got"):
            score_captions(coco, files, java=False)


def test_metrics_need_a_result_and_references() -> None:
    with pytest.raises(DataError, match="expected the caption of at least one image, got none"):
        caption_metrics({}, {})
    with pytest.raises(DataError, match=r"results without references: 1 \('b'\)"):
        caption_metrics({"a": "A dog.", "b": "A cat."}, {"a": ["A dog."], "b": []})


@pytest.mark.java
def test_a_file_scores_as_pycocoevalcap_says(tmp_path: Path) -> None:
    results, references = captions(2, 53)
    results |= {7: "", 14: "..."}
    del results[21]
    with pytest.warns(SaccadeWarning, match=r"1 images of the references|2 captions have no word"):
        scores = score_captions(*_apart(write_coco(tmp_path, results, references)), java=False)
    references = {image: references[image] for image in results}
    words = {i: tokenize(text) for i, text in results.items()}
    assert "" in words.values()
    reference_words = {i: [tokenize(text) for text in group] for i, group in references.items()}
    bleu, _ = official("bleu.bleu.Bleu", words, reference_words)
    assert [scores[f"bleu_{n}"] for n in range(1, 5)] == pytest.approx(bleu, rel=1e-9)
    for name, scorer in (("rouge_l", "rouge.rouge.Rouge"), ("cider", "cider.cider.Cider")):
        assert scores[name] == pytest.approx(official(scorer, words, reference_words)[0], rel=1e-9)
