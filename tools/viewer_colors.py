"""Write the viewer's colours and constants, which are those of `saccade.explain`, to its files.

Run it after a change of `colors.py`, `weights.py`, `overlay.py` or `lattice.py`; a test says when the files are old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import saccade.explain.viewer
from saccade.explain import colors, lattice, overlay, weights

FOLDER = Path(saccade.explain.viewer.__file__).parent
NAMES = {
    colors: ("AMBER", "ANCHORS", "IMAGE_LEFT", "INK", "MIDDLE_GREY", "OPACITY", "OUTLINES", "PAPER", "WHITE_ADDED"),
    weights: ("LEAST_CONTRAST", "LEAST_LEAD"),
    overlay: ("LABELLED_BOXES", "PALENESS", "SMOOTHING"),
    lattice: ("CUT", "TOUCHING"),
}
STOPS = 13


def constants() -> str:
    """The module of constants."""
    lines = ["/** Of saccade.explain: written by tools/viewer_colors.py. */", ""]
    for module, names in NAMES.items():
        lines += [f"export const {name} = {_written(getattr(module, name))};" for name in names]
    return "\n".join([*lines, ""])


def styles() -> str:
    """The style sheet of colours: each name in the light theme and in the dark one, and the scale."""
    lines = ["/* Of saccade.explain.colors: written by tools/viewer_colors.py. */", ".saccade {"]
    for name, (light, dark) in colors.THEMES.items():
        lines.append(f"  --{name}: light-dark({_rgb(light)}, {_rgb(dark)});")
    stops = [_rgb(tuple(color)) for color in colors.scale_colors(STOPS).tolist()]
    scale = ",\n    ".join(", ".join(stops[i : i + 7]) for i in range(0, STOPS, 7))
    outlines = (f"  --outline-{i}: {_rgb(color)};" for i, color in enumerate(colors.OUTLINES))
    return "\n".join([*lines, *outlines, f"  --scale: linear-gradient(\n    to right, {scale}\n  );", "}", ""])


def _written(value: Any) -> str:
    """The value in JavaScript, a row of a table a line."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    return json.dumps(plain).replace("[[", "[\n  [").replace("], [", "],\n  [").replace("]]", "],\n]")


def _rgb(color: tuple[int, ...]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


FILES = {"constants.js": constants, "colors.css": styles}

if __name__ == "__main__":
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
