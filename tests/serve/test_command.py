"""saccade serve: what it refuses, what it prints, that it answers, stops, and leaves nothing behind when killed."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saccade.commands import serving

QUESTION = "what color is the large circle?"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("expected at least one run", "saccade serve runs/demo")),
        (("{run}", "--port", "70000"), ("port: expected a whole number from 0 to 65,535",)),
        (("{run}", "--max-upload", "0"), ("max_upload: expected",)),
        (("{run}", "--keep", "0"), ("keep: expected",)),
        (("{run}", "--queue", "0"), ("queue: expected",)),
        (("{run}", "--token", "short"), ("--token: expected 8 to 200 letters",)),
        (("{run}", "--token", "with spaces and so on"), ("--token: expected 8 to 200 letters",)),
        (("{run}", "--token", "long-enough", "--no-token"), ("expected one of them, got both",)),
        (("{run}", "--host", "0.0.0.0"), ("others can reach it", "--token", "--no-token")),
        (("{run}", "--host", "192.0.2.1", "--no-token"), ("cannot be listened on",)),
        (
            ("{run}", "--host", "no such host", "--no-token"),
            ("expected an address of this machine, got 'no such host'",),
        ),
        (("{run}", "{run}", "--port", "0"), ("both called 'run'", "rename")),
        (("{missing}", "--port", "0"), ("no such run directory",)),
        (("{run}", "--port", "0", "--index", "{missing}"), ("is not an index",)),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_line(arguments, parts, trained_run, tmp_path, refused) -> None:
    places = {"run": trained_run, "missing": tmp_path / "nothing"}
    refused("serve", *(each.format(**places) for each in arguments), parts=parts)


def test_two_runs_of_one_name_are_refused(trained_run, tmp_path, refused) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    refused("serve", trained_run, tmp_path / "run", "--port", 0, parts=("both called 'run'", str(tmp_path)))


def test_a_port_that_is_taken_is_named(trained_run, refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused("serve", trained_run, "--port", port, parts=(f"port {port} of 127.0.0.1", "--port"))


def test_what_is_not_installed_is_named(trained_run, refused, monkeypatch) -> None:
    found = serving.importlib.util.find_spec
    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    refused("serve", trained_run, parts=("saccade serve needs uvicorn", 'pip install "saccade-attention[serve]"'))


def test_other_commands_load_no_web_stack() -> None:
    script = (
        "import sys, saccade, saccade.cli\nfrom saccade.commands import COMMANDS\nimport saccade.predict\n"
        "print(sorted({'starlette', 'uvicorn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


class Process:
    """saccade serve in a process of its own, in an empty folder that is also its folder for temporary files."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "saccade", "serve", *map(str, arguments), "--port", "0"],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        self.line = line.strip()
        found = re.match(r"Open http://127\.0\.0\.1:(\d+)/", line)
        assert found, line + self.process.communicate(timeout=20)[1]
        self.port = int(found[1])

    def post(self, path: str, values: object, timeout: float = 20) -> int:
        """The status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", path, json.dumps(values), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def end(self, how: int) -> tuple[int, str]:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out + err


def wait_for_answers(server: Process) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert server.post("/api/ask", {"example": 0, "text": QUESTION}) == 200
            return
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_and_stops_when_told(how: int, trained_run, tmp_path) -> None:
    server = (
        Process(tmp_path, trained_run, "--token", "a-long-token")
        if how == signal.SIGINT
        else Process(tmp_path, trained_run)
    )
    if how == signal.SIGINT:
        assert server.line.endswith("/?token=a-long-token")
        time.sleep(0.5)
    else:
        wait_for_answers(server)
    code, said = server.end(how)
    assert code == (0 if how == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def files_of(*folders: Path) -> dict[str, tuple[int, float]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_killed_with_work_in_the_queue_it_leaves_nothing_and_starts_again(trained_run, tmp_path) -> None:
    before = files_of(trained_run)
    for _ in range(2):
        server = Process(tmp_path, trained_run)
        wait_for_answers(server)
        body = json.dumps({"example": 1, "text": QUESTION, "as": "figure"}).encode()
        waiting = []
        for _ in range(30):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            head = f"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            waiting.append(connection)
        code, _ = server.end(signal.SIGKILL)
        for each in waiting:
            each.close()
        assert code == -signal.SIGKILL
        assert list(tmp_path.rglob("*")) == []
        assert files_of(trained_run) == before
