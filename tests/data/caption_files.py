"""Writes tiny corpora of captions in the official formats of Flickr8k, Karpathy, COCO and Flickr30k Entities."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

COLORS = ("red", "green", "blue", "yellow")
CAPTIONS = 5
FLICKR_SPLITS = {"train": "trainImages", "val": "devImages", "test": "testImages"}


def draw(path: Path, number: int = 0) -> None:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 5), COLORS[number % len(COLORS)]).save(path)


def captions_about(number: int, count: int = CAPTIONS) -> list[str]:
    """Captions of a picture that tell its colour."""
    color = COLORS[number % len(COLORS)]
    wordings = ("A {} picture .", "the picture is {}", "all of it is {} .", "Something {} .", "{}", "a wall painted {}")
    return [wordings[n % len(wordings)].format(color) for n in range(count)]


def write_flickr8k(folder: Path, *, train: int = 13, val: int = 3, test: int = 0, images: bool = True) -> Path:
    """The folder of a Flickr8k with so many images in each split; no test file where it has none."""
    text, lines, number = folder / "Flickr8k_text", [], 0
    text.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": train, "val": val, "test": test}.items():
        names = []
        for _ in range(count):
            names.append(f"{1000 + number}_{number:010x}.jpg")
            lines += [f"{names[-1]}#{n}\t{said}" for n, said in enumerate(captions_about(number))]
            if images:
                draw(folder / "Flicker8k_Dataset" / names[-1], number)
            number += 1
        if names:
            (text / f"Flickr_8k.{FLICKR_SPLITS[split]}.txt").write_text("\n".join(names) + "\n")
    (text / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return folder


def karpathy_entry(number: int, split: str, captions: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
    """An image of Karpathy's files."""
    texts = captions_about(number) if captions is None else captions
    sentences = [{"tokens": t.split(), "raw": t, "imgid": number, "sentid": 5 * number} for t in texts]
    return {"filename": f"{number}.jpg", "imgid": number, "split": split, "sentences": sentences, **more}


def coco_entry(number: int, split: str, captions: Sequence[str] | None = None) -> dict[str, Any]:
    """An image of Karpathy's COCO."""
    subset = "train2014" if split == "train" else "val2014"
    name = f"COCO_{subset}_{number:012d}.jpg"
    return karpathy_entry(number, split, captions, filename=name, filepath=subset, cocoid=number)


def write_karpathy(folder: Path, corpus: str, entries: Sequence[Any], images: str | None = "images") -> Path:
    """Karpathy's file of those entries, and their images in the folder named."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"dataset_{corpus}.json").write_text(json.dumps({"images": entries, "dataset": corpus}))
    for entry in entries if images is not None else ():
        draw(folder / images / entry.get("filepath", "") / entry["filename"], entry["imgid"])
    return folder


def write_coco(
    folder: Path, year: int = 2014, numbers: Mapping[str, Sequence[int]] | None = None, captions: int = CAPTIONS
) -> Path:
    """COCO's captions of those images, in turn as an annotator might give them, and the images."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split, images in (numbers or {"train": range(9, 9 + 13), "val": (42, 73)}).items():
        names = {n: f"COCO_{split}{year}_{n:012d}.jpg" if year == 2014 else f"{n:012d}.jpg" for n in images}
        for number, name in names.items():
            draw(folder / f"{split}{year}" / name, number)
        said = [(number, captions_about(number, captions)[turn]) for turn in range(captions) for number in images]
        document = {
            "images": [{"id": number, "file_name": name} for number, name in names.items()],
            "annotations": [{"image_id": n, "id": place, "caption": text} for place, (n, text) in enumerate(said)],
        }
        (folder / "annotations" / f"captions_{split}{year}.json").write_text(json.dumps(document))
    return folder


def entity_xml(
    objects: Mapping[str, Sequence[tuple[int, int, int, int]]],
    size: tuple[int, int] = (400, 200),
    boxless: Sequence[str] = (),
) -> str:
    """The boxes of entities, by number; one without boxes is a scene, and no scene where it is among the boxless."""
    items = []
    for name, boxes in objects.items():
        for box in boxes:
            corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
            items.append(f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>")
        if not boxes:
            items.append(f"<object><name>{name}</name><scene>1</scene><nobndbox>1</nobndbox></object>")
    items += [f"<object><name>{name}</name><scene>0</scene><nobndbox>1</nobndbox></object>" for name in boxless]
    width, height = size
    head = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{head}{''.join(items)}</annotation>"


def write_entities(folder: Path, splits: Mapping[str, Sequence[str]], images: str | None = "images") -> Path:
    """Flickr30k Entities of those images: a phrase with a box, one with two, one that is a scene."""
    for name in ("Sentences", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sentences = [
        "[/EN#18/people A child] in [/EN#19/clothing a pink dress] .",
        "[/EN#18/people The girl] climbs in [/EN#21/scene the yard] .",
        "It is [/EN#19/clothing pink] .",
        "[/EN#0/notvisual It] is a day .",
        "[/EN#18/people/animals A child]'s day",
    ]
    for split, numbers in splits.items():
        (folder / f"{split}.txt").write_text("\n".join(numbers) + "\n")
        for number in numbers:
            (folder / "Sentences" / f"{number}.txt").write_text("\n".join(sentences) + "\n")
            xml = entity_xml({"18": [(1, 1, 100, 200)], "19": [(41, 21, 80, 60), (201, 1, 400, 100)], "21": []})
            (folder / "Annotations" / f"{number}.xml").write_text(xml)
            if images is not None:
                draw(folder / images / f"{number}.jpg")
    return folder
