"""Small photographs, and a spec that is quick to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.features.spec import FeatureSpec


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of eleven JPEG files, 0.jpg to 10.jpg, of different shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for i in range(11):
        small = generator.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((70 + 13 * i, 90), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg")
    return folder


@pytest.fixture
def spec() -> FeatureSpec:
    return FeatureSpec(backbone="test_resnet", weights="random", image_size=96, layer=2)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks: threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
