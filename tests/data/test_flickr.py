from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.data.caption_files import draw, write_entities, write_flickr8k

from saccade.data.captioned import held_out
from saccade.data.flickr import Flickr8k
from saccade.data.records import SPLITS, Caption, Corpus, images_of
from saccade.errors import DataError, ImageError, UnknownNameError

TEXT = "Flickr8k_text"
TOKENS = f"{TEXT}/Flickr8k.token.txt"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_official_splits_with_all_three_files(tmp_path: Path) -> None:
    data = Flickr8k(write_flickr8k(tmp_path, train=7, val=3, test=2))
    assert isinstance(data, Corpus)
    assert data.official_test
    assert {split: data.counts(split) for split in SPLITS} == {
        "train": {"captions": 35, "images": 7},
        "val": {"captions": 15, "images": 3},
        "test": {"captions": 10, "images": 2},
    }
    first, second = data.records(Caption, "val")[:2]
    assert (first.id, first.text, first.phrases) == (f"{first.image}#0", "A yellow picture .", ())
    assert second.id == f"{first.image}#1"
    assert data.open_image(first.image).size == (7, 5)
    assert data.records(Caption, "val") is data.records(Caption, "val")


def test_without_test_images_the_development_images_are_the_test(tmp_path: Path) -> None:
    write_flickr8k(tmp_path, train=53, val=3)
    data = Flickr8k(tmp_path)
    assert not data.official_test
    assert images_of(data.records(Caption, "test")) == (tmp_path / TEXT / "Flickr_8k.devImages.txt").read_text().split()
    train = (tmp_path / TEXT / "Flickr_8k.trainImages.txt").read_text().split()
    images = {split: images_of(data.records(Caption, split)) for split in ("train", "val")}
    assert sorted(images["train"] + images["val"]) == sorted(train)
    assert len(images["val"]) == 5
    # The file's order has no say in the choice, and stays.
    names = tmp_path / TEXT / "Flickr_8k.trainImages.txt"
    names.write_text("\n".join(reversed(train)))
    assert images_of(Flickr8k(tmp_path).records(Caption, "val")) == images["val"][::-1]


def test_held_out_is_five_hundred_or_a_tenth() -> None:
    names = [f"{number}.jpg" for number in range(6007)]
    assert [len(held_out(names[:count])) for count in (1, 19, 4999, 5000, 6007)] == [1, 1, 499, 500, 500]
    assert len(held_out(names) - held_out(names[1:])) <= 1


@pytest.mark.parametrize("folder", ["Flicker8k_Dataset", "Flickr8k_Dataset", "images"])
def test_text_and_images_may_lie_elsewhere(tmp_path: Path, folder: str) -> None:
    write_flickr8k(tmp_path)
    (tmp_path / "Flicker8k_Dataset").rename(tmp_path / folder)
    for path in (tmp_path / TEXT).iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / TEXT).rmdir()
    assert len(Flickr8k(tmp_path).records(Caption, "test")) == 15


def test_captions_of_images_in_no_split_are_counted(tmp_path: Path) -> None:
    write_flickr8k(tmp_path)
    with (tmp_path / TOKENS).open("a") as file:
        file.writelines(f"2258277193_586949ec62.jpg.1#{n}\tA man .\n" for n in range(5))
        file.write("99_other.jpg#0\tA dog .\n")
    data = Flickr8k(tmp_path)
    assert data.ignored == 6
    assert data.counts("train") == {"captions": 60, "images": 12}


def test_the_misspelt_name_is_found_where_a_split_wants_it(tmp_path: Path) -> None:
    write_flickr8k(tmp_path, val=1)
    (tmp_path / TEXT / "Flickr_8k.devImages.txt").write_text("2258277193_586949ec62.jpg\r\n")
    draw(tmp_path / "Flicker8k_Dataset" / "2258277193_586949ec62.jpg")
    with (tmp_path / TOKENS).open("ab") as file:
        file.write(b"2258277193_586949ec62.jpg.1#0\tA  man .\r\n\r\n")
    data = Flickr8k(tmp_path)
    (caption,) = data.records(Caption, "test")
    assert (caption.id, caption.text) == ("2258277193_586949ec62.jpg#0", "A man .")
    assert data.ignored == 5


WRONG_LINES = [
    ("a.jpg a caption", r"expected name\.jpg#0, a tab and a caption, got 'a\.jpg a caption'"),
    ("a.jpg#one\ta caption", r"expected name\.jpg#0"),
    ("a.jpg#0\t  ", "expected a caption of a.jpg, got an empty one"),
    ("1000_0000000000.jpg#0\tagain", "expected every caption once, got 1000_0000000000.jpg#0 again"),
]


@pytest.mark.parametrize(("line", "message"), WRONG_LINES, ids=[message[:30] for _, message in WRONG_LINES])
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_flickr8k(tmp_path, train=2, val=1)
    with (tmp_path / TOKENS).open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path / TOKENS))}:17: {message}"):
        Flickr8k(tmp_path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    write_flickr8k(tmp_path)
    (tmp_path / TOKENS).write_bytes(b"a.jpg#0\tA dog\na.jpg#1\t\xff\n")
    with pytest.raises(DataError, match=r"Flickr8k\.token\.txt:2: expected UTF-8"):
        Flickr8k(tmp_path)


def test_images_that_are_not_there_are_counted_and_named(tmp_path: Path) -> None:
    data = Flickr8k(write_flickr8k(tmp_path, train=23, val=2, test=1))
    shutil.rmtree(tmp_path / "Flicker8k_Dataset")
    data = Flickr8k(tmp_path)
    assert data.counts("train")["images"] == 23
    with pytest.raises(DataError, match=r"23 of the 23 images of split train are not there \((\w+\.jpg, ){10}\.\.\.\)"):
        data.require_images("train")
    with pytest.raises(DataError, match="1 of the 1 images of split test"):
        data.require_images("test")
    assert len(data.records(Caption, "train")) == 115  # which features from elsewhere may do for
    for name in ("1000_0000000000.jpg", "", "../Flickr8k_text/Flickr8k.token.txt", str(tmp_path / TOKENS)):
        with pytest.raises(ImageError, match="has no image"):
            data.open_image(name)


def test_an_image_without_captions_is_named(tmp_path: Path) -> None:
    write_flickr8k(tmp_path)
    names = tmp_path / TEXT / "Flickr_8k.devImages.txt"
    names.write_text(names.read_text() + "bare.jpg\n")
    with pytest.raises(
        DataError, match=r"devImages\.txt: expected captions for every image, 1 have none \(bare\.jpg\)"
    ):
        Flickr8k(tmp_path)


def test_wrong_split_files(tmp_path: Path) -> None:
    write_flickr8k(tmp_path, train=3, val=2)
    names = (tmp_path / TEXT / "Flickr_8k.trainImages.txt").read_text()
    dev = tmp_path / TEXT / "Flickr_8k.devImages.txt"
    dev.write_text("a.jpg\n\na.jpg\n")
    with pytest.raises(DataError, match=r"devImages\.txt:3: expected every image once, got 'a\.jpg' again"):
        Flickr8k(tmp_path)
    dev.write_text(names.split()[1])
    with pytest.raises(DataError, match=r"is in Flickr_8k\.trainImages\.txt and in Flickr_8k\.devImages\.txt"):
        Flickr8k(tmp_path)
    dev.write_text("\n")
    with pytest.raises(DataError, match="split test has no images"):
        Flickr8k(tmp_path).records(Caption, "test")
    dev.unlink()
    with pytest.raises(DataError, match=r"no Flickr_8k\.devImages\.txt here"):
        Flickr8k(tmp_path)
    dev.write_text("a.jpg")
    (tmp_path / TOKENS).unlink()
    with pytest.raises(DataError, match=r"Flickr8k\.token\.txt: cannot be read \(No such file"):
        Flickr8k(tmp_path)
    with pytest.raises(DataError, match=r"no Flickr_8k\.trainImages\.txt here"):
        Flickr8k(tmp_path / "Flicker8k_Dataset")


def test_an_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no split named 'vla'; did you mean 'val'"):
        Flickr8k(write_flickr8k(tmp_path)).records(Caption, "vla")


@pytest.mark.parametrize("place", ["inside", "beside", "named"])
def test_captions_that_entities_know_get_phrases(tmp_path: Path, place: str) -> None:
    root = write_flickr8k(tmp_path / "flickr8k", train=2, val=1)
    folders = {
        "inside": root / "flickr30k_entities",
        "beside": tmp_path / "flickr30k_entities",
        "named": tmp_path / "e",
    }
    entities = write_entities(folders[place], {"train": ["1002"]}, None)
    change(root / TOKENS, "1002_0000000002.jpg#3\tSomething blue .", "1002_0000000002.jpg#3\ta child in a pink dress .")
    data = Flickr8k(root, entities=entities if place == "named" else None)
    with_phrases = [caption for caption in data.records(Caption, "test") if caption.phrases]
    assert [(caption.id, caption.text) for caption in with_phrases] == [
        ("1002_0000000002.jpg#3", "a child in a pink dress .")
    ]
    assert [phrase.words for phrase in with_phrases[0].phrases] == [(0, 2), (3, 6)]
    assert not any(caption.phrases for caption in data.records(Caption, "train"))


def test_entities_that_are_none(tmp_path: Path) -> None:
    write_flickr8k(tmp_path)
    with pytest.raises(DataError, match=r"no Sentences/ here; expected a folder of Flickr30k Entities"):
        Flickr8k(tmp_path, entities=tmp_path)


def write_kaggle(folder: Path, images: int = 60) -> Path:
    """Kaggle's folder: one file of captions, no splits."""
    lines = ["image,caption"]
    for number in range(images):
        name = f"{1000 + number}_{number:010x}.jpg"
        said = ["A dog , a cat .", "two dogs", 'He said "no"', "A dog", "a wall"]
        quoted = [f'"{t.replace(chr(34), 2 * chr(34))}"' if set(t) & set(',"') else t for t in said]
        lines += [f"{name},{text}" for text in quoted]
        draw(folder / "Images" / name, number)
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_kaggles_folder_has_its_splits_held_out_by_image(tmp_path: Path) -> None:
    data = Flickr8k(write_kaggle(tmp_path))
    assert not data.official_test
    assert data.splits == SPLITS
    images = {split: set(data.images(split)) for split in SPLITS}
    assert all(images.values())
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 60
    assert len(images["train"]) > 40
    captions = data.records(Caption, "val")
    assert images_of(captions) == list(data.images("val"))
    assert [said.text for said in captions[:3]] == ["A dog , a cat .", "two dogs", 'He said "no"']
    assert [said.id for said in captions[:2]] == [f"{captions[0].image}#0", f"{captions[0].image}#1"]
    data.require_images("test")
    assert data.open_image(captions[0].image).size == (7, 5)
    write_kaggle(tmp_path, 90)
    assert images["val"] == {image for image in Flickr8k(tmp_path).images("val") if int(image[:4]) < 1060}


KAGGLE_LINES = [
    ("a.jpg", r"expected the name of an image, a comma and a caption, .* got 'a\.jpg'"),
    ("a.jpg,a dog, a cat", "expected the name of an image, a comma and a caption, in double quotes where"),
    ('a.jpg,"a dog', "expected a line of CSV, got"),
    (",a dog", "expected the name of an image"),
    ("a.jpg, ", r"expected a caption of a\.jpg, got an empty one"),
    ("a.jpg,...", r"expected the caption of a\.jpg to have a word in it"),
]


@pytest.mark.parametrize(("line", "message"), KAGGLE_LINES, ids=[line for line, _ in KAGGLE_LINES])
def test_a_wrong_line_of_kaggles_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_kaggle(tmp_path, 2)
    with (tmp_path / "captions.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=rf"captions\.txt:12: {message}"):
        Flickr8k(tmp_path)
    (tmp_path / "captions.txt").write_text("name,text\na.jpg,a dog\n")
    with pytest.raises(DataError, match=r"captions\.txt:1: expected the header image,caption, got 'name,text'"):
        Flickr8k(tmp_path)


def test_captions_without_words_are_named(tmp_path: Path) -> None:
    write_flickr8k(tmp_path)
    change(tmp_path / TOKENS, "A red picture .", ". . .")
    with pytest.raises(DataError, match=r"token\.txt:1: expected the caption of .*jpg to have a word in it"):
        Flickr8k(tmp_path)


@pytest.mark.data
def test_the_real_flickr8k(real_data: Path) -> None:
    data = Flickr8k(real_data / "flickr8k")
    assert not data.official_test
    assert data.ignored == 0
    counts = {split: data.counts(split) for split in SPLITS}
    assert {split: {key: each[key] for key in ("captions", "images")} for split, each in counts.items()} == {
        "train": {"captions": 27_500, "images": 5_500},
        "val": {"captions": 2_500, "images": 500},
        "test": {"captions": 5_000, "images": 1_000},
    }
    captions = data.records(Caption, "test")
    phrased = [caption for caption in captions if any(phrase.boxes for phrase in caption.phrases)]
    assert (len(phrased), len(images_of(phrased))) == (4_675, 964)
    for caption in phrased:
        words = caption.text.split()
        for phrase in caption.phrases:
            assert 0 <= phrase.words[0] < phrase.words[1] <= len(words)
            assert all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in phrase.boxes)
    assert data.open_image(captions[0].image).size == (224, 224)
