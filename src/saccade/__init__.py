"""Small attention models that look at an image, read a text, and show where they looked and what they read.

The names below load what they need when they are first used; importing `saccade` itself loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saccade.errors import SaccadeError
    from saccade.features.extract import Extractor, extract
    from saccade.features.spec import FeatureSpec
    from saccade.features.store import FeatureStore
    from saccade.models import create_model
    from saccade.predict import Predictor
    from saccade.recipe import Recipe
    from saccade.recipes import get_recipe
    from saccade.tables import list_backbones, list_datasets, list_models, list_recipes
    from saccade.types import AttentionMap, Regions, Words

    __version__: str

_HOMES = {
    "AttentionMap": "types",
    "Extractor": "features.extract",
    "FeatureSpec": "features.spec",
    "FeatureStore": "features.store",
    "Predictor": "predict",
    "Recipe": "recipe",
    "Regions": "types",
    "SaccadeError": "errors",
    "Words": "types",
    "create_model": "models",
    "extract": "features.extract",
    "get_recipe": "recipes",
    "list_backbones": "tables",
    "list_datasets": "tables",
    "list_models": "tables",
    "list_recipes": "tables",
}

__all__ = [
    "AttentionMap",
    "Extractor",
    "FeatureSpec",
    "FeatureStore",
    "Predictor",
    "Recipe",
    "Regions",
    "SaccadeError",
    "Words",
    "__version__",
    "create_model",
    "extract",
    "get_recipe",
    "list_backbones",
    "list_datasets",
    "list_models",
    "list_recipes",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("saccade.distribution").installed_version()
    if name not in _HOMES:
        raise AttributeError(f"module 'saccade' has no attribute {name!r}")
    return getattr(import_module(f"saccade.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
