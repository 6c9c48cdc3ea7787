"""Learning curves: what is drawn, of which runs, in which units, and what is refused."""

from __future__ import annotations

import colorsys
import json
import re
import shutil
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.errors import RunError, SaccadeError, UnknownNameError
from saccade.explain.colors import OUTLINES
from saccade.plot import curves_of, plot_runs, read_groups

EPOCHS = 5


def write_run(path: Path, trained: Path, *, shift: float = 0.0, epochs: int = EPOCHS, val_loss: bool = True) -> Path:
    """A run whose accuracy is highest in its third epoch."""
    path.mkdir(parents=True)
    shutil.copy(trained / "recipe.json", path)
    lines = []
    for epoch in range(1, epochs + 1):
        accuracy = 0.5 + shift - 0.1 * abs(epoch - 3)
        record = {"epoch": epoch, "step": 9 * epoch, "loss": 3 / epoch, "lr": 0.1, "val_loss": 3.5 / epoch + shift}
        lines.append(json.dumps(record | {"accuracy": accuracy, "accuracy_color": 0.25}))
        if not val_loss:
            lines[-1] = json.dumps({k: v for k, v in json.loads(lines[-1]).items() if k != "val_loss"})
    (path / "log.jsonl").write_text("\n".join(lines) + "\n")
    return path


def test_a_run_is_its_loss_and_the_metric_that_chooses_in_percent(trained_run, tmp_path) -> None:
    curves = curves_of(read_groups([write_run(tmp_path / "run", trained_run)]))
    loss, accuracy = curves.plots
    assert curves.labels == ("run",)
    assert (loss.name, loss.unit) == ("loss", "nats per question")
    training, validation = loss.curves
    assert training.dashed
    assert training.points == tuple((epoch, 3 / epoch) for epoch in range(1, 6))
    assert validation.points[1] == (2, 1.75)
    assert (accuracy.name, accuracy.unit) == ("accuracy", "%")
    [curve] = accuracy.curves
    assert dict(curve.points) == pytest.approx({1: 30.0, 2: 40.0, 3: 50.0, 4: 40.0, 5: 30.0})
    assert validation.kept == curve.kept == 3


def test_runs_that_differ_in_their_seed_are_a_mean_and_a_band(trained_run, tmp_path) -> None:
    for seed, epochs in enumerate((5, 4, 5)):
        write_run(tmp_path / "compare" / "r-dan" / f"seed-{seed}", trained_run, shift=seed / 10, epochs=epochs)
    write_run(tmp_path / "compare" / "ibowimg" / "seed-0", trained_run)
    for path in (tmp_path / "compare", tmp_path / "compare" / "r-dan"):
        group = read_groups([path])[-1]
        assert (group.label, len(group.runs)) == ("r-dan", 3)
    curves = curves_of(read_groups([tmp_path / "compare"]))
    assert curves.labels == ("ibowimg", "r-dan")
    _, accuracy = curves.plots
    assert [(curve.color, curve.faint) for curve in accuracy.curves] == [(0, False), *[(1, True)] * 3, (1, False)]
    mean, [band] = accuracy.curves[-1], accuracy.bands
    assert dict(mean.points) == pytest.approx({1: 40.0, 2: 50.0, 3: 60.0, 4: 50.0})  # the epochs that all have
    assert band.points[2] == pytest.approx((3, 50.0, 70.0))
    assert mean.kept is None


def test_metrics_are_chosen_by_name(trained_run, tmp_path) -> None:
    groups = read_groups([write_run(tmp_path / "run", trained_run)])
    plots = curves_of(groups, ["accuracy_color", "lr", "val_loss"]).plots
    assert [(plot.name, plot.unit) for plot in plots[1:]] == [("accuracy_color", "%"), ("lr", "")]
    with pytest.raises(UnknownNameError, match=r"no metric in the logs named 'acuracy'; did you mean 'accuracy'\?"):
        curves_of(groups, ["acuracy"])


def test_the_picture_has_the_colours_of_its_runs(trained_run, tmp_path) -> None:
    runs = [write_run(tmp_path / name, trained_run, shift=shift) for name, shift in (("a", 0.0), ("b", 0.2))]
    plot_runs(runs, tmp_path / "out" / "curves.png")
    file = (tmp_path / "out" / "curves.png").read_bytes()
    pixels = np.asarray(Image.open(BytesIO(file)).convert("RGB")).reshape(-1, 3)
    assert len(file) < 200_000
    for color in OUTLINES[:2]:
        assert (pixels == color).all(1).sum() > 100
    plot_runs(runs, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == file


def test_the_page_needs_nothing_but_itself_and_escapes_names(trained_run, tmp_path) -> None:
    run = write_run(tmp_path / "a<b>&c", trained_run)
    plot_runs([run], tmp_path / "curves.html", ["accuracy"])
    text = (tmp_path / "curves.html").read_text()
    assert text.count("<svg") == 1
    assert "a&lt;b&gt;&amp;c" in text
    assert "a<b>" not in text
    assert "epoch 3 of 5 kept: accuracy 50.00 %, val_loss 1.167, loss 1.000" in text
    assert "nats per question" in text
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", text.replace("xlink:href", "href"))
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", text, flags=re.DOTALL)


def test_a_run_in_training_and_one_without_validation_are_drawn(trained_run, tmp_path) -> None:
    run = write_run(tmp_path / "run", trained_run, epochs=1, val_loss=False)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')  # killed or still writing
    plot_runs([run], tmp_path / "curves.png")
    [group] = read_groups([run])
    assert len(group.runs[0].records) == 1


def test_more_runs_than_colours_have_a_hue_each(trained_run, tmp_path) -> None:
    runs = [write_run(tmp_path / f"run-{i}", trained_run, shift=i / 100) for i in range(len(OUTLINES) + 2)]
    plot_runs(runs, tmp_path / "curves.html", ["accuracy"])
    drawn = set(re.findall(r"stroke: ?(#[0-9a-f]{6})", (tmp_path / "curves.html").read_text()))
    hues = {colorsys.rgb_to_hsv(*(int(each[i : i + 2], 16) / 255 for i in (1, 3, 5))) for each in drawn}
    assert len({round(hue, 3) for hue, saturation, _ in hues if saturation > 0.3}) >= len(runs)


def test_what_cannot_be_drawn_is_refused(trained_run, tmp_path, refused, saccade, monkeypatch) -> None:
    run = write_run(tmp_path / "run", trained_run)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty holds no run with a finished epoch: expected run directories"):
        read_groups([tmp_path / "empty"])
    with pytest.raises(RunError, match="holds no run"):
        read_groups([tmp_path / "nowhere"])
    refused("plot", run, "--out", tmp_path / "c.gif", parts=("no format of curves named '.gif'", ".html, .png"), code=2)
    refused("plot", run, "--out", run / "recipe.json" / "c.png", parts=("cannot be written",))
    outcome = saccade("plot", run, "--out", tmp_path / "c.png", "--metric", "lr", "--metric", "accuracy")
    assert outcome.out == f"Curves of 1 run: {tmp_path / 'c.png'}\n"
    (run / "log.jsonl").unlink()
    refused("plot", run, parts=("log.jsonl tells of no epoch: wait until one is finished",))
    write_run(tmp_path / "other", trained_run)
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SaccadeError, match=r'drawn by matplotlib: pip install "saccade-attention\[plot\]"'):
        plot_runs([tmp_path / "other"], tmp_path / "d.png")


def test_runs_of_the_same_name_are_told_apart(trained_run, tmp_path) -> None:
    runs = [write_run(tmp_path / folder / "run", trained_run) for folder in ("a", "b")]
    assert [group.label for group in read_groups(runs)] == [str(run) for run in runs]
