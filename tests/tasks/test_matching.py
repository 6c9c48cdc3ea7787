"""Matching: losses beside slow ones in NumPy, batches, ranks of a batch by heart, two processes, replies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from tests.runs import LINEAR, assert_same_weights, log

from saccade.data.records import Caption
from saccade.errors import DataError, RecipeError, RunError
from saccade.models import create_model
from saccade.recipe import TrainConfig
from saccade.recipes import get_recipe
from saccade.tasks import MatchingConfig, MatchingOptions
from saccade.tasks.captioned import CaptionedImage
from saccade.tasks.matching.losses import all_hinge, hardest_hinge, random_hinge, semi_hard_hinge, softmax_loss
from saccade.tasks.matching.task import MatchingTask, MatchPrediction, PairBatch
from saccade.tasks.reply import OpenedImage
from saccade.text import pad_words
from saccade.train import train
from saccade.types import Grouping, Regions

TEXTS = {"a": ["A dog runs.", "The dog's ball!"], "b": ["a cat sits", "a small cat sits down"], "c": ["three birds"]}
CAPTIONS = [Caption(f"{image}#{n}", image, text) for image, texts in TEXTS.items() for n, text in enumerate(texts)]


def build(**config) -> MatchingTask:
    return MatchingTask.build(CAPTIONS, MatchingConfig(**config))


def read(images: list[str]) -> Regions:
    """Two regions an image, told apart by the image's letter."""
    features = torch.stack([torch.full((2, 3), float(ord(image[0]) - 97)).cos() for image in images])
    return Regions(features, torch.ones(len(images), 2, dtype=torch.bool), grid=(1, 2))


def model(task: MatchingTask, **sizes) -> torch.nn.Module:
    torch.manual_seed(0)
    made = create_model("m-dan", num_words=len(task.vocabulary), region_size=3, hidden_size=7, dropout=0.0, **sizes)
    return made.eval()


def test_a_sample_of_the_training_sentences_is_kept_with_the_run() -> None:
    task = build()
    assert sorted(task.background) == sorted(caption.text for caption in CAPTIONS)
    assert MatchingTask.from_files(task.files(), task.config).background == task.background
    many = [Caption(str(n), str(n), f"dog {n}") for n in range(3_000)]
    sample = MatchingTask.build(many, MatchingConfig()).background
    assert len(sample) == len(set(sample)) == 1_000
    with pytest.raises(RunError, match=r"background\.json: expected a list of texts"):
        MatchingTask.from_files({**task.files(), "background.json": "{}"}, task.config)


# Losses


IMAGE_OF = [torch.arange(9), torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 4])]


def scores(image_of: torch.Tensor) -> torch.Tensor:
    size = (int(image_of.max()) + 1, len(image_of))
    return torch.randn(size, generator=torch.Generator().manual_seed(len(image_of)), dtype=torch.float64)


def hinges(S: torch.Tensor, image_of: torch.Tensor, margin: float, j: int) -> tuple[dict[int, float], dict[int, float]]:
    """What each sentence of another image costs the pair of sentence j, and what each other image does."""
    table, right = S.tolist(), image_of.tolist()
    pair = table[right[j]][j]
    return (
        {k: max(0.0, margin - pair + table[right[j]][k]) for k in range(len(right)) if right[k] != right[j]},
        {i: max(0.0, margin - pair + table[i][j]) for i in range(len(table)) if i != right[j]},
    )


@pytest.mark.parametrize("image_of", IMAGE_OF, ids=["one each", "several"])
@pytest.mark.parametrize("margin", [0.2, 1.5])
def test_hinges_equal_their_definitions(margin: float, image_of: torch.Tensor) -> None:
    S = scores(image_of)
    sums, highest, below = 0.0, 0.0, 0.0
    for j in range(len(image_of)):
        for costs in hinges(S, image_of, margin, j):
            sums += sum(costs.values())
            highest += max(costs.values())
            # Below the pair: what costs less than the margin.
            below += max([cost for cost in costs.values() if cost < margin], default=0.0)
    assert all_hinge(S, image_of, margin).item() == pytest.approx(sums)
    assert hardest_hinge(S, image_of, margin).item() == pytest.approx(highest)
    assert semi_hard_hinge(S, image_of, margin).item() == pytest.approx(below)


@pytest.mark.parametrize("image_of", [torch.arange(5), torch.tensor([0, 0, 1, 2, 2, 2])], ids=["one each", "several"])
def test_one_random_negative_each_way_never_the_pair_itself(image_of: torch.Tensor) -> None:
    S, margin, count = scores(image_of), 1.0, len(image_of)
    draws = torch.rand(count, 2, generator=torch.Generator().manual_seed(1))
    expected = 0.0
    for j in range(count):
        for costs, draw in zip(hinges(S, image_of, margin, j), draws[j].tolist(), strict=True):
            expected += list(costs.values())[int(draw * len(costs))]
    assert random_hinge(S, image_of, margin, draws).item() == pytest.approx(expected)
    assert random_hinge(S[:1, :1], image_of[:1], margin, draws[:1]).item() == 0
    assert random_hinge(S, image_of, margin, torch.ones(count, 2)).isfinite()


def test_each_other_one_is_drawn_evenly() -> None:
    image_of, even = torch.arange(5), torch.arange(4).repeat(2, 1).T / 4
    S = scores(image_of)
    many = sum(random_hinge(S, image_of, 1.0, even[k].expand(5, 2)).item() for k in range(4))
    assert many == pytest.approx(all_hinge(S, image_of, 1.0).item())


@pytest.mark.parametrize("image_of", IMAGE_OF, ids=["one each", "several"])
def test_the_softmax_is_over_sentences_of_others_and_over_images(image_of: torch.Tensor) -> None:
    S = scores(image_of)
    table, right, both = S.numpy(), image_of.tolist(), 0.0
    for j, i in enumerate(right):
        among = [table[i, k] for k in range(len(right)) if k == j or right[k] != i]
        both -= sum(np.log(np.exp(table[i, j]) / np.exp(line).sum()) / 2 for line in (among, table[:, j]))
    assert softmax_loss(S, image_of).item() == pytest.approx(both)


@pytest.mark.parametrize("loss", [all_hinge, hardest_hinge, semi_hard_hinge])
def test_gradients_of_hinges_are_exact(loss) -> None:
    for image_of in (torch.arange(4), torch.tensor([0, 0, 1, 2])):
        S = scores(image_of).requires_grad_()
        assert torch.autograd.gradcheck(lambda S, image_of=image_of: loss(S, image_of, 0.7), (S,))
        assert torch.autograd.gradcheck(lambda S, image_of=image_of: softmax_loss(S, image_of), (S,))


def test_the_hardest_alone_come_after_the_warm_up() -> None:
    task = build(loss="hardest", margin=0.5, warmup_epochs=2)
    chosen, batch = model(task), task.collate([CAPTIONS[0], CAPTIONS[2], CAPTIONS[4]], read, grouped=False)
    output = chosen(batch.regions, batch.words)
    S = output.images.z @ output.sentences.z.T
    for epoch, expected in ((0, all_hinge), (1, all_hinge), (2, hardest_hinge)):
        task.begin(epoch)
        loss = task.loss(chosen, batch, lambda rows: rows)
        assert loss.item() == pytest.approx(expected(S, torch.arange(3), 0.5).item())


def test_a_learned_scale_multiplies_cosines() -> None:
    task = build(loss="softmax")
    chosen = model(task, similarity="cosine")
    batch = task.collate([CAPTIONS[0], CAPTIONS[2], CAPTIONS[4]], read, grouped=False)
    output = chosen(batch.regions, batch.words)
    S = output.images.z @ output.sentences.z.T / 0.07
    loss = task.loss(chosen, batch, lambda rows: rows)
    assert loss.item() == pytest.approx(softmax_loss(S, torch.arange(3)).item(), rel=1e-5)
    loss.backward()
    assert chosen.log_scale.grad.abs() > 0


def test_sentences_of_one_image_are_compared_with_those_of_others_alone() -> None:
    task = build(loss="softmax")
    chosen, mixed = model(task), [CAPTIONS[i] for i in (2, 0, 4, 3, 1)]
    batch = task.collate(mixed, read, grouped=True)
    assert [(each.image, len(each.captions)) for each in batch.images] == [("b", 2), ("a", 2), ("c", 1)]
    output = chosen(batch.regions, batch.words)
    assert (len(output.images.z), len(output.sentences.z)) == (3, 5)
    expected = softmax_loss(output.images.z @ output.sentences.z.T, torch.tensor([0, 0, 1, 1, 2]))
    assert task.loss(chosen, batch, lambda rows: rows).item() == pytest.approx(expected.item(), rel=1e-5)


# Batches


def test_batches_have_every_sentence_once_and_no_image_twice() -> None:
    captions = [Caption(f"{image}#{n}", f"{image}", "a") for image in range(23) for n in range(1 + image % 5)]
    task, config = build(), TrainConfig(batch_size=4)
    epochs = [task.batches(captions, config, epoch) for epoch in range(2)]
    for batches in epochs:
        flat = [[i for group in batch for i in group] for batch in batches]
        assert sorted(i for batch in flat for i in batch) == list(range(len(captions)))
        assert all(len({captions[i].image for i in batch}) == len(batch) <= 4 for batch in flat)
    assert epochs[0] != epochs[1]
    assert epochs[0] == task.batches(captions, config, 0)


def test_grouped_batches_have_all_sentences_of_an_image() -> None:
    captions = [Caption(f"{image}#{n}", f"{image}", "a") for n in range(5) for image in range(23) if n <= image % 5]
    batches = build().batches(captions, TrainConfig(batch_size=10, group_by_image=True), 0)
    assert sorted(i for batch in batches for group in batch for i in group) == list(range(len(captions)))
    for group in (group for batch in batches for group in batch):
        image = captions[group[0]].image
        assert [captions[i].image for i in group] == [image] * (1 + int(image) % 5)


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(DataError, match="at least two images"):
        build().trainable(CAPTIONS[:2])
    with pytest.raises(DataError, match=r"sentence 'c#0' of c: expected a sentence with at least one word, got '\.\.'"):
        build().check([Caption("c#0", "c", "..")])
    for wrong in ({"margin": -1.0}, {"warmup_epochs": -1}, {"words": 2}, {"min_word_count": 0}):
        with pytest.raises(RecipeError, match="task"):
            build(**wrong)


# Predictions, metrics, replies


def test_predictions_are_the_embeddings_of_images_and_of_all_their_sentences() -> None:
    task = build()
    chosen, examples = model(task), task.examples(CAPTIONS)
    with torch.inference_mode():
        batch = task.stack(examples, read)
        found = task.predict(chosen, batch, MatchingOptions(), attention=True, generator=torch.Generator())
    assert [each.image for each in found] == ["a", "b", "c"]
    assert [len(each.of_sentences) for each in found] == [2, 2, 1]
    texts = [text for texts in TEXTS.values() for text in texts]
    z = chosen.embed_sentences(task.vocabulary.encode(texts)).z.detach().numpy()
    np.testing.assert_allclose(np.concatenate([each.of_sentences for each in found]), z, atol=1e-6)
    assert found[0].to_dict()["scores"] == pytest.approx((z[:2] @ found[0].of_image).tolist(), abs=1e-5)
    assert found[2].said() == {"score": pytest.approx(float(z[4] @ found[2].of_image), abs=1e-5)}
    assert set(task.metrics(found)) == set(task.metric_names(CAPTIONS, None))


def prediction(image: int, size: int = 10) -> MatchPrediction:
    one = np.eye(size, dtype=np.float32)[image]
    return MatchPrediction(str(image), ("x", "y"), one, np.stack([one, np.roll(one, 1)]))


def test_folds_are_scored_by_themselves() -> None:
    found = [prediction(image) for image in range(10)]
    task = build()
    whole, means = task.metrics(found), task.further_metrics(found, MatchingOptions(folds=5))
    assert whole["images"] == 10
    assert means["images_of_5_folds"] == 2
    assert means["t2i_meanr_of_5_folds"] < whole["t2i_meanr"]
    assert task.further_metrics(found, MatchingOptions()) == {}
    with pytest.raises(RecipeError, match="10 images do not make 3 equal parts"):
        task.further_metrics(found, MatchingOptions(folds=3))


@pytest.mark.parametrize("folds", [0, -1, 2.5, 5.0, True, float("nan"), "5"])
def test_a_number_of_folds_that_cannot_be_is_refused(folds: object) -> None:
    with pytest.raises(RecipeError, match=f"folds: expected a whole number above 0, got {folds!r}"):
        build().check_options(None, MatchingOptions(folds=folds))


def test_it_is_refused_before_anything_is_predicted(refused, scenes_store, tmp_path) -> None:
    recipe = get_recipe("vse-scenes").smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=scenes_store),
        train=dataclasses.replace(recipe.train, accelerator="cpu", epochs=1),
        sizes={"hidden_size": 8},
    )
    train(recipe, tmp_path / "run")
    refused("evaluate", tmp_path / "run", "--folds", 0, parts=("folds: expected a whole number above 0, got 0",))
    assert not (tmp_path / "run" / "test").exists()


@pytest.mark.parametrize("grouped", [False, True])
def test_a_reply_has_the_score_its_steps_and_the_maps_of_both_sides(grouped: bool) -> None:
    task = build()
    chosen, regions = model(task, steps=3), read(["a"] if grouped else ["a", "b"])
    if grouped:
        regions = regions.grouped(Grouping.of(torch.tensor([0, 0])))
    pictures = [OpenedImage(Image.new("RGB", (32, 16)), "x.png")] * 2
    with torch.no_grad():
        found = task.reply(chosen, regions, pictures, ["a dog runs", "a zebra"], MatchingOptions(), torch.Generator())
        z_v = chosen.embed_images(regions).z
        z_u = chosen.embed_sentences(task.vocabulary.encode(["a dog runs", "a zebra"])).z
    for i, reply in enumerate(found):
        assert reply.score == pytest.approx(float(z_v[0 if grouped else i] @ z_u[i]), abs=1e-5)
        assert sum(reply.parts) == pytest.approx(reply.score, abs=1e-5)
        assert len(reply.parts) == 4
        assert [(each.name, each.axes) for each in reply.attention] == [
            (f"step {k}", axes) for axes in (("regions",), ("words",)) for k in (1, 2, 3)
        ]
    assert found[1].unknown_words == ("zebra",)
    assert found[0].to_dict()["words"] == ["a", "dog", "runs"]
    assert [panel.title for panel in found[0].figure().panels] == ["image", "step 1", "step 2", "step 3"]
    assert "the steps from 0 on" in found[0].figure("right").lines[0]
    with pytest.raises(RecipeError, match="expected a sentence for each image"):
        task.reply(chosen, regions, pictures, None, MatchingOptions(), torch.Generator())
    with pytest.raises(DataError, match="at least one word"):
        task.reply(chosen, regions, pictures, ["a dog", ".."], MatchingOptions(), torch.Generator())


PAIRS = tuple(CaptionedImage(str(k), (Caption(str(k), str(k), "a"),)) for k in range(8))


@pytest.mark.parametrize(
    ("loss", "margin", "similarity", "steps"),
    [
        ("random", 100.0, "product", 2),
        ("all", 0.2, "cosine", 2),
        ("hardest", 0.2, "cosine", 2),
        ("semi-hard", 0.2, "cosine", 2),
        ("softmax", 0.2, "cosine", 2),
        ("softmax", 0.2, "product", 2),
        ("softmax", 0.2, "cosine", 0),
        ("all", 0.2, "cosine", 0),
    ],
)
def test_eight_pairs_are_learnt_by_heart(loss: str, margin: float, similarity: str, steps: int) -> None:
    generator = torch.Generator().manual_seed(4)
    regions = Regions(torch.randn(8, 5, 6, generator=generator), torch.ones(8, 5, dtype=torch.bool))
    words = pad_words([[2 + k, *[11, 12][: k % 3]] for k in range(8)])
    torch.manual_seed(0)
    name, sizes = ("m-dan", {"steps": steps}) if steps else ("vse", {})
    made = create_model(name, num_words=14, region_size=6, hidden_size=24, dropout=0.0, similarity=similarity, **sizes)
    task = MatchingTask(build().vocabulary, (), MatchingConfig(loss=loss, margin=margin, warmup_epochs=1))
    optimizer, batch = torch.optim.Adam(made.parameters(), lr=0.01), PairBatch(regions, words, PAIRS)
    for step in range(400):
        task.begin(int(step > 100))
        optimizer.zero_grad()
        task.loss(made, batch, lambda rows: rows).backward()
        optimizer.step()
        output = made(regions, words)
        S = output.images.z @ output.sentences.z.T
        right = torch.arange(8)
        if step % 10 == 9 and S.argmax(0).equal(right) and S.argmax(1).equal(right):
            return
    pytest.fail(f"after 400 steps: {S}")


@pytest.mark.parametrize(
    ("loss", "grouped"), [("random", False), ("hardest", False), ("softmax", False), ("softmax", True)]
)
def test_two_processes_hold_a_pair_against_those_of_the_whole_batch(
    loss: str, grouped: bool, scenes_store, tmp_path
) -> None:
    recipe = get_recipe("m-dan-scenes").smoke()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=scenes_store),
        task=dataclasses.replace(recipe.task, loss=loss, margin=0.2),
        optim=LINEAR,
        train=dataclasses.replace(
            recipe.train, accelerator="cpu", epochs=1, batch_size=7, average=0.0, group_by_image=grouped
        ),
        sizes={"hidden_size": 8, "dropout": 0.0, "similarity": "cosine"},
    )
    train(recipe, tmp_path / "one")
    both = dataclasses.replace(recipe.train, devices=2, strategy="ddp_fork")
    train(dataclasses.replace(recipe, train=both), tmp_path / "two")
    if loss == "random":  # which depends on what each process draws
        assert log(tmp_path / "two")[0]["loss"] > 0
    else:
        assert_same_weights(tmp_path / "one", tmp_path / "two", rtol=1e-3, atol=1e-5)
        assert log(tmp_path / "one")[0]["rsum"] == pytest.approx(log(tmp_path / "two")[0]["rsum"])
