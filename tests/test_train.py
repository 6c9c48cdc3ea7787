"""The loop: parts equal the whole, clipping, the scale of the loss, the mean of the weights; schedules."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from safetensors.torch import load_file
from tests.runs import LINEAR, assert_same_weights, log, small, steps, timeless, weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from saccade import checkpoint, devices
from saccade.build import build, build_model
from saccade.data.scenes import write_scenes
from saccade.errors import RecipeError, RunError, SaccadeWarning
from saccade.features.backbones import create_backbone
from saccade.features.spec import FeatureSpec
from saccade.models import create_model
from saccade.optim import build_average
from saccade.progress import SILENT
from saccade.recipe import OptimConfig, Recipe
from saccade.recipes import get_recipe
from saccade.state import Progress, load_resume, save_resume
from saccade.tensors import save_tensors
from saccade.train import build_optimizer, learning_rate, train


def test_accumulated_parts_give_the_step_of_the_whole_batch(scenes_store, tmp_path) -> None:
    whole = small(scenes_store, epochs=1, batch_size=24, optim=LINEAR)
    parts = dataclasses.replace(whole, train=dataclasses.replace(whole.train, accumulate=3))
    train(whole, tmp_path / "whole")
    train(parts, tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts", atol=1e-5, rtol=1e-4)


def test_bf16_trains_and_resumes(scenes_store, tmp_path) -> None:
    recipe = small(scenes_store, epochs=1, precision="bf16-mixed")
    train(recipe, tmp_path / "run")
    longer = dataclasses.replace(recipe, optim=recipe.optim, train=dataclasses.replace(recipe.train, patience=3))
    assert 0 <= train(longer, tmp_path / "run", resume=True)["accuracy"] <= 1


def test_a_finished_run_is_neither_overwritten_nor_resumed_as_another(scenes_store, tmp_path) -> None:
    recipe = small(scenes_store, epochs=1)
    train(recipe, tmp_path / "run")
    with pytest.raises(RunError, match="holds a run already"):
        train(recipe, tmp_path / "run")
    other = dataclasses.replace(recipe, optim=dataclasses.replace(recipe.optim, lr=0.5))
    with pytest.raises(RunError, match=r"differ in optim\.lr \(0\.002, now 0\.5\)"):
        train(other, tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="no run to resume"):
        train(recipe, tmp_path / "nothing", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(RunError, match="other files and no run"):
        train(recipe, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_early_stopping_keeps_the_best_epoch(scenes_store, tmp_path) -> None:
    stuck = OptimConfig(name="sgd", lr=1e-30)
    metrics = train(small(scenes_store, epochs=9, patience=2, optim=stuck), tmp_path / "run")
    assert metrics["epoch"] == 1
    assert len(log(tmp_path / "run")) == 3


def test_a_loss_that_is_no_number_stops_the_run_with_advice(scenes_store, tmp_path) -> None:
    wild = OptimConfig(name="sgd", lr=1e30)
    with pytest.raises(RunError, match=r"no longer finite.*lower --optim\.lr"):
        train(small(scenes_store, epochs=9, optim=wild), tmp_path / "run")


def test_an_unknown_metric_names_those_there_are(scenes_store, tmp_path) -> None:
    with pytest.raises(RecipeError, match="no validation metric named 'bleu' to choose by; there are accuracy"):
        train(small(scenes_store, metric="bleu"), tmp_path / "run")


@pytest.mark.parametrize("clip_by", ["norm", "value", "parameter"])
def test_clipping_bounds_the_step(scenes_store, tmp_path, clip_by) -> None:
    gentle = OptimConfig(name="sgd", lr=1.0, momentum=0.0, clip=1e-9, clip_by=clip_by)
    recipe = small(scenes_store, epochs=1, optim=gentle)
    train(recipe, tmp_path / "run")
    train(dataclasses.replace(recipe, optim=dataclasses.replace(gentle, lr=1e-30)), tmp_path / "still")
    assert_same_weights(tmp_path / "run", tmp_path / "still", atol=1e-7, rtol=0)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_penalty_inside_the_clipping_is_part_of_the_loss_of_a_step(scenes_store, tmp_path, accumulate) -> None:
    optim = OptimConfig(
        name="sgd", lr=0.5, momentum=0.0, weight_decay=0.3, decay_inside_clip=True, clip=0.02, clip_by="parameter"
    )
    recipe = small(scenes_store, epochs=1, batch_size=10_000, optim=optim, accumulate=accumulate)
    train(recipe, tmp_path / "run")
    setup = build(recipe, SILENT, torch.device("cpu"))
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe, setup.task, setup.facts)
    batch = setup.task.collate(setup.task.trainable(setup.train), setup.store.read, grouped=True)
    loss = setup.task.loss(model, batch, lambda rows: rows) / len(batch.questions)
    (loss + 0.15 * sum(p.square().sum() for p in model.parameters())).backward()
    for parameter in model.parameters():
        torch.nn.utils.clip_grad_norm_(parameter, 0.02)
        parameter.data -= 0.5 * parameter.grad
    found = weights(tmp_path / "run")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    assert log(tmp_path / "run")[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)  # which is told without it


def test_schedules() -> None:
    recipe = get_recipe("r-dan-scenes")

    def rates(epochs: int, **optim) -> list[float]:
        changed = dataclasses.replace(
            recipe, optim=OptimConfig(lr=1.0, **optim), train=dataclasses.replace(recipe.train, epochs=epochs)
        )
        return [learning_rate(changed, step, 2) for step in range(2 * epochs)]

    assert rates(2) == [1, 1, 1, 1]
    assert rates(3, schedule="step", milestones=(1, 2)) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates(2, warmup_epochs=1.0) == [0.5, 1, 1, 1]
    assert rates(2, schedule="cosine") == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert rates(3, schedule="steps", factor=0.5, period=2) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert rates(3, schedule="epochs", rates=(0.5, 2.0)) == [0.5, 0.5, 2, 2, 2, 2]
    with pytest.raises(RecipeError, match=r"optim\.rates: the schedule epochs needs"):
        rates(1, schedule="epochs")


def test_biases_and_embeddings_may_learn_faster_and_be_spared_the_penalty() -> None:
    model = create_model("smem-2", num_words=3, num_answers=2, region_size=5, hidden_size=7)
    named = dict(model.named_parameters())
    biases = {name for name in named if "bias" in name}
    embeddings = {name for name in named if name.startswith("words.")}
    assert len(biases) == 5  # the paper's b_A, b_E, b_E2, b_Q and b_P
    assert len(embeddings) == 1

    def of(key: str, **config) -> dict[str, float]:
        groups = build_optimizer(OptimConfig(weight_decay=0.5, **config), model).param_groups
        found = {id(parameter): group[key] for group in groups for parameter in group["params"]}
        return {name: found[id(parameter)] for name, parameter in named.items()}

    assert of("times", bias_lr=2.0) == {name: 2.0 if name in biases else 1.0 for name in named}
    assert of("times", embedding_lr=80.0) == {name: 80.0 if name in embeddings else 1.0 for name in named}
    assert of("weight_decay") == dict.fromkeys(named, 0.5)
    assert of("weight_decay", decay="weights") == {name: 0.0 if name in biases else 0.5 for name in named}
    spared = of("weight_decay", decay="not-embeddings")
    assert spared == {name: 0.0 if name in embeddings else 0.5 for name in named}


def test_a_loss_weight_acts_before_clipping_and_a_learning_rate_behind_it(scenes_store, tmp_path) -> None:
    """Without clipping, a weight of 20 is a rate of 20."""
    plain = OptimConfig(name="sgd", lr=0.02, momentum=0.0)
    weighted = dataclasses.replace(plain, lr=0.001, loss_weight=20.0)
    for name, optim in {"plain": plain, "weighted": weighted}.items():
        train(small(scenes_store, epochs=1, optim=optim), tmp_path / name)
    assert_same_weights(tmp_path / "plain", tmp_path / "weighted", atol=1e-6, rtol=1e-5)
    assert log(tmp_path / "plain")[0]["loss"] == pytest.approx(log(tmp_path / "weighted")[0]["loss"], rel=1e-5)


def test_training_on_validation_questions_too_keeps_the_last_epoch_and_validates_nothing(
    scenes_store, tmp_path
) -> None:
    recipe = small(scenes_store)
    data = dataclasses.replace(recipe.data, train="train+val")
    metrics = train(dataclasses.replace(recipe, data=data), tmp_path / "run")
    assert metrics.keys() == {"loss", "epoch"}
    assert metrics["epoch"] == recipe.train.epochs
    best = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(best[name], value) for name, value in weights(tmp_path / "run").items())
    train(recipe, tmp_path / "half")
    steps = [log(tmp_path / name)[0]["step"] for name in ("run", "half")]
    assert steps[0] > steps[1]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adamax", "rmsprop"])
def test_every_optimizer_takes_a_step_and_keeps_its_state(name, tmp_path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(OptimConfig(name=name), model)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tmp_path.joinpath("run").mkdir()
    save_resume(tmp_path / "run", Progress(step=5), model, optimizer, {})
    other = torch.nn.Linear(3, 2)
    restored = build_optimizer(OptimConfig(name=name), other)
    progress, _ = load_resume(tmp_path / "run", other, restored)
    assert progress.step == 5
    assert torch.equal(model.weight, other.weight)
    for ours, theirs in zip(optimizer.state.values(), restored.state.values(), strict=True):
        for key, value in ours.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[key]))


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_running_mean_of_the_weights(decay) -> None:
    model = torch.nn.BatchNorm1d(3)
    average = build_average(model, decay)
    draws = torch.randn(20, 3)
    expected = draws[0].double()
    for n, weight in enumerate(draws):
        model.load_state_dict({**model.state_dict(), "weight": weight, "running_mean": weight})
        average.update_parameters(model)
        kept = min(decay, (1 + n) / (10 + n))
        expected = expected if n == 0 else kept * expected + (1 - kept) * weight.double()
    assert torch.allclose(average.module.weight.double(), expected, atol=1e-6, rtol=0)
    assert torch.equal(average.module.running_mean, draws[-1])


def test_an_averaged_run_keeps_the_mean_and_is_the_same_when_it_is_cut_and_resumed(scenes_store, tmp_path) -> None:
    optim = OptimConfig(name="adam", lr=5e-3)
    train(small(scenes_store, epochs=3, optim=optim, average=0.9), tmp_path / "whole")
    train(small(scenes_store, epochs=2, optim=optim, average=0.9), tmp_path / "cut")
    train(small(scenes_store, epochs=3, optim=optim, average=0.9), tmp_path / "cut", resume=True)
    assert [timeless(each) for each in log(tmp_path / "cut")] == [timeless(each) for each in log(tmp_path / "whole")]
    [last] = (tmp_path / "whole" / "resume").iterdir()
    [resumed] = (tmp_path / "cut" / "resume").iterdir()
    means, again = load_file(last / "average.safetensors"), load_file(resumed / "average.safetensors")
    assert all(torch.equal(means[name], again[name]) for name in means)
    steps = weights(tmp_path / "whole")
    assert any(not torch.equal(means[f"module.{name}"], value) for name, value in steps.items())


def test_what_is_kept_is_the_mean(scenes_store, tmp_path) -> None:
    recipe = small(scenes_store, average=0.9)
    data = dataclasses.replace(recipe.data, train="train+val")  # nothing to choose the epoch on: the last is kept
    train(dataclasses.replace(recipe, data=data), tmp_path / "run")
    [last] = (tmp_path / "run" / "resume").iterdir()
    means, kept = load_file(last / "average.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(means[f"module.{name}"], value) for name, value in kept.items())
    checkpoint.load(tmp_path / "run")


def test_a_mean_that_never_moves_is_refused(scenes_store) -> None:
    with pytest.raises(RecipeError, match=r"train\.average"):
        small(scenes_store, average=1.0)


class ScalesOnly(MixedPrecision):
    """Scales the loss as 16-mixed does, and computes in 32 bits: a power of two changes no bit of a gradient."""

    def __init__(self, growth_interval: int = 2000) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=growth_interval)
        super().__init__("16-mixed", "cpu", scaler)

    def forward_context(self) -> AbstractContextManager[None]:
        return nullcontext()

    def convert_input(self, data):
        return data


def scaled(monkeypatch, **options) -> list[MixedPrecision]:
    """Lets train scale its losses; returns the scalers that were made, one a run."""
    made: list[MixedPrecision] = []

    def make_fabric(*_: object) -> Fabric:
        made.append(ScalesOnly(**options))
        return Fabric(accelerator="cpu", devices=1, plugins=[made[-1]])

    monkeypatch.setattr("saccade.train.make_fabric", make_fabric)
    return made


@pytest.mark.parametrize("clip_by", [None, "norm", "value", "parameter"])
def test_a_scaled_loss_takes_the_steps_of_an_unscaled_one_however_it_is_clipped(
    scenes_store, tmp_path, monkeypatch, clip_by
) -> None:
    clipping = {"clip": None} if clip_by is None else {"clip": 0.01, "clip_by": clip_by}
    recipe = small(scenes_store, epochs=1, optim=dataclasses.replace(LINEAR, **clipping), accumulate=2)
    train(recipe, tmp_path / "plain")
    made = scaled(monkeypatch)
    train(recipe, tmp_path / "scaled")
    assert made[0].scaler.is_enabled()
    assert_same_weights(tmp_path / "plain", tmp_path / "scaled")


def test_the_scale_is_saved_and_resumed(scenes_store, tmp_path, monkeypatch) -> None:
    made = scaled(monkeypatch, growth_interval=4)
    recipe = small(scenes_store, epochs=2, optim=LINEAR)
    train(recipe, tmp_path / "whole")
    train(small(scenes_store, epochs=1, optim=LINEAR), tmp_path / "cut")
    train(recipe, tmp_path / "cut", resume=True)
    whole, cut, resumed = (plugin.state_dict() for plugin in made)
    assert resumed == whole
    assert whole["scale"] > cut["scale"] > 2.0**10
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")


class Kinds(TorchDispatchMode):
    """The kinds of all tensors that operations give."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        self.seen |= {value.dtype for value in tree_leaves(given) if isinstance(value, torch.Tensor)}
        return given


def test_a_device_without_float64_is_given_none(scenes_store, tmp_path, monkeypatch) -> None:
    recipe = small(scenes_store, epochs=1, average=0.9, optim=dataclasses.replace(LINEAR, clip_by="parameter"))
    with Kinds() as kinds:
        train(recipe, tmp_path / "float64")
    assert torch.float64 in kinds.seen
    monkeypatch.setattr(devices, "sum_dtype", lambda device: torch.float32)
    with Kinds() as kinds:
        train(recipe, tmp_path / "float32")
    assert torch.float32 in kinds.seen
    assert torch.float64 not in kinds.seen
    assert_same_weights(tmp_path / "float64", tmp_path / "float32")
    losses = [log(tmp_path / name)[0]["loss"] for name in ("float64", "float32")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_no_step_is_lost_to_a_metric_that_fails(scenes_store, tmp_path, monkeypatch) -> None:
    recipe = small(scenes_store, epochs=2, sizes={"dropout": 0.3})
    train(recipe, tmp_path / "whole")

    def fail(*_: object) -> dict[str, float]:
        raise RunError("no Java")

    with monkeypatch.context() as patch:
        patch.setattr("saccade.tasks.answering.task.AnsweringTask.metrics", fail)
        for resume in (False, True):
            with pytest.raises(RunError, match="no Java"):
                train(recipe, tmp_path / "failed", resume=resume)
            assert steps(tmp_path / "failed") == [f"step-{log(tmp_path / 'whole')[0]['step']:09d}"]
    train(recipe, tmp_path / "failed", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "failed")
    assert [timeless(r) for r in log(tmp_path / "whole")] == [timeless(r) for r in log(tmp_path / "failed")]


def test_a_run_goes_on_where_its_data_store_and_weights_moved_to(tmp_path) -> None:
    """Own data, and the weights of a backbone in a file."""
    places = {"data": tmp_path / "data", "store": tmp_path / "store", "weights": tmp_path / "net.safetensors"}
    write_scenes(places["data"], images=12)
    spec = FeatureSpec(backbone="test_resnet", weights="random", image_size=64)
    with pytest.warns(SaccadeWarning, match="are random"):
        net = {name.removeprefix("_model."): value for name, value in create_backbone(spec).state_dict().items()}
    save_tensors(places["weights"], net)

    def recipe(epochs: int) -> Recipe:
        base = small("", epochs=epochs, optim=LINEAR)
        data = dataclasses.replace(base.data, name="own", root=str(places["data"]), store=str(places["store"]))
        return dataclasses.replace(base, data=data, features=dataclasses.replace(spec, weights=str(places["weights"])))

    train(recipe(1), tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    train(recipe(2), tmp_path / "whole", resume=True)
    for name, place in places.items():
        places[name] = place.rename(tmp_path / f"moved-{place.name}")
    train(recipe(2), tmp_path / "run", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "run")
    save_tensors(places["weights"], {name: value * 0.5 for name, value in net.items()})
    places["store"] = tmp_path / "other"
    with pytest.raises(RunError, match=r"was started on other features, so it cannot be resumed: weights_hash"):
        train(recipe(3), tmp_path / "run", resume=True)
