"""Captioning from end to end on scenes: train, evaluate, caption, with its errors; and a backbone trained along."""

from __future__ import annotations

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from saccade import Predictor, checkpoint
from saccade.data.scenes import Scenes
from saccade.errors import ImageError, RecipeError, RunError, UnknownNameError
from saccade.evaluate import evaluate
from saccade.recipe import Recipe
from saccade.recipes import get_recipe
from saccade.train import train
from saccade.types import Without


def narrow(name: str, store: str = "", limit: int = 24, **training) -> Recipe:
    recipe = get_recipe(name).smoke()
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=store, limit=limit),
        train=dataclasses.replace(recipe.train, accelerator="cpu", **{"finetune_from": None, **training}),
        sizes=recipe.sizes | {"hidden_size": 16, "embedding_size": 12},
    )


@pytest.fixture(scope="module")
def runs(scenes_store, tmp_path_factory) -> dict[str, Path]:
    """A narrow run of each captioner."""
    folders = {name: tmp_path_factory.mktemp("runs") / name for name in ("sat-soft", "sat-hard", "nic")}
    for name, folder in folders.items():
        train(narrow(f"{name}-scenes", scenes_store), folder)
    return folders


@pytest.mark.parametrize("name", ["sat-soft", "sat-hard", "nic"])
def test_a_run_is_evaluated_and_its_files_score_the_same(name: str, runs, saccade) -> None:
    metrics = evaluate(runs[name], accelerator="cpu")
    assert metrics["images"] == 24
    assert metrics["captions"] == 120
    assert 0 <= metrics["truth"] <= 1
    assert ("pointing_accuracy" in metrics) == (name != "nic")
    files = [runs[name] / "test" / file for file in ("results.json", "references.json")]
    scored = json.loads(saccade("score", "captions", *files, "--json").out)
    shared = scored.keys() & metrics.keys()
    assert shared >= {"bleu_4", "cider", "images"}
    assert {key: metrics[key] for key in shared} == pytest.approx({key: scored[key] for key in shared})


def test_a_wider_beam_finds_captions_of_higher_probability(scenes_store, tmp_path) -> None:
    # After two epochs captions have no end, and all beams find the same.
    train(narrow("sat-soft-scenes", scenes_store, epochs=1), tmp_path / "run")
    found = []
    for beam in (1, 5):
        evaluate(tmp_path / "run", out=tmp_path / str(beam), options={"beam": beam}, accelerator="cpu")
        lines = (tmp_path / str(beam) / "predictions.jsonl").read_text().splitlines()
        found.append(sum(json.loads(line)["log_probability"] for line in lines))
    assert found[1] > found[0]


def test_a_caption_comes_with_where_each_word_looked(runs, scene) -> None:
    predictor = Predictor.from_pretrained(runs["sat-soft"], device="cpu")
    [reply, again] = predictor.caption([scene, Image.open(scene)], beam=3, top=2)
    assert reply.caption == again.caption
    attention, beta = reply.attention
    assert attention.axes == ("words", "regions")
    torch.testing.assert_close(attention.weights.sum(2), torch.ones(1, len(reply.words)))
    assert beta.weights.shape == (1, len(reply.words))
    assert len(reply.alternatives) == 1
    assert reply.alternatives[0][1] <= reply.log_probability
    assert [panel.title for panel in reply.figure().panels] == ["image", *reply.words]
    assert reply._repr_html_() == reply.figure()._repr_html_()


def test_a_caption_from_pixels_is_that_of_the_stored_features(runs, scene) -> None:
    evaluate(runs["sat-soft"], accelerator="cpu")
    first = json.loads((runs["sat-soft"] / "test" / "predictions.jsonl").read_text().splitlines()[0])
    [reply] = Predictor.from_pretrained(runs["sat-soft"], device="cpu").caption([scene])
    assert first["image"] == "test/00000"
    assert reply.caption == first["caption"]
    assert reply.log_probability == pytest.approx(first["log_probability"], abs=1e-3)


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_the_command_prints_captions_and_draws(suffix: str, runs, scene, saccade, tmp_path) -> None:
    file = tmp_path / f"look.{suffix}"
    outcome = saccade("caption", runs["sat-soft"], scene, scene, "--beam", 2, "--top", 2, "--explain", file)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"{scene}: ")
    assert "log-probability" in lines[0]
    assert file.stat().st_size > 1000
    [found] = json.loads(saccade("caption", runs["nic"], scene, "--json").out)["captions"]
    assert found["attention"] == []
    assert 0 < found["probability"] <= 1


def test_hard_attention_looks_as_told(runs, scene) -> None:
    predictor = Predictor.from_pretrained(runs["sat-hard"], device="cpu")
    [reply] = predictor.caption([scene], look="argmax")
    assert set(reply.attention[0].weights.unique().tolist()) == {0.0, 1.0}
    with pytest.raises(UnknownNameError, match="argmax"):
        predictor.caption([scene], look="argmaxx")
    with pytest.raises(RecipeError, match="hard attention"):
        Predictor.from_pretrained(runs["nic"], device="cpu").caption([scene], look="argmax")


def test_what_is_drawn_follows_from_the_seed(runs, scene) -> None:
    predictor = Predictor.from_pretrained(runs["sat-hard"], device="cpu")
    drawn = [predictor.caption([scene], look="sample")[0].attention[0].weights for _ in range(2)]
    assert torch.equal(*drawn)
    first, second = (predictor.caption([scene], sample=True, top=3)[0] for _ in range(2))
    assert first.alternatives == second.alternatives
    assert len(first.alternatives) == 2


def test_options_travel_with_the_call_from_thread_to_thread(runs, scene) -> None:
    predictor = Predictor.from_pretrained(runs["sat-hard"], device="cpu")
    looks = ["expectation", "argmax", "sample"]
    alone = {look: predictor.caption(scene, look=look)[0] for look in looks}
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda i: predictor.caption(scene, look=looks[i % 3])[0], range(12)))
    for i, reply in enumerate(found):
        assert reply.log_probability == alone[looks[i % 3]].log_probability
        assert torch.equal(reply.attention[0].weights, alone[looks[i % 3]].attention[0].weights)


@pytest.mark.parametrize("name", ["sat-soft", "sat-hard", "nic"])
def test_a_caption_is_begun_and_goes_on_by_the_same_search(name: str, runs, scene, saccade) -> None:
    predictor = Predictor.from_pretrained(runs[name], device="cpu")
    [plain] = predictor.caption(scene, beam=1)
    begin = " ".join(plain.words[:2])
    [again] = predictor.caption(scene, beam=1, begin=begin)
    assert (again.words, again.begin) == (plain.words, begin)
    assert again.log_probability == pytest.approx(plain.log_probability, abs=1e-4)
    known = predictor.task.vocabulary.known_words()
    other = next(word for word in known if word != plain.words[0])
    found = predictor.caption(scene, begin=f"  {other.upper()} {known[0]}.", beam=3, top=3)[0]
    texts = [found.caption, *(text for text, _ in found.alternatives)]
    assert len(set(texts)) == 3
    assert all(text.startswith(f"{other} {known[0]}") for text in texts)
    assert len(found.attention) == len(plain.attention)
    assert all(each.weights.shape[1] == len(found.words) for each in found.attention)
    assert f'begun with "{other} {known[0]}"' in found.figure().lines
    outcome = saccade("caption", runs[name], scene, "--begin", f"{other} {known[0]}", "--beam", 3, "--top", 3)
    assert [line.partition("png: ")[2].partition("  (log")[0] for line in outcome.out.splitlines()] == texts


def test_what_a_caption_cannot_begin_with(runs, scene, refused) -> None:
    run = runs["sat-soft"]
    known = Predictor.from_pretrained(run, device="cpu").task.vocabulary.known_words()
    refused("caption", run, scene, "--begin", f"{known[0]} circel", parts=("'circel'; did you mean 'circle'?",), code=2)
    refused("caption", run, scene, "--begin", " . ", parts=("begin: expected at least one word, got ' . '",))
    refused("caption", run, scene, "--begin", "a " * 99, parts=("begin: expected at most 12 words", "got 99"))


def test_regions_are_taken_away_of_every_image(runs, scene, saccade, refused) -> None:
    run = runs["sat-soft"]
    outcome = saccade("caption", run, scene, scene, "--without-regions", 0, 143, "--json")
    for found in json.loads(outcome.out)["captions"]:
        assert found["without"] == {"regions": [0, 143], "words": []}
        [weights] = [each["weights"] for each in found["attention"] if each["axes"] == ["words", "regions"]]
        assert all(row[0] == row[143] == 0 and sum(row) == pytest.approx(1, abs=1e-4) for row in weights)
    refused("caption", run, scene, "--without-regions", 144, parts=("the image has 144 regions, 0 to 143, got 144",))
    predictor = Predictor.from_pretrained(run, device="cpu")
    [blind] = predictor.caption(scene, without=Without(tuple(range(144))))
    assert blind.figure().to_dict()["size"] == "alone"
    with pytest.raises(RecipeError, match="no words to take away"):
        predictor.caption(scene, without=Without((), (0,)))


def test_what_cannot_be_is_refused(runs, trained_run, scene, refused, tmp_path) -> None:
    run = runs["sat-soft"]
    refused("caption", run, tmp_path / "none.png", parts=("none.png",))
    refused("caption", run, scene, "--beam", 1000, parts=("1000", "narrow the beam"))
    refused("evaluate", run, "--beam", 1000, parts=("1000", "narrow the beam"))
    refused("caption", run, scene, "--beam", 1, "--top", 3, parts=("widen it",))
    refused("caption", run, scene, "--explain", "x.txt", parts=("picture format", "did you mean"), code=2)
    refused("caption", trained_run, scene, parts=("is for answering", "saccade ask"))
    refused("ask", run, scene, "what is it?", parts=("is for captioning", "saccade caption"))
    refused("evaluate", trained_run, "--beam", 3, parts=("beam: no option of a run about questions; it has top",))
    refused("train", "sat-soft-scenes", "--data.name", "vqa2", "--data.root", tmp_path, parts=("no captions",))
    refused("train", "sat-soft-scenes", "--model", "r-dan", parts=("r-dan is a model for answering", "about captions"))


def test_a_run_with_a_backbone_of_its_own_reads_no_store(tuned, scenes_store, refused) -> None:
    parts = ("store:", "trained its backbone along", "leave it out")
    refused("evaluate", tuned, "--store", scenes_store, parts=parts)


def test_java_missing_is_said(runs, refused, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    refused("evaluate", runs["nic"], "--java", parts=("METEOR", "java"))


# A backbone trained along


@pytest.fixture(scope="module")
def tuned(scenes_store, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "run"
    tuning = {"finetune_from": 1, "finetune_lr": 1e-3, "finetune_size": 64}
    train(narrow("sat-soft-scenes", scenes_store, **tuning, average=0.9, epochs=3), out)
    return out


def test_a_tuned_backbone_learns_is_kept_and_used(tuned, scene) -> None:
    loaded = checkpoint.load(tuned)
    assert loaded.backbone is not None
    evaluated = evaluate(tuned, accelerator="cpu")
    first = json.loads((tuned / "test" / "predictions.jsonl").read_text().splitlines()[0])
    [reply] = Predictor.from_pretrained(tuned, device="cpu").caption([scene])
    assert evaluated["images"] == 24
    assert reply.caption == first["caption"]
    newest = sorted((tuned / "resume").glob("step-*"))[-1]
    from safetensors.torch import load_file

    state = load_file(newest / "model.safetensors")
    from saccade.features.backbones import create_backbone

    frozen = create_backbone(loaded.facts.spec).state_dict()
    weights = [name for name, value in frozen.items() if value.is_floating_point() and "running" not in name]
    assert any(not torch.equal(state[f"backbone.{name}"], frozen[name]) for name in weights)
    assert all(torch.equal(state[f"backbone.{name}"], frozen[name]) for name in frozen if "running" in name)


def test_tuning_resumed_is_tuning_not_stopped(tuned, scenes_store, tmp_path) -> None:
    recipe = narrow("sat-soft-scenes", scenes_store, limit=4, finetune_from=1, finetune_lr=1e-3, epochs=3)
    part = dataclasses.replace(recipe, optim=dataclasses.replace(recipe.optim, schedule="constant"))
    whole = tmp_path / "whole"
    train(part, whole)
    cut = tmp_path / "cut"
    train(dataclasses.replace(part, train=dataclasses.replace(part.train, epochs=2)), cut)
    train(part, cut, resume=True)
    assert [line["loss"] for line in _log(cut)] == [line["loss"] for line in _log(whole)]


def test_tuning_that_cannot_be_is_refused(scenes_store, tmp_path) -> None:
    recipe = narrow("sat-soft-scenes", scenes_store, finetune_from=1, finetune_stages=1)
    with pytest.raises(RecipeError, match=r"finetune_stages.*has no stages"):
        train(recipe, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"train\.finetune_size: expected a whole number from 16 to 16,384, or None"):
        narrow("sat-soft-scenes", scenes_store, finetune_from=1, finetune_size=0)


def test_a_run_that_lost_its_words_is_refused(runs, tmp_path) -> None:
    shutil.copytree(runs["nic"], tmp_path / "run")
    (tmp_path / "run" / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"tokenizer\.json is missing"):
        checkpoint.load(tmp_path / "run")


def _log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_what_is_served_is_what_was_evaluated_to_the_last_bit_but_for_the_batch(tuned) -> None:
    """Neither rounds the features of a backbone that was trained along."""
    evaluate(tuned, accelerator="cpu", batch_size=1)
    predictor, scenes = Predictor.from_pretrained(tuned, device="cpu"), Scenes()
    for line in (tuned / "test" / "predictions.jsonl").read_text().splitlines()[:6]:
        expected = json.loads(line)
        [reply] = predictor.caption(scenes.open_image(expected["image"]))
        assert reply.caption == expected["caption"]
        assert reply.log_probability == pytest.approx(expected["log_probability"], abs=1e-5)


def test_the_same_image_twice_has_the_same_caption_twice(runs, scene) -> None:
    predictor = Predictor.from_pretrained(runs["sat-soft"], device="cpu")
    with Image.open(scene) as image:
        for source in (scene, image):
            first, second = predictor.caption([source, source])
            assert (first.caption, first.log_probability) == (second.caption, second.log_probability)
            assert first.regions.features.shape == second.regions.features.shape


@pytest.mark.parametrize("along", [True, False])
def test_a_damaged_image_is_left_out_and_counted_whatever_backbone_looks(
    along, tuned, runs, scene, saccade, tmp_path, monkeypatch
) -> None:
    run = tuned if along else runs["nic"]
    whole = Scenes.open_image

    def damaged(self, image: str):
        if image == "test/00003":
            raise ImageError("test/00003: the image is damaged")
        return whole(self, image)

    monkeypatch.setattr(Scenes, "open_image", damaged)
    monkeypatch.setattr("saccade.corpus.store_path", lambda _: tmp_path / "store")
    outcome = saccade("evaluate", run, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.err
    assert "5 captions left out, 1 images could not be read: test/00003: the image is damaged" in outcome.err
    assert json.loads(outcome.out)["images"] == 23
    (tmp_path / "cut.png").write_bytes(scene.read_bytes()[:300])
    outcome = saccade("caption", run, scene, tmp_path / "cut.png", scene)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2
    assert f"left out {tmp_path / 'cut.png'}: the image is damaged" in outcome.err
    outcome = saccade("caption", run, tmp_path / "cut.png")
    assert outcome.code == 1
    assert "none of the 1 images could be read" in outcome.err
