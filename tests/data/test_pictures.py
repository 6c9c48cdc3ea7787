"""Images by their names: of folders, lists, and whatever fsspec opens; errors name what is missing."""

from __future__ import annotations

import pickle
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from saccade.data.pictures import Pictures
from saccade.errors import DataError, ImageError, SaccadeError

NAMES = ["a.jpg", "deep/b b.png", "deep/c.jpg"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three images, of 11, 12 and 13 pixels width, and a text."""
    for i, name in enumerate(NAMES):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (11 + i, 5), "red").save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "read.me").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def archive(folder, tmp_path) -> Path:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for each in sorted(folder.rglob("*.*")):
            file.write(each, f"photos/{each.relative_to(folder).as_posix()}")
    return tmp_path / "photos.zip"


def widths(pictures: Pictures) -> list[int]:
    with ThreadPoolExecutor(4) as pool:
        return [image.width for image in pool.map(pickle.loads(pickle.dumps(pictures)).open, pictures.names)]


def test_one_folder_in_every_way_has_the_same_names_and_images(folder, archive) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/pictures-of-a-test", recursive=True)
    try:
        ways = [folder, f"file://{folder}", f"zip://photos::{archive}", f"zip://photos/::file://{archive}"]
        for way in [*ways, "memory://pictures-of-a-test"]:
            pictures = Pictures(str(way))
            assert pictures.names == NAMES
            assert widths(pictures) == [11, 12, 13]
            local = way in ways[:2]
            assert pictures.file("deep/c.jpg") == (folder / "deep" / "c.jpg" if local else None)
    finally:
        memory.rm("/pictures-of-a-test", recursive=True)
    assert Pictures(f"zip://::{archive}").names == [f"photos/{name}" for name in NAMES]
    assert widths(Pictures(f"zip://::{archive}")) == [11, 12, 13]


def test_lists_name_images_below_their_folder_whole_paths_and_urls(folder, archive, tmp_path) -> None:
    url, listed = f"zip://photos/a.jpg::{archive}", tmp_path / "list.txt"
    listed.write_text(f"photos/deep/b b.png\r\n\n  {folder}/deep/c.jpg\n{url}\nphotos/deep/b b.png\ngone.jpg\n")
    pictures = Pictures(str(listed))
    assert pictures.names == ["photos/deep/b b.png", f"{folder}/deep/c.jpg", url, "gone.jpg"]
    assert [pictures.open(name).width for name in pictures.names[:3]] == [12, 13, 11]
    assert pictures.file(pictures.names[0]) == folder / "deep" / "b b.png"
    assert pictures.file(url) is None
    with pytest.raises(ImageError, match=r"gone\.jpg: no such image file"):
        pictures.open("gone.jpg")
    lines = tmp_path / "asked.csv"
    lines.write_text("image,question\nphotos/a.jpg,what\nphotos/a.jpg,where\n")
    assert Pictures(str(lines)).names == ["photos/a.jpg"]
    assert widths(Pictures(str(lines))) == [11]


@pytest.mark.parametrize(
    ("where", "kind", "message"),
    [
        ("nowhere", ImageError, r"nowhere: no such folder of images; or name a list \(\.txt, "),
        ("nowhere.txt", DataError, "no such list of images"),
        ("empty.txt", DataError, "expected the path of an image a line, got none"),
        ("foo://photos", DataError, "foo://photos: cannot be opened .*Protocol not known: foo"),
        ("memory://nothing-there", ImageError, "memory://nothing-there: no such folder of images"),
        ("zip://other::photos.zip", ImageError, "no such folder of images"),
        ("zip://texts::texts.zip", ImageError, r"no image files in it; known endings are .*\.jpg"),
        ("zip://photos::gone.zip", DataError, r"cannot be opened .*No such file or directory.*gone\.zip"),
        ("zip://photos::empty.txt", DataError, "cannot be opened .*not a zip file"),
    ],
)
def test_what_is_no_source_of_images_is_told(archive, tmp_path, monkeypatch, where, kind, message) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n")
    with zipfile.ZipFile("texts.zip", "w") as file:
        file.writestr("texts/read.me", "no image")
    with pytest.raises(kind, match=message):
        _ = Pictures(where).names


def test_the_package_that_a_url_needs_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=r"s3://bucket/photos: cannot be opened \(Install s3fs to access S3\)"):
        _ = Pictures("s3://bucket/photos").names


def test_a_missing_file_is_the_images_fault_and_a_host_that_fails_is_not(archive, monkeypatch) -> None:
    pictures = Pictures(f"zip://photos::{archive}")
    with pytest.raises(ImageError, match=r"gone\.jpg: no such image file in zip://photos"):
        pictures.open("gone.jpg")
    with pytest.raises(ImageError, match="not an image that Pillow can read"):
        pictures.open("read.me")

    def fails(*_: object) -> bytes:
        raise TimeoutError("no answer")

    monkeypatch.setattr(fsspec.get_filesystem_class("zip"), "cat_file", fails)
    with pytest.raises(SaccadeError, match=r"a\.jpg cannot be read \(no answer\); the same command goes on") as caught:
        pictures.open("a.jpg")
    assert not isinstance(caught.value, ImageError)
