"""A loss that compares the texts of a batch with each other: the same on two processes as on one, never in parts."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from saccade.errors import RecipeError
from saccade.recipe import OptimConfig
from saccade.recipes import get_recipe
from saccade.tasks.answering.config import AnsweringConfig
from saccade.tasks.answering.task import AnsweringTask
from saccade.train import train


class ContrastTask(AnsweringTask):
    """Each question's logits are to be told from those of the others in the batch."""

    separable = False

    def loss(self, model, batch, gather):
        rows = gather(model(batch.regions, batch.words, attention=False).logits)
        rows = torch.nn.functional.normalize(rows, dim=1)
        return torch.nn.functional.cross_entropy(4 * rows @ rows.T, torch.arange(len(rows)), reduction="sum")


@dataclasses.dataclass(frozen=True)
class ContrastConfig(AnsweringConfig):
    """Answering with another loss."""

    @staticmethod
    def task():
        return ContrastTask


def recipe(store: str, **changes):
    small = get_recipe("r-dan-scenes").smoke()
    optim = OptimConfig(name="sgd", lr=0.1, momentum=0.9, clip=0.1)  # Adam would divide rounding errors by themselves
    # 188 questions and batches of 17: the last one has a single question for two processes.
    training = {"accelerator": "cpu", "epochs": 1, "batch_size": 17, "group_by_image": False} | changes
    return dataclasses.replace(
        small,
        task=ContrastConfig(),
        data=dataclasses.replace(small.data, store=store),
        optim=optim,
        train=dataclasses.replace(small.train, **training),
        sizes={"hidden_size": 8, "dropout": 0.0},
    )


def test_two_processes_take_the_steps_of_one(scenes_store, tmp_path) -> None:
    train(recipe(scenes_store), tmp_path / "one")
    # Spawned workers import the main module, so that must not be pytest.
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from tests.test_separable import recipe\nfrom saccade.train import train\n"
        "if __name__ == '__main__':\n"
        "    train(recipe(sys.argv[1], devices=2, strategy='ddp_spawn'), Path(sys.argv[2]))\n"
    )
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": path}
    subprocess.run([sys.executable, script, scenes_store, tmp_path / "two"], check=True, env=environment, timeout=300)
    ours, theirs = (load_file(tmp_path / run / "model.safetensors") for run in ("one", "two"))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)
    logs = [json.loads((tmp_path / run / "log.jsonl").read_text()) for run in ("one", "two")]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-4)


def test_it_is_not_computed_in_parts(scenes_store, tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"train\.accumulate: the loss of answering compares the questions"):
        train(recipe(scenes_store, accumulate=2), tmp_path / "run")
