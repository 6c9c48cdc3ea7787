"""What grouping the questions of an image gains: a training step of every answering model, grouped and not, in one run.

    python benchmarks/bench_grouping.py

128 questions about 16 images of 196 regions of 1,280, as MobileNetV2 gives them at 448 pixels; models at their paper's
sizes. The gradients of the two are compared first. Writes benchmarks/results/grouping-<device>-<torch>.csv.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

import torch
import tyro

from saccade.models import MODELS, create_model, output_of
from saccade.types import Answers, Grouping, Regions, Words

IMAGES, QUESTIONS, REGIONS, SIZE, WORDS, VOCABULARY, ANSWERS = 16, 128, 196, 1280, 16, 5000, 1000


def main(device: str = "cpu", seconds: float = 10.0) -> None:
    """Measure and write the table."""
    torch.manual_seed(0)
    image = torch.arange(QUESTIONS, device=device) // (QUESTIONS // IMAGES)
    features = torch.randn(IMAGES, REGIONS, SIZE, device=device)
    mask = torch.ones(IMAGES, REGIONS, dtype=torch.bool, device=device)
    corners = torch.rand(2, IMAGES, REGIONS, 2, device=device)
    boxes = torch.cat([corners.amin(0), corners.amax(0)], dim=2)
    ids = torch.randint(2, VOCABULARY, (QUESTIONS, WORDS), device=device)
    words = Words(ids, torch.ones_like(ids, dtype=torch.bool))
    kinds = {
        "grouped": Regions(features, mask, boxes, grouping=Grouping.of(image)),
        "not grouped": Regions(features[image], mask[image], boxes[image]),
    }
    rows = []
    for name in (each for each in MODELS if output_of(each) is Answers):
        sizes = {"num_words": VOCABULARY, "num_answers": ANSWERS, "region_size": SIZE, "num_regions": REGIONS}
        model = create_model(name, **sizes).to(device)
        gradients = []
        for regions in kinds.values():
            model.eval().zero_grad()
            model(regions, words, attention=False).logits.square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in model.parameters()])
        largest = max(float(gradient.abs().max()) for gradient in gradients[1])
        torch.testing.assert_close(*gradients, atol=1e-5 * largest, rtol=1e-2)  # sums are in another order
        model.train()
        for kind, regions in kinds.items():
            started, runs = time.perf_counter(), 0
            while runs < 3 or time.perf_counter() - started < seconds:
                model(regions, words, attention=False).logits.sum().backward()
                model.zero_grad()
                if device == "cuda":
                    torch.cuda.synchronize()
                runs += 1
            spent = (time.perf_counter() - started) / runs / QUESTIONS
            rows.append((name, kind, round(1000 * spent, 3), round(1 / spent, 1)))
    head = ("model", "batch", "ms_per_question", "questions_per_second")
    path = Path(__file__).parent / "results" / f"grouping-{device}-{torch.__version__.split('+')[0]}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    for row in (head, *rows):
        print("{:16} {:12} {:>16} {:>22}".format(*map(str, row)))


if __name__ == "__main__":
    tyro.cli(main)
