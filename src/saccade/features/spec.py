"""How regions are made from an image: the part of a recipe that training and serving share."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from saccade.errors import RecipeError
from saccade.limits import COUNT, SHARE, Limit, check_limit, optional
from saccade.serial import check_types

IMPORTED = "imported"  # the backbone of features that came from files
AT_READING = ("positions", "standardize")  # what is done when features are read
NOT_STORED = (*AT_READING, "width")
POOLED = ("windows", "detector", "file")  # regions over which a map is averaged
WINDOWS = 400  # in each list of them
# The fields that say something of such regions alone, and of which.
OF_REGIONS = {
    "max_regions": POOLED,
    "windows": ("windows",),
    "regions_file": ("file",),
    "detector": ("detector",),
    "detector_weights": ("detector",),
    "detector_threshold": ("detector",),
    "detector_nms": ("detector",),
}
FILES = ("weights", "detector_weights", "regions_file")  # fields that may name a file
NO_FILES = ("pretrained", "random")  # what `weights` says beside the name of a file
POSITION_SIZE = 16  # numbers of a region's position code
# timm's other ways to weights, which would go past `weights`, its checks, and the care that it is loaded with.
RESERVED = frozenset({"model_name", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"})


@dataclass(frozen=True)
class FeatureSpec:
    """How an image becomes regions."""

    backbone: str = "resnet152"
    """The network: `scenes-cnn` or any name that timm knows (`saccade list backbones`)."""

    weights: str = "pretrained"
    """`pretrained` (from the hub; with the package for scenes-cnn), `random`, or a .safetensors, .pth or .bin file."""

    layer: int = -1
    """Stage of the backbone as timm's features_only counts them; -1 is what the network's classifier pools."""

    image_size: int = 448
    """Side in pixels of the square that the backbone sees."""

    resize: Literal["squash", "crop", "pad"] = "squash"
    """Squash the image to the square, crop the square in its middle, or pad it (no regions are made of padding)."""

    mean: tuple[float, float, float] | None = None
    """Mean colour to subtract, in 0 to 1; what the backbone was trained with unless given."""

    std: tuple[float, float, float] | None = None
    """Deviation to divide by; what the backbone was trained with unless given."""

    regions: Literal["grid", "boxes", "windows", "detector", "file"] = "grid"
    """What a region is: a cell of the feature map; a box that came with features from files; or a box over which the
    map is averaged: one of a fixed set of windows, one that a detector finds, or one that a file names."""

    max_regions: int = 200
    """Of windows and boxes, at most so many an image, the first or best ones; there are 400 windows."""

    windows: Literal["photographs", "scenes"] = "photographs"
    """The windows that cover most of what phrases name: in Flickr30k's photographs, or in generated scenes."""

    regions_file: str = ""
    """The file of boxes: JSON Lines with an "image" and its "boxes" each, in fractions of width and height."""

    detector: str = "fasterrcnn_mobilenet_v3_large_fpn"
    """The detector: any name of torchvision's."""

    detector_weights: str = "pretrained"
    """`pretrained` (from the hub), `random`, or a .safetensors or .pth file."""

    detector_threshold: float = 0.05
    """The least score of what a detector finds."""

    detector_nms: float = 0.5
    """Of boxes of one class that overlap by a larger IoU than this the best alone is kept."""

    dtype: Literal["float16", "float32"] = "float16"
    """The numbers that features are rounded to."""

    positions: bool = False
    """Append a code of its place to every region; made when features are read, not stored."""

    standardize: bool = False
    """Give the numbers of each region mean 0 and deviation 1; done when features are read, not stored."""

    backbone_args: tuple[str, ...] = ()
    """Further arguments of the backbone, as in `pad_type=same`."""

    width: int | None = None
    """Numbers per region that the features must have; checked when they are read."""

    def __post_init__(self) -> None:
        check_types(self)
        check_limit(Limit(least=-1, most=1_000, whole=True), layer=self.layer)
        check_limit(COUNT, image_size=self.image_size)
        most = WINDOWS if self.regions == "windows" else 10_000
        check_limit(Limit(least=1, most=most, whole=True), max_regions=self.max_regions)
        check_limit(SHARE, detector_threshold=self.detector_threshold, detector_nms=self.detector_nms)
        check_limit(optional(COUNT), width=self.width)
        check_limit(optional(SHARE), mean=self.mean)
        check_limit(Limit(above=0, most=5, optional=True), std=self.std)
        self.arguments()
        if (self.regions == "file") != bool(self.regions_file):
            raise RecipeError(
                "regions_file: expected the file of boxes with regions file, and none with others, got "
                f"{self.regions_file!r} with regions {self.regions}"
            )
        if self.backbone == IMPORTED and self.regions in POOLED:
            raise RecipeError(f"regions: imported features have their own regions, got {self.regions}; leave it out")

    def arguments(self) -> dict[str, Any]:
        """`backbone_args` by name, values read as Python literals where they are some, else as text."""
        found = dict(_argument(text) for text in self.backbone_args)
        if reserved := sorted(RESERVED & found.keys()):
            raise RecipeError(f"backbone_args: {reserved[0]} cannot be said there; say backbone and weights")
        return found


def at_reading(spec: FeatureSpec) -> dict[str, Any]:
    """The fields that decide how stored features are read, not how they are made."""
    return {name: getattr(spec, name) for name in AT_READING}


def deciding(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, as JSON values, that decide what is stored; None for those that are for reading.

    Those that say nothing of the spec's regions are left out, as they are in what was made before there were any.
    """
    of_no_use = {name for name, kinds in OF_REGIONS.items() if spec.get("regions") not in kinds}
    return {name: None if name in NOT_STORED else value for name, value in spec.items() if name not in of_no_use}


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise RecipeError(f"backbone_args: expected name=value, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value
