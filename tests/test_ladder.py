"""Imports point one way: each file imports only from lower layers, and `import saccade` loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "saccade"

LAYERS = {
    "types": 0, "errors": 0, "word_vectors": 0, "images": 0, "serial": 0, "progress": 0, "devices": 0, "tensors": 0,
    "distribution": 0, "gathering": 0, "limits": 0, "sharing": 0, "clusters": 0,
    "nn": 1, "metrics": 1, "data": 1, "features": 1, "explain": 1,
    "text": 2, "models": 2, "tasks": 2, "decoding": 2, "hypotheses": 2,
    "recipe": 3, "recipes": 3, "choice": 3, "corpus": 3, "fitting": 3, "build": 3,
    "checkpoint": 4, "state": 4, "provenance": 4, "evaluate": 4, "boxes": 4, "train": 4, "validation": 4, "loggers": 4,
    "optim": 4, "predict": 4, "predictions": 4, "hub": 4, "starting": 4, "index": 4,
    "demo": 5, "compare": 5, "check": 5, "plot": 5, "score": 5, "tables": 5, "console": 5,
    "serve": 5,
    "cli": 6, "commands": 6, "__main__": 7,
}  # fmt: skip
# Packages of the first layer are used by all above, but never by each other; other layers have an order inside.
ORDER_INSIDE = [
    "errors",
    "types",
    "devices",
    "sharing",
    "text",
    "hypotheses",
    "decoding",
    "tasks",
    "recipe",
    "recipes",
    "choice",
    "corpus",
    "fitting",
    "build",
    "state",
    "hub",
    "checkpoint",
    "provenance",
    "starting",
    "evaluate",
    "boxes",
    "validation",
    "loggers",
    "optim",
    "train",
    "predict",
    "predictions",
    "index",
    "commands",
    "cli",
]


def imported(path: Path) -> set[str]:
    """The parts of saccade that a file imports when it runs; what is imported for type checkers alone is left out."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("saccade"):
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("saccade.")}
    return found


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def allowed(importer: str, other: str) -> bool:
    if importer == other or LAYERS[other] < LAYERS[importer]:
        return True
    inside = LAYERS[importer] != 1 and LAYERS[other] == LAYERS[importer]
    if inside and importer in ORDER_INSIDE and other in ORDER_INSIDE:
        return ORDER_INSIDE.index(other) < ORDER_INSIDE.index(importer)
    return inside and other in ORDER_INSIDE


def test_every_file_imports_from_lower_layers_only() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    wrong = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for path in files
        if path != SOURCE / "__init__.py"
        for other in imported(path)
        if not allowed(part_of(path), other)
    ]
    assert wrong == []
    assert len(files) > 30


def test_every_part_has_a_layer() -> None:
    parts = {part_of(path) for path in SOURCE.rglob("*.py")} - {"__init__"}
    assert parts == set(LAYERS)


def test_importing_saccade_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'numpy', 'PIL', 'tokenizers', 'lightning_fabric', 'tyro', 'rich'}"
    script = f"import sys, saccade; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_command_line_answers_without_loading_torch() -> None:
    script = "import sys, saccade.cli; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
