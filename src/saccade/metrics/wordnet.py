"""WordNet's nouns and their Wu-Palmer similarity, read from the dictionary files; equal to NLTK's (3.9 and 3.10).

The files are those of Princeton's `dict` folder (`wndb(5WN)`): `index.noun`, `data.noun`, `noun.exc`. A sense is named
by its synset's offset in `data.noun`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from saccade.errors import DataError

FILES = ("index.noun", "data.noun", "noun.exc")
ENDINGS = {
    "s": "",
    "ses": "s",
    "ves": "f",
    "xes": "x",
    "zes": "z",
    "ches": "ch",
    "shes": "sh",
    "men": "man",
    "ies": "y",
}


def find_wordnet() -> Path:
    """The folder of the dictionary files: $WNSEARCHDIR, $WNHOME/dict, or where the usual packages put it.

    Raises DataError, saying how to get them.
    """
    folders = [Path(value) for value in [os.environ.get("WNSEARCHDIR")] if value]
    folders += [Path(value) / "dict" for value in [os.environ.get("WNHOME")] if value]
    folders += [Path("/usr/share/wordnet"), Path("/usr/share/wordnet/dict"), Path("/usr/local/WordNet-3.0/dict")]
    folders += [Path("/usr/local/share/wordnet/dict"), Path("/opt/homebrew/opt/wordnet/dict")]
    for folder in folders:
        if all((folder / name).is_file() for name in FILES):
            return folder
    raise DataError(_how_to_get(", ".join(map(str, folders))))


class WordNet:
    """The nouns of a dictionary folder, by default of the one that `find_wordnet` finds; read when first asked for."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self._folder = find_wordnet() if folder is None else Path(folder)
        if missing := [name for name in FILES if not (self._folder / name).is_file()]:
            raise DataError(f"{_how_to_get(str(self._folder))} ({', '.join(missing)} missing)")
        self._parents: dict[int, tuple[int, ...]] = {}
        self._ancestors: dict[int, Mapping[int, int]] = {}
        self._depths: dict[int, tuple[int, int]] = {}

    def synsets(self, word: str) -> tuple[int, ...]:
        """The offsets of the word's senses, most frequent first; none for a word that is no noun.

        Equal to NLTK's `synsets(word, pos="n")`: the word itself, then its base forms by the exception list or, where
        that lacks it, by the endings. Words of a compound are joined by underscores.
        """
        word = word.lower()
        bases = self._exceptions.get(word)
        if bases is None:
            bases = tuple(word[: -len(old)] + new for old, new in ENDINGS.items() if word.endswith(old))
        forms = dict.fromkeys((word, *bases))
        return tuple(offset for form in forms for offset in self._index.get(form, ()))

    def similarity(self, first: int, second: int) -> float | None:
        """Wu-Palmer similarity of two senses, above 0 and at most 1; None without a common ancestor.

        2 d / (l1 + l2) with d the depth of the lowest common subsumer counted in nodes along its longest path to the
        root, and l1, l2 the lengths through it. As in NLTK the lowest subsumer is the one whose SHORTEST path to the
        root is longest; of several, `first` itself, else the first by name. That makes it depend on the order, rarely.
        """
        ups, others = self._ancestors_of(first), self._ancestors_of(second)
        common = ups.keys() & others.keys()
        if not common:
            return None
        lowest = max(self._depths_of(synset)[0] for synset in common)
        subsumers = [synset for synset in common if self._depths_of(synset)[0] == lowest]
        subsumer = first if first in subsumers else min(subsumers, key=self._name)
        depth = self._depths_of(subsumer)[1] + 1
        return 2.0 * depth / (2 * depth + self._distance(first, subsumer) + self._distance(second, subsumer))

    def _distance(self, synset: int, ancestor: int) -> int:
        """The fewest steps from one to the other through any common ancestor, which need not be `ancestor`."""
        steps, others = self._ancestors_of(synset), self._ancestors_of(ancestor)
        return min(steps[node] + others[node] for node in steps.keys() & others.keys())

    def _ancestors_of(self, synset: int) -> Mapping[int, int]:
        """Every ancestor, the sense itself included, with the fewest steps up to it."""
        if synset not in self._ancestors:
            steps = {synset: 0}
            queue = [synset]
            for node in queue:
                for parent in self._parents_of(node):
                    if parent not in steps:
                        steps[parent] = steps[node] + 1
                        queue.append(parent)
            self._ancestors[synset] = steps
        return self._ancestors[synset]

    def _depths_of(self, synset: int) -> tuple[int, int]:
        """The steps to the root along the shortest and along the longest path."""
        if synset not in self._depths:
            above = [self._depths_of(parent) for parent in self._parents_of(synset)]
            shortest = min((depth[0] + 1 for depth in above), default=0)
            self._depths[synset] = shortest, max((depth[1] + 1 for depth in above), default=0)
        return self._depths[synset]

    def _parents_of(self, synset: int) -> tuple[int, ...]:
        """The hypernyms (@) and, for individuals, the instance hypernyms (@i)."""
        if synset not in self._parents:
            fields = self._fields(synset)
            pointers = 5 + 2 * int(fields[3], 16)  # behind the count of pointers, each of four fields
            self._parents[synset] = tuple(
                int(fields[i + 1])
                for i in range(pointers, pointers + 4 * int(fields[pointers - 1]), 4)
                if fields[i] in ("@", "@i")
            )
        return self._parents[synset]

    def _name(self, synset: int) -> str:
        """NLTK's name of a sense, as in "chair.n.01": its first word and which sense of that word it is."""
        word = self._fields(synset)[4].lower()
        return f"{word}.n.{self._index[word].index(synset) + 1:02}"

    def _fields(self, synset: int) -> list[str]:
        end = self._data.find(b"|", synset)
        fields = self._data[synset:end].decode("ascii").split()
        if not fields or fields[0] != f"{synset:08}":
            place = self._folder / "data.noun"
            raise DataError(f"expected a synset at byte {synset}: it does not fit index.noun, install both anew", place)
        return fields

    @cached_property
    def _index(self) -> Mapping[str, tuple[int, ...]]:
        index = {}
        for fields in _lines(self._folder / "index.noun"):
            senses = int(fields[2])
            index[fields[0]] = tuple(map(int, fields[-senses:]))
        return index

    @cached_property
    def _data(self) -> bytes:
        return (self._folder / "data.noun").read_bytes()

    @cached_property
    def _exceptions(self) -> Mapping[str, tuple[str, ...]]:
        return {word: tuple(bases) for word, *bases in _lines(self._folder / "noun.exc")}


def _lines(path: Path) -> Iterator[list[str]]:
    """The fields of each line; the licence at the top, whose lines begin with a space, is left out."""
    with path.open(encoding="utf-8") as file:
        yield from (line.split() for line in file if line.strip() and not line.startswith(" "))


def _how_to_get(searched: str) -> str:
    return (
        f"WordNet's dictionary files ({', '.join(FILES)}) are not in {searched}; "
        "install them (Debian: apt install wordnet-base), or name their folder in $WNSEARCHDIR"
    )
