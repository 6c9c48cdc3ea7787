"""From recipe to data, features and task: damaged images are left out and counted, stores are shared."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.vqa_files import write_genome, write_vqa

from saccade.build import build, build_model, check_model
from saccade.corpus import build_store, images_at_hand, store_path
from saccade.data import create_dataset
from saccade.data.scenes import write_scenes
from saccade.data.scenes_look import Look
from saccade.errors import DataError, RecipeError, SaccadeWarning, StoreError, UnknownNameError
from saccade.features.spec import IMPORTED, OF_REGIONS, FeatureSpec
from saccade.features.writer import FeatureWriter
from saccade.progress import SILENT, Report
from saccade.recipe import DataConfig, Recipe
from saccade.recipes import get_recipe
from saccade.serial import to_dict

CPU = torch.device("cpu")


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "scenes"
    write_scenes(path, images=20)
    return path


def own(folder, store, **features) -> Recipe:
    recipe = get_recipe("r-dan-scenes")
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, name="own", root=str(folder), store=str(store)),
        features=dataclasses.replace(recipe.features, **features),
    )


def test_a_damaged_image_is_left_out_and_counted(folder, tmp_path) -> None:
    line = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    image = folder / line["image"]
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    try:
        heard = Heard()
        setup = build(own(folder, tmp_path / "store"), heard, CPU)
    finally:
        image.write_bytes(whole)
    asked = sum(
        json.loads(text)["image"] == line["image"] for text in (folder / "train.jsonl").read_text().splitlines()
    )
    assert f"{asked} questions left out, 1 images could not be read" in heard.lines[-1]
    assert all(question.image in setup.store for question in (*setup.train, *setup.val))


def test_counts_are_told_for_both_splits(folder, tmp_path) -> None:
    heard = Heard()
    setup = build(own(folder, tmp_path / "store"), heard, CPU)
    assert heard.lines[0].startswith(f"training: {len(setup.train)} questions, 16 images, ")
    assert heard.lines[1].startswith(f"validation: {len(setup.val)} questions, 2 images, ")


def test_a_store_of_more_images_serves_and_one_of_fewer_is_added_to(folder, tmp_path) -> None:
    recipe = own(folder, tmp_path / "store")
    fewer = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, limit=1))
    data = create_dataset("own", folder)
    assert len(build_store(fewer, data, SILENT, CPU)) == 3
    assert len(build_store(recipe, data, SILENT, CPU, ["val"])) == 4  # one of the two was there
    assert len(build_store(recipe, data, SILENT, CPU)) == 20
    assert len(build_store(fewer, data, SILENT, CPU)) == 20


def test_a_folder_has_one_store_however_it_is_written_and_however_much_of_it_is_used(
    folder, tmp_path, monkeypatch
) -> None:
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    written = [folder.name, f"{folder.name}/", f"./{folder.name}", f"../{folder.parent.name}/{folder.name}"]
    recipes = [own(root, "") for root in (*written, folder, tmp_path / "link")]
    recipes.append(dataclasses.replace(recipes[0], data=dataclasses.replace(recipes[0].data, limit=3)))
    recipes.append(own(folder, "", width=64))  # what is checked when features are read
    assert len({store_path(recipe) for recipe in recipes}) == 1
    assert store_path(own(tmp_path, "")) != store_path(recipes[0])


def test_a_file_of_weights_is_one_however_it_is_written(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {store_path(own(folder, "", weights=name)) for name in ("w.pth", "./w.pth", str(tmp_path / "w.pth"))}
    assert len(paths) == 1
    assert len(paths | {store_path(own(folder, "", weights=name)) for name in ("random", "pretrained")}) == 3


def test_generated_data_has_one_store_whatever_its_limit() -> None:
    recipe = get_recipe("r-dan-scenes")
    changes = ({}, {"limit": 24}, {"root": "anywhere"})
    assert (
        len({store_path(dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **c))) for c in changes}) == 1
    )


def test_a_store_under_the_name_of_before_is_found_again(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, data = own(folder, ""), create_dataset("own", folder)
    fields = {name: value for name, value in to_dict(recipe.features).items() if name not in OF_REGIONS}  # were not yet
    facts = [fields | {"positions": None}, str(folder), None]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    old = Path("stores") / f"own-scenes-cnn-{digest}"
    build_store(own(folder, old), data, SILENT, CPU)
    inode = (old / "manifest.json").stat().st_ino
    assert len(build_store(recipe, data, SILENT, CPU)) == 20
    assert list(Path("stores").iterdir()) == [store_path(recipe)] != [old]
    assert (store_path(recipe) / "manifest.json").stat().st_ino == inode


def test_position_codes_do_not_make_another_store(folder) -> None:
    paths = {store_path(own(folder, "", positions=positions)) for positions in (True, False)}
    assert len(paths) == 1
    assert store_path(own(folder, "", image_size=64)) not in paths


def test_data_that_needs_a_folder_says_so() -> None:
    with pytest.raises(DataError, match=r"data set own needs its folder: say --data\.root DIR"):
        create_dataset("own")
    with pytest.raises(DataError, match="no such folder"):
        create_dataset("daquar", "nowhere")


@pytest.fixture
def vqa(tmp_path):
    """A corpus in VQA v2's format, and a store of its images' boxes as import-features makes them."""
    root = write_vqa(tmp_path / "vqa", images_per_split=4)
    images = images_at_hand(create_dataset("vqa2", root))
    spec = FeatureSpec(backbone=IMPORTED, weights="tsv", regions="boxes")
    with FeatureWriter(tmp_path / "store", images, spec=spec, weights_hash="x", size=5, grid=None) as writer:
        for number, image in enumerate(images):
            count = 3 + number % 2
            writer.add(image, np.ones((count, 5)), np.tile([0.0, 0.0, 0.5, 0.5], (count, 1)))
        writer.finish()
    return root


def imported(corpus, name: str = "ban-vqa2", **changes) -> Recipe:
    recipe = get_recipe(name)
    features = dataclasses.replace(recipe.features, width=changes.pop("width", 5))
    task = dataclasses.replace(recipe.task, min_answer_count=1, **changes.pop("task", {}))
    places = {"root": str(corpus), "store": str(corpus.parent / "store")}
    data = dataclasses.replace(recipe.data, **places | changes)
    sizes = {"hidden_size": 13, "rank": 1, "embedding_size": 7}
    return dataclasses.replace(recipe, data=data, features=features, task=task, sizes=sizes)


def test_smoke_keeps_imported_features_and_touches_no_other_store(vqa, folder) -> None:
    store = vqa.parent / "store"
    small = imported(vqa).smoke()
    assert build(small, SILENT, CPU).facts.region_size == 5
    extracting = get_recipe("smem-1-vqa1")
    extracting = dataclasses.replace(extracting, data=dataclasses.replace(extracting.data, store=str(store)))
    assert store_path(extracting.smoke()).parent == Path("stores")
    assert store_path(own(folder, store).smoke()) == store  # the same small backbone with smoke and without
    with pytest.raises(StoreError, match="It was imported from files: keep it, and write to another folder"):
        build_store(own(folder, store), create_dataset("own", folder), SILENT, CPU)


def test_imported_features_are_opened_with_their_own_boxes(vqa) -> None:
    setup = build(imported(vqa), SILENT, CPU)
    assert (setup.facts.region_size, setup.facts.grid) == (5, None)
    assert setup.store.read([setup.train[0].image]).boxes.shape[2] == 4


def test_imported_features_must_be_named_and_be_of_the_recipes_width(vqa) -> None:
    with pytest.raises(RecipeError, match=r"features from files: .* import-features, then say --data\.store"):
        build(imported(vqa, store=""), SILENT, CPU)
    with pytest.raises(RecipeError, match=r"expects regions of 2048 numbers, .* has 5: .* --features\.width 5"):
        build(imported(vqa, width=2048), SILENT, CPU)


def test_images_that_a_store_lacks_are_listed(vqa, tmp_path) -> None:
    more = write_vqa(tmp_path / "more", images_per_split=30, with_images=False)
    with pytest.raises(StoreError, match=r"lacks 78 of the 90 images of vqa2: (\d+, ){9}\d+, \.\.\.; import") as error:
        build(imported(vqa, root=str(more)), SILENT, CPU)
    assert "\n" not in str(error.value)


def test_a_model_with_parameters_per_location_refuses_boxes(vqa) -> None:
    setup = build(imported(vqa), SILENT, CPU)
    with pytest.raises(RecipeError, match=r"smem-2 learns something for each place .* needs a grid"):
        build_model(dataclasses.replace(imported(vqa), model="smem-2", sizes={}), setup.task, setup.facts)


def test_annotations_without_their_images_are_counted(tmp_path) -> None:
    root = write_vqa(tmp_path / "vqa", version=1, images_per_split=3)
    for path in sorted((root / "val2014").iterdir())[1:]:
        path.unlink()
    recipe = get_recipe("smem-1-vqa1").smoke()
    data = dataclasses.replace(recipe.data, root=str(root), store=str(tmp_path / "store"))
    with pytest.raises(DataError, match="2 of the 3 images of split val are not there"):
        build(dataclasses.replace(recipe, data=data), SILENT, CPU)


def test_word_vectors_are_where_training_starts(vqa, tmp_path) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("color 1 2 3 4 5 6 7\nwhat 7 6 5 4 3 2 1\nwhale 0 0 0 0 0 0 1\n")
    recipe, heard = imported(vqa, task={"glove": str(glove)}), Heard()
    setup = build(recipe, heard, CPU)
    model = build_model(recipe, setup.task, setup.facts)
    setup.task.prepare(model, setup.train, heard)
    tables = [table.weight for table in model.text_encoder.tables]
    words = setup.task.vocabulary.listed()
    assert tables[0][words.index("color")].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert not tables[0][0].any()
    assert tables[1][words.index("what")].any()  # from the words it shares questions with
    assert any(line.startswith("word vectors: 2 of ") for line in heard.lines)


@pytest.mark.parametrize(
    ("model", "line", "message"),
    [
        ("ban", "color 1 2 3", r"expected vectors of 7 numbers, .* has 3; .*--sizes\.embedding-size 3"),
        ("smem-2", "color 1 2 3 4 5 6 7", "SMem starts from no word vectors"),
    ],
)
def test_word_vectors_that_do_not_fit_are_refused(vqa, tmp_path, model: str, line: str, message: str) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text(line + "\n")
    recipe = imported(vqa, task={"glove": str(glove)})
    recipe = recipe if model == "ban" else dataclasses.replace(recipe, model=model, sizes={})
    with pytest.raises(RecipeError, match=message):  # before the regions are read
        build(recipe, SILENT, CPU)


def test_visual_genomes_questions_are_trained_on_as_well(vqa) -> None:
    plain = build(imported(vqa), SILENT, CPU)
    answer = plain.task.answers[0]
    images = {1: int(plain.train[0].image), 2: int(plain.val[0].image), 3: None}
    write_genome(
        vqa.parent / "genome", images, {image: [("is it?", answer), ("is it?", "xylophone")] for image in images}
    )
    heard = Heard()
    setup = build(imported(vqa, genome=str(vqa.parent / "genome")), heard, CPU)
    (extra,) = setup.train[len(plain.train) :]  # about an image of the training split, with a known answer
    assert (extra.image, extra.text, extra.answer) == (plain.train[0].image, "is it?", answer)
    assert "Visual Genome: 1 further training questions" in heard.lines
    assert setup.task.answers == plain.task.answers


def test_only_vqa_has_questions_of_visual_genome() -> None:
    recipe = get_recipe("ibowimg-scenes").smoke()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, genome="x"))
    with pytest.raises(RecipeError, match="only VQA's images have questions of Visual Genome, not scenes"):
        build(recipe, SILENT, CPU)


def test_a_recipe_sets_no_size_that_the_data_tells() -> None:
    recipe = get_recipe("r-dan-scenes")
    with pytest.raises(UnknownNameError, match="no size of r-dan named 'num_words'"):
        check_model(dataclasses.replace(recipe, sizes={"num_words": 3}))


def test_a_model_of_another_task_is_refused_by_what_its_forward_returns() -> None:
    for name, model, parts in (
        ("r-dan-scenes", "nic", "nic is a model for captioning, the recipe is for answering, about questions"),
        ("nic-scenes", "san", "san is a model for answering, the recipe is for captioning, about captions"),
        ("m-dan-scenes", "nic", "nic is a model for captioning, the recipe is for matching, about sentences"),
        ("sat-soft-scenes", "vse", "vse is a model for matching, the recipe is for captioning, about captions"),
    ):
        with pytest.raises(RecipeError, match=f"{parts}: choose another model or recipe"):
            check_model(dataclasses.replace(get_recipe(name), model=model, sizes={}))


def foreign(folder: Path) -> Path:
    for split in ("train", "val", "test"):
        Image.new("RGB", (96, 96), "teal").save(folder / f"{split}.png")
        line = {"image": f"{split}.png", "question": "is it red", "answers": ["no"]}
        (folder / f"{split}.jsonl").write_text(json.dumps(line))
    return folder


@pytest.mark.parametrize("background", ["grey", "noise", None, "damaged"])
def test_scenes_cnn_on_anything_but_its_scenes_is_warned_of_once_before_extraction(background, tmp_path) -> None:
    root = tmp_path / "mine"
    if background in ("grey", "noise"):
        write_scenes(root, images=10, look=Look(background=background))
    else:
        root.mkdir()
        foreign(root)
        if background is not None:
            (root / "scenes.json").write_text('{"background": 3')
    recipe = get_recipe("r-dan-scenes").smoke()
    recipe = dataclasses.replace(recipe, data=DataConfig("own", str(root), store=str(tmp_path / "store")))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        build(recipe, SILENT, torch.device("cpu"))
    said = [str(each.message) for each in heard if each.category is SaccadeWarning]
    wanted = {"grey": 0, "noise": 1, None: 1, "damaged": 1}[background]
    assert [("scenes-cnn knows nothing but generated scenes" in text) for text in said] == [True] * wanted
    assert not said or ("behind these it is noise" if background == "noise" else "may be something else") in said[0]
