"""Whose numbers an evaluation writes where, and from which store it reads: moved, changed, grown and other corpora."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFilter

from saccade import provenance
from saccade.checkpoint import read_recipe
from saccade.corpus import store_path
from saccade.data.scenes import write_scenes
from saccade.errors import RunError, StoreError
from saccade.evaluate import evaluate as evaluate_on
from saccade.features.extract import extract
from saccade.features.shards import ShardWriter
from saccade.features.store import FeatureStore
from saccade.images import open_image
from saccade.recipe import Recipe
from saccade.recipes import get_recipe
from saccade.train import train

LATER = 3  # images of the training split that are added later


def evaluate(*arguments, **options) -> dict:
    return evaluate_on(*arguments, accelerator="cpu", **options)


def recipe_of(root: Path | str, **data) -> Recipe:
    recipe = get_recipe("r-dan-scenes")
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, name="own", root=str(root), **data),
        train=dataclasses.replace(recipe.train, accelerator="cpu", epochs=1, batch_size=64),
        sizes=recipe.sizes | {"hidden_size": 8},
    )


def restrict(folder: Path, *, without: int) -> None:
    """Leave out the last images of the training split, with what is asked about them."""
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    kept = list(dict.fromkeys(line["image"] for line in lines))
    gone = kept[len(kept) - without :]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines if line["image"] not in gone))
    for image in gone:
        (folder / image).unlink()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a corpus of 27 images that will be 30, and a run that was trained there; copy before changing."""
    base = tmp_path_factory.mktemp("trained")
    write_scenes(base / "whole", images=30)
    shutil.copytree(base / "whole", base / "my-data")
    restrict(base / "my-data", without=LATER)
    before = Path.cwd()
    os.chdir(base)
    try:
        train(recipe_of("my-data"), Path("run"))
    finally:
        os.chdir(before)
    return base


@pytest.fixture
def base(trained, tmp_path, monkeypatch) -> Path:
    """A copy of it, with the files' times, as the working directory."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "base"))
    (Path("run") / provenance.CORPUS).write_text(
        (Path("run") / provenance.CORPUS).read_text().replace(str(trained), str(tmp_path / "base"))
    )
    old = next(Path("stores").iterdir())
    old.rename(store_path(recipe_of("my-data")))
    return Path.cwd()


@pytest.fixture
def extracted(monkeypatch) -> list[str]:
    """The images that are extracted from here on."""
    found: list[str] = []
    for name in ("add", "fail"):
        real = getattr(ShardWriter, name)

        def noting(self, image, *arguments, real=real, **options):
            found.append(image)
            return real(self, image, *arguments, **options)

        monkeypatch.setattr(ShardWriter, name, noting)
    return found


def grown(base: Path) -> None:
    shutil.copytree(base / "whole", base / "my-data", dirs_exist_ok=True)


def other_corpus(base: Path, name: str = "other") -> Path:
    """Other scenes, in files of the same names."""
    write_scenes(base / name, images=30, seed=7)
    return base / name


def metrics(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "metrics.json").read_text())


# A corpus that grows


def test_a_run_is_evaluated_after_images_were_added_and_one_store_serves_both(base, extracted) -> None:
    before = evaluate(Path("run"))
    grown(base)
    assert evaluate(Path("run")) == before
    assert extracted == []
    train(recipe_of(base / "my-data"), Path("again"))
    assert len(extracted) == LATER
    (store,) = Path("stores").iterdir()
    assert len(FeatureStore.open(store)) == 30
    assert evaluate(Path("run")) == before
    evaluate(Path("again"))
    assert len(extracted) == LATER


def test_a_limit_makes_no_other_store(base, extracted) -> None:
    train(recipe_of("my-data/", limit=2), Path("less"))
    evaluate(Path("less"))
    assert extracted == []
    assert len(list(Path("stores").iterdir())) == 1


def test_an_image_that_was_replaced_is_noticed(base, extracted) -> None:
    images = sorted({json.loads(line)["image"] for line in Path("my-data/test.jsonl").read_text().splitlines()})
    shutil.copyfile(Path("my-data") / images[1], Path("my-data") / images[0])
    evaluate(Path("run"))
    assert extracted == [images[0]]
    store = FeatureStore.open(store_path(recipe_of("my-data")))
    a, b = store.read(images[:2]).features
    torch.testing.assert_close(a, b, rtol=2e-3, atol=1e-3)


def test_an_evaluation_extracts_what_it_needs_alone(base, extracted) -> None:
    shutil.rmtree("stores")
    evaluate(Path("run"))
    assert len(extracted) == 3
    evaluate(Path("run"), split="val")
    assert len(extracted) == 6


# Whose metrics


def test_another_corpus_has_a_folder_and_a_store_of_its_own(base, extracted, saccade) -> None:
    own = evaluate(Path("run"))
    other_corpus(base)
    outcome = saccade("evaluate", "run", "--root", "other")
    assert "Written to run/test-of-other" in outcome.out
    assert "other is another corpus than the run was trained on" in outcome.err
    assert len(extracted) == 3
    assert metrics("run/test") == own
    assert metrics("run/test-of-other")["attention_entropy"] != own["attention_entropy"]
    (theirs,) = (path for path in Path("stores").iterdir() if path != store_path(recipe_of("my-data")))
    assert theirs == store_path(recipe_of("other"))
    assert len(FeatureStore.open(theirs)) == 3


def test_corpora_of_one_name_do_not_share_a_folder(base) -> None:
    evaluate(Path("run"), root=str(other_corpus(base)))
    (base / "deep").mkdir()
    second = Path(shutil.copytree(base / "other", base / "deep" / "other"))
    lines = (second / "test.jsonl").read_text().splitlines(keepends=True)
    (second / "test.jsonl").write_text("".join(lines[:5]))
    first = metrics("run/test-of-other")
    assert evaluate(Path("run"), root=str(second))["questions"] == 5
    assert metrics("run/test-of-other") == first
    (folder,) = Path("run").glob("test-of-other-*")
    assert metrics(folder)["questions"] == 5
    assert evaluate(Path("run"), root="deep/other") == metrics(folder)  # written otherwise, it goes there again
    assert len(list(Path("run").glob("test*"))) == 2


def test_other_pictures_under_the_same_lines_are_another_corpus(base) -> None:
    own = evaluate(Path("run"))
    shutil.copytree("my-data", "blurred")
    for file in Path("blurred/images").iterdir():
        with Image.open(file) as image:
            blurred = image.filter(ImageFilter.GaussianBlur(4))
        blurred.save(file)
    found = evaluate(Path("run"), root="blurred")
    assert metrics("run/test") == own
    assert metrics("run/test-of-blurred") == found
    assert found["attention_entropy"] != own["attention_entropy"]


@pytest.mark.parametrize("evaluated", [False, True])
def test_a_corpus_that_has_moved_is_the_runs_own_and_keeps_its_store(base, extracted, evaluated, saccade) -> None:
    before = evaluate(Path("run")) if evaluated else None
    shutil.copytree("my-data", "deep/moved", copy_function=shutil.copyfile)
    shutil.rmtree("my-data")
    assert "Written to run/test\n" in saccade("evaluate", "run", "--root", "deep/moved").out
    assert extracted == []
    assert before in (None, metrics("run/test"))
    assert json.loads(Path("run/test/corpus.json").read_text())["root"] == str(base / "deep" / "moved")


@pytest.mark.parametrize("root", ["my-data/", "./my-data", "link"])
def test_the_runs_own_folder_is_known_however_it_is_written(base, root) -> None:
    Path("link").symlink_to("my-data")
    evaluate(Path("run"), root=root)
    assert [folder.name for folder in Path("run").glob("test*")] == ["test"]


def test_the_runs_own_corpus_may_change_in_its_place(base) -> None:
    whole = evaluate(Path("run"))
    file = Path("my-data/test.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:5]))
    assert evaluate(Path("run"))["questions"] == 5 < whole["questions"]
    assert metrics("run/test")["questions"] == 5


def test_a_corpus_that_shares_the_validation_split_alone_takes_no_place_from_the_runs_own(base) -> None:
    shutil.copytree("my-data", "v2")
    file = Path("v2/test.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:5]))
    first = evaluate(Path("run"), root="v2")
    assert first["questions"] == 5
    folder = provenance.place_of(Path("run"), "test", root="v2")
    assert evaluate(Path("run"))["questions"] > 5
    assert metrics(folder) == first


def test_a_folder_that_is_named_is_not_taken_from_another_corpus_either(base, refused) -> None:
    own = evaluate(Path("run"), out=Path("found"))
    evaluate(Path("run"), out=Path("found"), split="val")  # the same corpus: as was asked for
    other_corpus(base)
    parts = ("found has the metrics of the corpus in", "my-data", "other: name another folder")
    refused("evaluate", "run", "--root", "other", "--out", "found", parts=parts)
    assert metrics("found")["split"] == "val"
    assert evaluate(Path("run"), out=Path("found")) == own


def test_metrics_of_before_are_taken_for_the_runs_own(base) -> None:
    """Neither the run nor the evaluation says of which corpus it is."""
    evaluate(Path("run"))
    for folder in ("run", "run/test"):
        (Path(folder) / provenance.CORPUS).unlink()
    own = metrics("run/test")
    other = str(other_corpus(base))
    evaluate(Path("run"), root=other)
    assert metrics("run/test") == own
    with pytest.raises(RunError, match=r"has the metrics of a corpus that it does not name, these are of .*other"):
        evaluate(Path("run"), root=other, out=Path("run/test"))
    assert evaluate(Path("run")) == own


# A store by its name


def test_a_named_store_serves_where_the_corpus_has_none(base, extracted) -> None:
    expected = evaluate(Path("run"))
    next(Path("stores").iterdir()).rename("elsewhere")
    shutil.copytree("my-data", "copy")
    shutil.rmtree("my-data")
    assert evaluate(Path("run"), root="copy", store=Path("elsewhere")) == expected
    assert extracted == []
    assert list(Path("stores").iterdir()) == []


def make_store(root: Path, out: str, images: list[str], **spec) -> None:
    features = dataclasses.replace(get_recipe("r-dan-scenes").features, positions=False, **spec)
    extract(images, lambda image: open_image(root / image), Path(out), features, image_file=lambda image: root / image)


@pytest.mark.filterwarnings("ignore:the weights of test_resnet")
def test_stores_that_do_not_fit_are_refused(base, refused) -> None:
    lines = Path("my-data/test.jsonl").read_text().splitlines()
    images = list(dict.fromkeys(json.loads(line)["image"] for line in lines))
    make_store(Path("my-data"), "fits", images)
    make_store(Path("my-data"), "fewer", images[:1])
    make_store(Path("my-data"), "smaller", images, image_size=48)
    make_store(Path("my-data"), "random", images, backbone="test_resnet", weights="random", layer=2)
    make_store(other_corpus(base), "theirs", images)
    assert evaluate(Path("run"), store=Path("fits"))["images"] == 3
    before = metrics("run/test")
    for store, parts in {
        "nowhere": ("nowhere: no such feature store",),
        "my-data": ("my-data is not a feature store",),
        "fewer": ("fewer lacks 2 of the 3 images (", images[1], "name a store that has them, or none, to extract them"),
        "smaller": ("smaller holds features made otherwise than the run was trained on: image_size is 48 there",),
        "random": ("backbone is 'test_resnet' there and 'scenes-cnn' here", "weights_hash is", "size is 64"),
        "theirs": ("theirs was made from other files of 3 of the 3 images", "of another corpus or since replaced"),
    }.items():
        refused("evaluate", "run", "--store", store, parts=parts)
    assert metrics("run/test") == before
    (Path("fits") / "manifest.json").rename(Path("fits") / "plan.json")
    with pytest.raises(StoreError, match="is unfinished"):
        evaluate(Path("run"), store=Path("fits"))


def test_a_run_that_names_a_store_reads_another_corpus_from_its_own(base, extracted) -> None:
    train(recipe_of("my-data", store="named"), Path("named-run"))
    before = len(FeatureStore.open("named"))
    other_corpus(base)
    extracted.clear()
    evaluate(Path("named-run"), root="other")
    assert len(extracted) == 3
    assert len(FeatureStore.open("named")) == before == 27
    assert read_recipe(Path("named-run")).data.store == "named"
