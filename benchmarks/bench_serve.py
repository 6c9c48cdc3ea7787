"""The server under load, under nonsense, and killed.

    python benchmarks/bench_serve.py load RUN [--clients 64] [--seconds 60] [--by body] [--rounds 3]
    python benchmarks/bench_serve.py single RUN
    python benchmarks/bench_serve.py malformed RUN [--requests 10000]
    python benchmarks/bench_serve.py killed RUN

load: so many clients, in one process, ask about the run's test examples, each about others, and hold every answer
against the Predictor's. Beside it the Predictor alone, on the same images and texts in batches of 32, before and after,
in a process of its own with as many threads; images by the bytes of their files (`--by body`) or, in both, prepared
once (`--by token`). single: one client, and the Predictor before. malformed: requests that are wrong in every way,
counted by status. killed: kill -9 with work in the queue, and what is then on the disk. Prints what was measured as
JSON, a line a round.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import tyro
from wrong_requests import JSON, Wrong, request

from saccade.serve.examples import encoded
from saccade.serve.runs import ServedRun

BATCH = 32


class Server:
    """saccade serve in a process of its own."""

    def __init__(self, run: str, *arguments: str, folder: Path | None = None) -> None:
        environment = dict(os.environ)
        if folder is not None:
            environment |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "saccade", "serve", str(Path(run).resolve()), "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=None if folder is None else folder / "here",
            env=environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r":(\d+)/", line)
        if found is None:
            raise SystemExit(line + self.process.communicate()[1])
        self.port = int(found[1])

    def memory(self) -> float:
        """Resident megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def processor(self) -> float:
        """Seconds of the processors that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how: int = signal.SIGINT) -> str:
        """What it said on standard error."""
        self.process.send_signal(how)
        return self.process.communicate(timeout=30)[1]


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(200):
        try:
            return await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        except ConnectionError:
            await asyncio.sleep(0.05)
    raise SystemExit("the server does not answer")


async def exchanged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer."""
    writer.write(content)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.I)
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(length[1]) if length else 0)


def predictor_cases(run: str, count: int) -> tuple[Any, str, list[tuple[bytes, str]]]:
    """The run's Predictor, its action, and so many images with texts: those of the test split, crossed."""
    served = ServedRun(run)
    listed = served.examples.listed(50)
    images = [encoded(served.examples.image(each["number"]))[0] for each in listed]
    texts = [each["text"] for each in listed]
    pairs = [(images[n % len(images)], texts[(n + n // len(images)) % len(texts)]) for n in range(count)]
    return served.predictor, served.action, pairs


def alone(run: str, count: int, seconds: float, by: str) -> None:
    """Print how many replies a second the Predictor gives in batches, and nothing else."""
    predictor, _, pairs = predictor_cases(run, count)
    images: list[Any] = [content for content, _ in pairs]
    if by == "token":
        prepared = {content: predictor.prepare(content) for content in set(images)}
        images = [prepared[content] for content in images]
    texts = [text for _, text in pairs] if pairs[0][1] else None
    predictor(images[:BATCH], texts and texts[:BATCH])
    done, started, used = 0, time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - started) < seconds:
        place = done % (count - BATCH + 1)
        predictor(images[place : place + BATCH], texts and texts[place : place + BATCH])
        done += BATCH
    print(json.dumps({"per_second": done / spent, "processor_ms_each": 1000 * (time.process_time() - used) / done}))


def measured_alone(run: str, count: int, seconds: float, by: str) -> dict[str, float]:
    """How many replies a second the Predictor gives, and the processor's milliseconds of each."""
    code = [sys.executable, __file__, "alone", run, "--count", str(count), "--seconds", str(seconds), "--by", by]
    result = subprocess.run(code, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def same(found: Any, expected: Any) -> bool:
    """Whether what came is what the Predictor says, but for the last digits."""
    if isinstance(expected, dict):
        return all(same(found[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return abs(found - expected) <= 1e-3 * max(1, abs(expected)) if isinstance(expected, float) else found == expected


def said(reply: Any) -> dict[str, Any]:
    """What tells a reply from others: all of it but the maps."""
    kept = ("question", "answers", "sentence", "score", "caption", "log_probability", "phrases")
    return {name: value for name, value in json.loads(json.dumps(reply.to_dict())).items() if name in kept}


async def client(port: int, cases: Sequence[tuple[bytes, dict[str, Any]]], until: float, seen: list[Any]) -> None:
    """Ask one case after the other until the time is over; `seen` gets the seconds, or what was wrong."""
    reader, writer = await connect(port)
    number = 0
    while time.perf_counter() < until:
        content, expected = cases[number % len(cases)]
        number += 1
        started = time.perf_counter()
        status, body = await exchanged(reader, writer, content)
        seconds = time.perf_counter() - started
        if status != 200 or not same(json.loads(body)["reply"], expected):
            seen.append(f"{status} {body[:200]!r}")
        else:
            seen.append(seconds)
    writer.close()


async def contents(port: int, action: str, pairs: Sequence[tuple[bytes, str]], by: str) -> list[bytes]:
    """The requests: of images in their bodies, or of their tokens."""
    if by == "body":
        paths = [f"/api/{action}" + (f"?text={quote(text)}" if text else "") for _, text in pairs]
        return [request(port, path, content, "image/png") for path, (content, _) in zip(paths, pairs, strict=True)]
    reader, writer = await connect(port)
    tokens = {}
    for image in {content for content, _ in pairs}:
        status, body = await exchanged(reader, writer, request(port, "/api/images", image, "image/png"))
        assert status == 200, body
        tokens[image] = json.loads(body)["image"]
    writer.close()
    asked = [{"image": tokens[content], **({"text": text} if text else {})} for content, text in pairs]
    return [request(port, f"/api/{action}", json.dumps(each).encode(), JSON) for each in asked]


@dataclass(frozen=True)
class Load:
    """Many clients for a while, beside the Predictor alone."""

    run: Annotated[str, tyro.conf.Positional]
    clients: int = 64
    seconds: float = 60
    by: Literal["body", "token"] = "body"
    rounds: int = 3

    def __call__(self) -> None:
        count = 4 * self.clients
        predictor, action, pairs = predictor_cases(self.run, count)
        expected = [said(predictor(content, text or None)[0]) for content, text in pairs]
        del predictor
        speeds = [measured_alone(self.run, count, self.seconds / 6, self.by)]
        for _ in range(self.rounds):
            server = Server(self.run)
            try:
                row = asyncio.run(self.loaded(server, action, pairs, expected))
            finally:
                server.end()
            speeds.append(measured_alone(self.run, count, self.seconds / 6, self.by))
            for name in ("per_second", "processor_ms_each"):
                row[f"alone_{name}"] = round(statistics.mean(each[name] for each in speeds[-2:]), 2)
            row["share"] = round(row["per_second"] / row["alone_per_second"], 3)
            print(json.dumps(row), flush=True)

    async def loaded(
        self, server: Server, action: str, pairs: Sequence[tuple[bytes, str]], expected: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        found = await contents(server.port, action, pairs, self.by)
        cases = list(zip(found, expected, strict=True))
        memory, seen = [server.memory()], []
        # Each client has cases of its own, so that an answer to another one's question is seen.
        own = [cases[number :: self.clients] for number in range(self.clients)]
        await asyncio.gather(*(client(server.port, each, time.perf_counter() + 3, []) for each in own))
        started, used = time.perf_counter(), server.processor()
        tasks = [asyncio.ensure_future(client(server.port, each, started + self.seconds, seen)) for each in own]
        for _ in range(6):
            memory.append(server.memory())
            await asyncio.sleep(self.seconds / 6)
        await asyncio.gather(*tasks)
        spent = time.perf_counter() - started
        used = server.processor() - used
        batches, busy = await counted(server.port)
        memory.append(server.memory())
        took = sorted(each for each in seen if isinstance(each, float))
        wrong = [each for each in seen if not isinstance(each, float)]
        return {
            "clients": self.clients,
            "by": self.by,
            "answers": len(took),
            "wrong": len(wrong),
            "first_wrong": wrong[:1],
            "per_second": round(len(took) / spent, 1),
            "processor_ms_each": round(1000 * used / len(took), 2),
            "p50_ms": round(1000 * took[len(took) // 2]),
            "p99_ms": round(1000 * took[int(0.99 * len(took))]),
            "replies_a_batch": round(batches, 1),
            "model_ms_each": round(busy, 2),
            "memory_mb": [round(each) for each in memory],
        }


async def counted(port: int) -> tuple[float, float]:
    """How many replies came in a batch, and the milliseconds of the models' thread for each."""
    reader, writer = await connect(port)
    _, body = await exchanged(reader, writer, request(port, "/metrics", b"", JSON, "GET"))
    writer.close()
    replies, batches, seconds = (
        float(re.search(rf"saccade_{name}_total{{run=.*?}} (\S+)".encode(), body)[1])  # type: ignore[index]
        for name in ("replies", "batches", "model_seconds")
    )
    return replies / batches, 1000 * seconds / replies


@dataclass(frozen=True)
class Single:
    """One client with nobody beside it, and the Predictor called before: milliseconds of an answer."""

    run: Annotated[str, tyro.conf.Positional]
    times: int = 300

    def __call__(self) -> None:
        predictor, action, pairs = predictor_cases(self.run, 50)
        server = Server(self.run)
        try:
            alone, served = asyncio.run(self.timed(server, predictor, action, pairs))
        finally:
            server.end()
        row = {"alone_p50_ms": statistics.median(alone), "served_p50_ms": statistics.median(served)}
        print(json.dumps({**row, "times": row["served_p50_ms"] / row["alone_p50_ms"]}), flush=True)

    async def timed(
        self, server: Server, predictor: Any, action: str, pairs: Sequence[tuple[bytes, str]]
    ) -> tuple[list[float], list[float]]:
        found, alone, served = await contents(server.port, action, pairs, "body"), [], []
        reader, writer = await connect(server.port)
        for number in range(self.times):
            content, text = pairs[number % len(pairs)]
            started = time.perf_counter()
            predictor(content, text or None)[0].to_dict()
            alone.append(1000 * (time.perf_counter() - started))
        await asyncio.sleep(1)  # in which the threads of the one stop waiting for more to do
        for number in range(self.times):
            started = time.perf_counter()
            status, _ = await exchanged(reader, writer, found[number % len(pairs)])
            assert status == 200
            served.append(1000 * (time.perf_counter() - started))
        writer.close()
        return alone[10:], served[10:]


@dataclass(frozen=True)
class Malformed:
    """Requests that are wrong in every way."""

    run: Annotated[str, tyro.conf.Positional]
    requests: int = 10_000
    clients: int = 16
    seed: int = 0

    def __call__(self) -> None:
        _, action, pairs = predictor_cases(self.run, 1)
        server = Server(self.run)
        try:
            row = asyncio.run(self.sent(server, action, *pairs[0]))
        finally:
            log = server.end()
        row["lines_of_log"], row["traces"] = len(log.splitlines()), log.count("Traceback")
        print(json.dumps(row), flush=True)
        if row["traces"]:
            print(log, file=sys.stderr)

    async def sent(self, server: Server, action: str, image: bytes, text: str) -> dict[str, Any]:
        chance = random.Random(self.seed)
        wrong = Wrong(chance, server.port, action, image, text)
        waiting = [wrong.request() for _ in range(self.requests)]
        counts, memory, odd = Counter[str](), [server.memory()], []
        await asyncio.gather(
            *(self.worker(server.port, waiting, counts, odd, memory, server) for _ in range(self.clients))
        )
        reader, writer = await connect(server.port)
        status, _ = await exchanged(
            reader,
            writer,
            request(
                server.port,
                f"/api/{action}?text={text.replace(' ', '+')}" if text else f"/api/{action}",
                image,
                "image/png",
            ),
        )
        writer.close()
        return {
            "requests": self.requests,
            "by_status": dict(sorted(counts.items())),
            "5xx": sum(count for status, count in counts.items() if status.startswith("5")),
            "with_a_trace": len(odd),
            "memory_mb": [round(each) for each in memory],
            "good_one_afterwards": status,
        }

    async def worker(
        self,
        port: int,
        waiting: list[bytes],
        counts: Counter[str],
        odd: list[bytes],
        memory: list[float],
        server: Server,
    ) -> None:
        while waiting:
            content = waiting.pop()
            if len(waiting) % (self.requests // 5) == 0:
                memory.append(server.memory())
            reader, writer = await connect(port)
            try:
                writer.write(content)
                answer = await asyncio.wait_for(reader.read(2**24), 15)
                while not answer.endswith(b"}") and (part := await asyncio.wait_for(reader.read(2**24), 15)):
                    answer += part
                counts[answer[9:12].decode() or "closed"] += 1
                if b"Traceback" in answer or b'File "' in answer:
                    odd.append(answer)
            except TimeoutError:
                counts["silent"] += 1
            except ConnectionError:
                counts["closed"] += 1
            writer.close()


@dataclass(frozen=True)
class Killed:
    """kill -9 with work in the queue, and what is then on the disk."""

    run: Annotated[str, tyro.conf.Positional]
    times: int = 3
    clients: int = 60

    def __call__(self) -> None:
        _, action, pairs = predictor_cases(self.run, self.clients)
        run = Path(self.run).resolve()
        before = files_of(run)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for each in ("tmp", "home", "here"):
                (folder / each).mkdir()
            for _ in range(self.times):
                server = Server(self.run, folder=folder)
                waiting = asyncio.run(self.loaded(server, action, pairs))
                row = {
                    "waiting_when_killed": waiting,
                    "files_left": sorted(files_of(folder)),
                    "run_is_as_it_was": files_of(run) == before,
                }
                print(json.dumps(row), flush=True)

    async def loaded(self, server: Server, action: str, pairs: Sequence[tuple[bytes, str]]) -> int:
        found = await contents(server.port, action, pairs, "body")
        writers = [(await connect(server.port)) for _ in pairs]
        for content, (_, writer) in zip(found, writers, strict=True):
            writer.write(content)
        reader, writer = await connect(server.port)
        waiting = 0
        while not waiting:
            _, body = await exchanged(reader, writer, request(server.port, "/metrics", b"", JSON, "GET"))
            waiting = int(re.search(rb"saccade_waiting (\d+)", body)[1])  # type: ignore[index]
        server.end(signal.SIGKILL)
        for _, each in [*writers, (reader, writer)]:
            each.close()
        return waiting


def files_of(folder: Path) -> dict[str, tuple[int, float]]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in found}


@dataclass(frozen=True)
class Alone:
    """The Predictor alone, for `load`."""

    run: Annotated[str, tyro.conf.Positional]
    count: int = 256
    seconds: float = 10
    by: Literal["body", "token"] = "body"

    def __call__(self) -> None:
        alone(self.run, self.count, self.seconds, self.by)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"load": Load, "single": Single, "malformed": Malformed, "killed": Killed, "alone": Alone}
    )()
