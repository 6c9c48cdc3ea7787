"""The files that images were extracted from: whether one is still the same, unread where its size and time tell.

A store's indices keep the hash of each image's file, where the corpus has files. `files.json` beside them says which
size and modification time went with which hash, so that a file is read again only when one of them differs. It is about
the files of one machine and no part of the features: copied or deleted, it costs one reading of the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from saccade.errors import ImageError, StoreError
from saccade.serial import hash_file, locked, write_text

FILES = "files.json"
HASH_LENGTH = 32  # of the SHA-256's digits: half as much to read with every store, and still no two files alike


class ImageFiles:
    """The files of a corpus's images, by `find`, beside the store in a folder; may be asked from several threads.

    `beside` gives the hash of what else the regions of an image are made of, which then is a part of the file's.
    """

    def __init__(
        self, find: Callable[[str], Path | None], store: Path, beside: Callable[[str], str] | None = None
    ) -> None:
        self._find, self._store, self._beside, self._news = find, store, beside, False
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError):  # not there, or cut short: the files are read
            known = json.loads((store / FILES).read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def hash(self, image: str) -> str | None:
        """The hash of the image's file as it is now; None where there is none to read."""
        digest = self._hash(image)
        if self._beside is None or digest is None:
            return digest or None
        return hashlib.sha256(f"{digest} {self._beside(image)}".encode()).hexdigest()[:HASH_LENGTH]

    def _hash(self, image: str) -> str | None:
        """The same of the file alone; "" for an image that never had one."""
        try:
            file = self._find(image)
            if file is None:
                return ""
            status = file.stat()  # before it is read: a file that is replaced meanwhile has another time
            known, _, digest = str(self._known.get(image)).rpartition(" ")
            if known == f"{status.st_size} {status.st_mtime_ns}":
                return digest
            digest = hash_file(file)[:HASH_LENGTH]
        except (OSError, ImageError):
            return None
        self._known[image], self._news = f"{status.st_size} {status.st_mtime_ns} {digest}", True
        return digest

    def changed(self, image: str, held: str | None, *, failed: bool) -> bool:
        """Whether the image's file is another than that with the hash `held`.

        Where no hash was kept, nobody can tell: then only a file that could not be read is taken for another.
        """
        if held is None and not failed:
            return False
        now = self.hash(image)
        return now is not None and now != held

    def looked_at(self, images: Iterable[str]) -> dict[str, str]:
        """What was learnt of the files of images, for `learn` in another process."""
        return {image: self._known[image] for image in images if image in self._known}

    def learn(self, known: Mapping[str, str]) -> None:
        """Take over what another process looked at."""
        self._news |= any(self._known.get(image) != known[image] for image in known)
        self._known |= known

    def save(self) -> None:
        """Keep what was learnt for the next time, where the folder can be written and no other process does."""
        with suppress(OSError, StoreError), locked(self._store, StoreError("busy")):
            self.write()

    def write(self) -> None:
        """The same for one that holds the folder's lock."""
        if self._news:
            text = json.dumps(self._known, indent=0, sort_keys=True, ensure_ascii=False)
            write_text(self._store / FILES, text + "\n")
            self._news = False
