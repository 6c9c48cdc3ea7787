"""What a detector finds in an image, as boxes: torchvision's detectors by name, frozen."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torchvision.models import detection, get_model, list_models
from torchvision.ops import batched_nms
from torchvision.transforms.functional import pil_to_tensor

from saccade.errors import ImageError, RecipeError, SaccadeWarning, look_up
from saccade.features.backbones import hash_weights, load_weights, read_weights, seeded
from saccade.features.boxes import not_empty
from saccade.features.spec import FeatureSpec

LOCAL = "give a local file with --features.detector-weights FILE (of saccade extract: --detector-weights FILE)"
# The classes that a detector tells apart are as many as this tensor has numbers; other detectors have COCO's.
CLASSES = "roi_heads.box_predictor.cls_score.bias"


def known_detectors() -> list[str]:
    """Every name that `detector` may be."""
    return sorted(list_models(module=detection))


class Detector:
    """The boxes that one of torchvision's detectors finds in an image, best first.

    Those of at least the spec's `detector_threshold`; of boxes of one class that overlap by more than `detector_nms`
    the best alone; and at most `max_regions`. ``hash`` is that of its weights. An image is looked at by itself and in
    its own size, so that its boxes do not depend on others.
    """

    def __init__(self, spec: FeatureSpec, device: torch.device) -> None:
        self._spec, self._device = spec, device
        model = _create(spec)
        self.hash = hash_weights(model.state_dict())
        # Under the names that torchvision has for them: none of its own limits comes before the spec's.
        limited = getattr(model, "roi_heads", model)
        limited.score_thresh, limited.nms_thresh = spec.detector_threshold, spec.detector_nms
        limited.detections_per_img = spec.max_regions
        self._model = model.eval().requires_grad_(False).to(device)

    def __call__(self, image: Image.Image, name: str) -> Float[Tensor, "regions 4"]:
        """The boxes found; raises ImageError where there is none."""
        with torch.no_grad():  # said here, for images are read in threads, which do not know the caller's mode
            [found] = self._model([pil_to_tensor(image).to(self._device).float().div(255)])
        spec = self._spec
        boxes = found["boxes"] / torch.tensor([*image.size] * 2, device=self._device)
        boxes = boxes.clamp(0, 1)
        kept = (found["scores"] >= spec.detector_threshold) & not_empty(boxes)
        boxes, scores, labels = boxes[kept], found["scores"][kept], found["labels"][kept]
        best = batched_nms(boxes, scores, labels, spec.detector_nms)[: spec.max_regions]
        if not len(best):
            raise ImageError(
                f"{name or 'an image'}: an image left without a proposal: {spec.detector} finds nothing in it with a "
                f"score of at least {spec.detector_threshold:g}; lower --features.detector-threshold"
            )
        found_boxes: Tensor = boxes[best].cpu()
        return found_boxes


def _create(spec: FeatureSpec) -> Any:
    look_up(dict.fromkeys(known_detectors()), spec.detector, "detector")
    wanted, path = spec.detector_weights, Path(spec.detector_weights)
    arguments: dict[str, Any] = {"name": spec.detector, "weights": None, "weights_backbone": None}
    if wanted == "pretrained":
        arguments = {"name": spec.detector, "weights": "DEFAULT"}
    elif wanted == "random":
        message = f"the weights of {spec.detector} are random: what it finds means little; {LOCAL}"
        warnings.warn(message, SaccadeWarning, stacklevel=2)
    else:
        state = read_weights(path, "detector_weights")
        arguments |= {"num_classes": len(state[CLASSES])} if CLASSES in state else {}
    try:
        model = seeded(get_model, arguments)
    except Exception as error:  # what the hub's client raises, and what a detector does
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RecipeError(f"no weights of {spec.detector} could be had ({reason}); {LOCAL}") from error
    if wanted not in ("pretrained", "random"):
        load_weights(model, path, spec.detector, state)
    return model
