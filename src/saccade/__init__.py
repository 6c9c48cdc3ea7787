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

_HOMES = {
    "Extractor": "features.extract",
    "FeatureSpec": "features.spec",
    "FeatureStore": "features.store",
    "Predictor": "predict",
    "Recipe": "recipe",
    "SaccadeError": "errors",
    "create_model": "models",
    "extract": "features.extract",
    "get_recipe": "recipes",
}

__all__ = [
    "Extractor",
    "FeatureSpec",
    "FeatureStore",
    "Predictor",
    "Recipe",
    "SaccadeError",
    "create_model",
    "extract",
    "get_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'saccade' has no attribute {name!r}")
    return getattr(import_module(f"saccade.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
