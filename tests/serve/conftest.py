"""A real server on a socket, over narrow runs of every task and an index: what all tests here ask."""

from __future__ import annotations

import pytest
from tests.serve.running import Running

from saccade.serve.runs import ServedIndex, ServedRun


@pytest.fixture(scope="session")
def answering(trained_run) -> ServedRun:
    """A run that answers, loaded once."""
    return ServedRun(str(trained_run), device="cpu")


@pytest.fixture(scope="session")
def served(answering, matching_run, grounding_run, captioning_run) -> list[ServedRun]:
    """A run of each task."""
    return [answering, *(ServedRun(str(each), device="cpu") for each in (matching_run, grounding_run, captioning_run))]


@pytest.fixture(scope="session")
def server(served, scenes_index):
    """A server of all of them, with the limits that it has by default."""
    index = ServedIndex(str(scenes_index))
    with Running(served, [index]) as running:
        yield running
    index.searcher.close()


@pytest.fixture
def small(answering):
    """Starts a server of one run with other settings, as often as it is called."""
    started: list[Running] = []

    def start(*, host: str = "127.0.0.1", **settings) -> Running:
        started.append(Running([answering], [], host=host, **settings))
        return started[-1].__enter__()

    yield start
    for each in started:
        each.__exit__(None, None, None)


@pytest.fixture(scope="session")
def picture(scenes_folder) -> bytes:
    """The file of a scene."""
    return (scenes_folder / "0.png").read_bytes()
