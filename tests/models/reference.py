"""What the models' NumPy transcriptions and gradient checks share."""

from __future__ import annotations

import numpy as np
import torch

from saccade.text import pad_words
from saccade.types import Regions


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def some_regions(count: int, regions: int = 7, size: int = 11, *, seed: int = 2) -> Regions:
    """Regions in double precision; the first image has four."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, regions, size, generator=generator, dtype=torch.float64)
    mask = torch.ones(count, regions, dtype=torch.bool)
    mask[0, 4:] = False
    return Regions(features, mask)


def gradients_are_exact(model: torch.nn.Module, region_size: int, *, fast_mode: bool = False) -> bool:
    """Whether the gradients of all parameters and of the regions are those of finite differences."""
    words = pad_words([[2, 3, 4], [5]])
    parameters = dict(model.named_parameters())

    def logits(features: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        regions = Regions(features, torch.ones(2, 3, dtype=torch.bool))
        named = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(model, named, (regions, words)).logits

    features = torch.randn(2, 3, region_size, dtype=torch.float64, requires_grad=True)
    return torch.autograd.gradcheck(logits, (features, *parameters.values()), atol=1e-7, fast_mode=fast_mode)
