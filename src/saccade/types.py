"""What travels between the parts: regions, words, attention maps, and one output type per task.

The mask convention, everywhere: a boolean tensor in which True means "may be attended".
Boxes, everywhere: x1, y1, x2, y2 as fractions of the image's width and height.
None of these is changed once made; they are not frozen only because Lightning Fabric refuses frozen dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saccade.errors import RecipeError


class Shaped:
    """A dataclass that shows the shapes of its tensors, not their numbers, and leaves out what is None."""

    def __repr__(self) -> str:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        shown = (f"{name}={_shaped(value)}" for name, value in fields.items() if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"


def _shaped(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_shaped, value))}{',' * (len(value) == 1)})"
    return repr(value)


@dataclass(eq=False, repr=False)
class Grouping(Shaped):
    """Which image each text of a batch is about, when several texts share an image.

    ``image[b]`` is the row of text b's image in `Regions`, ``slot[b]`` the place of text b among the texts
    of that image, ``width`` the largest number of texts that any image has. The pair (image, slot) lays
    the texts out as a dense ``[images, width]`` table, so that one batched product serves them all.
    """

    image: Int[Tensor, " texts"]
    slot: Int[Tensor, " texts"]
    width: int

    @classmethod
    def of(cls, image: Int[Tensor, " texts"]) -> Grouping:
        """The grouping of texts whose image rows are given, in any order."""
        order = torch.argsort(image, stable=True)
        counts = torch.bincount(image)
        starts = torch.cumsum(counts, 0) - counts
        slot = torch.empty_like(image)
        slot[order] = torch.arange(len(image), device=image.device) - starts[image[order]]
        return cls(image, slot, int(counts.max()) if len(image) else 0)

    def to(self, device: torch.device | str) -> Grouping:
        """The same grouping on another device."""
        return Grouping(self.image.to(device), self.slot.to(device), self.width)


@dataclass(eq=False, repr=False)
class Regions(Shaped):
    """Image regions: features, which of them exist, and where they lie.

    ``grid`` is (rows, columns) when the regions are the cells of a feature map in row-major order, else None.
    ``grouping`` is None when text b of the batch is about image b.
    """

    features: Float[Tensor, "images regions size"]
    mask: Bool[Tensor, "images regions"]
    boxes: Float[Tensor, "images regions 4"] | None = None
    grid: tuple[int, int] | None = None
    grouping: Grouping | None = None

    def to(self, device: torch.device | str) -> Regions:
        """The same regions on another device."""
        return Regions(
            self.features.to(device),
            self.mask.to(device),
            None if self.boxes is None else self.boxes.to(device),
            self.grid,
            None if self.grouping is None else self.grouping.to(device),
        )

    def grouped(self, grouping: Grouping) -> Regions:
        """The same regions, shared by the texts of a grouping."""
        return dataclasses.replace(self, grouping=grouping)

    def row(self, image: int) -> Regions:
        """The regions of one image of the batch, without those that only pad it."""
        mask = self.mask[image]
        boxes = None if self.boxes is None else self.boxes[image][mask][None]
        return Regions(self.features[image][mask][None], mask[mask][None], boxes, self.grid)

    def take(self, images: Int[Tensor, " chosen"]) -> Regions:
        """The regions of chosen images of the batch, as often and in the order that they are named in."""
        boxes = None if self.boxes is None else self.boxes[images]
        return Regions(self.features[images], self.mask[images], boxes, self.grid)

    def of_text(self, text: int) -> Regions:
        """The regions of the image that a text of the batch is about, without those that only pad it."""
        return self.row(text if self.grouping is None else int(self.grouping.image[text]))

    def per_text(self, of_images: Tensor) -> Tensor:
        """Rows of a per-image tensor, one per text: a gather when the batch is grouped, else the tensor itself."""
        return of_images if self.grouping is None else of_images[self.grouping.image]


@dataclass(eq=False, repr=False)
class Words(Shaped):
    """Word ids, right-padded, and which of them exist."""

    ids: Int[Tensor, "texts words"]
    mask: Bool[Tensor, "texts words"]

    def to(self, device: torch.device | str) -> Words:
        """The same words on another device."""
        return Words(self.ids.to(device), self.mask.to(device))


@dataclass(eq=False, repr=False)
class Phrases(Shaped):
    """Which words of each text its phrases are: from the first up to but not including the last; and which exist."""

    spans: Int[Tensor, "texts phrases 2"]
    mask: Bool[Tensor, "texts phrases"]

    def to(self, device: torch.device | str) -> Phrases:
        """The same phrases on another device."""
        return Phrases(self.spans.to(device), self.mask.to(device))

    def over(self, words: int) -> Bool[Tensor, "texts phrases words"]:
        """Which of so many words each phrase has; none of one that does not exist."""
        places = torch.arange(words, device=self.spans.device)
        return (self.spans[..., :1] <= places) & (places < self.spans[..., 1:]) & self.mask.unsqueeze(2)


@dataclass(frozen=True)
class Without:
    """What is taken away from an image and its text before a model sees them, by numbers counted from 0.

    ``regions`` counts the image's regions, those of a grid row by row, ``words`` the words as the reply gives them;
    both are kept in rising order. A region is taken away by its mask, a word as if the text had been written without
    it. Raises RecipeError for what is no whole number from 0 on, and for a number that comes twice.
    """

    regions: tuple[int, ...] = ()
    words: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("regions", "words"):
            numbers = getattr(self, name)
            for number in numbers:
                if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                    raise RecipeError(f"without {name}: expected whole numbers from 0 on, got {number!r}")
            if twice := [number for number in numbers if numbers.count(number) > 1]:
                raise RecipeError(f"without {name}: expected each number once, got {twice[0]} twice; leave one out")
            object.__setattr__(self, name, tuple(sorted(numbers)))

    def __bool__(self) -> bool:
        return bool(self.regions or self.words)

    def to_dict(self) -> dict[str, list[int]]:
        """Plain values for JSON."""
        return {"regions": list(self.regions), "words": list(self.words)}


NOTHING = Without()


@dataclass(eq=False, repr=False)
class AttentionMap(Shaped):
    """One step's attention weights, by value.

    ``axes`` names the dimensions behind the batch: ``("regions",)``, ``("words",)``, ``("words", "regions")``, of a
    grounder ``("phrases", "regions")``, with ``"heads"`` before them where there are several; ``name`` is the step, as
    in "step 1". ``kind`` says what sums to 1: "joint" the whole map, "rows" each row along the last axis, "raw"
    nothing, as with similarities. Rows of padding are 0. A joint map sums to less than 1 where a model, as its authors
    wrote it, lets padding be attended to.
    """

    weights: Float[Tensor, texts * axes]
    axes: tuple[str, ...]
    name: str
    kind: Literal["joint", "rows", "raw"] = "joint"

    def of(self, text: int, masks: Mapping[str, Bool[Tensor, " places"]]) -> AttentionMap:
        """The map of one text in a batch of 1, without padding, in float32 on the CPU; `masks` are its own, by axis."""
        weights = self.weights[text]
        for dimension, axis in enumerate(self.axes):
            if axis in masks:
                weights = weights.index_select(dimension, masks[axis].to(weights.device).nonzero()[:, 0])
        return dataclasses.replace(self, weights=weights[None].float().cpu())

    def to_dict(self) -> dict[str, Any]:
        """Plain values of a map in a batch of 1."""
        return {"name": self.name, "axes": list(self.axes), "weights": self.weights[0].tolist()}


@dataclass(eq=False, repr=False)
class Answers(Shaped):
    """An answerer's output: one logit per known answer, and the maps it looked and read with, in order."""

    logits: Float[Tensor, "texts answers"]
    attention: tuple[AttentionMap, ...]


@dataclass(eq=False, repr=False)
class Captions(Shaped):
    """A captioner's output when it is told the words: each word's logits given those before it, and the maps.

    ``penalty`` is what the model's paper adds to the loss of each caption while training, None where it adds nothing.
    """

    logits: Float[Tensor, "captions words vocabulary"]
    attention: tuple[AttentionMap, ...]
    penalty: Float[Tensor, " captions"] | None = None


@dataclass(eq=False, repr=False)
class DecoderState(Shaped):
    """What a captioner carries from word to word.

    ``images`` are tensors with a row for each image: what depends on the image alone, computed once. ``rows`` are
    tensors with a row for each hypothesis, the same number for each image, those of an image side by side.
    """

    images: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]

    def gather(self, rows: Int[Tensor, " chosen"]) -> DecoderState:
        """The state of chosen hypotheses, equally many of each image, those of an image side by side."""
        return DecoderState(self.images, tuple(tensor[rows] for tensor in self.rows))


@dataclass(eq=False, repr=False)
class Decoded(Shaped):
    """One step of a captioner: logits of the next word, the state behind it, and this step's maps.

    The maps' axes are ``("regions",)``, or ``()`` for one number a row, such as a gate.
    """

    logits: Float[Tensor, "rows vocabulary"]
    state: DecoderState
    attention: tuple[AttentionMap, ...]


@dataclass(eq=False, repr=False)
class Embeddings(Shaped):
    """One side of a matcher's output: a row for each image or sentence, and the maps it looked or read with, in order.

    The inner product of an image's row and a sentence's is how well they match.
    """

    z: Float[Tensor, "rows size"]
    attention: tuple[AttentionMap, ...]


@dataclass(eq=False, repr=False)
class Matches(Shaped):
    """A matcher's output: images and sentences, each embedded without a look at the other.

    ``scale`` is what a softmax over scores multiplies them by, where the model learns that.
    """

    images: Embeddings
    sentences: Embeddings
    scale: Float[Tensor, ""] | None = None


@dataclass(eq=False, repr=False)
class Groundings(Shaped):
    """A grounder's output: how well each region fits each phrase, and the maps it looked with.

    The logit of a region or a phrase that does not exist is minus infinity. ``shifts`` say, of a model that moves
    boxes, how each region's box would have to change for the phrase, as R-CNN has it: the centre's x and y in widths
    and heights of the box, and the logarithms of the factors of width and height.
    """

    logits: Float[Tensor, "texts phrases regions"]
    attention: tuple[AttentionMap, ...]
    shifts: Float[Tensor, "texts phrases regions 4"] | None = None
