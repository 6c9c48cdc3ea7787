from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from saccade.errors import DataError
from saccade.metrics import wordnet
from saccade.metrics.wordnet import WordNet, find_wordnet
from saccade.metrics.wups import Wups, normalize_answer_items, normalize_answer_set

# Nouns as DAQUAR's answers have them: plurals, irregular ones, underscores, colours, numbers, and what WordNet lacks.
WORDS = """
    table chair chairs telephone desk book books papers tape_dispenser garbage_bin lamp night_stand clothes door
    window curtain mirror bed pillow pillows sofa ottoman television monitor keyboard mouse mice cabinet shelves
    bookshelf box boxes dishes knives faucet sink toilet toilet_paper towel towels bottle bottles cup glass glasses
    man men woman women children people teeth geese person chef fireman dog puppy red blue green white brown black
    purple 2 7 nine ten paper_towel scissor scissors stapler fan clock photo photos picture floor_mat blinds bag
    bags basket container fridge refrigerator oven microwave coffee_machine laptop printer whiteboard map plant
    flower_pot candle candelabra piano guitar drum bicycle treadmill light lights switch stairs fireplace wall
    ceiling leg hand Paris Einstein dream color oil_container xyzzy the data axes matrices oxen foci entity
    abstraction physical_entity
""".split()  # noqa: SIM905


@pytest.fixture(scope="session")
def dictionary() -> Path:
    try:
        return find_wordnet()
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def nltk_nouns(dictionary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """NLTK's reader on the same dictionary, with the two files that Debian leaves out and nouns do not need."""
    nltk_data = pytest.importorskip("nltk.data")
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        def map_wn(self, version: str = "wordnet") -> None:
            """Mapping to other versions needs index.sense."""

    folder = tmp_path_factory.mktemp("wordnet")
    for name in Reader._FILES:
        if (dictionary / name).exists():
            shutil.copy(dictionary / name, folder)
    (folder / "lexnames").write_text("".join(f"{i:02d} name{i} 1\n" for i in range(45)))
    (folder / "index.sense").touch()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The multilingual functions")
        patch.setattr(nltk_data, "path", [*nltk_data.path, str(folder)])  # NLTK opens no file elsewhere
        yield Reader(str(folder), None)


@pytest.mark.wordnet
def test_senses_equal_nltk(dictionary: Path, nltk_nouns: Any) -> None:
    ours = WordNet(dictionary)
    nouns = random.Random(0).sample(sorted(ours._index), 1500)
    irregular = random.Random(0).sample(sorted(ours._exceptions), 500)
    endings = [noun + ending for noun in nouns[:300] for ending in ("s", "es", "ses", "ves", "men", "ies")]
    for word in [*WORDS, *nouns, *irregular, *endings, "", "tape dispenser", "CHAIRS"]:
        assert list(ours.synsets(word)) == [synset.offset() for synset in nltk_nouns.synsets(word, pos="n")], word


@pytest.mark.wordnet
def test_similarity_equals_nltk(dictionary: Path, nltk_nouns: Any) -> None:
    ours, draw, compared = WordNet(dictionary), random.Random(0), 0
    some = random.Random(1).sample(sorted(ours._index), 400)
    pairs = [(draw.choice(WORDS), draw.choice(WORDS)) for _ in range(600)]
    pairs += [(draw.choice(some), draw.choice(some)) for _ in range(600)]
    for first, second in pairs:
        for x in nltk_nouns.synsets(first, pos="n"):
            for y in nltk_nouns.synsets(second, pos="n"):
                assert ours.similarity(x.offset(), y.offset()) == pytest.approx(x.wup_similarity(y), abs=1e-12), (x, y)
                compared += 1
    assert compared > 5000


@pytest.mark.wordnet
def test_similarity_equals_nltk_where_several_subsumers_are_lowest(dictionary: Path, nltk_nouns: Any) -> None:
    ours, found = WordNet(dictionary), 0
    offsets = random.Random(2).sample(sorted({offset for senses in ours._index.values() for offset in senses}), 4000)
    branching = [offset for offset in offsets if len(ours._parents_of(offset)) > 1]
    for first, second in pairwise(branching):
        x, y = (nltk_nouns.synset_from_pos_and_offset("n", offset) for offset in (first, second))
        assert ours.similarity(first, second) == pytest.approx(x.wup_similarity(y), abs=1e-12)
        found += len(x.lowest_common_hypernyms(y, use_min_depth=True)) > 1
    assert found > 0


@pytest.mark.wordnet
def test_wups_equals_the_official_rule_over_nltk(dictionary: Path, nltk_nouns: Any) -> None:
    @cache
    def closest(a: str, b: str) -> float:
        best = 0.0
        for x in nltk_nouns.synsets(a, pos="n"):
            for y in nltk_nouns.synsets(b, pos="n"):
                best = max(best, x.wup_similarity(y))
        return best

    def word(a: str, b: str, threshold: float) -> float:
        if a == b:
            return 1.0
        return closest(a, b) * (1.0 if closest(a, b) >= threshold else 0.1)

    def score(truth: str, answer: str, threshold: float) -> float:
        left, right = [x.strip() for x in truth.split(",")], [x.strip() for x in answer.split(",")]
        product_left = product_right = 1.0
        for a in left:
            product_left *= max(word(a, b, threshold) for b in right)
        for b in right:
            product_right *= max(word(b, a, threshold) for a in left)
        return min(product_left, product_right)

    wups, draw, words = Wups(dictionary), random.Random(3), [*WORDS[:10], *WORDS[-8:]]
    for _ in range(300):
        truth, answer = (", ".join(draw.choices(words, k=draw.choice([1, 1, 2, 3]))) for _ in range(2))
        for threshold in (0.9, 0.0):
            assert wups(answer, truth, threshold=threshold) == pytest.approx(score(truth, answer, threshold), abs=1e-12)


@pytest.mark.wordnet
def test_wups_of_known_answers(dictionary: Path) -> None:
    wups = Wups(dictionary)
    assert wups("chair", "chair", threshold=0.9) == 1.0
    assert wups("xyzzy", "chair", threshold=0.0) == 0.0
    assert wups("xyzzy", "xyzzy", threshold=0.9) == 1.0
    assert wups("chairs", "chair", threshold=0.9) == 1.0
    similar = wups("table", "chair", threshold=0.0)
    assert 0.8 < similar < 0.9
    assert wups("table", "chair", threshold=0.9) == pytest.approx(0.1 * similar)
    assert wups("book, lamp", "lamp,book", threshold=0.9) == 1.0
    assert wups("book", "book, xyzzy", threshold=0.0) == 0.0
    assert wups("", "chair", threshold=0.0) == 0.0


@pytest.mark.wordnet
def test_the_mean_is_over_answers_and_each_ones_annotators(dictionary: Path) -> None:
    wups = Wups(dictionary)
    similar = wups("table", "chair", threshold=0.0)
    truths = [["chair"], ["chair", "table", "xyzzy", "table"]]
    assert wups.mean(["chair", "table"], truths, threshold=0.0) == pytest.approx((1 + (2 + similar) / 4) / 2)
    for answers, given in ((["chair"], []), ([], []), (["chair"], [[]])):
        with pytest.raises(DataError, match="expected the truths of each answer"):
            wups.mean(answers, given, threshold=0.0)


def test_one_spelling_per_set() -> None:
    assert normalize_answer_set("b,  A a,b ,") == "a a, b" == normalize_answer_set("A  a, b")
    assert normalize_answer_items("b,  A a,b ,") == "b, a a, b"
    assert normalize_answer_set(" , ") == normalize_answer_items(" , ") == ""


def test_a_missing_dictionary_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.noun").write_text("")
    with pytest.raises(DataError, match=r"wordnet-base.*data\.noun, noun\.exc missing"):
        Wups(tmp_path)
    monkeypatch.setattr(wordnet.Path, "is_file", lambda path: False)
    with pytest.raises(DataError, match=r"/usr/share/wordnet.*wordnet-base"):
        Wups()


def test_the_environment_names_the_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_dictionary(tmp_path / "dict")
    monkeypatch.setenv("WNHOME", str(tmp_path))
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    assert find_wordnet() == folder
    monkeypatch.setenv("WNHOME", "/nowhere")
    monkeypatch.setenv("WNSEARCHDIR", str(folder))
    assert find_wordnet() == folder


def test_a_tiny_dictionary_by_hand(tmp_path: Path) -> None:
    """thing > animal > dog, cat: 2 * 2 / (3 + 3)."""
    nouns = WordNet(tiny_dictionary(tmp_path))
    (dog,), (cat,), (thing,) = nouns.synsets("dogs"), nouns.synsets("cat"), nouns.synsets("thing")
    assert nouns.synsets("kine") == (cat,)
    assert nouns.similarity(dog, cat) == pytest.approx(4 / 6)
    assert nouns.similarity(dog, dog) == 1.0
    assert nouns.similarity(thing, dog) == pytest.approx(2 / 4)


def test_a_dictionary_of_mixed_versions_is_refused(tmp_path: Path) -> None:
    folder = tiny_dictionary(tmp_path)
    (folder / "data.noun").write_text("  shifted" + (folder / "data.noun").read_text())
    nouns = WordNet(folder)
    with pytest.raises(DataError, match=r"data\.noun: expected a synset at byte"):
        nouns.similarity(*nouns.synsets("dog"), *nouns.synsets("cat"))


def tiny_dictionary(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    data, index, offsets = "  1 licence\n", "  1 licence\n", {}
    for word, parent in [("thing", None), ("animal", "thing"), ("dog", "animal"), ("cat", "animal")]:
        offset = offsets[word] = len(data)
        pointer = f"001 @ {offsets[parent]:08} n 0000" if parent else "000"
        data += f"{offset:08} 05 n 01 {word} 0 {pointer} | what it is\n"
        index += f"{word} n 1 1 @ 1 0 {offset:08}\n"
    for name, text in {"data.noun": data, "index.noun": index, "noun.exc": "kine cat\n"}.items():
        (folder / name).write_text(text)
    return folder
