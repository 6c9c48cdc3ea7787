"""Opening image files: any photograph, icon or scan becomes one upright RGB picture, or a clear error."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from saccade.errors import ImageError

MAX_PIXELS = 100_000_000
_FILTERS = threading.Lock()
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def open_image(path: Path | str) -> Image.Image:
    """The image in a file: turned upright by its EXIF orientation, in RGB, transparency laid over white.

    Raises ImageError for a missing file, one that is no image, one cut short, and one above `MAX_PIXELS` pixels
    (checked before anything is decoded).
    """
    path = Path(path)
    try:
        with _open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{path}: {width} x {height} pixels are above the limit of {MAX_PIXELS:,}; make the image smaller"
                )
            return to_rgb(image)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: no such image file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: expected an image file, this is a folder") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that Pillow can read") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: more pixels than the limit of {MAX_PIXELS:,}; make the image smaller") from None
    except Exception as error:  # on damaged bytes Pillow's decoders raise errors of any kind
        raise ImageError(f"{path}: the image is damaged ({error}); replace the file") from None


def _open(path: Path) -> Image.Image:
    # Pillow warns of large images and odd metadata; the limit here is ours. Warning filters belong to the whole
    # process: threads that changed them at once would leave them changed.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(path)


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
