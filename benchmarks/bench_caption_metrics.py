"""Scoring captions, tokenisation and every metric but METEOR and SPICE, against pycocoevalcap.

    python benchmarks/bench_caption_metrics.py [--images 5000] [--captions Flickr8k.token.txt]

One result and five references for each of so many images, the same strings for both sides:

    pycocoevalcap   PTBTokenizer of the references, then of the results, each starting Java, as in its eval.py; then
                    Bleu(4), Rouge and Cider
    saccade         tokenize, then the same metrics, those without brevity penalty and the shares of words

Every part runs once, in this process, Saccade's first, so that it remembers no word; the whole of Saccade is once more
`caption_metrics` with its memory emptied. Metrics must agree to 1e-6. Half of the results are captions of other images,
half are the images' own first captions with two words swapped. Without a file of captions they are sentences of a
thousand made-up words. Needs Java and saccade-attention[java]. Writes benchmarks/results/caption-metrics-cpu.csv.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from saccade.metrics import ptb
from saccade.metrics.bleu import bleu_scores
from saccade.metrics.caption import caption_metrics
from saccade.metrics.cider import cider_d
from saccade.metrics.ngrams import count_ngrams
from saccade.metrics.rouge import rouge_l

REFERENCES, WORDS = 5, 1000
COLUMNS = ["part", "pycocoevalcap s", "saccade s", "share"]


@dataclass(frozen=True)
class Options:
    images: int = 5000
    """Images, each with one result and five references."""

    captions: Path | None = None
    """Flickr8k.token.txt, or another file of lines "image#number<tab>caption"."""

    results: Path = Path(__file__).parent / "results"
    """Where the table goes."""


def references_of(options: Options) -> dict[str, list[str]]:
    """The references by image: real ones, or sentences with a period, their words drawn by Zipf's law."""
    draw = random.Random(0)
    if options.captions is None:
        words = ["".join(draw.choices("aeioulnrstbd", k=draw.randint(2, 8))) for _ in range(WORDS)]
        shares = [1 / rank for rank in range(1, WORDS + 1)]
        sentences = (" ".join(draw.choices(words, shares, k=draw.randint(6, 15))) for _ in iter(int, 1))
        return {str(i): [f"A {next(sentences)}." for _ in range(REFERENCES)] for i in range(options.images)}
    by_image: dict[str, list[str]] = {}
    for line in options.captions.read_text(encoding="utf-8").splitlines():
        name, _, caption = line.partition("\t")
        by_image.setdefault(name.split("#")[0], []).append(caption)
    return {image: by_image[image][:REFERENCES] for image in list(by_image)[: options.images]}


def results_for(references: dict[str, list[str]]) -> dict[str, str]:
    draw = random.Random(1)
    images = list(references)
    results = {}
    for i, image in enumerate(images):
        words = references[image if i % 2 else draw.choice(images)][0].split()
        words[1:3] = words[2:0:-1]
        results[image] = " ".join(words)
    return results


def main(options: Options) -> None:
    references = references_of(options)
    results = results_for(references)
    assert len(results) == options.images
    assert all(len(group) == REFERENCES for group in references.values())
    ours, ours_took = by_saccade(results, references)
    theirs, theirs_took = by_pycocoevalcap(results, references)
    assert np.allclose(ours, theirs, rtol=0, atol=1e-6), (ours, theirs)
    rows = []
    for part, seconds in theirs_took.items():
        values = [f"{seconds:.2f}", f"{ours_took[part]:.2f}", f"{ours_took[part] / seconds:.3f}"]
        rows.append(dict(zip(COLUMNS, [part, *values], strict=True)))
        print("  ".join(f"{column} {value}" for column, value in rows[-1].items()))
    options.results.mkdir(exist_ok=True)
    with (options.results / "caption-metrics-cpu.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def by_saccade(results: dict[str, str], references: dict[str, list[str]]) -> tuple[list[float], dict[str, float]]:
    """BLEU-1 to 4, ROUGE-L and CIDEr, and the seconds that each part took."""
    took: dict[str, float] = {}
    captions, groups = timed(
        took,
        "tokens",
        lambda: (
            [ptb.tokenize(caption) for caption in results.values()],
            [[ptb.tokenize(caption) for caption in references[image]] for image in results],
        ),
    )
    counted = timed(took, "bleu", lambda: count_ngrams(captions, groups))
    counting = took["bleu"]  # BLEU is charged with what CIDEr shares
    bleu = timed(took, "bleu", lambda: bleu_scores(counted))
    took["bleu"] += counting
    rouge = timed(took, "rouge_l", lambda: np.mean([rouge_l(*pair) for pair in zip(captions, groups, strict=True)]))
    cider = timed(took, "cider", lambda: cider_d(counted).mean())
    ptb._words.cache_clear()
    scores = timed(took, "all", lambda: caption_metrics(results, references))
    found = [*(bleu[f"bleu_{n}"] for n in range(1, 5)), float(rouge), float(cider)]
    assert found == [*(scores[f"bleu_{n}"] for n in range(1, 5)), scores["rouge_l"], scores["cider"]]
    return found, took


def by_pycocoevalcap(results: dict[str, str], references: dict[str, list[str]]) -> tuple[list[float], dict[str, float]]:
    """The same of pycocoevalcap; its whole is the sum of its parts."""
    took: dict[str, float] = {}
    tokenizer = PTBTokenizer()
    by_image = {image: [{"caption": caption} for caption in group] for image, group in references.items()}
    generated = {image: [{"caption": caption}] for image, caption in results.items()}
    truth, said = timed(took, "tokens", lambda: (tokenizer.tokenize(by_image), tokenizer.tokenize(generated)))
    bleu, _ = timed(took, "bleu", lambda: Bleu(4).compute_score(truth, said, verbose=0))
    rouge, _ = timed(took, "rouge_l", lambda: Rouge().compute_score(truth, said))
    cider, _ = timed(took, "cider", lambda: Cider().compute_score(truth, said))
    took["all"] = sum(took.values())
    return [*bleu, float(rouge), float(cider)], took


def timed(took: dict[str, float], part: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    done = work()
    took[part] = time.perf_counter() - start
    return done


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
