"""Figures to JSON values and back: dataclasses as objects, each distinct image and list of boxes once in a table."""

from __future__ import annotations

import dataclasses
from base64 import b64decode, b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any, TypeVar

from PIL import Image

from saccade import serial
from saccade.errors import SaccadeError
from saccade.images import to_rgb

T = TypeVar("T")

IMAGE, IMAGES = "image", "images"
BOXES, PLACES = "boxes", "places"
# A hundred maps over two hundred regions are a file of a sensible size, and single precision has hardly more.
DIGITS = 6
JPEG_URL = "data:image/jpeg;base64,"
# Sharp on any screen, and a photograph stays below about 300 kB.
LONGEST = 1024


def encoded(figure: Any) -> dict[str, Any]:
    """The fields of the figure as JSON values, and the tables of its images and of where regions lie."""
    images: dict[str, int] = {}
    urls: dict[int, str] = {}
    places: dict[tuple[Any, ...], int] = {}

    def named(name: str, value: Any) -> Any:
        shared = name == BOXES and isinstance(value, tuple)
        return places.setdefault(value, len(places)) if shared else plain(value)

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {each.name: named(each.name, getattr(value, each.name)) for each in dataclasses.fields(value)}
        if isinstance(value, tuple):
            return [plain(each) for each in value]
        if isinstance(value, float):
            return float(f"{value:.{DIGITS}g}")
        if isinstance(value, Image.Image):
            # Panels mostly share one image: it is compressed once.
            url = urls.get(id(value)) or urls.setdefault(id(value), jpeg_url(shrunk(value)))
            return images.setdefault(url, len(images))
        return value

    return {**plain(figure), IMAGES: list(images), PLACES: [plain(boxes) for boxes in places]}


def decoded(cls: type[T], data: Mapping[str, Any]) -> T:
    """The figure whose `encoded` values these are; raises SaccadeError for what is none."""
    table = data.get(IMAGES, [])
    if not isinstance(table, list):
        raise SaccadeError(f"{IMAGES}: expected a list of data URLs, got {table!r}")
    tables = {IMAGE: (IMAGES, [_image(url) for url in table]), BOXES: (PLACES, data.get(PLACES, []))}

    def looked_up(value: Any) -> Any:
        if isinstance(value, list):
            return [looked_up(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        found = {name: looked_up(each) for name, each in value.items()}
        for name in found.keys() & tables.keys():
            what, known = tables[name]
            index = found[name]
            if index is None and name == BOXES:
                continue
            if not isinstance(index, int) or not 0 <= index < len(known):
                raise SaccadeError(f"{name}: expected an index of one of the {len(known)} {what}, got {index!r}")
            found[name] = known[index]
        return found

    return serial.from_dict(cls, looked_up({name: each for name, each in data.items() if name not in (IMAGES, PLACES)}))


def jpeg_url(image: Image.Image) -> str:
    """The image as a data URL."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=90, subsampling=0)
    return JPEG_URL + b64encode(stream.getvalue()).decode("ascii")


def shrunk(image: Image.Image) -> Image.Image:
    """The image as figures hold it: itself, or smaller so that the longer side fits."""
    if max(image.size) <= LONGEST:
        return image
    smaller = image.copy()
    smaller.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return smaller


def _image(url: Any) -> Image.Image:
    if not isinstance(url, str) or not url.startswith(JPEG_URL):
        raise SaccadeError(f"{IMAGES}: expected data URLs beginning with {JPEG_URL!r}, got {str(url)[:40]!r}")
    try:
        with Image.open(BytesIO(b64decode(url.removeprefix(JPEG_URL), validate=True)), formats=["JPEG"]) as image:
            return to_rgb(image)
    except (OSError, ValueError) as error:
        raise SaccadeError(f"{IMAGES}: a data URL holds no JPEG file ({error})") from None
