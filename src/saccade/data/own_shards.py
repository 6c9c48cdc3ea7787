"""WebDataset shards as own data: uncompressed tar files, of which where each member lies is kept, and no content.

    000012.jpg  000012.json  000012.txt     members of one name up to its first dot make a sample

A column is the ending of a member ("txt"), or a key of the sample's JSON object, with dots for keys inside it.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from saccade.data.own_columns import choose_columns, to_record
from saccade.data.own_lines import check_record
from saccade.data.own_source import NAMES, PictureSource, Refuse, Row, own_splits
from saccade.errors import DataError, first
from saccade.images import image_suffixes

MEMBER = re.compile(r"(?P<key>(?:.*/)?[^./][^./]*)\.(?P<ending>[^/]+)")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
WORD = re.compile(r"[a-z]+")


class Member(NamedTuple):
    """A file in a tar file: its ending, and where its bytes lie."""

    path: Path
    ending: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Its bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Sample(NamedTuple):
    """The members of one name, by their endings."""

    path: Path
    key: str
    members: Mapping[str, Member]


class Shards(PictureSource):
    """The samples of tar files, by split as the names of files or their folders say."""

    def __init__(self, root: str, paths: Sequence[Path], columns: Mapping[str, str]) -> None:
        super().__init__([paths[0].parent])
        by_name: dict[str, list[Path]] = {}
        for path in paths:
            by_name.setdefault(_split_in(path, Path(root)), []).append(path)
        self._files = {split: by_name[name] for split, name in own_splits(by_name, root).items()}
        self.splits = tuple(self._files)
        start = next(_samples(self._files["train"][0]), None)
        if start is None:
            raise DataError("holds no samples; expected members like 0001.jpg and 0001.json", self._files["train"][0])
        there = [*start.members, *_values(start)]
        pictures = [ending for ending in start.members if f".{ending}" in image_suffixes()]
        defaults = {"image": pictures[0]} if pictures else {}
        self._columns = choose_columns(defaults | dict(columns), list(dict.fromkeys(there)), root)

    def name(self, split: str) -> str:
        """The split's files."""
        return first(self._files[split])

    def rows(self, split: str, refuse: Refuse) -> Iterator[Row]:
        """The samples of the split's files."""
        for path in self._files[split]:
            samples = _samples(path)
            while True:
                try:
                    sample = next(samples, None)
                except DataError as error:
                    refuse(error)
                    break
                if sample is None:
                    break
                yield Row(f"{path}, sample {sample.key}", f"{path.stem}/{sample.key}", partial(self._record, sample))

    def _record(self, sample: Sample) -> dict[str, Any]:
        columns = {key: column for key, column in self._columns.items() if key != "image"}
        record = to_record(columns, {**_texts(sample), **_values(sample)})
        # As WebDataset has it, several endings may be named: image=jpg;png.
        pictures = [sample.members[each] for each in self._columns["image"].split(";") if each in sample.members]
        pictures = pictures or [member for ending, member in sample.members.items() if f".{ending}" in image_suffixes()]
        if pictures:
            name = f"{sample.key}.{pictures[0].ending}"
            record["image"] = self._pictures.embed(name, pictures[0].read(), pictures[0].read)
        return check_record(record)


def find_shards(root: str) -> list[Path]:
    """The tar files that a name stands for: one, a folder of them, or a range of them, `shards-{000..010}.tar`.

    An empty list where it stands for none; raises DataError for a file of a range that is missing.
    """
    if Path(root).is_dir():
        return sorted([*Path(root).glob("*.tar"), *Path(root).glob("*/*.tar")])
    if not root.endswith(".tar"):
        return []
    match = RANGE.search(root)
    if match is None:
        return sorted(Path(root).parent.glob(Path(root).name))
    low, high = match[1], match[2]
    numbers = [str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]
    paths = [Path(root[: match.start()] + number + root[match.end() :]) for number in numbers]
    if missing := [path for path in paths if not path.is_file()]:
        raise DataError(f"{len(missing)} of the {len(paths)} shards are not there ({first(missing)})", root)
    return paths


def _split_in(path: Path, root: Path) -> str:
    """The name of a split in that of the file, or of its folders below the root; "train" where there is none."""
    known = {name for names in NAMES.values() for name in names}
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    words = [word for part in (path.stem, *reversed(folders)) for word in WORD.findall(part.lower())]
    return next((word for word in words if word in known), "train")


def _samples(path: Path) -> Iterator[Sample]:
    """The samples of a tar file, in its order; raises DataError for what is none, and for a file cut short."""
    for key, members in groupby(_members(path), key=lambda pair: pair[0]):
        found: dict[str, Member] = {}
        for _, member in members:
            if member.ending in found:
                raise DataError(f"expected each ending of a sample once, got {key}.{member.ending} again", path)
            found[member.ending] = member
        yield Sample(path, key, found)


def _members(path: Path) -> Iterator[tuple[str, Member]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for each in tar:
                match = MEMBER.fullmatch(each.name.removeprefix("./"))
                if each.isfile() and match is not None:
                    yield match["key"], Member(path, match["ending"].lower(), each.offset_data, each.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"expected a whole tar file, uncompressed ({error})", path) from None


def _values(sample: Sample) -> dict[str, Any]:
    """The keys and values of the sample's JSON object."""
    if "json" not in sample.members:
        return {}
    try:
        values = json.loads(sample.members["json"].read())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{sample.key}.json is no JSON ({error})") from None
    if not isinstance(values, dict):
        raise DataError(f"expected {sample.key}.json to be an object, got {type(values).__name__}")
    return {**values, "json": values}


def _texts(sample: Sample) -> dict[str, str]:
    """The members that are text, by their endings."""
    try:
        return {
            ending: member.read().decode("utf-8-sig").strip()
            for ending, member in sample.members.items()
            if ending in ("txt", "cls", "text", "caption")
        }
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 text ({error.reason})") from None
