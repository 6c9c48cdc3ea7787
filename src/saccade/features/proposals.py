"""Where regions lie that are no cells of a grid: fixed windows, what a detector finds, or the boxes in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from saccade.errors import DataError, ImageError, RecipeError, show
from saccade.features.boxes import not_empty, seen_through, window
from saccade.features.detector import Detector
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.serial import write_text

EXAMPLE = '{"image": "a.jpg", "boxes": [[0.1, 0.2, 0.5, 0.9]]}'

Boxes = npt.NDArray[np.float32]


class Proposals(Protocol):
    """What says where the regions of an image lie; may be called from several threads.

    ``hash`` is of what decides that beside the spec and the image, "" where that is known for each image alone.
    """

    hash: str

    def __call__(self, image: Image.Image, name: str) -> Float[Tensor, "regions 4"]:
        """The boxes of an upright image of that name, x1, y1, x2, y2 in fractions of width and height, best first.

        Raises ImageError, saying what to do, where there is none.
        """


def create_proposals(spec: FeatureSpec, device: torch.device) -> Proposals | None:
    """What proposes the regions of a spec; None where they are the cells of a grid.

    Raises RecipeError for regions that only come with features from files and for weights that do not fit, DataError
    for a file of boxes that is wrong.
    """
    if spec.regions == "grid":
        return None
    if spec.regions == "windows":
        return Windows(spec.windows, spec.max_regions)
    if spec.regions == "detector":
        return Detector(spec, device)
    if spec.regions == "file":
        return FileBoxes(Path(spec.regions_file), spec.max_regions)
    raise RecipeError(
        "regions: boxes come with features that were imported; expected grid, windows, detector or file of a backbone, "
        "where file takes boxes that are yours"
    )


def seen(
    boxes: Float[Tensor, "regions 4"], size: tuple[int, int], spec: FeatureSpec, name: str
) -> Float[Tensor, "left 4"]:
    """The boxes of an image of (width, height) of which the backbone sees a part; raises ImageError where none is."""
    kept = boxes[not_empty(seen_through(boxes, window(size, spec.resize)))]
    if not len(kept):
        raise ImageError(
            f"{name or 'an image'}: an image left without a proposal: its {len(boxes)} boxes lie outside of what "
            f"resize {spec.resize} keeps of it; set --features.resize squash"
        )
    return kept


class Windows:
    """The same boxes for every image, of many scales and ratios: the first so many of a list.

    `tools/choose_windows.py` chose them.
    """

    def __init__(self, name: str, count: int) -> None:
        self._boxes = torch.from_numpy(read_windows(name)[:count])
        self.hash = hashlib.sha256(self._boxes.numpy().tobytes()).hexdigest()

    def __call__(self, image: Image.Image, name: str) -> Float[Tensor, "regions 4"]:  # noqa: ARG002
        """The windows."""
        return self._boxes


def read_windows(name: str = "photographs") -> Boxes:
    """All windows [windows, 4] of the list of that name, the most useful first."""
    text = (resources.files("saccade.features") / f"windows_{name}.json").read_text(encoding="utf-8")
    return np.array(json.loads(text), np.float32)


class FileBoxes:
    """The boxes that a file of JSON Lines names for each image, the first so many of each.

    An image is looked up by its name, or else by the end of it from any folder on, so that photos/a.jpg is a.jpg.
    Raises DataError with the line for one that is wrong.
    """

    hash = ""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._boxes = {image: boxes[:most] for image, boxes in read_boxes(path).items()}

    def __call__(self, image: Image.Image, name: str) -> Float[Tensor, "regions 4"]:  # noqa: ARG002
        """The boxes of the image of that name."""
        found = self._find(name)
        if found is None or not len(found):
            lacks = "has no line about it" if found is None else "names no box of it"
            raise ImageError(
                f"{name or 'an image without a name'}: an image left without a proposal: {self._path} {lacks}; add "
                f"one like {EXAMPLE}"
            )
        return torch.from_numpy(found)

    def digest(self, name: str) -> str:
        """The hash of the image's boxes; "" where it has none."""
        found = self._find(name)
        return "" if found is None else hashlib.sha256(found.tobytes()).hexdigest()

    def _find(self, name: str) -> Boxes | None:
        parts = name.replace("\\", "/").split("/")
        ends = (name, *("/".join(parts[start:]) for start in range(1, len(parts))))
        return next((self._boxes[end] for end in ends if end in self._boxes), None)


def box_digests(spec: FeatureSpec) -> Callable[[str], str] | None:
    """From an image's name to the hash of its boxes, where those come from a file; else None."""
    return FileBoxes(Path(spec.regions_file), spec.max_regions).digest if spec.regions == "file" else None


def read_boxes(path: Path) -> dict[str, Boxes]:
    """The boxes [boxes, 4] of each image in a file of JSON Lines, in its order."""
    found: dict[str, Boxes] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}); expected lines like {EXAMPLE}", path) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            image, boxes = _entry(line)
            if image in found:
                raise DataError(f"{show(image)} again; name all boxes of an image on one line")
        except DataError as error:
            raise DataError(str(error), path, number) from None
        found[image] = boxes
    return found


def write_boxes(store: FeatureStore, path: Path) -> None:
    """Write where the regions of a store lie into a file of JSON Lines, as `read_boxes` takes it.

    So other features can be had of the boxes that came with imported ones. Boxes without an area are left out.
    """
    lines = []
    for image in store.ids:
        [boxes] = store.boxes([image])
        kept = boxes.clip(0, 1)
        kept = kept[not_empty(torch.from_numpy(kept)).numpy()]
        rounded = [[round(float(number), 6) for number in box] for box in kept]
        lines.append(json.dumps({"image": image, "boxes": rounded}, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def _entry(line: bytes) -> tuple[str, Boxes]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected one JSON object on the line, like {EXAMPLE}; it is no JSON ({error})") from None
    if not isinstance(record, dict) or not isinstance(record.get("image"), str) or "boxes" not in record:
        raise DataError(f"expected an image and its boxes, as in {EXAMPLE}, got {show(record)}")
    if not isinstance(record["boxes"], list):
        raise DataError(f'expected "boxes" to be a list of [x1, y1, x2, y2], got {show(record["boxes"])}')
    for box in record["boxes"]:
        _check_box(box)
    return record["image"], np.array(record["boxes"], np.float32).reshape(-1, 4)


def _check_box(box: Any) -> None:
    numbers = isinstance(box, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in box)
    inside = numbers and len(box) == 4 and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1
    if not (inside and bool(not_empty(torch.tensor(box)))):
        raise DataError(
            "expected a box [x1, y1, x2, y2] in fractions of width and height, from 0 to 1, with x1 < x2 and y1 < y2, "
            f"got {show(box)}"
        )
