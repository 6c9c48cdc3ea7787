"""Images alone, by their names, wherever they lie:

photos/                      every image in the folder and those below it
photos.txt                   a path or URL a line, paths below the file's folder or whole ones
asked.jsonl, asked.csv       the images that such a file speaks of (`saccade.data.unlabelled`)
s3://bucket/photos           every image below a folder of anything that fsspec opens: file://, http://, s3://, gs://,
zip://photos::photos.zip     hf://, zip://FOLDER::FILE, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from saccade.data.lines import read_lines
from saccade.data.unlabelled import JSON_LINES, TABLES, Unlabelled
from saccade.errors import DataError, ImageError
from saccade.images import find_file, find_images, image_suffixes, open_image, read_image

LIST = ".txt"


class Pictures:
    """The images of a folder, a list or a URL. May be pickled, and asked from several threads.

    ``names`` are relative to the folder, in a list as they stand there. Raises DataError for a list or URL that cannot
    be read, ImageError for a folder that is not there or has no images, when they are asked for.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        local = where.removeprefix("file://") if "::" not in where else where
        self._path = None if _is_url(local) else Path(local)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open, and without the names: whoever gets it asks for single images."""
        return {"_where": self._where, "_path": self._path}

    @cached_property
    def names(self) -> Sequence[str]:
        """The names of the images; those of a list in its order, each once."""
        if self._path is None:
            return self._images_below()
        suffix = self._path.suffix.lower()
        if self._path.is_dir():
            return find_images(self._path)
        if suffix in JSON_LINES + TABLES:
            return list(dict.fromkeys(asked.image for asked in Unlabelled(self._path)))
        if suffix != LIST:
            raise ImageError(
                f"{self._path}: no such folder of images; or name a list ({', '.join((LIST, *JSON_LINES, *TABLES))}), "
                "or a URL"
            )
        if not self._path.is_file():
            raise DataError("no such list of images", self._path)
        names = list(dict.fromkeys(line.strip() for _, line in read_lines(self._path)))
        if not names:
            raise DataError("expected the path of an image a line, got none", self._path)
        return names

    def open(self, name: str) -> Image.Image:
        """The upright RGB image of that name; raises ImageError where it is missing or none.

        Raises DataError where a URL's host does not answer: that says nothing about the image.
        """
        if self._path is None:
            system, folder = self._opened
            return _read(system, f"{folder.rstrip('/')}/{name}" if folder else name, self._where, name)
        if _is_url(name):
            return _read(*_opened(name), name, name)
        return open_image(self.file(name) or self._folder / name)

    def file(self, name: str) -> Path | None:
        """The file of the image of that name; None where there is none on this machine's file systems."""
        if self._path is None or _is_url(name):
            return None
        return self._path / name if self._path.is_dir() else find_file((self._folder, self._folder / "images"), name)

    @property
    def _folder(self) -> Path:
        assert self._path is not None
        return self._path if self._path.is_dir() else self._path.parent

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        return _opened(self._where)

    def _images_below(self) -> list[str]:
        url, (system, path) = self._where, self._opened
        try:
            if not system.isdir(path):
                raise ImageError(f"{url}: no such folder of images")
            found = system.find(path)
        except ImageError:
            raise
        except Exception as error:
            raise DataError(f"cannot be listed ({_told(error)})", url) from None
        names = [file.removeprefix(path).lstrip("/") for file in found]
        images = sorted(name for name in names if Path(name).suffix.lower() in image_suffixes())
        if not images:
            raise ImageError(f"{url}: no image files in it; known endings are {', '.join(sorted(image_suffixes()))}")
        return images


def _is_url(where: str) -> bool:
    return "://" in where or "::" in where


def _opened(url: str) -> tuple[Any, str]:
    """What fsspec opens a URL with, and the path there."""
    import fsspec  # noqa: PLC0415  (not needed for images in a folder)

    try:
        system, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # of many packages: no such protocol, one that is not installed, networks, archives
        raise DataError(f"cannot be opened ({_told(error)})", url) from None
    return system, path


def _read(system: Any, path: str, url: str, name: str) -> Image.Image:
    try:
        data = system.cat_file(path)
    except (FileNotFoundError, IsADirectoryError):
        raise ImageError(f"{name}: no such image file in {url}") from None
    except Exception as error:
        raise DataError(f"{name} cannot be read ({_told(error)}); the same command goes on where it was", url) from None
    return read_image(data, name=name)


def _told(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
