"""The official tools read every result file that is written: pycocotools and pycocoevalcap, and VQA's own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data import caption_files, vqa_files

from saccade.data.coco_captions import CocoCaptions
from saccade.data.flickr import Flickr8k
from saccade.data.karpathy import Karpathy
from saccade.data.own import OwnData
from saccade.data.records import Caption, Corpus, Question
from saccade.data.scenes import Scenes, write_scenes
from saccade.data.vqa import Vqa
from saccade.metrics.ptb import tokenize
from saccade.score import score_captions
from saccade.tasks import AnsweringConfig, CaptioningConfig
from saccade.tasks.answering.task import AnswerPrediction
from saccade.tasks.captioning.coco import coco_files, image_numbers
from saccade.tasks.captioning.task import CaptionPrediction


def own(folder: Path) -> OwnData:
    """Own captions of scenes whose images are named as COCO's are."""
    write_scenes(folder / "scenes", images=30)
    out = folder / "own"
    for split in ("train", "val", "test"):
        lines = [json.loads(line) for line in (folder / "scenes" / f"captions_{split}.jsonl").read_text().splitlines()]
        for line in lines:
            name = f"images/COCO_val2014_{390000 + int(Path(line['image']).stem):012d}.png"
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "scenes" / line["image"]).rename(out / name)
            line["image"] = name
        (out / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return OwnData(out)


def corpus_of(kind: str, folder: Path) -> Corpus:
    if kind == "own":
        return own(folder)
    if kind == "flickr8k":
        return Flickr8k(caption_files.write_flickr8k(folder, test=6))
    if kind == "coco":
        return CocoCaptions(caption_files.write_coco(folder, numbers={"train": range(9, 40), "val": range(50, 58)}))
    if kind == "coco2017":
        return CocoCaptions(caption_files.write_coco(folder, 2017, {"train": range(9, 40), "val": range(50, 58)}))
    if kind == "karpathy":
        splits = ["train"] * 8 + ["val"] * 4 + ["test"] * 8
        entries = [caption_files.coco_entry(391890 + n, split) for n, split in enumerate(splits)]
        return Karpathy(caption_files.write_karpathy(folder, "coco", entries), "coco")
    return Scenes(train=20, val=2, test=8)


def exported(data: Corpus, folder: Path) -> tuple[Path, Path]:
    """The files of captions that are each some reference, of this image or the one before."""
    records = data.records(Caption, "test")
    task = CaptioningConfig(min_word_count=1).task()
    built = task.build(records, CaptioningConfig(min_word_count=1))
    examples = built.examples(records)
    predictions = [
        CaptionPrediction(
            each.image, tokenize(examples[i - i % 3].captions[0].text), -1.0, tuple(c.text for c in each.captions)
        )
        for i, each in enumerate(examples)
    ]
    files = built.exports(predictions, data)
    folder.mkdir()
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return folder / "results.json", folder / "references.json"


class OurTokens:
    """In place of the tokeniser in Java: the same words."""

    def tokenize(self, captions: dict[int, list[dict[str, Any]]]) -> dict[int, list[str]]:
        return {image: [tokenize(each["caption"]) for each in said] for image, said in captions.items()}


class Silent:
    """In place of METEOR and SPICE, which are slow."""

    def method(self) -> str:
        return "none"

    def compute_score(self, references: dict[int, Any], _: Any) -> tuple[float, list[float]]:
        return 0.0, [0.0] * len(references)


@pytest.mark.parametrize("kind", ["scenes", "flickr8k", "own", "coco", "coco2017", "karpathy"])
def test_cocos_tools_read_and_score_the_captions(kind, tmp_path, monkeypatch) -> None:
    evaluation = pytest.importorskip("pycocoevalcap.eval")
    for name, stand_in in {"PTBTokenizer": OurTokens, "Meteor": Silent, "Spice": Silent}.items():
        monkeypatch.setattr(evaluation, name, stand_in)
    results, references = exported(corpus_of(kind, tmp_path), tmp_path / "out")
    from pycocotools.coco import COCO

    truth = COCO(str(references))
    scorer = evaluation.COCOEvalCap(truth, truth.loadRes(str(results)))
    scorer.evaluate()
    ours = score_captions(results, [references], java=False)
    assert ours["images"] == len(truth.getImgIds()) > 1
    for theirs, name in {"Bleu_1": "bleu_1", "Bleu_4": "bleu_4", "ROUGE_L": "rouge_l", "CIDEr": "cider"}.items():
        assert ours[name] == pytest.approx(scorer.eval[theirs], abs=1e-6)
    assert 0 < ours["bleu_4"] < 1
    assert all(type(entry["image_id"]) is int for entry in json.loads(results.read_text()))


@pytest.mark.parametrize(("kind", "year"), [("coco", 2014), ("coco2017", 2017)])
def test_results_on_coco_are_read_against_its_own_annotations(kind, year, tmp_path) -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO

    results, _ = exported(corpus_of(kind, tmp_path), tmp_path / "out")
    truth = COCO(str(tmp_path / "annotations" / f"captions_val{year}.json"))
    assert truth.loadRes(str(results)).getImgIds() == list(range(50, 58))


@pytest.mark.java
def test_cocos_tools_read_them_with_their_own_tokeniser(tmp_path, monkeypatch) -> None:
    evaluation = pytest.importorskip("pycocoevalcap.eval")
    for name in ("Meteor", "Spice"):
        monkeypatch.setattr(evaluation, name, Silent)
    results, references = exported(corpus_of("coco", tmp_path), tmp_path / "out")
    from pycocotools.coco import COCO

    truth = COCO(str(references))
    scorer = evaluation.COCOEvalCap(truth, truth.loadRes(str(results)))
    scorer.evaluate()
    assert score_captions(results, [references], java=False)["cider"] == pytest.approx(scorer.eval["CIDEr"], abs=1e-6)


def test_ids_of_coco_are_cocos() -> None:
    names = ["391895", "COCO_val2014_000000000042.jpg", "val2017/000000000073.jpg"]
    assert list(image_numbers(names).values()) == [391895, 42, 73]
    files = coco_files(dict.fromkeys(names, "a dog"), dict.fromkeys(names, ("one", "two")))
    assert [entry["image_id"] for entry in files["results.json"]] == [391895, 42, 73]
    references = files["references.json"]
    assert references["images"][:2] == [{"id": 391895}, {"id": 42, "file_name": names[1]}]
    assert [entry["image_id"] for entry in references["annotations"]] == [391895, 391895, 42, 42, 73, 73]
    assert len({entry["id"] for entry in references["annotations"]}) == 6


@pytest.mark.parametrize("names", [["1_a.jpg", "2_b.jpg"], ["1.jpg", "a/1.jpg"], ["7", "no number"]])
def test_other_images_are_numbered_in_order_and_named(names) -> None:
    assert list(image_numbers(names).values()) == [1, 2]
    images = coco_files({}, dict.fromkeys(names, ("one",)))["references.json"]["images"]
    assert images == [{"id": 1, "file_name": names[0]}, {"id": 2, "file_name": names[1]}]


def load_vqa_results(questions: Path, annotations: Path, results: Path) -> dict[int, str]:
    """What `VQA.loadRes` of the official vqa.py, written out from memory, asks of a result file."""
    asked, annotated = (json.loads(path.read_text()) for path in (questions, annotations))
    choices = {entry["question_id"]: entry.get("multiple_choices") for entry in asked["questions"]}
    entries = json.loads(results.read_text())
    assert type(entries) is list, "results is not an array of objects"
    ids = [entry["question_id"] for entry in entries]
    wanted = {entry["question_id"] for entry in annotated["annotations"]}
    assert set(ids) == wanted, (
        "Results do not correspond to current VQA set. Either the results do not have predictions"
    )
    for entry in entries:
        if asked.get("task_type") == "Multiple Choice":
            assert entry["answer"] in choices[entry["question_id"]], (
                "predicted answer is not one of the multiple choices"
            )
    return {entry["question_id"]: entry["answer"] for entry in entries}


@pytest.mark.parametrize(("version", "task"), [(2, "open-ended"), (1, "open-ended"), (1, "multiple-choice")])
def test_vqas_reader_takes_the_answers(version, task, tmp_path) -> None:
    data = Vqa(vqa_files.write_vqa(tmp_path, version, with_images=False), version, task=task)
    questions = data.records(Question, "val")
    built = AnsweringConfig().task().build(questions, AnsweringConfig())
    predictions = [AnswerPrediction(q, (((q.choices or ("red",))[0], 1.0),), 1.0) for q in questions]
    value = built.exports(predictions, data)["results.json"]
    (tmp_path / "results.json").write_text(json.dumps(value))
    prefix, name = "v2_" * (version == 2), {"open-ended": "OpenEnded", "multiple-choice": "MultipleChoice"}[task]
    files = (f"{prefix}{name}_mscoco_val2014_questions.json", f"{prefix}mscoco_val2014_annotations.json")
    answers = load_vqa_results(*(tmp_path / file for file in files), tmp_path / "results.json")
    assert answers == {int(p.question.id): p.answers[0][0] for p in predictions}
