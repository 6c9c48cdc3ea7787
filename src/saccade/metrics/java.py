"""METEOR 1.5 and SPICE, which are programs in Java: run through pycocoevalcap, of the extra `[java]`.

`java_metrics` takes captions as people write them, the other two tokenised ones, as `saccade.metrics.ptb` makes them.
"""

from __future__ import annotations

import importlib
import io
import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from saccade.errors import SaccadeError, SaccadeWarning
from saccade.metrics.caption import check_images
from saccade.metrics.ptb import tokenize

INSTALL = 'install them with `pip install "saccade[java]"` and a Java runtime whose command is `java`'
SPICE_MODELS = "stanford-corenlp-3.6.0"


def java_metrics(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """`meteor` and `spice` of one caption per image against all its references; both are tokenised first.

    Where SPICE alone cannot run a SaccadeWarning says why, and it is left out. Raises SaccadeError and DataError as
    `meteor` does.
    """
    words = {image: tokenize(caption) for image, caption in results.items()}
    reference_words = {image: [tokenize(caption) for caption in group] for image, group in references.items()}
    scores = {"meteor": meteor(words, reference_words)}
    try:
        scores["spice"] = spice(words, reference_words)
    except SaccadeError as error:
        warnings.warn(f"spice is left out: {error}", SaccadeWarning, stacklevel=2)
    return scores


def check_java() -> None:
    """Raise SaccadeError where pycocoevalcap or Java is missing: to be asked before the work that would be lost."""
    _part("meteor.meteor", "METEOR")


def meteor(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> float:
    """METEOR 1.5 of the corpus, a fraction of 1; equal to pycocoevalcap's `Meteor`, whose program ends with the call.

    Raises SaccadeError where pycocoevalcap or Java is missing, and DataError as `tokenized_caption_metrics` does.
    """
    check_images(results, references)
    scorer = _part("meteor.meteor", "METEOR").Meteor()
    program: subprocess.Popen[bytes] = scorer.meteor_p
    try:
        score, _ = scorer.compute_score(*_as_lists(results, references))
    except (OSError, ValueError) as error:
        raise SaccadeError(
            f"METEOR's program in Java stopped ({error}); see whether `java -version` runs, and with 2 GB of memory"
        ) from None
    finally:
        _end(program)
    return float(score)


def spice(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> float:
    """SPICE's F-score, the mean over the images; equal to pycocoevalcap's `Spice`.

    At its first use pycocoevalcap fetches the models of Stanford CoreNLP 3.6.0 (some 500 MB) into its own folder.
    Raises SaccadeError where pycocoevalcap, Java or the models are missing and cannot be fetched, or the program fails,
    and DataError as `tokenized_caption_metrics` does.
    """
    check_images(results, references)
    module = _part("spice.spice", "SPICE")
    folder = Path(module.__file__).parent / "lib"
    try:
        with redirect_stdout(io.StringIO()):  # it prints how far it has come
            scorer = module.Spice()
    except OSError as error:
        raise SaccadeError(
            "SPICE needs the models of Stanford CoreNLP 3.6.0, which are not there and could not be fetched "
            f"({error}); put {SPICE_MODELS}.jar and {SPICE_MODELS}-models.jar, which are in "
            f"stanford-corenlp-full-2015-12-09.zip, into {folder}"
        ) from None
    try:
        score, _ = scorer.compute_score(*_as_lists(results, references))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise SaccadeError(f"SPICE's program in Java failed ({error}); it was made for Java 8") from None
    return float(score)


def _part(module: str, name: str) -> Any:
    """A module of pycocoevalcap; raises SaccadeError where it or Java is missing."""
    try:
        found = importlib.import_module(f"pycocoevalcap.{module}")
    except ImportError as error:
        raise SaccadeError(
            f"{name} needs pycocoevalcap and Java, and pycocoevalcap is missing ({error}); {INSTALL}"
        ) from None
    if shutil.which("java") is None:
        raise SaccadeError(f"{name} needs pycocoevalcap and Java, and there is no command `java`; {INSTALL}")
    return found


def _as_lists(
    results: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """References and results as pycocoevalcap takes them, in the order of the results."""
    return {image: list(references[image]) for image in results}, {image: [text] for image, text in results.items()}


def _end(program: subprocess.Popen[bytes]) -> None:
    """End a program and close its pipes, which pycocoevalcap leaves to the garbage collector."""
    program.kill()
    program.wait()
    for pipe in (program.stdin, program.stdout, program.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what had not been written when it stopped
                pipe.close()
