"""The queue: what goes together goes at once, what fails fails alone, who leaves is taken out, and it has an end."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image

from saccade.predict import AT_ONCE
from saccade.serve.counters import Counters
from saccade.serve.problems import RequestError
from saccade.serve.queue import Queue, handed_over
from saccade.serve.uploads import Uploads

QUESTION = "what color is the large circle?"


class Work:
    """Work that notes its batches, and that waits in the first of them until it is let go on."""

    def __init__(self) -> None:
        self.batches: list[list[object]] = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self.started.set()
        assert self.go.wait(10)
        if "bad" in items:
            raise ValueError("bad")
        return [f"{item}!" for item in items]


def with_queue(capacity: int, scenario):
    """What a scenario of a queue and its work returns; the queue is closed afterwards."""

    async def run():
        queue, work = Queue(capacity, Counters(), 1), Work()
        try:
            return await scenario(queue, work)
        finally:
            work.go.set()
            queue.close()
            await asyncio.to_thread(queue.join, 10)
            assert not queue.alive

    return asyncio.run(run())


def test_the_models_compute_with_their_threads_whatever_others_do() -> None:
    before = torch.get_num_threads()

    async def scenario() -> list[int]:
        queue = Queue(4, Counters(), 3)
        # What a thread that decodes says is what PyTorch gives every thread that has not computed yet.
        other = threading.Thread(target=torch.set_num_threads, args=(1,))
        other.start()
        other.join()
        try:
            return [await queue.put("run", "key", lambda items: [torch.get_num_threads() for _ in items], "x")]
        finally:
            queue.close()
            await asyncio.to_thread(queue.join, 10)

    try:
        assert asyncio.run(scenario()) == [3]
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)


def test_the_caller_hands_its_threads_over() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert handed_over() == 3
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


async def first_taken(queue: Queue, work: Work) -> asyncio.Future:
    """A job that is being worked on, so that others wait."""
    task = queue.put("run", "key", work, "first")
    await asyncio.to_thread(work.started.wait, 10)
    return task


def test_what_waits_for_the_same_is_done_at_once_and_in_order() -> None:
    async def scenario(queue: Queue, work: Work) -> None:
        tasks = [await first_taken(queue, work)]
        keys = [("run", "key", n) for n in range(40)] + [("run", "other", "x"), ("another", "key", "y")]
        tasks += [queue.put(run, key, work, item) for run, key, item in keys]
        await asyncio.sleep(0)
        work.go.set()
        answers = await asyncio.gather(*tasks)
        assert answers == ["first!", *(f"{item}!" for *_, item in keys)]
        assert work.batches == [["first"], list(range(AT_ONCE)), list(range(AT_ONCE, 40)), ["x"], ["y"]]

    with_queue(64, scenario)


def test_what_must_not_go_together_goes_alone() -> None:
    async def scenario(queue: Queue, work: Work) -> None:
        tasks = [await first_taken(queue, work)]
        tasks += [queue.put("run", None, work, n) for n in range(3)]
        await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*tasks)
        assert work.batches == [["first"], [0], [1], [2]]

    with_queue(64, scenario)


def test_what_fails_fails_alone() -> None:
    async def scenario(queue: Queue, work: Work) -> None:
        tasks = [await first_taken(queue, work)]
        tasks += [queue.put("run", "key", work, item) for item in ("a", "bad", "b")]
        await asyncio.sleep(0)
        work.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[:2] + answers[3:] == ["first!", "a!", "b!"]
        assert isinstance(answers[2], ValueError)
        assert queue.alive

    with_queue(64, scenario)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def scenario(queue: Queue, work: Work) -> None:
        tasks = [await first_taken(queue, work)]
        tasks += [queue.put("run", "key", work, n) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="2 requests wait already") as refused:
            await queue.put("run", "key", work, "late")
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        work.go.set()
        assert await asyncio.gather(*tasks) == ["first!", "0!", "1!"]

    with_queue(2, scenario)


def test_who_leaves_is_taken_out() -> None:
    async def scenario(queue: Queue, work: Work) -> None:
        tasks = [await first_taken(queue, work)]
        tasks += [queue.put("run", "key", work, n) for n in range(3)]
        await asyncio.sleep(0)
        tasks.pop(2).cancel()
        await asyncio.sleep(0)
        assert len(queue) == 2
        work.go.set()
        assert await asyncio.gather(*tasks) == ["first!", "0!", "2!"]
        assert work.batches == [["first"], [0, 2]]

    with_queue(64, scenario)


def test_a_closed_queue_refuses_what_waits_and_finishes_what_runs() -> None:
    async def scenario(queue: Queue, work: Work) -> None:
        running = await first_taken(queue, work)
        waiting = queue.put("run", "key", work, "waiting")
        await asyncio.sleep(0)
        queue.close()
        with pytest.raises(RequestError, match="the server is stopping") as refused:
            await waiting
        assert refused.value.status == 503
        with pytest.raises(RequestError, match="the server is stopping"):
            await queue.put("run", "key", work, "late")
        work.go.set()
        assert await running == "first!"

    with_queue(64, scenario)


def test_kept_images_are_bounded_and_dropped_when_nobody_asks() -> None:
    now = [0.0]
    counters = Counters()
    uploads = Uploads(counters, keep=60, most_bytes=100, most_images=3, clock=lambda: now[0])
    tokens = [uploads.add(b"x" * 30) for _ in range(3)]
    now[0] = 50
    assert uploads.get(tokens[0]).content == b"x" * 30  # used last: now the second is the oldest
    fourth = uploads.add(b"y" * 30)
    with pytest.raises(RequestError, match="upload it again"):
        uploads.get(tokens[1])
    uploads.add(b"z" * 70)  # makes room for its bytes
    assert (len(uploads), uploads.bytes) == (2, 100)
    now[0] = 109
    assert uploads.get(fourth).content == b"y" * 30
    now[0] = 111
    uploads.tidy()
    assert (len(uploads), uploads.bytes) == (1, 30)
    uploads.drop(fourth)
    assert (len(uploads), uploads.bytes) == (0, 0)
    assert "saccade_dropped_images_total 4" in counters.text()
    assert len(set(tokens)) == 3
    assert min(map(len, tokens)) >= 20


# Over a socket


def slowed(monkeypatch, server, seconds: float) -> list[int]:
    """Makes the model take so long; the sizes of its batches."""
    run, sizes = type(server.service.runs["run"]), []
    replies = run._replies

    def slow(self, options, items):
        sizes.append(len(items))
        time.sleep(seconds)
        return replies(self, options, items)

    monkeypatch.setattr(run, "_replies", slow)
    return sizes


def test_every_client_gets_its_own_answer(server, answering, scenes_folder) -> None:
    files = sorted(scenes_folder.iterdir())
    questions = [QUESTION, "how many squares are there?", "what is above the cross?", "is there a red thing?"]
    cases = [(file.read_bytes(), question) for file in files for question in questions] * 4
    expected = answering.predictor([content for content, _ in cases], [question for _, question in cases])

    def ask(case):
        content, question = case
        return server.post("/api/ask", content, {"Content-Type": "image/png"}, text=question).json()["reply"]

    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(ask, cases))
    for answer, reply in zip(answers, expected, strict=True):
        assert answer["question"] == reply.question
        assert [each["answer"] for each in answer["answers"]] == [text for text, _ in reply.answers]
        found = [each["probability"] for each in answer["answers"]]
        assert found == pytest.approx([share for _, share in reply.answers], abs=1e-4)
    assert len({answer["answers"][0]["probability"] for answer in answers}) > len(files)


def test_clients_are_answered_in_batches_and_a_bad_one_harms_none(small, monkeypatch) -> None:
    server = small()
    sizes = slowed(monkeypatch, server, 0.2)

    def ask(number: int):
        return server.post("/api/ask", {"example": number, "text": QUESTION, "without_regions": [number * 30]})

    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(ask, range(10)))
    assert [answer.status for answer in answers] == [200] * 5 + [422] * 5  # there are 144 regions
    assert max(sizes) > 5


def test_a_full_server_says_so_and_serves_who_came_in_time(small, monkeypatch) -> None:
    server = small(queue=2)
    slowed(monkeypatch, server, 0.3)

    def ask(number: int):
        time.sleep(number * 0.03)
        return server.post("/api/ask", {"example": number, "text": QUESTION})

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(ask, range(8)))
    statuses = [answer.status for answer in answers]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    refused = next(answer for answer in answers if answer.status == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert "ask again" in refused.error


def test_a_client_that_leaves_is_taken_out_before_its_turn(small, monkeypatch) -> None:
    server = small()
    sizes = slowed(monkeypatch, server, 0.5)
    body = b'{"example": 0, "text": "what color is the large circle?"}'
    request = (
        f"POST /api/ask HTTP/1.1\r\nHost: {server.name}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    connections = []
    for _ in range(4):
        connections.append(server.connect())
        connections[-1].sendall(request)
        time.sleep(0.05)
    for left in connections[1:3]:
        left.close()
    assert connections[3].recv(100).startswith(b"HTTP/1.1 200")
    assert sizes == [1, 1]
    assert "saccade_left_total 2" in server.get("/metrics").body.decode()
    for each in connections:
        each.close()


def test_a_server_that_stops_answers_what_runs_and_refuses_what_waits(small, monkeypatch) -> None:
    server = small()
    slowed(monkeypatch, server, 0.5)

    def ask(number: int):
        time.sleep(0.1 * number)
        return server.post("/api/ask", {"example": number, "text": QUESTION})

    with ThreadPoolExecutor(3) as clients:
        answers = clients.map(ask, range(3))
        time.sleep(0.35)
        started = time.monotonic()
        server.stop()
        found = list(answers)
    assert [answer.status for answer in found] == [200, 503, 503]
    assert "stopping" in found[1].error
    assert time.monotonic() - started < 3


def test_what_waits_is_small(small, answering) -> None:
    stream = io.BytesIO()
    Image.effect_noise((3000, 3000), 50).convert("RGB").save(stream, "JPEG")
    prepared = answering.prepare(small().service.opened(stream.getvalue()))
    held = prepared.loaded.pixels.numel() * 4 + len(prepared.picture.image.tobytes())
    assert held < 4_000_000 < 3000 * 3000 * 3
