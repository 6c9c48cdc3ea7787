"""The command line that does what a request asks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from saccade.serve.parsing import Asked

IMAGE = "IMAGE"  # the user's own file, whose name is not known here
SUFFIXES = {"png": ".png", "html": ".html"}


def command_line(action: str, run: str, asked: Asked) -> str:
    """The line to type, IMAGE standing for the image's file; texts are quoted for a POSIX shell."""
    words = ["saccade", action, run, IMAGE]
    if action != "caption":
        words.append(_text(asked.text))
    words += _flags(asked.options)
    for name in ("regions", "words"):
        if numbers := getattr(asked, f"without_{name}"):
            words += [f"--without-{name}", *map(str, numbers)]
    if asked.form in SUFFIXES:
        words += ["--explain", f"saccade{SUFFIXES[asked.form]}"]
    return _line(words)


def search_line(index: str, asked: Asked, *, image: bool) -> str:
    """The line that searches."""
    words = ["saccade", "search", index, *([_text(asked.text)] if asked.text else []), *_flags(asked.options)]
    return _line([*words, *(["--image", IMAGE] if image else [])])


def _flags(options: Mapping[str, Any]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        for each in value if isinstance(value, tuple) else (value,):
            flags += [f"--{name.replace('_', '-')}", _text(each) if isinstance(each, str) else str(each)]
    return flags


def _text(text: str) -> str:
    """A text that no parser takes for a flag."""
    return f" {text}" if text.startswith("-") else text


def _line(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
