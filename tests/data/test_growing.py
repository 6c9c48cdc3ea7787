"""A file that grows line by line: wherever it is cut it ends as if it had not been, and never takes another's lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saccade.data.growing import GrowingFile
from saccade.errors import RunError, UnknownNameError

ROWS = [
    {"image": "a.png", "n": 1, "answer": "réd"},
    {"image": "b.png", "error": "damaged"},
    {"image": "c.png", "more": ["x\ny", None], "answer": 'a "b", c'},
]
LAST = ("answer", "alternatives", "error")


def grow(path: Path, upto: int = 3, *, overwrite: bool = False, **made_of) -> GrowingFile:
    file = GrowingFile(path, {"run": "r", **made_of}, about={"by": "me"}, last=LAST, overwrite=overwrite)
    if not file.finished:
        with file:
            file.add(ROWS[file.done : upto])
            if upto == len(ROWS):
                file.finish()
    return file


def test_lines_and_tables(tmp_path) -> None:
    grow(tmp_path / "new" / "a.jsonl")
    assert [json.loads(line) for line in (tmp_path / "new" / "a.jsonl").read_text().splitlines()] == ROWS
    grow(tmp_path / "new" / "a.csv")
    assert (tmp_path / "new" / "a.csv").read_text() == (
        'image,n,more,answer,error\na.png,1,,réd,\nb.png,,,,damaged\nc.png,,"[""x\\ny"", null]","a ""b"", c",\n'
    )
    origin = {"by": "me", "lines": 3, "lines_with_error": 1, "made_of": {"run": "r"}}
    assert json.loads((tmp_path / "new" / "a.csv.origin.json").read_text()) == origin
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["a.csv", "a.csv.origin.json", "a.jsonl", "a.jsonl.origin.json"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_wherever_it_is_cut_it_ends_the_same(tmp_path, suffix) -> None:
    whole = tmp_path / f"whole.{suffix}"
    grow(whole)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
    for cut in range(0, len(lines) + 1, 3):
        path = tmp_path / f"{cut}.{suffix}"
        grow(path, 0)
        (tmp_path / f"{cut}.{suffix}.partial").write_bytes(lines[:cut])
        file = grow(path)
        assert (file.done, file.failed) == (3, 1)
        assert path.read_bytes() == whole.read_bytes()


def test_killed_between_any_two_steps_it_goes_on(tmp_path) -> None:
    path, partial, origin = (tmp_path / f"a.csv{end}" for end in ("", ".partial", ".origin.json"))
    partial.touch()  # before it is said what the lines are made of
    grow(path, 2)
    lines = partial.read_bytes()
    grow(path)
    whole = path.read_bytes()
    partial.write_bytes(lines + json.dumps(ROWS[2], ensure_ascii=False).encode() + b"\n")  # the table was just made
    assert not grow(path).finished
    assert (path.read_bytes(), partial.exists()) == (whole, False)
    write = {**json.loads(origin.read_text())}
    del write["lines"], write["lines_with_error"]  # made, and not yet counted
    origin.write_text(json.dumps(write))
    assert grow(path).finished


def test_what_is_finished_is_left_alone(tmp_path) -> None:
    grow(tmp_path / "a.csv")
    before = (tmp_path / "a.csv").stat()
    file = grow(tmp_path / "a.csv")
    assert (file.finished, file.done, file.failed) == (True, 3, 1)
    assert (tmp_path / "a.csv").stat() == before
    assert not grow(tmp_path / "a.csv", overwrite=True).finished


@pytest.mark.parametrize("upto", [2, 3])
def test_lines_of_something_else_are_refused(tmp_path, upto) -> None:
    grow(tmp_path / "a.jsonl", upto)
    with pytest.raises(RunError, match=r'a\.jsonl was made otherwise; its run \("r", now "s"\): start anew'):
        grow(tmp_path / "a.jsonl", run="s")
    grow(tmp_path / "a.jsonl", run="s", overwrite=True)
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 3


def test_a_file_of_unknown_origin_is_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(RunError, match=r"a\.csv exists, and nothing says what it was made of: start anew with"):
        grow(tmp_path / "a.csv")
    (tmp_path / "a.csv.origin.json").write_text("[]")
    with pytest.raises(RunError, match=r"origin\.json was altered"):
        grow(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "mine"
    grow(tmp_path / "a.csv", overwrite=True)


def test_two_processes_do_not_write_one_file(tmp_path) -> None:
    first, second = (GrowingFile(tmp_path / "a.csv", {}, about={}, last=LAST, overwrite=True) for _ in range(2))
    with first:
        first.add(ROWS)
        with pytest.raises(RunError, match=r"another process is writing .*a\.csv"), second:
            pass
        first.finish()
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4


def test_it_can_leave_nothing_behind(tmp_path) -> None:
    with GrowingFile(tmp_path / "a.csv", {}, about={}, last=LAST, overwrite=False) as file:
        file.add(ROWS)
        file.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_says_the_format(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match=r"no file format named '.cvs'; did you mean '.csv'"):
        grow(tmp_path / "a.cvs")
