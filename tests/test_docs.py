"""The documentation is true: its commands parse, its links lead somewhere, its Python runs or at least compiles."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import saccade.models
from saccade import Predictor
from saccade.cli import COMMANDS, main
from saccade.commands.training import Train
from saccade.data.own import KEYS, OwnData
from saccade.data.own_phrases import KEYS as PHRASE_KEYS
from saccade.data.records import SPLITS
from saccade.explain import save
from saccade.models import MODELS, Entry
from saccade.recipe import Recipe
from saccade.recipes import RECIPES
from saccade.tasks import TASKS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *PAGES})

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SPAN = re.compile(r"`(saccade [^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)|(?:src|href)=\"([^\"]+)\"")
# What a page writes where a reader writes a name of their own.
PLACEHOLDERS = {"RECIPE": "r-dan-scenes"}


def fenced(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, as they stand."""
    return [block for name, block in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


def commands(page: Path) -> list[str]:
    """Every command line of a page, from its shell blocks and from spans within sentences; each once."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for name, block in FENCE.findall(text) if name in ("", "sh", "bash", "shell", "console")]
    whole = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines = [part.strip().removeprefix("$ ") for line in whole for part in line.split("&&")]
    spans = [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]
    return list(dict.fromkeys(line for line in [*lines, *spans] if line.startswith("saccade ")))


COMMAND_LINES = [(page.name, line) for page in PAGES for line in commands(page)]


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands parse and do nothing; runs that they name are a reader's."""
    monkeypatch.setattr("saccade.commands.training._started", lambda recipe, _: recipe)
    for command in COMMANDS.values():
        monkeypatch.setattr(command, "run", lambda *_: None)


@pytest.mark.usefixtures("dry")
@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_commands_parse(page: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = _arguments(line)
    if "[" in line or "..." in line or len(arguments) == 1:  # a synopsis: its command and its options exist
        assert _unknown_options(line, capsys) == set(), page
    else:
        assert _exit_code(arguments) == 0, f"{page}: {line}\n{''.join(capsys.readouterr())}"


@pytest.mark.usefixtures("dry")
def test_commands_were_found_and_wrong_ones_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMAND_LINES) >= 20
    wrong = ["saccade evaluate runs/x --splt test", "saccade train r-dan-scenes --optim.rl 1", "saccade ask RUN"]
    assert [_exit_code(_arguments(line)) for line in [*wrong, "saccade evaluat runs/x"]] == [2, 2, 2, 2]
    assert _unknown_options("saccade ask RUN IMAGE QUESTION [--top K] [--beam K]", capsys) == {"--beam"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(document: Path) -> None:
    targets = [a or b for a, b in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8")))]
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (document.parent / (a or b).partition("#")[0]).resolve()
        for document in DOCUMENTS
        for a, b in LINK.findall(document.read_text(encoding="utf-8"))
    }
    pages = sorted((ROOT / "docs").rglob("*.md"))
    assert [page.name for page in pages if page.resolve() not in linked] == []
    assert len(pages) >= 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_compile(document: Path) -> None:
    for block in fenced(document, "python"):
        assert compile(block, document.name, "exec")


def test_the_lines_of_own_data_are_own_data(tmp_path: Path) -> None:
    page = ROOT / "docs" / "own_data.md"
    lines = [line for block in fenced(page, "jsonl") for line in block.splitlines()]
    for line in lines:
        image = tmp_path / json.loads(line)["image"]
        image.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(image)
    for split in ("train", "val"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        if split == "train":
            assert OwnData(tmp_path).counts("train")["questions"] in (0, len(lines))
    assert len(lines) >= 2
    assert [key for key in KEYS if f"| `{key}` |" not in page.read_text(encoding="utf-8")] == []


def test_the_lines_of_own_captions_and_phrases_are_own_data(tmp_path: Path) -> None:
    page = ROOT / "docs" / "own_data.md"
    captions, phrases = (block.splitlines() for block in fenced(page, "json"))
    (tmp_path / "train.jsonl").write_text("\n".join([*captions, *phrases]), encoding="utf-8")
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    data = OwnData(tmp_path)
    counts = Counter[str]()
    for split in SPLITS:
        counts.update(data.counts(split))
    assert (counts["captions"], counts["phrases"], counts["phrases_with_box_several"]) == (5, 3, 1)
    assert [key for key in PHRASE_KEYS if f"`{key}`" not in page.read_text(encoding="utf-8")] == []


def test_the_rows_of_the_example_are_own_data(tmp_path: Path, saccade, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    assert saccade("scenes", "--out", "my-scenes", "--images", 20).code == 0
    [block] = fenced(ROOT / "docs" / "rows.md", "python")
    exec(compile(block, "rows.md", "exec"), {})
    lines = [line for line in commands(ROOT / "docs" / "rows.md") if line.startswith("saccade check my-")]
    for line in dict.fromkeys(lines):
        outcome = saccade(*_arguments(line), "--json", "--quick")
        assert outcome.code == 0, outcome.err
        found = json.loads(outcome.out)["counts"]
        assert sum(counts["images"] for counts in found.values()) == 16, line
    assert len(set(lines)) == 2


def test_the_example_paper_keeps_the_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _install("linear_look", "docs/add_a_paper.md", tmp_path / "models", monkeypatch)
    line = '"linear-look": Entry("linear_look", "LinearLook"),'
    assert [block.strip() for block in fenced(ROOT / "docs" / "add_a_paper.md", "text")] == [line]
    assert MODELS["linear-look"] == eval(f"{{{line}}}")["linear-look"]
    contract = _file_module("docs_test_models", ROOT / "tests" / "test_models.py")
    visited = 0
    for name, test in inspect.getmembers(contract, inspect.isfunction):
        if name.startswith("test_"):
            known = {"name": "linear-look", "tmp_path": tmp_path}
            test(**{parameter: known[parameter] for parameter in inspect.signature(test).parameters})
            visited += 1
    assert visited >= 9


def test_the_example_recipe_keeps_the_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _install("linear_look", "docs/add_a_paper.md", tmp_path, monkeypatch)
    [recipe] = _module("docs_linear_look_recipes", _block("src/saccade/recipes/linear_look.py")).RECIPES
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    rules = _file_module("docs_test_tables", ROOT / "tests" / "test_tables.py")
    rules.test_recipe_names_what_exists(recipe.name, {"scenes-cnn"})
    rules.test_recipe_survives_json(recipe.name)
    rules.test_recipe_makes_its_model(recipe.name)
    rules.test_smoke_shrinks_a_recipe(recipe.name, {"scenes-cnn"})
    assert Train.parse([recipe.name, "--sizes.hidden-size", "7"]).recipe.sizes == {"hidden_size": 7}


TAGGING = "docs/add_a_task.md"


@pytest.fixture
def tagging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recipe:
    """The example task as if its files and its lines in the tables were there."""
    modules = {}
    _install("linear_tags", TAGGING, tmp_path / "models", monkeypatch)
    for name in ("tasks.tagging", "recipes.linear_tags"):
        path = f"src/saccade/{name.replace('.', '/')}.py"
        modules[name] = _module(f"saccade.{name}", _block(path, TAGGING), monkeypatch)
    monkeypatch.setitem(TASKS, "tagging", modules["tasks.tagging"].TaggingConfig)
    [recipe] = modules["recipes.linear_tags"].RECIPES
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    return recipe


def test_the_example_task_needs_one_line_outside_its_files() -> None:
    page = ROOT / TAGGING
    assert [block.strip() for block in fenced(page, "text")] == ['"tagging": TaggingConfig,']


def test_the_example_task_trains_evaluates_predicts_and_is_drawn(
    tagging: Recipe, saccade, scenes_store: str, scene: Path, tmp_path: Path
) -> None:
    run, fields = tmp_path / "run", ("--data.store", scenes_store, "--train.accelerator", "cpu")
    small = ("--data.limit", 24, "--train.batch_size", 16, "--train.epochs", 8)
    trained = saccade("train", tagging.name, *small, *fields, "--task.tags", 12, "--out", run)
    assert trained.code == 0, trained.err
    first, *_, last = (json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines())
    assert last < first
    assert len(json.loads((run / "tags.json").read_text())) == 12
    evaluated = saccade("evaluate", run, "--threshold", 0.3, "--json")
    metrics = json.loads(evaluated.out)
    assert (metrics["captions"], metrics["images"]) == (120, 24)
    assert 0.5 < metrics["accuracy"] <= 1
    [reply] = Predictor.from_pretrained(run, device="cpu")(scene, threshold=0.0)
    assert len(reply.tags) == 12
    assert len(reply.figure().panels) == 12
    for suffix in ("png", "html"):
        save(reply.figure("what is there"), tmp_path / f"tags.{suffix}")
        assert (tmp_path / f"tags.{suffix}").stat().st_size > 5000
    assert saccade("predict", run, scene, "--threshold", 0.0, "--out", tmp_path / "tags.jsonl").code == 0
    assert len(json.loads((tmp_path / "tags.jsonl").read_text())["named"]) == 12
    assert saccade("ask", run, scene, "what is it?").code == 1
    assert saccade("evaluate", run, "--beam", 3).code == 1


def _arguments(line: str) -> list[str]:
    """What the shell would pass on, up to a pipe or a redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word and word[0] in "|&;<>":
            break
        words.append(PLACEHOLDERS.get(word, word))
    assert words[0] == "saccade"
    return words[1:]


def _exit_code(arguments: list[str]) -> int | str | None:
    try:
        main(arguments)
    except SystemExit as end:
        return end.code
    return 0


def _unknown_options(line: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Those options of a synopsis that the command's help does not name."""
    name, *rest = re.split(r"[\s\[\]|]+", line)[1:]
    if name.isupper() or name == "..." or name.startswith("-"):
        return set()
    assert name in COMMANDS, f"no command {name!r}"
    recipe = [rest[0] if rest and rest[0] in RECIPES else "r-dan-scenes"] if name == "train" else []
    assert _exit_code([name, *recipe, "--help"]) == 0
    known = set(re.findall(r"--[\w.-]*\w", capsys.readouterr().out)) | {"--help"}
    return set(re.findall(r"--[\w.-]*\w", line)) - known


def _block(path: str, page: str = "docs/add_a_paper.md") -> str:
    """The code of a page whose first line names that file."""
    [found] = [b for b in fenced(ROOT / page, "python") if b.startswith(f"# {path}\n")]
    return found


def _install(file: str, page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of a page as if its file and its line in the table were there."""
    folder.mkdir(exist_ok=True)
    code = _block(f"src/saccade/models/{file}.py", page)
    (folder / f"{file}.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(saccade.models, "__path__", [*saccade.models.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, f"saccade.models.{file}", raising=False)
    monkeypatch.setitem(MODELS, file.replace("_", "-"), Entry(file, file.title().replace("_", "")))


def _module(name: str, code: str, monkeypatch: pytest.MonkeyPatch | None = None) -> types.ModuleType:
    """The code as a module; with `monkeypatch` others can import it."""
    module = types.ModuleType(name)
    module.__file__ = f"{name}.py"  # a module without one is taken for a built-in
    if monkeypatch is not None:
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, name, "exec"), module.__dict__)
    return module


def _file_module(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
