"""Kinds of questions as they stand in the names of metrics."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

SIGNS = {"+": "plus", "-": "minus", "/": "slash", "#": "sharp", "&": "and", "%": "percent", "=": "equals"}
SIGNS |= {"<": "less", ">": "greater", "*": "star", "!": "not", "?": "question", "@": "at", "$": "dollar"}


def metric_keys(kinds: Iterable[str], *, reserved: Collection[str] = ()) -> dict[str, str]:
    """A key of letters, digits and underscores for each kind, different ones for different kinds, in sorted order.

    Lower case, anything else an underscore. Where two kinds would have the same key, or one none, or one that is
    `reserved`, signs are spelled out; where that does not tell them apart they are numbered.

    >>> metric_keys(["yes/no", "number"])
    {'number': 'number', 'yes/no': 'yes_no'}
    >>> metric_keys(["color+", "color-", "Shape", "shape"])
    {'Shape': 'shape', 'color+': 'color_plus', 'color-': 'color_minus', 'shape': 'shape_2'}
    """
    ordered = sorted(set(kinds))
    keys: dict[str, str] = {}
    for key_of in (_plain, _spelled):
        left = {kind: key_of(kind) for kind in ordered if kind not in keys}
        taken, counts = {*keys.values(), *reserved, ""}, Counter(left.values())
        keys |= {kind: key for kind, key in left.items() if counts[key] == 1 and key not in taken}
    for kind in ordered:
        if kind not in keys:
            keys[kind] = _numbered(_spelled(kind) or "unnamed", {*keys.values(), *reserved})
    return {kind: keys[kind] for kind in ordered}


def _plain(kind: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in kind.lower()).split())


def _spelled(kind: str) -> str:
    return "_".join("".join(c if c.isalnum() or c in " _" else f" {_sign(c)} " for c in kind.lower()).split())


def _sign(character: str) -> str:
    return SIGNS.get(character) or _plain(unicodedata.name(character, f"u{ord(character):x}"))


def _numbered(key: str, taken: Collection[str]) -> str:
    """The key, or with the first number that makes it a new one."""
    number, found = 1, key
    while found in taken:
        number += 1
        found = f"{key}_{number}"
    return found
