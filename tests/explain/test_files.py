"""Saving: the suffix says the format, and a failure leaves nothing behind."""

from __future__ import annotations

import pytest
from PIL import Image
from tests.explain.page_reader import Reader
from tests.explain.samples import SAMPLES, a_caption, an_answer

from saccade.errors import SaccadeError
from saccade.explain import captions_figure, check_suffix, draw, files, page, save, save_page


@pytest.mark.parametrize("figure", [SAMPLES["answer"], SAMPLES["several"]])
@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG")])
def test_pictures_are_saved_in_the_suffixs_format(tmp_path, figure, name, kind):
    save(figure, tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind
        assert picture.size == draw(figure).size
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_page_is_saved_with_the_question_as_its_title_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "answer.html"
    save(an_answer(), str(path))
    text = path.read_text(encoding="utf-8")
    assert "<title>What color?</title>" in text
    assert text.count("What color?</h") == 1


def test_a_page_of_several_is_saved(tmp_path):
    save(captions_figure([a_caption(), a_caption()]), tmp_path / "a.htm")
    [figure] = Reader((tmp_path / "a.htm").read_text(encoding="utf-8")).figures
    assert [len(part["panels"]) for part in figure["parts"]] == [4, 4]


def test_another_suffix_is_refused_with_the_known_ones(tmp_path):
    for refuse in (lambda path: save(an_answer(), path), check_suffix):
        with pytest.raises(
            SaccadeError, match=r"no picture format named '\.gif'.*Known: \.htm, \.html, \.jpeg, \.jpg, \.png"
        ):
            refuse(tmp_path / "a.gif")
        with pytest.raises(SaccadeError, match="no picture format named ''"):
            refuse(tmp_path / "a")
    check_suffix("a.png")
    assert list(tmp_path.iterdir()) == []


def test_too_many_for_a_jpeg_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "JPEG_HEIGHT", 700)
    with pytest.raises(SaccadeError, match=r"pixels high and a JPEG file at most 700: choose \.png or \.html"):
        save(SAMPLES["several"], tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(SaccadeError, match=r"cannot be written .*: choose another place"):
            save(an_answer(), path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
    assert (tmp_path / "file").read_text() == "kept"


def test_saving_again_replaces(tmp_path):
    path = tmp_path / "report.html"
    save_page(page("One", []), path)
    save_page(page("Two", []), path)
    assert "<title>Two</title>" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]
