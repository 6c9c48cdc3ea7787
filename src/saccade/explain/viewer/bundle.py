"""The viewer's JavaScript modules as one classic script, and its style sheets as one, for HTML that needs nothing else.

Modules keep to what is joined here: `import { names } from "./module.js";` and `export` before a declaration, each at
the start of a line, comments that are whole lines, and no name that two modules declare.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

ENTRY = "viewer.js"
STYLES = ("colors.css", "viewer.css", "report.css")

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|let|class) )", re.MULTILINE)
_COMMENT = re.compile(r"^\s*(?://.*|/\*\*[\s\S]*?\*/)\n", re.MULTILINE)
_INDENT = re.compile(r"^\s+", re.MULTILINE)
_STYLE_IMPORT = re.compile(r"^@import .*;\n", re.MULTILINE)
_STYLE_COMMENT = re.compile(r"/\*[\s\S]*?\*/\n")


@cache
def script() -> str:
    """All modules in one scope, without comments and indentation; `showFigure` is the function to call."""
    return "\n".join(_joined(_source(name)) for name in _ordered(ENTRY))


@cache
def styles() -> str:
    """All style sheets."""
    return "".join(_INDENT.sub("", _STYLE_COMMENT.sub("", _STYLE_IMPORT.sub("", _source(name)))) for name in STYLES)


def _ordered(entry: str, found: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The modules that `entry` needs and itself, each after those that it imports."""
    for name in _IMPORT.findall(_source(entry)):
        if name not in found:
            found = _ordered(name, found)
    return (*found, entry)


def _joined(source: str) -> str:
    return _INDENT.sub("", _COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub("", source))))


def _source(name: str) -> str:
    return files("saccade.explain.viewer").joinpath(name).read_text(encoding="utf-8")
