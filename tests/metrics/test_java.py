"""METEOR and SPICE: what is said where they are missing, and METEOR itself where Java is there."""

from __future__ import annotations

import gc
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
        SaccadeError, match=rf'{name.upper()} needs .*missing.*pip install "saccade\[java\]"` and a Java'
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


def test_a_program_that_stops_is_told_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Meteor:
        def __init__(self) -> None:
            pipe = subprocess.PIPE
            self.meteor_p = subprocess.Popen([sys.executable, "-c", ""], stdin=pipe, stdout=pipe, stderr=pipe)
            programs.append(self.meteor_p)

        def compute_score(self, *_: Any) -> Any:
            return float(self.meteor_p.stdout.readline()), []  # type: ignore[union-attr]

    programs: list[subprocess.Popen[bytes]] = []
    pretend(monkeypatch, "meteor.meteor", Meteor=Meteor)
    with pytest.raises(SaccadeError, match=r"METEOR's program in Java stopped .*`java -version`"):
        java.meteor(RESULTS, REFERENCES)
    assert programs[0].poll() is not None


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


@pytest.mark.java
def test_meteor_is_that_of_pycocoevalcap_and_leaves_no_program_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **named: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    # What `Meteor().compute_score` of pycocoevalcap 1.2 gives under Java 17; a minute's start is spent once.
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
