"""Stores that are added to: nothing is extracted twice, nothing is lost, and images that were replaced are noticed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.errors import StoreError
from saccade.features import files as files_module
from saccade.features.extract import extract
from saccade.features.files import FILES
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.writer import FeatureWriter
from saccade.images import open_image

pytestmark = pytest.mark.filterwarnings("ignore:the weights of")

IDS = [f"{i}.jpg" for i in range(11)]


class Folder:
    """A folder of pictures that can be changed, and which of them were opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[str] = []
        self.stop_at = ""

    def open(self, image: str) -> Image.Image:
        if image == self.stop_at:
            raise KeyboardInterrupt
        self.opened.append(image)
        return open_image(self.path / image)

    def extract(self, out: Path, spec: FeatureSpec, ids=IDS, **options) -> FeatureStore:
        """The store, and `opened` anew."""
        self.opened = []
        options = {"batch_size": 2, "shard_images": 4, "image_file": lambda image: self.path / image} | options
        return extract(ids, self.open, out, spec, **options)

    def replace(self, image: str, other: str) -> None:
        (self.path / image).write_bytes((self.path / other).read_bytes())


@pytest.fixture
def folder(pictures, tmp_path) -> Folder:
    return Folder(Path(shutil.copytree(pictures, tmp_path / "pictures")))


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The names of the images' files that are read for their hash."""
    names: list[str] = []
    hash_file: Callable[[Path], str] = files_module.hash_file

    def noting(path: Path) -> str:
        names.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(files_module, "hash_file", noting)
    return names


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def features(store: FeatureStore, image: str) -> torch.Tensor:
    return store.read([image]).features[0]


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_new_images_are_added_and_nothing_is_extracted_twice(folder, out, spec, resize) -> None:
    spec = dataclasses.replace(spec, resize=resize)
    folder.extract(out, spec, IDS[:9])
    before = contents(out)
    grown = folder.extract(out, spec)
    assert sorted(folder.opened) == sorted(IDS[9:])  # in threads
    now = contents(out)
    assert {name for name in before if before[name] != now[name]} == {"manifest.json", FILES}
    assert not (out / "plan.json").exists()
    grown.verify()
    assert grown.ids == IDS
    whole = folder.extract(out.with_name("whole"), spec)
    for image in IDS:  # batches differ: one float16 step
        torch.testing.assert_close(features(grown, image), features(whole, image), rtol=2e-3, atol=1e-4)
    manifest = json.loads((out / "manifest.json").read_text())
    other = json.loads((out.with_name("whole") / "manifest.json").read_text())
    assert {**manifest, "shards": None} == {**other, "shards": None}


def test_images_that_are_gone_stay_and_fewer_are_served(folder, out, spec) -> None:
    folder.extract(out, spec)
    before = contents(out)
    (folder.path / "0.jpg").unlink()
    assert folder.extract(out, spec, IDS[1:]).ids == IDS
    assert folder.extract(out, spec, IDS[:0:-1]).ids == IDS
    assert folder.opened == []
    assert contents(out) == before


def test_the_same_command_gives_the_same_bytes_wherever_the_images_were_copied(folder, tmp_path, spec) -> None:
    copy = Folder(Path(shutil.copytree(folder.path, tmp_path / "copy", copy_function=shutil.copyfile)))
    for image in IDS:
        os.utime(copy.path / image, (1, 1))
    found = []
    for each, name in ((folder, "a"), (copy, "b")):
        each.extract(tmp_path / name, spec, IDS[:5])
        each.extract(tmp_path / name, spec)
        found.append({file: data for file, data in contents(tmp_path / name).items() if file != FILES})
    assert found[0] == found[1]


@pytest.mark.parametrize("stop_at", [5, 8, 10])
def test_an_interrupted_addition_goes_on_and_the_store_is_there_all_the_while(folder, out, spec, stop_at) -> None:
    folder.extract(out, spec, IDS[:2])
    before = contents(out)
    folder.stop_at = IDS[stop_at]
    with pytest.raises(KeyboardInterrupt):
        folder.extract(out, spec)
    assert {name: contents(out)[name] for name in before} == before
    assert FeatureStore.open(out).ids == IDS[:2]
    folder.stop_at = ""
    seen: list[tuple[int, int]] = []
    grown = folder.extract(out, spec, progress=lambda done, total: seen.append((done, total)))
    whole = 2 + (stop_at - 2) // 4 * 4
    assert sorted(folder.opened) == sorted(IDS[whole:])
    assert (seen[0], seen[-1]) == ((whole - 2, 9), (9, 9))
    assert grown.ids == IDS
    undisturbed = folder.extract(out.with_name("other"), spec, IDS[:2])
    undisturbed = folder.extract(undisturbed.path, spec)
    assert contents(out) == contents(undisturbed.path)


@pytest.mark.parametrize("finished", [0, 2])
def test_shards_of_an_interrupted_extraction_serve_whatever_images_come_next(folder, out, spec, finished) -> None:
    if finished:
        folder.extract(out, spec, IDS[:finished])
    folder.stop_at = "8.jpg"
    with pytest.raises(KeyboardInterrupt):
        folder.extract(out, spec, IDS[:10])
    whole = finished + (8 - finished) // 4 * 4
    folder.stop_at = ""
    assert folder.extract(out, spec, ["10.jpg", "1.jpg", "5.jpg"]).ids == [*IDS[:whole], "10.jpg"]
    assert folder.opened == ["10.jpg"]
    FeatureStore.open(out).verify()


def test_a_plan_that_lists_its_images_as_it_once_did_is_gone_on_with(folder, out, spec) -> None:
    folder.stop_at = "8.jpg"
    with pytest.raises(KeyboardInterrupt):
        folder.extract(out, spec)
    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps(plan | {"images": {"count": 11, "sha256": "x"}}))
    folder.stop_at = ""
    assert folder.extract(out, spec).ids == IDS
    assert sorted(folder.opened) == sorted(IDS[8:])


KILLED = """
import sys, time, warnings
from pathlib import Path
import torch
from saccade.features.extract import extract
from saccade.features.spec import FeatureSpec
from saccade.images import open_image
torch.set_num_threads(1)
warnings.simplefilter("ignore")
pictures, out = map(Path, sys.argv[1:])
def slow(image):
    time.sleep(0.02)
    return open_image(pictures / image)
spec = FeatureSpec(backbone="test_resnet", weights="random", image_size=96, layer=2)
ids = [f"{i}.jpg" for i in range(11)]
for n in range(3, 12):
    print(n, flush=True)
    extract(ids[:n], slow, out, spec, batch_size=1, shard_images=1, image_file=lambda image: pictures / image)
"""


def test_a_growing_store_that_is_killed_at_any_moment_has_all_that_it_had(folder, out, spec) -> None:
    held: list[str] = []
    for kills, wait_for in enumerate((4, 6, 9)):
        arguments = [sys.executable, "-c", KILLED, str(folder.path), str(out)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= wait_for:
                    break
            time.sleep(0.017 * kills)
            os.kill(process.pid, signal.SIGKILL)
        store = FeatureStore.open(out)
        store.verify()
        assert store.ids[: len(held)] == held
        held = list(store.ids)
        assert len(held) >= wait_for - 1
    grown = folder.extract(out, spec, batch_size=1, shard_images=1)
    whole = folder.extract(out.with_name("whole"), spec, batch_size=1, shard_images=1)
    assert grown.ids == whole.ids == IDS
    assert torch.equal(grown.read(IDS).features, whole.read(IDS).features)


def test_features_made_otherwise_are_not_mixed_in(folder, out, spec) -> None:
    folder.extract(out, spec, IDS[:3])
    with pytest.raises(StoreError, match=r"image_size is 96 there and 64 here\. Delete it"):
        folder.extract(out, dataclasses.replace(spec, image_size=64))
    grid, rows = (12, 12), np.zeros((144, 48))
    for changes, message in (
        ({"weights_hash": "other"}, "weights_hash is '.*' there and 'other' here"),
        ({"size": 5}, "size is 48 there and 5 here"),
        ({"grid": None}, r"grid is \[12, 12\] there and None here"),
    ):
        made = {"weights_hash": FeatureStore.open(out).weights_hash, "size": 48, "grid": grid}
        with pytest.raises(StoreError, match=message):
            FeatureWriter(out, IDS, spec=spec, **made | changes)
    with FeatureWriter(out, IDS[:4], spec=spec, **made) as writer:
        assert (writer.pending, writer.done, writer.total) == ([IDS[3]], 0, 1)
        writer.add(IDS[3], rows)
        assert writer.finish().ids == IDS[:4]


def test_two_processes_do_not_add_to_one_store(folder, out, spec) -> None:
    folder.extract(out, spec, IDS[:3])
    begun, go_on = threading.Event(), threading.Event()

    def waiting(image: str) -> Image.Image:
        begun.set()
        go_on.wait(20)
        return open_image(folder.path / image)

    first = threading.Thread(target=lambda: extract(IDS, waiting, out, spec))
    first.start()
    assert begun.wait(20)
    assert folder.extract(out, spec, IDS[:3]).ids == IDS[:3]  # what is finished serves all the while
    with pytest.raises(StoreError, match="another process is writing to"):
        folder.extract(out, spec, IDS[:5])
    go_on.set()
    first.join()
    assert FeatureStore.open(out).ids == IDS


# Replaced images


def test_an_image_that_was_replaced_is_extracted_anew(folder, out, spec, hashed) -> None:
    before = folder.extract(out, spec)
    assert sorted(hashed) == sorted(IDS)
    hashed.clear()
    old = before.read(IDS).features
    folder.replace("7.jpg", "2.jpg")
    now = folder.extract(out, spec)
    assert (folder.opened, hashed) == (["7.jpg"], ["7.jpg"])
    assert now.ids == IDS
    assert len(now) == json.loads((out / "manifest.json").read_text())["count"] == 11
    torch.testing.assert_close(features(now, "7.jpg"), features(now, "2.jpg"), rtol=2e-3, atol=1e-4)
    others = [i for i in range(11) if i != 7]
    assert torch.equal(now.read([IDS[i] for i in others]).features, old[others])
    now.verify()
    hashed.clear()
    folder.extract(out, spec)
    assert (folder.opened, hashed) == ([], [])


def test_nothing_is_read_when_nothing_changed_and_a_new_time_alone_costs_one_reading(folder, out, spec, hashed) -> None:
    folder.extract(out, spec)
    before = contents(out)
    hashed.clear()
    os.utime(folder.path / "4.jpg", (1, 1))
    for expected in (["4.jpg"], []):
        folder.extract(out, spec)
        assert (folder.opened, hashed) == ([], expected)
        hashed.clear()
    now = contents(out)
    assert {name for name in now if now[name] != before[name]} == {FILES}


@pytest.mark.parametrize("text", [None, "", "[]", '{"0.jpg": 5, "1.jpg": "1 2"}'])
def test_what_is_known_of_files_may_be_lost(folder, out, spec, hashed, text) -> None:
    folder.extract(out, spec)
    (out / FILES).unlink()
    if text is not None:
        (out / FILES).write_text(text)
    hashed.clear()
    folder.extract(out, spec)
    assert folder.opened == []
    assert sorted(hashed) == sorted(IDS)
    assert set(json.loads((out / FILES).read_text())) == set(IDS)


def test_a_damaged_image_that_was_mended_is_extracted_and_a_good_one_may_be_damaged(folder, out, spec) -> None:
    whole = (folder.path / "3.jpg").read_bytes()
    (folder.path / "3.jpg").write_bytes(whole[:700])
    (folder.path / "9.jpg").unlink()
    assert list(folder.extract(out, spec).failed) == ["3.jpg", "9.jpg"]
    assert folder.extract(out, spec).failed
    assert folder.opened == []
    (folder.path / "3.jpg").write_bytes(whole)
    folder.replace("9.jpg", "3.jpg")
    mended = folder.extract(out, spec)
    assert (mended.failed, sorted(mended.ids)) == ({}, sorted(IDS))
    (folder.path / "3.jpg").write_bytes(whole[:700])
    damaged = folder.extract(out, spec)
    assert folder.opened == ["3.jpg"]
    assert list(damaged.failed) == ["3.jpg"]
    assert "3.jpg" not in damaged
    assert len(damaged) == 10
    with pytest.raises(StoreError, match=r"'3\.jpg' \(.*damaged"):
        damaged.read(["3.jpg"])


def test_a_store_whose_images_were_all_damaged_stays_a_store(folder, out, spec) -> None:
    folder.extract(out, spec, IDS[:1])
    (folder.path / "0.jpg").write_text("no picture")
    assert list(folder.extract(out, spec, IDS[:1]).failed) == IDS[:1]
    assert folder.extract(out, spec, IDS[:2]).ids == ["1.jpg"]


def test_an_image_that_is_replaced_while_it_is_extracted_is_extracted_anew_the_next_time(folder, out, spec) -> None:
    def replacing(image: str) -> Image.Image:
        if image == "5.jpg":
            folder.replace("5.jpg", "6.jpg")
        return open_image(folder.path / image)

    extract(IDS, replacing, out, spec, image_file=lambda image: folder.path / image)
    folder.extract(out, spec)
    assert folder.opened == ["5.jpg"]


def test_stores_without_hashes_are_taken_as_they_are_but_for_images_that_failed(folder, out, spec) -> None:
    (folder.path / "3.jpg").write_bytes(b"no picture")
    folder.extract(out, spec, image_file=None)
    assert "files" not in json.loads((out / "images-00000.json").read_text())
    folder.replace("7.jpg", "2.jpg")
    folder.replace("3.jpg", "2.jpg")
    assert folder.extract(out, spec).failed == {}
    assert folder.opened == ["3.jpg"]


def test_a_store_that_cannot_be_written_serves_all_the_same(folder, out, spec, monkeypatch) -> None:
    folder.extract(out, spec)
    os.utime(folder.path / "4.jpg", (1, 1))

    def refusing(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(files_module, "write_text", refusing)
    assert len(folder.extract(out, spec)) == 11


def test_two_corpora_that_share_a_store_get_each_their_own_images(folder, tmp_path, out, spec) -> None:
    """As with `--data.store`: names agree, pictures do not."""
    other = Folder(Path(shutil.copytree(folder.path, tmp_path / "other")))
    other.replace("1.jpg", "2.jpg")
    ours, theirs = folder.extract(out, spec).read(["1.jpg"]), other.extract(out, spec).read(["1.jpg"])
    assert other.opened == ["1.jpg"]
    assert not torch.equal(ours.features, theirs.features)
    again = folder.extract(out, spec).read(["1.jpg"])
    torch.testing.assert_close(again.features, ours.features, rtol=2e-3, atol=1e-4)
