"""The command that uses what is trained on many images: predict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from saccade.commands.parsing import Flag, flags_of, parse, task_options, with_task_options


@dataclass(frozen=True)
class Predict:
    """Write what a trained model says of many images into a file; killed and started again, it goes on where it was.

    INPUT is a folder of images, an image, or a file of lines: JSON Lines or CSV with the columns image and, where the
    model reads questions, question; other columns are carried along.
    """

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or hub:OWNER/NAME, a repository of the Hugging Face hub."""
    input: Annotated[Path, tyro.conf.arg(metavar="INPUT"), tyro.conf.Positional]
    """Folder of images, image, .jsonl or .csv file."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """File to write, .jsonl or .csv: a line for each of the input, or for each question about it."""
    question: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT"), tyro.conf.UseAppendAction] = ()
    """Ask this about every image, where the lines have no question; may be said several times."""
    root: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the images that lines name; by default that of the file."""
    batch_size: int = 32
    """Lines at a time."""
    overwrite: bool = False
    """Start anew where the file is there."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    device: str | None = None
    """Where to compute: cpu, cuda, cuda:1, mps; by default the first GPU, or the CPU where there is none."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Predict:
        """Read the command's own flags and the options of every task."""
        return parse(with_task_options(cls, scoring=False), arguments, prog="saccade predict")

    @classmethod
    def flags(cls, words: Sequence[str]) -> list[Flag]:  # noqa: ARG003 - the same behind any run
        """The command's own flags and the options of every task."""
        return flags_of(with_task_options(cls, scoring=False))

    def run(self) -> None:
        """Predict, and say how much was written and what was left out."""
        from saccade.console import ConsoleReport
        from saccade.predict import Predictor
        from saccade.predictions import predict

        predictor = Predictor.from_pretrained(self.run_directory, weights=self.weights, device=self.device)
        with ConsoleReport() as report:
            found = predict(
                predictor,
                self.input,
                self.out,
                root=self.root,
                texts=self.question,
                batch_size=self.batch_size,
                overwrite=self.overwrite,
                options=task_options(self, Predict),
                report=report,
            )
        if found.failed:
            print(
                f'left out {found.failed:,} of {found.lines:,} lines, whose image could not be read: "error" says why',
                file=sys.stderr,
            )
        if found.there:
            print(f"{self.out} is finished already, with {found.lines:,} lines; --overwrite makes it anew")
        else:
            print(f"{found.lines - found.failed:,} predictions in {self.out}")
