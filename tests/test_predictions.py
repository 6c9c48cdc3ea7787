"""`saccade predict`: what a run says of many images, the same wherever it is killed, whatever is damaged."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saccade.data.scenes import Scenes
from saccade.data.unlabelled import Asked
from saccade.errors import DataError, ImageError, RecipeError, RunError
from saccade.predict import Predictor
from saccade.predictions import _batches, predict
from saccade.progress import Report
from saccade.recipes import get_recipe
from saccade.train import train

QUESTIONS = ("what color is the large circle?", "is there a cross?", "how many things are there?")


def trained(name: str, store: str, out: Path) -> Path:
    recipe = get_recipe(name).smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=store),
        train=dataclasses.replace(recipe.train, accelerator="cpu", epochs=1),
        sizes=recipe.sizes | {"hidden_size": 16},
    )
    train(recipe, out)
    return out


@pytest.fixture(scope="module")
def captioner(scenes_store, tmp_path_factory) -> Path:
    return trained("sat-soft-scenes", scenes_store, tmp_path_factory.mktemp("runs") / "captioner")


@pytest.fixture(scope="module")
def answering(trained_run) -> Predictor:
    return Predictor.from_pretrained(trained_run, device="cpu")


@pytest.fixture(scope="module")
def captioning(captioner) -> Predictor:
    return Predictor.from_pretrained(captioner, device="cpu")


@pytest.fixture(scope="module")
def matching(matching_run) -> Predictor:
    return Predictor.from_pretrained(matching_run, device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Eleven scenes, one of them cut short."""
    folder, scenes = tmp_path_factory.mktemp("photos"), Scenes()
    for number in range(11):
        scenes.open_image(f"test/{number:05d}").save(folder / f"{number:02d}.png")
    whole = (folder / "05.png").read_bytes()
    (folder / "05.png").write_bytes(whole[: len(whole) // 3])
    return folder


@pytest.fixture
def asked(photos, tmp_path) -> Path:
    """Sixty lines in any order about eleven images, one damaged, and one that is not there."""
    generator = random.Random(0)
    lines = [
        {
            "id": number,
            "image": f"{generator.randrange(12):02d}.png",
            "question": generator.choice(QUESTIONS),
            "answer": "a label",
        }
        for number in range(60)
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Told(Report):
    """Keeps what it is told; at `stop` lines it fails as if the process were killed."""

    def __init__(self, stop: int | None = None) -> None:
        self.said, self.stop, self.progress = [], stop, []

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, stage: str, done: int, total: int, unit: str) -> None:
        self.progress.append((stage, done, total, unit))
        if self.stop is not None and done >= self.stop:
            raise KeyboardInterrupt


# What is said is what the predictor says


def test_answers_are_those_of_the_predictor(answering, photos, asked, tmp_path) -> None:
    report = Told()
    found = predict(answering, asked, tmp_path / "a.jsonl", root=photos, batch_size=7, report=report)
    lines = rows(tmp_path / "a.jsonl")
    assert [line["id"] for line in lines] == list(range(60))
    failed = [line for line in lines if "error" in line]
    assert (found.lines, found.failed, found.there) == (60, len(failed), False)
    assert {line["image"] for line in failed} == {"05.png", "11.png"}
    for line in lines:
        assert line.pop("given_answer") == "a label"
        if line["image"] in ("05.png", "11.png"):
            kind = "damaged" if line["image"] == "05.png" else "no such image file"
            assert kind in line.pop("error")
            assert list(line) == ["id", "image", "question"]
            continue
        reply = answering.ask(photos / line["image"], line["question"])
        assert (line["answer"], line["probability"]) == (reply.answer, pytest.approx(reply.answers[0][1], abs=2e-6))
        assert list(line) == ["id", "image", "question", "answer", "probability"]
    assert report.progress[-1] == ("predict", 60, 60, "questions")
    assert sum(text.startswith("left out ") for text in report.said) == 2


def test_captions_are_those_of_the_predictor(captioning, photos, tmp_path) -> None:
    predict(captioning, photos, tmp_path / "c.jsonl", options={"beam": 3, "top": 2}, batch_size=4)
    lines = rows(tmp_path / "c.jsonl")
    assert [line["image"] for line in lines] == sorted(path.name for path in photos.iterdir())
    for line in lines:
        if line["image"] != "05.png":
            [reply] = captioning.caption(photos / line["image"], beam=3, top=2)
            assert line["caption"] == reply.caption
            assert line["log_probability"] == pytest.approx(reply.log_probability, abs=1e-4)
            assert [each["caption"] for each in line["alternatives"]] == [text for text, _ in reply.alternatives]


def test_scores_are_those_of_the_predictor(matching, photos, tmp_path) -> None:
    sentences = ("a red circle above a cross", "two small squares")
    predict(matching, photos, tmp_path / "s.jsonl", texts=sentences, batch_size=5)
    lines = rows(tmp_path / "s.jsonl")
    assert len(lines) == 22
    for line in lines:
        if line["image"] != "05.png":
            [reply] = matching(photos / line["image"], line["sentence"])
            assert line["score"] == pytest.approx(reply.score, abs=1e-5)
    assert len({line.get("score") for line in lines}) == 21


def test_every_task_writes_the_columns_that_it_says(answering, captioning, matching, photos, tmp_path) -> None:
    best = {"top": 1}
    for predictor, texts, options in (
        (answering, QUESTIONS[:1], best),
        (captioning, (), best),
        (matching, ("a cross",), {}),
    ):
        predict(predictor, photos / "00.png", tmp_path / "a.jsonl", texts=texts, options=options, overwrite=True)
        [line] = rows(tmp_path / "a.jsonl")
        assert {*line} == {"image", predictor.task.text, *predictor.task.columns} - {"", "alternatives"}


def test_the_best_alone_is_written_unless_more_are_asked_for(answering, photos, tmp_path) -> None:
    for top in (None, 3):
        predict(answering, photos / "00.png", tmp_path / f"{top}.jsonl", texts=QUESTIONS[:1], options={"top": top})
    [one], [three] = rows(tmp_path / "None.jsonl"), rows(tmp_path / "3.jsonl")
    reply = answering.ask(photos / "00.png", QUESTIONS[0], top=3)
    assert "alternatives" not in one
    assert [three["answer"], *(each["answer"] for each in three["alternatives"])] == [a for a, _ in reply.answers]


def test_a_table_to_a_table(answering, photos, tmp_path) -> None:
    (tmp_path / "x.csv").write_text("\ufeffimage;shelf;question\n00.png;top;is there a cross?\n05.png;;is there?\n")
    predict(answering, tmp_path / "x.csv", tmp_path / "a.csv", root=photos)
    with (tmp_path / "a.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["image", "shelf", "question", "answer", "probability", "error"]
    assert (first["shelf"], first["error"], second["answer"]) == ("top", "", "")
    assert "damaged" in second["error"]


# Looked at once


def test_a_batch_ends_where_an_image_does_not_fit_in_whole() -> None:
    def lines(images: str) -> list[Asked]:
        return [Asked(image, str(i), {}) for i, image in enumerate(images)]

    def split(images: str, size: int, done: int = 0) -> list[tuple[int, str]]:
        return [(start, "".join(each.image for each in batch)) for start, batch in _batches(lines(images), size, done)]

    assert split("aabbbcd", 4) == [(0, "aa"), (2, "bbbc"), (6, "d")]
    assert split("aaaaaaab", 3) == [(0, "aaa"), (3, "aaa"), (6, "ab")]
    assert split("abcd", 1) == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert split("", 3) == []
    generator = random.Random(0)
    for _ in range(200):
        images, size = "".join(generator.choices("aaab", k=generator.randrange(1, 20))), generator.randrange(1, 6)
        whole = split(images, size)
        assert "".join(batch for _, batch in whole) == images
        assert max(len(batch) for _, batch in whole) <= size
        done = generator.randrange(len(images))
        assert split(images, size, done) == [(start, batch) for start, batch in whole if start + len(batch) > done]


def test_the_questions_about_an_image_look_at_it_once(answering, photos, tmp_path, monkeypatch) -> None:
    looked: list[int] = []
    original = answering.extractor.backbone.forward
    monkeypatch.setattr(answering.extractor.backbone, "forward", lambda x: looked.append(len(x)) or original(x))
    predict(answering, photos, tmp_path / "a.jsonl", texts=QUESTIONS, batch_size=8)
    assert sum(looked) == 10


# Killed and started again


@pytest.mark.parametrize("stop", [1, 20, 45, 60])
def test_stopped_and_called_again_it_writes_the_same_file(captioning, photos, tmp_path, stop) -> None:
    """With sampling, half a line at the end, and a batch that is half there."""
    (tmp_path / "x.jsonl").write_text("".join(f'{{"image": "{i % 11:02d}.png", "n": {i}}}\n' for i in range(60)))
    options = {"root": photos, "options": {"sample": True, "temperature": 2.0}, "batch_size": 7}
    predict(captioning, tmp_path / "x.jsonl", tmp_path / "whole.csv", **options)
    with pytest.raises(KeyboardInterrupt):
        predict(captioning, tmp_path / "x.jsonl", out := tmp_path / "a.csv", **options, report=Told(stop))
    partial = tmp_path / "a.csv.partial"
    content = partial.read_bytes()
    partial.write_bytes(content[: len(content) - 30 * (stop > 1)])
    predict(captioning, tmp_path / "x.jsonl", out, **options, report=(report := Told()))
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert any(text.startswith("going on after ") for text in report.said)
    with out.open(newline="") as file:
        assert len({line["caption"] for line in csv.DictReader(file)}) > 20


def test_killed_in_the_middle_the_same_command_goes_on(trained_run, photos, asked, tmp_path, saccade) -> None:
    lines = asked.read_text()
    asked.write_text(lines * 8)
    command = ["predict", trained_run, asked, "--root", photos, "--batch-size", 4, "--device", "cpu", "--out"]
    arguments = [str(argument) for argument in (*command, tmp_path / "a.jsonl")]
    process = subprocess.Popen([sys.executable, "-m", "saccade", *arguments], stderr=subprocess.DEVNULL)
    partial = tmp_path / "a.jsonl.partial"
    while not (partial.exists() and partial.stat().st_size > 1000):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert partial.exists()
    assert saccade(*arguments).code == 0
    assert saccade(*command, tmp_path / "whole.jsonl").code == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial.exists()


def test_what_is_finished_is_said_and_what_is_of_another_run_or_input_refused(
    trained_run, captioner, photos, asked, tmp_path, saccade, refused
) -> None:
    command = ["predict", trained_run, asked, "--root", photos, "--out", tmp_path / "a.csv"]
    first = saccade(*command)
    assert first.code == 0
    before = (tmp_path / "a.csv").stat()
    again = saccade(*command)
    assert (again.code, (tmp_path / "a.csv").stat()) == (0, before)
    assert again.out == f"{tmp_path}/a.csv is finished already, with 60 lines; --overwrite makes it anew\n"
    assert again.err.endswith(first.err.splitlines()[-1] + "\n")
    refused(*command, "--top", 2, parts=("was made otherwise", 'options ({"top": 1}, now {"top": 2})', "--overwrite"))
    refused("predict", captioner, *command[2:], parts=("was made otherwise", "run ("))
    shutil.copytree(photos, tmp_path / "photos")
    refused(*command, "--root", tmp_path / "photos", parts=("was made otherwise", "folder ("))
    asked.write_text(asked.read_text() + '{"image": "00.png", "question": "is there a cross?"}\n')
    refused(*command, parts=("was made otherwise", "input ("))
    assert saccade(*command, "--overwrite").code == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 62


def test_a_smaller_batch_may_go_on(answering, photos, asked, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        predict(answering, asked, tmp_path / "a.jsonl", root=photos, batch_size=20, report=Told(20))
    predict(answering, asked, tmp_path / "a.jsonl", root=photos, batch_size=3)
    assert [line["id"] for line in rows(tmp_path / "a.jsonl")] == list(range(60))


# What cannot be


def test_the_command_says_what_it_left_out(saccade, trained_run, photos, tmp_path) -> None:
    questions = ("--question", QUESTIONS[0], "--question", "a zebra?")
    outcome = saccade("predict", trained_run, photos, *questions, "--out", tmp_path / "a.csv")
    assert (outcome.code, outcome.out) == (0, f"20 predictions in {tmp_path}/a.csv\n")
    said = outcome.err.splitlines()
    assert said[0] == "words never seen in training, ignored in 11 of 22: zebra"
    assert f"left out {photos}/05.png: the image is damaged" in said[1]
    assert said[-1] == 'left out 2 of 22 lines, whose image could not be read: "error" says why'


def test_where_no_image_can_be_read_there_is_no_file(refused, trained_run, photos, tmp_path) -> None:
    command = ("predict", trained_run, photos / "05.png", "--question", "what?", "--out", tmp_path / "a.csv")
    refused(*command, parts=("none of the 1 lines has an image that could be read",))
    (tmp_path / "x.jsonl").write_text('{"image": "00.png", "question": "what?"}\n')
    command = ("predict", trained_run, tmp_path / "x.jsonl", "--out", tmp_path / "a.csv")
    parts = ("x.jsonl: none of its 1 lines has an image that is there, as '00.png'", "name the folder with --root")
    refused(*command, parts=parts)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('{"image": "00.png"}', ("x.jsonl:2: expected a question about each image",)),
        ('{"image": "00.png", "question": "?!"}', ("x.jsonl:2: expected a question with at least one word, got '?!'",)),
        ("00.png", ("x.jsonl:2: expected one JSON object",)),
    ],
)
def test_a_wrong_line_is_told_before_anything_is_computed(refused, trained_run, photos, tmp_path, line, parts) -> None:
    (tmp_path / "x.jsonl").write_text('{"image": "00.png", "question": "what?"}\n' + line)
    refused("predict", trained_run, tmp_path / "x.jsonl", "--root", photos, "--out", tmp_path / "a.csv", parts=parts)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_what_does_not_fit_the_run_is_refused(answering, captioning, photos, tmp_path) -> None:
    out = tmp_path / "a.csv"
    with pytest.raises(RecipeError, match="expected images alone, got 1 texts: this run is for captioning"):
        predict(captioning, photos, out, texts=["what?"])
    with pytest.raises(RecipeError, match="beam: no option of a run about questions; it has top"):
        predict(answering, photos, out, texts=["what?"], options={"beam": 3})
    with pytest.raises(RecipeError, match="top: expected at least 1 answer, got 0"):
        predict(answering, photos, out, texts=["what?"], options={"top": 0})
    with pytest.raises(DataError, match=r"photos\d*: expected a question to ask about each image: --question TEXT"):
        predict(answering, photos, out)
    with pytest.raises(DataError, match=r"^expected a question with at least one word, got '\?!'"):
        predict(answering, photos, out, texts=["what?", "?!"])
    with pytest.raises(RecipeError, match="batch_size: expected at least 1, got 0"):
        predict(answering, photos, out, texts=["what?"], batch_size=0)
    with pytest.raises(ImageError, match="no image files in it"):
        predict(answering, tmp_path, out, texts=["what?"])
    (tmp_path / "x.csv").write_text("image,question\n")
    with pytest.raises(DataError, match=r"x\.csv: holds no line about an image"):
        predict(answering, tmp_path / "x.csv", out)
    with pytest.raises(RecipeError, match="expected another file to write to than the one to read"):
        predict(answering, tmp_path / "x.csv", tmp_path / "x.csv", overwrite=True)
    out.write_text("mine")
    with pytest.raises(RunError, match="nothing says what it was made of"):
        predict(answering, photos, out, texts=["what?"])
    assert out.read_text() == "mine"


def test_options_that_only_score_are_none_of_the_command(saccade) -> None:
    assert "--java" in saccade("evaluate", "--help").out
    shown = saccade("predict", "--help").out
    assert "--java" not in shown
    assert all(flag in shown for flag in ("--beam", "--top", "--sample", "--look", "--root", "--question"))
    assert "usage: saccade predict" in shown
