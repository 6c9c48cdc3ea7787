"""Each known way to misuse a server, tried on a real one: refused with a clear error, and the server goes on."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from tests.serve.running import JSON, read_all

from saccade.serve.guard import LINGER_BYTES

QUESTION = "what color is the large circle?"
PNG = {"Content-Type": "image/png"}
SCRIPT = "<script>alert(1)</script>"
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"


@pytest.fixture(autouse=True)
def _still_answers(server):
    """After each of them the server answers, and has told nobody where its files lie."""
    yield
    assert server.get("/healthz").json() == {"status": "ok"}


def head(server, method: str = "POST", path: str = "/api/images", *lines: str, host: str | None = None) -> bytes:
    """The first line and the headers of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host or server.name}", *lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# Files of the server


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/page/../../../../../../etc/passwd",
        "/page/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/page/%2e%2e/%2e%2e/static.py",
        "/page/....//....//etc/passwd",
        "/page/..\\..\\..\\windows\\win.ini".replace("\\", "%5C"),
        "/page/C:%5Cwindows%5Cwin.ini",
        "/page/C:/windows/win.ini",
        "/page//etc/passwd",
        "/page/%00index.html",
        "/page/index.html%00.js",
        "/viewer/page.html",
        "/viewer/../figure.py",
        "/viewer/%252e%252e/figure.py",
        "//etc/passwd",
        "/etc/passwd",
        "/src/saccade/serve/app.py",
        "/page/",
        "/page",
        "/api/runs/..%2f..%2fetc/examples",
        "/api/runs/%2e%2e/examples",
        "/api/runs/run/examples/..%2f0/image",
    ],
)
def test_no_path_leads_to_a_file_of_the_server(path: str, server) -> None:
    answer = server.raw(head(server, "GET", path, "Connection: close"))
    assert status_of(answer) == 404
    assert b"root:" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]).keys() == {"error"}


@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "C:\\windows\\win.ini",
        "\\\\server\\share\\image.png",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "https://example.org/image.png",
        "data:image/png;base64,AAAA",
        "gopher://127.0.0.1:25/",
        "hub:owner/name",
    ],
)
def test_no_request_makes_the_server_open_a_path_or_a_url(image: str, server, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the server opened something")

    opened = Image.open
    monkeypatch.setattr(
        Image, "open", lambda file, **how: refuse() if isinstance(file, str | Path) else opened(file, **how)
    )
    for name in ("image", "run", "index"):
        for action in ("ask", "search"):
            for answer in (
                server.post(f"/api/{action}", {"text": "a circle", name: image}),
                server.post(f"/api/{action}", text="a circle", **{name: image}),
            ):
                assert answer.status in (400, 404, 422)
                assert "passwd" not in answer.error.replace("got", "")
    assert server.ask("DELETE", "/api/images/..%2f..%2fetc%2fpasswd").status == 404


@pytest.mark.parametrize("name", ["url", "path", "file", "weights", "explain", "root", "device", "out"])
def test_there_is_no_parameter_for_a_place(name: str, server) -> None:
    answer = server.post("/api/ask", {"text": QUESTION, "example": 0, name: "/etc/passwd"})
    assert answer.status == 422
    assert f'no parameter named "{name}" of ask' in answer.error


# Bodies


def test_a_body_that_says_it_is_too_large_is_refused_unread(server) -> None:
    with server.connect() as connection:
        connection.sendall(head(server, "POST", "/api/images", "Content-Type: image/png", f"Content-Length: {10**12}"))
        answer = read_all(connection)
    assert status_of(answer) == 413
    assert b"at most 20,000,000 bytes" in answer


@pytest.mark.parametrize(
    ("path", "kind", "most"), [("/api/images", "image/png", 20_000_000), ("/api/ask", JSON, 128_000)]
)
def test_an_endless_body_is_refused_when_it_has_been_too_long(path: str, kind: str, most: int, server) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    with server.connect() as connection:
        connection.sendall(head(server, "POST", path, f"Content-Type: {kind}", "Transfer-Encoding: chunked"))
        try:
            while sent < 4 * most + 10**8:
                connection.sendall(chunk)
                sent += len(chunk)
        except ConnectionError:
            pass
    assert sent < most + LINGER_BYTES + 30_000_000  # and what lies in the buffers between


def test_a_client_that_sends_too_much_is_told_so_and_not_cut_off(server) -> None:
    content = b"x" * 25_000_000
    answer = server.post("/api/images", content, PNG)
    assert answer.status == 413
    assert server.post("/api/ask", content, {"Content-Type": "text/html"}).status == 415
    assert server.post("/nowhere", content, PNG).status == 404


def test_an_endless_body_where_none_is_wanted_ends_with_the_connection(server) -> None:
    with server.connect() as connection:
        connection.sendall(head(server, "GET", "/api/runs", "Transfer-Encoding: chunked"))
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the sends fails is not known
            for _ in range(10_000):
                connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                time.sleep(0.0005)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"],
        ["Content-Length: x"],
        ["Content-Length: 3", "Content-Length: 5"],
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Content-Length : 3"],
        ["Content-Length: 3", " folded: yes"],
    ],
)
def test_bodies_whose_length_is_in_doubt_are_never_two_requests(lines: list[str], server) -> None:
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: " + server.name.encode() + b"\r\n\r\n"
    beginning = head(server, "POST", "/api/images", "Content-Type: image/png", "Connection: close", *lines)
    answer = server.raw(beginning + b"0\r\n\r\n" + smuggled)
    assert 400 <= status_of(answer) < 500
    assert b"saccade_requests_total" not in answer


def test_a_body_that_comes_too_slowly_is_refused(small) -> None:
    server = small(body_seconds=0.5)
    started = time.monotonic()
    with server.connect() as connection:
        connection.sendall(head(server, "POST", "/api/images", "Content-Type: image/png", "Content-Length: 1000"))
        answer = b""
        connection.settimeout(0.1)
        while time.monotonic() - started < 10 and not answer:
            try:
                connection.sendall(b"x")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
        connection.settimeout(5)
        answer += read_all(connection)
    assert status_of(answer) == 408
    assert b"within 0.5 s" in answer
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - started < 5


def test_many_bodies_at_a_time_are_bounded_together(small, picture) -> None:
    server = small(arriving=100_000)
    large = head(server, "POST", "/api/images", "Content-Type: image/png", "Content-Length: 90000")
    with server.connect() as first, server.connect() as second:
        first.sendall(large + b"x" * 80_000)
        time.sleep(0.3)
        second.sendall(large + b"x" * 90_000)
        answer = read_all(second)
    assert status_of(answer) == 503
    assert b"retry-after: 2" in answer.lower()
    time.sleep(0.2)
    assert server.service.arriving.bytes == 0
    assert server.post("/api/images", picture, PNG).status == 200


# Headers and connections


@pytest.mark.parametrize("beginning", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n"])
def test_slow_and_endless_headers_are_refused_in_time(beginning: bytes, small) -> None:
    server = small(header_seconds=0.5)
    started = time.monotonic()
    with server.connect() as connection:
        connection.sendall(beginning)
        answer = b""
        connection.settimeout(0.1)
        while time.monotonic() - started < 10 and not answer:
            try:
                if beginning.endswith(b"\r\n"):
                    connection.sendall(b"X-A: 1\r\n")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert status_of(answer) == 408
    assert time.monotonic() - started < 5


def test_slow_headers_of_a_second_request_are_refused_too(small) -> None:
    server = small(header_seconds=0.5)
    with server.connect() as connection:
        connection.sendall(head(server, "GET", "/healthz"))
        assert status_of(connection.recv(65536)) == 200
        connection.sendall(b"GET /heal")
        started = time.monotonic()
        assert status_of(read_all(connection)) == 408
        assert time.monotonic() - started < 5


def test_a_client_that_never_takes_its_answers_is_cut_off(small) -> None:
    server = small(body_seconds=0.5)
    asked = head(server, "GET", "/viewer/viewer.css")
    started = time.monotonic()
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 - the last of many is cut off
            while time.monotonic() - started < 20:
                connection.sendall(asked * 100)
    assert time.monotonic() - started < 15
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Flood: " + "x" * 100_000],
        [f"X-{number}: x" for number in range(20_000)],
        ["Cookie: " + "; ".join(f"c{number}={number}" for number in range(10_000))],
        ["Range: bytes=" + ",".join(f"{number}-" for number in range(10_000))],
    ],
)
def test_floods_of_headers_are_refused(lines: list[str], server) -> None:
    answer = server.raw(head(server, "GET", "/api/runs", *lines))
    assert status_of(answer) in (400, 431)
    assert b"content-security-policy" in answer


def test_a_path_without_end_is_refused(server) -> None:
    assert status_of(server.raw(head(server, "GET", "/" + "a" * 100_000))) in (400, 414, 431)


def test_more_connections_than_are_served_are_told_so(small) -> None:
    server = small(connections=10)
    idle = [server.connect() for _ in range(12)]
    try:
        time.sleep(0.3)
        assert server.get("/healthz").status == 503
    finally:
        for each in idle:
            each.close()
    time.sleep(0.3)
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize(
    "content",
    [
        b"\x00" * 100,
        b"\xff\xfe" * 50 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(content: bytes, small) -> None:
    answer = small(header_seconds=0.5).raw(content)
    assert status_of(answer) in (400, 408, 421)
    assert b"Traceback" not in answer


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "PATCH", "DELETE", "CONNECT", "FOO"])
@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/ask"])
def test_other_methods_are_refused(method: str, path: str, server) -> None:
    answer = server.raw(head(server, method, path, "X-Secret: hunter2", "Connection: close"))
    assert status_of(answer) == 405
    assert b"hunter2" not in answer
    assert b"access-control" not in answer.lower()
    assert re.search(rb"\nallow: (GET|HEAD|POST)", answer.lower(), re.I)


def test_no_websocket_is_opened(server) -> None:
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    with server.connect() as connection:
        connection.sendall(head(server, "GET", "/nothing", *lines))
        assert status_of(connection.recv(65536)) == 404


# Other pages and names


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
        "localhost.:{port}",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "",
        "127.0.0.1:{port}@evil.example",
        "2130706433:{port}",
        "192.168.1.7:{port}",
    ],
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(host: str, server) -> None:
    said = host.format(port=server.port)
    for path in ("/", "/api/runs", "/healthz"):
        answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: {said}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(answer) == 421
        assert b"name of this server in Host" in answer


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_names_of_this_machine_are_answered(host: str, server) -> None:
    said = host.format(port=server.port)
    assert status_of(server.raw(head(server, "GET", "/api/runs", "Connection: close", host=said))) == 200


def test_two_hosts_are_refused(server) -> None:
    answer = server.raw(head(server, "GET", "/", "Host: evil.example", "Connection: close"))
    assert status_of(answer) == 400


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "https://evil.example:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "file://",
        "chrome-extension://abc",
        "http://127.0.0.1:{port}.evil.example",
        "http://evil.example#127.0.0.1:{port}",
        "",
        "127.0.0.1:{port}",
    ],
)
def test_pages_of_other_origins_are_refused(origin: str, server, picture) -> None:
    said = {"Origin": origin.format(port=server.port), **PNG}
    for answer in (
        server.post("/api/images", picture, said),
        server.post("/api/ask", {"example": 0, "text": QUESTION}, said),
    ):
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert server.ask("DELETE", "/api/images/x", None, said).status == 403
    assert server.get("/api/runs", said).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "strange"])
def test_requests_that_a_browser_says_come_from_elsewhere_are_refused(site: str, server, picture) -> None:
    said = {"Sec-Fetch-Site": site, **PNG}
    assert server.post("/api/images", picture, said).status == 403
    assert server.get("/api/runs/run/examples/0/image", said).status == 403
    embedded = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert server.get("/", embedded).status == 403
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert server.get("/", link).status == 200
    assert server.get("/api/runs", link).status == 403
    assert server.post("/", b"", link).status == 403


def test_the_page_itself_may_ask(server, picture) -> None:
    said = {"Origin": f"http://{server.name}", "Sec-Fetch-Site": "same-origin", **PNG}
    answer = server.post("/api/images", picture, said)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_form_of_another_page_cannot_be_a_request(server, picture) -> None:
    body = json.dumps({"example": 0, "text": QUESTION}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = server.post("/api/ask", body, {"Content-Type": kind})
        assert answer.status == 415
        assert "Content-Type" in answer.error


@pytest.mark.parametrize(
    "asked", ["bytes=0-1", "bytes=0-,0-,0-", "bytes=-5", "bytes=99999999999999999999-", "lines=1-2"]
)
def test_ranges_change_nothing(asked: str, server) -> None:
    whole, part = server.get("/"), server.get("/", {"Range": asked})
    assert part.status == 200
    assert part.body == whole.body
    assert "content-range" not in part.headers


# Images


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says that it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * min(width * height * 3, 50_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (60_000, 60_000), (2_000_000_000, 2_000_000_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(width: int, height: int, server) -> None:
    content = bomb(width, height)
    tracemalloc.start()
    started = time.monotonic()
    answer = server.post("/api/images", content, PNG)
    seconds, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status == 415
    assert "50,000,000" in answer.error or "damaged" in answer.error
    assert peak < 20_000_000
    assert seconds < 2


def test_a_bomb_of_text_inside_an_image_is_refused(server) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "a" * 200_000_000, zip=True)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=about)
    assert len(stream.getvalue()) < 1_000_000
    assert server.post("/api/images", stream.getvalue(), PNG).status == 415


def test_a_gif_of_many_frames_is_its_first_one(server) -> None:
    frames = [Image.new("P", (500, 500), number % 256) for number in range(400)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=1)
    started = time.monotonic()
    assert server.post("/api/images", stream.getvalue(), {"Content-Type": "image/gif"}).status == 200
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "ICO", "TGA", "PCX", "PDF", "EPS", "SGI", "JPEG2000", "AVIF"])
def test_formats_that_are_not_documented_are_refused(kind: str, server) -> None:
    stream = io.BytesIO()
    try:
        Image.new("RGB", (16, 16), "red").save(stream, kind)
    except (OSError, KeyError):
        pytest.skip(f"Pillow here does not write {kind}")
    answer = server.post("/api/images", stream.getvalue(), PNG)
    assert answer.status == 415
    assert answer.error == "image: expected an image in one of the formats JPEG, PNG, WEBP, GIF, got something else"


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.4 %\xe2\xe3",
        b"PK\x03\x04" + b"\0" * 100,
        b"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'http://a.example/x.png'\npop graphic-context",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n",
        b"#!/bin/sh\nid\n",
        b"GIF89a/*<script>alert(1)</script>*/=1;",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\0" * 1000,
        b"x",
    ],
)
def test_what_is_no_image_is_refused_whatever_it_says_it_is(content: bytes, server) -> None:
    for kind in ("image/png", "image/jpeg", "image/svg+xml", "application/octet-stream"):
        answer = server.post("/api/images", content, {"Content-Type": kind})
        assert answer.status == 415
        assert answer.error.startswith("image: ")
        assert server.post("/api/ask", content, {"Content-Type": kind}, text=QUESTION).status == 415


@pytest.mark.parametrize(
    "tail",
    [
        f"<html>{SCRIPT}</html>".encode(),
        b"PK\x03\x04" + b"\0" * 50 + b"PK\x05\x06" + b"\0" * 18,
        b"#!/bin/sh\nid\n" * 10,
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_file_of_two_kinds_is_an_image_and_nothing_else(kind: str, tail: bytes, server, picture) -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(stream, kind)
    polyglot = stream.getvalue() + tail
    answer = server.post("/api/ask", polyglot, {"Content-Type": "text/html"}, text=QUESTION)
    assert answer.status == 415
    answer = server.post("/api/ask", polyglot, PNG, text=QUESTION, **{"as": "figure"})
    assert answer.status == 200
    [image] = answer.json()["figure"]["images"]
    assert image.startswith("data:image/jpeg;base64,")  # drawn anew: no byte of what was sent
    assert b"script" not in answer.body
    token = server.keep(polyglot)
    assert server.get(f"/api/images/{token}").status == 405  # nothing that was sent is sent back


def test_images_that_end_too_soon_or_were_changed_are_refused_or_read(server, picture) -> None:
    for size in (9, 50, 500, len(picture) // 2):
        assert server.post("/api/images", picture[:size], PNG).status == 415
    for place in range(0, len(picture), len(picture) // 40):
        changed = picture[:place] + bytes([picture[place] ^ 0xFF]) + picture[place + 1 :]
        assert server.post("/api/images", changed, PNG).status in (200, 415)


# Texts


@pytest.mark.parametrize("form", ["reply", "figure", "html"])
def test_script_in_questions_and_answers_stays_text(form: str, server) -> None:
    text = f"what is {SCRIPT} \"'><img src=x onerror=alert(1)> javascript:alert(1) </script>?"
    answer = server.post("/api/ask", {"example": 0, "text": text, "as": form})
    assert answer.status == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    if form == "html":
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert SCRIPT.encode() not in answer.body
        assert b"<img src=x" not in answer.body
    else:
        assert answer.headers["content-type"] == JSON


def test_script_in_the_names_of_files_and_runs_stays_text(server, picture) -> None:
    answer = server.post(
        "/api/images",
        picture,
        {**PNG, "Content-Disposition": f'attachment; filename="{SCRIPT}"', "X-File-Name": SCRIPT},
    )
    assert answer.status == 200
    assert set(answer.json()) == {"image", "width", "height"}
    for path in (f"/{SCRIPT}", f"/api/runs/{SCRIPT}/examples", f"/page/{SCRIPT}"):
        answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: {server.name}\r\nConnection: close\r\n\r\n".encode())
        assert SCRIPT.encode() not in answer


def test_what_breaks_lines_cannot_break_headers(server) -> None:
    answer = server.raw(head(server, "GET", "/?token=a%0d%0aSet-Cookie:%20x=y", "Connection: close"))
    assert b"x=y" not in answer
    answer = server.post("/api/ask", {"example": 0, "text": "what\r\nSet-Cookie: x=y", "as": "png"})
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": "what " * 1000}, "text: expected at most 1,000 characters, got 5,000"),
        ({"text": ""}, "text: expected a question, got none"),
        ({"text": "?!"}, "expected a question with at least one word"),
        ({"text": 7}, "text: expected text, got 7"),
        ({"text": ["what"]}, "text: expected text"),
        ({"text": "what\0is"}, "U+0000"),
        ({"text": "what \ud800 is"}, "U+D800"),
        ({"text": "what \x1b[31m is"}, "U+001B"),
        ({"top": 0}, "top: expected a whole number from 1 to 100, got 0"),
        ({"top": 10**100}, "top: expected a whole number from 1 to 100"),
        ({"top": 1.5}, "top: expected a whole number"),
        ({"top": True}, "top: expected a whole number"),
        ({"top": "5"}, "top: expected a whole number"),
        ({"top": {}}, "top: expected a whole number"),
        ({"top": []}, "top: expected a whole number"),
        ({"top": [3]}, "top: expected a whole number"),
        ({"example": []}, "example: expected a whole number"),
        ({"beam": 3}, 'no parameter named "beam" of ask'),
        ({"without_regions": [-1]}, "expected numbers from 0"),
        ({"without_regions": [10**30]}, "expected numbers from 0"),
        ({"without_regions": list(range(5000))}, "expected at most 1,024 numbers"),
        ({"without_regions": "1"}, "expected a list of whole numbers"),
        ({"without_regions": [144]}, "the image has"),
        ({"without_words": [99]}, "what is read of"),
        ({"as": "../../etc"}, "as: expected one of reply, figure, png, html"),
        ({"run": "x" * 2000}, "run: expected at most"),
        ({"image": "x" * 100}, "image: expected at most 64 characters"),
        ({"image": "x"}, "got both"),
        ({"__proto__": {}}, "no parameter named"),
        ({"text": "what", "example": 50}, "example: expected a number below 24, got 50"),
    ],
)
def test_values_beyond_their_limits_are_refused(values: dict, message: str, server) -> None:
    answer = server.post("/api/ask", {"example": 0, "text": QUESTION, **values})
    assert answer.status in (404, 422)
    assert message in answer.error
    assert len(answer.error) < 400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam": 21}, "beam: expected a whole number from 1 to 20, got 21"),
        ({"beam": 0}, "beam: expected"),
        ({"top": 5, "beam": 2}, "a beam of 2 finds no more captions than that"),
        ({"length_penalty": 11}, "length_penalty: expected a number from -10 to 10, got 11"),
        ({"look": "away"}, "look: expected one of expectation, argmax, sample"),
        ({"text": "a dog"}, 'no parameter named "text" of caption'),
    ],
)
def test_options_of_captions_beyond_their_limits_are_refused(values: dict, message: str, server) -> None:
    answer = server.post("/api/caption", {"example": 0, **values})
    assert answer.status == 422
    assert message in answer.error


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phrase": ["a blue dog"]}, "a blue dog"),
        ({"phrase": "a circle"}, "phrase: expected a list of texts"),
        ({"phrase": ["a circle"] * 33}, "at most 32 phrases, got 33"),
        ({"phrase": [""]}, "phrase"),
        ({"nms": 1.5}, "nms: expected a number from 0 to 1, got 1.5"),
    ],
)
def test_phrases_beyond_their_limits_are_refused(values: dict, message: str, server) -> None:
    answer = server.post("/api/ground", {"example": 0, "text": "a circle and a square", **values})
    assert answer.status == 422
    assert message in answer.error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b'{"text": NaN}',
        b'{"top": Infinity}',
        b'{"top": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"{'text': 'what'}",
        b'{"text": "what"} {}',
        b'\xef\xbb\xbf{"text": "what"}',
        b'{"text": "\xed\xa0\x80"}',
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, server) -> None:
    answer = server.post("/api/ask", body, {"Content-Type": JSON})
    assert answer.status in (400, 422)
    assert "expected" in answer.error or "no parameter" in answer.error
    assert len(answer.error) < 400


@pytest.mark.parametrize(
    "query",
    [
        "text=what&text=is",
        "top=x&text=what",
        "top=&text=what",
        "top=%D9%A1&text=what",
        "top=1e3&text=what",
        "nms=nan",
        "without_regions=1,,2&text=what",
        "without_regions=a&text=what",
        "text=%00&",
        "text=%ED%A0%80%00",
        "=",
        "text=what&top=" + "9" * 400,
        "run=%2e%2e%2f&text=what",
    ],
)
def test_queries_that_cannot_be_are_refused(query: str, server, picture) -> None:
    answer = server.post(f"/api/ask?{query}", picture, PNG)
    assert answer.status in (400, 404, 422)
    assert len(answer.error) < 400


def test_json_and_a_query_are_not_mixed(server) -> None:
    answer = server.post("/api/ask", {"example": 0, "text": QUESTION}, top=3)
    assert answer.status == 422
    assert "in the JSON body" in answer.error


def test_two_images_are_one_too_many(server, picture) -> None:
    assert server.post("/api/ask", picture, PNG, text=QUESTION, example=0).status == 422
    assert server.post("/api/ask", {"text": QUESTION}).status == 400


# What every answer says, and what none does


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/page/index.html", 200),
        ("GET", "/api/runs", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/", 405),
        ("GET", "/metrics", 200),
        ("POST", "/api/ask", 400),
        ("GET", "/api/runs/run/examples/0/image", 200),
    ],
)
def test_every_answer_says_what_a_browser_may_do_with_it(method: str, path: str, status: int, server) -> None:
    answer = server.ask(method, path)
    assert answer.status == status
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == (
        "no-cache" if path in ("/", "/page/index.html") and status == 200 else "no-store"
    )
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_nobody_expected_is_told_in_the_log_alone(small, caplog, monkeypatch) -> None:
    server = small()
    run = server.service.runs["run"]

    def fail(*_: object, **__: object) -> None:
        raise ValueError("secret /home/me/file")

    monkeypatch.setattr(type(run), "_replies", fail)
    with caplog.at_level(logging.ERROR):
        answer = server.post("/api/ask", {"example": 0, "text": QUESTION})
    assert answer.status == 500
    number = re.search(r"under ([0-9a-f]{8})", answer.error)
    assert number
    assert "secret" not in answer.error
    assert b"Traceback" not in answer.body
    assert f"failure {number[1]}" in caplog.text
    assert "secret /home/me/file" in caplog.text
    monkeypatch.undo()
    assert server.post("/api/ask", {"example": 0, "text": QUESTION}).status == 200


def test_questions_are_in_no_log(small, caplog, capfd, picture) -> None:
    server = small()
    with caplog.at_level(logging.DEBUG):
        server.post("/api/ask", picture, PNG, text="what is my secret?")
        server.post("/api/ask", {"example": 0, "text": "what is my secret?"})
        server.post("/api/ask", {"example": 0, "text": "secret?!" * 1000})
        server.get("/secret")
    assert "secret" not in caplog.text + "".join(capfd.readouterr())


def test_nothing_is_written_to_the_disk(small, picture, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    opened = os.open
    written: list[str] = []

    def watched(path, flags, *how, **more):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(str(path))
        return opened(path, flags, *how, **more)

    monkeypatch.setattr(os, "open", watched)
    server = small()
    large = io.BytesIO()
    Image.effect_noise((2000, 2000), 100).save(large, "PNG")
    for form in ("reply", "figure", "png", "html"):
        assert server.post("/api/ask", large.getvalue(), PNG, text=QUESTION, **{"as": form}).status == 200
    assert server.post("/api/ask", {"image": server.keep(large.getvalue()), "text": QUESTION}).status == 200
    assert list(tmp_path.rglob("*")) == []
    assert written == []


# The token


def test_a_token_is_asked_for_and_kept_in_a_cookie_that_no_script_reads(small, picture) -> None:
    token = "a-long-and-secret-token"
    server = small(token=token)
    for path in ("/", "/api/runs", "/metrics", "/page/index.html", "/nothing"):
        for said in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {token}"},
            {"Cookie": "saccade=1"},
            {"Authorization": "Bearer "},
            {"Authorization": f"Bearer {token}x"},
            {"Authorization": "Bearer \xff"},
        ):
            answer = server.get(path, said)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert token not in answer.error
    assert server.get("/healthz").status == 200
    assert server.get("/api/runs", {"Authorization": f"Bearer {token}"}).status == 200
    assert server.get("/", token="wrong").status == 401
    assert server.get("/api/runs", token=token).status == 401  # in the address it opens the page alone
    opened = server.get("/", token=token)
    assert opened.status == 303
    assert opened.headers["location"] == "/"
    cookie = opened.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    said = {"Cookie": f"other=1; {cookie.partition(';')[0]}"}
    assert server.get("/", said).status == 200
    assert server.post("/api/ask", {"example": 0, "text": QUESTION}, said).status == 200
    forged = {**said, "Origin": "http://evil.example"}
    assert server.post("/api/ask", {"example": 0, "text": QUESTION}, forged).status == 403


def test_tokens_are_compared_in_constant_time() -> None:
    source = (Path(__file__).parents[2] / "src" / "saccade" / "serve" / "guard.py").read_text()
    assert "hmac.compare_digest" in source
    assert "== self._token" not in source


def test_a_server_of_all_addresses_knows_addresses_and_no_names(small) -> None:
    server = small(host="0.0.0.0", token="a-long-and-secret-token")
    known = [f"192.168.1.7:{server.port}", f"127.0.0.1:{server.port}", f"localhost:{server.port}"]
    for host, status in [*((name, 200) for name in known), ("evil.example", 421), (f"evil.example:{server.port}", 421)]:
        answer = server.raw(head(server, "GET", "/healthz", "Connection: close", host=host))
        assert status_of(answer) == status


def test_a_client_that_leaves_in_the_middle_harms_nobody(server, picture) -> None:
    for part in (b"", picture[: len(picture) // 2]):
        connection = server.connect()
        connection.sendall(
            head(server, "POST", "/api/images", "Content-Type: image/png", f"Content-Length: {len(picture)}") + part
        )
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert server.post("/api/images", picture, PNG).status == 200
