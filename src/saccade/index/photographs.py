"""A folder of photographs and an index of it, kept alike: what is new is embedded, what is gone is removed.

A photograph is known by its path below the folder. Where size and time of its file are as they were, it is not read;
where they are not, its content tells whether it is another one. A file that has the content of one that is gone was
renamed, and is not embedded again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from saccade.data.pictures import Pictures
from saccade.errors import ImageError
from saccade.index.background import renew
from saccade.index.building import Update, index_of
from saccade.index.catalogue import Comparison
from saccade.index.embedder import Embedder
from saccade.index.engine import EngineConfig
from saccade.index.index import Index
from saccade.index.pieces import Embedded, Piece, PieceMaker, part_of, source_file
from saccade.progress import SILENT, Report
from saccade.sharing import Workers

PIECE = 128  # photographs that are embedded and kept together: a kill costs one piece at most
NAMED = 20  # photographs that cannot be read are named up to so many
PARTS = "parts"  # of an index, what other processes have made


def index_photographs(
    embedder: Embedder,
    photographs: Path | str,
    out: Path,
    config: EngineConfig | None = None,
    *,
    moved: bool = False,
    batch_size: int | None = None,
    workers: Workers | None = None,
    report: Report = SILENT,
) -> Update:
    """Bring the index in `out` up to date with photographs; make it where there is none.

    `photographs` are a folder with its subfolders, a list or a URL (`data.pictures`). Killed at any moment and called
    again it goes on, and ends as if it had not been killed. `config` says which engine keeps the rows of a new index;
    `moved` that the folder may be another one than the index was made of. Photographs that cannot be read are kept in
    mind with the reason, and tried again when their file changes; those of a URL are known by their names alone.

    Several `workers` embed, each photographs of its own; all of them call this, and the first one's Update counts.
    Raises ImageError for a folder without any, IndexingError for an index of another run, source or engine, or in use.
    """
    workers, pictures = workers or Workers(), Pictures(str(photographs))
    maker = PieceMaker(pictures, embedder, batch_size, out / PARTS)
    if not workers.is_first:
        workers.run(maker, workers.agreed(list))
        return Update()
    names = pictures.names
    with index_of(out, embedder, "images", str(photographs), config, moved=moved) as index:
        comparison = index.catalogue.compare(_as_they_are(pictures, names))
        renamed = _rename(index, pictures, comparison)
        removed = index.remove(name for name in comparison.gone if name not in renamed)
        changed = _changed(index, pictures, comparison.touched)
        known = set(renamed.values())
        new = [name for name in comparison.new if name not in known]
        _embed(index, maker, sorted([*new, *changed]), workers, report)
        index.settle()
        renew(index, embedder)
        failed = index.catalogue.failed()
        for name, reason in list(failed.items())[:NAMED]:
            report.say(f"left out {name}: {reason}")
        added, replaced = (sum(name not in failed for name in tried) for tried in (new, changed))
        return Update(
            added=added,
            changed=replaced,
            renamed=len(renamed),
            removed=removed,
            unchanged=len(index) - added - replaced - len(renamed),
            failed=len(failed),
        )


def _as_they_are(pictures: Pictures, names: Sequence[str]) -> Iterator[tuple[str, int | None, int | None]]:
    """Each name with the size and time of its file; without, where there is none."""
    for name in names:
        path = pictures.file(name)
        try:
            status = None if path is None else path.stat()
        except OSError:
            status = None
        yield (name, None, None) if status is None else (name, status.st_size, status.st_mtime_ns)


def _rename(index: Index, pictures: Pictures, comparison: Comparison) -> dict[str, str]:
    """Give what is gone the names of new files that hold the same; the names before and after."""
    gone = {name: index.catalogue.file(name) for name in comparison.gone if name in index}
    by_content = {(file.size, file.hash): name for name, file in gone.items() if file is not None}
    sizes = {size for size, _ in by_content}
    renamed = {}
    for name, size, _ in _as_they_are(pictures, comparison.new if sizes else ()):
        if size not in sizes:
            continue
        try:
            file = source_file(pictures, name)
        except ImageError:
            continue  # it is said when it is read
        before = None if file is None else by_content.pop((file.size, file.hash), None)
        if before is not None and file is not None:
            index.rename(before, name, file)
            renamed[before] = name
    return renamed


def _changed(index: Index, pictures: Pictures, touched: Sequence[str]) -> list[str]:
    """Those of the files with another size or time that hold something else than they did."""
    changed = []
    for name in touched:
        before = index.catalogue.file(name)
        try:
            now = source_file(pictures, name)
        except ImageError:
            now = None
        if before is not None and now is not None and before.hash == now.hash:
            index.catalogue.touch(name, now)
        else:
            changed.append(name)
    return changed


def _embed(index: Index, maker: PieceMaker, names: Sequence[str], workers: Workers, report: Report) -> None:
    """Embed photographs and keep them, piece by piece: one that is resumed is made of the same batches."""
    pieces: list[Piece] = [tuple(names[start : start + PIECE]) for start in range(0, len(names), PIECE)]
    waiting, done = list(pieces), 0

    def keep(made: Embedded) -> None:
        nonlocal done
        index.put(made.entries, made.vectors)
        done += len(made.entries)
        report.advance("index photographs", done, len(names), "images")

    def take() -> None:
        """Keep what others have made, in the order of the pieces."""
        while waiting and (part := part_of(maker.parts, waiting[0])).exists():
            keep(Embedded.read(part))
            part.unlink()
            waiting.pop(0)

    if not workers.shared:
        maker.keep = keep
        workers.run(maker, pieces)
        return
    maker.parts.mkdir(exist_ok=True)
    made = {part_of(maker.parts, piece) for piece in pieces}
    for left_over in set(maker.parts.iterdir()) - made:
        left_over.unlink()
    workers.run(
        maker,
        workers.agreed(lambda: [piece for piece in pieces if not part_of(maker.parts, piece).exists()]),
        meanwhile=take,
    )
    take()
    shutil.rmtree(maker.parts)
