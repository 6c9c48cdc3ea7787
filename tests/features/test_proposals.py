"""Regions that are no cells of a grid: where they lie, what is averaged over them, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model
from torchvision.models.detection import FasterRCNN

from saccade.data import create_dataset
from saccade.errors import DataError, ImageError, RecipeError, StoreError, UnknownNameError
from saccade.features import detector as detecting
from saccade.features.boxes import grid_boxes, pool, seen_through, window
from saccade.features.extract import Extractor, extract
from saccade.features.making import unreadable
from saccade.features.proposals import FileBoxes, read_boxes, read_windows, write_boxes
from saccade.features.spec import WINDOWS, FeatureSpec
from saccade.features.store import MANIFEST, FeatureStore
from saccade.features.tuning import Tuning
from saccade.features.writer import FeatureWriter, differences
from saccade.images import open_image
from saccade.serial import to_dict

pytestmark = pytest.mark.filterwarnings("ignore:the weights of")

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"
NAMES = ["7.jpg", "0.jpg", "10.jpg"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def opened(pictures):
    return lambda name: open_image(pictures / name)


@pytest.fixture
def boxes_file(tmp_path) -> Path:
    """Boxes of the pictures: each has another number of them, the first three far from the middle."""
    generator = np.random.default_rng(3)
    path = tmp_path / "boxes.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i in range(11):
            corners = generator.random((2 + i, 2)) * 0.5
            boxes = np.concatenate((corners, corners + 0.1 + 0.39 * generator.random((2 + i, 2))), 1).round(4)
            file.write(json.dumps({"image": f"{i}.jpg", "boxes": boxes.tolist()}) + "\n\n")
    return path


@pytest.fixture
def kinds(spec, boxes_file) -> dict[str, FeatureSpec]:
    """A spec of every kind of region."""
    return {
        "windows": dataclasses.replace(spec, regions="windows", max_regions=7),
        "file": dataclasses.replace(spec, regions="file", regions_file=str(boxes_file)),
        "detector": dataclasses.replace(
            spec, regions="detector", detector=DETECTOR, detector_weights="random", detector_threshold=0, max_regions=5
        ),
    }


def mean_over(maps: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The map [channels, rows, columns] at 36 points of a box, each interpolated between four cells' centres."""
    rows, columns = maps.shape[1:]
    points = []
    for j in range(6):
        for i in range(6):
            x = (box[0] + (box[2] - box[0]) * (i + 0.5) / 6) * columns - 0.5
            y = (box[1] + (box[3] - box[1]) * (j + 0.5) / 6) * rows - 0.5
            x, y = min(max(x, 0), columns - 1), min(max(y, 0), rows - 1)
            left, top = int(x), int(y)
            right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
            across, down = x - left, y - top
            above = maps[:, top, left] * (1 - across) + maps[:, top, right] * across
            below = maps[:, bottom, left] * (1 - across) + maps[:, bottom, right] * across
            points.append(above * (1 - down) + below * down)
    return np.mean(points, 0)


def test_the_mean_over_a_box_is_that_of_points_counted_one_by_one():
    generator = np.random.default_rng(0)
    maps = generator.standard_normal((2, 3, 5, 7))
    corners = generator.random((11, 2)) * 0.8
    boxes = np.concatenate(([[0, 0, 1, 1]], np.concatenate((corners, corners + (1 - corners) * 0.6), 1)))
    found = pool(torch.tensor(maps), [torch.tensor(boxes[:4]), torch.tensor(boxes[4:])])
    assert [len(each) for each in found] == [4, 8]
    expected = [mean_over(maps[0], box) for box in boxes[:4]] + [mean_over(maps[1], box) for box in boxes[4:]]
    np.testing.assert_allclose(torch.cat(found).numpy(), np.stack(expected), rtol=1e-5, atol=1e-7)


def test_the_mean_over_a_cell_of_a_map_that_rises_evenly_is_the_cell():
    maps = torch.arange(5.0)[None, None, :, None] * 10 + torch.arange(7.0)
    inner = grid_boxes((5, 7)).reshape(5, 7, 4)[1:-1, 1:-1].flatten(0, 1)
    torch.testing.assert_close(pool(maps, [inner])[0][:, 0], maps[0, 0, 1:-1, 1:-1].flatten())


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("squash", [0.25, 0.25, 0.5, 0.75]),
        ("crop", [0.0, 0.25, 0.5, 0.75]),  # of an image twice as wide as high the middle half is kept
        ("pad", [0.25, 0.375, 0.5, 0.625]),  # a quarter of the square is above the image
    ],
)
def test_boxes_lie_where_the_backbone_sees_them(resize, expected):
    box = torch.tensor([[0.25, 0.25, 0.5, 0.75]])
    found = seen_through(box, window((200, 100), resize))
    torch.testing.assert_close(found, torch.tensor([expected]))


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_box_has_the_features_of_what_is_in_it(tmp_path, spec, resize):
    """One quarter of the image is white: of all boxes that within it alone is as of an image that is white."""
    image = Image.new("RGB", (192, 96))
    image.paste((255, 255, 255), (96, 0, 192, 96))
    file = tmp_path / "boxes.jsonl"
    inner = {"crop": [0.68, 0.2, 0.74, 0.8], "squash": [0.8, 0.4, 0.9, 0.6], "pad": [0.8, 0.4, 0.9, 0.6]}[resize]
    file.write_text(json.dumps({"image": "a", "boxes": [inner, [0.26, 0.2, 0.3, 0.8]]}))
    wanted = dataclasses.replace(
        spec, backbone="scenes-cnn", layer=-1, weights="pretrained", resize=resize, dtype="float32"
    )
    extractor = Extractor(dataclasses.replace(wanted, regions="file", regions_file=str(file)))
    white, black = extractor([image], names=["a"]).features[0]
    whole = Extractor(wanted)
    middle = {grey: whole([Image.new("RGB", (96, 96), (grey,) * 3)]).features[0, 6 * 12 + 6] for grey in (0, 255)}
    assert (white - middle[255]).norm() < 0.5 * (white - middle[0]).norm()
    assert (black - middle[0]).norm() < 0.5 * (black - middle[255]).norm()


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("kind", ["windows", "file", "detector"])
def test_a_served_image_is_the_stored_one(opened, tmp_path, kinds, kind, resize):
    spec = dataclasses.replace(kinds[kind], resize=resize, positions=True, standardize=True)
    store = extract([f"{i}.jpg" for i in range(11)], opened, tmp_path / "store", spec, batch_size=3, shard_images=5)
    stored, extractor = store.read(NAMES), Extractor(spec)
    served = extractor([opened(name) for name in NAMES], names=NAMES)
    assert stored.grid is served.grid is store.grid is None
    assert extractor.region_size == store.region_size == stored.features.shape[-1] == 48 + 16
    assert extractor.weights_hash == store.weights_hash
    assert torch.equal(stored.mask, served.mask)
    assert torch.equal(stored.boxes, served.boxes)
    torch.testing.assert_close(stored.features, served.features, rtol=2e-3, atol=2e-3)
    for boxes, image in zip(store.boxes(NAMES), range(3), strict=True):
        assert torch.equal(torch.from_numpy(boxes), stored.boxes[image][stored.mask[image]])
    read = extractor.read(NAMES, opened)
    assert torch.equal(read.features, served.features)


@pytest.mark.parametrize("kind", ["windows", "file", "detector"])
def test_an_image_s_regions_do_not_depend_on_what_is_in_its_batch(opened, kinds, kind):
    extractor = Extractor(dataclasses.replace(kinds[kind], dtype="float32"))
    together = extractor([opened(name) for name in NAMES], names=NAMES)
    for row, name in enumerate(NAMES):
        alone, kept = extractor([opened(name)], names=[name]), together.mask[row]
        assert torch.equal(alone.boxes[0], together.boxes[row][kept])
        torch.testing.assert_close(alone.features[0], together.features[row][kept], rtol=1e-4, atol=1e-5)
        assert not together.features[row][~kept].any()


def test_images_without_area_in_the_crop_lose_boxes_and_one_that_loses_all_is_said(tmp_path, spec):
    file = tmp_path / "boxes.jsonl"
    left, right = [0.0, 0.1, 0.2, 0.9], [0.7, 0.1, 0.9, 0.9]
    file.write_text(
        json.dumps({"image": "a", "boxes": [left, right]}) + "\n" + json.dumps({"image": "b", "boxes": [left]})
    )
    cropping = dataclasses.replace(spec, regions="file", regions_file=str(file), resize="crop")
    extractor, image = Extractor(cropping), Image.new("RGB", (200, 100))
    torch.testing.assert_close(extractor([image], names=["a"]).boxes, torch.tensor([[right]]))
    with pytest.raises(ImageError, match=r"b: an image left without a proposal: its 1 boxes lie outside .* squash"):
        extractor([image], names=["b"])


def test_boxes_of_a_grid_are_its_cells(opened, tmp_path, spec):
    store = extract(NAMES, opened, tmp_path / "store", spec)
    first, _ = store.boxes(["0.jpg", "7.jpg"])
    assert np.array_equal(first, grid_boxes((12, 12)).numpy())
    with pytest.raises(StoreError, match=r"has no features of 'gone.jpg'"):
        store.boxes(["gone.jpg"])


@pytest.mark.parametrize("name", ["photographs", "scenes"])
def test_windows_are_many_different_boxes_that_begin_with_the_whole_image(name):
    windows = read_windows(name)
    assert windows.shape == (WINDOWS, 4)
    assert windows[0].tolist() == [0, 0, 1, 1]
    assert len(np.unique(windows, axis=0)) == WINDOWS
    assert windows.min() == 0
    assert windows.max() == 1
    assert (windows[:, 2:] - windows[:, :2]).min() > 0.01


@pytest.mark.data
def test_windows_cover_the_phrases_of_the_validation_split(monkeypatch):
    if not os.environ.get("SACCADE_DATA"):
        pytest.skip("SACCADE_DATA is not set")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import choose_windows

    entities = create_dataset("flickr30k-entities", Path(os.environ["SACCADE_DATA"]) / "flickr30k_entities")
    known = choose_windows.phrases(entities, "test")  # the official validation split, for there is no other test
    assert known.total() == 2_961
    windows = read_windows().tolist()
    # Measured another way than they were chosen.
    from torchvision.ops import box_iou

    for count, least in ((200, 0.80), (400, 0.85)):
        share = choose_windows.share_covered(windows[:count], known)
        hit = sum(
            times
            for boxes, times in known.items()
            if box_iou(torch.tensor(windows[:count]), torch.tensor(boxes)).max() >= 0.5
        )
        assert hit / 2_961 == pytest.approx(share, abs=1e-3)
        assert share >= least
    sys.modules.pop("choose_windows")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "it is no JSON"),
        (b"\xff\xfe{", "it is no JSON"),
        ('["a.jpg"]', "expected an image and its boxes"),
        ('{"image": "a.jpg"}', "expected an image and its boxes"),
        ('{"image": 3, "boxes": []}', "expected an image and its boxes"),
        ('{"image": "a.jpg", "boxes": {}}', 'expected "boxes" to be a list'),
        ('{"image": "a.jpg", "boxes": [[0, 0, 1]]}', "expected a box"),
        ('{"image": "a.jpg", "boxes": [[0, 0, 1, "1"]]}', "expected a box"),
        ('{"image": "a.jpg", "boxes": [[0.5, 0, 0.5, 1]]}', "x1 < x2 and y1 < y2, got .0.5, 0, 0.5, 1."),
        ('{"image": "a.jpg", "boxes": [[0, 0, 300, 200]]}', "in fractions of width and height"),
        ('{"image": "a.jpg", "boxes": [[0, 0, NaN, 1]]}', "expected a box"),
        ('{"image": "b.jpg", "boxes": []}', '"b.jpg" again'),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, expected):
    path = tmp_path / "boxes.jsonl"
    good = b'\xef\xbb\xbf{"image": "b.jpg", "boxes": [[0, 0, 1, 1]]}\r\n\r\n'
    path.write_bytes(good + (line if isinstance(line, bytes) else line.encode()))
    with pytest.raises(DataError, match=rf"boxes.jsonl:3: .*{expected}"):
        read_boxes(path)
    path.write_bytes(good)
    assert {image: boxes.tolist() for image, boxes in read_boxes(path).items()} == {"b.jpg": [[0, 0, 1, 1]]}


def test_a_file_that_is_not_there_is_named(tmp_path, spec):
    with pytest.raises(DataError, match=r"gone.jsonl: cannot be read .*; expected lines like"):
        Extractor(dataclasses.replace(spec, regions="file", regions_file=str(tmp_path / "gone.jsonl")))


def test_an_image_is_found_by_its_id_or_the_end_of_its_path(tmp_path):
    path = tmp_path / "boxes.jsonl"
    whole, half = [0, 0, 1, 1], [0, 0, 0.5, 1]
    path.write_text("\n".join(json.dumps({"image": i, "boxes": [b]}) for i, b in (("a.jpg", whole), ("x/a.jpg", half))))
    boxes, image = FileBoxes(path, 9), Image.new("RGB", (5, 5))
    assert boxes(image, "a.jpg").tolist() == boxes(image, "/photos/y/a.jpg").tolist() == [whole]
    assert boxes(image, "x/a.jpg").tolist() == boxes(image, "C:\\photos\\x\\a.jpg").tolist() == [half]
    with pytest.raises(ImageError, match=r"aa.jpg: an image left without a proposal: .*boxes.jsonl has no line"):
        boxes(image, "aa.jpg")
    with pytest.raises(ImageError, match="an image without a name"):
        boxes(image, "")


def test_images_without_boxes_are_failed_ones_and_what_changes_in_the_file_is_extracted_anew(
    pictures, opened, tmp_path, spec
):
    path = tmp_path / "boxes.jsonl"
    boxes = {"0.jpg": [[0, 0, 1, 1]], "7.jpg": [[0, 0, 0.5, 0.5], [0.25, 0, 1, 1], [0, 0, 1, 0.1]], "10.jpg": []}

    def write() -> None:
        path.write_text("".join(json.dumps({"image": i, "boxes": b}) + "\n" for i, b in boxes.items()))

    wanted = dataclasses.replace(spec, regions="file", regions_file=str(path), max_regions=2)
    images = [*NAMES, "3.jpg"]

    def run() -> FeatureStore:
        return extract(images, opened, tmp_path / "store", wanted, image_file=lambda name: pictures / name)

    write()
    store = run()
    assert store.ids == ["7.jpg", "0.jpg"]
    assert store.boxes(["7.jpg"])[0].tolist() == boxes["7.jpg"][:2]
    assert "10.jpg: an image left without a proposal" in store.failed["10.jpg"]
    assert "names no box of it; add one like" in store.failed["10.jpg"]
    assert "has no line about it" in store.failed["3.jpg"]
    found = unreadable(images, lambda name: Extractor(wanted).load(opened(name), name))
    assert list(found) == ["10.jpg", "3.jpg"]
    before = sorted(file.name for file in (tmp_path / "store").iterdir())
    boxes["10.jpg"], boxes["0.jpg"] = [[0, 0, 1, 1]], [[0.5, 0.5, 1, 1]]
    write()
    store = run()
    assert set(store.ids) == {"7.jpg", "0.jpg", "10.jpg"}
    assert list(store.failed) == ["3.jpg"]
    assert store.boxes(["0.jpg"])[0].tolist() == boxes["0.jpg"]
    new = {file.name for file in (tmp_path / "store").iterdir()}.difference(before)
    assert new == {"regions-00001.npy", "boxes-00001.npy", "images-00001.json"}
    index = json.loads((tmp_path / "store" / "images-00001.json").read_text())
    assert sorted(index["ids"]) == ["0.jpg", "10.jpg"]
    moved = tmp_path / "moved.jsonl"
    path.rename(moved)
    wanted = dataclasses.replace(wanted, regions_file=str(moved))
    assert set(run().ids) == set(store.ids)


def test_boxes_of_a_store_are_written_as_a_file_takes_them(tmp_path):
    boxes = {"a/1.jpg": [[0.125, 0, 0.5, 1.0], [0.25, 0.5, 0.5, 0.75]], "é.jpg": [[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.6]]}
    imported = FeatureSpec(backbone="imported", regions="boxes")
    with FeatureWriter(tmp_path / "store", list(boxes), spec=imported, weights_hash="", size=3, grid=None) as writer:
        for image, places in boxes.items():
            writer.add(image, np.zeros((2, 3), np.float16), np.array(places, np.float32))
        store = writer.finish()
    write_boxes(store, tmp_path / "boxes.jsonl")
    found = read_boxes(tmp_path / "boxes.jsonl")
    assert found["a/1.jpg"].tolist() == boxes["a/1.jpg"]
    assert found["é.jpg"].tolist() == boxes["é.jpg"][:1]


def test_a_store_made_before_there_were_regions_is_the_same(opened, tmp_path, spec):
    store = extract(NAMES, opened, tmp_path / "store", spec)
    manifest = json.loads((tmp_path / "store" / MANIFEST).read_text())
    later = {"max_regions", "regions_file", "detector", "detector_weights", "detector_threshold", "detector_nms"}
    assert later <= manifest["spec"].keys()
    older = {name: value for name, value in manifest["spec"].items() if name not in later}
    (tmp_path / "store" / MANIFEST).write_text(json.dumps({**manifest, "spec": older}))
    assert FeatureStore.open(tmp_path / "store").spec == spec
    other = dataclasses.replace(spec, max_regions=3)
    assert extract(NAMES, opened, tmp_path / "store", other).ids == store.ids
    windows = dataclasses.replace(spec, regions="windows")
    with pytest.raises(StoreError, match="regions is 'grid' there and 'windows' here"):
        extract(NAMES, opened, tmp_path / "store", windows)


def test_what_decides_where_regions_lie_makes_another_store(kinds, opened, tmp_path):
    spec = kinds["detector"]
    extract(NAMES[:1], opened, tmp_path / "store", spec)
    with pytest.raises(StoreError, match=r"detector_nms is 0.5 there and 0.25 here"):
        extract(NAMES[:1], opened, tmp_path / "store", dataclasses.replace(spec, detector_nms=0.25))
    plans = [{"spec": to_dict(dataclasses.replace(kinds["windows"], max_regions=count))} for count in (7, 9)]
    assert differences(*plans) == ["max_regions is 7 there and 9 here"]
    assert (
        Extractor(kinds["windows"]).weights_hash
        != Extractor(dataclasses.replace(kinds["windows"], max_regions=9)).weights_hash
    )


def test_a_detector_is_had_from_a_file_with_its_own_classes(tmp_path, kinds, opened):
    model = get_model(DETECTOR, weights=None, weights_backbone=None, num_classes=4)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    spec = dataclasses.replace(kinds["detector"], detector_weights=str(tmp_path / "weights.pth"))
    found = Extractor(spec)([opened("7.jpg")])
    assert found.boxes.shape[:2] == (1, 5)
    extract(["0.jpg"], opened, tmp_path / "store", spec)
    state = model.state_dict()
    state["roi_heads.box_predictor.bbox_pred.bias"] += 1
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(StoreError, match="weights_hash is"):
        extract(["0.jpg"], opened, tmp_path / "store", spec)
    state.pop("rpn.head.cls_logits.weight")
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(RecipeError, match=rf"does not hold the weights of {DETECTOR}: it lacks rpn"):
        Extractor(spec)
    with pytest.raises(RecipeError, match="detector_weights: expected 'pretrained', 'random' or a file"):
        Extractor(dataclasses.replace(spec, detector_weights="gone.pth"))


class Found(torch.nn.Module):
    """In the place of a detector: finds the same in every image."""

    def __init__(self) -> None:
        super().__init__()
        # Of 40 x 20 pixels: two that overlap, of one class; the first again, of another class; one beyond the edge.
        self.boxes = torch.tensor([[4.0, 2, 20, 10], [4, 2, 20, 11], [4, 2, 20, 10], [30, -5, 50, 25], [5, 5, 5, 9]])
        self.scores = torch.tensor([0.5, 0.75, 0.25, 0.875, 1.0])
        self.labels = torch.tensor([1, 1, 2, 1, 1])

    def forward(self, images):
        assert [tuple(image.shape) for image in images] == [(3, 20, 40)]
        return [{"boxes": self.boxes, "scores": self.scores, "labels": self.labels}]


def test_what_a_detector_finds_is_suppressed_by_class_and_the_best_kept(monkeypatch, kinds):
    monkeypatch.setattr(detecting, "_create", lambda spec: Found())
    image = Image.new("RGB", (40, 20))

    def found(**fields):
        return detecting.Detector(dataclasses.replace(kinds["detector"], **fields), torch.device("cpu"))(image, "a.jpg")

    best, second, third = [0.75, 0, 1, 1], [0.1, 0.1, 0.5, 0.55], [0.1, 0.1, 0.5, 0.5]
    np.testing.assert_allclose(found().numpy(), [best, second, third], atol=1e-6)
    np.testing.assert_allclose(found(detector_nms=0.95).numpy(), [best, second, third, third], atol=1e-6)
    np.testing.assert_allclose(found(detector_threshold=0.3).numpy(), [best, second], atol=1e-6)
    np.testing.assert_allclose(found(max_regions=1).numpy(), [best], atol=1e-6)
    with pytest.raises(
        ImageError,
        match=r"a.jpg: an image left without a proposal: .* at least 0.9; lower --features.detector-threshold",
    ):
        found(detector_threshold=0.9)


def test_a_detector_s_own_limits_give_way_to_the_spec_s(kinds):
    spec = dataclasses.replace(kinds["detector"], detector_nms=0.25, detector_threshold=0.125, max_regions=300)
    for name in (DETECTOR, "ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"):
        model = detecting.Detector(dataclasses.replace(spec, detector=name), torch.device("cpu"))._model
        limited = model.roi_heads if isinstance(model, FasterRCNN) else model
        assert (limited.score_thresh, limited.nms_thresh, limited.detections_per_img) == (0.125, 0.25, 300)


def test_a_detector_that_there_is_not_is_answered_with_those_there_are(kinds):
    with pytest.raises(UnknownNameError, match=f"did you mean '{DETECTOR}'"):
        Extractor(dataclasses.replace(kinds["detector"], detector="fasterrcnn_mobilenet_v3_large_320"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"regions": "file"}, "regions_file: expected the file of boxes with regions file"),
        ({"regions_file": "a.jsonl"}, "with regions file, and none with others, got 'a.jsonl' with regions grid"),
        ({"regions": "windows", "max_regions": 401}, "max_regions: expected a whole number from 1 to 400, got 401"),
        ({"regions": "windows", "backbone": "imported"}, "imported features have their own regions"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, expected):
    with pytest.raises(RecipeError, match=expected):
        FeatureSpec(**fields)


def test_boxes_that_come_with_features_cannot_be_made(spec):
    with pytest.raises(RecipeError, match="regions: boxes come with features that were imported"):
        Extractor(dataclasses.replace(spec, regions="boxes"))


@pytest.mark.parametrize("kind", ["windows", "file"])
def test_gradients_reach_a_backbone_through_the_boxes(opened, kinds, kind):
    spec = dataclasses.replace(kinds[kind], positions=True)
    tuning = Tuning(spec, opened, torch.device("cpu"), stages=1)
    learning = tuning.backbone.stage_end(2).removeprefix("_model.")
    assert tuning.kept is not None  # the boxes are known without the image
    assert tuning.grid is None
    tuning.unfreeze()
    regions = tuning.read_augmented(NAMES)
    regions.features.sum().backward()
    reached = {name for name, each in tuning.backbone.named_parameters() if each.grad is not None}
    assert reached
    assert all(f"{name}.".startswith(f"_model.{learning}.") for name in reached)
    plain = tuning.read_plain(NAMES)
    assert torch.equal(plain.features, regions.features)
    assert torch.equal(plain.boxes, regions.boxes)
    assert tuning.region_size == regions.features.shape[2]


def test_images_whose_boxes_stay_are_not_cropped(opened, kinds):
    with pytest.raises(RecipeError, match=r"train.augment: regions that are windows .* expected none, got crop"):
        Tuning(kinds["windows"], opened, torch.device("cpu"), "crop")
