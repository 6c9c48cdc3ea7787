"""The least of the Hugging Face hub that a data set can be loaded from: its list of files, and the files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0" * 40


class Handler(BaseHTTPRequestHandler):
    """One data set, named somebody/things."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folder = folder
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        names = sorted(each.relative_to(self.folder).as_posix() for each in self.folder.rglob("*") if each.is_file())
        if path.startswith("/api/datasets/somebody/things/tree/"):
            below = self.folder / unquote(path).partition("/tree/")[2].partition("/")[2]
            found = sorted(below.rglob("*") if "recursive=True" in self.path else below.glob("*"))
            self.answer([self.entry(each) for each in found])
        elif path.startswith("/api/datasets/somebody/things"):
            siblings = [{"rfilename": name} for name in names]
            self.answer({"_id": "1", "id": "somebody/things", "sha": COMMIT, "siblings": siblings, "tags": []})
        elif (name := path.partition(f"/datasets/somebody/things/resolve/{COMMIT}/")[2]) in names:
            self.send((self.folder / name).read_bytes(), tag=self.tag(name))
        else:
            self.send(b"", code=404, error="EntryNotFound" if "somebody/things" in path else "RepoNotFound")

    def entry(self, path: Path) -> dict[str, object]:
        name = path.relative_to(self.folder).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "size": 0, "oid": COMMIT}
        return {"type": "file", "path": name, "size": path.stat().st_size, "oid": self.tag(name)}

    def tag(self, name: str) -> str:
        return hashlib.sha1((self.folder / name).read_bytes()).hexdigest()

    def answer(self, value: object) -> None:
        self.send(json.dumps(value).encode())

    def send(self, content: bytes, *, code: int = 200, tag: str = "", error: str = "") -> None:
        self.send_response(code)
        headers = {"Content-Length": len(content), "X-Repo-Commit": COMMIT, "ETag": f'"{tag}"', "X-Error-Code": error}
        for name, value in headers.items():
            if value not in ("", '""'):
                self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of a hub that has the folder as somebody/things."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
