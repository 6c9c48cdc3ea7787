"""The vocabulary: what a word is, who gets an id, and that a saved one reads the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.errors import DataError, RunError
from saccade.text import Vocabulary

TEXTS = ["What color is the cat?", "Is the cat's tape_dispenser red, or the dog?", "the CAT"]


def test_words_are_lower_case_without_punctuation() -> None:
    vocabulary = Vocabulary.build(TEXTS)
    assert vocabulary.words("Is the cat's tape_dispenser  RED, or a well-known?!") == (
        ["is", "the", "cat's", "tape_dispenser", "red", "or", "a", "well-known"]
    )


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


def test_a_vocabulary_of_tokens_splits_at_spaces_and_knows_the_end(tmp_path) -> None:
    vocabulary = Vocabulary.build(["the dog 's ball", "the ball"], tokens=True)
    assert vocabulary.listed() == ["<pad>", "<unk>", "<end>", "ball", "the", "'s", "dog"]
    assert vocabulary.encode(["the cat 's <end>"]).ids.tolist() == [[4, 1, 5, 2]]
    vocabulary.save(tmp_path / "tokenizer.json")
    assert Vocabulary.load(tmp_path / "tokenizer.json").words("it 's well-known") == ["it", "'s", "well-known"]


def test_batches_are_padded_on_the_right_and_cut() -> None:
    words = Vocabulary.build(TEXTS).encode(["the cat", "is the cat red"], max_words=3)
    assert words.mask.tolist() == [[True, True, False], [True, True, True]]
    assert words.ids[0, 2] == 0


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="at least one word"):
        Vocabulary.build(TEXTS).encode(["the cat", text])


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_a_saved_vocabulary_reads_the_same(tmp_path_factory, texts: list[str]) -> None:
    vocabulary = Vocabulary.build(texts)
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    vocabulary.save(path)
    again = Vocabulary.load(path)
    full = [text for text in texts if vocabulary.words(text)]
    if full:
        assert torch.equal(again.encode(full).ids, vocabulary.encode(full).ids)
    assert all(not vocabulary.unknown(text) for text in texts)


def test_missing_and_altered_files_are_named(tmp_path) -> None:
    with pytest.raises(RunError, match=r"tokenizer\.json is missing"):
        Vocabulary.load(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(RunError, match=r"tokenizer\.json is not a tokenizer file"):
        Vocabulary.load(tmp_path / "tokenizer.json")
