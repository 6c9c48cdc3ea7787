"""`saccade check`: what it says of good data and of every fault, the page, the exit codes, the time it foretells."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.explain.page_reader import Reader

from saccade.check import Findings, check
from saccade.check.expected import Expected, expected_seconds
from saccade.check.page import facts, findings_page
from saccade.check.texts import answer_counts, baselines
from saccade.data.own import OwnData
from saccade.data.records import Question
from saccade.data.scenes import write_scenes
from saccade.errors import UnknownNameError
from saccade.recipe import DataConfig
from saccade.recipes import RECIPES, get_recipe
from saccade.train import train

pytestmark = pytest.mark.filterwarnings("ignore:scenes-cnn knows nothing but generated scenes")
Lines = list[dict[str, Any]]


def picture(number: int, size: tuple[int, int] = (60, 50)) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def examples(page: str) -> Lines:
    """The panels of a page's examples that have an image."""
    [shown] = [figure for figure in Reader(page).figures if figure["title"] == "Examples"]
    return [panel for panel in shown["panels"] if panel["picture"]]


def write(root: Path, lines: Lines, **splits: Lines) -> Path:
    """Lines of training and of other splits, and a picture of its own for every image that has none."""
    root.mkdir(exist_ok=True)
    for split, records in {"train": lines, **splits}.items():
        for record in records:
            path = root / record["image"]
            if not path.exists():
                number = int(re.sub(r"\D", "", path.stem) or 0)
                picture(number, record.pop("size", (60, 50))).save(path)
        (root / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return root


def asked(count: int, answer: Callable[[int], str] = lambda n: f"thing {n % 7}", start: int = 0) -> Lines:
    return [
        {"image": f"{n}.png", "question": f"what is number {n % 5}?", "answers": [answer(n)]}
        for n in range(start, start + count)
    ]


def captioned(count: int, text: Callable[[int], str]) -> Lines:
    return [{"image": f"{n}.png", "captions": [text(n)]} for n in range(count)]


def warned(root: Path, **options: Any) -> str:
    return "\n".join(check(root, **options)[0].warnings)


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is measured but where a test asks for it itself."""
    monkeypatch.setattr("saccade.check.expected_seconds", lambda recipe, data: Expected(60, 180))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Good data, but for the number of images."""
    folder: Path = tmp_path_factory.mktemp("own") / "scenes"
    write_scenes(folder, images=130)
    return folder


def test_good_data_has_counts_and_no_warnings(scenes: Path) -> None:
    findings, data = check(scenes, quick=True)
    assert findings.trainable
    assert not [text for text in findings.warnings if "too few to tell" not in text]
    assert findings.counts == {split: data.counts(split) for split in data.splits}
    assert sum(findings.answers.values()) == sum(counts["questions"] for counts in findings.counts.values())
    assert list(findings.answers.values()) == sorted(findings.answers.values(), reverse=True)
    assert set(findings.kinds) == {"position", "size", "color", "shape", "count", "relation", "existence"}
    assert findings.command == f"saccade train dfaf-own --data.root {scenes}"
    assert 0 < findings.blind["usual answer"] <= findings.blind["question alone"] < 1
    assert len({each.image for each in findings.examples}) == 5


FAULTS: dict[str, tuple[Lines, str]] = {
    "one answer": (asked(200, lambda n: "yes" if n % 4 else f"no {n % 8}"), r"'yes' is the answer to 75\.00 % of the"),
    "spelling": (
        asked(200, lambda n: ("two", "2", "red", "red.", "blue", "four")[n % 6]),
        r"2 answers are spelt in several ways.*: '2' = 'two', 'red' = 'red\.'; .*--task\.scoring vqa",
    ),
    "case": (asked(200, lambda n: ("Red", "red", "blue")[n % 3]), "1 answers differ by case .*same: 'Red' = 'red'"),
    "sentences": (asked(150, lambda n: f"it is thing {n}"), r"150 of 150 questions have an answer that no other has"),
    "few images": (asked(99), "99 images are few: with fewer than 100"),
    "images twice": (
        [line | {"image": f"{n % 3}.png"} for n, line in enumerate(asked(300))],
        "questions are asked again about the same image and answered otherwise",
    ),
    "blind": (asked(400, lambda n: f"thing {n % 5}"), r"the question alone tells 100\.00 % of the answers"),
    "small": ([line | {"size": (20, 30)} for line in asked(120)], "120 of 120 images are smaller than 48 pixels"),
    "long": ([line | {"size": (400, 60)} for line in asked(120)], "more than 3 times as long as wide"),
    "one caption": (captioned(120, lambda n: "A cup."), "all 120 captions are the same, 'a cup.'"),
    "mostly one caption": (
        captioned(120, lambda n: "a cup here" if n % 5 else f"a bus {n}"),
        r"'a cup here' is 80\.00 % of the captions",
    ),
    "words as captions": (captioned(120, lambda n: f"bus{n}"), "most captions are single words"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_told(fault: str, tmp_path: Path) -> None:
    lines, message = FAULTS[fault]
    said = warned(write(tmp_path / "own", lines), quick=fault not in ("small", "long"))
    assert re.search(message, said), said


def test_faults_between_splits_are_told(tmp_path: Path) -> None:
    other = [line | {"question": "wherefore art thou?", "answers": ["never heard"]} for line in asked(20, start=130)]
    root = write(tmp_path / "own", asked(130), val=asked(12, start=200), test=other)
    (root / "135.png").write_bytes((root / "7.png").read_bytes())
    (root / "3.png").write_bytes((root / "3.png").read_bytes()[:100])
    said = warned(root)
    for message in (
        r"val has 12 questions about 12 images, too few to tell one epoch from another: a share of them is off by 14",
        r"100\.00 % of the words of test are unknown after training: 'wherefore', 'art', 'thou'",
        r"100\.00 % of the questions of test have an answer that train never has \(never heard\)",
        r"1 images are in two splits, under two names or one \(7\.png of train is 135\.png of test\)",
        r"1 of 162 images cannot be opened, and are left out: .*3\.png",
    ):
        assert re.search(message, said), (message, said)


def test_all_wrong_lines_are_listed_and_the_code_is_1(tmp_path: Path, saccade) -> None:
    root = write(tmp_path / "own", asked(120))
    wrong = [
        "{",
        '{"image": "gone.png", "question": "q", "answers": ["a"]}',
        json.dumps(asked(1)[0] | {"question": "?!"}),
    ]
    with (root / "train.jsonl").open("ab") as file:
        file.write(b"\xff\n" + "".join(line + "\n" for line in wrong * 8).encode())
    outcome = saccade("check", root, "--out", tmp_path / "page.html", "--quick")
    assert outcome.code == 1
    errors = [line for line in outcome.out.splitlines() if line.startswith("error: ")]
    assert len(errors) == 21
    assert errors[-1] == "error: and 5 more"
    assert [int(error.split("train.jsonl:")[1].partition(":")[0]) for error in errors[:20]] == list(range(121, 141))
    assert "It cannot be trained on yet: 25 errors" in outcome.out
    assert "Train on it" not in outcome.out
    page = (tmp_path / "page.html").read_text()
    assert "and 5 more" in page
    assert len(examples(page)) == 5
    with (root / "train.jsonl").open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in [*asked(120), json.loads(wrong[1])])
    skipped = saccade("check", root, "--out", tmp_path / "page.html", "--quick", "--missing", "skip")
    assert skipped.code == 0
    assert f"saccade train dfaf-own --data.root {root} --data.missing skip" in skipped.out


def test_what_leaves_nothing_to_validate_on_is_an_error(tmp_path: Path, refused) -> None:
    findings, _ = check(write(tmp_path / "own", asked(2)), quick=True)
    assert not findings.trainable
    assert re.match(r"(train|val): .*left none for (train|val)", findings.errors[0])
    for number in range(40):
        (tmp_path / "own" / f"{number}.png").write_bytes(b"none")
    findings, _ = check(write(tmp_path / "own", asked(40)))
    assert [error for error in findings.errors if error.startswith("none of the 40 images can be opened: ")]
    refused("check", tmp_path / "nowhere", parts=("no such folder",))


def test_json_is_one_object(scenes: Path, saccade, tmp_path: Path) -> None:
    outcome = saccade("check", scenes, "--json", "--quick", "--out", tmp_path / "page.html")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert {field.name for field in dataclasses.fields(Findings)} - {"examples"} < found.keys()
    assert found["trainable"] is True
    assert found["expected"] is None
    assert found["why"] == "not measured, as --quick says"
    assert found["page"] == str(tmp_path / "page.html")


def test_the_page_holds_everything(scenes: Path, saccade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = saccade("check", scenes)
    assert outcome.code == 0, outcome
    assert "Takes about 4 minutes: about a minute to extract, about 3 minutes to train" in outcome.out
    assert outcome.out.endswith(f"Examples: {tmp_path / 'check.html'}\n")
    page = (tmp_path / "check.html").read_text()
    assert len(examples(page)) == 5
    assert page.count("data:image/jpeg;base64,") == 5
    assert "://" not in page
    for text in ("Takes about 4 minutes", "saccade train dfaf-own", "Question types: 7", "96 x 96"):
        assert text in page


def test_every_kind_of_data_has_a_recipe(scenes: Path, tmp_path: Path) -> None:
    from saccade.check import RECIPES as OF_KINDS

    assert set(OF_KINDS) == {"questions", "captions", "phrases"}
    assert set(OF_KINDS.values()) <= set(RECIPES)
    findings, _ = check(write(tmp_path / "rare", captioned(120, lambda n: f"bus{n}")), quick=True)
    assert "words that the training texts have at least 2 times" in findings.errors[0]
    findings, _ = check(write(tmp_path / "own", captioned(120, lambda n: f"a thing {n % 9}")), quick=True)
    assert findings.recipe == "sat-soft-own"
    assert findings.answers == findings.kinds == findings.blind == {}
    boxed = [
        {"image": line["image"], "sentence": "a thing", "phrases": [{"words": [0, 2], "boxes": [[0, 0, 1, 1]]}]}
        for line in captioned(120, lambda n: "a thing")
    ]
    findings, _ = check(write(tmp_path / "boxed", boxed), quick=True)
    assert findings.recipe == "ban-grounder-own"


def test_answers_are_counted_by_class_and_baselines_by_training() -> None:
    def ask(text: str, *answers: str) -> Question:
        return Question("1", "a", text, answers)

    found = [ask("x", "Red", "red", "blue"), ask("x", "red"), ask("y", "blue")]
    assert answer_counts(found) == {"Red": 2, "blue": 1}
    test = [ask("x", "red"), ask("y", "blue"), ask("y", "green"), ask("new", "red")]
    assert baselines({"train": found, "test": test}) == {"usual answer": 0.5, "question alone": 0.75}
    assert baselines({"train": found}) == {}


@pytest.mark.parametrize("tuned", [False, True])
def test_the_time_foretold_is_about_that_of_training(scenes: Path, tmp_path: Path, tuned: bool) -> None:
    """Its order of magnitude, for the machine may be busy with something else in one of the two."""
    recipe = get_recipe("sat-soft-scenes" if tuned else "r-dan-scenes")
    root = scenes
    if tuned:
        root = tmp_path / "captions"
        root.mkdir()
        (root / "images").symlink_to(scenes / "images")
        for split in ("train", "val", "test"):
            (root / f"{split}.jsonl").write_text((scenes / f"captions_{split}.jsonl").read_text())
    changes: dict[str, Any] = {"metric": "bleu_4", "finetune_from": 0} if tuned else {}
    recipe = dataclasses.replace(
        recipe,
        data=DataConfig("own", str(root), store=str(tmp_path / "store"), limit=24),
        train=dataclasses.replace(recipe.train, epochs=2, batch_size=40, accelerator="cpu", **changes),
    )
    expected = expected_seconds(recipe, OwnData(root))
    started = time.perf_counter()
    train(recipe, tmp_path / "run")
    taken = time.perf_counter() - started
    assert taken / 10 < expected.extraction + expected.training < 10 * taken
    assert min(expected.extraction, expected.training) > 0


def test_a_time_that_cannot_be_told_says_why(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Expected:
        raise UnknownNameError("backbone", "resnot", ["resnet"])

    monkeypatch.setattr("saccade.check.expected_seconds", fail)
    findings, _ = check(scenes)
    assert str(findings.expected).startswith("cannot be told: no backbone named 'resnot'")


def test_phrases_are_counted_and_drawn(tmp_path: Path) -> None:
    box = [0.1, 0.2, 0.5, 0.9]
    phrases = [{"phrase": "a cup", "boxes": [box, [0.5, 0, 1, 1]], "type": "thing"}, {"phrase": "a table", "boxes": []}]
    lines = [{"image": f"{n}.png", "sentence": f"number {n}: a cup on a table", "phrases": phrases} for n in range(120)]
    findings, data = check(write(tmp_path / "own", lines), quick=True)
    assert findings.trainable
    assert findings.counts["train"]["phrases_with_box_thing"] == findings.counts["train"]["captions"]
    shown = facts(findings)["train"]
    count = findings.counts["train"]["captions"]
    assert f"{2 * count} phrases, {count} phrases with box, {count} phrases with box thing" in shown
    assert f"{count} phrases without box, {count} phrases without box no box" in shown
    page = findings_page(findings, data, "own")
    assert page.count("Without a box: a table") == 5
    outlined = [[each["label"] for each in panel["picture"]["outlines"]] for panel in examples(page)]
    assert outlined == [["a cup", "a cup"]] * 5
