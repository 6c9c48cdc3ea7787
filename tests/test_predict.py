"""Predictor: any kind of image file, words and answers, and runs that come from the hub."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.runs import small

import saccade
from saccade.checkpoint import ALWAYS, MODEL
from saccade.corpus import images_at_hand, open_data
from saccade.errors import DataError, ImageError, RecipeError, RunError, SaccadeWarning
from saccade.predict import Predictor
from saccade.tasks.answering.reply import AnswerReply
from saccade.train import train

QUESTION = "what color is the large circle?"


@pytest.fixture(scope="module")
def predictor(trained_run) -> Predictor:
    return Predictor.from_pretrained(trained_run, device="cpu")


def same(a: AnswerReply, b: AnswerReply, tolerance: float = 0.0) -> None:
    assert [answer for answer, _ in a.answers] == [answer for answer, _ in b.answers]
    assert [p for _, p in a.answers] == pytest.approx([p for _, p in b.answers], abs=tolerance)
    for ours, theirs in zip(a.attention, b.attention, strict=True):
        torch.testing.assert_close(ours.weights, theirs.weights, atol=tolerance, rtol=0)


def test_it_is_a_public_name(trained_run) -> None:
    assert saccade.Predictor is Predictor


def test_a_path_a_string_and_an_image_are_answered_alike(predictor, scene) -> None:
    with Image.open(scene) as image:
        image.load()
    replies = [predictor.ask(each, QUESTION) for each in (scene, str(scene), image)]
    same(replies[0], replies[1])
    same(replies[0], replies[2])


def test_probabilities_fall_and_sum_to_one(predictor, scene, trained_run) -> None:
    known = json.loads((trained_run / "answers.json").read_text())
    reply = predictor.ask(scene, QUESTION, top=10 * len(known))
    answers, probabilities = zip(*reply.answers, strict=True)
    assert sorted(answers) == sorted(known)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert reply.answer == answers[0]
    assert predictor.ask(scene, QUESTION, top=2).answers == reply.answers[:2]


def test_maps_are_distributions_over_the_grid_and_over_the_words(predictor, scene) -> None:
    reply = predictor.ask(scene, QUESTION)
    assert reply.regions.grid == (12, 12)
    assert reply.words == ("what", "color", "is", "the", "large", "circle")
    lengths = {("regions",): 12 * 12, ("words",): 6}
    assert {each.axes for each in reply.attention} == set(lengths)
    for each in reply.attention:
        assert each.weights.shape == (1, lengths[each.axes])
        assert float(each.weights.sum()) == pytest.approx(1, abs=1e-4)
        assert (each.weights >= 0).all()
    assert json.loads(json.dumps(reply.to_dict()))["answer"] == reply.answer


def test_a_reply_is_that_of_the_evaluated_run(trained_run, predictor) -> None:
    """What was trained on stored features is what is served on a raw image."""
    from saccade.data.scenes import Scenes
    from saccade.evaluate import evaluate

    evaluate(trained_run, split="val", out=trained_run.parent / "val", accelerator="cpu")
    lines = (trained_run.parent / "val" / "predictions.jsonl").read_text().splitlines()
    scenes = Scenes()
    for line in lines[:8]:
        expected = json.loads(line)
        reply = predictor.ask(scenes.open_image(expected["image"]), expected["question"])
        assert dict(reply.answers)[expected["answer"]] == pytest.approx(expected["probability"], abs=2e-3)


@pytest.mark.parametrize("kind", ["RGBA", "P", "grey", "grey with alpha", "CMYK", "turned", "bmp", "webp"])
def test_every_kind_of_file_is_answered_as_its_rgb_twin(predictor, scene, tmp_path, kind) -> None:
    with Image.open(scene) as opened:
        rgb = opened.convert("RGB")
    path = tmp_path / f"other.{kind if kind in ('bmp', 'webp') else 'tif' if kind == 'CMYK' else 'png'}"
    if kind.startswith("grey"):
        grey = rgb.convert("L")
        rgb = grey.convert("RGB")
        (grey.convert("LA") if "alpha" in kind else grey).save(path)
    elif kind == "P":
        palette = rgb.quantize(64)
        rgb = palette.convert("RGB")
        palette.save(path)
    elif kind == "CMYK":
        rgb.convert("CMYK").save(path)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # shown turned clockwise: stored turned back
        rgb.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    elif kind == "webp":
        rgb.save(path, lossless=True)
    else:
        (rgb.convert(kind) if kind == "RGBA" else rgb).save(path)
    rgb.save(tmp_path / "rgb.png")
    twin = predictor.ask(tmp_path / "rgb.png", QUESTION)
    same(predictor.ask(path, QUESTION), twin)
    with Image.open(path) as image:
        same(predictor.ask(image, QUESTION), twin)


def test_transparency_is_white(predictor, scene) -> None:
    with Image.open(scene) as opened:
        rgba = opened.convert("RGBA")
    pixels = np.array(rgba)
    pixels[:40, :, 3] = 0
    white = np.array(rgba.convert("RGB"))
    white[:40] = 255
    same(predictor.ask(Image.fromarray(pixels), QUESTION), predictor.ask(Image.fromarray(white), QUESTION))


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (640, 480)])
def test_images_of_any_size_are_answered(predictor, size) -> None:
    reply = predictor.ask(Image.new("RGB", size, "green"), QUESTION)
    assert len(reply.answers) == 5
    assert reply.image.size == size


def test_unknown_words_are_told(predictor, scene) -> None:
    assert predictor.ask(scene, QUESTION).unknown_words == ()
    assert predictor.ask(scene, "what glorp IS the Zebra?").unknown_words == ("glorp", "zebra")


def test_case_and_punctuation_change_nothing(predictor, scene) -> None:
    same(predictor.ask(scene, QUESTION), predictor.ask(scene, "  WHAT color is -- the large circle "))


def test_a_question_longer_than_the_limit_is_cut(predictor, scene) -> None:
    limit = predictor.recipe.task.max_words
    reply = predictor.ask(scene, "circle " * (limit + 30))
    assert reply.words == ("circle",) * limit
    same(reply, predictor.ask(scene, "circle " * limit))


@pytest.mark.parametrize("question", ["", " \n", "?"])
def test_a_question_without_words_is_refused(predictor, scene, question) -> None:
    with pytest.raises(DataError, match="at least one word"):
        predictor.ask(scene, question)


def test_an_image_or_a_number_that_cannot_be(predictor, scene, tmp_path) -> None:
    with pytest.raises(ImageError, match="no such image file"):
        predictor.ask(tmp_path / "none.png", QUESTION)
    with pytest.raises(RecipeError, match="top: expected at least 1 answer, got 0"):
        predictor.ask(scene, QUESTION, top=0)


def test_weights_that_are_not_here_are_asked_for(trained_run, monkeypatch) -> None:
    """The run came from another machine, where the backbone's weights lay in a file."""
    import dataclasses

    from saccade import checkpoint

    run = checkpoint.load(trained_run)
    facts = dataclasses.replace(run.facts, spec=dataclasses.replace(run.facts.spec, weights="/elsewhere/net.pth"))
    monkeypatch.setattr(checkpoint, "load", lambda _: dataclasses.replace(run, facts=facts))
    with pytest.raises(RunError, match=r"/elsewhere/net\.pth, which is not here; say with --weights"):
        Predictor.from_pretrained(trained_run)


# Many at once, and from several threads


def test_many_questions_about_many_images_are_answered_as_one_by_one(predictor, scene, tmp_path) -> None:
    other = tmp_path / "other.png"
    saccade_scenes().open_image("test/00001").save(other)
    questions = ["what color is the large circle?", "is there a cross?", "how many things are there?"]
    sources = [scene, other, scene]
    for replies, pairs in (
        (predictor(sources, questions), zip(sources, questions, strict=True)),
        (predictor(scene, questions), [(scene, question) for question in questions]),
        (predictor(sources, questions[0]), [(source, questions[0]) for source in sources]),
        (predictor([scene] * 70, questions[0]), [(scene, questions[0])] * 70),
    ):
        for reply, (source, question) in zip(replies, pairs, strict=True):
            one = predictor.ask(source, question)
            same(reply, one, 1e-5)
            assert (reply.name, reply.question, reply.words) == (one.name, one.question, one.words)
    assert predictor([], []) == []


def saccade_scenes():
    from saccade.data.scenes import Scenes

    return Scenes()


def test_images_and_texts_that_do_not_pair_are_refused(predictor, scene) -> None:
    with pytest.raises(RecipeError, match="got 2 images and 3 texts"):
        predictor([scene, scene], ["a", "b", "c"])
    with pytest.raises(RecipeError, match="this run answers questions"):
        predictor(scene)
    with pytest.raises(RecipeError, match="beam: no option of a run about questions; it has top"):
        predictor(scene, QUESTION, beam=3)


def test_bytes_files_and_arrays_are_images(predictor, scene) -> None:
    expected = predictor.ask(scene, QUESTION)
    with Image.open(scene) as opened, scene.open("rb") as file:
        for source in (scene.read_bytes(), file, np.array(opened.convert("RGB"))):
            same(predictor.ask(source, QUESTION), expected)


def test_a_path_and_its_text_are_one_image_and_looked_at_once(predictor, scene, monkeypatch) -> None:
    looked = []
    original = predictor.extractor.backbone.forward
    monkeypatch.setattr(predictor.extractor.backbone, "forward", lambda x: looked.append(len(x)) or original(x))
    predictor([str(scene), scene, Path(str(scene))], QUESTION)
    assert looked == [1]


def test_an_image_of_many_that_cannot_be_read_is_named_or_left_out(predictor, scene, tmp_path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(scene.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"damaged\.png: the image is damaged"):
        predictor([scene, damaged], QUESTION)
    with pytest.raises(ImageError, match=r"^image 1: the image is damaged"):
        predictor([scene, damaged.read_bytes()], QUESTION)
    sources = [*[scene] * 40, damaged, np.zeros((2, 2, 2)), scene]
    with pytest.warns(SaccadeWarning) as warned:
        replies = predictor(sources, QUESTION, on_error="skip")
    assert [str(each.message).partition(":")[0] for each in warned] == [f"left out {damaged}", "left out image 41"]
    assert [place for place, reply in enumerate(replies) if reply is None] == [40, 41]
    same(replies[42], replies[0], 1e-5)
    with pytest.warns(SaccadeWarning, match="left out"):
        assert predictor(damaged, [QUESTION, "is there a cross?"], on_error="skip") == [None, None]
    with pytest.raises(RecipeError, match="on_error: expected 'raise' or 'skip', got 'ignore'"):
        predictor(scene, QUESTION, on_error="ignore")


def test_a_reply_is_a_short_line(predictor, scene) -> None:
    reply = predictor.ask(scene, QUESTION)
    share = f"{100 * reply.answers[0][1]:.2f} %"
    assert repr(reply) == f"AnswerReply({reply.answer!r} {share}, 5 answers, attention of 2 steps)"
    assert "1 answer, " in repr(predictor.ask(scene, QUESTION, top=1))
    assert len(repr(reply.regions)) < 120
    assert "float32[1, 144, 80]" in repr(reply.regions)


def test_threads_share_a_predictor(predictor, scene) -> None:
    questions = [f"what color is the {size} {shape}?" for size in ("small", "large") for shape in ("circle", "cross")]
    alone = [predictor.ask(scene, question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: predictor.ask(scene, questions[i % 4]), range(16)))
    for i, reply in enumerate(found):
        same(reply, alone[i % 4])


def test_a_reply_shows_its_figure_in_a_notebook(predictor, scene) -> None:
    reply = predictor.ask(scene, QUESTION)
    assert reply._repr_png_().startswith(b"\x89PNG")
    assert "what color is the large circle?" in reply._repr_html_()
    assert len(reply._repr_html_()) < 300_000


# The hub, played by a server here


class Hub:
    """Serves folders as repositories, as far as `snapshot_download` asks; notes what it was asked."""

    SHA = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories, self.asked, self.status = repositories, list[str](), 404
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path.partition("?")[0].strip("/")
        self.asked.append(f"{request.command} {path}")
        headers, content, status = {"X-Repo-Commit": self.SHA}, b"", 200
        name = next((name for name in self.repositories if name in path), None)
        folder = self.repositories.get(name or "")
        if folder is None:
            status = self.status
            headers |= {"X-Error-Code": "RepoNotFound"} if status in (401, 404) else {}
        elif path.startswith(f"api/models/{name}/tree/"):
            entries = [(file.name, file.read_bytes()) for file in sorted(folder.iterdir()) if file.is_file()]
            content = json.dumps(
                [{"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()} for n, c in entries]
            ).encode()
        elif path.startswith("api/models/"):
            files = [{"rfilename": file.name} for file in sorted(folder.iterdir()) if file.is_file()]
            content = json.dumps({"id": name, "modelId": name, "sha": self.SHA, "siblings": files}).encode()
        else:
            content = (folder / path.rpartition("/")[2]).read_bytes()
            headers["ETag"] = f'"{hashlib.sha1(content).hexdigest()}"'
        request.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(key, value)
        request.end_headers()
        if body:
            request.wfile.write(content)


@pytest.fixture
def hub(trained_run, tmp_path, monkeypatch) -> Iterator[Hub]:
    from huggingface_hub import constants, file_download

    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("no run")
    served = Hub({"someone/r-dan": trained_run, "someone/words": other})
    monkeypatch.setattr(constants, "ENDPOINT", served.address)
    template = served.address + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):  # the second has it by name before version 1
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_a_run_is_loaded_from_the_hub_by_name(hub, predictor, scene) -> None:
    fetched = Predictor.from_pretrained("hub:someone/r-dan", device="cpu")
    same(fetched.ask(scene, QUESTION), predictor.ask(scene, QUESTION))
    files = {line.rpartition("/")[2] for line in hub.asked if line.startswith("GET") and "/resolve/" in line}
    assert {*ALWAYS, "tokenizer.json", "answers.json", MODEL} <= files
    assert "log.jsonl" not in files
    hub.repositories.clear()
    hub.status = 503  # the hub is down: what was fetched before still serves
    Predictor.from_pretrained("hf://someone/r-dan", device="cpu")


def test_a_run_starts_from_one_of_the_hub(hub, scenes_store) -> None:
    recipe = small(scenes_store, epochs=1, start_from="hub:someone/r-dan")
    train(recipe, Path("new"))
    assert json.loads(Path("new/started.json").read_text())["run"] == "hub:someone/r-dan"
    nobody = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, start_from="hub:someone/else"))
    with pytest.raises(RunError, match="hub:someone/else: the hub gave no run of that name"):
        train(nobody, Path("none"))
    assert not Path("none").exists()


def test_a_folder_is_a_folder_and_the_hub_is_asked_by_its_name_alone(hub, trained_run, tmp_path) -> None:
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / "mine").symlink_to(trained_run)
    Predictor.from_pretrained("someone/mine", device="cpu")
    for name in ("someone/r-dan", "runs/demo"):
        with pytest.raises(RunError, match=f"no such run directory.* hub is asked for as hub:{name}"):
            Predictor.from_pretrained(name)
    with pytest.raises(RunError, match="expected a repository of the Hugging Face hub as hub:OWNER/NAME"):
        Predictor.from_pretrained("hub:r-dan")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("someone/nothing", 404, "it has none, or it is private"),
        ("someone/nothing", 401, "it has none, or it is private"),
        ("someone/nothing", 503, "503|check your internet"),  # before version 1 the client kept the number to itself
        ("someone/words", 200, "its repository lacks model.safetensors"),
        ("some--one/r-dan", 200, "--"),
    ],
)
def test_what_the_hub_has_not_is_one_error(hub, caplog, name, status, reason) -> None:
    hub.status = status
    before = logging.getLogger("huggingface_hub").level
    with pytest.raises(RunError, match=f"hub:{name}: the hub gave no run of that name") as raised:
        Predictor.from_pretrained(f"hub:{name}")
    assert re.search(reason, str(raised.value))
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert logging.getLogger("huggingface_hub").level == before
    assert not caplog.records
    assert len(hub.asked) <= 4


def test_no_network_is_one_error(hub) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    with pytest.raises(RunError, match="the hub gave no run of that name"):
        Predictor.from_pretrained("hub:someone/r-dan")


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "/nothing/here", "../x", "white space/x"])
def test_what_is_no_hub_name_is_a_folder_that_is_missing(hub, name) -> None:
    with pytest.raises(RunError, match="no such run directory; `saccade train"):
        Predictor.from_pretrained(name)
    assert hub.asked == []


def test_boxes_of_a_file_are_those_of_the_photograph_that_is_asked_about(tmp_path, scene) -> None:
    recipe = small(str(tmp_path / "store"))
    boxes, known = tmp_path / "boxes.jsonl", images_at_hand(open_data(recipe), 24)
    lines = [{"image": image, "boxes": [[0, 0, 1, 1], [0.25, 0.125, 0.5, 1]]} for image in known]
    boxes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    features = dataclasses.replace(recipe.features, regions="file", regions_file=str(boxes))
    train(dataclasses.replace(recipe, features=features), tmp_path / "run")
    boxes.rename(tmp_path / "moved.jsonl")
    with pytest.raises(RunError, match=r"boxes from .*boxes.jsonl, which is not here; .*regions_file=\.\.\."):
        Predictor.from_pretrained(tmp_path / "run", device="cpu")
    boxes.write_text(json.dumps({"image": scene.name, "boxes": [[0.5, 0, 1, 0.5]] * 3}))
    predictor = Predictor.from_pretrained(tmp_path / "run", device="cpu", regions_file=str(boxes))
    reply = predictor.ask(scene, QUESTION)
    assert reply.regions.boxes.tolist() == [[[0.5, 0, 1, 0.5]] * 3]
    with Image.open(scene) as image:
        image.load()
    other = tmp_path / "other.png"
    image.save(other)
    with pytest.warns(SaccadeWarning, match=r"other.png: an image left without a proposal: .* has no line about it"):
        replies = predictor([scene, other], QUESTION, on_error="skip")
    same(replies[0], reply)
    assert replies[1] is None
