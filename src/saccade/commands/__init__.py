"""The commands by name. Each parses, calls the library, and prints what came; imports are inside, to be quick."""

from __future__ import annotations

from saccade.commands.checking import Check
from saccade.commands.completion import Completion
from saccade.commands.grounding import Ground
from saccade.commands.making import Extract, ImportFeatures, WriteScenes
from saccade.commands.matching import Match
from saccade.commands.plotting import PlotCurves
from saccade.commands.predicting import Predict
from saccade.commands.scoring import Score
from saccade.commands.searching import MakeIndex, Search
from saccade.commands.serving import Serve
from saccade.commands.training import Compare, Train
from saccade.commands.using import Ask, Caption, Demo, Evaluate, List

COMMANDS = {
    "demo": Demo,
    "list": List,
    "check": Check,
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "plot": PlotCurves,
    "ask": Ask,
    "caption": Caption,
    "match": Match,
    "ground": Ground,
    "index": MakeIndex,
    "search": Search,
    "serve": Serve,
    "predict": Predict,
    "score": Score,
    "extract": Extract,
    "import-features": ImportFeatures,
    "scenes": WriteScenes,
    "completion": Completion,
}

__all__ = ["COMMANDS"]
