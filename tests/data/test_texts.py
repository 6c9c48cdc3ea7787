from __future__ import annotations

import doctest

import pytest

from saccade import errors
from saccade.data import texts
from saccade.data.texts import composed, is_unspaced, refuse_half_characters, refuse_wordless
from saccade.errors import DataError, show


@pytest.mark.parametrize("module", [texts, errors])
def test_the_examples_in_the_docstrings_run(module) -> None:
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted > 0) == (0, True)


def test_letters_are_composed_and_nothing_else_is_changed() -> None:
    assert composed("mo\u0302\u0323t") == "m\u1ed9t"
    assert composed("\u1112\u1161\u11ab") == "\ud55c"
    for text in ("a red cup", "\u1ed9", "\u0915\u093f", "\u00bd \ufb01"):  # compatibility forms stay
        assert composed(text) == text


WORDLESS = ["...", "?!", "\u0301", " \u093f ", "\u200d", "\u3002", "\u00b7 -"]
WORDS = ["a", "7", "\u0967", "\u00e9", "\u732b", "\u0e01", "\u00bd", "\u05d0?"]


@pytest.mark.parametrize("text", WORDLESS)
def test_marks_and_punctuation_are_no_word(text: str) -> None:
    for symbols in (True, False):
        with pytest.raises(DataError, match=r"expected the text to have a word in it, at least a letter"):
            refuse_wordless(text, "the text", symbols=symbols)


def test_letters_and_digits_of_any_script_are_words_and_symbols_where_they_count() -> None:
    for text in WORDS:
        refuse_wordless(text, "the text", symbols=False)
    for text in ("\U0001f600", "+", "\u2764\ufe0f"):
        refuse_wordless(text, "the text", symbols=True)
        with pytest.raises(DataError, match="a letter or a digit, got"):
            refuse_wordless(text, "the text", symbols=False)


@pytest.mark.parametrize("value", ["a\ud83d", {"a": ["b", {"\udc00": 1}]}, [["\ud83d \ude00"]], {"a": {"b": "\udfff"}}])
def test_half_a_character_is_found_wherever_it_is_and_can_be_printed(value: object) -> None:
    with pytest.raises(DataError, match=r"expected whole characters, got half of one in .*\\ud") as error:
        refuse_half_characters(value)
    str(error.value).encode()


def test_whole_characters_pass() -> None:
    refuse_half_characters({"\U0001f600": ["\U0001f600", 1, None, {"a": "\uffff"}]})


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("\u4e00\u53ea\u72d7\u5728\u8349\u5730\u4e0a\u5954\u8dd1", True),
        ("\u4e00\u53ea\u72d7\uff0c\u5728\u8349\u5730\u4e0a\u3002", True),
        ("\u4e00 \u53ea \u72d7 \u5728 \u8349\u5730 \u4e0a \u5954\u8dd1", False),
        ("\u8349\u306e\u4e0a\u306e\u72ac", True),
        ("\u8349 \u306e \u4e0a \u306e \u72ac", False),
        ("\u0e2a\u0e38\u0e19\u0e31\u0e02\u0e27\u0e34\u0e48\u0e07\u0e1a\u0e19\u0e2b\u0e0d\u0e49\u0e32", True),
        ("\u0e2a\u0e38\u0e19\u0e31\u0e02 \u0e27\u0e34\u0e48\u0e07 \u0e1a\u0e19 \u0e2b\u0e0d\u0e49\u0e32", False),
        ("\uac1c\uac00 \uc794\ub514\ubc2d\uc744 \ub6f0\uc5b4\uac04\ub2e4", False),  # Korean has spaces
        ("Donaudampfschifffahrtsgesellschaft", False),
        ("\u732b", False),
        ("a caf\u00e9", False),
    ],
)
def test_a_text_without_spaces_is_told_from_one_with_words(text: str, unspaced: bool) -> None:
    assert is_unspaced(text) is unspaced


def test_values_are_shown_short_and_printable() -> None:
    assert show("\u00e9\ud83d") == '"\u00e9\\ud83d"'
    assert len(show(["a" * 200])) == 80
