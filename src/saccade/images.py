"""Finding and opening image files: any photograph, icon or scan becomes one upright RGB picture, or a clear error."""

from __future__ import annotations

import io
import os
import sys
import threading
import unicodedata
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from saccade.errors import ImageError, SaccadeWarning, first, show

if TYPE_CHECKING:
    import torch

MAX_PIXELS = 100_000_000
_FILTERS, _LOADING = threading.Lock(), threading.Lock()
# Formats that Pillow names but does not decode by itself: it wants a plugin, Ghostscript or Windows.
NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
# Endings of pictures that Pillow here may not decode: told apart from other files, so that they are not passed over.
OTHER_PICTURES = frozenset({
    ".heic", ".heif", ".jxl", ".svg", ".eps", ".ps", ".pdf", ".wmf", ".emf", ".exr", ".hdr", ".dng", ".cr2", ".cr3",
    ".nef", ".arw", ".orf", ".rw2", ".raf",
})  # fmt: skip
CHANNELS = (1, 3, 4)
SAMPLE_FORMAT = 339  # the tag of TIFF that says whether whole numbers have a sign
UNSIGNED = 1


# A file by its path, or as its bytes, or opened; or an image in memory. PyTorch is not loaded to say so.
ImageSource = Union[Path, str, bytes, bytearray, memoryview, io.IOBase, Image.Image, npt.NDArray[Any], "torch.Tensor"]


def open_image(path: Path | str) -> Image.Image:
    """The image in a file: turned upright by its EXIF orientation, in RGB, transparency laid over white.

    Raises ImageError for a missing file, one that is no image, one cut short, and one above `MAX_PIXELS` pixels
    (checked before anything is decoded).
    """
    return _upright(lambda: _open(Path(path)), str(path))


def read_image(
    source: ImageSource, *, name: str = "", formats: tuple[str, ...] | None = None, pixels: int = MAX_PIXELS
) -> Image.Image:
    """The image as `open_image` has it, in a file given by its path, its bytes or opened in binary mode, or in memory.

    In memory it is a Pillow image; a NumPy array [height, width] of greys or [height, width, 1 (grey), 3 (RGB) or 4
    (RGB and opacity)]; or a PyTorch tensor, whose channels come first, as torchvision's do. Both hold uint8, or
    fractions from 0 to 1. `name` is for errors, where the source has none of its own. Of a file that a stranger sends,
    `formats` names what it may be, as Pillow does, told by its content, and `pixels` is how many it may have. Raises
    ImageError as `open_image` does, and for another source.
    """
    if isinstance(source, Path | str):
        return _upright(lambda: _open(Path(source), formats), name or str(source), pixels)
    if isinstance(source, Image.Image):
        return _upright(lambda: _loaded(source, pixels), _name_of(source, "filename", name), pixels)
    if isinstance(source, np.ndarray):
        return _upright(lambda: _from_array(source), name or "image", pixels)
    if "torch" in sys.modules and isinstance(source, sys.modules["torch"].Tensor):
        return _upright(lambda: _from_tensor(source), name or "image", pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _upright(lambda: _open(io.BytesIO(source), formats), name or "image", pixels)
    if hasattr(source, "read"):
        return _upright(lambda: _open_file(source, formats), _name_of(source, "name", name), pixels)
    raise ImageError(
        f"{name or 'image'}: expected a path, bytes, a binary file, a Pillow image, an array or a tensor, got "
        f"{type(source).__name__}"
    )


def _upright(
    opened: Callable[[], AbstractContextManager[Image.Image]], name: str, pixels: int = MAX_PIXELS
) -> Image.Image:
    try:
        with opened() as image:
            width, height = image.size
            if width * height > pixels:
                raise ImageError(
                    f"{name}: {width} x {height} pixels are above the limit of {pixels:,}; make the image smaller"
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
        raise ImageError(f"{name}: more pixels than the limit of {pixels:,}; make the image smaller") from None
    except Exception as error:  # on damaged bytes Pillow's decoders raise errors of any kind
        raise ImageError(f"{name}: the image is damaged ({error}); replace the file") from None


def _open(file: Any, formats: tuple[str, ...] | None = None) -> Image.Image:
    try:
        return _opened(file, formats)
    except UnidentifiedImageError:
        if formats is None:
            raise
        raise ImageError(f"expected an image in one of the formats {', '.join(formats)}, got something else") from None


def _opened(file: Any, formats: tuple[str, ...] | None) -> Image.Image:
    # Pillow warns of large images and odd metadata; the limit here is ours. Warning filters belong to the whole
    # process: threads that changed them at once would leave them changed.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(file, formats=formats)


def _open_file(file: Any, formats: tuple[str, ...] | None) -> Image.Image:
    if isinstance(file.read(0), str):
        raise ImageError("expected a file opened in binary mode, got one of text")
    return _open(file if file.seekable() else io.BytesIO(file.read()), formats)


def _loaded(image: Image.Image, pixels: int) -> AbstractContextManager[Image.Image]:
    """The caller's image, left open. Pillow decodes at the first use, which two threads must not do at once."""
    if image.width * image.height <= pixels:
        with _LOADING:
            image.load()
    return nullcontext(image)


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)):
        hint = ""
        if array.ndim == 3 and array.shape[0] in CHANNELS:
            hint = "; channels come last: array.transpose(1, 2, 0)"
        elif array.ndim == 4:
            hint = "; of a batch give a list of its images: list(array)"
        raise ImageError(
            f"expected an array [height, width] or [height, width, 1, 3 or 4], got {list(array.shape)}{hint}"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(_as_bytes(array)))


def _from_tensor(tensor: torch.Tensor) -> Image.Image:
    if not tensor.numel() or not (tensor.ndim == 2 or (tensor.ndim == 3 and tensor.shape[0] in CHANNELS)):
        hint = ""
        if tensor.ndim == 3 and tensor.shape[2] in CHANNELS:
            hint = "; a tensor's channels come first: tensor.permute(2, 0, 1)"
        elif tensor.ndim == 4:
            hint = "; of a batch give a list of its images: list(tensor)"
        raise ImageError(
            f"expected a tensor [height, width] or [1, 3 or 4, height, width], got {list(tensor.shape)}{hint}"
        )
    tensor = tensor.detach().cpu()
    array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()  # NumPy has no bfloat16
    return _from_array(array if array.ndim == 2 else array.transpose(1, 2, 0))


def _as_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The array as bytes; raises ImageError for numbers of which it is not known what they mean."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise ImageError(
            f"expected uint8, or fractions from 0 to 1, got {array.dtype}; numbers to 255 become uint8 with "
            "astype(numpy.uint8) or to(torch.uint8)"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # which holds of what is no number, too
        raise ImageError(
            f"expected fractions from 0 to 1, got {array.dtype} from {low:.4g} to {high:.4g}; divide colours to 255 by "
            "255, and give an image as it was before it was normalised"
        )
    return np.asarray(np.rint(array * 255), np.uint8)


def _name_of(source: object, attribute: str, otherwise: str) -> str:
    """The source's file name where it knows one; an open file's name may be a number."""
    name = getattr(source, attribute, None)
    return str(name) if isinstance(name, str | Path) and str(name) else otherwise or "image"


@cache
def image_suffixes() -> frozenset[str]:
    """The endings, in lower case, of the raster images that Pillow here can decode, its plugins included."""
    Image.init()
    known = Image.registered_extensions().items()
    # MPO, which several cameras write, is opened as the JPEG that it begins with.
    return frozenset(
        suffix for suffix, kind in known if kind == "MPO" or (kind in Image.OPEN and kind not in NOT_DECODED)
    )


def find_images(folder: Path) -> list[str]:
    """The image files below a folder and the folders it links to, as sorted relative paths with forward slashes.

    Images are known by their endings. A SaccadeWarning counts what is left out: pictures in formats that cannot be read
    here, files without an ending, and what `files_below` leaves out. Raises ImageError where there are none.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder of images")
    names, others = [], Counter[str]()
    for path in files_below(folder):
        if path.suffix.lower() in image_suffixes():
            names.append(path.relative_to(folder).as_posix())
        elif path.suffix.lower() in OTHER_PICTURES or not (path.suffix or path.name.startswith(".")):
            others[path.suffix or "without an ending"] += 1
    if not names:
        raise ImageError(f"{folder}: no image files in it; known endings are {', '.join(sorted(image_suffixes()))}")
    if others:
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common())
        _warn(f"{folder}: left out files that cannot be read as images: {counts}; save them as .png or .jpg")
    return sorted(names)


def files_below(folder: Path) -> list[Path]:
    """The files below a folder and the folders it links to, sorted.

    A folder that can be reached in several ways counts once, under its own name rather than a link's, so that no loop
    of links is endless. A SaccadeWarning names what is left out: names that are not UTF-8, which no other file could
    hold, links to nothing or to a folder that this one lies in, and folders that cannot be read.
    """
    files: list[Path] = []
    left_out: dict[str, list[str]] = {}
    seen: set[str] = set()
    above = {str(parent) for parent in Path(os.path.realpath(folder)).parents}
    folders, links = deque([folder]), deque[Path]()
    while folders or links:
        current = folders.popleft() if folders else links.popleft()
        real = os.path.realpath(current)
        if real in above:
            left_out.setdefault("links to a folder that this one lies in", []).append(current.name)
            continue
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            left_out.setdefault(f"folders that cannot be read ({error.strerror})", []).append(current.name)
            continue
        for entry in entries:
            path = current / entry.name
            if not is_portable(entry.name):
                left_out.setdefault("names that are not UTF-8", []).append(entry.name)
            elif path.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif path.is_file():
                files.append(path)
            elif entry.is_symlink():
                left_out.setdefault("links to nothing", []).append(entry.name)
    for reason, names in left_out.items():
        _warn(f"{folder}: left out {len(names):,} {reason}: {first(map(show, names))}")
    return sorted(files)


def find_file(folders: Iterable[Path], name: str) -> Path | None:
    """The first file of that name in the folders, else of its letters composed or decomposed; None for none.

    Systems differ in how they write "é" in the name of a file: as one character or as two.
    """
    folders = list(folders)
    for form in dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))):
        for folder in folders:
            try:
                if (folder / form).is_file():
                    return folder / form
            except OSError:  # a name longer than any can be
                continue
    return None


def is_portable(name: str) -> bool:
    """Whether the name of a file is UTF-8, so that a text file can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB whatever its mode, turned upright by its EXIF orientation, transparency laid over white.

    Greys of 16 bits are scaled to 8. So are those of 32 bits: whole numbers are taken for 8 bits where none is above
    255, for 16 where none is above 65,535; fractions for shares where all lie from 0 to 1. Anything else is scaled so
    that the largest is white, and 0 (or the smallest, if that is below) black.
    """
    # TIFF's whole numbers without a sign come from Pillow as if they had one.
    unsigned = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,)
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") and not sixteen:
        numbers = np.asarray(image)
        image = Image.fromarray(_grey(numbers.view(np.uint32) if unsigned and image.mode == "I" else numbers))
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _grey(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Numbers of 32 bits as bytes of grey, as `to_rgb` says; what is no number is black."""
    values = numbers.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = finite.min(initial=0.0), finite.max(initial=0.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if low < 0:
        scale = 255 / (high - low)
    elif numbers.dtype.kind == "f" and high <= 1:
        scale = 255.0
    elif high <= 65535 and np.array_equal(values, np.rint(values)):
        scale = 1.0 if high <= 255 else 1 / 257
    else:
        scale = 255 / high
    return np.asarray(np.rint((values - low) * scale), np.uint8)


def _warn(message: str) -> None:
    warnings.warn(message, SaccadeWarning, stacklevel=3)
