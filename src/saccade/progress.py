"""How long work tells what it has done. Library code reports; what is shown, and where, is the caller's choice."""

from __future__ import annotations


class Report:
    """Tells nobody. Subclasses show what they are told."""

    def advance(self, stage: str, done: int, total: int, unit: str) -> None:
        """So many of the stage's units of work are done; called again and again, with `done` equal to `total` last."""

    def say(self, text: str) -> None:
        """Something worth a line."""


SILENT = Report()
