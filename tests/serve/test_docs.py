"""The page about the server is true: its curl lines are run against one, and its limits are the server's."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from saccade.commands.serving import Serve
from saccade.serve import answers
from saccade.serve.parsing import NAMES
from saccade.serve.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
LINES = re.findall(r"^curl .*$", PAGE, re.M)


def test_the_curl_lines_do_what_they_say(server, picture, tmp_path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "photo.jpg").write_bytes(picture)
    token = server.keep(picture)
    assert len(LINES) > 15
    for line in LINES:
        said = line.replace("127.0.0.1:8000", server.name).replace("runs/demo/", "runs/run/").replace("TOKEN", token)
        arguments = [*shlex.split(said), "-sS", "--fail-with-body"]
        result = subprocess.run(arguments, check=False, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        if "DELETE" in line:
            token = server.keep(picture)
    assert (tmp_path / "looked.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert (tmp_path / "looked.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "example.png").read_bytes().startswith(b"\x89PNG")


def test_every_name_and_number_is_on_the_page() -> None:
    rows = "".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for name in {name for names in NAMES.values() for name in names} - {"index"}:
        assert f"`{name}`" in rows
    settings = Settings()
    assert f"{settings.pixels // 10**6} million pixels" in PAGE
    assert f"{settings.upload // 10**6} MB" in PAGE
    assert f"at most {settings.text:,} characters" in PAGE
    command = Serve(runs=("run",))
    assert (command.max_upload * 10**6, command.keep * 60, command.queue) == (
        settings.upload,
        settings.keep,
        settings.queue,
    )
    assert f"{command.keep:g} minutes" in PAGE


def test_examples_in_the_source_hold() -> None:
    assert doctest.testmod(answers) == (0, 1)
