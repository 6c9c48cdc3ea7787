"""The commands that make photographs searchable, and search them: index, search."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from saccade.index.engine import EngineConfig
from saccade.metrics.units import percentage


@dataclass(frozen=True)
class MakeIndex:
    """Make a folder of photographs searchable by a run that matches, or bring an index up to date with its folder.

    Photographs that are new or changed are added, and those that are gone removed. Killed and started again, it goes on
    where it was.
    """

    run_directory: Annotated[str, tyro.conf.arg(metavar="RUN"), tyro.conf.Positional]
    """Run directory, or hub:OWNER/NAME, a repository of the Hugging Face hub."""
    photographs: Annotated[str | None, tyro.conf.arg(metavar="PHOTOS"), tyro.conf.Positional] = None
    """Folder of photographs, searched with its subfolders and the folders it links to; a file that lists them (.txt
    with a path a line, .jsonl, .csv); or the URL of a folder that fsspec opens, as in s3://bucket/photos."""
    sentences: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Index sentences instead, to be searched by images: a file of lines of text, or JSON Lines with captions."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="INDEX")] = None
    """Folder of the index; by default indexes/NAME, by the name of the folder or file."""
    config: Annotated[EngineConfig, tyro.conf.arg(name="")] = field(default_factory=EngineConfig)
    """Which engine keeps the embeddings."""
    batch_size: int | None = None
    """Photographs at a time; by default 8 on a CPU and 64 elsewhere."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    device: str | None = None
    """Where to compute: cpu, cuda, cuda:1, mps; by default the first GPU, or the CPU where there is none."""
    ray: str | None = None
    """Share the work through Ray: `local` starts it on this machine, `auto` joins the cluster that the machine is a
    part of, else the cluster's address."""
    json: bool = False
    """Print the counts as one JSON object and nothing else."""

    def run(self) -> None:
        """Index and say what was done."""
        from saccade.clusters import ray_cluster
        from saccade.console import ConsoleReport
        from saccade.errors import RecipeError
        from saccade.index.embedder import Embedder
        from saccade.index.photographs import index_photographs
        from saccade.index.sentences import index_sentences
        from saccade.sharing import processes

        if (self.photographs is None) == (self.sentences is None):
            raise RecipeError("index: expected a folder of photographs, or a file with --sentences, one of the two")
        source = self.photographs or str(self.sentences)
        place = Path(source).resolve() if Path(source).exists() else Path(source.rstrip("/"))
        out = self.out or Path("indexes") / place.name
        config, moved = None if self.config == EngineConfig() else self.config, self.out is not None
        shared = ray_cluster(self.ray, self.device) if self.ray else processes()
        with shared as workers, ConsoleReport() as report:
            embedder = Embedder(self.run_directory, weights=self.weights, device=workers.device or self.device)
            if self.sentences is None:
                update = index_photographs(
                    embedder,
                    source,
                    out,
                    config,
                    moved=moved,
                    batch_size=self.batch_size,
                    workers=workers,
                    report=report,
                )
            elif workers.is_first:
                update = index_sentences(embedder, self.sentences, out, config, moved=moved, report=report)
        if not workers.is_first:
            return
        if self.json:
            print(json.dumps(update.to_dict()))
            return
        print(f"{update}; in {out}")
        what = "--image FILE" if self.sentences else '"two dogs run in the snow"'
        print(f"Search it: saccade search {out} {what}")


@dataclass(frozen=True)
class Search:
    """Search an index of photographs by words, by an image, or by both; an index of sentences by an image."""

    index: Annotated[Path, tyro.conf.arg(metavar="INDEX"), tyro.conf.Positional]
    """Folder of the index."""
    text: Annotated[str, tyro.conf.arg(metavar="TEXT"), tyro.conf.Positional] = ""
    """What to look for, in quotes."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Look for what is like this image."""
    text_weight: float = 1.0
    """With both: how much the text counts."""
    image_weight: float = 1.0
    """With both: how much the image counts."""
    top: int = 10
    """How many to show."""
    by_chance: float = 3.0
    """Mark as unlikely the hits of which more than so many are expected for a sentence about something else."""
    explain: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the hits, where the model looked in each and what it read, into this .html, .png or .jpg file."""
    run_directory: Annotated[str | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """The run that the index was made with, where it has moved."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """The backbone's weights file, where it has moved since training."""
    device: str | None = None
    """Where to compute: cpu, cuda, cuda:1, mps; by default the first GPU, or the CPU where there is none."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Search and print the hits."""
        from saccade.explain.files import check_suffix, save
        from saccade.index.searching import NOTHING, Query, Searcher

        if self.explain is not None:
            check_suffix(self.explain)
        query = Query(self.text, self.image, self.text_weight, self.image_weight)
        with Searcher(self.index, run=self.run_directory, weights=self.weights, device=self.device) as searcher:
            hits = searcher.search(query, top=self.top, by_chance=self.by_chance)
            unknown = searcher.unread(query)
            if self.explain is not None:
                save(searcher.figure(query, hits), self.explain)
        if unknown:
            print(f"Words never seen in training, ignored: {', '.join(unknown)}", file=sys.stderr)
        if self.json:
            print(json.dumps({"query": query.title, "unknown_words": unknown, "hits": [hit.to_dict() for hit in hits]}))
            return
        if all(hit.unlikely for hit in hits):
            print(NOTHING)
        for hit in hits:
            share = "" if hit.share is None else f"{percentage(hit.share):>9}"
            print(f"{share}  {hit.score:8.4f}  {hit.file or hit.id}{'  unlikely' if hit.unlikely else ''}")
        if self.explain is not None:
            print(f"Attention drawn in {self.explain}")
