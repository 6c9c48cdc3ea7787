"""Queries of words, images and both; what is unlikely; the sheet of hits; the commands and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.explain.page_reader import Reader

from saccade.cli import main
from saccade.data.scenes import Scenes
from saccade.errors import DataError, ImageError, RecipeError, SaccadeWarning
from saccade.explain.files import save
from saccade.index.background import Background
from saccade.index.embedder import Embedder
from saccade.index.engine import IndexingError
from saccade.index.photographs import index_photographs
from saccade.index.searching import NOTHING, Query, Searcher
from saccade.index.sentences import index_sentences

SENTENCES = ("a large red circle", "two small crosses", "three things and a green diamond")


@pytest.fixture(scope="module")
def searcher(scenes_index):
    with Searcher(scenes_index, device="cpu") as searcher:
        yield searcher


def test_hits_are_scored_as_the_predictor_does(searcher, scenes_folder) -> None:
    text = SENTENCES[0]
    hits = searcher.search(Query(text), top=99)
    replies = {path.name: searcher.embedder.predictor(path, text)[0].score for path in scenes_folder.iterdir()}
    assert {hit.id: hit.score for hit in hits} == pytest.approx(replies, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.file == scenes_folder / hit.id for hit in hits)
    assert [hit.id for hit in searcher.search(Query(text), top=3)] == [hit.id for hit in hits[:3]]


def test_an_image_finds_itself_first_and_both_are_weighed(searcher, scenes_folder) -> None:
    image, text = scenes_folder / "4.png", SENTENCES[1]
    assert searcher.search(Query(image=image), top=1)[0].id == "4.png"
    of_text, of_image = searcher.embed(Query(text)), searcher.embed(Query(image=image))
    both = searcher.embed(Query(text, image, text_weight=3, image_weight=1))
    np.testing.assert_allclose(both, (3 * of_text + of_image) / 4, atol=1e-6)
    for one, weights in ((of_text, (1, 0)), (of_image, (0, 2))):
        query = Query(text, image, *weights)
        np.testing.assert_allclose(searcher.embed(query), one, atol=1e-6)
    with pytest.raises(RecipeError, match="expected one above 0"):
        searcher.embed(Query(text, image, 0, 0))


def test_hits_are_set_against_what_other_sentences_find(searcher) -> None:
    hits = searcher.search(Query(SENTENCES[2]), top=7, by_chance=2)
    rows = searcher.index.vectors([hit.id for hit in hits])
    others = searcher.embedder.sentences(searcher.embedder.task.background) @ rows.T
    for hit in hits:
        assert hit.expected == pytest.approx((others >= hit.score).sum(1).mean(), abs=0.05)
        assert hit.share == 1 - hit.expected / 7
        assert hit.unlikely == (hit.expected > 2)
    assert [hit.expected for hit in hits] == sorted(hit.expected for hit in hits)
    assert not any(hit.unlikely for hit in searcher.search(Query(SENTENCES[2]), by_chance=7))
    # What an image scores is nothing to set against sentences.
    assert {hit.expected for hit in searcher.search(Query(image=Scenes().open_image("test/00000")))} == {None}


def test_so_many_are_expected_as_score_as_high() -> None:
    background = Background(np.array([0.4, 0.1, 0.2, 0.2]), sentences=2)
    assert [background.expected(score) for score in (0.0, 0.1, 0.2, 0.3, 0.5)] == [2.0, 2.0, 1.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "expected words or an image to look for, got neither"),
        ("...", "expected a sentence with at least one word"),
        ("zebra qwerty", r"none of the words was seen in training \(qwerty, zebra\): say it in other words"),
    ],
)
def test_a_query_without_a_known_word_is_refused(searcher, text, message) -> None:
    with pytest.raises(DataError, match=message):
        searcher.search(Query(text))


def test_words_never_seen_are_named(searcher) -> None:
    assert searcher.unread(Query("a red zebra")) == ["zebra"]
    assert searcher.search(Query("a red zebra"))


def test_the_sheet_has_a_part_for_each_hit_that_links_to_its_file(searcher, scenes_folder, tmp_path) -> None:
    query = Query(SENTENCES[0])
    hits = searcher.search(query, top=3, by_chance=0)
    figure = searcher.figure(query, hits)
    assert [part.title for part in figure.parts] == [hit.id for hit in hits]
    assert [part.link for part in figure.parts] == [hit.file.as_uri() for hit in hits]
    assert NOTHING in figure.lines
    for part in figure.parts:
        steps = [panel for panel in part.panels if panel.words is not None]
        assert [panel.words.words for panel in steps] == [("a", "large", "red", "circle")] * 2
        assert all(panel.picture.regions is not None for panel in steps)
        assert "unlikely" in part.lines[0]
    save(figure, tmp_path / "hits.html")
    [shown] = Reader((tmp_path / "hits.html").read_text()).figures
    assert [part["link"] for part in shown["parts"]] == [part.link for part in figure.parts]
    save(figure, tmp_path / "hits.png")
    like = Query(image=scenes_folder / "2.png")
    assert searcher.figure(like, searcher.search(like, top=2)).parts[0].title == "2.png"
    both = Query(SENTENCES[0], scenes_folder / "2.png")
    assert "score with the image" in searcher.figure(both, searcher.search(both, top=2)).parts[0].lines[0]


def test_a_photograph_that_is_gone_is_left_out_of_the_sheet(matching_run, scenes_folder, tmp_path) -> None:
    moved = Path(shutil.copytree(scenes_folder, tmp_path / "photos"))
    index_photographs(Embedder(matching_run, device="cpu"), moved, tmp_path / "index")
    query = Query(SENTENCES[0])
    with Searcher(tmp_path / "index", device="cpu") as searcher:
        hits = searcher.search(query, top=2)
        hits[0].file.unlink()
        with pytest.warns(SaccadeWarning, match="left out"):
            assert len(searcher.figure(query, hits).parts) == 1
        hits[1].file.unlink()
        with pytest.warns(SaccadeWarning), pytest.raises(IndexingError, match="run saccade index again"):
            searcher.figure(query, hits)


def test_an_image_finds_sentences(matching_run, scenes_folder, tmp_path) -> None:
    file = tmp_path / "said.txt"
    file.write_text("\n".join(SENTENCES))
    embedder = Embedder(matching_run, device="cpu")
    index_sentences(embedder, file, tmp_path / "index")
    query = Query(image=scenes_folder / "3.png")
    with Searcher(tmp_path / "index", device="cpu") as searcher:
        hits = searcher.search(query)
        expected = {text: embedder.predictor(scenes_folder / "3.png", text)[0].score for text in SENTENCES}
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
        assert hits[0].file is None
        assert [part.title for part in searcher.figure(query, hits).parts] == [hit.id for hit in hits]
        with pytest.raises(IndexingError, match="no image of a hit"):
            searcher.figure(Query("a circle"), searcher.search(Query("a circle")))


def test_an_index_without_a_photograph_that_can_be_read(matching_run, tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/bad.jpg").write_text("no image")
    assert index_photographs(Embedder(matching_run, device="cpu"), tmp_path / "photos", tmp_path / "index").failed == 1
    with Searcher(tmp_path / "index") as searcher, pytest.raises(IndexingError, match="holds no images"):
        searcher.search(Query("a circle"))


# The commands


def saccade(*arguments: object) -> None:
    main([str(each) for each in arguments])


def test_the_commands_from_photographs_to_hits(matching_run, scenes_folder, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    saccade("index", matching_run, scenes_folder, "--device", "cpu")
    out = capsys.readouterr().out
    assert f"7 added, 0 unchanged; in indexes/{scenes_folder.name}" in out
    saccade("index", matching_run, scenes_folder, "--device", "cpu", "--json")
    assert json.loads(capsys.readouterr().out)["unchanged"] == 7
    index = f"indexes/{scenes_folder.name}"
    saccade("search", index, SENTENCES[0], "--top", "3", "--json", "--device", "cpu")
    found = json.loads(capsys.readouterr().out)
    assert found["query"] == SENTENCES[0]
    assert len(found["hits"]) == 3
    assert set(found["hits"][0]) == {"id", "file", "score", "expected", "share", "unlikely"}
    saccade("search", index, "a red zebra", "--by-chance", "0", "--explain", "hits.html", "--device", "cpu")
    shown = capsys.readouterr()
    assert NOTHING in shown.out
    assert "Attention drawn in hits.html" in shown.out
    assert "Words never seen in training, ignored: zebra" in shown.err
    saccade("search", index, "--image", scenes_folder / "1.png", "--top", "1", "--device", "cpu")
    assert str(scenes_folder / "1.png") in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "{run}"], "expected a folder of photographs, or a file with --sentences"),
        (["index", "{run}", "nowhere"], "no such folder of images"),
        (["index", "nowhere", "{photos}"], "nowhere: no such run directory"),
        (["index", "{run}", "{photos}", "--engine", "milvus"], "address: the engine milvus, and no other"),
        (["index", "{run}", "{photos}", "--links", "0"], "links: expected a whole number above 0"),
        (["search", "nowhere", "a dog"], "nowhere is not an index (no such folder)"),
        (["search", "{index}"], "expected words or an image to look for"),
        (["search", "{index}", "zebra"], "none of the words was seen in training (zebra)"),
        (["search", "{index}", "--image", "nowhere.png"], "nowhere.png: no such image file"),
        (["search", "{index}", "a cross", "--top", "0"], "top: expected a whole number above 0"),
        (["search", "{index}", "a cross", "--by-chance", "-1"], "by_chance: expected a number of at least 0"),
        (["search", "{index}", "a cross", "--explain", "hits.pdf"], "no picture format named '.pdf'"),
        (["search", "{index}", "a cross", "--run", "nowhere"], "nowhere: no such run directory"),
    ],
)
def test_what_the_commands_refuse(
    matching_run, scenes_folder, scenes_index, tmp_path, capsys, monkeypatch, arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"run": matching_run, "photos": scenes_folder, "index": scenes_index}
    with pytest.raises(SystemExit) as exit:
        main([each.format(**places) for each in arguments])
    assert exit.value.code in (1, 2)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_cannot_be_read_is_named(searcher, tmp_path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    with pytest.raises(ImageError, match=r"bad\.jpg: not an image"):
        searcher.search(Query(image=tmp_path / "bad.jpg"))
