"""Saving: the suffix says the format, and a failure leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain import Explanation, Step, check_suffix, draw, page, save, save_page


@pytest.fixture
def explained() -> Explanation:
    step = Step("step 1", np.full(6, 1 / 6), np.array([0.5, 0.5]), grid=(2, 3))
    return Explanation(Image.new("RGB", (31, 17), "teal"), "What color?", ("what", "color"), (("teal", 1.0),), (step,))


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG")])
def test_pictures_are_saved_in_the_suffixs_format(tmp_path, explained, name, kind):
    save(explained, tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind
        assert picture.size == draw(explained).size
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_page_is_saved_with_the_question_as_its_title_in_a_new_folder(tmp_path, explained):
    path = tmp_path / "new" / "folder" / "answer.html"
    save(explained, str(path))
    text = path.read_text(encoding="utf-8")
    assert "<title>What color?</title>" in text
    assert text.count("What color?</h") == 1


def test_another_suffix_is_refused_with_the_known_ones(tmp_path, explained):
    for refuse in (lambda path: save(explained, path), check_suffix):
        with pytest.raises(
            SaccadeError, match=r"no picture format named '\.gif'.*Known: \.htm, \.html, \.jpeg, \.jpg, \.png"
        ):
            refuse(tmp_path / "a.gif")
        with pytest.raises(SaccadeError, match="no picture format named ''"):
            refuse(tmp_path / "a")
    check_suffix("a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path, explained):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(SaccadeError, match=r"cannot be written .*: choose another place"):
            save(explained, path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
    assert (tmp_path / "file").read_text() == "kept"


def test_saving_again_replaces(tmp_path):
    path = tmp_path / "report.html"
    save_page(page("One", []), path)
    save_page(page("Two", []), path)
    assert "<title>Two</title>" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]
