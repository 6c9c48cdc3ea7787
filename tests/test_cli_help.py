"""What help shows of sizes and tasks, how quickly names are answered, and that flags are known as tyro knows them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from saccade.cli import COMMANDS
from saccade.commands.parsing import field_docs, flags_behind
from saccade.commands.training import Train
from saccade.models import MODELS, own_sizes
from saccade.recipe import TrainConfig
from saccade.recipes import RECIPES, get_recipe

FLAG = re.compile(r"--[a-z][\w.-]*")
FRAME = str.maketrans("│╭╰─╮╯", " " * 6)  # not drawn where the output is said not to be in UTF-8
TITLE = re.compile(r"^ *((?:\w+ )?(?:options|arguments)) *$", re.M)


@pytest.fixture(autouse=True)
def one_column(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")  # where more fit, groups stand side by side


def groups(text: str) -> dict[str, str]:
    """The text below each title of a help page."""
    _, *parts = TITLE.split(text.translate(FRAME))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def words(text: str) -> str:
    """A text of a help page in one line."""
    return " ".join(re.sub(r"^ *-+ *$", "", text.translate(FRAME), flags=re.M).split())


def test_the_help_of_a_recipe_tells_every_size_with_its_choices_and_defaults(saccade) -> None:
    box = words(groups(saccade("train", "sat-soft-scenes", "--help").out)["sizes options"])
    assert box.startswith("What sat-soft is made of.")
    assert "--sizes.hidden-size INT Width of the LSTM; the paper's is 1800. (default: 256)" in box
    assert "--sizes.start {code,scaled} How weights start. code: as the authors', for VGG-19; scaled: by" in box
    assert "--sizes.look {expectation,argmax,sample} Hard attention: how it looks" in box
    for name, size in own_sizes("sat-soft").items():
        assert f"--sizes.{name.replace('_', '-')}" in box
        assert size.about[1:] in box
    assert "num-words" not in box


def test_the_help_of_a_recipe_has_its_own_task_alone_in_groups(saccade) -> None:
    answering, captioning = (groups(saccade("train", name, "--help").out) for name in ("r-dan-scenes", "nic-scenes"))
    order = ["options", *(f"{part} options" for part in ("data", "features", "task", "optim", "train", "sizes"))]
    assert list(answering) == list(captioning) == order
    assert "--task.answers" in answering["task options"]
    assert "--task.beam" not in answering["task options"]
    assert "--task.beam" in captioning["task options"]
    assert "--task.answers" not in captioning["task options"]


def test_another_model_is_asked_for_its_own_sizes(saccade) -> None:
    box = groups(saccade("train", "r-dan-scenes", "--model", "ban", "--help").out)["sizes options"]
    assert "--sizes.glimpses" in box
    assert "--sizes.steps" not in box
    parsed = Train.parse(["r-dan-scenes", "--model", "ban", "--sizes.glimpses", "3", "--sizes.no-counter"])
    assert (parsed.recipe.model, parsed.recipe.sizes) == (
        "ban",
        {**get_recipe("ban-scenes").sizes, "glimpses": 3, "counter": False},
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_the_same_when_nothing_is_typed(name: str) -> None:
    recipe = RECIPES[name]
    parsed = Train.parse([name]).recipe
    usual = {key: size.default for key, size in own_sizes(recipe.model).items()}
    assert usual | parsed.sizes == usual | recipe.sizes
    assert type(parsed) is type(recipe)
    assert {**vars(parsed), "sizes": {}} == {**vars(recipe), "sizes": {}}


def test_the_help_of_evaluate_has_a_group_for_each_task(saccade) -> None:
    boxes = groups(saccade("evaluate", "--help").out)
    assert set(FLAG.findall(boxes["captioning options"])) >= {"--beam", "--length-penalty", "--look", "--sample"}
    assert {"--split", "--top"} <= set(FLAG.findall(boxes["options"]))  # --top is of both tasks
    assert "--beam" not in boxes["options"]
    assert "a run that captions" in boxes["captioning options"]


def test_a_text_is_not_broken_where_the_source_breaks_it(saccade) -> None:
    page = saccade("train", "r-dan-scenes", "--help").out.translate(FRAME)
    for text in (field_docs(TrainConfig)["finetune_size"], "the share of annotators with each answer"):
        assert text[:100] in words(page)
    assert "with each" in page
    assert not re.search(r"with each *$", page, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_known_as_tyro_knows_them(saccade, command) -> None:
    typed = ["sat-hard-own"] if command == "train" else []
    page = saccade(command, *typed, "--help").out.translate(FRAME)
    before_help = re.findall(r"^ +(-.*?)(?:  |$)", page, re.M)
    shown = {flag for text in before_help for flag in FLAG.findall(text)}
    known = flags_behind(COMMANDS[command], typed)
    assert shown == {flag.name for flag in known if not flag.positional} | {"--help"}
    for flag in known:
        if flag.choices and not flag.positional:
            assert re.search(rf"{re.escape(flag.name)} {{(None,)?{re.escape(','.join(flag.choices))}}}", page), flag


PARSED = [
    ["--help"],
    ["--version"],
    ["list"],
    ["list", "recipes"],
    ["list", "models"],
    ["list", "datasets", "vqa"],
    ["completion", "bash"],
    ["--complete", "train", "r-dan-scenes", "--sizes."],
    *([name, "--help"] for name in COMMANDS),
    ["train", "r-dan-scenes", "--help"],
    ["train", "r-dan-scenes", "--smoke", "--sizes.steps", "1"],
    ["train", "r-dan-scenes", "--model", "dfaf"],
    ["train", "r-dan-scenes", "--resume"],
    ["train", "r-dan-scenes", "--optim.lrr", "1"],
    ["train", "r-dan-scene"],
    ["train", "r-dan-scenes", "--model", "r-da"],
    ["train", "san-scenes", "--sizes.logits", "papr"],
    ["train", "san-scenes", "--sizes.layers", "two"],
    ["compare", "r-dan-scenes", "ban-scenes --sizes.glimpses 2", "--seeds", "1"],
    ["compare", "r-dan-scenes", "--smok"],
    ["evaluate", "run", "--beam", "3"],
    ["evaluate", "run", "--bem", "3"],
    ["ask", "run", "a.png", "what?"],
    ["ask", "run", "a.png", "what?", "--tpo", "3"],
    ["caption", "run", "a.png"],
    ["demo", "--smok"],
    ["demo", "--smoke"],
    ["score", "captions", "a.json", "b.json"],
    ["extract", "images", "--out", "store"],
    ["lst"],
]  # fmt: skip


def test_nothing_heavy_is_loaded_before_arguments_are_read(tmp_path) -> None:
    """Each in turn: PyTorch, once loaded, would stay so, and the first that loads it is named."""
    script = f"""
import sys
from saccade import cli
from saccade.commands import COMMANDS
ran = []
for name, command in COMMANDS.items():
    if name not in ("list", "completion"):
        command.run = lambda self: ran.append(self)
for arguments in {PARSED!r}:
    try:
        cli.main(arguments)
    except SystemExit:
        pass
    assert not {{"torch", "timm", "lightning_fabric", "torchvision"}} & set(sys.modules), arguments
print(len(ran), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.splitlines()[-1] == "10"  # as many were well typed
    assert list(MODELS)
