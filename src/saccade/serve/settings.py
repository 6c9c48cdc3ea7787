"""What a server is told when it starts: where it listens, who may use it, and how much of anything it takes."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1_000_000
# The formats that are taken, by the names that Pillow has for them and by those that people read.
FORMATS = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "GIF": "GIF"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of a server, and its token."""

    token: str | None = None
    """What a request must know, where it must know something."""
    upload: int = 20 * MEGABYTE
    """Bytes of an image, at most."""
    pixels: int = 50_000_000
    """Pixels of an image, at most: told from its header, before anything is decoded."""
    keep: float = 600.0
    """Seconds that an image is kept which nobody asks about."""
    kept_bytes: int = 256 * MEGABYTE
    """Bytes of all images that are kept; beyond them the one goes that was used longest ago."""
    kept_images: int = 64
    """How many images are kept, likewise."""
    arriving: int = 160 * MEGABYTE
    """Bytes of bodies that are read, and of images that wait to be decoded, at a time."""
    queue: int = 64
    """Requests that wait for the models, at most."""
    text: int = 1_000
    """Characters of a question, a sentence, the words that a caption begins with, or a phrase."""
    phrases: int = 32
    """Phrases to find in a sentence."""
    numbers: int = 1_024
    """Regions or words that are taken away."""
    top: int = 100
    """Answers, or hits of a search; captions are at most as many as the beam."""
    beam: int = 20
    """Hypotheses kept while a caption is searched for."""
    json: int = 128_000
    """Bytes of a JSON body, which holds no image."""
    body_seconds: float = 60.0
    """In which a whole body must have come, and what is sent be taken up to where the next part goes out."""
    header_seconds: float = 10.0
    """In which the first byte of a request and the last of its headers must have come."""
    header_bytes: int = 32_768
    """Of a request's first line and its headers."""
    connections: int = 256
    """Connections at a time."""
    stop_seconds: float = 5.0
    """In which what is under way may still be answered when the server stops."""
