"""Requests that are wrong in every way: for bench_serve.py, which counts what they are answered with."""

from __future__ import annotations

import json
import random

JSON = "application/json"


def request(port: int, path: str, body: bytes, kind: str, method: str = "POST") -> bytes:
    """The bytes of a request."""
    lines = f"Content-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n\r\n".encode() + body


class Wrong:
    """Makes requests that are wrong."""

    def __init__(self, chance: random.Random, port: int, action: str, image: bytes, text: str) -> None:
        self.chance, self.port, self.action, self.image, self.text = chance, port, action, image, text

    def request(self) -> bytes:
        make = self.chance.choice(
            [self.image_body, self.json_body, self.values, self.query, self.headers, self.noise, self.path]
        )
        return make()

    def post(self, body: bytes, kind: str, path: str = "") -> bytes:
        return request(self.port, path or f"/api/{self.action}", body, kind).replace(
            b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1
        )

    def image_body(self) -> bytes:
        """An image that is cut short, changed, or none."""
        place = self.chance.randrange(len(self.image))
        changed = bytearray(self.image)
        for _ in range(self.chance.randrange(1, 9)):
            changed[self.chance.randrange(len(changed))] = self.chance.randrange(256)
        body = self.chance.choice(
            [self.image[:place], bytes(changed), self.chance.randbytes(500), b"", self.image[:30] + self.image[place:]]
        )
        kind = self.chance.choice(
            ["image/png", "image/jpeg", "application/octet-stream", "text/html", "multipart/form-data", "x" * 500]
        )
        path = self.chance.choice(["/api/images", f"/api/{self.action}?text=what", "/api/search?text=what"])
        return self.post(body, kind, path)

    def json_body(self) -> bytes:
        """No JSON."""
        odd = [
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe\x00",
            b"[" * 5000,
            b'{"a":' * 3000,
            b'{"text": NaN}',
            b'{"top": 1e999}',
            b"\0" * 50,
        ]
        body = self.chance.choice(
            [*odd, json.dumps({"text": "what"}).encode()[: self.chance.randrange(1, 15)], self.chance.randbytes(60)]
        )
        return self.post(body, JSON)

    def values(self) -> bytes:
        """JSON of wrong types and sizes."""
        value = self.chance.choice(
            [
                None,
                True,
                -1,
                10**40,
                1.5,
                float("nan"),
                float("inf"),
                "",
                "x" * 3000,
                "\ud800",
                "a\0b",
                [],
                [[]],
                {},
                {"a": 1},
                [-1],
                [10**9],
                ["x"],
                "/etc/passwd",
                "<script>",
            ]
        )
        names = [
            "run",
            "text",
            "top",
            "beam",
            "length_penalty",
            "look",
            "begin",
            "phrase",
            "nms",
            "without_regions",
            "without_words",
            "as",
            "image",
            "example",
            "else",
            "__class__",
        ]
        values = {
            "example": 0,
            "text": self.text or "what",
            self.chance.choice(names): value,
            self.chance.choice(names): value,
        }
        return self.post(json.dumps(values).encode(), JSON)

    def query(self) -> bytes:
        """Wrong queries."""
        odd = [
            "top=x",
            "top=" + "9" * 300,
            "text=%00",
            "text=%ED%A0%80",
            "text=a&text=b",
            "nms=nan",
            "without_regions=,,",
            "=&=&&",
            "%",
            "as=exe",
            "run=..%2F..",
            "x" * 5000,
        ]
        return self.post(self.image, "image/png", f"/api/{self.action}?" + "&".join(self.chance.sample(odd, 2)))

    def headers(self) -> bytes:
        """Odd headers."""
        odd = [
            "Host: evil.example",
            "Origin: null",
            "Origin: http://evil.example",
            "Sec-Fetch-Site: cross-site",
            "Content-Length: x",
            "Content-Length: -5",
            "Transfer-Encoding: gzip",
            "Expect: 100-continue",
            "Range: bytes=0-",
            "X-Long: " + "x" * 40_000,
            "Bad Header: x",
            "Cookie: " + "a=b;" * 2000,
            "Upgrade: websocket\r\nConnection: Upgrade",
        ]
        lines = "\r\n".join(self.chance.sample(odd, 2))
        first = f"GET /api/runs?x=%00 HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close"
        return f"{first}\r\n{lines}\r\n\r\n".encode()

    def noise(self) -> bytes:
        """No HTTP."""
        return self.chance.choice(
            [
                b"\x16\x03\x01" + self.chance.randbytes(40),
                b"GET\r\n\r\n",
                b"\r\n" * 20 + b"x\r\n\r\n",
                self.chance.randbytes(300) + b"\r\n\r\n",
                b"GET / HTTP/7\r\nConnection: close\r\n\r\n",
            ]
        )

    def path(self) -> bytes:
        """Paths to files, and methods that there are not."""
        path = self.chance.choice(
            [
                "/../../etc/passwd",
                "/page/..%2f..%2fetc%2fpasswd",
                "/viewer/%00",
                "/api/runs/%2e%2e/examples",
                "/api/runs/x/examples/9999999999999999/image",
                "/" + "a" * 3000,
                "/api/images/%ff",
                "//",
            ]
        )
        method = self.chance.choice(["GET", "HEAD", "PUT", "TRACE", "OPTIONS", "DELETE", "FOO"])
        return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
