from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import torch

from saccade.errors import StoreError
from saccade.features import store as store_module
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.writer import FeatureWriter

PLACED = FeatureSpec(positions=True)
IDS = [f"image {i}" for i in range(13)]
COUNTS = [10, 100, 37, 1, 53, 11, 29, 10, 61, 7, 17, 100, 23]


def features_of(count: int, i: int) -> np.ndarray:
    return np.random.default_rng(i).standard_normal((count, 5)).astype(np.float16)


def boxes_of(count: int, i: int) -> np.ndarray:
    return np.sort(np.random.default_rng(100 + i).random((count, 2, 2), dtype=np.float32), axis=1).reshape(count, 4)


def write(path, *, ragged: bool, **fields) -> FeatureStore:
    spec = FeatureSpec(**fields)
    grid = None if ragged else (2, 3)
    with FeatureWriter(path, IDS, spec=spec, weights_hash="abc", size=5, grid=grid, shard_images=4) as writer:
        for i, image in enumerate(IDS):
            if i == 6:
                writer.fail(image, "too dark")
            elif ragged:
                writer.add(image, features_of(COUNTS[i], i), boxes_of(COUNTS[i], i))
            else:
                writer.add(image, torch.from_numpy(features_of(6, i)))
        return writer.finish()


@pytest.fixture(params=[False, True], ids=["grid", "ragged"])
def ragged(request) -> bool:
    return request.param


@pytest.mark.parametrize("threaded", [0, 1 << 30])
def test_a_batch_is_its_images_one_by_one(tmp_path, monkeypatch, ragged, threaded):
    monkeypatch.setattr(store_module, "THREADED", threaded)
    store = write(tmp_path / "s", ragged=ragged)
    wanted = [12, 0, 1, 3, 0, 11]
    regions = store.read([IDS[i] for i in wanted], dtype=None)
    assert regions.features.dtype == torch.float16
    assert regions.features.shape == (6, 100 if ragged else 6, 5)
    for row, i in enumerate(wanted):
        n = COUNTS[i] if ragged else 6
        assert regions.mask[row].sum() == n
        assert regions.mask[row, :n].all()
        assert np.array_equal(regions.features[row, :n].numpy(), features_of(n, i))
        assert not regions.features[row, n:].any()
        if ragged:
            assert np.array_equal(regions.boxes[row, :n].numpy(), boxes_of(n, i))
    assert store.read(IDS[:1]).features.dtype == torch.float32


def test_grid_boxes_are_derived(tmp_path):
    store = write(tmp_path / "s", ragged=False)
    regions = store.read(IDS[:2])
    assert regions.grid == store.grid == (2, 3)
    assert regions.boxes[1, 4].tolist() == pytest.approx([1 / 3, 0.5, 2 / 3, 1])  # second row, middle column


def test_a_store_says_what_it_holds(tmp_path, ragged):
    store = write(tmp_path / "s", ragged=ragged)
    assert list(store.ids) == IDS[:6] + IDS[7:]
    assert (len(store), store.region_size, store.weights_hash) == (12, 5, "abc")
    assert store.failed == {IDS[6]: "too dark"}
    assert IDS[0] in store
    assert IDS[6] not in store
    assert store.spec == FeatureSpec()
    store.verify()


def test_positions_are_appended_when_read(tmp_path, ragged):
    write(tmp_path / "s", ragged=ragged)
    plain, placed = (FeatureStore.open(tmp_path / "s", reading=each) for each in (None, PLACED))
    a, b = plain.read(IDS[2:5]), placed.read(IDS[2:5])
    assert placed.region_size == b.features.shape[-1] == 21
    assert torch.equal(a.features, b.features[..., :5])
    assert torch.equal(b.features[..., 5:9][b.mask], b.boxes[b.mask].half().float())
    assert not b.features[~b.mask].any()


def test_a_store_travels_to_worker_processes(tmp_path, ragged):
    write(tmp_path / "s", ragged=ragged)
    store = FeatureStore.open(tmp_path / "s", reading=PLACED)
    data = pickle.dumps(store)
    assert len(data) < 700
    assert torch.equal(pickle.loads(data).read(IDS[:3]).features, store.read(IDS[:3]).features)


def test_missing_images_are_named_ten_at_most(tmp_path):
    store = write(tmp_path / "s", ragged=False)
    with pytest.raises(StoreError, match=r"no features of 'image 6' \(too dark\), 'x'"):
        store.read([IDS[0], IDS[6], "x"])
    with pytest.raises(StoreError, match="'9' and 4 more"):
        store.read([str(i) for i in range(14)])


def test_a_store_that_is_not_there_is_told_from_one_that_is_unfinished(tmp_path):
    with pytest.raises(StoreError, match="no such feature store"):
        FeatureStore.open(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is not a feature store"):
        FeatureStore.open(tmp_path)
    with FeatureWriter(tmp_path / "s", IDS, spec=FeatureSpec(), weights_hash="", size=5, grid=(2, 3)) as writer:
        writer.add(IDS[0], features_of(6, 0))
    with pytest.raises(StoreError, match="is unfinished: run the same extraction again"):
        FeatureStore.open(tmp_path / "s")
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["plan.json"]  # the open shard is given up


def other_numbers(file) -> None:
    np.save(file, np.load(file).view(np.int16))


def other_shape(file) -> None:
    np.save(file, np.load(file).reshape(-1, 1))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("regions-00001.npy", lambda file: file.unlink(), "missing"),
        ("regions-00001.npy", lambda file: file.write_bytes(file.read_bytes()[:-1]), "187 bytes instead of"),
        ("regions-00001.npy", lambda file: file.write_bytes(bytes(file.stat().st_size)), "was altered"),
        ("regions-00001.npy", other_numbers, "int16 (18, 5) instead of float16 (18, 5)"),
        ("regions-00001.npy", other_shape, "float16 (90, 1) instead of float16 (18, 5)"),
        ("images-00002.json", lambda file: file.write_text(file.read_text().replace("8", "9")), "missing or changed"),
        ("manifest.json", lambda file: file.write_text("{"), "is not valid JSON"),
        ("manifest.json", lambda file: file.write_text('{"format": "other"}'), "expected a manifest of the format"),
        ("manifest.json", lambda file: file.write_text('{"format": "saccade-features-1"}'), "was altered"),
    ],
)
def test_altered_files_are_named_at_opening(tmp_path, name, change, message):
    write(tmp_path / "s", ragged=False)
    message = message.replace("187", str((tmp_path / "s" / name).stat().st_size - 1))
    change(tmp_path / "s" / name)
    with pytest.raises(StoreError, match=re.escape(message)) as caught:
        FeatureStore.open(tmp_path / "s")
    assert name in str(caught.value)


def test_verify_finds_a_changed_byte(tmp_path, ragged):
    store = write(tmp_path / "s", ragged=ragged)
    file = tmp_path / "s" / ("boxes-00002.npy" if ragged else "regions-00002.npy")
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreError, match=f"{file.name} was altered"):
        store.verify()


def test_manifest_hashes_are_those_of_the_files(tmp_path, ragged):
    import hashlib

    write(tmp_path / "s", ragged=ragged)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["shape"] == [sum(COUNTS) - COUNTS[6] if ragged else 72, 5]
    assert manifest["count"] == 12
    for shard in manifest["shards"]:
        assert len(shard) == (3 if ragged else 2)
        for entry in shard.values():
            assert hashlib.sha256((tmp_path / "s" / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_the_writer_refuses_what_does_not_fit(tmp_path):
    with FeatureWriter(tmp_path / "s", IDS, spec=FeatureSpec(), weights_hash="", size=5, grid=(2, 3)) as writer:
        with pytest.raises(StoreError, match=r"expected features of shape \(6, 5\), got \(7, 5\)"):
            writer.add(IDS[0], np.zeros((7, 5)))
        with pytest.raises(StoreError, match="expected boxes unless the store has a grid"):
            writer.add(IDS[0], np.zeros((6, 5)), np.zeros((6, 4)))
    with pytest.raises(StoreError, match=r"size is 5 there and 7 here"):
        FeatureWriter(tmp_path / "s", IDS, spec=FeatureSpec(), weights_hash="", size=7, grid=(2, 3))


def test_a_shard_whose_images_all_failed_is_no_obstacle(tmp_path, ragged):
    grid = None if ragged else (2, 3)
    with FeatureWriter(
        tmp_path / "s", IDS[:3], spec=FeatureSpec(), weights_hash="", size=5, grid=grid, shard_images=1
    ) as writer:
        writer.fail(IDS[0], "lost")
        writer.add(IDS[1], features_of(6, 1), boxes_of(6, 1) if ragged else None)
        writer.fail(IDS[2], "lost")
        store = writer.finish()
    store.verify()
    assert np.array_equal(store.read([IDS[1]], dtype=None).features[0].numpy(), features_of(6, 1))
