"""A page read back: its elements in order, its text, and the figures that it holds."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps the elements and the text, each with the tag it stands in."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.texts.append((f"script {dict(attrs).get('type', '')}".strip(), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            name, text = self.texts[-1]
            self.texts[-1] = (name, text + data)
        else:
            self.texts.append((inside, data))

    @property
    def text(self) -> str:
        """What is read where no script runs."""
        return "".join(text for tag, text in self.texts if tag != "style" and not tag.startswith("script"))

    @property
    def figures(self) -> list[dict[str, Any]]:
        """The JSON of the figures in the page."""
        return [json.loads(text) for tag, text in self.texts if tag == "script application/json"]

    @property
    def scripts(self) -> list[str]:
        """The scripts that run."""
        return [text for tag, text in self.texts if tag == "script"]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag and text.strip()]
