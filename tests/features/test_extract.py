from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.errors import ImageError, RecipeError, StoreError
from saccade.features.boxes import grid_boxes, position_code, window
from saccade.features.extract import Extractor, extract
from saccade.features.making import unreadable
from saccade.features.pixels import preprocess
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.images import open_image

pytestmark = pytest.mark.filterwarnings("ignore:the weights of")

IDS = [f"{i}.jpg" for i in range(11)]
# One float16 step: networks round differently for batches of different sizes.
STEP = {"rtol": 2e-3, "atol": 1e-4}


def run(pictures: Path, out: Path, spec: FeatureSpec, ids=IDS, **options) -> FeatureStore:
    return extract(
        ids, lambda image: open_image(pictures / image), out, spec, **{"batch_size": 3, "shard_images": 5, **options}
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("positions", [False, True])
def test_a_served_image_is_the_stored_one(pictures, tmp_path, spec, resize, positions):
    spec = dataclasses.replace(spec, resize=resize, positions=positions)
    store = run(pictures, tmp_path / "store", spec)
    wanted = ["7.jpg", "0.jpg", "10.jpg"]
    stored = store.read(wanted)
    extractor = Extractor(spec)
    served = extractor([open_image(pictures / image) for image in wanted])
    assert extractor.region_size == store.region_size == stored.features.shape[-1] == 48 + 16 * positions
    assert extractor.weights_hash == store.weights_hash
    assert stored.grid == served.grid == ((12, 12) if resize == "squash" else None)
    assert torch.equal(stored.mask, served.mask)
    assert torch.equal(stored.boxes, served.boxes)
    assert stored.features.dtype == served.features.dtype == torch.float32
    torch.testing.assert_close(stored.features, served.features, **STEP)
    assert not stored.features[~stored.mask].any()
    assert torch.equal(served.features, served.features.half().float())


def test_serving_one_batch_again_gives_the_same_numbers(pictures, tmp_path, spec):
    store = run(pictures, tmp_path / "store", spec, batch_size=3)
    served = Extractor(spec)([open_image(pictures / image) for image in IDS[:3]])
    assert torch.equal(store.read(IDS[:3]).features, served.features)


def test_padding_makes_no_regions_and_boxes_lie_in_the_image(pictures, tmp_path, spec):
    store = run(pictures, tmp_path / "store", dataclasses.replace(spec, resize="pad"))
    regions = store.read(["0.jpg", "10.jpg"])  # 70 x 90 and 200 x 90
    assert regions.mask.sum(1).tolist() == [12 * 10, 6 * 12]
    for boxes, mask in zip(regions.boxes, regions.mask, strict=True):
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        assert area[mask].sum() == pytest.approx(1, abs=1e-5)
        assert boxes.min() >= 0
        assert boxes.max() <= 1


def test_a_cropped_grid_covers_the_middle():
    assert window((200, 100), "crop") == (0.25, 0.0, 0.75, 1.0)
    assert window((100, 200), "pad") == (-0.5, 0.0, 1.5, 1.0)
    boxes = grid_boxes((2, 5), window((200, 100), "crop"))
    assert boxes[0].tolist() == pytest.approx([0.25, 0, 0.35, 0.5])
    assert boxes[7].tolist() == pytest.approx([0.45, 0.5, 0.55, 1])  # second row, third column


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_mark_stands_where_its_box_says(resize):
    """A red dot in the picture is found in that cell of the preprocessed square whose box holds it."""
    picture = Image.new("RGB", (300, 200), "white")
    picture.paste("red", (200, 50, 212, 62))
    spec = FeatureSpec(image_size=120, resize=resize)
    square = preprocess(picture, spec, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    redness = (square[0] - square[1]).unfold(0, 10, 10).unfold(1, 10, 10).sum((2, 3)).flatten()
    x1, y1, x2, y2 = grid_boxes((12, 12), window(picture.size, resize))[redness.argmax()].tolist()
    assert x1 - 0.02 < 206 / 300 < x2 + 0.02
    assert y1 - 0.02 < 56 / 200 < y2 + 0.02


def test_colours_are_normalised():
    grey = Image.new("RGB", (40, 30), (51, 102, 204))
    square = preprocess(grey, FeatureSpec(image_size=7), (0.2, 0.2, 0.2), (0.5, 0.5, 0.25))
    assert square.shape == (3, 7, 7)
    torch.testing.assert_close(square[:, 3, 3], torch.tensor([0.0, 0.4, 2.4]))


def test_the_position_code_is_the_box_and_waves_of_its_centre():
    box = torch.tensor([[0.1, 0.2, 0.5, 0.4]])
    x, y = 0.3 * np.pi, 0.3 * np.pi
    angles = [x, y, 2 * x, 2 * y, 4 * x, 4 * y]
    expected = [0.1, 0.2, 0.5, 0.4, *np.sin(angles), *np.cos(angles)]
    torch.testing.assert_close(position_code(box)[0], torch.tensor(expected, dtype=torch.float32))


def test_unreadable_images_are_listed_and_do_not_stop_the_run(pictures, tmp_path, spec):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in IDS[:4]:
        (folder / name).write_bytes((pictures / name).read_bytes())
    (folder / "text.jpg").write_text("no picture at all")
    (folder / "cut.jpg").write_bytes((pictures / "1.jpg").read_bytes()[:700])
    (folder / "empty.png").write_bytes(b"")
    ids = ["text.jpg", "0.jpg", "cut.jpg", "1.jpg", "gone.jpg", "empty.png", "2.jpg", "3.jpg"]
    store = run(folder, tmp_path / "store", spec, ids, shard_images=2)
    assert store.ids == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert len(store) == 4
    assert "0.jpg" in store
    assert "cut.jpg" not in store
    assert list(store.failed) == ["text.jpg", "cut.jpg", "gone.jpg", "empty.png"]
    assert "not an image" in store.failed["text.jpg"]
    assert "damaged" in store.failed["cut.jpg"]
    clean = run(pictures, tmp_path / "clean", spec, IDS[:4])
    torch.testing.assert_close(store.read(["3.jpg", "0.jpg"]).features, clean.read(["3.jpg", "0.jpg"]).features, **STEP)
    with pytest.raises(StoreError, match=r"no features of 'cut.jpg' \(.*damaged.*\), 'new.jpg': extract them"):
        store.read(["0.jpg", "cut.jpg", "new.jpg"])
    assert run(folder, tmp_path / "store", spec, ids).failed == store.failed


def test_when_every_image_fails_nothing_is_left_and_the_reason_is_told(tmp_path, spec):
    out = tmp_path / "store"
    with pytest.raises(StoreError, match=r"none of the 2 images could be read; the first, 'a.jpg': .*no such image"):
        run(tmp_path, out, spec, ["a.jpg", "b.jpg"])
    assert list(out.iterdir()) == []


def test_only_image_errors_are_forgiven(tmp_path, spec):
    def broken(image: str) -> Image.Image:
        raise KeyError(image)

    with pytest.raises(KeyError):
        extract(IDS, broken, tmp_path / "store", spec)


def test_a_finished_store_is_returned_as_it_is(pictures, tmp_path, spec):
    run(pictures, tmp_path / "store", spec)
    before = contents(tmp_path / "store")

    def never(image: str) -> Image.Image:
        raise AssertionError(image)

    store = extract(IDS, never, tmp_path / "store", dataclasses.replace(spec, positions=True))
    assert contents(tmp_path / "store") == before
    assert store.region_size == 48 + 16
    assert sorted(before) == [
        *(f"images-0000{k}.json" for k in range(3)),
        "manifest.json",
        *(f"regions-0000{k}.npy" for k in range(3)),
    ]


def test_other_plans_are_refused_with_what_differs(pictures, tmp_path, spec):
    out = tmp_path / "store"
    run(pictures, out, spec)
    with pytest.raises(StoreError, match="image_size is 96 there and 64 here"):
        run(pictures, out, dataclasses.replace(spec, image_size=64))
    with pytest.raises(StoreError, match=r"resize is 'squash' there and 'pad' here\. Delete it"):
        run(pictures, out, dataclasses.replace(spec, resize="pad"), [*IDS, "another.jpg"])


def test_a_finished_store_serves_fewer_images_in_any_order(pictures, tmp_path, spec):
    out = tmp_path / "store"
    whole = run(pictures, out, spec)
    fewer = run(pictures, out, spec, IDS[:3][::-1])
    assert fewer.ids == whole.ids


def test_weights_that_changed_under_their_name_are_noticed(pictures, tmp_path, spec):
    import timm

    spec = dataclasses.replace(spec, weights=str(tmp_path / "weights.safetensors"))
    for seed, expectation in ((0, None), (1, "weights_hash is '.*' there and '.*' here")):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_resnet").state_dict(), spec.weights)
        if expectation is None:
            run(pictures, tmp_path / "store", spec)
        else:
            with pytest.raises(StoreError, match=expectation):
                run(pictures, tmp_path / "store", spec)


def test_bad_requests_are_refused(pictures, tmp_path, spec):
    with pytest.raises(StoreError, match=r"image '3\.jpg' is given more than once"):
        run(pictures, tmp_path / "store", spec, [*IDS, "3.jpg"])
    with pytest.raises(StoreError, match="expected images to extract features of, got none"):
        run(pictures, tmp_path / "store", spec, [])
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty and no feature store"):
        run(pictures, tmp_path, spec)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_features_that_overflow_half_precision_are_refused(pictures, spec):
    extractor = Extractor(dataclasses.replace(spec, std=(1e-7, 1e-7, 1e-7)))
    with pytest.raises(RecipeError, match=r"beyond what float16 can hold; set --features.dtype float32"):
        extractor([open_image(pictures / "0.jpg")])


def test_progress_counts_up_to_all(pictures, tmp_path, spec):
    seen = []
    run(pictures, tmp_path / "store", spec, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 11), (3, 11), (5, 11), (8, 11), (10, 11), (11, 11)]


@pytest.mark.parametrize("stop_after", [0, 4, 7, 9])
def test_an_interrupted_extraction_goes_on_to_the_same_bytes(pictures, tmp_path, spec, stop_after):
    spec = dataclasses.replace(spec, resize="pad")
    undisturbed = run(pictures, tmp_path / "whole", spec)
    opened = []

    def failing(image: str) -> Image.Image:
        if image == IDS[stop_after]:
            raise KeyboardInterrupt
        return open_image(pictures / image)

    with pytest.raises(KeyboardInterrupt):
        extract(IDS, failing, tmp_path / "cut", spec, batch_size=3, shard_images=5)
    with pytest.raises(StoreError, match="is unfinished: run the same extraction again"):
        FeatureStore.open(tmp_path / "cut")

    def noting(image: str) -> Image.Image:
        opened.append(image)
        return open_image(pictures / image)

    extract(IDS, noting, tmp_path / "cut", spec, batch_size=3, shard_images=5)
    assert sorted(opened) == sorted(IDS[stop_after // 5 * 5 :])
    assert contents(tmp_path / "cut") == contents(undisturbed.path)


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
    time.sleep(0.05)
    return open_image(pictures / image)
spec = FeatureSpec(backbone="test_resnet", weights="random", image_size=96, layer=2)
ids = [f"{i}.jpg" for i in range(11)] + ["text.jpg"]
extract(ids, slow, out, spec, batch_size=2, shard_images=2, progress=lambda done, total: print(done, flush=True))
"""


def test_an_extraction_killed_at_any_moment_goes_on_to_the_same_bytes(pictures, tmp_path, spec):
    ids = [*IDS, "text.jpg"]
    undisturbed = run(pictures, tmp_path / "whole", spec, ids, batch_size=2, shard_images=2)
    out = tmp_path / "killed"
    for kills, wait_for in enumerate((2, 6)):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(pictures), str(out)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= wait_for:
                    break
            time.sleep(0.03 * kills)
            os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    resumed = run(pictures, out, spec, ids, batch_size=2, shard_images=2)
    assert contents(out) == contents(undisturbed.path)
    assert "text.jpg" in resumed.failed
    resumed.verify()


def test_two_processes_do_not_write_to_one_folder(pictures, tmp_path, spec):
    begun, go_on = threading.Event(), threading.Event()

    def waiting(image: str) -> Image.Image:
        begun.set()
        go_on.wait(20)
        return open_image(pictures / image)

    first = threading.Thread(target=lambda: extract(IDS, waiting, tmp_path / "store", spec))
    first.start()
    assert begun.wait(20)
    with pytest.raises(StoreError, match=re.escape("another process is writing to")):
        run(pictures, tmp_path / "store", spec)
    go_on.set()
    first.join()
    FeatureStore.open(tmp_path / "store").verify()


@pytest.fixture
def opened(pictures):
    return lambda name: open_image(pictures / name)


@pytest.mark.parametrize("trained", [False, True])
def test_threads_share_an_extractor(pictures, spec, trained):
    extractor = Extractor(spec, trained=trained)
    alone = [extractor([open_image(pictures / name)]).features for name in IDS]
    lazy = [Image.open(pictures / name) for name in IDS]  # decoded at the first use, by whichever thread
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: extractor([lazy[i % 11]]).features, range(44)))
    assert all(torch.equal(features, alone[i % 11]) for i, features in enumerate(found))
    for image in lazy:
        image.close()


def test_images_are_read_by_their_ids_as_from_a_store(opened, spec):
    extractor = Extractor(spec)
    read, called = extractor.read(IDS, opened), extractor([opened(name) for name in IDS])
    assert torch.equal(read.features, called.features)
    assert torch.equal(read.boxes, called.boxes)


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_a_backbone_that_was_trained_along_is_not_rounded(opened, spec, resize):
    images = [opened(name) for name in ("0.jpg", "10.jpg")]
    spec = dataclasses.replace(spec, resize=resize, positions=True)
    frozen = Extractor(spec)
    trained = Extractor(spec, state=frozen.backbone.state_dict())
    exact = Extractor(dataclasses.replace(spec, dtype="float32"))(images)
    found = trained(images)
    assert torch.equal(found.features, exact.features)
    assert torch.equal(found.mask, exact.mask)
    assert not torch.equal(found.features, frozen(images).features)
    torch.testing.assert_close(found.features, frozen(images).features, **STEP)


def test_a_backbone_that_was_trained_along_runs_in_the_run_s_precision(opened, spec):
    images, state = [opened("0.jpg")], Extractor(spec).backbone.state_dict()
    half = partial(torch.autocast, "cpu", torch.bfloat16)
    plain = Extractor(spec, state=state, autocast=nullcontext)(images).features
    extractor = Extractor(spec, state=state, autocast=half)
    with half():
        expected = extractor.backbone(torch.stack([extractor.preprocess(image) for image in images]))
    assert expected.dtype == torch.bfloat16
    with ThreadPoolExecutor(1) as pool:  # where batches are read; the mode of the caller's thread is not known there
        found = pool.submit(extractor, images).result().features
    assert found.dtype == torch.float32
    assert torch.equal(found, expected.float())
    assert not torch.equal(found, plain)
    assert torch.equal(Extractor(spec, autocast=half)(images).features, Extractor(spec)(images).features)


def test_images_that_do_not_open_are_told_with_the_reason(pictures, tmp_path):
    (tmp_path / "good.jpg").write_bytes((pictures / "10.jpg").read_bytes())
    (tmp_path / "cut.jpg").write_bytes((pictures / "10.jpg").read_bytes()[:900])
    found = unreadable(["good.jpg", "cut.jpg", "gone.jpg", "cut.jpg"], lambda name: open_image(tmp_path / name))
    assert list(found) == ["cut.jpg", "gone.jpg"]
    assert "the image is damaged" in found["cut.jpg"]
    assert "no such image file" in found["gone.jpg"]
    assert unreadable([], open_image) == {}

    def broken(_name: str) -> Image.Image:
        raise KeyError("a mistake, no image")

    with pytest.raises(KeyError):
        unreadable(["good.jpg"], broken)


def test_an_image_that_does_not_open_is_an_image_error(opened, spec):
    with pytest.raises(ImageError, match="no such image file"):
        Extractor(spec).read(["0.jpg", "gone.jpg"], opened)


def test_no_number_of_64_bits_is_computed_with(opened, spec):
    """Apple's GPUs have none."""

    class Watching(TorchDispatchMode):
        """Notes the types of all that is computed."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: set[torch.dtype] = set()

        def __torch_dispatch__(self, function, _types, arguments=(), options=None):
            found = function(*arguments, **(options or {}))
            self.seen.update(each.dtype for each in torch.utils._pytree.tree_leaves(found) if torch.is_tensor(each))
            return found

    for resize in ("squash", "pad"):
        extractor = Extractor(dataclasses.replace(spec, resize=resize, positions=True))
        with Watching() as watching:
            extractor([opened(name) for name in IDS[:2]])
        assert torch.float32 in watching.seen
        assert torch.float64 not in watching.seen
