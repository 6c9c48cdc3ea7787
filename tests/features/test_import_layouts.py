"""Every layout is written here as its authors' scripts write it, and read back."""

from __future__ import annotations

import base64
import csv
import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest

from saccade.errors import StoreError
from saccade.features import import_sources, importers
from saccade.features.importers import guess_format, import_features
from saccade.features.store import FeatureStore

SIZE = 7
IDS = [391895, 9, 25, 100000, 30, 34, 581929, 36, 42, 49, 5]
COUNTS = dict(zip(IDS, [3, 11, 2, 5, 13, 1, 17, 3, 2, 5, 19], strict=True))
SIDES = {image: (640 - 13 * i, 480 + 7 * i) for i, image in enumerate(IDS)}
FIXED = 3
HUGE = 1 << 30


def features_of(image: int, count: int) -> np.ndarray:
    return np.random.default_rng(image).standard_normal((count, SIZE)).astype(np.float32)


def boxes_of(image: int, count: int) -> np.ndarray:
    """In pixels; the first is the whole image."""
    corners = np.sort(np.random.default_rng(image + 1).random((count, 2, 2)), axis=1)
    corners[0] = [[0, 0], [1, 1]]
    return (corners * SIDES[image]).reshape(count, 4).astype(np.float32)


def record(image: int, count: int | None = None) -> dict:
    count = count or COUNTS[image]
    width, height = SIDES[image]
    return {
        "image_id": image,
        "image_w": width,
        "image_h": height,
        "num_boxes": count,
        "boxes": boxes_of(image, count),
        "features": features_of(image, count),
    }


def encoded(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array)).decode()


def tsv(path: Path, images=IDS, **changes) -> list[Path]:
    """tools/generate_tsv.py of peteanderson80/bottom-up-attention; `changes` are of the last image."""
    with path.open("w", newline="") as file:
        names = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
        writer = csv.DictWriter(file, delimiter="\t", fieldnames=names)
        for image in images:
            row = record(image) | (changes if image == images[-1] else {})
            writer.writerow(row | {name: encoded(row[name]) for name in names[-2:] if not isinstance(row[name], str)})
    return [path]


def tsv_parts(folder: Path) -> list[Path]:
    return [*tsv(folder / "train_genome.tsv.0", IDS[:4]), *tsv(folder / "train_genome.tsv.1", IDS[4:])]


def lxmert(folder: Path) -> list[Path]:
    with (folder / "train2014_obj36.tsv").open("w", newline="") as file:
        names = ["img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes"]
        writer = csv.DictWriter(file, delimiter="\t", fieldnames=[*names, "boxes", "features"])
        for image in IDS:
            count, (width, height) = COUNTS[image], SIDES[image]
            whole, part = encoded(np.zeros(count, np.int64)), encoded(np.zeros(count, np.float32))
            values = [f"COCO_train2014_{image:012}", height, width, whole, part, whole, part, count]
            arrays = {"boxes": encoded(boxes_of(image, count)), "features": encoded(features_of(image, count))}
            writer.writerow(dict(zip(names, values, strict=True)) | arrays)
    return [folder / "train2014_obj36.tsv"]


def spatial(image: int, count: int) -> np.ndarray:
    boxes = boxes_of(image, count) / np.array(SIDES[image] * 2, np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2], boxes[:, :2] + sides, sides], 1).astype(np.float32)


def hdf5_fixed(folder: Path, *, as_json: bool = False) -> list[Path]:
    """tools/detection_features_converter.py of hengyuan-hu/bottom-up-attention-vqa."""
    with h5py.File(folder / "train36.hdf5", "w") as file:
        rows = len(IDS) + 2  # the last are never filled
        features = file.create_dataset("image_features", (rows, FIXED, SIZE), "f")
        boxes = file.create_dataset("image_bb", (rows, FIXED, 4), "f")
        places = file.create_dataset("spatial_features", (rows, FIXED, 6), "f")
        for row, image in enumerate(IDS):
            features[row], boxes[row] = features_of(image, FIXED), boxes_of(image, FIXED)
            places[row] = spatial(image, FIXED)
    rows_of = dict(sorted({image: row for row, image in enumerate(IDS)}.items()))
    if as_json:
        (folder / "train36_imgid2idx.json").write_text(json.dumps(rows_of))
    else:
        (folder / "train36_imgid2idx.pkl").write_bytes(pickle.dumps(rows_of, 0))  # Python 2's default
    return [folder / "train36.hdf5"]


def hdf5_adaptive(folder: Path) -> list[Path]:
    """tools/adaptive_detection_features_converter.py of jnhwkim/ban-vqa."""
    ends = np.cumsum([COUNTS[image] for image in IDS])
    with h5py.File(folder / "val.hdf5", "w") as file:
        file["image_features"] = np.concatenate([features_of(image, COUNTS[image]) for image in IDS])
        file["image_bb"] = np.concatenate([boxes_of(image, COUNTS[image]) for image in IDS])
        file["spatial_features"] = np.concatenate([spatial(image, COUNTS[image]) for image in IDS])
        file["pos_boxes"] = np.stack([[0, *ends[:-1]], ends], 1).astype(np.int32)
    (folder / "ids.pkl").write_bytes(pickle.dumps({image: row for row, image in enumerate(IDS)}))
    return [folder / "val.hdf5", folder / "ids.pkl"]


def hdf5_groups(folder: Path) -> list[Path]:
    with h5py.File(folder / "coco.h5", "w") as file:
        for image in IDS:
            group = file.create_group(str(image))
            group["bboxes"], group["features"] = record(image)["boxes"], record(image)["features"]
            group["image_size"] = np.array(SIDES[image], np.int32)
    return [folder / "coco.h5"]


def hdf5_flat(folder: Path) -> list[Path]:
    """others/extract_region_feature.py of luo3300612/image-captioning-DLCT."""
    with h5py.File(folder / "region.hdf5", "w") as file:
        for image in IDS:
            file[f"{image}_features"], file[f"{image}_boxes"] = record(image)["features"], record(image)["boxes"]
            file[f"{image}_size"] = np.array([SIDES[image][::-1]])
    return [folder / "region.hdf5"]


def npz_openvqa(folder: Path) -> list[Path]:
    for image in IDS:
        held = record(image)
        arrays = {"x": held["features"].T, "bbox": held["boxes"], "num_bbox": held["num_boxes"]}
        sides = {name: held[name] for name in ("image_w", "image_h")}
        np.savez(folder / f"COCO_val2014_{image:012}.npz", **arrays, **sides)
    return [folder]


def npz_detectron(folder: Path) -> list[Path]:
    """utils/extract_utils.py of MILVLG/bottom-up-attention.pytorch, with its dict as an array of objects."""
    for image in IDS:
        held = record(image)
        info = {"image_id": f"{image:012}", "objects_id": np.zeros(3, np.int64)}
        sides = {name: held[name] for name in ("image_w", "image_h")}
        arrays = {"x": held["features"], "bbox": held["boxes"], "num_bbox": held["num_boxes"]}
        np.savez_compressed(folder / f"{image:012}", **arrays, **sides, info=np.array(info, object))
    return [folder]


def npz_uniter(folder: Path) -> list[Path]:
    for image in IDS:
        arrays = {"norm_bb": spatial(image, COUNTS[image]), "features": record(image)["features"]}
        np.savez(folder / f"{image}.npz", **arrays, conf=np.zeros(COUNTS[image]))
    return [folder]


def npy_info(folder: Path) -> list[Path]:
    """facebookresearch/mmf: features, and a dict beside them."""
    for image in IDS:
        held = record(image)
        np.save(folder / f"{image}.npy", held["features"])
        info = {"bbox": held["boxes"], "num_boxes": 1, "image_width": held["image_w"], "image_height": held["image_h"]}
        np.save(folder / f"{image}_info.npy", np.array(info, object))
    return [folder]


def npy_dict(folder: Path) -> list[Path]:
    """script/extract_features.py of facebookresearch/vilbert-multi-task."""
    for image in IDS:
        held = record(image)
        held |= {"bbox": held.pop("boxes"), "image_width": held.pop("image_w"), "image_height": held.pop("image_h")}
        np.save(folder / f"COCO_train2014_{image:012}.npy", np.array(held, object))
    return [folder]


def write_lmdb(path: Path, values: dict[bytes, bytes]) -> list[Path]:
    with lmdb.open(str(path), map_size=HUGE) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    return [path]


def lmdb_base64(folder: Path) -> list[Path]:
    """jiasenlu/vilbert_beta: the fields of the TSV as they are, sides and counts as text."""
    values = {}
    for image in IDS:
        held = record(image)
        texts = {name: encoded(held[name]).encode() for name in ("boxes", "features")}
        values[str(image).encode()] = pickle.dumps({**held, **texts, "image_w": str(held["image_w"])}, 2)
    keys = [str(image).encode() for image in IDS]
    return write_lmdb(folder / "resnet101.lmdb", {**values, b"keys": pickle.dumps(keys)})


def lmdb_arrays(folder: Path) -> list[Path]:
    """tools/scripts/features/lmdb_conversion.py of facebookresearch/mmf, without its list of keys."""
    values = {}
    for image in IDS:
        held = record(image)
        held |= {"bbox": held.pop("boxes"), "image_width": held.pop("image_w"), "image_height": held.pop("image_h")}
        values[f"train2014/COCO_train2014_{image:012}".encode()] = pickle.dumps(held)
    [path] = write_lmdb(folder / "detectron", values)
    return [path / "data.mdb"]


LAYOUTS = {
    "tsv": lambda folder: tsv(folder / "test2015_genome.tsv"),
    "tsv in parts": tsv_parts,
    "tsv of lxmert": lxmert,
    "hdf5, fixed": hdf5_fixed,
    "hdf5, fixed, json": lambda folder: hdf5_fixed(folder, as_json=True),
    "hdf5, adaptive": hdf5_adaptive,
    "hdf5, groups": hdf5_groups,
    "hdf5, flat": hdf5_flat,
    "npz of openvqa": npz_openvqa,
    "npz of detectron": npz_detectron,
    "npz of uniter": npz_uniter,
    "npy with info": npy_info,
    "npy of a dict": npy_dict,
    "lmdb of base64": lmdb_base64,
    "lmdb of arrays": lmdb_arrays,
}
KINDS = {"tsv": 3, "hdf5": 5, "npz": 3, "npy": 2, "lmdb": 2}


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def test_every_format_is_here():
    assert {kind: sum(name.split()[0].strip(",") == kind for name in LAYOUTS) for kind in KINDS} == KINDS


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_back(source, tmp_path, monkeypatch, layout, dtype):
    monkeypatch.setattr(import_sources, "REMAP", 1000)
    paths = LAYOUTS[layout](source)
    kind = layout.split()[0].strip(",")
    assert guess_format(paths) == kind
    reports = []
    store = import_features(paths, tmp_path / "store", dtype=dtype, progress=lambda *at: reports.append(at))
    assert sorted(store.ids) == sorted(map(str, IDS))
    assert reports == [(0, len(IDS)), (len(IDS), len(IDS))]
    assert (store.spec.backbone, store.spec.regions, store.spec.dtype) == ("imported", "boxes", dtype)
    assert (store.spec.width, store.region_size, store.grid) == (SIZE, SIZE, None)
    assert store.spec.weights == f"{kind}: {paths[0].name}"
    regions = store.read([str(image) for image in IDS], dtype=None)
    for i, image in enumerate(IDS):
        count = FIXED if "fixed" in layout else COUNTS[image]
        assert regions.mask[i].sum() == count
        expected = features_of(image, count).astype(dtype)
        assert np.array_equal(regions.features[i, :count].numpy(), expected)
        boxes = regions.boxes[i, :count].numpy()
        assert np.allclose(boxes, boxes_of(image, count) / np.array(SIDES[image] * 2), atol=1e-6)
        assert boxes[0].tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)
        assert boxes.min() >= 0
        assert boxes.max() <= 1
    store.verify()


@pytest.mark.parametrize("layout", ["tsv", "tsv in parts", "hdf5, fixed", "hdf5, adaptive", "lmdb of base64"])
def test_the_order_is_the_sources(source, tmp_path, layout):
    assert list(import_features(LAYOUTS[layout](source), tmp_path / "s").ids) == [str(image) for image in IDS]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_images_asked_for_in_the_sources_order(source, tmp_path, layout):
    paths = LAYOUTS[layout](source)
    everything = import_features(paths, tmp_path / "all")
    wanted = [str(IDS[i]) for i in (7, 2, 2, 5)]
    some = import_features(paths, tmp_path / "some", images=wanted)
    assert list(some.ids) == [image for image in everything.ids if image in wanted]
    assert np.array_equal(some.read(wanted).features, everything.read(wanted).features)


@pytest.mark.parametrize(
    "layout", ["tsv in parts", "hdf5, adaptive", "npz of openvqa", "npy of a dict", "lmdb of base64"]
)
def test_an_import_that_was_stopped_goes_on(source, tmp_path, monkeypatch, layout):
    monkeypatch.setattr(importers, "REPORTED", 1)
    paths, out = LAYOUTS[layout](source), tmp_path / "stopped"
    import_features(paths, tmp_path / "whole", shard_images=3)

    def stop(done: int, _total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_features(paths, out, shard_images=3, progress=stop)
    seen = []
    import_features(paths, out, shard_images=3, progress=lambda done, _total: seen.append(done))
    assert seen[0] == 6  # two whole shards
    assert_same_files(out, tmp_path / "whole")


def test_an_import_that_was_killed_goes_on(source, tmp_path):
    paths, out = tsv_parts(source), tmp_path / "killed"
    import_features(paths, tmp_path / "whole", shard_images=3)
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from saccade.features import importers\n"
        "importers.REPORTED = 1\n"
        "def kill(done, total):\n"
        "    if done == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "paths = [Path(each) for each in sys.argv[2:]]\n"
        "importers.import_features(paths, Path(sys.argv[1]), shard_images=3, progress=kill)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, out, *paths], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(out.glob("images-*.json"))) == 2
    with pytest.raises(StoreError, match="is unfinished"):
        FeatureStore.open(out)
    import_features(paths, out, shard_images=3)
    assert_same_files(out, tmp_path / "whole")


def assert_same_files(one: Path, other: Path) -> None:
    assert {file.name: file.read_bytes() for file in one.iterdir()} == {
        file.name: file.read_bytes() for file in other.iterdir()
    }
