"""An index of photographs kept like its folder: what is added, changed, renamed, removed, killed, damaged or full."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.torchrun import torchrun

from saccade.data.pictures import Pictures
from saccade.data.scenes import Scenes
from saccade.errors import DataError, ImageError, RunError
from saccade.index.background import BACKGROUND, Background
from saccade.index.embedder import Embedder
from saccade.index.engine import EngineConfig, IndexingError
from saccade.index.index import FACTS, Index
from saccade.index.photographs import index_photographs
from saccade.index.pieces import PieceMaker
from saccade.index.searching import Query, Searcher
from saccade.index.sentences import index_sentences
from saccade.predict import Predictor
from saccade.sharing import Workers

COUNT = 11
NOTHING = {"added": 0, "changed": 0, "renamed": 0, "removed": 0, "unchanged": 0, "failed": 0}


@pytest.fixture(scope="module")
def embedder(matching_run) -> Embedder:
    return Embedder(matching_run, device="cpu")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for i in range(COUNT):
        Scenes().open_image(f"test/{i:05d}").save(folder / ("more" if i % 2 else "") / f"{i:02}.png")
    return folder


@pytest.fixture
def photos(scenes, tmp_path) -> Path:
    return Path(shutil.copytree(scenes, tmp_path / "photos"))


def content(path: Path) -> dict[str, bytes]:
    with Index.open(path) as index:
        ids = index.catalogue.ids()
        return {name: row.tobytes() for name, row in zip(ids, index.vectors(ids), strict=True)}


def test_every_photograph_is_found_by_its_embedding_and_by_its_path(embedder, photos, tmp_path) -> None:
    update = index_photographs(embedder, photos, tmp_path / "index")
    assert update.to_dict() == {**NOTHING, "added": COUNT}
    predictor: Predictor = embedder.predictor
    with Index.open(tmp_path / "index") as index:
        names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
        assert sorted(index.catalogue.ids()) == names
        for name in names:
            alone = embedder.images([predictor.extractor.load(photos / name)])
            np.testing.assert_allclose(index.vectors([name]), alone, atol=1e-5)
            assert index.search(alone, 1)[0][0].id == name
        reply = predictor(photos / names[3], "a red circle")[0]
        scores = {hit.id: hit.score for hit in index.search(embedder.sentences(["a red circle"]), COUNT)[0]}
        assert scores[names[3]] == pytest.approx(reply.score, abs=1e-5)


def test_the_index_follows_its_folder_and_counts_what_it_did(embedder, photos, tmp_path) -> None:
    out = tmp_path / "index"
    index_photographs(embedder, photos, out)
    before = content(out)
    assert index_photographs(embedder, photos, out).to_dict() == {**NOTHING, "unchanged": COUNT}

    (photos / "00.png").unlink()
    (photos / "more/01.png").rename(photos / "renamed.png")
    shutil.copy(photos / "02.png", photos / "copy.png")
    shutil.copy(photos / "04.png", photos / "more/03.png")  # replaced
    os.utime(photos / "06.png", ns=(1, 1))  # touched, and the same
    (photos / "broken.png").write_bytes((photos / "08.png").read_bytes()[:200])
    update = index_photographs(embedder, photos, out)
    assert update.to_dict() == {"added": 1, "changed": 1, "renamed": 1, "removed": 1, "unchanged": 8, "failed": 1}
    after = content(out)
    assert after["renamed.png"] == before["more/01.png"]
    np.testing.assert_allclose(*(np.frombuffer(after[name], np.float32) for name in ("copy.png", "02.png")), atol=1e-5)
    np.testing.assert_allclose(*(np.frombuffer(after[n], np.float32) for n in ("more/03.png", "04.png")), atol=1e-5)
    kept = set(before) - {"00.png", "more/01.png", "more/03.png"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}

    # A damaged file is not read again before it changes; mended, it is there.
    assert index_photographs(embedder, photos, out).to_dict() == {**NOTHING, "unchanged": COUNT, "failed": 1}
    shutil.copy(photos / "08.png", photos / "broken.png")
    assert index_photographs(embedder, photos, out).to_dict() == {**NOTHING, "changed": 1, "unchanged": COUNT}
    assert str(update) == "1 added, 1 changed, 1 renamed, 1 removed, 8 unchanged; 1 could not be read"


def test_an_updated_index_finds_what_a_new_one_finds(embedder, photos, tmp_path) -> None:
    index_photographs(embedder, photos, tmp_path / "old")
    for name in ("00.png", "02.png", "04.png", "06.png", "more/05.png"):
        (photos / name).unlink()
    Image.new("RGB", (96, 96), "white").save(photos / "white.png")
    index_photographs(embedder, photos, tmp_path / "old")
    index_photographs(embedder, photos, tmp_path / "new")
    old, new = content(tmp_path / "old"), content(tmp_path / "new")
    assert old.keys() == new.keys()
    queries = embedder.sentences(["a red circle", "two small crosses"])
    with Index.open(tmp_path / "old") as first, Index.open(tmp_path / "new") as second:
        found, expected = first.search(queries, 20), second.search(queries, 20)
        assert [[hit.id for hit in row] for row in found] == [[hit.id for hit in row] for row in expected]
        assert not first.catalogue.live.removed.size  # more than a quarter was removed, so the rows were written anew


def test_a_folder_that_moved_is_said_to_have(embedder, photos, tmp_path) -> None:
    out = tmp_path / "index"
    index_photographs(embedder, photos, out)
    moved = Path(shutil.move(photos, tmp_path / "elsewhere"))
    with pytest.raises(IndexingError, match=r"is the index of .*photos, not of .*elsewhere: name another folder"):
        index_photographs(embedder, moved, out)
    assert index_photographs(embedder, moved, out, moved=True).unchanged == COUNT
    assert json.loads((out / FACTS).read_text())["source"] == str(moved)


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from saccade.index import photographs
from saccade.index.embedder import Embedder
from saccade.index.engine import EngineConfig
photographs.PIECE = 1
run, photos, out, kills, config = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
embedder = Embedder(run, device="cpu")
embedder.predictor, embedder.fingerprint, embedder.size
def start(out):
    child = os.fork()
    if not child:
        photographs.index_photographs(embedder, photos, out, eval(config))
        os._exit(0)
    return child
started = time.perf_counter()
os.waitpid(start(out.with_name("undisturbed")), 0)
whole = time.perf_counter() - started
draws, killed = random.Random(0), 0
for _ in range(kills):
    child = start(out)
    time.sleep(draws.uniform(0, whole / 8))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
photographs.index_photographs(embedder, photos, out, eval(config))
print(killed)
"""


def test_an_index_killed_at_random_moments_ends_as_an_undisturbed_one(matching_run, photos, tmp_path) -> None:
    arguments = [str(matching_run), str(photos), str(tmp_path / "killed"), "10", "EngineConfig()"]
    done = subprocess.run([sys.executable, "-c", KILLS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    killed, undisturbed = (tmp_path / name for name in ("killed", "undisturbed"))
    assert content(killed) == content(undisturbed)
    best = [json.loads((path / BACKGROUND).read_text())["best"] for path in (killed, undisturbed)]
    assert best[0] == best[1]


# Many processes


class Backwards(Workers):
    """Others who make the pieces, the last one first."""

    shared = True

    def run(self, prepare, pieces, *, meanwhile=lambda: None):
        maker = pickle.loads(pickle.dumps(prepare))()
        for piece in reversed(pieces):
            list(maker([piece]))
            meanwhile()
        return [None] * len(pieces)


def test_it_does_not_matter_who_makes_which_piece_or_what_was_left(embedder, photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saccade.index.photographs.PIECE", 3)
    (photos / "bad.png").write_text("no image")
    index_photographs(embedder, photos, tmp_path / "alone")
    # Of an earlier try there are a piece that still counts and one that does not.
    names = tuple(sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png")))
    parts = tmp_path / "shared" / "parts"
    with monkeypatch.context() as patched:
        patched.setattr(Backwards, "run", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index_photographs(embedder, photos, tmp_path / "shared", workers=Backwards())
    list(PieceMaker(Pictures(str(photos)), embedder, None, parts)()([names[3:6], names[2:4]]))
    assert len(list(parts.iterdir())) == 2
    update = index_photographs(embedder, photos, tmp_path / "shared", workers=Backwards())
    assert update.to_dict() == {**NOTHING, "added": COUNT, "failed": 1}
    assert not parts.exists()
    assert content(tmp_path / "shared") == content(tmp_path / "alone")
    with Index.open(tmp_path / "shared") as index:
        assert index.catalogue.failed() == {"bad.png": "not an image that Pillow can read"}


def test_torchruns_processes_share_an_index(matching_run, embedder, photos, tmp_path) -> None:
    outcome = torchrun(
        "-m", "saccade", "index", matching_run, photos, "--out", tmp_path / "shared", "--device", "cpu", "--json"
    )
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout) == {**NOTHING, "added": COUNT}
    index_photographs(embedder, photos, tmp_path / "alone")
    assert content(tmp_path / "shared") == content(tmp_path / "alone")


def test_rays_workers_share_an_index(embedder, photos, tmp_path, monkeypatch, cluster) -> None:
    monkeypatch.setattr("saccade.index.photographs.PIECE", 6)
    assert index_photographs(embedder, photos, tmp_path / "shared", workers=cluster).added == COUNT
    index_photographs(embedder, photos, tmp_path / "alone")
    assert content(tmp_path / "shared") == content(tmp_path / "alone")


def test_a_list_and_an_archive_are_indexed(embedder, photos, tmp_path) -> None:
    listed = photos / "some.txt"
    listed.write_text("00.png\nmore/03.png\n")
    assert index_photographs(embedder, listed, tmp_path / "list").added == 2
    shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    url = f"zip://::{tmp_path}/photos.zip"
    assert index_photographs(embedder, url, tmp_path / "zip").added == COUNT
    assert index_photographs(embedder, url, tmp_path / "zip").unchanged == COUNT
    folder = tmp_path / "folder"
    index_photographs(embedder, photos, folder)
    assert content(tmp_path / "zip") == content(folder)
    with Searcher(tmp_path / "zip", device="cpu") as searcher:
        query = Query("a red circle")
        hits = searcher.search(query, top=2)
        assert [hit.file for hit in hits] == [None, None]
        assert [part.title for part in searcher.figure(query, hits).parts] == [hit.id for hit in hits]


# What is refused


def test_an_index_of_another_run_is_refused(embedder, matching_run, trained_run, photos, tmp_path) -> None:
    index_photographs(embedder, photos, tmp_path / "index")
    other = tmp_path / "other"
    shutil.copytree(matching_run, other)
    with pytest.raises(RunError, match=r"is for answering, not for matching: use"):
        Embedder(trained_run)
    changed = Embedder(other, device="cpu")
    changed.__dict__["fingerprint"] = "0"
    with pytest.raises(IndexingError, match=r"was made with another run than .*other"):
        index_photographs(changed, photos, tmp_path / "index")


def test_other_options_for_an_index_that_is_there_are_refused(embedder, photos, tmp_path) -> None:
    index_photographs(embedder, photos, tmp_path / "index", EngineConfig(dtype="bfloat16"))
    assert index_photographs(embedder, photos, tmp_path / "index").unchanged == COUNT
    with pytest.raises(IndexingError, match=r"was made otherwise .*leave out the engine and its options"):
        index_photographs(embedder, photos, tmp_path / "index", EngineConfig(links=8))


def test_a_folder_without_photographs_and_a_file_in_the_way_are_refused(embedder, photos, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no image files in it"):
        index_photographs(embedder, tmp_path / "empty", tmp_path / "index")
    assert not (tmp_path / "index").exists()
    with pytest.raises(IndexingError, match="is not empty and no index"):
        index_photographs(embedder, photos, photos)
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexingError, match="is not empty and no index"):
        index_photographs(embedder, photos, tmp_path / "file")


def test_two_processes_on_one_index(embedder, photos, tmp_path) -> None:
    index_photographs(embedder, photos, tmp_path / "index")
    with (
        Index.open(tmp_path / "index", writing=True),
        pytest.raises(IndexingError, match="another process is writing to"),
    ):
        index_photographs(embedder, photos, tmp_path / "index")


@pytest.mark.parametrize("place", ["saccade.index.rows.os.fsync", "saccade.serial.os.fsync"])
def test_a_full_disk_says_what_to_do_and_loses_nothing(embedder, photos, tmp_path, monkeypatch, place) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "index"
    with monkeypatch.context() as patched:
        patched.setattr(place, full)
        for _ in range(2):
            with pytest.raises(IndexingError, match="no space left on the disk; nothing that was indexed is lost"):
                index_photographs(embedder, photos, out)
    assert index_photographs(embedder, photos, out).added == COUNT
    assert len(content(out)) == COUNT


def test_damaged_files_of_an_index_are_named(embedder, photos, tmp_path) -> None:
    out = tmp_path / "index"
    index_photographs(embedder, photos, out)
    rows = out / "rows-000.float32"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:100])
    with (
        pytest.raises(IndexingError, match=r"rows-000\.float32 was altered: it has 0 rows of 11"),
        Index.open(out) as i,
    ):
        i.search(np.ones((1, i.facts.size), np.float32), 1)
    rows.write_bytes(whole)
    (out / "catalogue.sqlite").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(IndexingError, match=r"catalogue\.sqlite was altered"):
        Index.open(out)
    (out / "catalogue.sqlite").unlink(missing_ok=True)
    with pytest.raises(IndexingError, match="is unfinished: run the same saccade index again"):
        Index.open(out)
    (out / FACTS).write_text("{}")
    with pytest.raises(IndexingError, match="expected an index of the format saccade-index-1"):
        Index.open(out)
    with pytest.raises(IndexingError, match=r"is not an index .*make one with saccade index RUN PHOTOS"):
        Index.open(photos)


def test_the_background_is_made_anew_when_the_index_changes(embedder, photos, tmp_path) -> None:
    out = tmp_path / "index"
    index_photographs(embedder, photos, out)
    first = (out / BACKGROUND).read_bytes()
    kept = json.loads(first)
    assert kept["sentences"] == len(embedder.task.background)
    with Index.open(out) as index:
        rows = index.vectors(index.catalogue.ids())
    scores = np.sort((embedder.sentences(embedder.task.background) @ rows.T).ravel())
    np.testing.assert_allclose(kept["best"], scores, atol=2e-5)
    stamp = (out / BACKGROUND).stat().st_mtime_ns
    index_photographs(embedder, photos, out)
    assert (out / BACKGROUND).stat().st_mtime_ns == stamp
    (photos / "00.png").unlink()
    index_photographs(embedder, photos, out)
    assert len(json.loads((out / BACKGROUND).read_text())["best"]) < len(kept["best"])
    (out / BACKGROUND).write_text("{")
    assert Background.read(out) is None
    index_photographs(embedder, photos, out)
    assert Background.read(out) is not None


# Sentences


def test_an_index_of_sentences_follows_its_file(embedder, tmp_path) -> None:
    file, out = tmp_path / "said.txt", tmp_path / "index"
    file.write_text("a red circle\n\na green cross \na red circle\n")
    assert index_sentences(embedder, file, out).to_dict() == {**NOTHING, "added": 2}
    file.write_text("a green cross\nthree small diamonds\n")
    assert index_sentences(embedder, file, out).to_dict() == {**NOTHING, "added": 1, "removed": 1, "unchanged": 1}
    lines = tmp_path / "said.jsonl"
    lines.write_text('{"image": "a.jpg", "captions": ["a red circle", "a cross"]}\n{"sentence": "a green cross"}\n')
    assert index_sentences(embedder, lines, tmp_path / "other").added == 3
    with pytest.raises(IndexingError, match="is an index of sentences, not of images"):
        index_photographs(embedder, tmp_path_with_an_image(tmp_path), out)


def tmp_path_with_an_image(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "a cross\n...\n", r"a\.txt:2: expected a sentence with at least one word"),
        ("a.txt", "\n", r"a\.txt: holds no sentence"),
        ("a.jsonl", '{"caption": "a cross"}\n{"caption": 3}\n', r'a\.jsonl:2: expected a "sentence", a "caption"'),
        ("a.jsonl", "a cross\n", r"a\.jsonl:1: expected a JSON object"),
    ],
)
def test_a_wrong_line_of_sentences_is_named(embedder, tmp_path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        index_sentences(embedder, tmp_path / name, tmp_path / "index")
    assert not (tmp_path / "index").exists()
