"""Commands that make what models train on: extract, import-features, scenes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from saccade.features.spec import FeatureSpec


@dataclass(frozen=True)
class Extract:
    """Turn images into a feature store, or add those that are new to one.

    Killed and started again, it goes on where it was. Under torchrun all its processes share the work.
    """

    images: Annotated[str, tyro.conf.arg(metavar="IMAGES"), tyro.conf.Positional]
    """Folder of images, searched with its subfolders and the folders it links to; a file that lists them (.txt with a
    path a line, .jsonl, .csv); or the URL of a folder that fsspec opens, as in s3://bucket/photos."""
    out: Path
    """Folder of the store."""
    features: Annotated[FeatureSpec, tyro.conf.arg(name="")] = field(default_factory=FeatureSpec)
    """How an image becomes regions."""
    batch_size: int = 32
    """Images at a time."""
    shard_images: int = 512
    """Images of a file of the store, which one process makes whole."""
    device: str | None = None
    """Where to compute: cpu, cuda, cuda:1, mps; by default the first GPU, or the CPU where there is none. Of several
    processes each takes a GPU of its own."""
    ray: str | None = None
    """Share the work through Ray: `local` starts it on this machine, `auto` joins the cluster that the machine is a
    part of, else the cluster's address."""

    def run(self) -> None:
        """Extract and print what the store holds."""
        from saccade.build import warn_of_scenes_cnn
        from saccade.clusters import ray_cluster
        from saccade.console import ConsoleReport
        from saccade.data.pictures import Pictures
        from saccade.features.devices import find_device
        from saccade.features.extract import extract
        from saccade.sharing import processes

        pictures = Pictures(self.images)
        # Where a cluster's workers compute is for it to say; this process but asks the network about its regions.
        device = find_device("cpu" if self.ray else self.device)
        shared = ray_cluster(self.ray, self.device) if self.ray else processes()
        with shared as workers, ConsoleReport() as report:
            names = workers.agreed(lambda: pictures.names)
            if workers.is_first:
                warn_of_scenes_cnn(self.features, self.images, Path(self.images).absolute().parent)
            store = extract(
                names,
                pictures.open,
                self.out,
                self.features,
                batch_size=self.batch_size,
                shard_images=self.shard_images,
                device=device,
                progress=lambda done, total: report.advance(f"extract {self.features.backbone}", done, total, "images"),
                image_file=pictures.file,
                workers=workers,
            )
        if not workers.is_first:
            return
        failed = {name: store.failed[name] for name in names if name in store.failed}
        for name, reason in failed.items():
            print(f"left out {name}: {reason}", file=sys.stderr)
        print(f"{len(store)} images, regions of {store.region_size} in {self.out}; {len(failed)} could not be read")


@dataclass(frozen=True)
class WriteScenes:
    """Write generated scenes as PNG files and JSON Lines: a worked example of own data."""

    out: Path
    """Folder to make."""
    images: int = 1000
    """How many images, over all splits."""
    seed: int = 0
    """Another seed, other scenes."""
    size: tuple[int, ...] = (96,)
    """Side of the images in pixels; with two numbers, every image has its own from one to the other."""
    background: Literal["grey", "light", "colored", "noise", "gradients"] = "grey"
    """What is behind the things. The backbone scenes-cnn was trained on grey alone."""
    things: tuple[int, int] = (2, 6)
    """Fewest and most things in a scene."""
    small: tuple[int, int] = (6, 7)
    """Smallest and largest radius of small things, in pixels of an image of 96."""
    large: tuple[int, int] = (11, 13)
    """Smallest and largest radius of large things, likewise."""
    without: tuple[Literal["color", "shape", "size", "position", "count", "existence", "relation"], ...] = ()
    """Types of questions to leave out."""

    def run(self) -> None:
        """Write them and say how to go on."""
        from saccade.data.scenes import write_scenes
        from saccade.data.scenes_look import Look

        side = (self.size[0], self.size[-1]) if len(self.size) in (1, 2) else self.size
        look = Look(side, self.background, self.things, self.small, self.large)  # type: ignore[arg-type]
        counts = write_scenes(self.out, images=self.images, seed=self.seed, look=look, without=self.without)
        for name, count in counts.items():
            print(f"{name:20} {count}")
        seen = look == Look()
        fields = " --features.backbone scenes-cnn --features.image-size 96 --features.positions" if seen else ""
        print(f"Train on them: saccade train dfaf-own --data.root {self.out}{fields}")


@dataclass(frozen=True)
class ImportFeatures:
    """Turn region features from files (bottom-up-attention TSV, HDF5, NPZ, NPY, LMDB) into a feature store.

    Killed and started again, it goes on where it was.
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="SOURCE"), tyro.conf.Positional]
    """Files, or folders of one file per image, in one format."""
    out: Path
    """Folder of the store."""
    format: Literal["tsv", "hdf5", "npz", "npy", "lmdb"] | None = None
    """Format, where the name does not tell."""
    data: str = ""
    """Data set whose images are imported, all of which must be there; everything in the sources unless named."""
    root: str = ""
    """Folder of that data set."""
    dtype: Literal["float16", "float32"] = "float16"
    """The numbers that features are rounded to."""
    grid: tuple[int, int] | None = None
    """Rows and columns of features without boxes that are the cells of a grid."""

    def run(self) -> None:
        """Import and print what the store holds."""
        from saccade.console import ConsoleReport
        from saccade.corpus import images_at_hand
        from saccade.data import create_dataset
        from saccade.features.importers import import_features

        images = images_at_hand(create_dataset(self.data, self.root)) if self.data else None
        with ConsoleReport() as report:
            store = import_features(
                self.sources,
                self.out,
                format=self.format,
                images=images,
                dtype=self.dtype,
                grid=self.grid,
                progress=lambda done, total: report.advance("import features", done, total, "images"),
            )
        print(f"{len(store)} images, regions of {store.region_size} in {self.out}")
        print(f"Train on them: saccade train ban-vqa2 --data.root DIR --data.store {self.out}")
