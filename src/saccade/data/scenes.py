"""`scenes`, the embedded data set: coloured shapes on varied backgrounds, with questions, captions and phrases.

It needs no files and no network: everything about an image follows from the seed, the split and the image's number, and
any image or record is made alone, when asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from PIL.Image import Image

from saccade.data.records import SPLITS, Caption, Question, R, records_of
from saccade.data.scenes_drawing import Draws, Scene, render
from saccade.data.scenes_language import PhrasedSentence, captions, phrased_sentence
from saccade.data.scenes_look import Look
from saccade.data.scenes_questions import KINDS, ask
from saccade.data.scenes_truth import is_true
from saccade.errors import DataError, ImageError, UnknownNameError, look_up

SHARES = {"train": 8, "val": 1, "test": 1}  # tenths
# What a random stream is for. Each has its own, so that a change of one leaves the others' bytes alone.
LAYOUT, NOISE, QUESTIONS, CAPTIONS, PHRASES, BACKGROUND, SIDE = range(7)
SENTENCES = 3  # about an image, of those that single things out
OPTIONS = "scenes.json"  # in a folder of written scenes: how they were made, which tells them from photographs


class Scenes:
    """The data set of a seed and a look; an image's id is its split and number, as in "test/00012"."""

    def __init__(
        self, *, seed: int = 0, train: int = 8000, val: int = 1000, test: int = 1000, look: Look | None = None
    ) -> None:
        self._seed, self._look = seed, look or Look()
        self._sizes = dict(zip(SPLITS, (train, val, test), strict=True))
        self._asked: dict[str, tuple[Question, ...]] = {}
        self._captioned: dict[str, tuple[Caption, ...]] = {}
        for name, value in {"seed": seed, **self._sizes}.items():
            if value < 0:
                raise DataError(f"expected {name} of scenes to be 0 or more, got {value}")

    @property
    def splits(self) -> tuple[str, ...]:
        """All three."""
        return SPLITS

    def images(self, split: str) -> Sequence[str]:
        """The ids of a split's images; makes no texts. Raises UnknownNameError."""
        if split not in self._sizes:
            raise UnknownNameError("split", split, self._sizes)
        return [f"{split}/{index:05d}" for index in range(self._sizes[split])]

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The split's questions or captions, image by image; raises UnknownNameError, and DataError for others."""
        return records_of(kind, split, {Question: self._questions, Caption: self._captions})

    def questions_of(self, image: str) -> list[Question]:
        """The questions about one image."""
        return ask(self.scene(image), self._draws(image, QUESTIONS), image)

    def open_image(self, image: str) -> Image:
        """The image of that id; raises ImageError."""
        side = self._draws(image, SIDE).between(*self._look.side)
        return render(self.scene(image), self._draws(image, NOISE), side)

    def scene(self, image: str) -> Scene:
        """What the image of that id shows; raises ImageError."""
        draws = self._draws(image, LAYOUT)
        split = image.partition("/")[0]
        while split_of(scene := self._look.draw(draws)) != split:
            pass
        return self._look.with_background(scene, self._draws(image, BACKGROUND))

    def captions_of(self, image: str) -> list[Caption]:
        """Five captions of one image; phrases about things have their boxes."""
        sentences = captions(self.scene(image), self._draws(image, CAPTIONS))
        return [Caption(f"{image}#{n}", image, said.text, said.phrases) for n, said in enumerate(sentences)]

    def phrases(self, image: str) -> PhrasedSentence:
        """A sentence about the image whose phrases have boxes; what each says is true of nothing else there."""
        return self.phrased(image, 1)[0]

    def phrased(self, image: str, count: int) -> list[PhrasedSentence]:
        """So many sentences as `phrases` gives, that first, no two alike; every scene has four at least."""
        scene, draws = self.scene(image), self._draws(image, PHRASES)
        found: dict[str, PhrasedSentence] = {}
        while len(found) < count:
            sentence = phrased_sentence(scene, draws)
            found.setdefault(sentence.text, sentence)
        return list(found.values())

    def is_true(self, image: str, caption: str) -> bool:
        """Whether the caption is whole and all that it says holds in the image's scene; raises ImageError."""
        return is_true(caption, self.scene(image))

    def _questions(self, split: str) -> tuple[Question, ...]:
        images = self.images(split)
        if split not in self._asked:
            self._asked[split] = tuple(question for image in images for question in self.questions_of(image))
        return self._asked[split]

    def _captions(self, split: str) -> tuple[Caption, ...]:
        images = self.images(split)
        if split not in self._captioned:
            self._captioned[split] = tuple(caption for image in images for caption in self.captions_of(image))
        return self._captioned[split]

    def _draws(self, image: str, purpose: int) -> Draws:
        split, _, number = image.partition("/")
        size = self._sizes.get(split, 0)
        if not number.isdecimal() or int(number) >= size or image != f"{split}/{int(number):05d}":
            known = ", ".join(f"{name}/00000 to {name}/{size - 1:05d}" for name, size in self._sizes.items() if size)
            raise ImageError(f"scenes has no image {image!r}; it has {known or 'none'}")
        return Draws(self._seed, SPLITS.index(split), int(number), purpose)


class PhrasedScenes(Scenes):
    """Scenes to ground phrases on: an image's captions are three sentences whose phrases single out what they mean.

    Of the captions of `Scenes` many phrases fit other things too, as "a red circle" where there are two. The images and
    questions are the same.
    """

    def captions_of(self, image: str) -> list[Caption]:
        """Three sentences about one image; all that things are called is true of nothing else there."""
        sentences = self.phrased(image, SENTENCES)
        return [Caption(f"{image}#{n}", image, said.text, said.phrases) for n, said in enumerate(sentences)]


def split_of(scene: Scene) -> str:
    """The only split that may hold this arrangement of things, by a hash: so no two splits share one, for any seed."""
    things = sorted((thing.shape, thing.color, thing.size, thing.x, thing.y) for thing in scene.things)
    tenth = int.from_bytes(blake2b(repr(things).encode(), digest_size=8).digest(), "little") % 10
    return next(split for split in SPLITS if (tenth := tenth - SHARES[split]) < 0)


def write_scenes(
    out: Path,
    *,
    images: int,
    seed: int = 0,
    look: Look | None = None,
    without: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write scenes as own data, PNG files and JSON Lines, eight tenths for training; how many of what were written.

    Questions of the types in `without` are left out. The folder appears when it is complete. A run that was killed
    leaves only `.<name>.partial` beside it, which the next run replaces. `progress` hears after each image how many of
    how many are done. Raises DataError when `out` exists and is not an empty folder, when fewer than 3 images are asked
    for, when no type of question is left, and when the disk refuses; UnknownNameError for a type that there is not.
    """
    for kind in without:
        look_up(KINDS, kind, "type of question")
    if set(without) >= set(KINDS):
        raise DataError(f"expected a type of question to be left, but all are to be left out: {', '.join(KINDS)}")
    if images < 3:
        raise DataError(f"expected at least 3 images, one for each split, got {images}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("exists already and is not an empty folder; name another, or remove it", out)
    partial = out.absolute().with_name(f".{out.absolute().name}.partial")
    tenth = max(1, images // 10)
    scenes = Scenes(seed=seed, train=images - 2 * tenth, val=tenth, test=tenth, look=look)
    options = {"images": images, "seed": seed, **asdict(look or Look()), "without": sorted(set(without))}
    try:
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "images").mkdir(parents=True)
        counts = _write(partial, scenes, without, images, progress)
        (partial / OPTIONS).write_text(json.dumps(options) + "\n", encoding="utf-8", newline="\n")
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise DataError(f"cannot be written ({error.strerror or error}); choose another folder", out) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return counts


def written_background(folder: Path | str) -> str | None:
    """What is behind the things of the scenes that were written into a folder; None where none were, as far as seen."""
    try:
        background = json.loads((Path(folder) / OPTIONS).read_text(encoding="utf-8"))["background"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return background if isinstance(background, str) else None


def _write(
    folder: Path, scenes: Scenes, without: Sequence[str], total: int, progress: Callable[[int, int], None] | None
) -> dict[str, int]:
    counts = {"images": 0, "questions": 0, "captions": 0, "sentences": 0}
    for split in SPLITS:
        questions: list[dict[str, Any]] = []
        captioned: list[dict[str, Any]] = []
        sentences: list[dict[str, Any]] = []
        for image in scenes.images(split):
            name = f"images/{counts['images']:05d}.png"
            scenes.open_image(image).save(folder / name)
            questions += (
                {"image": name, "question": q.text, "answers": q.answers, "type": q.kind, "boxes": q.boxes}
                for q in scenes.questions_of(image)
                if q.kind not in without
            )
            captioned.append({"image": name, "captions": [caption.text for caption in scenes.captions_of(image)]})
            sentence = scenes.phrases(image)
            phrases = [{"words": p.words, "boxes": p.boxes, "types": p.kinds} for p in sentence.phrases]
            sentences.append({"image": name, "sentence": sentence.text, "phrases": phrases})
            counts["images"] += 1
            if progress is not None:
                progress(counts["images"], total)
        _write_lines(folder / f"{split}.jsonl", questions)
        _write_lines(folder / f"captions_{split}.jsonl", captioned)
        _write_lines(folder / f"phrases_{split}.jsonl", sentences)
        counts["questions"] += len(questions)
        counts["captions"] += sum(len(record["captions"]) for record in captioned)
        counts["sentences"] += len(sentences)
    return counts


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
