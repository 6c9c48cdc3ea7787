"""Seconds a photograph from its file to region features: the cells of the map, and RoIAlign over 200 and 400 windows.

    python benchmarks/bench_regions.py PHOTOGRAPHS --weights FILE [--backbone tf_efficientnet_lite2] [--images 16]

Each is the time that one image takes by itself and in a batch, opened, resized and looked at, on one thread; the median
over rounds in which the kinds take turns. `pooling` is what is left of it without opening, resizing and the network:
the mean over each box, on the map of the last stage (`layer` -1) and on the finer map of the stage before (`layer` 3).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import tyro

from saccade.features.boxes import pool
from saccade.features.extract import Extractor
from saccade.features.spec import FeatureSpec
from saccade.images import open_image

KINDS = {"grid": 0, "200 windows": 200, "400 windows": 400}


@dataclass(frozen=True)
class Options:
    photographs: Annotated[Path, tyro.conf.Positional]
    """Folder of photographs, of which the first ones are taken."""

    weights: str = "pretrained"
    """File of the backbone's weights."""

    backbone: str = "tf_efficientnet_lite2"
    """The network."""

    sizes: tuple[int, ...] = (224, 320, 448)
    """Sides of the images in pixels."""

    layers: tuple[int, ...] = (-1, 3)
    """Stages whose map is averaged."""

    images: int = 16
    """Photographs of a batch."""

    rounds: int = 5
    """How often each is measured."""

    note: str = ""
    """What else is to be known of the machine; stands in the table."""

    results: Path = Path(__file__).parent / "results"
    """Where the table goes."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(files: list[Path], size: int, layer: int, options: Options) -> list[dict[str, object]]:
    plain = FeatureSpec(options.backbone, weights=options.weights, image_size=size, layer=layer)
    extractors = {
        kind: Extractor(
            plain if not count else FeatureSpec(**{**vars(plain), "regions": "windows", "max_regions": count})
        )
        for kind, count in KINDS.items()
    }
    names = [str(file) for file in files]
    maps = extractors["grid"]([open_image(file) for file in files]).features
    maps = maps.transpose(1, 2).reshape(len(files), -1, *extractors["grid"].grid)
    taken: dict[tuple[str, str], list[float]] = {}
    for turn in range(1 + options.rounds):  # the first is not counted
        for kind, extractor in extractors.items():
            found = {
                "in a batch": seconds(lambda e=extractor: e.read(names, open_image)) / len(files),
                "by itself": seconds(lambda e=extractor: e.read(names[:1], open_image)),
            }
            if count := KINDS[kind]:
                boxes = [extractor.proposals(None, "")] * len(files)
                assert len(boxes[0]) == count
                found["pooling"] = seconds(lambda b=boxes: pool(maps, b)) / len(files)
            for what, took in found.items():
                if turn:
                    taken.setdefault((kind, what), []).append(took)
    rows, columns = extractors["grid"].grid
    return [
        {
            "pixels": size,
            "layer": layer,
            "map": f"{rows} x {columns} x {maps.shape[1]}",
            "regions": kind if kind != "grid" else f"grid ({rows * columns})",
            **{f"s a photograph, {what}": f"{median(taken[k, what]):.4f}" for k, what in taken if k == kind},
            "note": options.note,
        }
        for kind in KINDS
    ]


def main(options: Options) -> None:
    torch.set_num_threads(1)
    files = sorted(options.photographs.glob("*.jpg"))[: options.images]
    rows = [row for layer in options.layers for size in options.sizes for row in measure(files, size, layer, options)]
    fields = ("in a batch", "by itself", "pooling")
    columns = ["pixels", "layer", "map", "regions", *(f"s a photograph, {what}" for what in fields), "note"]
    for row in rows:
        print("  ".join(f"{row.get(column, '')!s:16}" for column in columns[:-1]))
    options.results.mkdir(exist_ok=True)
    with (options.results / f"regions-cpu-{torch.__version__.partition('+')[0]}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
