"""What the corpora of captioned photographs share: splits read when asked for, and the files of their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from PIL.Image import Image

from saccade.data.missing import NAMED, in_folders, refuse_missing
from saccade.data.records import Caption, R, images_of, records_of
from saccade.data.texts import warn_of_unspaced
from saccade.errors import DataError, ImageError, first, look_up
from saccade.images import find_file, is_portable, open_image

HELD_OUT_COUNT = 500  # training images to choose on, where a corpus comes without its test images


@dataclass(frozen=True)
class SplitReader:
    """How a split is read when it is first asked for: its images, and the captions of images, in their order."""

    images: Callable[[], Sequence[str]]
    captions: Callable[[Sequence[str]], Iterable[Caption]]


class CaptionCorpus:
    """A corpus of captioned photographs; each split is read and checked when it is first asked for.

    `official_test` is false where the corpus has no test captions: then "test" is the official validation or
    development split, and "val" are 500 training images (a tenth where there are fewer than 5,000), the same ones
    always, so that nothing is chosen on the images whose figures are reported. `find` looks for an image's file in the
    `folders`, which errors name.
    """

    def __init__(
        self,
        root: Path,
        readers: Mapping[str, SplitReader],
        find: Callable[[str], Path | None],
        *,
        folders: Sequence[str],
        official_test: bool = True,
    ) -> None:
        self.official_test = official_test
        self._root = root
        self._readers = readers
        self._find, self._folders = find, folders
        self._images: dict[str, tuple[str, ...]] = {}
        self._captions: dict[str, tuple[Caption, ...]] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the corpus."""
        return tuple(self._readers)

    def images(self, split: str) -> Sequence[str]:
        """The ids of a split's images, in the corpus's order; raises UnknownNameError, and DataError for none."""
        reader = look_up(self._readers, split, "split")
        if split not in self._images:
            images = tuple(reader.images())
            if not images:
                raise DataError(f"split {split} has no images; expected one at least", self._root)
            self._images[split] = images
        return self._images[split]

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The captions of a split, image by image, be its images there or not.

        Raises UnknownNameError, and DataError for a split without images and for other records.
        """
        return records_of(kind, split, {Caption: self._captions_of})

    def missing_images(self, split: str) -> list[str]:
        """The ids of the split's images that have no file, in the corpus's order."""
        return [image for image in self.images(split) if self._find(image) is None]

    def require_images(self, split: str) -> None:
        """Raises DataError when images of the split are missing, saying how many, which, and where was looked."""
        missing = self.missing_images(split)
        looked = in_folders(missing[0], self._folders) if missing else ""
        refuse_missing(missing, self.images(split), split, looked, self._root)

    def counts(self, split: str) -> dict[str, int]:
        """How many `captions` and `images` the split has, and phrases where it has any, be its images there or not."""
        return count_captions(self._captions_of(split))

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        path = self._find(image)
        if path is None:
            raise ImageError(f"{self._root} has no image {image!r}")
        return open_image(path)

    def image_file(self, image: str) -> Path | None:
        """The file of the image of that id; None where it is missing."""
        return self._find(image)

    def _captions_of(self, split: str) -> tuple[Caption, ...]:
        images = self.images(split)
        if split not in self._captions:
            captions = tuple(self._readers[split].captions(images))
            warn_of_unspaced([caption.text for caption in captions], f"captions of split {split}", self._root)
            self._captions[split] = captions
        return self._captions[split]


class ImageFolders:
    """Image files by their name, in one of several folders; folders that do not exist are left out."""

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        self._folders = [root / folder for folder in folders if (root / folder).is_dir()]

    def find(self, name: str) -> Path | None:
        """The first file of that name, which may begin with folders; None where there is none."""
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            return None
        return find_file(self._folders, name)

    def names(self) -> Iterable[str]:
        """The names in all the folders, in order within each."""
        paths = (path for folder in self._folders for path in sorted(folder.iterdir()))
        return (path.name for path in paths if is_portable(path.name))


def count_captions(captions: Sequence[Caption]) -> dict[str, int]:
    """How many `captions` and `images` there are; and where there are phrases, what `count_phrases` counts."""
    phrases = count_phrases(captions) if any(caption.phrases for caption in captions) else {}
    return {"captions": len(captions), "images": len(images_of(captions)), **phrases}


def count_phrases(captions: Iterable[Caption]) -> dict[str, int]:
    """How many `phrases` there are, `phrases_with_box` and without, those by type and these by why they have none.

    A phrase of two types counts for both, as in the field's tables. As in `phrases_with_box_people` and
    `phrases_without_box_scene`; types and reasons in the order of the alphabet, none where a corpus names none.
    """
    phrases = [phrase for caption in captions for phrase in caption.phrases]
    boxed = [phrase for phrase in phrases if phrase.boxes]
    kinds = Counter(kind for phrase in boxed for kind in phrase.kinds)
    absent = Counter(phrase.absent.replace(" ", "_") for phrase in phrases if not phrase.boxes and phrase.absent)
    return {
        "phrases": len(phrases),
        "phrases_with_box": len(boxed),
        **{f"phrases_with_box_{kind}": kinds[kind] for kind in sorted(kinds)},
        "phrases_without_box": len(phrases) - len(boxed),
        **{f"phrases_without_box_{why}": absent[why] for why in sorted(absent)},
    }


def captions_about(by_image: Mapping[str, Sequence[Caption]], images: Iterable[str]) -> Iterator[Caption]:
    """The captions of the images, image by image."""
    return (caption for image in images for caption in by_image[image])


def caption_records(image: str, texts: Iterable[str], most: int | None = None) -> list[Caption]:
    """The captions of an image, at most so many, with one blank between words and ids that count from 0."""
    captions = [Caption(f"{image}#{number}", image, " ".join(text.split())) for number, text in enumerate(texts)]
    return captions[:most]


def refuse_without_captions(images: Iterable[str], captioned: Mapping[str, object], path: Path) -> None:
    """Raises DataError, naming the file, when some of the images have no captions, saying how many and which."""
    if bare := [image for image in images if not captioned.get(image)]:
        raise DataError(f"expected captions for every image, {len(bare):,} have none ({first(bare, NAMED)})", path)


def held_out(images: Iterable[str]) -> set[str]:
    """The training images that "val" takes where the official validation images are the test: 500 or a tenth.

    They are those whose names hash lowest, so the choice is the same everywhere and no other image moves it much.
    """
    ordered = sorted(set(images), key=lambda image: blake2b(image.encode(), digest_size=8).digest())
    return set(ordered[: min(HELD_OUT_COUNT, max(1, len(ordered) // 10))])
