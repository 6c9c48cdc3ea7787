"""A picture with what lies over it: a heat map or light for a grid's weights, lit boxes, outlines in colours."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageEnhance

from saccade.explain import fonts
from saccade.explain.colors import INK, MIDDLE_GREY, PAPER, RGB, laid_over, outline_color, under_light
from saccade.explain.panel import Outline, Picture, RegionWeights, inside
from saccade.explain.weights import least_top, scaled, short_text, strongest

Pixels = tuple[int, int, int, int]

LABELLED_BOXES = 3
LEAST_LABEL = 11
LABEL_PAD = 8
# How much of the image's own colour is left under the map, so that the map's colours stand out.
PALENESS = 0.4
# The standard deviation of the Gaussian that smooths a map, in cells.
SMOOTHING = 0.5


def laid(picture: Picture, side: int) -> Image.Image:
    """The picture with its longer side of that many pixels, and its weights and outlines over it."""
    if picture.regions is None:
        drawn = sized(picture.image, side)
    elif picture.regions.style == "light" and picture.regions.grid is not None:
        drawn = light_over(picture.image, picture.regions, picture.regions.grid, side)
    else:
        drawn = map_over(picture.image, picture.regions, side)
    for outline in picture.outlines:
        _outline(drawn, outline, _label_size(side))
    return drawn


def sized(image: Image.Image, side: int) -> Image.Image:
    """The image with its longer side of that many pixels, enlarged or shrunk, in its own proportions."""
    scale = side / max(image.size)
    width, height = (max(1, round(scale * length)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)


def map_over(image: Image.Image, regions: RegionWeights, side: int) -> Image.Image:
    """The image, its colours paled and its longer side of that many pixels, with the regions' weights over it.

    The strongest regions are outlined and labelled with their weights, unless all weights are as good as even.
    """
    plain = sized(image, side)
    pale = ImageEnhance.Color(plain).enhance(PALENESS)
    places = [_pixels(box, plain.size) for box in regions.places()]
    order = np.argsort(-np.asarray(regions.weights), kind="stable").tolist()
    if regions.grid is None:
        picture = _lit(plain, pale, places, scaled(regions.weights), order)
        named = order[:LABELLED_BOXES]
    else:
        picture = _heated(pale, scaled(regions.weights).reshape(regions.grid), _extent(places))
        named = order[:1]
    if strongest(regions.weights) is not None:
        for i in reversed(named):
            if i == order[0]:
                _frame(picture, places[i], PAPER)
            _label(picture, places[i], short_text(regions.weights[i]), _label_size(side), INK)
    return picture


def light_over(image: Image.Image, regions: RegionWeights, grid: tuple[int, int], side: int) -> Image.Image:
    """The image, its longer side of that many pixels, white where the grid's cells have weight and dim elsewhere.

    As in figures 2 and 3 of "Show, Attend and Tell" (Xu et al. 2015) the weights are enlarged to the image and smoothed
    by a Gaussian, here of half a cell. Full light is the largest smoothed weight, but at least four times the even
    share. What lies outside the grid is dim.
    """
    plain = sized(image, side)
    left, top, right, bottom = _extent([_pixels(box, plain.size) for box in regions.places()])
    cells = np.asarray(regions.weights).reshape(grid)
    smooth = smoothed(cells, (max(1, right - left), max(1, bottom - top)))
    light = np.zeros(plain.size[::-1])
    light[top:bottom, left:right] = (smooth / max(float(smooth.max()), least_top(regions.weights)))[
        : bottom - top, : right - left
    ]
    pale = ImageEnhance.Color(plain).enhance(PALENESS)
    return Image.fromarray(under_light(np.asarray(pale, dtype=np.float64), light))


def smoothed(cells: Float[np.ndarray, "rows columns"], size: tuple[int, int]) -> Float[np.ndarray, "height width"]:
    """A grid's weights at every pixel of a (width, height): linear between centres, then blurred by SMOOTHING cells.

    An even grid stays even up to its borders, beyond which nothing is taken to lie.
    """
    (rows, columns), (width, height) = cells.shape, size
    linear = Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    smooth: Float[np.ndarray, "height width"] = (
        _blur(height, height / rows) @ np.asarray(linear, dtype=np.float64) @ _blur(width, width / columns).T
    )
    return smooth


def _blur(pixels: int, cell: float) -> Float[np.ndarray, "pixels pixels"]:
    """The weights of every pixel in the blurred value of each, for cells of that many pixels; rows sum to 1."""
    places = np.arange(pixels, dtype=np.float64)
    weights = np.exp(-0.5 * ((places[:, None] - places) / (SMOOTHING * cell)) ** 2)
    blur: Float[np.ndarray, "pixels pixels"] = weights / weights.sum(axis=1, keepdims=True)
    return blur


def _heated(pale: Image.Image, cells: Float[np.ndarray, "rows columns"], extent: Pixels) -> Image.Image:
    """The picture under the grid's weights, interpolated between the centres of its cells; bare outside the grid."""
    left, top, right, bottom = extent
    size = max(1, right - left), max(1, bottom - top)
    smooth = np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    seen = np.asarray(pale.crop((left, top, left + size[0], top + size[1])), dtype=np.float64)
    picture = pale.copy()
    picture.paste(Image.fromarray(laid_over(seen, np.clip(smooth.astype(np.float64), 0.0, 1.0))), (left, top))
    return picture


def _lit(
    plain: Image.Image, pale: Image.Image, places: list[Pixels], share: Float[np.ndarray, " regions"], order: list[int]
) -> Image.Image:
    """The picture, dimmed, its boxes lit and outlined: the more weight, the clearer, and the thicker the line."""
    light = np.zeros(plain.size[::-1])
    for i in order[::-1]:
        left, top, right, bottom = places[i]
        light[top:bottom, left:right] = share[i]
    dim = laid_over(np.asarray(pale, dtype=np.float64), np.zeros_like(light))
    mixed = light[..., None] * np.asarray(plain) + (1 - light[..., None]) * dim
    picture = Image.fromarray(np.rint(mixed).astype(np.uint8))
    colors = laid_over(np.full((len(share), 3), MIDDLE_GREY), share).tolist()
    for i in order[::-1]:
        ImageDraw.Draw(picture).rectangle(places[i], outline=tuple(colors[i]), width=1 + round(3 * float(share[i])))
    return picture


def _outline(picture: Image.Image, outline: Outline, size: int) -> None:
    """Draw a box in its colour, and its label in the same colour."""
    [box] = inside(np.array([outline.box], dtype=np.float64))
    place, color = _pixels(box, picture.size), outline_color(outline.color)
    _frame(picture, place, color)
    if outline.label:
        room = picture.width - LABEL_PAD
        _label(picture, place, fonts.shortened(outline.label, size, room), size, color)


def _frame(picture: Image.Image, place: Pixels, color: RGB) -> None:
    """Draw a line around a region, dark on both sides, so that it is seen on any background."""
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = place
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=INK, width=5)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=color, width=2)


def _label(picture: Image.Image, place: Pixels, text: str, size: int, color: RGB) -> None:
    """Write a label above a region, or where there is room, white on a colour."""
    draw = ImageDraw.Draw(picture)
    left, top, _, bottom = place
    width, height = fonts.length(text, size) + LABEL_PAD, size + 5
    x = max(0, min(left - 2, picture.width - width))
    y = top - height - 3 if top >= height + 3 else max(0, min(bottom + 4, picture.height - height))
    draw.rectangle((x, y, x + width, y + height), fill=color)
    fonts.write(draw, (x + LABEL_PAD // 2, y + size + 1), text, size, color=PAPER)


def _label_size(side: int) -> int:
    return max(LEAST_LABEL, round(side / 28))


def _extent(places: list[Pixels]) -> Pixels:
    left, top, right, bottom = zip(*places, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _pixels(box: Float[np.ndarray, " 4"], size: tuple[int, int]) -> Pixels:
    """The box in pixels of a picture of that size."""
    left, top, right, bottom = (round(float(edge) * size[i % 2]) for i, edge in enumerate(box))
    return left, top, right, bottom
