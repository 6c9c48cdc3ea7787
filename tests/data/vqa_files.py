"""Writes tiny corpora in the official formats of VQA and Visual Genome: files as one would have downloaded them.

An image shows one to four squares of one colour. Questions ask for the colour (answer type other), whether the squares
are red (yes/no), and how many there are (number), in turn. Most annotators are right; a few err or spell the answer
otherwise.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

COLORS = ("red", "green", "blue", "yellow")
SUBSETS = {
    False: {"train": "train2014", "val": "val2014", "test-dev": "test-dev2015", "test": "test2015"},
    True: {"train": "train2015", "val": "val2015", "test": "test2015"},
}
# As COCO's, no image's number occurs in two splits.
FIRST_IMAGE = {"train": 9, "val": 42, "test": 1}
BETWEEN_IMAGES = 16
WRONG = (*COLORS, "yes", "no", "white", "left", "on table", *map(str, range(11)))
SIZE = (48, 36)
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def write_vqa(
    folder: Path,
    version: int = 2,
    *,
    images_per_split: int = 4,
    questions_per_image: int = 3,
    abstract: bool = False,
    with_images: bool = True,
    seed: int = 0,
) -> Path:
    """The corpus's folder: train, val and test with so many images each; half of test's are test-dev's."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = "abstract_v002" if abstract else "mscoco"
    for split in ("train", "val", "test"):
        questions, annotations = [], []
        for index in range(images_per_split):
            number = FIRST_IMAGE[split] + BETWEEN_IMAGES * index
            color, count = draw.choice(COLORS), draw.randint(1, len(NUMBERS))
            if with_images:
                _draw_image(folder / _image_name(split, number, abstract), color, count, draw)
            for turn in range(questions_per_image):
                name = number * (1000 if version == 2 else 10) + turn
                text, question_type, answer_type, answer = _question(turn, color, count)
                wrong = [other for other in WRONG if other != answer]
                choices = draw.sample([answer, *draw.sample(wrong, 17)], 18)
                questions.append({"question_id": name, "image_id": number, "question": text, "choices": choices})
                annotations.append(
                    {
                        "question_id": name,
                        "image_id": number,
                        "question_type": question_type,
                        "answer_type": answer_type,
                        "multiple_choice_answer": answer,
                        "answers": _answers(answer, draw),
                    }
                )
        if split != "test":
            path = folder / f"{'v2_' if version == 2 else ''}{corpus}_{SUBSETS[abstract][split]}_annotations.json"
            _write(path, annotations=draw.sample(annotations, len(annotations)))
        _write_questions(folder, version, corpus, SUBSETS[abstract][split], questions)
        if split == "test" and not abstract:
            half = questions[: len(questions) // 2]
            _write_questions(folder, version, corpus, SUBSETS[abstract]["test-dev"], half)
    return folder


def write_genome(folder: Path, coco: dict[int, int | None], pairs: dict[int, list[tuple[str, str]]]) -> Path:
    """The folder of Visual Genome's files: COCO's number of each image, and its pairs of question and answer."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [{"image_id": number, "width": 48, "height": 36, "coco_id": other} for number, other in coco.items()]
    numbers = iter(range(986769, 10**7))
    entries = [
        {"id": number, "qas": [_pair(next(numbers), number, *pair) for pair in asked]}
        for number, asked in pairs.items()
    ]
    (folder / "image_data.json").write_text(json.dumps(images))
    (folder / "question_answers.json").write_text(json.dumps(entries))
    return folder


def _pair(name: int, image: int, question: str, answer: str) -> dict:
    objects = [{"object_id": 1, "names": ["tree"]}]
    return {"qa_id": name, "image_id": image, "question": question, "answer": answer, "a_objects": objects}


def _write(path: Path, **entries: list[dict]) -> None:
    head = {"info": {"year": 2017, "description": "tiny"}, "license": {"name": "none"}, "data_type": "mscoco"}
    path.write_text(json.dumps(head | entries))


def _write_questions(folder: Path, version: int, corpus: str, subset: str, questions: list[dict]) -> None:
    name = f"{corpus}_{subset}_questions.json"
    plain = [{key: value for key, value in question.items() if key != "choices"} for question in questions]
    _write(folder / f"{'v2_' if version == 2 else ''}OpenEnded_{name}", questions=plain)
    if version == 1:
        both = zip(plain, questions, strict=True)
        choices = [question | {"multiple_choices": other["choices"]} for question, other in both]
        _write(folder / f"MultipleChoice_{name}", questions=choices)


def _question(turn: int, color: str, count: int) -> tuple[str, str, str, str]:
    return (
        ("What color are the squares?", "what color are the", "other", color),
        ("Are the squares red?", "are the", "yes/no", "yes" if color == "red" else "no"),
        ("How many squares are there?", "how many", "number", str(count)),
    )[turn % 3]


def _answers(answer: str, draw: random.Random) -> list[dict]:
    respelt = NUMBERS[int(answer)] if answer.isdecimal() else answer.capitalize()
    others = [answer, answer, respelt, f"the {answer}", *COLORS, "no", "3"]
    given = draw.sample([answer] * 6 + draw.choices(others, k=4), 10)
    return [{"answer_id": i, "answer": text, "answer_confidence": "yes"} for i, text in enumerate(given, 1)]


def _image_name(split: str, number: int, abstract: bool) -> str:
    subset = SUBSETS[abstract][split]
    if abstract:
        return f"scene_img_abstract_v002_{subset}/abstract_v002_{subset}_{number:012d}.png"
    return f"{subset}/COCO_{subset}_{number:012d}.jpg"


def _draw_image(path: Path, color: str, count: int, draw: random.Random) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", SIZE, "gray")
    for column in draw.sample(range(len(NUMBERS)), count):
        left, top = 12 * column + 2, draw.randint(2, SIZE[1] - 11)
        ImageDraw.Draw(image).rectangle((left, top, left + 8, top + 8), fill=color)
    image.save(path)
