"""The questions about positions: their bytes, their splits, answers read from the pixels, and what gives them away."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from saccade.data.positions import SIDES, WORDINGS, Positions
from saccade.data.records import SPLITS, Corpus, Question, images_of
from saccade.data.scenes import split_of
from saccade.errors import DataError, ImageError, UnknownNameError

KINDS = pytest.mark.parametrize("kind", WORDINGS)


def digest(parts: list[object]) -> str:
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


@pytest.mark.parametrize(
    ("kind", "pixels", "questions"),
    [
        (
            "absolute",
            "003793219b92a9cb2303a6596a5c8360816e452f419b0c84e44dab8f7ee9587f",
            "fde2d600fa7ebcc4496b42267b6f2332f39585a9315df13d4a5efd16fe61d2ed",
        ),
        (
            "relative",
            "e9689a3812e4802cf0a7bdaf2f990336b4c483aa2f0b2052db4f1f86fb836e80",
            "8bc098864e114b5b025ea9c2445247e1af1c5ab2aa4c92b21ff4c2242d596b1b",
        ),
    ],
)
def test_the_bytes_of_a_seed_are_pinned(kind, pixels, questions):
    # Made with NumPy 2 on x86-64. A change here is a new data set: every number measured on it is void.
    data = Positions(kind)
    images = [f"{split}/{index:05d}" for split in SPLITS for index in range(10)]
    asked = [question for image in images for question in data.questions_of(image)]
    assert digest([data.open_image(image).tobytes() for image in images]) == pixels
    assert digest([(q.id, q.image, q.text, q.answers, q.kind, q.boxes) for q in asked]) == questions


@KINDS
def test_splits_have_their_sizes_and_questions_their_ids(kind):
    data = Positions(kind)
    assert isinstance(data, Corpus)
    assert [len(data.images(split)) for split in SPLITS] == [2000, 250, 500]
    questions = data.records(Question, "val")
    assert images_of(questions) == data.images("val")
    assert len({question.id for question in questions}) == len(questions) == 4 * 250
    assert data.records(Question, "val") is questions


@KINDS
def test_a_seed_a_split_and_a_kind_make_their_own_images(kind):
    images = {Positions(kind, seed=seed).open_image(image).tobytes() for seed in (0, 1) for image in
              ("train/00000", "train/00001", "val/00000", "test/00000")}  # fmt: skip
    assert len(images) == 8
    again = Positions(kind, train=1, val=0, test=0)
    assert again.open_image("train/00000").tobytes() in images


@KINDS
def test_an_arrangement_belongs_to_one_split_only(kind):
    data = Positions(kind, train=300, val=100, test=100)
    seen = {}
    for split in SPLITS:
        arrangements = [data.arrangement(image) for image in data.images(split)]
        assert {split_of(arrangement.scene()) for arrangement in arrangements} == {split}
        seen[split] = {(a.square.x, a.square.y, a.cat) for a in arrangements}
    assert not seen["train"] & (seen["val"] | seen["test"])
    assert not seen["val"] & seen["test"]


def extent(found: np.ndarray) -> tuple[int, int, int, int]:
    """The box of the pixels that are True: x1, y1, x2, y2 in pixels, the latter two beyond the last one."""
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def seen_side(pixels: np.ndarray) -> tuple[str, tuple[int, int, int, int]]:
    """On which side the red pixels lie, of the orange ones or else of the image, and their box."""
    red, green, blue = np.moveaxis(pixels.astype(int), 2, 0)
    square = extent((red > 180) & (green < 80) & (blue < 80))
    x, y = (square[0] + square[2]) / 2, (square[1] + square[3]) / 2
    orange = (red > 200) & (green > 100) & (green < 200) & (blue < 120)
    if not orange.any():
        distances = {"top": y, "bottom": 96 - y, "left": x, "right": 96 - x}
        nearest, second, *_ = sorted(distances, key=distances.__getitem__)
        assert distances[second] - distances[nearest] >= 6
        assert 32 <= (x if nearest in ("top", "bottom") else y) <= 64
        outer = {"top": square[3] <= 32, "bottom": square[1] >= 64, "left": square[2] <= 32, "right": square[0] >= 64}
        assert [side for side in SIDES if outer[side]] == [nearest]
        return nearest, square
    cat = extent(orange)
    beyond = {
        "top": square[3] < cat[1],
        "bottom": square[1] > cat[3],
        "left": square[2] < cat[0],
        "right": square[0] > cat[2],
    }
    (side,) = [side for side in SIDES if beyond[side]]
    along = (x, cat[0], cat[2]) if side in ("top", "bottom") else (y, cat[1], cat[3])
    assert abs(along[0] - (along[1] + along[2]) / 2) <= (along[2] - along[1]) / 4 + 1
    return side, square


@KINDS
def test_every_answer_and_box_is_what_the_pixels_show(kind):
    data = Positions(kind, train=100, val=10, test=10)
    for image in (image for split in SPLITS for image in data.images(split)):
        side, box = seen_side(np.asarray(data.open_image(image)))
        questions = data.questions_of(image)
        assert tuple(question.kind for question in questions) == SIDES
        for question in questions:
            assert question.text == WORDINGS[kind].format(question.kind)
            assert question.answers == ("yes" if question.kind == side else "no",)
            assert [tuple(round(96 * edge) for edge in each) for each in question.boxes] == (
                [box] if question.kind == side else []
            )


@KINDS
def test_all_but_the_things_is_white(kind):
    data = Positions(kind, train=20)
    for image in data.images("train"):
        pixels = np.asarray(data.open_image(image))
        assert pixels.shape == (96, 96, 3)
        free = np.ones((96, 96), bool)
        for thing in data.arrangement(image).scene().things:
            assert 0 <= min(thing.box) < max(thing.box) <= 1
            free[thing.y - thing.radius : thing.y + thing.radius, thing.x - thing.radius : thing.x + thing.radius] = 0
        assert free.mean() > 0.8
        assert pixels[free].min() >= 248


@KINDS
def test_no_is_the_answer_to_three_of_four_questions_whatever_is_asked(kind):
    data = Positions(kind, train=600, val=20, test=50)
    for split in SPLITS:
        answers = Counter(question.answers[0] for question in data.records(Question, split))
        assert answers["no"] / answers.total() == 0.75
    for side in SIDES:
        yes = [question.answers[0] == "yes" for question in data.records(Question, "train") if question.kind == side]
        assert np.mean(yes) == pytest.approx(0.25, abs=0.05)


@pytest.fixture(scope="module")
def arrangements():
    data = Positions("relative", train=1500, test=150)
    return {split: [data.arrangement(image) for image in data.images(split)] for split in ("train", "test")}


@pytest.mark.parametrize(
    ("known", "low", "high"),
    [
        (lambda a: (a.cat[0] // 12, a.cat[1] // 12), 0.74, 0.76),
        (lambda a: (a.square.x // 8, a.square.y // 8), 0.8, 0.85),
    ],
    ids=["cat", "square"],
)
def test_neither_the_cats_place_nor_the_squares_gives_the_side_away(arrangements, known, low, high):
    counts = defaultdict(Counter)
    for arrangement in arrangements["train"]:
        counts[known(arrangement)][arrangement.side] += 1
    right = 0
    for arrangement in arrangements["test"]:
        seen = counts[known(arrangement)]
        right += sum((seen[side] > seen.total() / 2) == (side == arrangement.side) for side in SIDES)
    assert low <= right / (4 * len(arrangements["test"])) <= high


@KINDS
@pytest.mark.parametrize("image", ["train/2000", "train/02000", "train/3", "dev/00000", "00000", "train/", ""])
def test_an_unknown_image_is_refused(kind, image):
    with pytest.raises(ImageError, match=rf"{kind} positions have no image .*; they have train/00000 to train/01999, "):
        Positions(kind).open_image(image)
    with pytest.raises(ImageError, match="they have none"):
        Positions(kind, train=0, val=0, test=0).questions_of("train/00000")


def test_an_unknown_split_or_kind_and_a_negative_size_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        Positions("absolute").records(Question, "trian")
    with pytest.raises(DataError, match="expected val of positions to be 0 or more, got -1"):
        Positions("absolute", val=-1)
    code = "from saccade.data.positions import Positions; Positions('absolut')"  # without the checks of annotations
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "no kind of positions named 'absolut'; did you mean 'absolute'? Known: absolute, relative." in done.stderr


def test_positions_need_no_torch():
    code = "import sys; from saccade.data.positions import Positions; Positions('relative').open_image('val/00001')"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
