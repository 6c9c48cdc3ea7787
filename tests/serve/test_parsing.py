"""Whatever a request says, it is read or refused with a message: no other error comes out of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saccade.serve.guard import Address
from saccade.serve.lines import command_line
from saccade.serve.parsing import NAMES, Asked, from_json, from_query
from saccade.serve.problems import RequestError
from saccade.serve.settings import Settings

SETTINGS = Settings()
EVERY_NAME = sorted({name for names in NAMES.values() for name in names} | {"else"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
PAIRS = st.lists(st.tuples(st.sampled_from(EVERY_NAME), st.text(max_size=12)), max_size=5)
ACTIONS = st.sampled_from(sorted(NAMES))
# The first texts that are made on a machine wait for tables of all characters.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tried(read: Callable[..., Asked], action: str, said: object) -> Asked | RequestError:
    try:
        return read(action, said, SETTINGS)
    except RequestError as problem:
        return problem


def refused(problem: RequestError) -> bool:
    """Whether it is the client's fault, in words that can be sent."""
    return 400 <= problem.status < 500 and bool(problem.message.encode())


@unhurried
@given(ACTIONS, st.dictionaries(st.sampled_from(EVERY_NAME), VALUES))
def test_any_json_is_read_or_refused(action: str, values: dict) -> None:
    found = tried(from_json, action, json.dumps(values).encode())
    assert refused(found) if isinstance(found, RequestError) else len(command_line(action, "run", found)) > 0


@unhurried
@given(ACTIONS, st.binary(max_size=200))
def test_any_bytes_are_refused(action: str, body: bytes) -> None:
    with pytest.raises(RequestError):
        from_json(action, body + b"\0", SETTINGS)


@unhurried
@given(ACTIONS, PAIRS)
def test_any_query_is_read_or_refused(action: str, pairs: list[tuple[str, str]]) -> None:
    found = tried(from_query, action, pairs)
    assert refused(found) if isinstance(found, RequestError) else isinstance(found, Asked)


def test_a_query_and_json_say_the_same() -> None:
    pairs = [("text", "a dog"), ("phrase", "a"), ("phrase", "dog"), ("nms", "0.5"), ("without_regions", "3,1,3")]
    pairs += [("as", "png"), ("example", "7")]
    values = {"text": "a dog", "phrase": ["a", "dog"], "nms": 0.5, "without_regions": [3, 1, 3]}
    values |= {"as": "png", "example": 7, "run": None}
    asked = from_query("ground", pairs, SETTINGS)
    assert asked == from_json("ground", json.dumps(values).encode(), SETTINGS)
    assert asked.without_regions == (1, 3)
    assert asked.options == {"phrase": ("a", "dog"), "nms": 0.5}


@given(st.text(max_size=30))
def test_no_host_is_taken_for_another(host: str) -> None:
    address = Address("127.0.0.1", 8000)
    assert address.is_named(host) == (host.lower() in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"))


@pytest.mark.parametrize(
    ("address", "host", "named"),
    [
        (Address("192.168.1.7", 80), "192.168.1.7", True),
        (Address("192.168.1.7", 80), "192.168.1.7:80", True),
        (Address("192.168.1.7", 8000), "192.168.1.7", False),
        (Address("box.local", 8000), "BOX.local:8000", True),
        (Address("::1", 8000), "[::1]:8000", True),
        (Address("fe80::1", 8000), "[fe80::1]:8000", True),
        (Address("fe80::1", 8000), "[fe80::2]:8000", False),
        (Address("::", 8000), "[fe80::2]:8000", True),
        (Address("0.0.0.0", 8000), "10.0.0.3:8000", True),
        (Address("0.0.0.0", 8000), "box.local:8000", False),
    ],
)
def test_the_names_of_a_server(address: Address, host: str, named: bool) -> None:
    assert address.is_named(host) is named
