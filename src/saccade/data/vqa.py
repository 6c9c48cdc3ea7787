"""VQA v1 (Antol et al. 2015) and v2 (Goyal et al. 2017): open questions, ten annotators each, in the official files.

    v2_OpenEnded_mscoco_train2014_questions.json, v2_mscoco_train2014_annotations.json    v2, the same for val2014
    v2_OpenEnded_mscoco_test2015_questions.json, v2_OpenEnded_mscoco_test-dev2015_questions.json
    OpenEnded_mscoco_..., MultipleChoice_mscoco_..., mscoco_..._annotations.json          v1, on photographs
    OpenEnded_abstract_v002_train2015_..., abstract_v002_train2015_annotations.json       v1, on abstract scenes
    train2014/COCO_train2014_000000000009.jpg                                             photographs of COCO
    scene_img_abstract_v002_train2015/abstract_v002_train2015_000000011779.png            abstract scenes

The JSON files lie in the folder itself or in folders of it (questions/, Annotations/, ...), the images' folders in the
folder itself or in images/, images/mscoco/ or images/abstract_v002/. A file is read when a split that needs it is asked
for; an image, which may be missing where features come from elsewhere, when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL.Image import Image

from saccade.data.missing import refuse_missing
from saccade.data.records import Question, R, images_of, records_of
from saccade.data.split import count_questions
from saccade.data.vqa_json import Annotation, AskedQuestion, match, read_annotations, read_questions
from saccade.data.vqa_results import results_of
from saccade.errors import DataError, ImageError, first, look_up
from saccade.images import open_image

# The official names of the subsets, in those of files and folders; the abstract scenes have no smaller test split.
PHOTOGRAPHS = {"train": "train2014", "val": "val2014", "test-dev": "test-dev2015", "test": "test2015"}
SCENES = {"train": "train2015", "val": "val2015", "test": "test2015"}
IMAGE_FOLDERS = ("", "images", "Images")
SCENE = "abstract_v002"


class Vqa:
    """VQA in one version and task; an image's id is its number without leading zeros, as in "9".

    A question's `kind` is its official answer type, `answer` its official multiple_choice_answer. Those of the test
    splits, "test-dev" and the larger "test", have neither answers nor types: their answers are known to the official
    server alone. Raises DataError for a task or images that a version does not have.
    """

    def __init__(
        self,
        root: Path | str,
        version: Literal[1, 2],
        *,
        abstract: bool = False,
        task: Literal["open-ended", "multiple-choice"] = "open-ended",
    ) -> None:
        if version == 2 and (abstract or task == "multiple-choice"):
            what = "abstract scenes" if abstract else "multiple-choice questions"
            raise DataError(f"expected VQA v1, as v2 has no {what}; ask for version 1, or for v2's open-ended task")
        self._root = Path(root)
        self._abstract, self._choices = abstract, task == "multiple-choice"
        self._prefix, self._corpus = "v2_" if version == 2 else "", SCENE if abstract else "mscoco"
        self._subsets = SCENES if abstract else PHOTOGRAPHS
        self._parts = {split: (split,) for split in self._subsets} | {"train+val": ("train", "val")}
        self._questions: dict[str, tuple[Question, ...]] = {}
        self._subset_of: dict[str, str] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose question file is here, each once: "train+val" is not among them."""
        return tuple(split for split in self._subsets if self._find(self._question_file(split)) is not None)

    def images(self, split: str) -> Sequence[str]:
        """The ids of the images that a split's questions are about; raises as `records` does."""
        return images_of(self._of(split))

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The questions of a split, in the file's order; those of "train+val" are train's and then val's.

        Raises UnknownNameError, and DataError for a file that is missing or not as expected, and for other records.
        """
        return records_of(kind, split, {Question: self._of})

    def counts(self, split: str) -> dict[str, int]:
        """How many `questions`, `images` and distinct `answers` the split has, be its images there or not."""
        return count_questions(self._of(split))

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        found = self.image_file(image)
        if found is None:
            looked = ", ".join(map(str, self._paths(image)))
            raise ImageError(f"{self._root} has no image {image!r}; looked for {looked}")
        return open_image(found)

    def image_file(self, image: str) -> Path | None:
        """The file of the image of that id; None where it is missing."""
        return next((path for path in self._paths(image) if path.is_file()), None)

    def missing_images(self, split: str) -> list[str]:
        """The ids of the split's images that have no file, in order of appearance."""
        return [image for image in self.images(split) if self.image_file(image) is None]

    def require_images(self, split: str) -> None:
        """Raises DataError when images of the split are missing, saying how many, which, and where was looked."""
        missing = self.missing_images(split)
        looked = first(self._paths(missing[0])) if missing else ""
        refuse_missing(missing, self.images(split), split, looked, self._root)

    def results(self, answers: Mapping[str, str]) -> Any:
        """The answers by the questions' ids as the official server takes them, in the mapping's order."""
        return results_of(answers)

    def _of(self, split: str) -> tuple[Question, ...]:
        parts = look_up(self._parts, split, "split")
        if split not in self._questions:
            if len(parts) == 1:
                self._questions[split] = self._read(split)
            else:
                questions = tuple(question for part in parts for question in self._of(part))
                if len({question.id for question in questions}) < len(questions):
                    raise DataError(f"the files of {' and '.join(parts)} share questions: is one a copy?", self._root)
                self._questions[split] = questions
        return self._questions[split]

    def _read(self, split: str) -> tuple[Question, ...]:
        subset = self._subsets[split]
        path = self._file(self._question_file(split), split)
        asked = read_questions(path, choices=self._choices)
        annotations: Sequence[Annotation | None] = [None] * len(asked)
        if split in ("train", "val"):
            annotations_path = self._file(f"{self._prefix}{self._corpus}_{subset}_annotations.json", split)
            annotations = match(asked, read_annotations(annotations_path), path, annotations_path)
        images: dict[int, str] = {question.image: str(question.image) for question in asked}
        self._subset_of |= dict.fromkeys(images.values(), _image_subset(subset))
        return tuple(_question(*pair, images) for pair in zip(asked, annotations, strict=True))

    def _question_file(self, split: str) -> str:
        task = "MultipleChoice" if self._choices else "OpenEnded"
        return f"{self._prefix}{task}_{self._corpus}_{self._subsets[split]}_questions.json"

    def _file(self, name: str, split: str) -> Path:
        found = self._find(name)
        if found is None:
            raise DataError(f"no {name} here or in a folder of this one; split {split} needs it", self._root)
        return found

    def _find(self, name: str) -> Path | None:
        candidates = (self._root / name, *sorted(self._root.glob(f"*/{name}")))
        return next((path for path in candidates if path.is_file()), None)

    def _paths(self, image: str) -> Iterator[Path]:
        """Where an image may be: among those of its split where that is known, else among those of every split."""
        if not (image.isascii() and image.isdecimal()):
            raise ImageError(f"expected the number of an image, as in '9', got {image!r}")
        # COCO's numbers are unique over its splits, and so are those of the scenes.
        subsets = [self._subset_of[image]] if image in self._subset_of else map(_image_subset, self._subsets.values())
        for subset in dict.fromkeys(subsets):
            name = f"{subset}_{int(image):012d}"
            if self._abstract:
                folders, name = (f"scene_img_{SCENE}_{subset}", f"{SCENE}/{subset}"), f"{SCENE}_{name}.png"
            else:
                folders, name = (subset, f"mscoco/{subset}"), f"COCO_{name}.jpg"
            yield from (self._root / outer / folder / name for folder in folders for outer in IMAGE_FOLDERS)


def _image_subset(subset: str) -> str:
    """The images of test-dev are among those of the test split."""
    return subset.replace("test-dev", "test")


def _question(asked: AskedQuestion, annotation: Annotation | None, images: dict[int, str]) -> Question:
    name, image = str(asked.id), images[asked.image]
    if annotation is None:
        return Question(name, image, asked.text, (), choices=asked.choices)
    return Question(
        name,
        image,
        asked.text,
        annotation.answers,
        kind=annotation.answer_type,
        answer=annotation.answer,
        choices=asked.choices,
        question_type=annotation.question_type,
    )
