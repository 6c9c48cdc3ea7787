"""Opening image files: any photograph, icon or scan becomes one upright RGB picture, or a clear error."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from saccade.errors import ImageError

MAX_PIXELS = 100_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def open_image(path: Path | str) -> Image.Image:
    """The image in a file: turned upright by its EXIF orientation, in RGB, transparency laid over white.

    Raises ImageError for a missing file, one that is no image, one cut short, and one above `MAX_PIXELS` pixels
    (checked before anything is decoded).
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata; the limit here is ours
            with Image.open(path) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ImageError(
                        f"{path}: {width} x {height} pixels are above the limit of {MAX_PIXELS:,}; make the image smaller"
                    )
                return to_rgb(image)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such image file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: expected an image file, this is a folder") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that Pillow can read") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: more pixels than the limit of {MAX_PIXELS:,}; make the image smaller") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path}: the image is damaged ({error}); replace the file") from None


def find_images(folder: Path) -> list[str]:
    """The image files below a folder, as sorted paths relative to it with forward slashes; raises ImageError for none."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder of images")
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not names:
        raise ImageError(f"{folder}: no image files in it; known endings are {', '.join(sorted(SUFFIXES))}")
    return names


def to_rgb(image: Image.Image) -> Image.Image:
    """The image upright and in RGB: EXIF orientation applied, transparency over white, grey, palette, 16 bit and CMYK converted."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        image = image.point(lambda value: value / 257).convert("L") if image.mode != "F" else image.convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
