"""What shells complete, asked of the shells themselves where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from saccade.cli import COMMANDS
from saccade.commands.completion import SCRIPTS, candidates
from saccade.data import DATASETS
from saccade.models import MODELS
from saccade.recipes import RECIPES

# What is typed, the last word unfinished, and what is offered; nothing where the shell is to offer files.
CASES = [
    (["co"], {"compare", "completion"}),
    (["train", "r-dan-s"], {"r-dan-scenes"}),
    (["list", ""], {"topics", "recipes", "models", "datasets", "backbones", "all"}),
    (["train", "r-dan-scenes", "--sizes."], {"--sizes.hidden-size", "--sizes.steps", "--sizes.dropout"}),
    (["train", "r-dan-scenes", "--optim.name", "ad"], {"adam", "adamax", "adamw"}),
    (["train", "r-dan-scenes", "--model", "sat-"], {"sat-soft", "sat-hard"}),
    (["evaluate", "runs/"], {"runs/first", "runs/second"}),
    (["ask", "runs/f"], {"runs/first"}),
    (["ask", "runs/first", "pho"], set()),
    (["completion", ""], set(SCRIPTS)),
    (["compare", "r-dan-scenes", "nic-s"], {"nic-scenes"}),
    (["compare", "r-dan-scenes", "--seed"], {"--seeds"}),
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Two runs and a photo, and a command `saccade` on the path."""
    for run in ("first", "second"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "recipe.json").write_text("{}")
    (tmp_path / "photo.jpg").touch()
    command = tmp_path / "bin" / "saccade"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m saccade "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_candidates(words: list[str], expected: set[str]) -> None:
    assert set(candidates(words, COMMANDS)) == expected


@pytest.mark.usefixtures("folder")
def test_candidates_are_whole_tables() -> None:
    assert set(candidates([""], COMMANDS)) == {*COMMANDS, "--help", "--version"}
    assert set(candidates(["train", ""], COMMANDS)) == set(RECIPES)
    assert set(candidates(["train", "r-dan-own", "--data.name", ""], COMMANDS)) == set(DATASETS)
    assert set(candidates(["train", "r-dan-own", "--model", "=", ""], COMMANDS)) == set(MODELS)  # as bash splits it
    assert "--sizes.glimpses" in candidates(["train", "r-dan-own", "--model", "ban", "--"], COMMANDS)
    assert candidates(["nonsense", ""], COMMANDS) == {}
    assert set(candidates(["train", "r-dan-own", "--smoke", ""], COMMANDS)) >= {"--out", "--train.epochs"}
    assert str(Path("runs/first").resolve()) in candidates(["evaluate", str(Path.cwd()) + "/ru"], COMMANDS)


BASH = """
eval "$(saccade completion bash)"
COMP_WORDS=(saccade "$@"); COMP_CWORD=$#
_saccade saccade "${!#}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# What zsh shows is the editor's affair; what it is given to show is not.
ZSH = """
autoload -U compinit; compinit -u -D
eval "$(saccade completion zsh)"
_describe() { print -rl -- "${(@)${(@P)2}%%:*}" }
_files() { }
words=(saccade "$@"); CURRENT=$(( $# + 1 ))
_saccade
"""
FISH = """
saccade completion fish | source
complete -C "saccade "(string join " " -- $argv) | string split -f 1 \\t
"""


@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_a_shell_offers_them(folder: Path, shell: str, script: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for words, expected in (CASES[n] for n in (0, 3, 4, 6, 8)):  # each starts Python
        options = {"bash": ["-c", script, "bash"], "zsh": ["-f", "-c", script, "zsh"], "fish": ["-N", "-c", script]}
        done = subprocess.run([shell, *options[shell], *words], capture_output=True, text=True, check=False)
        offered = {line for line in done.stdout.splitlines() if line}
        files = {"photo.jpg"} if shell == "fish" and not expected else set()  # bash and zsh list files by themselves
        assert offered == expected | files, (words, done.stderr)
