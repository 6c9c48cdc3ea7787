"""Curves over epochs as data, drawn by matplotlib: to a PNG file or to a piece of SVG for a page."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

from saccade.errors import SaccadeError
from saccade.explain.colors import INK, OUTLINES, QUIET, RGB, RULE

Share = tuple[float, float, float]

PANEL_INCHES = (5.4, 3.7)
PANELS_IN_A_ROW = 3
RESOLUTION = 120  # pixels an inch
MARKED = 30  # points of a curve that are marked one by one
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "saccade", "font.size": 10.0}


@dataclass(frozen=True)
class Curve:
    """Numbers by epoch, those that are missing left out. ``color`` counts the runs or groups of runs that are shown.

    ``kept`` is the epoch that was kept, if it is to be marked; a ``faint`` curve is one of several of a group.
    """

    color: int
    points: tuple[tuple[int, float], ...]
    dashed: bool = False
    kept: int | None = None
    faint: bool = False


@dataclass(frozen=True)
class Band:
    """From the lowest to the highest of a group's curves, by epoch."""

    color: int
    points: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Plot:
    """One pair of axes: what is upwards and in which unit, and the curves."""

    name: str
    unit: str
    curves: tuple[Curve, ...]
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True)
class Curves:
    """All plots over the same epochs, what each colour is, and what a dashed line and a ring mean."""

    plots: tuple[Plot, ...]
    labels: tuple[str, ...]
    notes: str = ""

    def draw(self, kind: Literal["png", "svg"]) -> bytes:
        """The picture; raises SaccadeError where matplotlib is not installed."""
        matplotlib = _matplotlib()
        with matplotlib.rc_context(STYLE):
            figure = _figure(self)
            stream = BytesIO()
            stamp = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
            figure.savefig(stream, format=kind, dpi=RESOLUTION, metadata=stamp)
        return stream.getvalue()

    def svg(self) -> str:
        """The picture as an element of a page."""
        text = self.draw("svg").decode("utf-8")
        return text[text.index("<svg") :]


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib")
    except ImportError:
        raise SaccadeError('curves are drawn by matplotlib: pip install "saccade-attention[plot]"') from None


def _figure(curves: Curves) -> Any:
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional, and slow to load
    from matplotlib.lines import Line2D  # noqa: PLC0415

    columns = min(len(curves.plots), PANELS_IN_A_ROW)
    rows = -(-len(curves.plots) // columns)
    legend_rows = -(-len(curves.labels) // (2 * columns))
    height = PANEL_INCHES[1] * rows + 0.24 * legend_rows + 0.35
    figure = Figure(figsize=(PANEL_INCHES[0] * columns, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    colors = _colors(len(curves.labels))
    for axes, plot in zip(grid, curves.plots, strict=False):
        _draw(axes, plot, colors)
    for axes in grid[len(curves.plots) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], color=color, linewidth=2) for color in colors]
    figure.legend(handles, curves.labels, loc="outside upper center", ncols=2 * columns, frameon=False)
    if curves.notes:
        figure.supxlabel(curves.notes, fontsize=9, color=_share(QUIET))
    return figure


def _draw(axes: Any, plot: Plot, colors: Sequence[Share]) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    for band in plot.bands:
        epochs, lowest, highest = zip(*band.points, strict=True)
        axes.fill_between(epochs, lowest, highest, color=colors[band.color], alpha=0.15, linewidth=0)
    for curve in plot.curves:
        epochs, values = zip(*curve.points, strict=True)
        axes.plot(
            epochs,
            values,
            color=colors[curve.color],
            linestyle="--" if curve.dashed else "-",
            linewidth=0.8 if curve.faint else 1.2 if curve.dashed else 1.8,
            alpha=0.45 if curve.faint else 1.0,
            marker="" if curve.faint or len(epochs) > MARKED else ".",
            markersize=5,
        )
        if curve.kept is not None and curve.kept in epochs:
            at = values[epochs.index(curve.kept)]
            axes.plot([curve.kept], [at], marker="o", markersize=9, fillstyle="none", color=colors[curve.color])
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{plot.name} ({plot.unit})" if plot.unit else plot.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=_share(RULE), linewidth=0.6)
    axes.tick_params(colors=_share(INK))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _colors(count: int) -> list[Share]:
    """A colour for each; beyond those that the colour-blind tell apart, a hue each."""
    from matplotlib import colormaps  # noqa: PLC0415

    if count <= len(OUTLINES):
        return [_share(color) for color in OUTLINES[:count]]
    return [colormaps["turbo"]((i + 0.5) / count)[:3] for i in range(count)]


def _share(color: RGB) -> Share:
    red, green, blue = color
    return red / 255, green / 255, blue / 255
