from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest

from saccade.errors import DataError, RecipeError, StoreError
from saccade.features import import_sources, importers
from saccade.features.import_names import match_names, short_name
from saccade.features.importers import guess_format, import_features
from saccade.features.spec import FeatureSpec

SIZE = 7
IDS = [391895, 9, 25, 100000, 30, 34, 581929, 36, 42, 49, 5]
COUNTS = dict(zip(IDS, [3, 11, 2, 5, 13, 1, 17, 3, 2, 5, 19], strict=True))
WIDTH, HEIGHT = 640, 480


def features_of(image: int) -> np.ndarray:
    return np.random.default_rng(image).standard_normal((COUNTS[image], SIZE)).astype(np.float32)


def boxes_of(image: int) -> np.ndarray:
    corners = np.sort(np.random.default_rng(image + 1).random((COUNTS[image], 2, 2)), axis=1)
    return (corners * (WIDTH, HEIGHT)).reshape(-1, 4).astype(np.float32)


def line(image: int, **changes) -> bytes:
    """A line of a TSV file of peteanderson80/bottom-up-attention."""
    row = {"id": image, "width": WIDTH, "height": HEIGHT, "count": None, "boxes": None, "features": None} | changes
    row["boxes"] = boxes_of(image) if row["boxes"] is None else row["boxes"]
    row["features"] = features_of(image) if row["features"] is None else row["features"]
    row["count"] = len(row["boxes"]) if row["count"] is None else row["count"]
    texts = [base64.b64encode(v).decode() if isinstance(v, np.ndarray) else str(v) for v in row.values()]
    return "\t".join(texts).encode() + b"\r\n"


def tsv(path: Path, images=IDS, **changes) -> list[Path]:
    """A file with those lines; `changes` are of the last."""
    path.write_bytes(b"".join(line(image, **(changes if image == images[-1] else {})) for image in images))
    return [path]


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def test_a_store_that_is_there_is_opened_and_another_is_refused(source, tmp_path):
    paths = tsv(source / "a.tsv")
    first = import_features(paths, tmp_path / "s")
    before = (tmp_path / "s" / "manifest.json").stat().st_mtime_ns
    assert import_features(paths, tmp_path / "s").weights_hash == first.weights_hash
    assert import_features(paths, tmp_path / "s", images=["9"]).ids == first.ids
    assert (tmp_path / "s" / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(StoreError, match="holds features made otherwise: dtype is 'float16' there and 'float32' here"):
        import_features(paths, tmp_path / "s", dtype="float32")
    tsv(source / "a.tsv", width=700)
    with pytest.raises(StoreError, match="holds features made otherwise: weights_hash is"):
        import_features(paths, tmp_path / "s")


def test_more_images_of_the_same_files_are_added(source, tmp_path):
    paths = tsv(source / "a.tsv")
    whole = import_features(paths, tmp_path / "whole")
    assert import_features(paths, tmp_path / "s", images=["9"]).ids == ["9"]
    before = (tmp_path / "s" / "regions-00000.npy").stat().st_mtime_ns
    grown = import_features(paths, tmp_path / "s")
    assert sorted(grown.ids) == sorted(whole.ids)
    assert (tmp_path / "s" / "regions-00000.npy").stat().st_mtime_ns == before
    ours, theirs = grown.read(whole.ids), whole.read(whole.ids)
    assert np.array_equal(ours.features.numpy(), theirs.features.numpy())
    assert np.array_equal(ours.boxes.numpy(), theirs.boxes.numpy())


def test_the_hash_is_of_names_sizes_and_ends(source, monkeypatch):
    monkeypatch.setattr(importers, "END", 64)
    path, other = source / "a.npy", source / "b.npy"
    folder = import_sources.FolderSource(source, ".npy")
    assert folder.names == []

    def digest(data: bytes, path: Path = path) -> str:
        path.write_bytes(data)
        found = importers.hash_sources([import_sources.FolderSource(source, ".npy")])
        path.unlink()
        return found

    data = bytes(1000)
    assert digest(data) == digest(data) != digest(data, other)
    changed = [bytearray(data) for _ in range(3)]
    for i, array in zip((10, 500, 990), changed, strict=True):
        array[i] = 1
    assert digest(bytes(changed[0])) != digest(data) != digest(bytes(changed[2]))
    assert digest(bytes(changed[1])) == digest(data)
    assert digest(data + b"\0") != digest(data)


def test_short_names():
    assert short_name("COCO_val2014_000000391895") == "391895"
    assert short_name("val2014/COCO_val2014_000000000009") == "9"
    assert short_name("000000000009") == "9"
    assert short_name("0") == short_name("000") == "0"
    for name in ("train2014/COCO_train2014_000000000009.jpg", "val2017/000000000009.jpg", "000000000009.JPG"):
        assert short_name(name) == "9"
    for name in (
        "COCO_val2014_391895",
        "val2014_000000391895",
        "a/9",
        "n161313",
        "",
        "2.5",
        "-7",
        "²",
        "9.jpg",
        "a.jpg",
    ):
        assert short_name(name) == name


def test_names_may_be_kept_or_changed(source, tmp_path):
    np.savez(source / "COCO_val2014_000000000009.npz", features=features_of(9), norm_bb=boxes_of(9) / 640)
    names = import_features([source], tmp_path / "kept", rename=lambda name: name).ids
    assert f"COCO_val2014_{9:012}" in names
    store = import_features([source], tmp_path / "changed", rename=lambda name: name[-4:], images=["0009"])
    assert list(store.ids) == ["0009"]


@pytest.mark.parametrize("form", ["npz", "npy", "tsv", "hdf5", "lmdb"])
def test_names_with_the_ending_of_an_image_are_understood(source, tmp_path, form):
    """As openvqa's files are called: COCO_train2014_000000000009.jpg.npz."""
    names = {f"COCO_train2014_{image:012}.jpg": image for image in (9, 30)} | {
        "val2014/COCO_val2014_000000000025.jpg": 25
    }
    paths = [source]
    for name, image in names.items():
        file = source / f"{name}.{form}"
        file.parent.mkdir(exist_ok=True)
        if form == "npz":
            size = {"image_w": WIDTH, "image_h": HEIGHT, "num_bbox": COUNTS[image]}
            np.savez(file, x=features_of(image).T, bbox=boxes_of(image), **size)
        elif form == "npy":
            np.save(file, features_of(image))
            np.save(
                file.with_name(f"{file.stem}_info.npy"),
                {"bbox": boxes_of(image), "image_width": WIDTH, "image_height": HEIGHT},
            )
    if form == "tsv":
        (source / "a.tsv").write_bytes(b"".join(line(image, id=name) for name, image in names.items()))
        paths = [source / "a.tsv"]
    elif form == "hdf5":
        with h5py.File(source / "a.hdf5", "w") as file:
            for name, image in names.items():
                held = {"features": features_of(image), "bboxes": boxes_of(image), "image_size": [WIDTH, HEIGHT]}
                for key, value in held.items():
                    file[f"{name.rpartition('/')[2]}/{key}"] = value
        paths = [source / "a.hdf5"]
    elif form == "lmdb":
        with lmdb.open(str(source / "a.lmdb"), map_size=1 << 24) as base, base.begin(write=True) as transaction:
            for name, image in names.items():
                held = {"features": features_of(image), "bbox": boxes_of(image), "image_w": WIDTH, "image_h": HEIGHT}
                transaction.put(name.encode(), pickle.dumps(held))
        paths = [source / "a.lmdb"]
    store = import_features(paths, tmp_path / "store", dtype="float32", images=["25", "9", "30"])
    assert sorted(store.ids, key=int) == ["9", "25", "30"]
    for image in names.values():
        assert np.array_equal(store.read([str(image)]).features[0].numpy(), features_of(image))


@pytest.mark.parametrize(
    ("names", "images", "expected"),
    [
        (["a.jpg", "b.jpg"], ["b.jpg", "a.jpg"], ["a.jpg", "b.jpg"]),
        (["a", "b.PNG"], ["a.jpg", "b"], ["a.jpg", "b"]),
        (["images/a.jpg", "b"], ["a", "more/b.jpg"], ["a", "more/b.jpg"]),
        (["391895", "9"], ["COCO_val2014_000000391895.jpg", "000000000009.jpg"], None),
        (["val2014/COCO_val2014_000000391895.jpg"], ["391895"], ["391895"]),
        (["1000092795", "1000268201"], ["1000092795.jpg", "1000268201_693b08cb0e.jpg"], None),
        (["flickr/1000268201_693b08cb0e.jpg", "36979"], ["1000268201", "36979.jpg"], ["1000268201", "36979.jpg"]),
        (["9", "9.jpg"], ["9"], ["9"]),
        (["9"], ["9", "9.jpg"], ["9"]),
        (["a", "surplus"], ["a", "missing"], ["a"]),
        (["a.b", "v1.5"], ["a.jpg", "v1"], []),
    ],
)
def test_names_are_matched_to_the_images_of_a_data_set(names, images, expected):
    found = match_names([short_name(name) for name in names], images)
    assert sorted(found) == sorted(images if expected is None else expected)
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    ("names", "images", "how"),
    [
        (["a.jpg", "a.png"], ["a"], "without the ending of an image: 'a.jpg', 'a.png' in the sources, 'a' in"),
        (["a"], ["a.jpg", "a.png"], "without the ending of an image: 'a' in the sources, 'a.jpg', 'a.png' in"),
        (["train/a.jpg", "val/a.jpg"], ["a.jpg"], "without folders"),
        (["COCO_train2014_000000000009", "9"], ["000000000009.jpg"], "by COCO's number"),
        (["1000"], ["1000_ab.jpg", "1000_cd.jpg"], "by the number that a name of Flickr's begins with"),
    ],
)
def test_a_match_that_could_be_another_is_refused(names, images, how):
    with pytest.raises(DataError, match=f"cannot tell which is which, {how}"):
        match_names(names, images)


def test_a_store_has_the_ids_of_the_data_set_in_the_order_of_the_source(source, tmp_path):
    """Flickr30k's features are keyed by number, its images called by file names."""
    rows = b"".join(line(image, id=name) for image, name in ((30, "2000"), (9, "1000092795"), (25, "77")))
    (source / "a.tsv").write_bytes(rows)
    wanted = ["1000092795.jpg", "2000_693b08cb0e.jpg"]
    store = import_features([source / "a.tsv"], tmp_path / "store", dtype="float32", images=wanted)
    assert list(store.ids) == wanted[::-1]
    assert np.array_equal(store.read(wanted[:1]).features[0].numpy(), features_of(9))
    again = import_features([source / "a.tsv"], tmp_path / "store", dtype="float32", images=wanted)
    assert again.ids == store.ids


def test_linked_folders_are_read_once(source, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for image, folder in ((9, source), (25, elsewhere)):
        np.savez(folder / f"{image}.npz", features=features_of(image), norm_bb=boxes_of(image) / 640)
    (source / "more").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "back").symlink_to(source, target_is_directory=True)
    assert list(import_features([source], tmp_path / "s").ids) == ["9", "more/25"]
    only = tmp_path / "only"
    only.mkdir()
    (only / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert guess_format([only]) == "npz"


def fails(match: str, paths: list[Path], out: Path, **options) -> str:
    with pytest.raises(DataError, match=match) as caught:
        import_features(paths, out, **options)
    return str(caught.value)


def test_missing_images_are_named_ten_at_most(source, tmp_path):
    paths = tsv(source / "a.tsv")
    wanted = ["9", *(str(1000 + i) for i in range(12)), "25"]
    text = fails("12 of the 14 images asked for are missing: '1000', '1001', ", paths, tmp_path / "s", images=wanted)
    assert text.endswith("'1009' and 2 more; the 11 in the sources are called like '391895', '9', '25'")
    text = fails("1 of the 1 images", paths, tmp_path / "s", images=["008"])
    assert "missing: '008'; the 11 in" in text
    fails("expected images to import, got none", paths, tmp_path / "s", images=[])
    assert not (tmp_path / "s").exists()


def test_images_that_come_twice(source, tmp_path):
    paths = [*tsv(source / "a.tsv"), *tsv(source / "b.tsv", [25])]
    text = fails("is there already", paths, tmp_path / "s")
    assert text == f"{paths[1]}:1: image '25' is there already ({paths[0]}:3): leave one out"
    for name in ("COCO_train2014_000000000009", "9"):
        np.save(source / f"{name}.npy", features_of(9))
    fails(r"COCO_train\S+npy: image '9' is there already \(.*9.npy\)", [source], tmp_path / "s", format="npy")


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"count": "x"}, r"5: expected a number of boxes above 0, got b'x'"),
        ({"count": 0}, r"5: expected a number of boxes above 0, got b'0'"),
        ({"count": 12}, r"5: expected base64 of 192 bytes of boxes and 336 bytes of features, got 208 and 364"),
        (
            {"features": features_of(30)[:, :3].copy()},
            r"5: expected base64 of .* and 364 bytes .*, got 208 and 156: the line",
        ),
        (
            {"features": base64.b64encode(features_of(30))[:-4].decode()},
            "5: expected base64 .*: the line was cut short",
        ),
        (
            {"features": "*" + base64.b64encode(features_of(30))[1:].decode()},
            "5: image '30': the features are no whole",
        ),
        ({"width": "x"}, "5: image '30': could not convert"),
        ({"width": 0}, "5: image '30': expected a width and height above 0, got 0 x 480"),
        ({"width": 300}, r"5: image '30': expected boxes x1, .* as box \d+ of an image of 300 x 480, in pixels"),
        ({"boxes": boxes_of(30)[:, ::-1].copy()}, r"5: image '30': expected boxes x1, y1, x2, y2 within the image"),
        ({"features": np.full((13, SIZE), np.nan, np.float32)}, "5: image '30': expected finite"),
        ({"features": features_of(30) * 1e6}, r"5: image '30': got features beyond what float16 .*: ask for float32"),
    ],
)
def test_wrong_lines_are_named(source, tmp_path, changes, how):
    paths = tsv(source / "a.tsv", IDS[:5], **changes)
    fails(f"^{source / 'a.tsv'}:{how}", paths, tmp_path / "s")


@pytest.mark.parametrize("left", [10, 100, 450])
def test_a_file_that_was_cut_short_is_refused_before_anything_is_written(source, tmp_path, left):
    [path] = tsv(source / "a.tsv", IDS[:4])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - len(line(IDS[3])) + left] if left < len(line(IDS[3])) else whole[:-left])
    fails(f"{path}:[34]: expected", [path], tmp_path / "s")
    assert not (tmp_path / "s").exists()
    path.write_bytes(whole[:-2])  # only the line's end is missing
    assert len(import_features([path], tmp_path / "s")) == 4


def test_images_unlike_the_first_are_refused(source, tmp_path):
    np.savez(source / "1.npz", features=features_of(9), norm_bb=boxes_of(9) / 640)
    np.savez(source / "2.npz", features=features_of(25)[:, :5], norm_bb=boxes_of(25) / 640)
    fails(r"2\.npz: image '2': expected 7 numbers a region like '1', got 5", [source], tmp_path / "s")
    np.savez(source / "2.npz", features=np.zeros((2, 3, 7), np.float32))
    how = r"2\.npz: image '2': expected regions with boxes like '1', got a grid of 2 x 3"
    fails(how, [source], tmp_path / "t")
    np.savez(source / "1.npz", features=np.zeros((3, 3, 7), np.float32))
    fails("image '2': expected a grid of 3 x 3 like '1', got a grid of 2 x 3", [source], tmp_path / "u")


def test_files_that_are_not_of_their_format(source, tmp_path):
    for name, how in (("a.npz", "image 'a': File is not a zip file"), ("b.npy", r"image 'b': expected an \.npy file")):
        (source / name).write_bytes(b"nonsense")
        fails(f"{name}: {how}", [source], tmp_path / "s", format=name[-3:])
    for name in ("c.hdf5", "d.lmdb"):
        (source / name).write_bytes(b"nonsense" * 1000)
        fails(f"{name}: expected an .*, got what cannot be read as one", [source / name], tmp_path / "s")
    (source / "e.tsv").write_bytes(b"a\tb\n")
    fails(r"e\.tsv:1: expected 6 or 10 fields between tabs, got 2", [source / "e.tsv"], tmp_path / "s")
    (source / "f.tsv").write_bytes(b"\n")
    fails("expected images to import, got none", [source / "f.tsv"], tmp_path / "s")
    fails("nowhere.tsv: no such file or folder", [source / "nowhere.tsv"], tmp_path / "s")
    fails("expected a folder of .npz files, got a file", [source / "a.npz"], tmp_path / "s")


def test_the_format_must_be_told_where_names_do_not(source, tmp_path):
    assert guess_format([Path("x_genome.tsv.3")]) == "tsv"
    assert guess_format([Path("ids.pkl"), Path("x.h5")]) == "hdf5"
    assert guess_format([Path("data.mdb")]) == "lmdb"
    for paths in ([], [Path("ids.pkl")]):
        fails("expected at least one file or folder of features, got none", paths, tmp_path / "s")
    fails("features.bin: cannot tell its format by its name", [source / "features.bin"], tmp_path / "s")
    fails("source: expected data.mdb, .npz or .npy files in the folder, got none of them", [source], tmp_path / "s")
    for kind in ("npy", "npz"):
        (source / f"a.{kind}").touch()
    fails("got npz and npy: say a format", [source], tmp_path / "s")
    tsv(source / "features.bin")
    assert len(import_features([source / "features.bin"], tmp_path / "s", format="tsv")) == len(IDS)


def test_the_map_of_an_hdf5_file(source, tmp_path):
    path, ids = source / "train.hdf5", source / "train_imgid2idx.pkl"
    with h5py.File(path, "w") as file:
        file["image_features"], file["image_bb"] = features_of(9), boxes_of(9)
        file["pos_boxes"] = np.array([[0, 4], [4, 12]], np.int32)
    fails("train.hdf5: expected a map from image ids to rows beside it, train_imgid2idx.pkl", [path], tmp_path / "s")
    for value, how in (
        ([1], "got list"),
        ({9: 2}, "image '9' is in row 2, but train.hdf5 has 2"),
        ({9: "0"}, "row '0'"),
    ):
        ids.write_bytes(pickle.dumps(value))
        fails(f"train_imgid2idx.pkl: .*{how}", [path], tmp_path / "s")
    fails("a map for each of 1 HDF5 files in their order, got 2", [path, ids, ids], tmp_path / "s")
    ids.write_bytes(pickle.dumps({9: 1}))
    fails("image '9': expected its regions within 11 rows, pos_boxes has 4 to 12", [path], tmp_path / "s")
    ids.write_bytes(pickle.dumps({9: 0}))
    fails("image '9': the boxes are in pixels and the image's width", [path], tmp_path / "s")
    with h5py.File(source / "gqa.h5", "w") as file:
        file["features"], file["bboxes"] = features_of(9), boxes_of(9)
    fails("gqa.h5: expected image_features, or image ids, got bboxes, features", [source / "gqa.h5"], tmp_path / "s")
    ids.write_bytes(b"cposix\nsystem\n(S'touch x'\ntR.")
    fails("train_imgid2idx.pkl: expected a map .*the pickle asks for posix.system", [path], tmp_path / "s")


class Command:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_no_source_runs_what_a_pickle_asks_for(source, tmp_path):
    mark, named = tmp_path / "mark", r"image '9': the pickle asks for (posix|nt)\.system, which is refused"
    bad = np.array({"bbox": Command(mark)}, object)
    with lmdb.open(str(source / "a.lmdb"), map_size=1 << 24) as environment, environment.begin(write=True) as writing:
        writing.put(b"9", pickle.dumps({"features": Command(mark)}))
    fails(named, [source / "a.lmdb"], tmp_path / "s")
    for folder, arrays in (("info", {"9": features_of(9), "9_info": bad}), ("dict", {"9": bad})):
        (source / folder).mkdir()
        for name, array in arrays.items():
            np.save(source / folder / name, array)
        fails(named, [source / folder], tmp_path / "s")
    (source / "npz").mkdir()
    np.savez(source / "npz" / "9", x=features_of(9), bbox=np.array(Command(mark), object))
    fails(named, [source / "npz"], tmp_path / "s")
    assert not mark.exists()


def test_keys_of_an_lmdb_without_values(source, tmp_path):
    def write(**values) -> list[Path]:
        with (
            lmdb.open(str(source / "a.lmdb"), map_size=1 << 24) as environment,
            environment.begin(write=True) as writing,
        ):
            for key, value in values.items():
                writing.put(key.encode(), pickle.dumps(value))
        return [source / "a.lmdb"]

    fails("image '9': the list of keys has it, but there is no value under it", write(keys=["9"]), tmp_path / "s")
    fails("a.lmdb: expected a list of ids under the key 'keys'", write(keys={"9": 1}), tmp_path / "s")
    fails("image '9': expected a dict with features and boxes, got list", write(**{"keys": [b"9"], "9": [1]}), tmp_path)
    held = {"features": base64.b64encode(features_of(9)), "boxes": boxes_of(9)}
    fails("are base64 text and there is no num_boxes or num_bbox: add it", write(**{"9": held}), tmp_path / "s")


@pytest.mark.parametrize("name", ["h5py", "lmdb"])
def test_a_missing_package_is_named(source, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    path = source / {"h5py": "a.hdf5", "lmdb": "a.lmdb"}[name]
    path.touch()
    fails(rf'needs the package {name}: pip install "saccade-attention\[import\]"', [path], tmp_path / "s")


def test_a_width_below_one_is_refused():
    assert FeatureSpec(width=2048, regions="boxes").width == 2048
    with pytest.raises(RecipeError, match="width: expected a whole number above 0, or None, got 0"):
        FeatureSpec(width=0)


def test_importing_does_without_pytorch_which_alone_takes_half_a_gigabyte() -> None:
    code = "import sys, saccade.cli, saccade.features.importers; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_linked_folders_of_files_are_imported_and_circles_end(source, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder, image in ((source, "a"), (elsewhere, "b")):
        np.save(folder / f"{image}.npy", np.ones((3, SIZE), np.float32))
    (source / "linked").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(source)
    assert import_sources.FolderSource(source, ".npy").names == ["a", "linked/b"]
    (source / "a.npy").unlink()
    assert guess_format([source]) == "npy"
