"""What a model's constructor takes, read from its source: names, kinds, choices, defaults and what each means.

Nothing is imported, least of all PyTorch, so that the command line knows every size before it loads anything.
A model documents its sizes in the docstring of `__init__`, an item each: "- `steps`: how many times it looks".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

ITEM = re.compile(r"^- `(\w+)`: (.*?)(?=^- |^\s*$|\Z)", re.M | re.S)
KINDS: Mapping[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


@dataclass(frozen=True)
class Size:
    """One argument of a constructor: its type, or a Literal of its choices, and the paper's value where it has one."""

    kind: Any
    needed: bool
    default: Any
    about: str

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that there are, of an option; else none."""
        return getattr(self.kind, "__args__", ())


@dataclass(frozen=True)
class Signature:
    """A model as its source tells it: a line about it, its sizes, and the name of the type that `forward` returns."""

    about: str
    sizes: Mapping[str, Size]
    output: str


@cache
def signature(module: str, name: str) -> Signature:
    """The signature of the class of that name in the module, which must have a constructor and `forward`."""
    tree = _tree(module)
    [model] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    methods = {node.name: node for node in model.body if isinstance(node, ast.FunctionDef)}
    build, returned = methods["__init__"], methods["forward"].returns
    assert returned is not None
    items = {key: " ".join(text.split()) for key, text in ITEM.findall(ast.get_docstring(build) or "")}
    behind = build.args.args[len(build.args.args) - len(build.args.defaults) :]
    defaults = dict(zip([each.arg for each in behind], build.args.defaults, strict=True))
    defaults |= {
        each.arg: value for each, value in zip(build.args.kwonlyargs, build.args.kw_defaults, strict=True) if value
    }
    sizes = {}
    for each in (*build.args.args[1:], *build.args.kwonlyargs):
        assert each.annotation is not None
        default = defaults.get(each.arg)
        value = None if default is None else ast.literal_eval(default)
        sizes[each.arg] = Size(_kind(each.annotation, module), default is None, value, items.get(each.arg, ""))
    return Signature((ast.get_docstring(model) or "").partition("\n")[0], sizes, ast.unparse(returned))


@cache
def _tree(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _kind(annotation: ast.expr, module: str) -> Any:
    """The type that an annotation names; an alias is looked up where the module has it from."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return Literal[ast.literal_eval(annotation.slice)]
    name = ast.unparse(annotation)
    return KINDS[name] if name in KINDS else _alias(name, module)


def _alias(name: str, module: str) -> Any:
    for node in _tree(module).body:
        if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
            return _kind(node.value, module)
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and name in [each.asname or each.name for each in node.names]
        ):
            return _alias(name, node.module)
    raise NameError(f"{module} has no {name} that a size could be")
