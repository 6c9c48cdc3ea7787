"""What every corpus has in common: one interface, letters composed, images listed without a text made."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image
from tests.data.caption_files import coco_entry, karpathy_entry, write_coco, write_entities, write_flickr8k
from tests.data.caption_files import write_karpathy as karpathy
from tests.data.vqa_files import write_vqa

from saccade.corpus import images_at_hand
from saccade.data import DATASETS, GENERATED, READ, create_dataset
from saccade.data.records import (
    SPLITS,
    Caption,
    ChecksImages,
    Corpus,
    ExportsAnswers,
    JudgesCaptions,
    Question,
    Record,
    images_of,
)
from saccade.data.vqa import Vqa
from saccade.errors import DataError, UnknownNameError

COMPOSED, DECOMPOSED = "r\u00e9d", "re\u0301d"


@dataclass(frozen=True, slots=True)
class Rebus(Record):
    """A kind of record that no corpus has."""

    noun: ClassVar[str] = "rebuses"


def own(folder: Path) -> Path:
    for split in SPLITS:
        Image.new("RGB", (5, 3)).save(folder / f"{split}.png")
        record = {"image": f"{split}.png", "question": "is it red", "answers": ["red", "no"], "type": "red"}
        (folder / f"{split}.jsonl").write_text(json.dumps(record))
    return folder


def daquar(folder: Path, classes: int = 894) -> Path:
    (folder / "images").mkdir()
    for number in range(1, 41):
        Image.new("RGB", (5, 3)).save(folder / "images" / f"image{number}.png")
    lines = [f"what is red in the image{number} ?\nred\n" for number in range(1, 41)]
    (folder / f"qa.{classes}.raw.train.txt").write_text("".join(lines))
    return folder


FLICKR = [karpathy_entry(4 * n, split) for n, split in enumerate(SPLITS)]
COCO = [coco_entry(4 * n, split) for n, split in enumerate(SPLITS)]
WRITERS: dict[str, Callable[[Path], object]] = {
    "own": own,
    "vqa1": lambda folder: write_vqa(folder, 1),
    "vqa1-multiple-choice": lambda folder: write_vqa(folder, 1),
    "vqa1-abstract": lambda folder: write_vqa(folder, 1, abstract=True),
    "vqa1-abstract-multiple-choice": lambda folder: write_vqa(folder, 1, abstract=True),
    "vqa2": write_vqa,
    "daquar": daquar,
    "daquar-37": lambda folder: daquar(folder, 37),
    "flickr8k": write_flickr8k,
    "flickr8k-karpathy": lambda folder: karpathy(folder, "flickr8k", FLICKR),
    "flickr30k": lambda folder: karpathy(folder, "flickr30k", FLICKR),
    "flickr30k-entities": lambda folder: write_entities(folder, {"train": ["1", "2"], "val": ["3"], "test": ["4"]}),
    "coco": lambda folder: karpathy(folder, "coco", COCO),
    "coco-official": write_coco,
}


def create(name: str, folder: Path) -> Corpus:
    if name in READ:
        WRITERS[name](folder)
    return create_dataset(name, folder, limit=3)


@pytest.mark.parametrize("name", DATASETS)
def test_every_corpus_has_the_one_interface(name: str, tmp_path: Path) -> None:
    data = create(name, tmp_path)
    assert isinstance(data, Corpus)
    assert set(data.splits) >= {"train", "val", "test"}
    asked = 0
    for split in data.splits:
        images = data.images(split)
        assert len(set(images)) == len(images) > 0
        for kind in (Question, Caption):
            try:
                records = data.records(kind, split)
            except DataError:
                continue
            asked += 1
            assert {type(record) for record in records} == {kind}
            assert images_of(records) == list(images)
        assert data.open_image(images[0]).mode == "RGB"
        if isinstance(data, ChecksImages):
            data.require_images(split)
    assert asked >= len(data.splits)
    with pytest.raises(UnknownNameError, match="no split named 'tset'"):
        data.images("tset")


def test_every_data_set_was_written() -> None:
    assert set(WRITERS) == set(READ)


@pytest.mark.parametrize("name", DATASETS)
def test_a_kind_that_a_corpus_lacks_is_answered_with_what_it_has(name: str, tmp_path: Path) -> None:
    data = create(name, tmp_path)
    had = "captions" if "vqa" not in name and name in (*list(READ)[8:], "coco") else "questions"
    with pytest.raises(DataError, match=f"rebuses; (it has|this folder holds) (questions and )?{had}[:;]?") as error:
        data.records(Rebus, "train")
    assert "recipe" in str(error.value)


def test_what_one_corpus_alone_knows_is_found_by_its_protocol(tmp_path: Path) -> None:
    judges = {name for name in GENERATED if isinstance(create_dataset(name, limit=3), JudgesCaptions)}
    assert judges == {"scenes", "scenes-phrases"}
    scenes = create_dataset("scenes", limit=3)
    assert isinstance(scenes, JudgesCaptions)
    caption = scenes.records(Caption, "val")[0]
    assert scenes.is_true(caption.image, caption.text)
    assert not scenes.is_true(caption.image, caption.text + " and a")
    assert isinstance(Vqa(tmp_path, 2), ExportsAnswers)
    assert not isinstance(scenes, ExportsAnswers | ChecksImages)


@pytest.mark.parametrize("name", GENERATED)
def test_images_are_listed_without_a_text_or_a_scene_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> object:
        raise AssertionError("nothing should have been made")

    for function in ("ask", "captions", "render"):
        monkeypatch.setattr(f"saccade.data.scenes.{function}", made)
    monkeypatch.setattr("saccade.data.scenes_look.draw_scene", made)
    for function in ("_absolute", "_relative", "render"):
        monkeypatch.setattr(f"saccade.data.positions.{function}", made)
    whole = create_dataset(name)
    assert len(images_at_hand(whole)) == sum(len(whole.images(split)) for split in SPLITS)
    few = create_dataset(name, limit=41)
    assert images_at_hand(few, 2) == [f"{split}/{number:05d}" for split in SPLITS for number in (0, 1)]
    with pytest.raises(AssertionError, match="nothing should"):
        few.records(Question, "val")


@pytest.mark.parametrize("name", READ)
def test_letters_are_composed_whatever_form_the_files_have(name: str, tmp_path: Path) -> None:
    """A vocabulary, references and answers agree only if equal words are equal strings."""
    found = []
    for form in (COMPOSED, DECOMPOSED):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        WRITERS[name](folder)
        for path in folder.rglob("*"):
            if path.suffix in (".json", ".jsonl", ".txt", ".xml"):
                path.write_text(path.read_text().replace("red", form).replace("pink", f"p{form}"), encoding="utf-8")
        data = create_dataset(name, folder)
        kind = Question if "questions" in str(_refusal(data)) else Caption
        found.append([record for split in data.splits for record in data.records(kind, split)])
    assert found[0] == found[1]
    texts = [text for record in found[1] for text in _texts(record)]
    assert any(COMPOSED in text for text in texts)
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)


def _refusal(data: Corpus) -> DataError:
    with pytest.raises(DataError) as error:
        data.records(Rebus, data.splits[0])
    return error.value


def _texts(record: Record) -> list[str]:
    values = [getattr(record, field.name) for field in fields(record) if field.name not in ("id", "image")]
    values += [item for value in values if isinstance(value, tuple) for item in value]
    return [value for value in values if isinstance(value, str)]


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", b"\xed\xa0\xbd"])
def test_half_a_character_in_a_json_file_is_named(tmp_path: Path, half: bytes) -> None:
    files = {
        "vqa2": "v2_OpenEnded_mscoco_train2014_questions.json",
        "flickr8k-karpathy": "dataset_flickr8k.json",
        "coco-official": "annotations/captions_train2014.json",
    }
    for name, file in files.items():
        folder = tmp_path / name
        folder.mkdir()
        WRITERS[name](folder)
        content = (folder / file).read_bytes()
        word = b"color" if name == "vqa2" else b"picture"
        assert word in content
        (folder / file).write_bytes(content.replace(word, word + half, 1))
        with pytest.raises(DataError, match=f"{Path(file).name}: (.*: )?expected whole characters, got half of one in"):
            images_at_hand(create_dataset(name, folder))
        (folder / file).write_bytes(content.replace(word, word + rb" \ud83d\ude00", 1))
        assert images_at_hand(create_dataset(name, folder))
