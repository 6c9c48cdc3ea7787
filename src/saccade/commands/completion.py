"""What a shell completes: commands, recipes, flags, names and run directories; files wherever there is nothing else."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from saccade.commands.parsing import flags_behind, values
from saccade.data import DATASETS
from saccade.models import MODELS
from saccade.recipe import RECIPE_FILE
from saccade.recipes import RECIPES

# Each asks `saccade --complete WORD...`, of which the last one is to be completed, for lines of a word, a tab and a
# text about it.
SCRIPTS: Mapping[str, str] = {
    "bash": r"""_saccade() {
    local IFS=$'\n'
    COMPREPLY=($("$1" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o default -F _saccade saccade
""",
    "zsh": r"""#compdef saccade
_saccade() {
    local -a found
    found=("${(@f)$("$words[1]" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@)${(@)found//:/\\:}/$'\t'/:}")
    if [[ -n "$found" ]]; then _describe saccade found; else _files; fi
}
compdef _saccade saccade
""",
    "fish": r"""function __saccade_complete
    set -l words (commandline -opc)
    set -l found ($words[1] --complete $words[2..] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c saccade -f -a '(__saccade_complete)'
""",
}


@dataclass(frozen=True)
class Completion:
    """Print a script with which a shell completes commands, recipes, flags, names and run directories.

    bash: eval "$(saccade completion bash)" in ~/.bashrc. zsh: eval "$(saccade completion zsh)" in ~/.zshrc, behind
    compinit. fish: saccade completion fish > ~/.config/fish/completions/saccade.fish
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.arg(metavar="SHELL"), tyro.conf.Positional]
    """bash, zsh or fish."""

    def run(self) -> None:
        """Print the script."""
        print(SCRIPTS[self.shell], end="")


def candidates(words: Sequence[str], commands: Mapping[str, type]) -> dict[str, str]:
    """What may stand in place of the last word, with a text about each; nothing where that is a file or a number.

    `words` are those behind `saccade`.
    """
    *before, current = [word for word in words if word != "="]  # bash has it as a word of its own
    if not before:
        found = {name: (command.__doc__ or "").partition("\n")[0] for name, command in commands.items()}
        found |= {"--help": "How to use it.", "--version": "Which version it is."}
    elif (command := commands.get(before[0])) is None:
        found = {}
    else:
        flags = flags_behind(command, before[1:])
        typed = list(values([*before[1:], current], flags))[len(list(values(before[1:], flags))) :]
        if current.startswith("-") or not typed:
            found = {flag.name: flag.about for flag in flags if not flag.positional} | {"--help": "How to use it."}
        else:
            flag = typed[0][0]
            found = dict(_named(flag.metavar if flag.positional else flag.name, current))
            found |= dict.fromkeys(flag.choices, "")
    return {name: about for name, about in found.items() if name.startswith(current)}


def _named(of: str, current: str) -> Iterable[tuple[str, str]]:
    """The names that a flag or a positional argument may have, beside its choices."""
    if of == "RECIPE":
        return ((name, recipe.card.about) for name, recipe in RECIPES.items())
    if of == "RUN":
        return ((run, "") for run in _runs(current))
    if of == "--model":
        return ((name, entry.signature().about) for name, entry in MODELS.items())
    if of in ("--data", "--data.name"):
        return ((name, "") for name in DATASETS)
    if of in ("--backbone", "--features.backbone"):  # all that timm has would take seconds
        return ((name, "") for name in sorted({recipe.features.backbone for recipe in RECIPES.values()}))
    return ()


def _runs(current: str) -> list[str]:
    """The run directories whose path begins so, up to two folders further down."""
    patterns = (f"{glob.escape(current)}*{deeper}/{RECIPE_FILE}" for deeper in ("", "/*", "/*/*"))
    # Not of pathlib, whose patterns cannot begin at the root.
    return sorted(Path(file).parent.as_posix() for pattern in patterns for file in glob.glob(pattern))  # noqa: PTH207
