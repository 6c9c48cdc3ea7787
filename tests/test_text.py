"""The vocabulary: what a word is, who gets an id, that any text is harmless, and that a saved one reads the same."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from saccade.errors import DataError, RunError, UnknownNameError
from saccade.metrics.ptb import tokenize
from saccade.text import END_ID, TOKENISERS, UNKNOWN_ID, Vocabulary

TEXTS = ["What color is the cat?", "Is the cat's tape_dispenser red, or the dog?", "the CAT"]
SPECIAL_TEXTS = [
    "<end>", "a <unk> red", "<PAD> cat", "<no word> x", "<unknown word> y", "<end of text> z", "<pad> <unk> <end>", "a",
]  # fmt: skip


def words(text: str, tokeniser: str = "words") -> list[str]:
    return Vocabulary.build(["a word"], tokeniser=tokeniser).words(text)


def test_words_are_lower_case_without_punctuation() -> None:
    assert words("Is the cat's tape_dispenser  RED, or a well-known?!") == (
        ["is", "the", "cat's", "tape_dispenser", "red", "or", "a", "well-known"]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में क्या है?", ["हिन्दी", "में", "क्या", "है"]),
        ("น้ำ อยู่ ที่ไหน", ["น้ำ", "อยู่", "ที่ไหน"]),
        ("مَا هَذَا؟", ["مَا", "هَذَا"]),
        ("தமிழ் மொழி!", ["தமிழ்", "மொழி"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # one word to its readers, with a joiner inside
        ("un cafe\u0301?", ["un", "caf\u00e9"]),
        ("a \u2764\ufe0f heart \u0301", ["a", "heart"]),  # marks on no letter are no words
        ("½ ² Ⓐ 3", ["½", "²", "ⓐ", "3"]),
    ],
)
def test_words_of_every_script_keep_their_marks(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert words(text, "smem")[: len(expected)] == expected


@pytest.mark.parametrize(
    ("tokeniser", "text", "expected"),
    [
        ("ptb", "The dog's ball isn't red!", ["the", "dog", "'s", "ball", "is", "n't", "red"]),
        ("ptb", "3 1/2 (red)", ["3", "1/2", "-lrb-", "red", "-rrb-"]),
        ("ban", "What's the man's name?", ["what", "'s", "the", "man", "'s", "name"]),
        ("ban", "Is it 1,000, or e.g. 2?!", ["is", "it", "1000", "or", "e.g.", "2!"]),
        ("smem", "Is the cat's bowl red,blue, or what?", ["is", "the", "cat's", "bowl", "red", ",", "blue", ",", "or",
                                                          "what", "?"]),
        ("smem", "?!", ["?"]),
    ],
)  # fmt: skip
def test_the_tokeniser_is_the_one_named(tokeniser: str, text: str, expected: list[str]) -> None:
    vocabulary = Vocabulary.build([text], tokeniser=tokeniser)
    assert vocabulary.words(text) == expected
    assert sorted(vocabulary.listed()[2:]) == sorted(set(expected))
    assert vocabulary.lengths([text, "a"]) == [len(expected), 1]


def test_a_tokeniser_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no tokeniser named 'word'; did you mean 'words'"):
        Vocabulary.build(TEXTS, tokeniser="word")


def test_ids_follow_the_counts_whatever_the_order_of_the_texts() -> None:
    vocabulary = Vocabulary.build(TEXTS)
    assert vocabulary.encode(["the cat is"]).ids.tolist() == [[2, 3, 4]]
    assert (
        vocabulary.encode(["the cat is what"]).ids.tolist()
        == Vocabulary.build(TEXTS[::-1]).encode(["the cat is what"]).ids.tolist()
    )


def test_rare_and_surplus_words_are_unknown() -> None:
    assert len(Vocabulary.build(TEXTS, min_count=2)) == 2 + len({"the", "cat", "is"})
    vocabulary = Vocabulary.build(TEXTS, max_words=1)
    assert vocabulary.unknown("the cat") == ["cat"]
    assert vocabulary.encode(["the cat"]).ids.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("texts", "limits", "message"),
    [
        (TEXTS, {"min_count": 5}, r"at least 5 times, .* more than 4 times: lower --task\.min-word-count"),
        (["?!", ""], {}, "expected training texts with words"),
        (TEXTS, {"max_words": 0}, r"raise --task\.words"),
    ],
)
def test_a_vocabulary_without_words_is_refused(texts: list[str], limits: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary.build(texts, **limits)


def test_the_end_is_an_id_and_no_text() -> None:
    vocabulary = Vocabulary.build(["the dog's ball", "the ball"], tokeniser="ptb", end=True)
    assert vocabulary.listed()[3:] == ["ball", "the", "'s", "dog"]
    encoded = vocabulary.encode(["the cat's", "The dog's ball <end>"], end=True, max_words=3)
    assert encoded.ids.tolist() == [[4, UNKNOWN_ID, 5, END_ID], [4, 6, 5, END_ID]]
    assert encoded.mask.all()
    assert vocabulary.encode(["the end"]).ids.tolist() == [[4, UNKNOWN_ID]]
    with pytest.raises(RunError, match="no symbol for the end"):
        Vocabulary.build(TEXTS).encode(["the cat"], end=True)


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("tokeniser", TOKENISERS)
@given(texts=st.lists(st.text() | st.sampled_from(SPECIAL_TEXTS), max_size=4))
def test_any_text_is_harmless(tokeniser: str, end: bool, texts: list[str]) -> None:
    texts = [*texts, *SPECIAL_TEXTS]
    vocabulary = Vocabulary.build(texts, tokeniser=tokeniser, end=end)
    first = 3 if end else 2
    assert len(vocabulary.listed()) == len(set(vocabulary.listed())) == len(vocabulary)
    assert not any(name in vocabulary for name in vocabulary.listed()[:first])
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again.to_json() == vocabulary.to_json()
    for text in texts:
        expected = vocabulary.words(text)
        if not expected:
            continue
        assert all(word in vocabulary for word in expected)
        for each in (vocabulary, again):
            [ids] = each.encode([text], end=end).ids.tolist()
            assert [each.listed()[i] for i in ids[: len(expected)]] == expected
            assert min(ids[: len(expected)]) >= first
            assert ids[len(expected) :] == [END_ID] * end


def test_batches_are_padded_on_the_right_and_cut() -> None:
    encoded = Vocabulary.build(TEXTS).encode(["the cat", "is the cat red"], max_words=3)
    assert encoded.mask.tolist() == [[True, True, False], [True, True, True]]
    assert encoded.ids[0, 2] == 0


@pytest.mark.parametrize("text", ["", "  ", "?!", "\u0301"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="at least one word"):
        Vocabulary.build(TEXTS).encode(["the cat", text])


@pytest.mark.parametrize("tokeniser", TOKENISERS)
def test_the_file_is_read_by_the_tokenizers_library_but_for_its_entry(tokeniser: str) -> None:
    vocabulary = Vocabulary.build(TEXTS, tokeniser=tokeniser, end=True)
    data = json.loads(vocabulary.to_json())
    assert data.pop("saccade") == {"tokeniser": tokeniser, "special": {"padding": 0, "unknown": 1, "end": 2}}
    plain = Tokenizer.from_str(json.dumps(data))
    for text in TEXTS:
        prepared = tokenize(text) if tokeniser == "ptb" else text
        assert plain.encode(prepared).ids == vocabulary.encode([text]).ids[0].tolist()


# As written before files named their tokeniser; a text could then have a special symbol's name.
OLD = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None, "decoder": None,
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
}  # fmt: skip
OLD_PATTERN = {"Regex": "\\w+(?:['’\\-]\\w+)*"}


def old(words: list[str], pre_tokenizer: dict) -> str:
    model = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"}
    return json.dumps({**OLD, "pre_tokenizer": pre_tokenizer, "model": model})


def test_files_without_the_entry_give_the_ids_they_gave() -> None:
    split = {"type": "Split", "pattern": OLD_PATTERN, "behavior": "Removed", "invert": True}
    questions = Vocabulary.from_json(old(["<pad>", "<unk>", "the", "cat's", "किताब"], split))
    assert questions.encode(["The cat's किताब, <unk>?"]).ids.tolist() == [[2, 3, 4, 1]]
    assert not questions.end
    captions = Vocabulary.from_json(old(["<pad>", "<unk>", "<end>", "the", "'s", "dog"], {"type": "WhitespaceSplit"}))
    assert captions.encode(["The dog's cat."], end=True).ids.tolist() == [[3, 5, 4, 1, END_ID]]
    assert captions.encode(["<pad> <end> dog"]).ids.tolist() == [[1, 1, 5]]
    for vocabulary in (questions, captions):
        assert Vocabulary.from_json(vocabulary.to_json()).to_json() == vocabulary.to_json()
    with pytest.raises(RunError, match="the symbol for end has another id"):
        Vocabulary.from_json(old(["<pad>", "<unk>", "dog", "<end>"], {"type": "WhitespaceSplit"}))


def test_an_altered_file_is_named() -> None:
    whole = Vocabulary.build(TEXTS).to_json()
    assert torch.equal(Vocabulary.from_json(whole).encode(TEXTS).ids, Vocabulary.build(TEXTS).encode(TEXTS).ids)
    for text in ("{", "[]", "{}", whole.replace('"words"', '"syllables"'), '{"saccade": {}}'):
        with pytest.raises(RunError, match=r"tokenizer\.json is not a tokenizer file"):
            Vocabulary.from_json(text)
