"""Rows of Hugging Face's `datasets` as own data: saved to disk, Parquet files, an image folder, or from the hub.

Rows stay in the memory maps of Arrow; of an embedded image only its hash is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from saccade.data.own_columns import choose_columns, to_record
from saccade.data.own_lines import check_record
from saccade.data.own_source import PictureSource, Refuse, Row, own_splits
from saccade.errors import DataError, SaccadeError

EXTRA = 'pip install "saccade-attention[datasets]"'
HUB = ("hub:", "hf://datasets/")
BATCH = 256  # rows read at a time


class Rows(PictureSource):
    """The rows of data sets by split, some of whose columns are the keys of own data."""

    def __init__(self, found: Mapping[str, Any], root: str, columns: Mapping[str, str]) -> None:
        folder = Path(root) if Path(root).is_dir() else Path(root).parent
        super().__init__([folder, folder / "images"])
        self._root, self._names = root, own_splits(found, root)
        first = found[self._names["train"]]
        self._columns = choose_columns(columns, first.column_names, root)
        self._image = self._columns["image"]
        self.splits = tuple(self._names)
        self._data = {split: self._prepared(found[name]) for split, name in self._names.items()}

    def name(self, split: str) -> str:
        """The split, by the name that its data set has for it."""
        return f"{self._root}, split {self._names[split]}"

    def rows(self, split: str, refuse: Refuse) -> Iterator[Row]:  # noqa: ARG002 - every row is one
        """The rows of a split, counted from 0 as `datasets` does."""
        data, where = self._data[split], self.name(split)
        names_of = {column: _class_names(feature) for column, feature in data.features.items()}
        for start in range(0, len(data), BATCH):
            batch = data[start : start + BATCH]
            for place in range(len(batch[self._image])):
                row = {name: _named(values[place], names_of[name]) for name, values in batch.items()}
                number = start + place
                yield Row(f"{where}, row {number}", f"{split}-{number}", partial(self._record, row, split, number))

    def _prepared(self, data: Any) -> Any:
        """The columns that are used, as plain values; images as they are stored, not decoded."""
        datasets = load_package(self._root)
        columns = self._columns.values()
        used = {column if column in data.column_names else column.partition(".")[0] for column in columns}
        if absent := used - set(data.column_names):
            raise DataError(f"no column {sorted(absent)[0]!r}, which the split train has", self._root)
        data = data.with_format(None).select_columns(sorted(used))
        if isinstance(data.features.get(self._image), datasets.Image):
            data = data.cast_column(self._image, datasets.Image(decode=False))
        return data

    def _record(self, row: Mapping[str, Any], split: str, number: int) -> dict[str, Any]:
        record = to_record(self._columns, row)
        if "image" in record:
            record["image"] = self._identify(record["image"], split, number)
        return check_record(record)

    def _identify(self, cell: Any, split: str, number: int) -> str:
        content, path = _content(cell), cell.get("path") if isinstance(cell, Mapping) else cell
        name = path if isinstance(path, str) else ""
        if content:
            return self._pictures.embed(name, content, self._reader(split, number))
        if name:
            return self._pictures.file(name)
        got = type(cell).__name__
        raise DataError(f"expected an image in column {self._image!r}, its bytes or its path, got {got}")

    def _reader(self, split: str, number: int) -> Callable[[], bytes]:
        return partial(_read_cell, self._data[split].select_columns([self._image]), self._image, number)


def load_rows(root: str, columns: Mapping[str, str]) -> Rows | None:
    """The rows that a folder, a Parquet file or a name of the hub (hub:OWNER/NAME) holds; None for another folder.

    Raises DataError for a data set that cannot be loaded, and where the package `datasets` is not installed.
    """
    load = _loader(root)
    if load is None:
        return None
    datasets = load_package(root)
    try:
        with quiet(datasets):
            found = load(datasets)
    except Exception as error:  # what its many formats and its HTTP client raise
        if isinstance(error, SaccadeError):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"cannot be loaded as a data set ({reason})", root) from None
    splits = found if isinstance(found, dict) else {"train": found}
    return Rows(splits, root, columns)


def _loader(root: str) -> Callable[[Any], Any] | None:
    """How what the name stands for is loaded, by what lies there."""
    folder = Path(root)
    if root.startswith(HUB):
        return partial(_from_hub, root.removeprefix("hub:").removeprefix("hf://datasets/"))
    if folder.suffix == ".parquet":
        files = sorted(map(str, folder.parent.glob(folder.name)))
        return lambda datasets: datasets.load_dataset("parquet", data_files=files)
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return lambda datasets: datasets.load_from_disk(root)
    if _any_in(folder, "metadata.csv", "metadata.jsonl", "metadata.parquet"):
        return lambda datasets: datasets.load_dataset("imagefolder", data_dir=root)
    if _any_in(folder, "*.parquet"):
        return lambda datasets: datasets.load_dataset("parquet", data_dir=root)
    return None


def _any_in(folder: Path, *names: str) -> bool:
    """Whether a file of such a name is in the folder or in one of its folders: those of splits, or data/."""
    return any(next(folder.glob(place + name), None) is not None for place in ("", "*/") for name in names)


def _from_hub(name: str, datasets: Any) -> Any:
    """OWNER/NAME, or OWNER/NAME:PART of a repository of several data sets."""
    repository, _, part = name.partition(":")
    if repository.count("/") != 1:
        raise DataError("expected a data set of the hub as hub:OWNER/NAME", name)
    if Path(repository).exists():  # which `datasets` would take in its place
        raise DataError("a folder of that name is here; name it without hub:, or work in another folder", repository)
    return datasets.load_dataset(repository, part or None)


def load_package(root: str) -> Any:
    """The package `datasets`; raises DataError, saying how to install it, where it is not."""
    try:
        import datasets  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        raise DataError(f"rows of Hugging Face data sets need the package datasets: {EXTRA}", root) from None
    return datasets


@contextmanager
def quiet(datasets: Any) -> Iterator[None]:
    """The package without its progress bars, and the hub's client without warnings that say less than its error."""
    shown = not datasets.utils.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "datasets")]
    levels = [logger.level for logger in loggers]
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _content(cell: Any) -> bytes:
    """The bytes of an embedded image; none where there is a path alone."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    return bytes(content) if isinstance(content, bytes | bytearray) else b""


def _read_cell(data: Any, column: str, number: int) -> bytes:
    return _content(data[number][column])


def _class_names(feature: Any) -> Sequence[str]:
    """The names of a class label, or of the labels that a list holds; none of any other column."""
    names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
    return names or ()


def _named(value: Any, names: Sequence[str]) -> Any:
    """The value with class labels by their names; the label of nothing known, -1, is none."""
    if not names:
        return value
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
