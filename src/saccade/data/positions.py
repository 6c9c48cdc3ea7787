"""`positions`: where is the red square? Generated images of 96 x 96 pixels with yes/no questions about four sides.

After the synthetic experiments of Xu and Saenko ("Ask, Attend and Answer", ECCV 2016): a red square at one of the four
sides of a white image, or at one of the four sides of a cat, and the question whether it is there. How many images they
made, how large, and how these varied is not known to us. Here the seed, the split and the number of an image decide it:

- absolute: the whole square lies in the outer third at one side of the image, its centre in the middle third along it.
- relative: the head of a cat lies anywhere that leaves room on all of its sides, so that its place does not tell where
  the square is; the whole square lies beyond it on one side, its centre within the middle half of the cat's extent.

Each image is asked about all four sides, and the question says nothing else: whoever answers "no" is right for 75 % of
the questions. Where a square is in the image does not settle on which side of a cat it is: whoever knows the place of
the square to four pixels, but not the cat's, is right for at most 84 %. No two splits share an arrangement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL.Image import Image

from saccade.data.records import SPLITS, Question, R, records_of
from saccade.data.scenes import split_of
from saccade.data.scenes_drawing import COLORS, IMAGE_SIZE, RGB, Background, Draws, Scene, Thing, render
from saccade.errors import DataError, ImageError, UnknownNameError

SIDES = ("top", "bottom", "left", "right")
WORDINGS = {"absolute": "is there a red square on the {}?", "relative": "is there a red square on the {} of the cat?"}
SQUARES = {"absolute": (6, 7, 8, 9), "relative": (5, 6)}  # half the width of the square, in pixels
CATS = (9, 10)
GAPS = (1, 2, 3)  # between the cat and the square
MIDDLE, THIRD = IMAGE_SIZE // 2, IMAGE_SIZE // 3
ROOM = max(CATS) + max(GAPS) + 2 * max(SQUARES["relative"])
WHITE: RGB = (255, 255, 255)
# What a random stream is for, as in scenes.
LAYOUT, NOISE = range(2)


@dataclass(frozen=True)
class Arrangement:
    """On which side the red square is, and the cat's centre and radius in pixels (None in absolute images)."""

    side: str
    square: Thing
    cat: tuple[int, int, int] | None

    def scene(self) -> Scene:
        """All that is drawn, on white."""
        cat = () if self.cat is None else draw_cat(*self.cat)
        return Scene((*cat, self.square), Background("plain", WHITE, WHITE, 0, 1))


class Positions:
    """The data set of a kind and a seed; an image's id is its split and number, as in "test/00012"."""

    def __init__(
        self,
        kind: Literal["absolute", "relative"],
        *,
        seed: int = 0,
        train: int = 2000,
        val: int = 250,
        test: int = 500,
    ) -> None:
        if kind not in WORDINGS:
            raise UnknownNameError("kind of positions", kind, WORDINGS)
        sizes = dict(zip(SPLITS, (train, val, test), strict=True))
        for name, value in {"seed": seed, **sizes}.items():
            if value < 0:
                raise DataError(f"expected {name} of positions to be 0 or more, got {value}")
        self._kind = kind
        self._images = {split: [f"{split}/{index:05d}" for index in range(sizes[split])] for split in SPLITS}
        self._keys = {
            image: (seed, list(WORDINGS).index(kind), SPLITS.index(split), index)
            for split, images in self._images.items()
            for index, image in enumerate(images)
        }
        self._asked: dict[str, tuple[Question, ...]] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """All three."""
        return SPLITS

    def images(self, split: str) -> Sequence[str]:
        """The ids of a split's images; makes no texts. Raises UnknownNameError."""
        if split not in self._images:
            raise UnknownNameError("split", split, self._images)
        return self._images[split]

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The split's questions, image by image; raises UnknownNameError, and DataError for other records."""
        return records_of(kind, split, {Question: self._questions})

    def questions_of(self, image: str) -> list[Question]:
        """The questions about one image, one for each side, which is the question's kind; raises ImageError.

        The box is the square's where the answer is yes; where it is no, the thing asked for is nowhere.
        """
        arrangement = self.arrangement(image)
        questions = []
        for number, side in enumerate(SIDES):
            answer, boxes = ("yes", (arrangement.square.box,)) if side == arrangement.side else ("no", ())
            text = WORDINGS[self._kind].format(side)
            questions.append(Question(f"{image}/{number}", image, text, (answer,), side, boxes))
        return questions

    def open_image(self, image: str) -> Image:
        """The image of that id; raises ImageError."""
        return render(self.arrangement(image).scene(), self._draws(image, NOISE))

    def arrangement(self, image: str) -> Arrangement:
        """What the image of that id shows; raises ImageError."""
        draws, arrange = self._draws(image, LAYOUT), _absolute if self._kind == "absolute" else _relative
        split = image.partition("/")[0]
        while split_of((arrangement := arrange(draws)).scene()) != split:
            pass
        return arrangement

    def _questions(self, split: str) -> tuple[Question, ...]:
        images = self.images(split)
        if split not in self._asked:
            self._asked[split] = tuple(question for image in images for question in self.questions_of(image))
        return self._asked[split]

    def _draws(self, image: str, purpose: int) -> Draws:
        if image not in self._keys:
            ends = ", ".join(f"{images[0]} to {images[-1]}" for images in self._images.values() if images)
            raise ImageError(f"{self._kind} positions have no image {image!r}; they have {ends or 'none'}")
        return Draws(*self._keys[image], purpose)


def draw_cat(x: int, y: int, radius: int) -> tuple[Thing, ...]:
    """The head of a cat that fills the square of `radius` pixels around a point: ears, face and eyes."""
    ear = radius // 2
    ears = [_thing("triangle", "orange", x + side * (radius - ear), y - radius + ear, ear) for side in (-1, 1)]
    face = _thing("circle", "orange", x, y + 2, radius - 2)
    eyes = [_thing("circle", "white", x + side * (radius // 3), y + 1, 2) for side in (-1, 1)]
    return (*ears, face, *eyes)


def _absolute(draws: Draws) -> Arrangement:
    side, radius = draws.choice(SIDES), draws.choice(SQUARES["absolute"])
    distance = draws.between(MIDDLE - THIRD + radius, MIDDLE - radius)
    x, y = _beside(side, MIDDLE, MIDDLE, distance, draws.between(-THIRD // 2, THIRD // 2))
    return Arrangement(side, _square(x, y, radius), None)


def _relative(draws: Draws) -> Arrangement:
    side, radius, cat = draws.choice(SIDES), draws.choice(SQUARES["relative"]), draws.choice(CATS)
    cat_x, cat_y = (draws.between(ROOM, IMAGE_SIZE - ROOM) for _ in range(2))
    distance = cat + draws.choice(GAPS) + radius
    x, y = _beside(side, cat_x, cat_y, distance, draws.between(-(cat // 2), cat // 2))
    return Arrangement(side, _square(x, y, radius), (cat_x, cat_y, cat))


def _beside(side: str, x: int, y: int, distance: int, along: int) -> tuple[int, int]:
    """The point so far from another towards a side, and so far along that side."""
    dx, dy = {
        "top": (along, -distance),
        "bottom": (along, distance),
        "left": (-distance, along),
        "right": (distance, along),
    }[side]
    return x + dx, y + dy


def _square(x: int, y: int, radius: int) -> Thing:
    return _thing("square", "red", x, y, radius)


def _thing(shape: str, color: str, x: int, y: int, radius: int) -> Thing:
    return Thing(shape, color, "", x, y, radius, COLORS[color])
