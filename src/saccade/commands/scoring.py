"""The command that scores a result file by itself: score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from saccade.console import print_metrics


@dataclass(frozen=True)
class Score:
    """Score a result file against its references, as the official evaluation does."""

    task: Annotated[
        Literal["vqa", "captions", "retrieval", "grounding"], tyro.conf.arg(metavar="TASK"), tyro.conf.Positional
    ]
    """vqa: answers to the questions of VQA v1 or v2; captions: of images; retrieval: images and sentences by each
    other; grounding: boxes of phrases."""
    results: Annotated[Path, tyro.conf.arg(metavar="RESULTS"), tyro.conf.Positional]
    """Result file in the official format; captions may also be plain text, one a line. retrieval: .npy, similarities
    [images, sentences], or the images' embeddings. grounding: .json or .jsonl, an object for each sentence, with
    image_id, sentence_id and boxes."""
    references: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="REFERENCES"), tyro.conf.Positional] = ()
    """vqa: the question file and the annotation file. captions: a COCO annotation file, or plain text files of as many
    lines as the results, line i of each about image i. retrieval: none, or the sentences' embeddings, .npy. grounding:
    a folder of Flickr30k Entities, or a JSON Lines file of sentences with phrases."""
    captions_per_image: int = 5
    """retrieval: how many sentences each image has; they stand in the order of their images."""
    folds: int = 1
    """retrieval: score the images in so many equal parts, each by itself, and give the means; 5 is COCO's 1K."""
    java: bool = False
    """captions: METEOR and SPICE as well, which need Java and saccade-attention[java]."""
    split: Annotated[str | None, tyro.conf.arg(metavar="SPLIT")] = None
    """grounding, Flickr30k Entities: score all images that SPLIT.txt names; by default those of the results."""
    unit: Literal["pixels", "fractions"] | None = None
    """grounding: what boxes are in, pixels of the original photograph or fractions of its width and height; by default
    pixels with Flickr30k Entities, fractions with own sentences."""
    missing: Literal["error", "miss"] = "error"
    """grounding: what phrases and sentences are that the results lack: an error, or misses, counted."""
    json: bool = False
    """Print the metrics as one JSON object and nothing else."""

    def run(self) -> None:
        """Score and print the metrics."""
        metrics = self._metrics()
        if self.json:
            print(json.dumps(metrics))
        else:
            print_metrics(metrics)

    def _metrics(self) -> dict[str, Any]:
        from saccade.errors import RecipeError
        from saccade.score import score_captions, score_grounding, score_retrieval, score_vqa

        if self.task == "retrieval":
            files = (self.results, *self.references)
            return dict(score_retrieval(files, self.captions_per_image, folds=self.folds))
        if self.task == "captions":
            if not self.references:
                raise RecipeError("score captions: expected RESULTS REFERENCES..., got one file")
            return score_captions(self.results, self.references, java=self.java)
        if self.task == "grounding":
            if len(self.references) != 1:
                raise RecipeError(
                    f"score grounding: expected RESULTS ANNOTATIONS, got {1 + len(self.references)} files"
                )
            annotations = self.references[0]
            scores = score_grounding(self.results, annotations, split=self.split, unit=self.unit, missing=self.missing)
            return dict(scores)
        if len(self.references) != 2:
            raise RecipeError(
                f"score vqa: expected RESULTS QUESTIONS ANNOTATIONS, got {1 + len(self.references)} files"
            )
        return score_vqa(self.results, *self.references)
