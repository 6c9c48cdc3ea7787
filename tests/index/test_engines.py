"""Every engine behind an index, against a dictionary and NumPy in float64."""

from __future__ import annotations

import builtins
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saccade.errors import RecipeError
from saccade.index import exact
from saccade.index.catalogue import SourceFile
from saccade.index.engine import EngineConfig, IndexingError, Live
from saccade.index.index import Index, IndexFacts

SIZE = 13
ENGINES = {
    "exact": EngineConfig(),
    "bfloat16": EngineConfig(dtype="bfloat16"),
    "faiss": EngineConfig(engine="faiss", links=8, search_effort=200),
    "faiss-bfloat16": EngineConfig(engine="faiss", dtype="bfloat16", links=8, search_effort=200),
    "milvus": EngineConfig(engine="milvus", address="rows.db", links=8, search_effort=200),
}


def needs(engine: str) -> None:
    if engine.startswith("faiss"):
        pytest.importorskip("faiss", reason="needs saccade-attention[faiss]")
    if engine == "milvus":
        pytest.importorskip("pymilvus", reason="needs saccade-attention[milvus]")
        pytest.importorskip("milvus_lite", reason="needs saccade-attention[milvus]")


def facts(config: EngineConfig, size: int = SIZE) -> IndexFacts:
    return IndexFacts(holds="images", size=size, run="run", fingerprint="none", source="photos", engine=config)


def rows(count: int, seed: int = 0, size: int = SIZE, *, normalised: bool = True) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, size), np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True) if normalised else drawn


def kept(vectors: np.ndarray, config: EngineConfig) -> np.ndarray:
    """The rows as an index keeps them, in float64."""
    held = torch.from_numpy(vectors)
    return (held.bfloat16() if config.dtype == "bfloat16" else held).double().numpy()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph for few rows already, in several pieces, and blocks of few rows."""
    monkeypatch.setattr(exact, "BLOCK", 128)
    try:
        from saccade.index import graph
    except RecipeError:
        return
    monkeypatch.setattr(graph, "COMPARED", 20)
    monkeypatch.setattr(graph, "PIECE", 50)


@pytest.fixture(params=ENGINES)
def config(request: pytest.FixtureRequest) -> EngineConfig:
    needs(request.param)
    return ENGINES[request.param]


@dataclass
class Twin:
    """An index, and what it should hold."""

    index: Index
    config: EngineConfig
    held: dict[str, np.ndarray]

    def check(self, queries: np.ndarray, top: int, index: Index | None = None) -> None:
        """What is found is what NumPy finds: the same scores, and the same ids but for those of equal scores."""
        names = list(self.held)
        table = np.array([self.held[name] for name in names]).reshape(-1, SIZE)
        scores = queries.astype(np.float64) @ kept(table.astype(np.float32), self.config).T
        for found, expected in zip((index or self.index).search(queries, top), scores, strict=True):
            assert len(found) == min(top, len(names))
            assert len({each.id for each in found}) == len(found)
            best = np.sort(expected)[::-1][: len(found)]
            np.testing.assert_allclose([each.score for each in found], best, atol=1e-5, rtol=1e-5)
            own = [expected[names.index(each.id)] for each in found]
            np.testing.assert_allclose(own, best, atol=1e-5, rtol=1e-5)


def play(twin: Twin, path: Path, seed: int, steps: int) -> None:
    """Change the index and the dictionary alike, at random."""
    chance = np.random.default_rng(seed)
    for step in range(steps):
        names = list(twin.held)
        what = chance.choice(["add", "add", "replace", "remove", "rename", "settle", "compact", "reopen"])
        some = list(map(str, chance.choice(names, min(len(names), int(chance.integers(1, 40))), replace=False)))
        if what == "add":
            some = [f"{seed}-{step}-{each}.jpg" for each in range(int(chance.integers(1, 90)))]
        if what in ("add", "replace") and some:
            new = rows(len(some), int(chance.integers(1 << 30)), normalised=False)
            twin.index.add(some, new)
            twin.held |= dict(zip(some, new, strict=True))
        elif what == "remove":
            assert twin.index.remove([*some, "never there"]) == len(some)
            for name in some:
                del twin.held[name]
        elif what == "rename" and some:
            after = f"renamed-{step}.jpg"
            twin.index.rename(some[0], after, SourceFile(1, 2, "hash"))
            twin.held[after] = twin.held.pop(some[0])
        elif what == "settle":
            twin.index.settle()
        elif what == "compact":
            twin.index.compact()
        elif what == "reopen":
            twin.index.close()
            twin.index = Index.open(path, writing=True)
        assert len(twin.index) == len(twin.held)
        twin.check(rows(3, step), int(chance.choice([1, 5, 30])))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_index_is_a_dictionary_that_is_searched(config: EngineConfig, seed: int, tmp_path: Path) -> None:
    twin = Twin(Index.create(tmp_path / "index", facts(config)), config, {})
    steps = 12 if config.engine == "milvus" else 40
    play(twin, tmp_path / "index", seed, steps)
    twin.index.settle()
    twin.check(rows(70, 9), 10)
    names = list(twin.held)[::3]
    if names:
        expected = kept(np.array([twin.held[name] for name in names]), config)
        np.testing.assert_array_equal(twin.index.vectors(names), expected)
    twin.index.close()


def test_nothing_one_row_and_fewer_rows_than_asked_for(config: EngineConfig, tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", facts(config)) as index:
        assert index.search(rows(2), 5) == [[], []]
        index.settle()
        index.add(["one"], rows(1))
        assert [[each.id for each in found] for found in index.search(rows(2), 5)] == [["one"], ["one"]]
        index.add(["two"], rows(1, 1))
        index.settle()
        assert {each.id for each in index.search(rows(1), 5)[0]} == {"one", "two"}
        assert index.search(rows(0), 5) == []
        index.remove(["one", "two"])
        assert index.search(rows(1), 5) == [[]]
        index.settle()
        assert index.search(rows(1), 5) == [[]]
        with pytest.raises(IndexingError, match="does not hold 'one'"):
            index.vectors(["one"])


def test_equal_scores_stand_in_the_order_of_their_rows(tmp_path: Path) -> None:
    for name in ("exact", "bfloat16"):
        with Index.create(tmp_path / name, facts(ENGINES[name])) as index:
            index.add([f"{i:03}" for i in range(300)], np.repeat(rows(1), 300, axis=0))
            index.remove(["000", "130"])
            for queries in (1, 20):
                for found in index.search(np.repeat(rows(1), queries, axis=0), 5):
                    ids = [each.id for each in found]
                    assert ids == sorted(ids)
                    assert len(set(ids) - {"000", "130"}) == 5


def test_a_reader_follows_what_another_writes(config: EngineConfig, tmp_path: Path) -> None:
    path, new = tmp_path / "index", rows(200)
    twin = Twin(Index.create(path, facts(config)), config, {})
    with twin.index as writer, Index.open(path) as reader:
        for start in range(0, 200, 40):
            names = [f"{i}" for i in range(start, start + 40)]
            writer.add(names, new[start : start + 40])
            twin.held |= dict(zip(names, new[start : start + 40], strict=True))
            twin.check(rows(3, start), 10, reader)
            writer.settle()
            twin.check(rows(3, start), 10, reader)
        writer.remove([f"{i}" for i in range(0, 200, 2)])
        twin.held = {name: row for name, row in twin.held.items() if int(name) % 2}
        twin.check(rows(3, 7), 10, reader)
        writer.compact()
        twin.check(rows(3, 8), 10, reader)
        np.testing.assert_array_equal(reader.vectors(["77"])[0], kept(new[77], config))
        writer.settle()
        twin.check(rows(3, 9), 10, reader)


def test_bfloat16_is_exact_for_the_rows_as_they_are_kept() -> None:
    """Among rows that differ by less than rounding makes, many of them equal; of single queries and of many."""
    chance = np.random.default_rng(0)
    centre = rows(1, 5, 64)
    table = centre + 0.01 * chance.standard_normal((1000, 64)).astype(np.float32)
    table *= 1000
    held = torch.from_numpy(table).bfloat16()
    live = np.arange(0, 1000, 7)
    removed = torch.from_numpy(live)
    largest = float(held.float().norm(dim=1).max())
    for count in (1, 3, 20):
        queries = torch.from_numpy(np.repeat(centre, count, axis=0) + 0.1 * rows(count, 6, 64))
        expected = queries.double() @ held.double().T
        expected[:, removed] = -torch.inf
        scores, keys = exact._best_by_rounded(queries, held, 10, removed, largest)
        best = expected.topk(10).values
        torch.testing.assert_close(scores.double(), best, rtol=1e-6, atol=0)
        torch.testing.assert_close(expected.gather(1, keys), best, rtol=1e-6, atol=0)


def test_few_rows_are_multiplied_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of embeddings, a small share is looked at again in float32."""
    monkeypatch.setattr(exact, "BLOCK", 4096)
    table = torch.from_numpy(rows(20_000, 1, 64)).bfloat16()
    looked = 0
    original = exact._by_query

    def counting(query: torch.Tensor, *rest: Any) -> Any:
        nonlocal looked
        looked += len(query)
        return original(query, *rest)

    monkeypatch.setattr(exact, "_by_query", counting)
    exact._best_by_rounded(torch.from_numpy(rows(4, 2, 64)), table, 10, torch.empty(0, dtype=torch.int64), 1.0)
    assert 40 <= looked < 0.01 * 4 * 20_000


def test_a_file_of_rows_that_was_cut_short(config: EngineConfig, tmp_path: Path) -> None:
    if config.engine == "milvus":
        pytest.skip("it has no such file")
    with Index.create(tmp_path, facts(config)) as index:
        index.add(["a", "b"], rows(2))
    file = next(tmp_path.glob("rows-*"))
    file.write_bytes(file.read_bytes()[:-1])
    with Index.open(tmp_path) as index, pytest.raises(IndexingError, match=r"was altered: it has 1 rows of 2; restore"):
        index.search(rows(1), 1)


def graph_index(path: Path, count: int = 200) -> Twin:
    needs("faiss")
    config = ENGINES["faiss"]
    twin = Twin(Index.create(path, facts(config)), config, {})
    names, new = [f"{i}" for i in range(count)], rows(count)
    twin.index.add(names, new)
    twin.held |= dict(zip(names, new, strict=True))
    twin.index.settle()
    return twin


@pytest.mark.parametrize("harm", ["cut short", "another", "no manifest's format", "gone"])
def test_a_damaged_graph_is_told_and_built_anew(harm: str, tmp_path: Path) -> None:
    twin = graph_index(tmp_path)
    twin.index.close()
    [file], manifest = tmp_path.glob("*.faiss"), tmp_path / "graph-000.json"
    if harm == "cut short":
        file.write_bytes(file.read_bytes()[:-100])
    elif harm == "another":
        manifest.write_text(manifest.read_text().replace('"rows": 200', '"rows": 199'))
    elif harm == "gone":
        file.unlink()
    else:
        manifest.write_text("[]")
    with Index.open(tmp_path) as index, pytest.raises(IndexingError, match=r"graph of .* was altered .*index again"):
        index.search(rows(1), 1)
    twin.index = Index.open(tmp_path, writing=True)
    twin.index.settle()
    twin.check(rows(5, 3), 10)
    twin.index.close()
    assert len(list(tmp_path.glob("*.faiss"))) == 1
    manifest.unlink()
    with Index.open(tmp_path) as index:  # as the message says
        twin.check(rows(5, 3), 10, index)


def test_a_graph_is_not_rewritten_for_few_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    twin = graph_index(tmp_path)
    before = [file.name for file in tmp_path.glob("*.faiss")]
    assert before == ["graph-000.200.faiss"]
    twin.index.add(["new"], rows(1, 5))
    twin.held["new"] = rows(1, 5)[0]
    twin.index.settle()
    assert [file.name for file in tmp_path.glob("*.faiss")] == before
    twin.check(rows(1, 5), 3)
    with pytest.MonkeyPatch.context() as patch:
        from saccade.index import graph

        patch.setattr(graph, "SAVED_SECONDS", -1.0)  # a file after each piece
        names = [f"later {i}" for i in range(190)]
        twin.index.add(names, rows(190, 6))
        twin.held |= dict(zip(names, rows(190, 6), strict=True))
        twin.index.settle()
    assert [file.name for file in tmp_path.glob("*.faiss")] == ["graph-000.391.faiss"]
    twin.check(rows(9, 7), 10)
    twin.index.close()


def test_what_lies_behind_removed_rows_is_found(tmp_path: Path) -> None:
    """All that the graph leads to first is removed, fewer than would be compacted."""
    twin = graph_index(tmp_path, 400)
    [found] = twin.index.search(rows(1, 3), 90)
    twin.index.remove([each.id for each in found])
    for each in found:
        del twin.held[each.id]
    twin.check(rows(1, 3), 300)
    twin.check(rows(1, 3), 10)
    twin.index.close()


def test_beyond_ten_million_rows_lists_are_compressed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    twin = graph_index(tmp_path, 400)
    from saccade.index import graph

    monkeypatch.setattr(graph, "TEN_MILLION", 1000)
    monkeypatch.setattr(graph, "PER_LIST", 40)
    new, names = rows(700, 4), [f"more {i}" for i in range(700)]
    twin.index.add(names, new)
    twin.held |= dict(zip(names, new, strict=True))
    twin.index.settle()
    assert json.loads((tmp_path / "graph-000.json").read_text())["kind"] == "lists"
    gone = names[::5]
    twin.index.remove(gone)
    for name in gone:
        del twin.held[name]
    queries = new[1:500:50] + 0.1 * rows(10, 8)
    every = list(twin.held)
    scores = queries.astype(np.float64) @ np.array([twin.held[name] for name in every]).T
    share = 0.0
    for found, expected in zip(twin.index.search(queries, 10), scores, strict=True):
        assert not {each.id for each in found} & set(gone)
        best = {every[i] for i in np.argsort(-expected)[:10]}
        share += len(best & {each.id for each in found}) / 100
        for each in found:  # scores are those of the rows, not of what they were compressed to
            assert each.score == pytest.approx(expected[every.index(each.id)], abs=1e-5)
    assert share >= 0.9
    twin.index.close()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any, **others: Any) -> Any:
        if name.partition(".")[0] in ("faiss", "pymilvus"):
            raise ImportError(name)
        return original(name, *rest, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    for engine, extra in (("faiss", "faiss"), ("milvus", "milvus")):
        with pytest.raises(RecipeError, match=rf'pip install "saccade-attention\[{extra}\]"'):
            Index.create(tmp_path / engine, facts(ENGINES[engine]))


@pytest.fixture
def lite() -> EngineConfig:
    needs("milvus")
    return ENGINES["milvus"]


def test_a_collection_of_another_index_is_refused(lite: EngineConfig, tmp_path: Path) -> None:
    shared = replace(lite, address=str(tmp_path / "shared.db"))
    with Index.create(tmp_path / "one", facts(shared)) as index:
        index.add(["a"], rows(1))
        with pytest.raises(IndexingError, match=r"'saccade' at .* is not of this index: choose another name"):
            Index.create(tmp_path / "two", facts(shared))
        other = replace(shared, collection="other")
        with Index.create(tmp_path / "three", facts(other)) as second:
            second.add(["b"], rows(1))
            assert [each.id for each in second.search(rows(1), 5)[0]] == ["b"]
        assert [each.id for each in index.search(rows(1), 5)[0]] == ["a"]
        index._engine.discard()
    with Index.open(tmp_path / "three") as second:
        assert [each.id for each in second.search(rows(1), 5)[0]] == ["b"]


def test_a_collection_that_is_gone_or_lost_rows(lite: EngineConfig, tmp_path: Path) -> None:
    from saccade.index.milvus import Milvus

    with Index.create(tmp_path, facts(lite)) as index:
        index.add(["a", "b"], rows(2))
        engine = index._engine
        assert isinstance(engine, Milvus)
        engine._client().delete("saccade", ids=[1])
        with pytest.raises(IndexingError, match=r"was altered: it has 1 rows of 2; restore it, or delete the index"):
            index.settle()
        with pytest.raises(IndexingError, match="it lacks 1 rows"):
            index.vectors(["b"])
        engine._client().drop_collection("saccade")
    with Index.open(tmp_path) as index, pytest.raises(IndexingError, match="was altered: it is gone"):
        index.search(rows(1), 1)


def test_names_are_kept_in_milvus_too(lite: EngineConfig, tmp_path: Path) -> None:
    from saccade.index.milvus import Milvus

    long = "é" * 40_000
    with Index.create(tmp_path, facts(lite)) as index:
        index.add([long, "b"], rows(2))
        index.rename("b", "c", SourceFile(1, 2, "hash"))
        engine = index._engine
        assert isinstance(engine, Milvus)
        found = engine._client().query("saccade", ids=[0, 1], output_fields=["path"])
        assert sorted(each["path"] for each in found) == ["c", "é" * 32_767]
        assert {each.id for each in index.search(rows(1), 2)[0]} == {long, "c"}


def test_a_server_that_is_not_there(lite: EngineConfig, tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match=r"no Milvus answers at http://localhost:19999 .*: start it"):
        Index.create(tmp_path, facts(replace(lite, address="http://localhost:19999")))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer(lite: EngineConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from saccade.index import milvus

    monkeypatch.setattr(milvus, "CONNECTING_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(IndexingError, match=rf"no Milvus answers at {address} .*: start it"):
            Index.create(tmp_path, facts(replace(lite, address=address)))


def test_a_file_of_milvus_lite_is_one_process_s(lite: EngineConfig, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from saccade.index.index import Index; import numpy as np\n"
        "with Index.open(Path(sys.argv[1])) as index: print(index.search(np.ones((1, 13)), 1)[0][0].id)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with Index.create(tmp_path, facts(lite)) as index:
        index.add(["a"], rows(1))
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert re.search(r"IndexingError: Milvus Lite cannot open .*rows\.db: it is in use by another", found.stderr)
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "a\n"
    assert found.stderr == ""


def test_live_rows_that_a_killed_process_left_are_not_found(config: EngineConfig, tmp_path: Path) -> None:
    with Index.create(tmp_path, facts(config)) as index:
        index.add([f"{i}" for i in range(30)], rows(30))
        index._engine.append(30, rows(40, 1), [f"lost {i}" for i in range(40)])  # the catalogue never hears of it
        assert len(index.search(rows(1, 1), 10)[0]) == 10
    with Index.open(tmp_path, writing=True) as index:
        assert len(index.search(rows(1, 1), 10)[0]) == 10
        index.add(["new"], rows(1, 2))
        index.settle()
        assert len(index.search(rows(1, 1), 40)[0]) == 31
        np.testing.assert_array_equal(index.vectors(["new"]), kept(rows(1, 2), config))


def test_live_counts_what_is_left() -> None:
    assert Live(7, np.array([1, 3]), 1.0, forgotten=2).fewer == 3


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_finds_what_the_cpu_finds(tmp_path: Path, dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    with Index.create(tmp_path, facts(EngineConfig(dtype=dtype))) as index:
        index.add([str(i) for i in range(500)], rows(500))
        index.remove(["3", "77"])
        expected = index.search(rows(20), 7)
        index.compute_on("cuda")
        for ours, theirs in zip(index.search(rows(20), 7), expected, strict=True):
            assert [each.id for each in ours] == [each.id for each in theirs]
            np.testing.assert_allclose([each.score for each in ours], [each.score for each in theirs], rtol=1e-4)


def test_rows_that_do_not_fit_a_device_are_searched_where_they_are(tmp_path: Path, monkeypatch) -> None:
    with Index.create(tmp_path, facts(EngineConfig())) as index:
        index.add(["a", "b"], rows(2))
        expected = index.search(rows(2), 2)

        def full(self: torch.Tensor, device: torch.device) -> torch.Tensor:
            raise torch.OutOfMemoryError

        index.compute_on("meta")
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "to", full)
            index._engine._all(2)
        assert index.search(rows(2), 2) == expected
