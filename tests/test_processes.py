"""Runs of several processes, and killed ones: two equal one, resumed equals undisturbed, an error is one line."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from tests.runs import LINEAR, assert_same_weights, log, small, steps, timeless

from saccade import checkpoint
from saccade.features.store import FeatureStore
from saccade.recipe import recipe_to_dict
from saccade.train import train


def test_a_run_killed_at_random_and_resumed_ends_with_the_same_bits(scenes_store, tmp_path) -> None:
    recipe = small(scenes_store, epochs=6, save_every=2, batch_size=8, sizes={"dropout": 0.3})
    train(recipe, tmp_path / "whole")
    checkpoint.write_json(tmp_path / "recipe.json", recipe_to_dict(recipe))
    script = (
        "import sys; from pathlib import Path; from saccade.recipe import recipe_from_dict\n"
        "from saccade.serial import *\n"
        "from saccade.train import train; folder = Path(sys.argv[1]); run = folder / 'killed'\n"
        "train(recipe_from_dict(read_json(folder / 'recipe.json')), run, resume=(run / 'recipe.json').exists())"
    )
    kills, chance = 0, random.Random(7)
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE)
        # Wait until the run makes progress beyond what it had, then kill it at a random moment; at last let it finish.
        before, patience = steps(tmp_path / "killed"), time.monotonic() + 120
        while process.poll() is None and steps(tmp_path / "killed") == before and time.monotonic() < patience:
            time.sleep(0.01)
        if kills < 2:
            time.sleep(chance.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=300)
        kills += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        if process.returncode == 0:
            break
    assert kills == 2
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    assert [timeless(r) for r in log(tmp_path / "whole")] == [timeless(r) for r in log(tmp_path / "killed")]
    best = [load_file(tmp_path / run / "model.safetensors") for run in ("whole", "killed")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def command(store: str, *arguments: object) -> list[str]:
    """The command line, to be run in processes of its own, for the recipe of `small` with one rate and no dropout."""
    fields = {"data.store": store, "train.accelerator": "cpu", "sizes.hidden-size": 16, "sizes.dropout": 0.0}
    fields |= {
        "optim.name": "sgd",
        "optim.schedule": "constant",
        "optim.warmup-epochs": 0.0,
        "optim.lr": 0.1,
        "train.average": 0.9,
    }
    said = [str(word) for name, value in fields.items() for word in (f"--{name}", value)]
    return ["-m", "saccade", "train", "r-dan-scenes", "--smoke", *said, *map(str, arguments)]


def test_torchruns_processes_are_one_run(scenes_store, tmp_path) -> None:
    train(small(scenes_store, epochs=1), tmp_path / "features")  # one process extracts them for itself
    shared = str(tmp_path / "store")  # and two for both of them
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    two = subprocess.Popen(
        [*run, *command(shared, "--out", tmp_path / "two")], env=environment, stdout=subprocess.PIPE, text=True
    )
    one = subprocess.run(
        [sys.executable, *command(scenes_store, "--out", tmp_path / "one")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    printed, _ = two.communicate(timeout=300)
    assert two.returncode == 0
    ours = "".join(line for line in printed.splitlines(keepends=True) if not line.startswith("[Gloo]"))
    assert ours.replace("two", "one") == one.stdout  # once, and the same
    for ours, theirs in zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True):
        assert timeless(ours) == pytest.approx(timeless(theirs), rel=1e-4)
    assert_same_weights(tmp_path / "one", tmp_path / "two", atol=1e-5, rtol=1e-4)
    assert not list((tmp_path / "two").rglob(".*"))
    alone, ours = FeatureStore.open(scenes_store), FeatureStore.open(shared)
    assert torch.equal(ours.read(ours.ids).features, alone.read(ours.ids).features)
    assert len(ours) == 72


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks on Windows")
def test_of_two_that_resume_one_run_one_goes_on_and_one_says_why_not(scenes_store, tmp_path) -> None:
    train(small(scenes_store, epochs=1, optim=LINEAR), tmp_path / "run")
    resume = ["-m", "saccade", "train", "r-dan-scenes", "--out", str(tmp_path / "run"), "--resume"]
    resume += ["--train.epochs", "100000"]
    two = [subprocess.Popen([sys.executable, *resume], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        until = time.monotonic() + 120
        while all(process.poll() is None for process in two) and time.monotonic() < until:
            time.sleep(0.1)
        (refused,) = (process for process in two if process.poll() is not None)
        assert refused.returncode == 1
        assert refused.stderr is not None
        line = f"saccade: another process is training in {tmp_path / 'run'}: wait for it to end, or name another "
        assert refused.stderr.read() == line + "folder with --out\n"
        epochs = len(log(tmp_path / "run"))
        while len(log(tmp_path / "run")) <= epochs + 1 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(log(tmp_path / "run")) > epochs + 1
    finally:
        for process in two:
            process.kill()
            process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked on Windows")
@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork"])
def test_the_error_of_two_processes_is_one_line(scenes_store, tmp_path, strategy) -> None:
    several = ("--train.devices", 2, "--train.strategy", strategy, "--train.metric", "nope", "--out", tmp_path / "run")
    outcome = subprocess.run(
        [sys.executable, *command(scenes_store, *several)], capture_output=True, text=True, timeout=300, check=False
    )
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    *_, last = outcome.stderr.splitlines()
    assert last.startswith("saccade: train.metric: no validation metric named 'nope' to choose by; there are accuracy")
    assert outcome.stderr.count("nope") == 1
