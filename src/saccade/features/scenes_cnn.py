"""The backbone for `scenes`: a small convolutional network whose cells tell what covers them.

It stands where ImageNet weights stand for photographs. `tools/train_scenes_cnn.py` made the weights beside this file,
from the scenes of the training split and without their questions.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class ScenesCNN(nn.Module):
    """Six convolutions with batch normalisation. A cell of the map sees the 63 x 63 pixels around it.

    The last normalisation has neither scale nor offset, and no rectifier follows: over scenes every channel has mean 0
    and variance 1, and none is dead.
    """

    channels = 64
    stride = 8
    image_size = 96
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_block(3, 16, stride=2),
            *_block(16, 32, stride=2),
            *_block(32, 64, stride=2),
            *_block(64, 64),
            *_block(64, 64),
            nn.Conv2d(64, self.channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(self.channels, affine=False),
        )

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images channels rows columns"]:
        """The feature map, an eighth as high and wide, of images normalised with `mean` and `std`."""
        features: Tensor = self.layers(images)
        return features


def _block(inputs: int, outputs: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()
