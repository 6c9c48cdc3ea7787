"""Which source a name or a folder is: JSON Lines, rows of `datasets`, or WebDataset shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from saccade.data.own_columns import read_columns
from saccade.data.own_files import LineFiles
from saccade.data.own_rows import HUB, load_rows
from saccade.data.own_shards import Shards, find_shards
from saccade.data.own_source import Source
from saccade.errors import DataError


def find_source(root: Path | str, columns: Sequence[str] = ()) -> Source:
    """The source that lies there, by what is in the folder; `columns` are those of rows, as `key=column`.

    Raises DataError where there is none, and for columns of JSON Lines, whose keys have their names.
    """
    said, name, folder = read_columns(columns), str(root), Path(root)
    if (folder / "train.jsonl").is_file():
        if said:
            raise DataError("data.columns is for rows; the lines of train.jsonl have their keys: leave it out", root)
        return LineFiles(folder)
    if not (name.startswith(HUB) or folder.exists() or folder.suffix in (".parquet", ".tar")):
        raise DataError(
            "no such folder; --data.root names a folder of own data, a .parquet or .tar file or several "
            "(shards-{000..010}.tar), or a data set of the hub (hub:OWNER/NAME)",
            root,
        )
    if paths := find_shards(name):
        return Shards(name, paths, said)
    return load_rows(name, said) or LineFiles(folder)
