"""What each address answers, held against the library: the same replies, figures, files and hits."""

from __future__ import annotations

import io
import json
import shlex

import pytest
from PIL import Image

from saccade import Predictor
from saccade.commands import COMMANDS
from saccade.commands.parsing import parse
from saccade.explain.figure import Figure
from saccade.types import Without

QUESTION, SENTENCE = "what color is the large circle?", "a large red circle and a small cross"
CASES = {
    "ask": ("run", {"text": QUESTION, "top": 3}),
    "match": ("matcher", {"text": SENTENCE}),
    "ground": ("grounder", {"text": SENTENCE, "phrase": ["a large red circle"], "nms": 0.5}),
    "caption": ("captioner", {"beam": 3, "top": 2, "length_penalty": 0.5, "look": "argmax"}),
}


@pytest.fixture(scope="module")
def predictors(trained_run, matching_run, grounding_run, captioning_run) -> dict[str, Predictor]:
    """The library's own replies to the same."""
    runs = {"ask": trained_run, "match": matching_run, "ground": grounding_run, "caption": captioning_run}
    return {action: Predictor.from_pretrained(run, device="cpu") for action, run in runs.items()}


def replied(predictor: Predictor, content: bytes, values: dict, without: Without | None = None):
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    [reply] = predictor(content, options.pop("text", None), without=without, **options)
    return reply


def close(found: object, expected: object) -> bool:
    """Whether two JSON values are the same, but for the last digits of their numbers."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[name], expected[name]) for name in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    return found == expected


def plain(value: object) -> object:
    return json.loads(json.dumps(value))


def test_runs_say_what_they_are_and_take(server, trained_run) -> None:
    found = server.get("/api/runs").json()
    runs = {run["name"]: run for run in found["runs"]}
    assert {name: (run["task"], run["action"], run["text"]) for name, run in runs.items()} == {
        "run": ("answering", "ask", "question"),
        "matcher": ("matching", "match", "sentence"),
        "grounder": ("grounding", "ground", "sentence"),
        "captioner": ("captioning", "caption", ""),
    }
    answers = runs["run"]["options"]["top"]["most"]
    assert runs["run"]["options"] == {"top": {"default": 5, "least": 1, "most": answers}}
    assert (
        len(server.post("/api/ask", {"example": 0, "text": QUESTION, "top": answers}).json()["reply"]["answers"])
        == answers
    )
    assert runs["captioner"]["options"]["beam"]["most"] == found["limits"]["beam"] == 20
    assert runs["captioner"]["options"]["look"]["choices"] == ["expectation", "argmax", "sample"]
    assert runs["grounder"]["options"] == {"nms": {"default": None, "least": 0, "most": 1}}
    assert runs["run"]["model"] == "r-dan"
    assert runs["run"]["trained_on"] == "scenes"
    assert runs["run"]["command"] == str(trained_run)
    assert {run["examples"] for run in runs.values()} == {24}
    assert found["indexes"] == [{"name": "photos", "run": "matcher", "holds": "images", "count": 7}]
    assert found["limits"]["formats"] == ["JPEG", "PNG", "WebP", "GIF"]
    assert found["limits"]["upload"] == 20_000_000


@pytest.mark.parametrize("action", CASES)
@pytest.mark.parametrize("way", ["body", "token"])
def test_a_reply_is_the_predictors(action: str, way: str, server, predictors, picture) -> None:
    run, values = CASES[action]
    if way == "body":
        query = [
            (name, each) for name, value in values.items() for each in (value if isinstance(value, list) else [value])
        ]
        found = server.ask("POST", f"/api/{action}", picture, {"Content-Type": "image/png"}, **dict(query))
    else:
        found = server.post(f"/api/{action}", {"run": run, "image": server.keep(picture), **values})
    answer = found.json()
    assert found.status == 200
    assert answer["run"] == run
    assert answer["seconds"] > 0
    assert close(answer["reply"], plain(replied(predictors[action], picture, values).to_dict()))


@pytest.mark.parametrize("action", CASES)
def test_the_figure_comes_with_its_regions_and_opens_again(action: str, server, predictors, picture) -> None:
    run, values = CASES[action]
    answer = server.post(f"/api/{action}", {"run": run, "image": server.keep(picture), "as": "figure", **values}).json()
    reply = replied(predictors[action], picture, values)
    assert close(answer["figure"], plain(reply.figure().to_dict()))
    assert Figure.from_dict(answer["figure"]).title == reply.figure().title
    assert close(answer["regions"]["boxes"], reply.regions.boxes[0].tolist())
    assert answer["regions"]["grid"] == plain(reply.regions.grid)


@pytest.mark.parametrize("action", CASES)
def test_the_files_are_those_that_explain_writes(action: str, server, predictors, picture) -> None:
    run, values = CASES[action]
    asked = {"run": run, "image": server.keep(picture), **values}
    png, page = (server.post(f"/api/{action}", {**asked, "as": form}) for form in ("png", "html"))
    assert png.headers["content-type"] == "image/png"
    assert png.headers["content-disposition"] == 'attachment; filename="saccade.png"'
    drawn = Image.open(io.BytesIO(png.body))
    expected = Image.open(io.BytesIO(replied(predictors[action], picture, values).figure()._repr_png_()))
    assert drawn.size == expected.size
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-disposition"] == 'attachment; filename="saccade.html"'
    assert page.headers["content-security-policy"].startswith("sandbox ")
    assert page.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("action", ["ask", "match", "ground"])
def test_what_is_taken_away_is_taken_away(action: str, server, predictors, picture) -> None:
    run, values = CASES[action]
    values = {name: value for name, value in values.items() if name != "phrase"}
    asked = {"run": run, "image": server.keep(picture), **values}
    answer = server.post(f"/api/{action}", {**asked, "without_regions": [3, 1], "without_words": [0]}).json()
    without = Without((1, 3), (0,))
    assert close(answer["reply"], plain(replied(predictors[action], picture, values, without).to_dict()))
    assert answer["reply"]["without"] == {"regions": [1, 3], "words": [0]}
    by_query = server.post(
        f"/api/{action}", picture, run=run, without_regions="3,1", without_words="0", **values
    ).json()
    assert close(by_query["reply"], answer["reply"])
    assert "--without-regions 1 3 --without-words 0" in answer["command"]


@pytest.mark.parametrize("action", CASES)
def test_the_command_is_one_that_parses_to_the_same(action: str, server, tmp_path) -> None:
    run, values = CASES[action]
    awkward = {"text": '--explain it\'s $HOME `a` \\ "b"'} if "text" in values and action != "ground" else {}
    asked = {"run": run, "example": 1, **values, **awkward}
    words = shlex.split(server.post(f"/api/{action}", asked).json()["command"])
    assert words[:2] == ["saccade", action]
    parsed = parse(COMMANDS[action], words[2:], prog="saccade")
    texts = [getattr(parsed, name) for name in ("question", "sentence", "sentences") if hasattr(parsed, name)]
    said = {"text": texts[0] if isinstance(texts[0], str) else texts[0][0]} if "text" in values else {}
    said |= {name: getattr(parsed, name) for name in values if name != "text"}
    expected = {**values, **awkward}
    assert {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()} == {
        name: f" {value}" if str(value).startswith("--") else value for name, value in expected.items()
    }


def test_a_caption_goes_on_from_the_words_it_begins_with(server, predictors, picture) -> None:
    values = {"begin": "a large", "beam": 2, "top": 2}
    answer = server.post("/api/caption", {"image": server.keep(picture), **values}).json()
    assert close(answer["reply"], plain(replied(predictors["caption"], picture, values).to_dict()))
    assert answer["reply"]["caption"].startswith("a large")
    assert answer["command"].endswith(" IMAGE --top 2 --beam 2 --begin 'a large'")
    unknown = server.post("/api/caption", {"example": 0, "begin": "a blorp"})
    assert unknown.status == 422
    assert "blorp" in unknown.error
    assert server.post("/api/caption", {"example": 0, "without_words": [0]}).status == 422


def test_examples_are_the_first_of_the_test_split(server, picture, predictors) -> None:
    found = server.get("/api/runs/run/examples").json()["examples"]
    assert [each["number"] for each in found] == list(range(12))
    assert all(each["text"].endswith("?") and each["expected"] for each in found)
    assert len(server.get("/api/runs/run/examples", count=50).json()["examples"]) == 24
    first = server.get("/api/runs/run/examples/0/image")
    assert first.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(first.body)).tobytes() == Image.open(io.BytesIO(picture)).tobytes()
    answer = server.post("/api/ask", {"example": 0, "text": QUESTION}).json()
    assert close(answer["reply"], plain(replied(predictors["ask"], picture, {"text": QUESTION}).to_dict()))
    captions = server.get("/api/runs/captioner/examples", count=1).json()["examples"]
    assert captions[0]["text"] == ""
    assert len(captions[0]["expected"]) > 1
    [phrased] = server.get("/api/runs/grounder/examples", count=1).json()["examples"]
    assert all(phrase in phrased["text"] for phrase in phrased["expected"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/runs/run/examples?count=0", 422),
        ("/api/runs/run/examples?count=51", 422),
        ("/api/runs/run/examples?count=x", 422),
        ("/api/runs/nothing/examples", 404),
        ("/api/runs/run/examples/24/image", 404),
        ("/api/runs/run/examples/-1/image", 404),
        ("/api/runs/run/examples/%D9%A1/image", 404),
    ],
)
def test_examples_that_there_are_not(path: str, status: int, server) -> None:
    answer = server.get(path)
    assert answer.status == status
    assert "expected" in answer.error or "no run of that name" in answer.error


def test_a_search_finds_what_the_command_finds(server, scenes_index, scenes_folder, saccade) -> None:
    answer = server.post("/api/search", {"text": "a large red circle", "top": 3}).json()
    expected = json.loads(saccade("search", scenes_index, "a large red circle", "--top", 3, "--json").out)
    for hit in expected["hits"]:
        del hit["file"]
    assert close({name: answer[name] for name in expected}, expected)
    assert answer["command"] == f"saccade search {scenes_index} 'a large red circle' --top 3"


def test_a_search_by_an_image_finds_it_first_and_draws_the_hits(server, scenes_folder) -> None:
    content = (scenes_folder / "4.png").read_bytes()
    answers = [
        server.post("/api/search", content, top=2, **{"as": "figure"}).json(),
        server.post("/api/search", {"index": "photos", "image": server.keep(content), "top": 2, "as": "figure"}).json(),
    ]
    for answer in answers:
        assert answer["hits"][0]["id"] == "4.png"
        assert len(answer["figure"]["parts"]) == 2
        assert "file:" not in json.dumps(answer)
        assert str(scenes_folder) not in json.dumps(answer)
    page = server.post("/api/search", {"text": "a large red circle", "as": "html"})
    assert page.headers["content-disposition"] == 'attachment; filename="saccade.html"'
    assert str(scenes_folder).encode() not in page.body


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({"text": "blorp"}, 422, "none of the words was seen in training"),
        ({"text": "  "}, 422, "expected words or an image"),
        ({"index": "nothing", "text": "a circle"}, 404, "index: expected one of those that are served: photos"),
        ({"text": "a circle", "top": 101}, 422, "top: expected a whole number from 1 to 100, got 101"),
        ({"image": "nothing"}, 404, "upload it again"),
    ],
)
def test_a_search_that_cannot_be(values: dict, status: int, message: str, server) -> None:
    answer = server.post("/api/search", values)
    assert answer.status == status
    assert message in answer.error


def test_an_image_is_kept_until_it_is_dropped(server, picture) -> None:
    kept = server.post("/api/images", picture, {"Content-Type": "image/png"})
    assert kept.status == 200
    assert {name: kept.json()[name] for name in ("width", "height")} == {"width": 96, "height": 96}
    token = kept.json()["image"]
    assert server.post("/api/ask", {"image": token, "text": QUESTION}).status == 200
    assert server.ask("DELETE", f"/api/images/{token}").status == 204
    gone = server.post("/api/ask", {"image": token, "text": QUESTION})
    assert gone.status == 404
    assert "upload it again" in gone.error
    assert server.ask("DELETE", f"/api/images/{token}").status == 404


def test_an_image_is_turned_upright_and_every_format_is_told_by_its_content(server, picture) -> None:
    image = Image.open(io.BytesIO(picture)).convert("RGB").resize((64, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        stream = io.BytesIO()
        image.save(stream, kind, **({} if kind == "GIF" else {"exif": exif}))
        found = server.post("/api/images", stream.getvalue(), {"Content-Type": "application/octet-stream"}).json()
        assert (found["width"], found["height"]) == ((64, 40) if kind == "GIF" else (40, 64))


def test_the_counters_count(server, picture) -> None:
    def counts() -> dict[str, float]:
        lines = server.get("/metrics").body.decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    before = counts()
    server.post("/api/ask", {"example": 0, "text": QUESTION})
    server.get("/nowhere/that/anybody/made/up")
    after = counts()
    assert after['saccade_replies_total{run="run"}'] == before.get('saccade_replies_total{run="run"}', 0) + 1
    ok, lost = (
        f'saccade_requests_total{{path="{path}",status="{status}"}}'
        for path, status in (("/api/ask", 200), ("other", 404))
    )
    assert after[ok] == before.get(ok, 0) + 1
    assert after[lost] == before.get(lost, 0) + 1
    assert server.get("/healthz").json() == {"status": "ok"}
