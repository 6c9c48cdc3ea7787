"""How written scenes may look otherwise than the embedded data set does: other sizes, other backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from saccade.data.scenes_drawing import (
    BACKGROUNDS,
    COLORS,
    FEWEST,
    IMAGE_SIZE,
    MOST,
    RADII,
    RGB,
    TINT,
    Background,
    Draws,
    Scene,
    draw_scene,
    jittered,
)
from saccade.errors import DataError, look_up

SMALLEST_SIDE, LARGEST_SIDE = 32, 1024  # pixels
SMALLEST_RADIUS, LARGEST_RADIUS = 4, 14  # pixels: what can still be told apart, and what six things have room with
APART = 150  # sum over the channels, at least, from a coloured background to the colour of any thing
COLORFUL = 45  # difference of the channels, at least, of a coloured background


@dataclass(frozen=True)
class Look:
    """What scenes look like; by default like the embedded data set. Ranges are from and to, both possible."""

    side: tuple[int, int] = (IMAGE_SIZE, IMAGE_SIZE)
    """Side of the images in pixels; every image has its own."""
    background: str = "grey"
    """What is behind the things: a name of `BACKDROPS`."""
    things: tuple[int, int] = (FEWEST, MOST)
    """How many things a scene has."""
    small: tuple[int, int] = (RADII["small"][0], RADII["small"][-1])
    """Half the width of small things, in pixels of an image of 96."""
    large: tuple[int, int] = (RADII["large"][0], RADII["large"][-1])
    """Half the width of large things, likewise."""

    def __post_init__(self) -> None:
        """Raises DataError for ranges that cannot be, and UnknownNameError for the name of a background."""
        look_up(BACKDROPS, self.background, "background")
        _check("the side of scenes", self.side, SMALLEST_SIDE, LARGEST_SIDE)
        _check("the number of things", self.things, FEWEST, MOST)
        _check("the radius of small things", self.small, SMALLEST_RADIUS, LARGEST_RADIUS)
        _check("the radius of large things", self.large, SMALLEST_RADIUS, LARGEST_RADIUS)
        if self.small[1] >= self.large[0]:
            raise DataError(
                f"expected small things to be smaller than large ones, got radii {self.small} and {self.large}"
            )

    def draw(self, draws: Draws) -> Scene:
        """A scene by lot, of the sizes of this look."""
        radii = {size: range(low, high + 1) for size, (low, high) in {"small": self.small, "large": self.large}.items()}
        return draw_scene(draws, radii, self.things)

    def with_background(self, scene: Scene, draws: Draws) -> Scene:
        """The scene before the background of this look."""
        backdrop = BACKDROPS[self.background]
        return scene if backdrop is None else replace(scene, background=backdrop(draws))


def _check(what: str, span: Sequence[int], lowest: int, highest: int) -> None:
    if len(span) != 2 or not lowest <= span[0] <= span[1] <= highest:
        raise DataError(f"expected {what} from one to another within {lowest} and {highest}, got {tuple(span)}")


def _light(draws: Draws) -> Background:
    level = draws.between(165, 205)
    darker = level - draws.between(18, 36)
    first, second = (jittered(draws, (grey, grey, grey), TINT) for grey in (level, darker))
    return Background(draws.choice(BACKGROUNDS), first, second, draws.below(4), draws.between(4, 14))


def _colored(draws: Draws) -> Background:
    first, second = _muted(draws), _muted(draws)
    return Background(draws.choice(BACKGROUNDS), first, second, draws.below(4), draws.between(4, 14))


def _noise(draws: Draws) -> Background:
    level = draws.between(40, 80)
    first, second = (jittered(draws, (grey, grey, grey), TINT) for grey in (level, level + draws.between(50, 80)))
    return Background("noisy", first, second, draws.below(1 << 31), draws.between(2, 6))


def _gradients(draws: Draws) -> Background:
    return Background("cloudy", _muted(draws), _muted(draws), draws.below(1 << 31), draws.between(24, 64))


def _muted(draws: Draws) -> RGB:
    """A colour that no thing has."""
    while True:
        red, green, blue = (draws.between(20, 200) for _ in range(3))
        nearest = min(sum(abs(a - b) for a, b in zip((red, green, blue), rgb, strict=True)) for rgb in COLORS.values())
        if nearest >= APART and max(red, green, blue) - min(red, green, blue) >= COLORFUL:
            return red, green, blue


BACKDROPS = {"grey": None, "light": _light, "colored": _colored, "noise": _noise, "gradients": _gradients}
