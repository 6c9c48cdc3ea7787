"""A backbone that is trained along with the model: its images are read, and augmented, anew each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from saccade.errors import RecipeError
from saccade.features.backbones import Backbone, hash_weights
from saccade.features.boxes import grid_boxes
from saccade.features.extract import Extractor, covers_image, known_before
from saccade.features.making import DECODERS
from saccade.features.spec import IMPORTED, FeatureSpec
from saccade.features.stages import LastStages
from saccade.features.store import FeatureStore
from saccade.types import Regions

LEAST_SIDE = 0.85  # of width and height that a random crop keeps
CUT = 7 / 8  # of the rows and columns of a map


class Together(nn.Module):
    """A model and the backbone that is trained with it, as one module; called like the model."""

    def __init__(self, model: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self.model, self.backbone = model, backbone

    def train(self, mode: bool = True) -> Together:
        """Training mode for the model alone: the backbone's normalisation layers keep their statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the model gives for regions."""
        return self.model(*inputs, **options)


class Tuning:
    """Images to regions through a backbone in training. Its normalisation layers keep their statistics.

    `augment` is "none", "crop" (a random part of at least 85 % of width and height), "mirror" (the same, and half the
    images mirrored, which makes captions wrong that speak of left and right), or "maps" (below). `stages` of the
    backbone learn, the last ones; by default all. `size` is the side of augmented images where it is not the spec's.
    `state` are weights of a backbone that was trained before, in place of the spec's; `autocast` makes the context that
    the backbone runs in.
    Raises RecipeError for imported features, which have no backbone here, for a number of stages that there are not,
    and for a size that the backbone cannot take.

    Where images are not augmented, the stages that do not learn give the same for an image each time: `kept` is then
    the spec of their map, and with `from_store` that is read where the image would be. "maps" augments the map in the
    place of the image, by a random part of 7/8 of its rows and columns, mirrored half the time; where there is none to
    keep it does what "mirror" does.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        open_image: Callable[[str], Image.Image],
        device: torch.device,
        augment: Literal["none", "crop", "mirror", "maps"] = "none",
        *,
        stages: int | None = None,
        size: int | None = None,
        state: Mapping[str, torch.Tensor] | None = None,
        autocast: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        if spec.backbone == IMPORTED:
            raise RecipeError("train.finetune_from: features from files have no backbone to train")
        if augment != "none" and spec.regions != "grid":
            raise RecipeError(
                f"train.augment: regions that are {spec.regions} lie where they lie in the whole image, so that it is "
                f"taken as it is: expected none, got {augment}"
            )
        self._extractor = Extractor(spec, device=device, state=state, trained=True, autocast=autocast)
        self._open, self._augment, self._autocast = open_image, augment, autocast
        self.backbone: Backbone = self._extractor.backbone
        self.learning = self.backbone.last_stages(stages)
        self._augmenting = self._extractor if size is None else self._of_size(size)
        still = augment in ("none", "maps") and size is None and stages is not None and known_before(spec)
        self._behind = LastStages.of(self.backbone, spec, stages) if still and stages is not None else None
        self._store: FeatureStore | None = None
        self._rest = self._hash_of_the_rest()

    @property
    def kept(self) -> FeatureSpec | None:
        """What can be kept of an image from epoch to epoch; None where nothing can."""
        if self._behind is None:
            return None
        # Not rounded: what is served is not either.
        return replace(
            self._extractor.spec,
            layer=self._behind.layer,
            dtype="float32",
            regions="grid",
            regions_file="",
            positions=False,
            standardize=False,
            width=None,
        )

    @property
    def region_size(self) -> int:
        """Numbers per region."""
        return self._extractor.region_size

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of the regions, where they are a grid over the whole image."""
        return self._extractor.grid if covers_image(self._extractor.spec) else None

    def boxes(self, images: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Where the regions of images lie, as a store's `boxes` gives it, while no store of them is there."""
        if self._extractor.proposals is None:
            return [grid_boxes(self._extractor.grid).numpy() for _ in images]
        if known_before(self._extractor.spec):
            return [each.numpy() for each in self._extractor.known_boxes(images)]
        found = [self.read_plain([image]).boxes for image in images]
        return [boxes[0].cpu().numpy() for boxes in found if boxes is not None]

    def check_kept(self) -> None:
        """Go back to reading images where what does not learn has other weights now: those of another run."""
        if self._behind is not None and self._hash_of_the_rest() != self._rest:
            self._behind = self._store = None

    def _hash_of_the_rest(self) -> str:
        learning = set(self.learning)
        names = {name for name, parameter in self.backbone.named_parameters() if parameter in learning}
        return hash_weights({name: value for name, value in self.backbone.state_dict().items() if name not in names})

    def from_store(self, store: FeatureStore) -> None:
        """Read what is `kept` from there, instead of the images."""
        self._store = store

    def _of_size(self, size: int) -> Extractor:
        """An extractor for images of another size, with the same backbone."""
        try:
            spec, state = replace(self._extractor.spec, image_size=size), self.backbone.state_dict()
            extractor = Extractor(spec, device=self._extractor.device, state=state, autocast=self._autocast)
        except RecipeError as error:
            raise RecipeError(f"train.finetune_size: {error}") from None
        extractor.backbone = self.backbone  # the one that learns, not a copy of its weights
        extractor.proposals = self._extractor.proposals
        return extractor

    def unfreeze(self) -> None:
        """Let the backbone's weights learn."""
        for parameter in self.learning:
            parameter.requires_grad_(True)

    def read_augmented(self, images: Sequence[str]) -> Regions:
        """The regions of augmented images, through which gradients reach the backbone."""
        if self._store is not None:
            return self._from_kept(self._store, images, self.backbone, cut=self._augment == "maps")
        with ThreadPoolExecutor(DECODERS) as pool:
            opened = list(pool.map(self._open, images))
        return self._augmenting.differentiable([self._augmented(image) for image in opened], names=images)

    def read_plain(self, images: Sequence[str], backbone: nn.Module | None = None) -> Regions:
        """The regions of the images as they are, through the backbone or one that has its place."""
        if self._store is None:
            return self._extractor.read(images, self._open, backbone)
        with torch.no_grad():
            return self._from_kept(self._store, images, backbone or self.backbone)

    def _from_kept(
        self, store: FeatureStore, images: Sequence[str], backbone: nn.Module, *, cut: bool = False
    ) -> Regions:
        behind = self._behind
        assert behind is not None
        maps, part = store.read(images).features, behind.grid
        if cut:
            maps, part = _cut(maps, behind.grid)
        with self._extractor.autocast():
            features = behind(backbone, maps.to(self._extractor.device), part).float()
        if self._extractor.proposals is not None:
            return self._extractor.averaged(features, images)
        # The spec's images are square, and so are their maps.
        side = math.isqrt(features.shape[1])
        return self._extractor.placed(features, [(1, 1)] * len(images), (side, side))

    def _augmented(self, image: Image.Image) -> Image.Image:
        if self._augment == "none":
            return image
        side, x, y, mirrored = torch.rand(4).tolist()
        share = LEAST_SIDE + (1 - LEAST_SIDE) * side
        width, height = image.width * share, image.height * share
        left, top = x * (image.width - width), y * (image.height - height)
        cropped = image.resize(image.size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
        flip = self._augment in ("mirror", "maps") and mirrored < 0.5
        return cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else cropped


def _cut(
    maps: Float[Tensor, "images cells channels"], grid: tuple[int, int]
) -> tuple[Float[Tensor, "images part channels"], tuple[int, int]]:
    """A random part of each map, half of them mirrored, and the parts' rows and columns."""
    rows, columns = (max(1, round(CUT * side)) for side in grid)
    parts = []
    for laid_out in maps.reshape(len(maps), *grid, -1):
        y, x, mirrored = torch.rand(3).tolist()
        top, left = int(y * (grid[0] - rows + 1)), int(x * (grid[1] - columns + 1))
        part = laid_out[top : top + rows, left : left + columns]
        parts.append(part.flip(1) if mirrored < 0.5 else part)
    return torch.stack(parts).flatten(1, 2), (rows, columns)
