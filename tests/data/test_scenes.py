"""The embedded data set: its bytes, its splits, what its answers give away, and its files."""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.records import SPLITS, Caption, Corpus, Question, images_of
from saccade.data.scenes import OPTIONS, SHARES, Scenes, split_of, write_scenes
from saccade.data.scenes_drawing import COLORS, FULL, GAP, IMAGE_SIZE, RADII, SHAPES, coverage
from saccade.data.scenes_look import BACKDROPS, Look
from saccade.data.scenes_questions import KINDS
from saccade.errors import DataError, ImageError, UnknownNameError


def digest(parts: list[object]) -> str:
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


def test_the_bytes_of_a_seed_are_pinned():
    # Made with NumPy 2 on x86-64. A change here is a new data set: every trained weight and every number is void.
    scenes = Scenes()
    images = [f"{split}/{index:05d}" for split in SPLITS for index in range(10)]
    questions = [question for image in images for question in scenes.questions_of(image)]
    sentences = [scenes.phrases(image) for image in images]
    digests = {
        "pixels": digest([scenes.open_image(image).tobytes() for image in images]),
        "questions": digest([(q.id, q.image, q.text, q.answers, q.kind, q.boxes) for q in questions]),
        "captions": digest([tuple(caption.text for caption in scenes.captions_of(image)) for image in images]),
        "sentences": digest([(s.text, [(phrase.words, phrase.boxes) for phrase in s.phrases]) for s in sentences]),
    }
    assert digests == {
        "pixels": "fb21b1f3fc395e17f29abc1e9c2cf56a15ab55117e824c7ab23b72b0b3274e96",
        "questions": "0feed784dc467abfc591490249146bcd679c0fe9c5981835c23fff9f4d14ef3d",
        "captions": "f879f32767a70c266a0687352a6b94e3847c2064304dfb878a525de21ecb60bc",
        "sentences": "604a08dc1d963d74ae68e0a1ad0b19aff5e7df10f4400dab619379f7ce9b4c0d",
    }


def test_a_record_is_the_same_in_any_order_and_any_amount():
    few, many = Scenes(seed=3, train=4, val=1, test=1), Scenes(seed=3)
    many.open_image("train/00007")
    assert few.records(Question, "train")[-1] == many.questions_of("train/00003")[-1]
    assert few.scene("test/00000") == many.scene("test/00000")
    assert few.open_image("val/00000").tobytes() == many.open_image("val/00000").tobytes()
    assert few.open_image("val/00000").tobytes() != Scenes(seed=4).open_image("val/00000").tobytes()


def test_images_are_rgb_of_the_size_promised():
    image = Scenes().open_image("test/00999")
    assert image.mode == "RGB"
    assert image.size == (IMAGE_SIZE, IMAGE_SIZE)
    assert IMAGE_SIZE >= 96


def test_splits_have_their_sizes_and_questions_their_ids():
    assert [len(Scenes().images(split)) for split in SPLITS] == [8000, 1000, 1000]
    scenes = Scenes(val=50)
    questions = scenes.records(Question, "val")
    assert images_of(questions) == scenes.images("val")
    assert len({question.id for question in questions}) == len(questions)
    assert scenes.records(Question, "val") is questions


def test_captions_come_by_split():
    scenes = Scenes(test=7)
    captions = scenes.records(Caption, "test")
    assert isinstance(scenes, Corpus)
    assert scenes.records(Caption, "test") is captions
    assert images_of(captions) == scenes.images("test")
    assert [caption.id for caption in captions[5:8]] == ["test/00001#0", "test/00001#1", "test/00001#2"]
    assert len({caption.id for caption in captions}) == len(captions) == 35
    with pytest.raises(UnknownNameError, match="did you mean 'test'"):
        scenes.records(Caption, "tets")


def test_an_arrangement_belongs_to_one_split_only():
    scenes = Scenes(train=200, val=50, test=50)
    for split in SPLITS:
        assert {split_of(scenes.scene(image)) for image in scenes.images(split)} == {split}
    assert sum(SHARES.values()) == 10


def test_things_lie_apart_inside_the_image_and_differ():
    scenes = Scenes(train=300)
    for image in scenes.images("train"):
        things = scenes.scene(image).things
        assert 2 <= len(things) <= 6
        assert len({(thing.shape, thing.color, thing.size) for thing in things}) == len(things)
        for i, a in enumerate(things):
            assert 0 <= min(a.box) < max(a.box) <= 1
            assert a.radius in RADII[a.size]
            apart = [max(abs(a.x - b.x), abs(a.y - b.y)) - a.radius - b.radius for b in things[:i]]
            assert min(apart, default=GAP) >= GAP


def test_things_have_their_colours_and_backgrounds_none():
    scenes = Scenes(train=100)
    names, palette = list(COLORS), np.array(list(COLORS.values()))
    for image in scenes.images("train"):
        scene = scenes.scene(image)
        pixels = np.asarray(scenes.open_image(image)).astype(int)
        free = np.ones(pixels.shape[:2], bool)
        for thing in scene.things:
            x, y, r = thing.x, thing.y, thing.radius
            free[y - r : y + r, x - r : x + r] = False
            whole = coverage(thing.shape, r) == FULL
            colour = pixels[y - r : y + r, x - r : x + r][whole].mean(axis=0)
            assert names[np.abs(palette - colour).sum(axis=1).argmin()] == thing.color
            assert np.abs(COLORS[thing.color] - colour).max() < 20
        background = pixels[free]
        assert np.ptp(background, axis=1).max() < 50  # greyish, while every colour but white is far from grey
        assert background.max() < 200


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_boxes_and_are_symmetric(shape):
    for radius in (*RADII["small"], *RADII["large"]):
        mask = coverage(shape, radius)
        assert mask.shape == (2 * radius, 2 * radius)
        assert (mask == mask[:, ::-1]).all()
        assert mask.max() == FULL
        assert mask.any(axis=0).all()
        assert mask.any(axis=1).all()
    area = coverage(shape, 13).sum() / FULL / 26**2
    assert area == pytest.approx(
        {"circle": 0.785, "square": 1, "triangle": 0.5, "diamond": 0.5, "cross": 5 / 9}[shape], abs=0.01
    )


@pytest.fixture(scope="module")
def questions():
    scenes = Scenes(train=2000, test=300)
    return {split: scenes.records(Question, split) for split in ("train", "test")}


@pytest.mark.parametrize("key", [lambda q: q.kind, lambda q: q.text], ids=["kind", "text"])
def test_the_question_alone_answers_few(questions, key):
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for question in questions["train"]:
        seen[key(question)][question.answers[0]] += 1
        seen[question.kind][question.answers[0]] += 1
    guesses = [seen.get(key(q), seen[q.kind]).most_common(1)[0][0] == q.answers[0] for q in questions["test"]]
    assert np.mean(guesses) < 0.38  # 33 % on the whole data set


@pytest.mark.parametrize(
    ("kind", "answers", "most"),
    [
        ("color", 8, 0.16),
        ("shape", 5, 0.23),
        ("size", 2, 0.53),
        ("position", 4, 0.28),
        ("count", 7, 0.33),
        ("existence", 2, 0.53),
        ("relation", 2, 0.53),
    ],
)
def test_answers_are_balanced(questions, kind, answers, most):
    counts = Counter(q.answers[0] for q in questions["train"] if q.kind == kind)
    assert len(counts) == answers
    assert max(counts.values()) / counts.total() < most


@pytest.mark.parametrize("kind", ["existence", "relation", "size"])
def test_no_word_gives_a_yes_or_no_away(questions, kind):
    asked = [q for split in questions.values() for q in questions_of_kind(split, kind)]
    first = asked[0].answers[0]
    counts: dict[str, list[int]] = defaultdict(list)
    for question in asked:
        for word in set(question.text.split()):
            counts[word].append(question.answers[0] == first)
    for word, hits in counts.items():
        deviation = 0.5 / len(hits) ** 0.5
        assert abs(np.mean(hits) - 0.5) < 4 * deviation, word


def questions_of_kind(questions, kind):
    return [question for question in questions if question.kind == kind]


@pytest.mark.parametrize(
    "image", ["train/8000", "train/08000", "train/3", "dev/00000", "00000", "train/-0001", "train/", ""]
)
def test_an_unknown_image_is_refused(image):
    with pytest.raises(ImageError, match=r"no image .*train/00000 to train/07999"):
        Scenes().open_image(image)


def test_an_unknown_split_and_a_negative_size_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        Scenes().records(Question, "trian")
    with pytest.raises(DataError, match="expected val of scenes to be 0 or more, got -1"):
        Scenes(val=-1)


def test_scenes_need_no_torch():
    code = "import sys, saccade.data.scenes as s; s.Scenes().open_image('val/00001'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_written_scenes_are_own_data(tmp_path):
    out, heard = tmp_path / "new" / "mine", []
    counts = write_scenes(out, images=20, seed=5, progress=lambda done, total: heard.append((done, total)))
    assert counts == {
        "images": len(list((out / "images").glob("*.png"))),
        "questions": sum(len(lines(out / f"{split}.jsonl")) for split in SPLITS),
        "captions": 5 * 20,
        "sentences": 20,
    }
    assert heard == [(done, 20) for done in range(1, 21)]
    scenes = Scenes(seed=5, train=16, val=2, test=2)
    names = {split: dict.fromkeys(line["image"] for line in lines(out / f"{split}.jsonl")) for split in SPLITS}
    assert {split: len(names[split]) for split in SPLITS} == {"train": 16, "val": 2, "test": 2}
    for split in SPLITS:
        for line, question in zip(lines(out / f"{split}.jsonl"), scenes.records(Question, split), strict=True):
            assert set(line) == {"image", "question", "answers", "type", "boxes"}
            assert (line["question"], tuple(line["answers"]), line["type"]) == (
                question.text,
                question.answers,
                question.kind,
            )
            assert tuple(map(tuple, line["boxes"])) == question.boxes
        for name, image in zip(names[split], scenes.images(split), strict=True):
            with Image.open(out / name) as written:
                assert written.tobytes() == scenes.open_image(image).tobytes()
    caption, sentence = lines(out / "captions_val.jsonl")[1], lines(out / "phrases_test.jsonl")[0]
    assert caption == {"image": "images/00017.png", "captions": [said.text for said in scenes.captions_of("val/00001")]}
    assert sentence["sentence"] == scenes.phrases("test/00000").text
    assert {tuple(phrase) for phrase in sentence["phrases"]} == {("words", "boxes", "types")}
    assert [path.name for path in out.parent.iterdir()] == ["mine"]


def test_a_stopped_writing_leaves_nothing_half(tmp_path, monkeypatch):
    out = tmp_path / "mine"
    leftover = tmp_path / ".mine.partial"
    (leftover / "images").mkdir(parents=True)
    (leftover / "images" / "99999.png").write_bytes(b"half")

    def stop(done, total):
        assert not out.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(out, images=3, progress=stop)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    assert write_scenes(out, images=3)["images"] == 3


def test_writing_over_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="exists already and is not an empty folder"):
            write_scenes(out, images=3)
    with pytest.raises(DataError, match="cannot be written"):
        write_scenes(tmp_path / "notes.txt" / "inside", images=3)
    with pytest.raises(DataError, match="at least 3 images, one for each split, got 2"):
        write_scenes(tmp_path / "few", images=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_files_of_the_default_look_are_pinned(tmp_path):
    write_scenes(out := tmp_path / "mine", images=10)
    written = hashlib.sha256()
    for path in sorted(out.rglob("*.png")):  # the pixels: how PNG packs them is the library's
        written.update(Image.open(path).tobytes())
    for path in sorted(out.glob("*.jsonl")):  # pinned before phrases had types, which are the only change since
        written.update(re.sub(rb', "types": \["(?:one|several)"\]', b"", path.read_bytes()))
    assert written.hexdigest() == "5a595c847bf20a51068e6bb901ac9086d613a677aa103f61b298bb0bfd0aa19f"


@pytest.mark.parametrize("background", list(BACKDROPS))
@pytest.mark.parametrize("side", [40, 96, 161, 192])
def test_boxes_hold_their_things_at_any_size_and_before_any_background(background, side):
    scenes = Scenes(seed=4, train=12, look=Look((side, side), background))
    for image in scenes.images("train"):
        pixels = np.asarray(scenes.open_image(image)).astype(int)
        assert pixels.shape == (side, side, 3)
        for thing in scenes.scene(image).things:
            x1, y1, x2, y2 = (edge * side for edge in thing.box)
            middle = pixels[round((y1 + y2) / 2) - 1 :, round((x1 + x2) / 2) - 1 :][:2, :2].mean(axis=(0, 1))
            assert np.abs(middle - COLORS[thing.color]).max() < 30
            if thing.shape == "square":  # which fills its box: just inside it has its colour, just outside it has not
                row = pixels[round((y1 + y2) / 2), :, :]
                inside, outside = row[math.ceil(x1) : math.floor(x2)], row[[math.floor(x1) - 2] if x1 > 2 else []]
                assert np.abs(inside - np.array(thing.rgb)).max() < 30
                assert all(np.abs(pixel - np.array(thing.rgb)).max() > 20 for pixel in outside)


def test_another_look_changes_what_it_names_alone():
    usual, other = Scenes(seed=2), Scenes(seed=2, look=Look((64, 128), "gradients"))
    images = usual.images("val")[:8]
    for image in images:
        assert other.scene(image).things == usual.scene(image).things
        assert other.questions_of(image) == usual.questions_of(image)
        assert other.scene(image).background.kind == "cloudy"
        assert all(other.is_true(image, caption.text) for caption in other.captions_of(image))
    sides = {other.open_image(image).width for image in images}
    assert len(sides) > 3
    assert min(sides) >= 64
    assert max(sides) <= 128


def test_things_may_be_fewer_and_of_other_sizes():
    scenes = Scenes(look=Look(things=(3, 4), small=(4, 5), large=(10, 14)))
    things = [scenes.scene(image).things for image in scenes.images("test")[:80]]
    assert {len(some) for some in things} == {3, 4}
    assert {thing.radius for some in things for thing in some if thing.size == "small"} == {4, 5}
    assert {thing.radius for some in things for thing in some if thing.size == "large"} == {10, 11, 12, 13, 14}


@pytest.mark.parametrize(
    ("look", "message"),
    [
        ({"side": (96, 8)}, r"the side of scenes from one to another within 32 and 1024, got \(96, 8\)"),
        ({"side": (8, 96)}, "the side of scenes"),
        ({"side": (96, 96, 96)}, "the side of scenes"),
        ({"things": (1, 6)}, "the number of things"),
        ({"small": (6, 11)}, r"small things to be smaller than large ones, got radii \(6, 11\) and \(11, 13\)"),
        ({"large": (11, 40)}, "the radius of large things"),
    ],
)
def test_a_look_that_cannot_be_is_refused(look, message):
    with pytest.raises(DataError, match=message):
        Look(**look)


def test_types_of_questions_can_be_left_out(tmp_path):
    write_scenes(tmp_path / "all", images=20)
    write_scenes(tmp_path / "fewer", images=20, without=("relation", "count"))
    kept = [line for line in lines(tmp_path / "all" / "train.jsonl") if line["type"] not in ("relation", "count")]
    assert lines(tmp_path / "fewer" / "train.jsonl") == kept
    assert json.loads((tmp_path / "fewer" / OPTIONS).read_text())["without"] == ["count", "relation"]
    with pytest.raises(UnknownNameError, match="did you mean 'relation'"):
        write_scenes(tmp_path / "new", images=20, without=("relations",))
    with pytest.raises(DataError, match="expected a type of question to be left"):
        write_scenes(tmp_path / "new", images=20, without=tuple(KINDS))
    with pytest.raises(UnknownNameError, match="did you mean 'gradients'"):
        Look(background="gradient")
