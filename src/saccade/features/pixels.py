"""An image as a backbone takes it: resized to its square and normalised."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from saccade.features.backbones import Colour
from saccade.features.spec import FeatureSpec


def preprocess(image: Image.Image, spec: FeatureSpec, mean: Colour, std: Colour) -> Float[Tensor, "3 size size"]:
    """An RGB image resized as the spec says (bicubic, antialiased) and normalised."""
    square, bicubic = (spec.image_size, spec.image_size), Image.Resampling.BICUBIC
    if spec.resize == "crop":
        image = ImageOps.fit(image, square, bicubic)
    elif spec.resize == "pad":
        colour = (round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2]))
        image = ImageOps.pad(image, square, bicubic, color=colour)
    elif image.size != square:
        image = image.resize(square, bicubic)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
