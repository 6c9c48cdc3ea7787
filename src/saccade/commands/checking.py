"""The command that looks at own data before training: check."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from saccade.check import Findings


@dataclass(frozen=True)
class Check:
    """Look at own data before training: counts, examples, what would make it useless, the recipe and the time.

    Exit code 1 where training would refuse the data, 0 with warnings or without.
    """

    root: Annotated[str, tyro.conf.arg(metavar="DIR"), tyro.conf.Positional]
    """Folder of own data, or whatever --data.root names: .parquet files, .tar shards, hub:OWNER/NAME."""
    columns: tuple[str, ...] = ()
    """Which columns of rows hold what, as --data.columns: image=COLUMN question=COLUMN answers=COLUMN."""
    missing: Literal["error", "skip"] = "error"
    """What becomes of images that are not there, as --data.missing."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("check.html")
    """The page with five examples."""
    quick: bool = False
    """Open no image but the examples, and measure no time."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Check, write the page and print what was found."""
        from saccade.check import check
        from saccade.check.page import findings_page
        from saccade.console import ConsoleReport
        from saccade.explain import save_page

        with ConsoleReport() as report:
            findings, data = check(
                self.root, columns=self.columns, missing=self.missing, quick=self.quick, report=report
            )
        save_page(findings_page(findings, data, self.root), self.out)
        if self.json:
            print(json.dumps(findings.to_dict() | {"page": str(self.out)}, ensure_ascii=False))
        else:
            self._print(findings)
        if not findings.trainable:
            sys.exit(1)

    def _print(self, findings: Findings) -> None:
        from saccade.check.page import facts, shares, time_line, verdict

        for name, text in facts(findings).items():
            print(f"{name:14} {text}")
        for title, counts in (("answers", findings.answers), ("types", findings.kinds)):
            if counts:
                print(f"{title:14} " + ", ".join(f"{name} {text}" for name, _, text in shares(counts, most=8)))
        for error in findings.errors:
            print(f"error: {error}")
        if (more := findings.wrong - len(findings.errors)) > 0:
            print(f"error: and {more:,} more")
        for warning in findings.warnings:
            print(f"warning: {warning}")
        print(verdict(findings))
        if findings.trainable:
            print(f"Train on it: {findings.command}\n{time_line(findings)}")
        print(f"Examples: {self.out.resolve()}")
