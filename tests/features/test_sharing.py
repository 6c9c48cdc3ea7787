"""Extraction by several processes and by Ray: the bytes of one process, whoever makes which shard and whoever dies."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.torchrun import torchrun

from saccade.clusters import ATTEMPTS, ray_cluster
from saccade.errors import RecipeError, RunError, StoreError
from saccade.evaluate import evaluate
from saccade.features.extract import Extractor, extract
from saccade.features.making import ShardMaker
from saccade.features.shards import Layout
from saccade.features.spec import FeatureSpec
from saccade.features.store import FeatureStore
from saccade.features.writer import FeatureWriter
from saccade.images import open_image
from saccade.sharing import processes

pytestmark = pytest.mark.filterwarnings("ignore:the weights of")

IDS = [f"{i}.jpg" for i in range(11)]
AS_IN_ONE = {"batch_size": 2, "shard_images": 3}
COMMAND = (
    "--backbone test_resnet --weights random --image-size 96 --layer 2 --batch-size 2 --shard-images 3 --device cpu"
)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def alone(pictures, tmp_path, spec) -> dict[str, bytes]:
    """The store that one process makes."""
    return contents(made(pictures, tmp_path / "alone", spec).path)


def made(pictures: Path, out: Path, spec: FeatureSpec, ids=IDS, **options) -> FeatureStore:
    return extract(ids, lambda image: open_image(pictures / image), out, spec, **AS_IN_ONE, **options)


def test_torchruns_processes_make_the_store_of_one_and_say_so_once(pictures, tmp_path, alone) -> None:
    out = tmp_path / "shared"
    outcome = torchrun("-m", "saccade", "extract", pictures, "--out", out, *COMMAND.split(), "--device", "cpu")
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("11 images, regions of 48") == 1
    assert outcome.stderr.count("saccade: warning") == 1
    now = contents(out)
    # The command sorts the names as text; the shards have the same images otherwise.
    assert sorted(now) == sorted([*alone, "files.json"])
    names = sorted(IDS)
    one = extract(names, lambda i: open_image(pictures / i), tmp_path / "one", FeatureStore.open(out).spec,
                  image_file=lambda i: pictures / i, **AS_IN_ONE)  # fmt: skip
    assert now == contents(one.path)


DYING = """
import os, signal, sys, warnings
from pathlib import Path
from saccade.features.extract import extract
from saccade.features.spec import FeatureSpec
from saccade.images import open_image
from saccade.sharing import processes
warnings.simplefilter("ignore")
pictures, out, died = map(Path, sys.argv[1:])
def mortal(image):
    if image == "10.jpg" and not died.exists():  # of the last shard, the second of its process
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return open_image(pictures / image)
spec = FeatureSpec(backbone="test_resnet", weights="random", image_size=96, layer=2)
with processes() as workers:
    ids = [f"{i}.jpg" for i in range(11)] if workers.is_first else []
    store = extract(ids, mortal, out, spec, batch_size=2, shard_images=3, workers=workers)
    assert len(store) == 11, len(store)
"""


def test_a_killed_process_is_started_again_by_torchrun_and_the_store_is_the_same(pictures, tmp_path, alone) -> None:
    script, out, died = tmp_path / "dying.py", tmp_path / "shared", tmp_path / "died"
    script.write_text(DYING)
    outcome = torchrun("--max-restarts", 1, script, pictures, out, died)
    assert outcome.returncode == 0, outcome.stderr
    assert died.exists()
    assert contents(out) == alone


def test_an_error_of_several_processes_is_told_once(pictures, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    outcome = torchrun("-m", "saccade", "extract", pictures, "--out", tmp_path, *COMMAND.split(), "--device", "cpu")
    assert outcome.returncode == 1
    told = [line for line in outcome.stderr.splitlines() if line.startswith("saccade: ") and "warning" not in line]
    assert told == [f"saccade: {tmp_path} is not empty and no feature store: write to another folder"]
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def some_shards(pictures: Path, out: Path, spec: FeatureSpec, numbers: tuple[int, ...], ids=IDS) -> None:
    """What is left when processes were killed that had made those shards."""
    extractor = Extractor(spec)
    layout = Layout(out, spec.dtype, extractor.size, extractor.grid)
    facts = {"weights_hash": extractor.weights_hash, "size": extractor.size, "grid": extractor.grid}
    with FeatureWriter(out, ids, spec=spec, shard_images=3, **facts) as writer:
        maker = ShardMaker(layout, extractor.weights_hash, partial(Extractor, spec), partial(_open, pictures), None, 2)
        list(maker()([plan for plan in writer.plans if plan.number in numbers]))
    (out / ".regions-00001.npy.1-abc.tmp").write_bytes(b"cut short")


def _open(pictures: Path, image: str):
    return open_image(pictures / image)


@pytest.mark.parametrize("numbers", [(1,), (0, 2), (3,), (1, 2, 3)])
def test_whole_shards_are_kept_wherever_they_are(pictures, tmp_path, spec, alone, numbers) -> None:
    out, seen = tmp_path / "cut", []
    some_shards(pictures, out, spec, numbers)
    kept = {file.name: file.stat().st_mtime_ns for file in out.glob("*.npy")}
    made(pictures, out, spec, progress=lambda done, total: seen.append((done, total)))
    assert contents(out) == alone
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    assert (seen[0], seen[-1]) == ((sum((3, 3, 3, 2)[number] for number in numbers), 11), (11, 11))


def test_other_images_than_those_that_were_cut_off_fit_between_whole_shards(pictures, tmp_path, spec) -> None:
    some_shards(pictures, tmp_path / "cut", spec, (0, 2))
    found = made(pictures, tmp_path / "cut", spec, [*IDS[:3], "10.jpg"])
    assert found.ids == [*IDS[:3], "10.jpg", *IDS[6:9]]
    found.verify()
    grown = made(pictures, tmp_path / "cut", spec)
    assert sorted(grown.ids) == sorted(IDS)
    grown.verify()


def test_an_image_that_was_replaced_is_what_the_later_shard_says(pictures, tmp_path, spec) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for image in IDS:
        (folder / image).write_bytes((pictures / image).read_bytes())
    out, options = tmp_path / "store", {"image_file": lambda image: folder / image}
    made(folder, out, spec, **options)
    for file in ("manifest.json", "images-00001.json", "files.json"):  # as if process 1 had been killed
        (out / file).unlink()
    some = Extractor(spec)
    with FeatureWriter(tmp_path / "x", IDS, spec=spec, weights_hash=some.weights_hash, size=some.size, grid=some.grid,
                       shard_images=3):  # fmt: skip
        (out / "plan.json").write_bytes((tmp_path / "x" / "plan.json").read_bytes())
    (folder / "8.jpg").write_bytes((pictures / "0.jpg").read_bytes())  # of shard 2, which is whole
    store = made(folder, out, spec, **options)
    assert sorted(store.ids) == sorted(IDS)
    assert store.read(["8.jpg"]).features[0].equal(store.read(["0.jpg"]).features[0])


def test_a_folder_that_a_machine_does_not_see_and_other_weights_are_refused(tmp_path, spec) -> None:
    layout = Layout(tmp_path / "not there", spec.dtype, 48, (12, 12))
    maker = ShardMaker(layout, "other", partial(Extractor, spec), open_image, None, 2)
    with pytest.raises(StoreError, match=r"is not there on .*: name a folder that all machines share"):
        maker()
    layout.path.mkdir()
    (layout.path / "plan.json").write_text("{}")
    with pytest.raises(StoreError, match=r"weights of test_resnet on .* are others than those of the first process"):
        maker()


def test_without_torchrun_this_process_does_all() -> None:
    with processes() as workers:
        assert workers.is_first
        assert not workers.shared
        assert workers.agreed(lambda: 5) == 5
        assert workers.run(lambda: partial(map, str), [3, 1, 2]) == ["3", "1", "2"]


def test_without_ray_it_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"Ray is not installed: pip install 'saccade-attention\[ray\]'"):
        ray_cluster().__enter__()


def test_torchrun_and_ray_do_not_share_the_same_work(monkeypatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="leave one of the two out"):
        ray_cluster().__enter__()


def test_ray_makes_the_store_of_one_though_a_worker_is_killed(pictures, tmp_path, spec, alone, cluster) -> None:
    died, seen = tmp_path / "died", []

    def mortal(image: str):
        if image == "10.jpg" and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return open_image(pictures / image)

    out = tmp_path / "shared"
    store = extract(IDS, mortal, out, spec, workers=cluster, progress=lambda *done: seen.append(done), **AS_IN_ONE)
    assert died.exists()
    assert contents(out) == alone
    assert store.ids == IDS
    assert seen[-1] == (11, 11)


def test_a_piece_that_kills_its_workers_is_given_up_and_errors_are_told(tmp_path, cluster) -> None:
    deaths = tmp_path / "deaths"

    def deadly(number: int) -> int:
        if number == 2:
            with deaths.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 5:
            raise StoreError("piece five is wrong")
        return 10 * number

    assert cluster.run(lambda: partial(map, deadly), [4, 0, 3]) == [40, 0, 30]
    assert cluster.run(lambda: partial(map, deadly), []) == []
    with pytest.raises(StoreError, match=r"^piece five is wrong$"):
        cluster.run(lambda: partial(map, deadly), [5])
    with pytest.raises(RunError, match=f"{ATTEMPTS} Ray workers died while they made piece 0, which is given up"):
        cluster.run(lambda: partial(map, deadly), [2])
    assert deaths.read_text() == ATTEMPTS * "x"


@pytest.mark.usefixtures("cluster")  # which is joined
def test_ray_evaluates_as_one_process_does(trained_run, tmp_path) -> None:
    alone = evaluate(trained_run, accelerator="cpu", out=tmp_path / "alone")
    shared = evaluate(trained_run, ray="local", out=tmp_path / "shared", batch_size=17)
    assert shared.pop("split") == alone.pop("split") == "test"
    assert shared == pytest.approx(alone, rel=1e-5)
    found = [
        [json.loads(line)["id"] for line in (tmp_path / name / "predictions.jsonl").read_text().splitlines()]
        for name in ("alone", "shared")
    ]
    assert found[0] == found[1]
    with pytest.raises(RecipeError, match="devices: the Ray cluster has workers of its own: leave 2 out"):
        evaluate(trained_run, ray="local", devices=2)


def test_ray_says_which_device_its_workers_have(cluster) -> None:
    assert cluster.device == "cpu"
    for device, message in (("cuda", "the Ray cluster has no GPU"), ("mps", "expected cpu or cuda, got 'mps'")):
        with pytest.raises(RecipeError, match=message):
            ray_cluster("local", device).__enter__()
