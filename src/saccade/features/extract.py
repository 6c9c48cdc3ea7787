"""Images to regions: one at a time when serving, by the thousand into a store when preparing to train."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from saccade.errors import RecipeError
from saccade.features.backbones import OWN_BACKBONES, create_backbone
from saccade.features.boxes import as_read, grid_boxes, not_empty, pad_regions, pool, seen_through, window
from saccade.features.files import ImageFiles
from saccade.features.making import DECODERS, ShardMaker, Tally
from saccade.features.pixels import preprocess
from saccade.features.proposals import box_digests, create_proposals, seen
from saccade.features.shards import Layout, ShardPlan
from saccade.features.spec import POSITION_SIZE, FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.writer import SHARD_IMAGES, FeatureWriter, check_ids, finished_store
from saccade.images import ImageSource, read_image
from saccade.sharing import Workers
from saccade.types import Regions


class Loaded(NamedTuple):
    """An image as the backbone takes it, its width and height, and where its regions lie unless they are a grid's."""

    pixels: Float[Tensor, "3 size size"]
    size: tuple[int, int]
    boxes: Float[Tensor, "regions 4"] | None = None


class Extractor:
    """Images to regions as a spec says; the same for one photograph at prediction as for a store's thousands.

    ``grid`` is the backbone's (rows, columns), ``region_size`` the numbers per region with the position code,
    ``weights_hash`` that of all weights and fixed boxes that regions depend on, ``proposals`` what says where those
    lie that are no cells of the grid.

    Features are rounded as in a store, unless the backbone is `trained` along with a model: a gradient does not survive
    rounding, so no such model has seen any. `state` are the weights of such a backbone, in place of the spec's.
    `autocast` makes the context that one runs in, as Fabric's `autocast` does; a frozen one runs in full precision.
    May be called from several threads at once.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        *,
        device: torch.device | str = "cpu",
        state: Mapping[str, Tensor] | None = None,
        trained: bool = False,
        autocast: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.spec = spec
        self.device = torch.device(device)
        self.backbone = create_backbone(spec, state).to(self.device)
        self.grid = self.backbone.grid
        self.size = self.backbone.channels
        self.region_size = self.size + POSITION_SIZE * spec.positions
        self.proposals = create_proposals(spec, self.device)
        self.weights_hash = self.backbone.weights_hash
        if self.proposals is not None and self.proposals.hash:
            hashes = f"{self.weights_hash} {self.proposals.hash}"
            self.weights_hash = hashlib.sha256(hashes.encode()).hexdigest()
        self._trained = trained or state is not None
        self.autocast = autocast if autocast is not None and self._trained else nullcontext

    def __call__(
        self, images: Sequence[ImageSource], backbone: nn.Module | None = None, *, names: Sequence[str] | None = None
    ) -> Regions:
        """The regions of images, on the extractor's device, in float32; through its backbone, or one in its place.

        Those of a frozen backbone equal the stored ones but for what the size of the batch changes in its last bits.
        `names` are the images' ids, by which a file of boxes knows them.
        """
        with torch.no_grad():  # said here, for batches are read in threads, which do not know the caller's mode
            return self.differentiable(images, backbone, names=names)

    def read(
        self,
        images: Sequence[str],
        open_image: Callable[[str], Image.Image],
        backbone: nn.Module | None = None,
    ) -> Regions:
        """The regions of images by their ids, as a store's `read` gives them; `open_image` is called in threads."""
        with ThreadPoolExecutor(DECODERS) as pool:
            loaded = list(pool.map(lambda image: self.load(open_image(image), image), images))
        return self.regions_of(loaded, backbone)

    def differentiable(
        self, images: Sequence[ImageSource], backbone: nn.Module | None = None, *, names: Sequence[str] | None = None
    ) -> Regions:
        """The regions of images, through which gradients reach a backbone that learns."""
        return self._regions(list(map(self.load, images, names or [""] * len(images))), backbone)

    def load(self, image: ImageSource, name: str = "") -> Loaded:
        """An image as the backbone takes it, and what is to be known of it; for threads that read ahead.

        Raises ImageError for one that cannot be read, and for one left without a region.
        """
        name = name or (str(image) if isinstance(image, str | Path) else "")
        upright = read_image(image, name=name)
        boxes = None if self.proposals is None else seen(self.proposals(upright, name), upright.size, self.spec, name)
        return Loaded(self.preprocess(upright), upright.size, boxes)

    def regions_of(self, loaded: Sequence[Loaded], backbone: nn.Module | None = None) -> Regions:
        """The regions of loaded images."""
        with torch.no_grad():
            return self._regions(loaded, backbone)

    def preprocess(self, image: Image.Image) -> Float[Tensor, "3 size size"]:
        """An upright RGB image as the backbone takes it."""
        return preprocess(image, self.spec, self.backbone.mean, self.backbone.std)

    def rows(
        self, loaded: Sequence[Loaded], backbone: nn.Module | None = None
    ) -> list[tuple[Float[Tensor, "regions channels"], Float[Tensor, "regions 4"]]]:
        """The features of the regions of each loaded image, as they are stored, and their boxes."""
        if not loaded:
            return []
        features = self._cells(loaded, backbone)
        if self.proposals is None:
            return list(map(self._of_grid, self._rounded(features), [each.size for each in loaded]))
        boxes = [each.boxes.to(self.device) for each in loaded if each.boxes is not None]
        windows = [window(each.size, self.spec.resize) for each in loaded]
        pooled = self._pooled(features, list(map(seen_through, boxes, windows)))
        return list(zip(map(self._rounded, pooled), boxes, strict=True))

    def _pooled(
        self, features: Float[Tensor, "images cells channels"], boxes: Sequence[Float[Tensor, "regions 4"]]
    ) -> list[Float[Tensor, "regions channels"]]:
        """The means over each image's boxes, in fractions of what the backbone saw."""
        return pool(features.transpose(1, 2).reshape(len(features), -1, *self.grid), boxes)

    def _cells(self, loaded: Sequence[Loaded], backbone: nn.Module | None) -> Float[Tensor, "images cells channels"]:
        """The features of all cells of the grid, as they come."""
        run, pixels = backbone or self.backbone, torch.stack([each.pixels for each in loaded])
        with self.autocast():
            features: Tensor = run(pixels.to(self.device))
        return features.float()

    def _rounded(self, features: Tensor) -> Tensor:
        """Features rounded to the spec's numbers, but for those through which a backbone learns."""
        if self._trained:
            return features
        rounded = features.to(getattr(torch, self.spec.dtype))
        if not rounded.isfinite().all():
            hint = "; set --features.dtype float32" if self.spec.dtype == "float16" else ""
            raise RecipeError(f"{self.spec.backbone} gives features beyond what {self.spec.dtype} can hold{hint}")
        return rounded

    def _of_grid(
        self, features: Float[Tensor, "cells channels"], size: tuple[int, int]
    ) -> tuple[Float[Tensor, "regions channels"], Float[Tensor, "regions 4"]]:
        """Features and boxes of those cells that see some of an image of (width, height)."""
        boxes = grid_boxes(self.grid, window(size, self.spec.resize))
        seen = not_empty(boxes)
        return (features if seen.all() else features[seen.to(features.device)]), boxes[seen].to(features.device)

    def _regions(self, loaded: Sequence[Loaded], backbone: nn.Module | None) -> Regions:
        """The regions of loaded images."""
        if self.proposals is None:
            return self.placed(self._rounded(self._cells(loaded, backbone)), [each.size for each in loaded])
        features, boxes = zip(*self.rows(loaded, backbone), strict=True)
        return self._as_read(pad_regions(list(features), list(boxes)), None)

    def placed(
        self,
        features: Float[Tensor, "images cells channels"],
        sizes: Sequence[tuple[int, int]],
        grid: tuple[int, int] | None = None,
    ) -> Regions:
        """The regions of images of those widths and heights; those with fewer are padded with zeros.

        `grid` is the rows and columns of the cells, where they are not those of whole images.
        """
        cells = grid or self.grid
        boxes = [grid_boxes(cells, window(size, self.spec.resize)) for size in sizes]
        seen = [not_empty(each) for each in boxes]
        if all(bool(each.all()) for each in seen):
            mask = torch.ones(features.shape[:2], dtype=torch.bool, device=self.device)
            found = Regions(features, mask, torch.stack(boxes).to(self.device))
        else:
            kept = [each[some.to(self.device)] for each, some in zip(features, seen, strict=True)]
            places = [each[some].to(self.device) for each, some in zip(boxes, seen, strict=True)]
            found = pad_regions(kept, places)
        return self._as_read(found, cells if covers_image(self.spec) else None)

    def averaged(self, features: Float[Tensor, "images cells channels"], names: Sequence[str]) -> Regions:
        """The regions of whole images of those ids, whose maps are given, for boxes that are known without the image.

        Raises ImageError for an image that has none.
        """
        boxes = [each.to(self.device) for each in self.known_boxes(names)]
        return self._as_read(pad_regions(self._pooled(features, boxes), boxes), None)

    def known_boxes(self, names: Sequence[str]) -> list[Float[Tensor, "regions 4"]]:
        """Where the regions of the images of those ids lie, of proposals that need not see them; raises ImageError."""
        assert self.proposals is not None
        unseen = Image.new("RGB", (1, 1))
        return [self.proposals(unseen, name) for name in names]

    def _as_read(self, found: Regions, grid: tuple[int, int] | None) -> Regions:
        """Regions as the model is given them."""
        assert found.boxes is not None
        spec = self.spec
        features = as_read(
            found.features, found.boxes, found.mask, standardize=spec.standardize, positions=spec.positions
        )
        return replace(found, features=features.float(), grid=grid)


def covers_image(spec: FeatureSpec) -> bool:
    """Whether the regions are a grid over the whole image."""
    return spec.resize == "squash" and spec.regions == "grid"


def known_before(spec: FeatureSpec) -> bool:
    """Whether the regions lie in a whole image where they lie, whatever it shows."""
    return spec.resize == "squash" and spec.regions in ("grid", "windows", "file")


def extract(
    images: Sequence[str],
    open_image: Callable[[str], Image.Image],
    out: Path,
    spec: FeatureSpec,
    *,
    batch_size: int | None = None,
    shard_images: int = SHARD_IMAGES,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    image_file: Callable[[str], Path | None] | None = None,
    workers: Workers | None = None,
) -> FeatureStore:
    """The store of the images' regions: made where there is none, added to where it lacks some, else as it is.

    An image whose file, by `image_file`, is another than the store was made of is extracted anew. An extraction that
    was killed goes on with the shards that are missing, and gives the same bytes with the same `batch_size` (8 by
    default on a CPU, where larger ones were slower, and 64 elsewhere). Images for which `open_image` raises ImageError
    become `failed`. `progress` is told how many of the images to extract are done. The functions are called from
    several threads. Raises StoreError when the folder holds something else or no image could be read, RecipeError for a
    batch or shard of none, and what `create_backbone` raises.

    `workers` share the shards, in a folder that all of them see: every one of several processes calls this, those but
    the first with images that are not looked at; for a cluster the functions must be such that they can be pickled.
    """
    workers = workers or Workers()
    for name, wanted in (("batch_size", batch_size), ("shard_images", shard_images)):
        if wanted is not None and wanted < 1:
            raise RecipeError(f"{name}: expected at least 1 image, got {wanted}")
    # Weights from the hub do not change under their name; others may, so that their hash must be asked for.
    hub = spec.weights == "pretrained" and spec.backbone not in OWN_BACKBONES and spec.regions in ("grid", "windows")
    extractor = None if hub else Extractor(spec, device=device)
    files, digests = None, box_digests(spec)
    if image_file is not None or digests is not None:
        files = ImageFiles(image_file or _no_file, out, digests)

    def finished() -> FeatureStore | None:
        check_ids(images)
        return finished_store(out, images, spec, None if extractor is None else extractor.weights_hash, files)

    if (store := workers.agreed(finished)) is not None:
        return store
    extractor = extractor or Extractor(spec, device=device)
    grid = extractor.grid if covers_image(spec) else None
    maker = ShardMaker(
        Layout(out, spec.dtype, extractor.size, grid),
        extractor.weights_hash,
        partial(Extractor, spec, device=workers.device or device),
        open_image,
        files,
        batch_size,
        extractor,
    )
    if not workers.is_first:
        workers.run(maker, workers.agreed(list[ShardPlan]))
        return workers.agreed(partial(FeatureStore.open, out))
    with FeatureWriter(
        out,
        images,
        spec=spec,
        weights_hash=extractor.weights_hash,
        size=extractor.size,
        grid=grid,
        shard_images=shard_images,
        files=files,
    ) as writer:
        _have_made(
            workers.agreed(lambda: writer.plans), writer, maker, workers, progress or (lambda _done, _total: None)
        )
        return workers.agreed(writer.finish)


def _have_made(
    plans: Sequence[ShardPlan],
    writer: FeatureWriter,
    maker: ShardMaker,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> None:
    """Have the workers make the shards, told of by the first of them."""
    tally = Tally(writer.layout, plans, writer.done, progress, share=workers.shared)
    maker.tally = tally
    learnt = workers.run(maker, plans, meanwhile=tally.tell)
    # What another machine wrote may be seen here later than it says so.
    learnt += maker()(plan for plan in plans if not writer.layout.index(plan.number).exists())
    for known in learnt:
        writer.learn(known)
    tally.end()


def _no_file(_image: str) -> None:
    """Of images that are no files."""
