"""The name it is installed by, and what is said where another project of the package's name is installed too."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import saccade as package
from saccade import distribution
from saccade.models import MODELS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_that_of_the_project(saccade) -> None:
    assert PROJECT["name"] == distribution.NAME == "saccade-attention"
    try:
        expected = version(distribution.NAME)
        assert expected == PROJECT["version"]
    except PackageNotFoundError:  # the source alone is on the path
        expected = "(not installed)"
    outcome = saccade("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"saccade {expected}\n", "")


def test_every_install_command_names_the_distribution() -> None:
    files = [path for folder in ("src", "docs", "tests", "benchmarks", "tools") for path in (ROOT / folder).rglob("*")]
    files += [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.cff")]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in (".py", ".md", ".toml", ".cff")}
    assert len(texts) > 200
    wrong = "saccade" + "["  # so that it does not stand here
    assert [path for path, text in texts.items() if wrong in text.replace("\\[", "[")] == []
    for extra in PROJECT["optional-dependencies"]:
        assert distribution.install_command(extra) == f'pip install "saccade-attention[{extra}]"'


def test_the_citation_is_of_this_version_and_of_models_that_there_are() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in text
    assert f"\nlicense: {PROJECT['license']}\n" in text
    cited = [set(re.findall(r"[\w-]+-?[\w]*", line)) & set(MODELS) for line in re.findall(r"notes: (.*)", text)]
    assert len(cited) == text.count("  - type: conference-paper") == 5
    assert all(cited)
    baselines = {"ibowimg", "lstm-q-i", "san", "mrn", "question-only", "nic", "vse"}
    assert set().union(*cited) == set(MODELS) - baselines
    assert set(PROJECT["urls"].values()) == set(re.findall(r"url: (.*)", text))


def test_types_travel_with_the_package() -> None:
    assert (Path(package.__file__).parent / "py.typed").exists()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def foreign(folder: Path, entry_points: str = "") -> str:
    """Another distribution named saccade, as a folder for the path."""
    info = folder / "saccade-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: saccade\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return str(folder)


@pytest.mark.filterwarnings("default")
def test_another_project_of_the_name_is_told(saccade, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "path", [foreign(tmp_path), *sys.path])
    outcome = saccade("--version")
    assert outcome.code == 0
    assert "saccade 0.1.0 is installed too, which is another project" in outcome.err
    assert "mend it: pip uninstall -y saccade && pip install --force-reinstall --no-deps saccade-att" in outcome.err


def test_an_earlier_version_of_this_one_is_not(saccade, monkeypatch, tmp_path) -> None:
    own = foreign(tmp_path, "[console_scripts]\nsaccade = saccade.cli:main\n")
    monkeypatch.setattr(sys, "path", [own, *sys.path])
    assert saccade("--version").err == ""


def test_a_package_file_of_another_project_is_told_by_every_command(tmp_path) -> None:
    """As after `pip install saccade`: their __init__.py lies in our folder."""
    folder = tmp_path / "saccade"
    folder.mkdir()
    source = Path(package.__file__).parent
    for path in source.iterdir():
        if path.name not in ("__init__.py", "__pycache__"):
            (folder / path.name).symlink_to(path)
    (folder / "__init__.py").write_text('"""Another project."""\n')
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from saccade.cli import main; main(['list'])"
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("recipes")) == (0, 1), done.stderr
    assert done.stderr.startswith("saccade: warning: saccade/__init__.py is gone or another project's")
    assert "pip install --force-reinstall --no-deps saccade-attention" in done.stderr
