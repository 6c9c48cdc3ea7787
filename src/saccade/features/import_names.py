"""What the images of a source of features are called, and which image of a data set is meant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from saccade.errors import DataError
from saccade.images import image_suffixes

COCO = re.compile(r"(?:.*/)?(?:COCO_.*_)?(\d{12})")
FLICKR = re.compile(r"0*(\d+)(?:_[0-9a-f]+)?", re.ASCII)


def short_name(name: str) -> str:
    """An image's id in annotations: COCO's number for a file name of COCO's, numbers without leading zeros.

    >>> short_name("val2014/COCO_val2014_000000391895.jpg"), short_name("000000391895"), short_name("a/b.jpg")
    ('391895', '391895', 'a/b.jpg')
    """
    coco = COCO.fullmatch(_without_suffix(name))
    name = coco[1] if coco else name
    return (name.lstrip("0") or "0") if name.isascii() and name.isdigit() else name


def match_names(names: Sequence[str], images: Sequence[str]) -> dict[str, str]:
    """The source's name of each image that has one, by the first of RULES under which the two are the same.

    Raises DataError where a rule makes several names, or several images, the same: which one is meant must be said.
    """
    found: dict[str, str] = {}
    for how, key in RULES:
        missing = [image for image in images if image not in found]
        if not missing:
            break
        named, meant = _by_key(names, key), _by_key(images, key)
        taken = set(found.values())
        for image in missing:
            candidates = named.get(key(image), [])
            if not candidates or set(candidates) <= taken:
                continue
            if len(candidates) > 1 or len(meant[key(image)]) > 1:
                raise DataError(
                    f"cannot tell which is which, {how}: {_listed(candidates)} in the sources, "
                    f"{_listed(meant[key(image)])} in the data set; rename files of the sources, or leave some out"
                )
            found[image] = candidates[0]
    return found


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in image_suffixes() else name


def _file(name: str) -> str:
    return _without_suffix(name).rpartition("/")[2]


def _coco_number(name: str) -> str:
    return short_name(_file(name))


def _flickr_number(name: str) -> str:
    flickr = FLICKR.fullmatch(_file(name))
    return flickr[1] if flickr else _file(name)


# A name and an image are the same if these make the same of both; docs/import_features.md has the list.
RULES = (
    ("as they are", lambda name: name),
    ("without the ending of an image", _without_suffix),
    ("without folders", _file),
    ("by COCO's number, and numbers without leading zeros", _coco_number),
    ("by the number that a name of Flickr's begins with", _flickr_number),
)


def _by_key(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for name in names:
        found[key(name)].append(name)
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
