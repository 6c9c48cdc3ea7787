"""What a request asks, read from its query or its JSON body: each value of its type and within its limit."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saccade.errors import UnknownNameError, look_up, show
from saccade.limits import NOT_NEGATIVE, SHARE, Limit
from saccade.serve.problems import RequestError
from saccade.serve.settings import Settings

FORMS = ("reply", "figure", "png", "html")
LOOKS = ("expectation", "argmax", "sample")
PENALTY = Limit(least=-10, most=10)
TOKEN = 64  # characters of an image's token, at most
# What each kind of request may be told beside its image, `run` and `as`.
ABOUT_IMAGES = ("run", "image", "example", "without_regions", "without_words", "as")
NAMES: Mapping[str, tuple[str, ...]] = {
    "ask": (*ABOUT_IMAGES, "text", "top"),
    "caption": (*ABOUT_IMAGES, "beam", "length_penalty", "top", "look", "begin"),
    "match": (*ABOUT_IMAGES, "text"),
    "ground": (*ABOUT_IMAGES, "text", "phrase", "nms"),
    "search": ("index", "image", "text", "top", "as"),
}
OPTIONS = ("top", "beam", "length_penalty", "look", "begin", "phrase", "nms")
LISTS = ("phrase", "without_regions", "without_words")
TEXTS = ("run", "index", "text", "begin", "phrase", "look", "as", "image")
WHOLE = ("top", "beam", "example", "without_regions", "without_words")


@dataclass(frozen=True)
class Asked:
    """What is asked: of which run or index, about which image, and how; `image` is a token, "" for the body's own."""

    run: str = ""
    index: str = ""
    image: str = ""
    example: int | None = None
    text: str = ""
    form: str = "reply"
    without_regions: tuple[int, ...] = ()
    without_words: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def from_query(action: str, pairs: Sequence[tuple[str, str]], settings: Settings) -> Asked:
    """What the query of an address asks; lists of numbers by commas, several phrases as several `phrase`."""
    values: dict[str, Any] = {}
    for name, text in pairs:
        _check_name(action, name)
        if name == "phrase":
            values.setdefault(name, []).append(text)
            continue
        if name in values:
            raise RequestError(400, f"{name}: expected it once, got it several times")
        values[name] = _typed(name, text)
    return _asked(values, settings)


def from_json(action: str, body: bytes, settings: Settings) -> Asked:
    """What a JSON object asks; null is the same as nothing."""
    values = parsed_json(body)
    if not isinstance(values, dict):
        raise RequestError(400, f'expected a JSON object, as in {{"text": "..."}}, got {show(values)}')
    for name in values:
        _check_name(action, name)
    return _asked({name: value for name, value in values.items() if value is not None}, settings)


def parsed_json(body: bytes) -> Any:
    """The value of a JSON text; raises RequestError for what is none, and for NaN and Infinity, which JSON has not."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise RequestError(400, "expected JSON in UTF-8, got other bytes") from None
    except (ValueError, RecursionError) as error:  # nested too deep, or a number of too many digits
        raise RequestError(400, f"expected JSON, got something else: {_reason(error)}") from None


def checked_text(name: str, text: Any, most: int) -> str:
    """A text of at most so many characters, none of which controls anything; raises RequestError for another value."""
    if not isinstance(text, str):
        raise RequestError(422, f"{name}: expected text, got {show(text)}")
    if len(text) > most:
        raise RequestError(422, f"{name}: expected at most {most:,} characters, got {len(text):,}: say it shorter")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise RequestError(422, f"{name}: expected text, got the character U+{ord(character):04X}: leave it out")
    return text


def _check_name(action: str, name: str) -> None:
    try:
        look_up(dict.fromkeys(NAMES[action]), name, "parameter")
    except UnknownNameError:
        short = show(name)
        known = ", ".join(NAMES[action])
        raise RequestError(422, f"no parameter named {short} of {action}: it has {known}") from None


def _typed(name: str, text: str) -> Any:
    """The value of a query's text: a number, or numbers by commas, where the name is of some."""
    if name in TEXTS:
        return text
    number: Callable[[str, str], float] = _whole if name in WHOLE else _number
    if name in LISTS:
        return [number(name, each) for each in text.split(",")] if text else []
    return number(name, text)


def _whole(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise RequestError(422, f"{name}: expected a whole number, got {show(text)}")
    return int(text)


def _number(name: str, text: str) -> float:
    try:
        value = float(text) if len(text) < 32 else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RequestError(422, f"{name}: expected a number, got {show(text)}")
    return value


def _asked(values: Mapping[str, Any], settings: Settings) -> Asked:
    """The values, each checked."""
    limits = {
        "top": Limit(least=1, most=settings.top, whole=True),
        "beam": Limit(least=1, most=settings.beam, whole=True),
        "length_penalty": PENALTY,
        "nms": SHARE,
        "example": Limit(least=0, most=1_000_000, whole=True),
    }
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in limits:
            if isinstance(value, list) or not limits[name].allows(value):  # a limit is that of each number of a list
                raise RequestError(422, f"{name}: expected {limits[name]}, got {show(value)}")
            found[name] = value
        elif name in ("without_regions", "without_words"):
            found[name] = _places(name, value, settings.numbers)
        elif name == "phrase":
            found[name] = _phrases(value, settings)
        elif name in ("as", "look"):
            found[name] = _choice(name, value, FORMS if name == "as" else LOOKS)
        else:
            found[name] = checked_text(name, value, TOKEN if name == "image" else settings.text)
    if "image" in found and "example" in found:
        raise RequestError(422, "expected an image or an example, got both: leave one of them out")
    options = {name: found.pop(name) for name in OPTIONS if name in found}
    return Asked(form=found.pop("as", "reply"), options=options, **found)


def _places(name: str, values: Any, most: int) -> tuple[int, ...]:
    limit = NOT_NEGATIVE
    if not isinstance(values, list) or any(isinstance(each, bool) or not isinstance(each, int) for each in values):
        raise RequestError(422, f"{name}: expected a list of whole numbers, counted from 0, got {show(values)}")
    if len(values) > most:
        raise RequestError(422, f"{name}: expected at most {most:,} numbers, got {len(values):,}")
    if wrong := [each for each in values if not limit.allows(each) or each > most]:
        raise RequestError(422, f"{name}: expected numbers from 0 to {most:,}, got {show(wrong[0])}")
    return tuple(sorted(set(values)))


def _phrases(values: Any, settings: Settings) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise RequestError(422, f"phrase: expected a list of texts, got {show(values)}")
    if len(values) > settings.phrases:
        raise RequestError(422, f"phrase: expected at most {settings.phrases} phrases, got {len(values):,}")
    return tuple(checked_text("phrase", each, settings.text) for each in values)


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise RequestError(422, f"{name}: expected one of {', '.join(choices)}, got {show(value)}")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _reason(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
