"""The commands by name. Each parses, calls the library, and prints what came; imports are inside, to be quick."""

from __future__ import annotations

from saccade.commands.making import Extract, ImportFeatures, WriteScenes
from saccade.commands.plotting import PlotCurves
from saccade.commands.training import Compare, Train
from saccade.commands.using import Ask, Caption, Demo, Evaluate, List, Score

COMMANDS = {
    "demo": Demo,
    "list": List,
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "plot": PlotCurves,
    "ask": Ask,
    "caption": Caption,
    "score": Score,
    "extract": Extract,
    "import-features": ImportFeatures,
    "scenes": WriteScenes,
}

__all__ = ["COMMANDS"]
