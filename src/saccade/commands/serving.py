"""The command that serves runs: a page, and the API that it uses."""

from __future__ import annotations

import importlib.util
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,200}")


@dataclass(frozen=True)
class Serve:
    """Open a page on which to ask runs about images, see where they look, and take regions and words away; and an API.

    Everything stays on this machine: the page loads nothing from elsewhere, and images are kept in memory alone.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directories, or hub:OWNER/NAME, repositories of the Hugging Face hub."""
    index: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR")] = ()
    """Folders of indexes to search, each made by saccade index."""
    host: str = "127.0.0.1"
    """Address to listen on; by default none but this machine's own programs can reach it, and every other one wants
    --token or --no-token."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    token: str | None = None
    """Answer only who knows this: at least 8 letters, digits or any of . _ ~ -"""
    no_token: bool = False
    """Answer everybody, where --host is not this machine alone."""
    max_upload: float = 20
    """Megabytes of an image, at most."""
    keep: float = 10
    """Minutes that an image is kept in memory which nobody asks about."""
    queue: int = 64
    """Requests that wait for the models, at most; further ones are told to come back."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    device: str | None = None
    """Where to compute: cpu, cuda, cuda:1, mps; by default the first GPU, or the CPU where there is none."""
    open: bool = False
    """Open the page in the browser."""

    def run(self) -> None:
        """Serve until stopped, and say under which address."""
        self._check()
        from saccade.serve.guard import Address
        from saccade.serve.queue import handed_over
        from saccade.serve.server import bound_socket, serve
        from saccade.serve.service import Service

        bound = bound_socket(self.host, self.port)
        with bound:
            address, threads = Address(self.host, bound.getsockname()[1]), handed_over()
            service = Service(*self._served(), self._settings(), threads=threads)
            page = self._page(address.port)
            print(f"Open {page}", flush=True)
            print("Ctrl+C stops it.", file=sys.stderr)
            if self.open:
                _open_soon(page)
            with suppress(KeyboardInterrupt):  # which is how it is stopped
                serve(service, address, bound)

    def _check(self) -> None:
        """Refuse what cannot be, before anything is loaded."""
        from saccade.distribution import install_command
        from saccade.errors import RecipeError, RunError
        from saccade.limits import COUNT, POSITIVE, Limit, check_limits

        missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
        if missing:
            raise RunError(f"saccade serve needs {' and '.join(missing)}: {install_command('serve')}")
        if not self.runs:
            raise RecipeError("serve: expected at least one run, as in: saccade serve runs/demo")
        check_limits(
            {
                "port": (Limit(least=0, most=65_535, whole=True), self.port),
                "max_upload": (Limit(above=0, most=1_000), self.max_upload),
                "keep": (POSITIVE, self.keep),
                "queue": (COUNT, self.queue),
            }
        )
        if self.token is not None and self.no_token:
            raise RecipeError("--token, --no-token: expected one of them, got both")
        if self.token is not None and not TOKEN.fullmatch(self.token):
            made = secrets.token_urlsafe(18)
            raise RecipeError(f"--token: expected 8 to 200 letters, digits or any of . _ ~ -, as in --token {made}")
        if self.host not in LOOPBACK and self.token is None and not self.no_token:
            made = secrets.token_urlsafe(18)
            raise RecipeError(
                f"--host {self.host}: others can reach it: say --token {made}, or --no-token to answer everybody"
            )

    def _served(self) -> tuple[list[Any], list[Any]]:
        """The runs and the indexes, loaded."""
        from saccade.serve.runs import ServedIndex, ServedRun, check_names

        check_names("run", self.runs)
        check_names("index", list(map(str, self.index)))
        runs = [ServedRun(run, weights=self.weights, device=self.device) for run in self.runs]
        matching = next((run.said for run in runs if run.kind == "matching"), None)
        indexes = [ServedIndex(str(each), moved_to=matching, weights=self.weights) for each in self.index]
        return runs, indexes

    def _settings(self) -> Any:
        from saccade.serve.settings import MEGABYTE, Settings

        return Settings(token=self.token, upload=int(self.max_upload * MEGABYTE), keep=self.keep * 60, queue=self.queue)

    def _page(self, port: int) -> str:
        """The address to open; where it listens on all addresses, that of this machine itself."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        written = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"http://{written}:{port}/" + (f"?token={self.token}" if self.token else "")


def _open_soon(page: str) -> None:
    """Open the page when the server is likely to answer."""
    import threading
    import webbrowser

    timer = threading.Timer(1.0, webbrowser.open, [page])
    timer.daemon = True
    timer.start()
