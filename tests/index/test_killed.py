"""A build that is killed again and again ends as one that is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from saccade.index.engine import EngineConfig
from saccade.index.index import Index
from saccade.serial import to_dict

ENGINES = {
    "exact": (EngineConfig(), 10),
    "bfloat16": (EngineConfig(dtype="bfloat16"), 2),
    "faiss": (EngineConfig(engine="faiss", links=8, search_effort=300), 10),
    # Each opening takes a second: ten kills are made by hand, with `python tests/index/building.py`.
    "milvus": (EngineConfig(engine="milvus", address="rows.db", links=8, search_effort=300), 2),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed as Unix does")
def test_a_killed_build_ends_as_one_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="needs saccade-attention[faiss]")
    pytest.importorskip("milvus_lite", reason="needs saccade-attention[milvus]")
    jobs = {name: {"engine": to_dict(config), "kills": kills} for name, (config, kills) in ENGINES.items()}
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    arguments = [str(tmp_path), str(tmp_path / "jobs.json"), "400", "1"]
    script = Path(__file__).with_name("building.py")
    found = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    ends = json.loads(found.stdout)
    for name, (_, kills) in ENGINES.items():
        assert ends[f"alone-{name}"] == ["ended 0"], found.stderr
        assert len(ends[f"killed-{name}"]) == kills + 1
        assert ends[f"killed-{name}"][-1] == "ended 0", found.stderr
        assert ends[f"killed-{name}"].count("killed") >= kills // 3
        same(tmp_path / f"alone-{name}", tmp_path / f"killed-{name}")


def same(alone: Path, killed: Path) -> None:
    """See that two indexes hold and find the same."""
    with Index.open(alone) as one, Index.open(killed) as other:
        queries = np.random.default_rng(5).standard_normal((20, one.facts.size)).astype(np.float32)
        ids = sorted(one.catalogue.ids())
        assert ids == sorted(other.catalogue.ids())
        assert 300 < len(ids) < 400
        np.testing.assert_array_equal(other.vectors(ids), one.vectors(ids))
        for ours, theirs in zip(other.search(queries, 10), one.search(queries, 10), strict=True):
            assert [each.id for each in ours] == [each.id for each in theirs]
            np.testing.assert_allclose([each.score for each in ours], [each.score for each in theirs], rtol=1e-6)
    assert not [file for file in killed.iterdir() if file.name.endswith(".tmp")]
