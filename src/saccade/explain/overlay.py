"""A picture with what lies over it: a heat map or light for a grid's weights, lit boxes, outlines in colours."""

from __future__ import annotations

from collections.abc import Sequence

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
        extent = _pixels(regions.extent(), plain.size)
        picture = _heated(pale, scaled(regions.weights).reshape(regions.grid), extent)
        named = order[:1]
    if strongest(regions.weights) is not None:
        _frame(picture, places[order[0]], PAPER)
        taken: list[Pixels] = []
        for i in named:  # a label that would lie over that of a stronger region is left out
            text, size = short_text(regions.weights[i]), _label_size(side)
            where = _label_place(picture.size, places[i], text, size)
            if not any(_overlap(where, other) for other in taken):
                _label(picture, where, text, size, INK)
                taken.append(where)
    return picture


def light_over(image: Image.Image, regions: RegionWeights, grid: tuple[int, int], side: int) -> Image.Image:
    """The image, its longer side of that many pixels, white where the grid's cells have weight and dim elsewhere.

    As in figures 2 and 3 of "Show, Attend and Tell" (Xu et al. 2015) the weights are enlarged to the image and smoothed
    by a Gaussian, here of half a cell. Full light is the largest smoothed weight, but at least four times the even
    share. What lies outside the grid is dim.
    """
    plain = sized(image, side)
    extent = _pixels(regions.extent(), plain.size)
    smooth = smoothed(np.asarray(regions.weights).reshape(grid), _size(extent))
    light = np.zeros(plain.size[::-1])
    there, here = _seen(extent, plain.size)
    light[there] = (smooth / max(float(smooth.max()), least_top(regions.weights)))[here]
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
    smooth = np.asarray(Image.fromarray(cells.astype(np.float32)).resize(_size(extent), Image.Resampling.BICUBIC))
    there, here = _seen(extent, pale.size)
    picture = np.array(pale)
    seen = picture[there].astype(np.float64)
    picture[there] = laid_over(seen, np.clip(smooth[here].astype(np.float64), 0.0, 1.0))
    return Image.fromarray(picture)


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
        text = fonts.shortened(outline.label, size, picture.width - LABEL_PAD)
        _label(picture, _label_place(picture.size, place, text, size), text, size, color)


def _frame(picture: Image.Image, place: Pixels, color: RGB) -> None:
    """Draw a line around a region, dark on both sides, so that it is seen on any background."""
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = place
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=INK, width=5)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=color, width=2)


def _label_place(picture: tuple[int, int], region: Pixels, text: str, size: int) -> Pixels:
    """Where a label stands: above the region, or where there is room."""
    left, top, _, bottom = region
    width, height = fonts.length(text, size) + LABEL_PAD, size + 5
    x = max(0, min(left - 2, picture[0] - width))
    y = top - height - 3 if top >= height + 3 else max(0, min(bottom + 4, picture[1] - height))
    return x, y, x + width, y + height


def _label(picture: Image.Image, place: Pixels, text: str, size: int, color: RGB) -> None:
    """Write a label at its place, white on a colour."""
    draw = ImageDraw.Draw(picture)
    draw.rectangle(place, fill=color)
    fonts.write(draw, (place[0] + LABEL_PAD // 2, place[1] + size + 1), text, size, color=PAPER)


def _label_size(side: int) -> int:
    return max(LEAST_LABEL, round(side / 28))


def _overlap(a: Pixels, b: Pixels) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _size(extent: Pixels) -> tuple[int, int]:
    """Its width and height, a pixel at the least."""
    return max(1, extent[2] - extent[0]), max(1, extent[3] - extent[1])


def _seen(extent: Pixels, size: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of an extent that lies in a picture of that size: as rows and columns of the picture, and of itself."""
    left, top, right, bottom = extent
    x1, y1, x2, y2 = max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)
    x2, y2 = max(x1, x2), max(y1, y2)
    return (slice(y1, y2), slice(x1, x2)), (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))


def _pixels(box: Sequence[float] | Float[np.ndarray, " 4"], size: tuple[int, int]) -> Pixels:
    """The box in pixels of a picture of that size."""
    left, top, right, bottom = (round(float(edge) * size[i % 2]) for i, edge in enumerate(box))
    return left, top, right, bottom
