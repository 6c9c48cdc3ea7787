"""What the corpora of captioned photographs share: splits read when asked for, and the files of their images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from PIL.Image import Image

from saccade.data.records import Caption, images_of
from saccade.errors import DataError, ImageError, look_up
from saccade.images import open_image

HELD_OUT = 500  # training images to choose on, where a corpus comes without its test images
NAMED = 10  # an error names so many images


class CaptionCorpus:
    """A corpus of captioned photographs; each split is read and checked when it is first asked for.

    `official_test` is false where the corpus has no test captions: then "test" is the official validation or
    development split, and "val" are 500 training images (a tenth where there are fewer than 5,000), the same ones
    always, so that nothing is chosen on the images whose figures are reported.
    """

    def __init__(
        self,
        root: Path,
        readers: Mapping[str, Callable[[], Sequence[Caption]]],
        find: Callable[[str], Path | None],
        *,
        official_test: bool = True,
    ) -> None:
        self.official_test = official_test
        self._root = root
        self._readers = readers
        self._find = find
        self._captions: dict[str, tuple[Caption, ...]] = {}
        self._complete: set[str] = set()

    def captions(self, split: str) -> Sequence[Caption]:
        """The captions of a split, image by image.

        Raises UnknownNameError, and DataError when images of the split are missing, saying how many and which.
        """
        captions = self._read(split)
        if split not in self._complete:
            images = images_of(captions)
            if missing := [image for image in images if self._find(image) is None]:
                raise DataError(
                    f"{len(missing):,} of the {len(images):,} images of split {split} are not there "
                    f"({first(missing)}); put their files where the corpus has them",
                    self._root,
                )
            self._complete.add(split)
        return captions

    def counts(self, split: str) -> dict[str, int]:
        """How many `captions` and `images` the split has, be its images there or not."""
        return count_captions(self._read(split))

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        path = self._find(image)
        if path is None:
            raise ImageError(f"{self._root} has no image {image!r}")
        return open_image(path)

    def _read(self, split: str) -> tuple[Caption, ...]:
        reader = look_up(self._readers, split, "split")
        if split not in self._captions:
            captions = tuple(reader())
            if not captions:
                raise DataError(f"split {split} has no images; expected one at least", self._root)
            self._captions[split] = captions
        return self._captions[split]


class ImageFolders:
    """Image files by their name, looked for in several folders in turn; folders that do not exist are left out."""

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        self._folders = [root / folder for folder in folders if (root / folder).is_dir()]

    def find(self, name: str) -> Path | None:
        """The first file of that name, which may begin with folders; None where there is none."""
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            return None
        return next((path for folder in self._folders if (path := folder / name).is_file()), None)

    def names(self) -> Iterable[str]:
        """The names in all the folders, in order within each."""
        return (path.name for folder in self._folders for path in sorted(folder.iterdir()))


def count_captions(captions: Sequence[Caption]) -> dict[str, int]:
    """How many `captions` and `images` there are."""
    return {"captions": len(captions), "images": len(images_of(captions))}


def caption_records(image: str, texts: Iterable[str], most: int | None = None) -> list[Caption]:
    """The captions of an image, at most so many, with one blank between words and ids that count from 0."""
    captions = [Caption(f"{image}#{number}", image, " ".join(text.split())) for number, text in enumerate(texts)]
    return captions[:most]


def refuse_without_captions(images: Iterable[str], captioned: Mapping[str, object], path: Path) -> None:
    """Raises DataError, naming the file, when some of the images have no captions, saying how many and which."""
    if bare := [image for image in images if not captioned.get(image)]:
        raise DataError(f"expected captions for every image, {len(bare):,} have none ({first(bare)})", path)


def held_out(images: Iterable[str]) -> set[str]:
    """The training images that "val" takes where the official validation images are the test: 500 or a tenth.

    They are those whose names hash lowest, so the choice is the same everywhere and no other image moves it much.
    """
    ordered = sorted(set(images), key=lambda image: blake2b(image.encode(), digest_size=8).digest())
    return set(ordered[: min(HELD_OUT, max(1, len(ordered) // 10))])


def first(names: Iterable[str]) -> str:
    """The first ten names, by commas.

    >>> first(str(number) for number in range(12))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...'
    """
    shown = list(names)
    return ", ".join(shown[:NAMED]) + (", ..." if len(shown) > NAMED else "")
