"""Importing features from each format: peak memory and images per second.

    python benchmarks/bench_import.py [--images 10000] [--formats tsv hdf5 npz npy lmdb]

For each format in turn, that many images of 36 regions x 2048 numbers are written in single precision to a temporary
folder, as the format's authors lay them out (3 GB, in base64 4 GB, for 10,000 images), imported in a process of its own
into a store in half precision, and deleted. `start` is the resident set before the import, `peak` the
largest that it ever was, and `growth` the difference. The peak is the kernel's VmHWM, which begins anew with the
process: getrusage's ru_maxrss would begin with the size of the process that started it. Sources are read from the page
cache as far as they fit, having just been written; `CPU s` is the processor's time, with the kernel's, which other work
on the machine changes less than `seconds`.

Writes benchmarks/results/import-cpu-<torch>.csv.
"""

from __future__ import annotations

import base64
import csv
import importlib.metadata
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import lmdb
import numpy as np
import tyro

REGIONS, SIZE, BLOCK = 36, 2048, 100
WIDTH, HEIGHT = 640, 480
COLUMNS = ["format", "images", "source GB", "seconds", "CPU s", "images/s", "start MB", "peak MB", "growth MB"]


def features(images: int) -> Iterator[np.ndarray]:
    """Image after image: the same hundred, each with its own number in one place."""
    block = np.random.default_rng(0).random((BLOCK, REGIONS, SIZE), dtype=np.float32)
    for i in range(images):
        block[i % BLOCK, 0, 0] = i % 1000
        yield block[i % BLOCK]


def boxes() -> np.ndarray:
    corners = np.sort(np.random.default_rng(1).random((REGIONS, 2, 2)), axis=1) * (WIDTH, HEIGHT)
    return corners.reshape(REGIONS, 4).astype(np.float32)


def write_tsv(folder: Path, images: int) -> Path:
    with (folder / "genome_36.tsv").open("wb") as file:
        text = base64.b64encode(boxes())
        for i, array in enumerate(features(images)):
            file.write(b"%d\t%d\t%d\t%d\t%s\t%s\r\n" % (i, WIDTH, HEIGHT, REGIONS, text, base64.b64encode(array)))
    return folder / "genome_36.tsv"


def write_hdf5(folder: Path, images: int) -> Path:
    fractions = boxes() / (WIDTH, HEIGHT, WIDTH, HEIGHT)
    with h5py.File(folder / "train36.hdf5", "w") as file:
        arrays = file.create_dataset("image_features", (images, REGIONS, SIZE), "f")
        pixels = file.create_dataset("image_bb", (images, REGIONS, 4), "f")
        places = file.create_dataset("spatial_features", (images, REGIONS, 6), "f")
        for i, array in enumerate(features(images)):
            arrays[i], pixels[i] = array, boxes()
            places[i] = np.concatenate([fractions, fractions[:, 2:] - fractions[:, :2]], 1)
    (folder / "train36_imgid2idx.pkl").write_bytes(pickle.dumps({i: i for i in range(images)}))
    return folder / "train36.hdf5"


def write_npz(folder: Path, images: int) -> Path:
    sides = {"num_bbox": REGIONS, "image_w": WIDTH, "image_h": HEIGHT}
    for i, array in enumerate(features(images)):
        np.savez(folder / f"COCO_train2014_{i:012}.npz", x=array.T, bbox=boxes(), **sides)
    return folder


def write_npy(folder: Path, images: int) -> Path:
    info = {"bbox": boxes(), "num_boxes": REGIONS, "image_width": WIDTH, "image_height": HEIGHT}
    for i, array in enumerate(features(images)):
        np.save(folder / f"{i}.npy", array)
        np.save(folder / f"{i}_info.npy", np.array(info, object))
    return folder


def write_lmdb(folder: Path, images: int) -> Path:
    held = {"image_w": WIDTH, "image_h": HEIGHT, "num_boxes": REGIONS, "boxes": base64.b64encode(boxes())}
    with lmdb.open(str(folder / "genome_36.lmdb"), map_size=1 << 40) as environment:
        writing = environment.begin(write=True)
        for i, array in enumerate(features(images)):
            writing.put(str(i).encode(), pickle.dumps({**held, "image_id": i, "features": base64.b64encode(array)}))
            if i % BLOCK == BLOCK - 1:
                writing.commit()
                writing = environment.begin(write=True)
        writing.put(b"keys", pickle.dumps([str(i).encode() for i in range(images)]))
        writing.commit()
    return folder / "genome_36.lmdb"


FORMATS: dict[str, Callable[[Path, int], Path]] = {
    "tsv": write_tsv,
    "hdf5": write_hdf5,
    "npz": write_npz,
    "npy": write_npy,
    "lmdb": write_lmdb,
}


@dataclass(frozen=True)
class Options:
    images: int = 10_000
    """Images of each format; 0.3 MB each, and half of that in the store."""

    formats: tuple[str, ...] = field(default_factory=lambda: tuple(FORMATS))
    """Formats to import."""

    results: Path = Path(__file__).parent / "results"
    """Where the table goes."""


def held(name: str) -> float:
    """Megabytes of memory that the process holds (VmRSS) or held at most (VmHWM), on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def measure(source: Path, out: Path, images: int) -> None:
    """Import in this process and print what it took as JSON."""
    from saccade.features.importers import import_features  # noqa: PLC0415  (its memory is what is measured)

    begin, start, used = held("VmRSS"), time.perf_counter(), time.process_time()
    store = import_features([source], out)
    seconds, used, peak = time.perf_counter() - start, time.process_time() - used, held("VmHWM")
    last = store.read([str(images - 1)])
    assert len(store) == images
    assert last.features[0, 0, 0] == (images - 1) % 1000
    assert np.allclose(last.boxes[0].numpy() * (WIDTH, HEIGHT, WIDTH, HEIGHT), boxes(), atol=1e-3)
    print(json.dumps({"seconds": seconds, "CPU": used, "start": begin, "peak": peak}))


def main(options: Options) -> None:
    rows = []
    for name in options.formats:
        with TemporaryDirectory() as folder:
            (Path(folder) / "source").mkdir()
            source = FORMATS[name](Path(folder) / "source", options.images)
            size = sum(file.stat().st_blocks * 512 for file in Path(folder).rglob("*"))
            command = [
                sys.executable,
                __file__,
                "measure",
                str(source),
                str(Path(folder) / "store"),
                str(options.images),
            ]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        values = [name, options.images, f"{size / 1e9:.2f}", f"{found['seconds']:.1f}", f"{found['CPU']:.1f}"]
        values += [f"{options.images / found['seconds']:.0f}", f"{found['start']:.0f}", f"{found['peak']:.0f}"]
        rows.append(dict(zip(COLUMNS, [*values, f"{found['peak'] - found['start']:.0f}"], strict=True)))
        print("  ".join(f"{column} {value}" for column, value in rows[-1].items()), flush=True)
    options.results.mkdir(exist_ok=True)
    version = importlib.metadata.version("torch").partition("+")[0]
    with (options.results / f"import-cpu-{version}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(tyro.cli(Options, description=__doc__))
