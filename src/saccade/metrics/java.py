"""METEOR 1.5 and SPICE, which are programs in Java: run through pycocoevalcap, of the extra `[java]`.

`java_metrics` takes captions as people write them, the other two tokenised ones, as `saccade.metrics.ptb` makes them.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from saccade.distribution import install_command
from saccade.errors import SaccadeError, SaccadeWarning
from saccade.metrics.caption import check_images
from saccade.metrics.ptb import tokenize

INSTALL = f"install them with `{install_command('java')}` and a Java runtime whose command is `java`"
SEE = "see whether `java -version` runs, and with 2 GB of memory"
ENGLISH = (
    "-Duser.language=en -Duser.country=US -Duser.language.format=en -Duser.country.format=US -Dfile.encoding=UTF-8"
)
OVERRULING = "_JAVA_OPTIONS"  # before what else the environment or the command line says
PATIENCE = 600.0  # seconds for one answer; the first takes up to a minute
NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?(?: -?\d+(?:\.\d+)?(?:[eE]-?\d+)?)*|NaN", re.ASCII)
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

    Raises SaccadeError where pycocoevalcap or Java is missing, where the program ends early, answers something else
    than numbers, or not at all for ten minutes, and DataError as `tokenized_caption_metrics` does.
    """
    check_images(results, references)
    module = _part("meteor.meteor", "METEOR")
    with tempfile.TemporaryFile() as complaints, _Program(module, complaints) as program:
        statistics = []
        for image, result in results.items():
            # What pycocoevalcap does with a caption, and the form that the program asks for.
            caption = result.replace("|||", "").replace("  ", " ")
            program.say(" ||| ".join(("SCORE", *references[image], caption)))
            statistics.append(program.answer())
        program.say(" ||| ".join(("EVAL", *statistics)))
        *_, score = [program.answer() for _ in range(len(results) + 1)]  # one for each image, then the corpus's
    return float(score)


class _Program:
    """METEOR's program, which answers a line with a line; its numbers are written in English whatever the locale.

    pycocoevalcap's own way to speak with it never ends once an answer is missing, as it waits for its own lock.
    """

    def __init__(self, module: ModuleType, complaints: IO[bytes]) -> None:
        self._complaints, self._late = complaints, False
        options = ["-Xmx2G", "-jar", module.METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
        try:
            self._process = subprocess.Popen(
                ["java", *options],
                cwd=Path(str(module.__file__)).parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=os.environ | {OVERRULING: _in_english()},
                start_new_session=True,  # so that what a script called java starts ends with it
            )
        except OSError as error:
            raise SaccadeError(f"METEOR's program in Java could not be started ({error}); {SEE}") from None

    def __enter__(self) -> _Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what had not been written when it stopped
                assert pipe is not None
                pipe.close()

    def say(self, line: str) -> None:
        """Tell it a line."""
        assert self._process.stdin is not None
        # Where it has ended, what it said of that is told when its answer is missing.
        with self._limit(), suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> str:
        """The line of numbers that it says next."""
        assert self._process.stdout is not None
        with self._limit():
            line = self._process.stdout.readline()
        answer = line.decode(errors="replace").strip()
        if NUMBERS.fullmatch(answer):
            return answer
        if line:
            raise SaccadeError(f"METEOR's program in Java was to answer with numbers, and said {answer[:200]!r}; {SEE}")
        what = f"gave no answer for {PATIENCE:.0f} seconds" if self._late else "ended before its answer"
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").splitlines()
        last = [f" ({line.strip()})" for line in said if line.strip() and OVERRULING not in line][-1:]
        raise SaccadeError(f"METEOR's program in Java {what}{''.join(last)}; {SEE}")

    @contextmanager
    def _limit(self) -> Iterator[None]:
        """End the program where it takes too long: one that is alive and silent only time tells."""
        timer = threading.Timer(PATIENCE, self._give_up)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self._process.kill()


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
        with _environment(OVERRULING, _in_english()):
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


def _in_english() -> str:
    """The value of OVERRULING with which Java programs write numbers in English."""
    return f"{os.environ.get(OVERRULING, '')} {ENGLISH}".strip()


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """The environment variable has the value meanwhile, for programs that others start."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
