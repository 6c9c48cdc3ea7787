"""Opening image files: any photograph, icon or scan becomes one upright RGB picture, or a clear error."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from saccade.errors import ImageError

MAX_PIXELS = 100_000_000
_FILTERS, _LOADING = threading.Lock(), threading.Lock()
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


# A file by its path, or as its bytes, or opened; or an image in memory.
ImageSource = Path | str | bytes | bytearray | memoryview | io.IOBase | Image.Image | npt.NDArray[Any]


def open_image(path: Path | str) -> Image.Image:
    """The image in a file: turned upright by its EXIF orientation, in RGB, transparency laid over white.

    Raises ImageError for a missing file, one that is no image, one cut short, and one above `MAX_PIXELS` pixels
    (checked before anything is decoded).
    """
    return _upright(lambda: _open(Path(path)), str(path))


def read_image(source: ImageSource, *, name: str = "") -> Image.Image:
    """The image as `open_image` has it, in a file given by its path, its bytes or opened in binary mode, or in memory.

    In memory it is a Pillow image or an array of uint8 [height, width, 3 (RGB), or 4 with opacity]. `name` is for
    errors, where the source has none of its own. Raises ImageError as `open_image` does, and for another source.
    """
    if isinstance(source, Path | str):
        return _upright(lambda: _open(Path(source)), name or str(source))
    if isinstance(source, Image.Image):
        return _upright(lambda: _loaded(source), name or _name_of(source, "filename"))
    if isinstance(source, np.ndarray):
        return _upright(lambda: _from_array(source), name or "image")
    if isinstance(source, bytes | bytearray | memoryview):
        return _upright(lambda: _open(io.BytesIO(source)), name or "image")
    if hasattr(source, "read"):
        return _upright(lambda: _open_file(source), name or _name_of(source, "name"))
    raise ImageError(
        f"{name or 'image'}: expected a path, bytes, a binary file, a Pillow image or an array, got "
        f"{type(source).__name__}"
    )


def _upright(opened: Callable[[], AbstractContextManager[Image.Image]], name: str) -> Image.Image:
    try:
        with opened() as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{name}: {width} x {height} pixels are above the limit of {MAX_PIXELS:,}; make the image smaller"
                )
            return to_rgb(image)
    except ImageError as error:
        raise error if str(error).startswith(name) else ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such image file") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: expected an image file, this is a folder") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image that Pillow can read") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more pixels than the limit of {MAX_PIXELS:,}; make the image smaller") from None
    except Exception as error:  # on damaged bytes Pillow's decoders raise errors of any kind
        raise ImageError(f"{name}: the image is damaged ({error}); replace the file") from None


def _open(file: Any) -> Image.Image:
    # Pillow warns of large images and odd metadata; the limit here is ours. Warning filters belong to the whole
    # process: threads that changed them at once would leave them changed.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(file)


def _open_file(file: Any) -> Image.Image:
    if isinstance(file.read(0), str):
        raise ImageError("expected a file opened in binary mode, got one of text")
    return _open(file if file.seekable() else io.BytesIO(file.read()))


def _loaded(image: Image.Image) -> AbstractContextManager[Image.Image]:
    """The caller's image, left open. Pillow decodes at the first use, which two threads must not do at once."""
    if image.width * image.height <= MAX_PIXELS:
        with _LOADING:
            image.load()
    return nullcontext(image)


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4) or not array.size:
        raise ImageError(
            f"expected an array of uint8 of shape [height, width, 3 or 4], got {array.dtype} of {list(array.shape)}"
        )
    return Image.fromarray(array)


def _name_of(source: object, attribute: str) -> str:
    """The source's file name where it knows one; an open file's name may be a number."""
    name = getattr(source, attribute, None)
    return str(name) if isinstance(name, str | Path) and str(name) else "image"


def find_images(folder: Path) -> list[str]:
    """The image files below a folder, as sorted relative paths with forward slashes; raises ImageError for none."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder of images")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    if not names:
        raise ImageError(f"{folder}: no image files in it; known endings are {', '.join(sorted(SUFFIXES))}")
    return names


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB whatever its mode, turned upright by its EXIF orientation, transparency laid over white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
