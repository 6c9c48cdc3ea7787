"""docs/python.md and docs/predict.md run from top to bottom, as a reader would type them."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from saccade.data.scenes import Scenes, write_scenes
from saccade.errors import SaccadeWarning

DOCS = Path(__file__).parent.parent / "docs"
OPTIONAL = "matplotlib"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def folder(trained_run, scene, tmp_path, monkeypatch) -> Path:
    """What the pages presuppose: runs, images and own data."""
    for name in ("r-dan-scenes", "r-dan-own"):
        shutil.copytree(trained_run, tmp_path / "runs" / name)
    shutil.copy(scene, tmp_path / "scene.png")
    (tmp_path / "photos").mkdir()
    for number, place in enumerate(("other.png", "photos/a.png", "photos/b.png")):
        Scenes().open_image(f"test/{number:05d}").save(tmp_path / place)
    write_scenes(tmp_path / "my-data", images=12)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a page may open a file as one does in a notebook
def test_the_page_about_python_runs(folder, capsys) -> None:
    there: dict[str, object] = {}
    ran = 0
    for block in blocks("python.md"):
        if OPTIONAL in block and OPTIONAL not in sys.modules:
            try:
                __import__(OPTIONAL)
            except ImportError:
                continue
        if "missing.png" in block:
            with pytest.warns(SaccadeWarning, match=r"left out missing\.png: no such image file"):
                exec(compile(block, "docs/python.md", "exec"), there)
        else:
            exec(compile(block, "docs/python.md", "exec"), there)
        ran += 1
    assert ran >= 10
    printed = capsys.readouterr().out
    assert re.search(r"^AnswerReply\('.*' \d+\.\d+ %, 5 answers, attention of 2 steps\)$", printed, re.M)
    assert "AttentionMap(weights=float32[1, 144], axes=('regions',), name='step 1', kind='joint')" in printed
    assert "Regions(features=float32[2, 144, 80]" in printed
    assert re.search(r"^\[AnswerReply\(.*\), None\]$", printed, re.M)
    assert there["losses"][-1] < there["losses"][0]
    assert Image.open("map.png").width > 200
    assert (folder / "look.html").stat().st_size > 10_000
    assert isinstance(there["answers"].logits, torch.Tensor)
    assert (folder / "runs" / "san-mine" / "val" / "metrics.json").exists()


def test_the_page_about_many_images_runs(folder, capsys) -> None:
    [block] = blocks("predict.md")
    exec(compile(block, "docs/predict.md", "exec"), {})
    assert capsys.readouterr().out == "2 0\n"
