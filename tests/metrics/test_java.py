"""METEOR and SPICE: what is said where they are missing, and METEOR itself where Java is there."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from saccade.errors import DataError, SaccadeError, SaccadeWarning
from saccade.metrics import java

RESULTS = {"a": "a dog runs on grass", "b": "two cats sit"}
REFERENCES = {"a": ["a dog is running on the grass", "the dog runs"], "b": ["two cats sit in a tree"]}


def pretend(monkeypatch: pytest.MonkeyPatch, part: str, **contents: Any) -> None:
    """A module of pycocoevalcap that holds this, and a command `java`."""
    module = ModuleType(f"pycocoevalcap.{part}")
    module.__dict__.update({"__file__": "/packages/pycocoevalcap/spice/spice.py"} | contents)
    monkeypatch.setitem(sys.modules, f"pycocoevalcap.{part}", module)
    monkeypatch.setitem(sys.modules, f"pycocoevalcap.{part.partition('.')[0]}", ModuleType("package"))
    monkeypatch.setitem(sys.modules, "pycocoevalcap", ModuleType("pycocoevalcap"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(("metric", "name"), [(java.meteor, "meteor"), (java.spice, "spice")])
def test_without_pycocoevalcap_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, metric: Any, name: str) -> None:
    monkeypatch.setitem(sys.modules, f"pycocoevalcap.{name}.{name}", None)
    with pytest.raises(
        SaccadeError, match=rf'{name.upper()} needs .*missing.*pip install "saccade-attention\[java\]"` and a Java'
    ):
        metric(RESULTS, REFERENCES)


def test_without_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "meteor.meteor")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SaccadeError, match=r"there is no command `java`; install .* a Java runtime"):
        java.meteor(RESULTS, REFERENCES)


def test_references_of_other_images_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", None)
    with pytest.raises(DataError, match="results without references: 1"):
        java.meteor(RESULTS, {"a": ["a dog"]})


def java_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A command `java` that runs the script in Python, and a module of METEOR that names its jar."""
    command = folder / "java"
    command.write_text(f"#!{sys.executable}\n{script}")
    command.chmod(0o755)
    pretend(monkeypatch, "meteor.meteor", METEOR_JAR="meteor.jar", __file__=str(folder / "meteor.py"))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise SystemExit(1)", r"METEOR's program in Java ended before its answer; see whether `java -version` runs"),
        (
            "import sys; sys.stdin.readline(); sys.exit('Could not reserve enough space for the heap')",
            r"ended before its answer \(Could not reserve enough space for the heap\); see .* 2 GB of memory",
        ),
        ("print('Error: specify SCORE')", r"was to answer with numbers, and said 'Error: specify SCORE'; see"),
        ("input(); print('1,5 2,0', flush=True); input()", r"was to answer with numbers, and said '1,5 2,0'"),
        ("import time; time.sleep(600)", r"gave no answer for 1 seconds"),
        # One that lives on in a child, as a script that starts Java may, and one that no longer listens.
        ("import subprocess; subprocess.run(['sleep', '600'])", r"gave no answer for 1 seconds"),
        (
            "import sys, time; [print(input() and '1.0 2.0', flush=True) for _ in 'ab']; time.sleep(600)",
            r"gave no answer",
        ),
    ],
)
def test_a_program_that_fails_is_told_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, message: str
) -> None:
    java_that(monkeypatch, tmp_path, script)
    monkeypatch.setattr(java, "PATIENCE", 1.0)
    started = programs_of(monkeypatch)
    with pytest.raises(SaccadeError, match=message):
        java.meteor(RESULTS, REFERENCES)
    assert [program.poll() is not None for program in started] == [True]


def test_what_the_program_is_told_and_in_which_language(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """
import os, sys
told = open(os.path.join(os.path.dirname(sys.argv[0]), "told"), "w")
print(os.environ["_JAVA_OPTIONS"], *sys.argv[1:], file=told)
for line in sys.stdin:
    print(line, end="", file=told, flush=True)
    print(*["0.5"] * 3 if line.startswith("EVAL") else ["1.0 2.0"], sep="\\n", flush=True)
"""
    java_that(monkeypatch, tmp_path, script)
    monkeypatch.setenv("_JAVA_OPTIONS", "-Duser.language=it")
    assert java.meteor({"a": "one  ||| dog", "b": ""}, REFERENCES) == 0.5
    how, *told = (tmp_path / "told").read_text().splitlines()
    assert how.startswith("-Duser.language=it -Duser.language=en -Duser.country=US")
    assert how.endswith("-Xmx2G -jar meteor.jar - - -stdio -l en -norm")
    assert told == [
        "SCORE ||| a dog is running on the grass ||| the dog runs ||| one  dog",
        "SCORE ||| two cats sit in a tree ||| ",
        "EVAL ||| 1.0 2.0 ||| 1.0 2.0",
    ]
    assert os.environ["_JAVA_OPTIONS"] == "-Duser.language=it"


def test_spice_without_its_models_says_where_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network() -> None:
        print("Downloading ...")
        raise OSError("no route to host")

    pretend(monkeypatch, "spice.spice", Spice=no_network)
    with pytest.raises(
        SaccadeError, match=r"could not be fetched \(no route to host\); put .*-models\.jar.* into .*lib"
    ):
        java.spice(RESULTS, REFERENCES)


def test_spice_that_fails_and_spice_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    class Spice:
        def compute_score(self, references: Any, results: Any) -> Any:
            assert results == {"a": ["a dog runs on grass"], "b": ["two cats sit"]}
            assert references == REFERENCES
            if fails:
                raise subprocess.CalledProcessError(1, "java")
            return 0.25, []

    pretend(monkeypatch, "spice.spice", Spice=Spice)
    fails = False
    assert java.spice(RESULTS, REFERENCES) == 0.25
    fails = True
    with pytest.raises(SaccadeError, match=r"SPICE's program in Java failed .*; it was made for Java 8"):
        java.spice(RESULTS, REFERENCES)


def test_together_they_tokenise_and_spice_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def spice(*_: Any) -> float:
        raise SaccadeError("no models")

    seen: list[Any] = []
    monkeypatch.setattr(java, "meteor", lambda *arguments: seen.append(arguments) or 0.5)
    monkeypatch.setattr(java, "spice", spice)
    with pytest.warns(SaccadeWarning, match="spice is left out: no models"):
        assert java.java_metrics({"a": "A dog."}, {"a": ["The dog!"]}) == {"meteor": 0.5}
    assert seen == [({"a": "a dog"}, {"a": ["the dog"]})]
    monkeypatch.setattr(java, "spice", lambda *_: 0.25)
    assert java.java_metrics({"a": "A dog."}, {"a": ["The dog!"]}) == {"meteor": 0.5, "spice": 0.25}


def programs_of(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The programs that are started from now on."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **named: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


@pytest.mark.java
def test_meteor_is_that_of_pycocoevalcap_in_any_locale_and_leaves_no_program_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    started = programs_of(monkeypatch)
    # Numbers with a comma, said in three ways; the value is what `Meteor().compute_score` of pycocoevalcap 1.2 gives
    # under Java 17 in English. A minute's start is spent once.
    monkeypatch.setenv("LC_ALL", "it_IT.UTF-8")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=it -Duser.country=IT")
    monkeypatch.setenv("_JAVA_OPTIONS", "-Duser.language=it -Duser.language.format=it")
    assert java.meteor(RESULTS | {"c": ""}, REFERENCES | {"c": ["a man"]}) == pytest.approx(0.29240831380968046)
    gc.collect()
    assert len(started) == 1
    assert started[0].poll() is not None


def test_nothing_is_imported_before_it_is_needed() -> None:
    script = "import sys, saccade.metrics.java; print('pycocoevalcap' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_models_are_named_as_pycocoevalcap_looks_for_them() -> None:
    module = pytest.importorskip("pycocoevalcap.spice.get_stanford_models")
    assert module.JAR == java.SPICE_MODELS
    assert Path(module.SPICEDIR, module.SPICELIB).name == "lib"
