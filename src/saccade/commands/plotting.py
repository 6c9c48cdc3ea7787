"""The command that draws learning curves: plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class PlotCurves:
    """Draw the learning curves of runs, finished or in training: the loss and the metric that chooses the epoch."""

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN..."), tyro.conf.Positional]
    """Run directories, or folders of them, as `saccade compare` makes them."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("curves.png")
    """What to write: a .png, or an .html page that needs nothing but itself."""
    metric: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")] = ()
    """What of the logs to show beside the loss; may be said several times. By default the metric that chooses."""

    def run(self) -> None:
        """Draw the curves and say where they are."""
        from saccade.plot import plot_runs

        groups = plot_runs(self.runs, self.out, self.metric)
        runs = sum(len(group.runs) for group in groups)
        print(f"Curves of {runs} run{'s' if runs > 1 else ''}: {self.out}")
