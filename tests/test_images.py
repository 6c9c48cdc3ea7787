from __future__ import annotations

import io
import os
import re
import shutil
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.errors import ImageError, SaccadeWarning
from saccade.images import MAX_PIXELS, find_images, open_image, read_image, to_rgb


@pytest.fixture
def picture() -> Image.Image:
    """A smooth picture 31 wide and 17 high: redder to the right, greener to the bottom."""
    y, x = np.mgrid[0:17, 0:31]
    return Image.fromarray(np.stack((8 * x, 15 * y, 0 * x + 60), -1).astype(np.uint8))


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
def test_a_colour_image_is_itself(tmp_path, picture, suffix):
    picture.save(tmp_path / f"a.{suffix}")
    opened = open_image(str(tmp_path / f"a.{suffix}"))
    assert opened.mode == "RGB"
    assert difference(opened, picture) <= (8 if suffix in ("jpg", "webp") else 0)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),  # shown turned clockwise: stored turned back
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_images_are_turned_upright(tmp_path, picture, orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.transpose(undo).save(tmp_path / "a.png", exif=exif)
    opened = open_image(tmp_path / "a.png")
    assert opened.size == (31, 17)
    assert difference(opened, picture) == 0


def test_transparency_lies_over_white(tmp_path):
    clear = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    clear.putpixel((1, 0), (255, 0, 0, 255))
    clear.putpixel((2, 0), (0, 0, 0, 128))
    clear.save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((1, 0)) == (255, 0, 0)
    assert opened.getpixel((2, 0)) == (127, 127, 127)


@pytest.mark.parametrize(("mode", "suffix"), [("P", "png"), ("LA", "png"), ("P", "gif"), ("L", "png")])
def test_transparent_colours_of_palettes_and_greys(tmp_path, mode, suffix):
    image = Image.new("RGBA" if mode == "LA" else "L", (3, 2), 0)
    options = {} if mode == "LA" else {"transparency": 0}
    image.convert(mode).save(tmp_path / f"a.{suffix}", **options)
    assert open_image(tmp_path / f"a.{suffix}").getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("CMYK", "jpg"), ("CMYK", "tif"), ("YCbCr", "jpg"), ("1", "png")]
)
def test_other_colour_spaces(tmp_path, picture, mode, suffix):
    picture.convert(mode).save(tmp_path / f"a.{suffix}")
    opened = open_image(tmp_path / f"a.{suffix}")
    assert (opened.mode, opened.size) == ("RGB", (31, 17))
    assert difference(opened, picture.convert(mode).convert("RGB")) < 8


@pytest.mark.parametrize(("kind", "suffix"), [("<u2", "png"), ("<u2", "tif"), (">u2", "tif")])
def test_sixteen_bits_of_grey_are_scaled_not_cut_off(tmp_path, kind, suffix):
    values = np.arange(12).reshape(3, 4) * 5000
    mode = "I;16B" if kind == ">u2" else "I;16"
    Image.frombytes(mode, (4, 3), values.astype(kind).tobytes()).save(tmp_path / f"a.{suffix}")
    opened = np.asarray(open_image(tmp_path / f"a.{suffix}"))
    assert np.array_equal(opened[..., 1], values // 257)


def png(width: int, height: int) -> bytes:
    """The head of a PNG file of that size, without a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [30_000, 10_001, 12_000])
def test_huge_images_are_refused_before_they_are_decoded(tmp_path, side):
    (tmp_path / "huge.png").write_bytes(png(side, side))  # decoding it would say that it is damaged
    with pytest.raises(ImageError, match=r"huge.png: .*limit of 100,000,000.*make the image smaller"):
        open_image(tmp_path / "huge.png")


def test_images_up_to_the_limit_pass_without_a_warning(tmp_path):
    assert MAX_PIXELS == 100_000_000
    Image.new("L", (9_800, 10_000)).save(tmp_path / "large.png", compress_level=1)  # Pillow would warn
    assert open_image(tmp_path / "large.png").size == (9_800, 10_000)


def test_bad_files_are_told_apart(tmp_path, picture):
    picture.resize((310, 170)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    (tmp_path / "text.jpg").write_text("Dear diary")
    (tmp_path / "empty.jpg").write_bytes(b"")
    expected = {
        "cut.jpg": "the image is damaged",
        "text.jpg": "not an image that Pillow can read",
        "empty.jpg": "not an image that Pillow can read",
        "gone.jpg": "no such image file",
        "": "expected an image file, this is a folder",
    }
    for name, message in expected.items():
        with pytest.raises(ImageError, match=re.escape(f"{tmp_path / name}: {message}")):
            open_image(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif", "bmp"])
def test_whatever_happens_to_a_file_it_opens_or_raises_an_image_error(tmp_path, picture, suffix):
    generator = np.random.default_rng(0)
    picture.save(tmp_path / f"a.{suffix}", exif=picture.getexif())
    data = (tmp_path / f"a.{suffix}").read_bytes()
    refused = 0
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[generator.integers(0, len(data), 5)] = generator.integers(0, 256, 5)
        (tmp_path / "damaged").write_bytes(damaged[: generator.integers(1, 2 * len(data))].tobytes())
        try:
            assert open_image(tmp_path / "damaged").mode == "RGB"
        except ImageError:
            refused += 1
    assert refused > 10


def test_threads_leave_the_warning_filters_alone(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [open_image(tmp_path / "a.png") for _ in range(40)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


class Pipe(io.RawIOBase):
    """A file that can be read once, from its beginning."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._data.readinto(buffer)


def sources(path):
    """A picture in every form that images are taken in."""
    data = path.read_bytes()
    opened = io.BytesIO(data)
    opened.seek(0, io.SEEK_END)  # as it is behind whoever wrote it
    return {
        "path": path, "text": str(path), "bytes": data, "bytearray": bytearray(data), "view": memoryview(data),
        "file": opened, "pipe": Pipe(data), "pillow": Image.open(path), "array": np.asarray(open_image(path)),
    }  # fmt: skip


def test_an_image_is_the_same_in_whatever_form_it_comes(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    expected = open_image(tmp_path / "a.png")
    for form, source in sources(tmp_path / "a.png").items():
        assert read_image(source).tobytes() == expected.tobytes(), form
        if form != "pipe":  # what was given stays open and as it was
            assert read_image(source).tobytes() == expected.tobytes(), form
    rgba = np.zeros((3, 2, 4), np.uint8)
    assert read_image(rgba).getpixel((0, 0)) == (255, 255, 255)


def test_arrays_of_bytes_and_of_fractions_and_tensors_are_the_same_image(picture):
    array = np.array(picture)
    for form in (array, array / 255, (array / 255).astype(np.float32), array[:, ::-1][:, ::-1]):
        assert read_image(form).tobytes() == picture.tobytes()
        tensor = torch.from_numpy(form.copy()).permute(2, 0, 1)
        assert read_image(tensor).tobytes() == picture.tobytes()
    learnt = torch.from_numpy(array / 255).permute(2, 0, 1).requires_grad_()
    assert read_image(learnt).tobytes() == picture.tobytes()
    half = read_image(learnt.to(torch.bfloat16))
    assert difference(half, picture) < 1


def test_arrays_of_greys_and_with_opacity_are_images(picture):
    greys = np.array(picture.convert("L"))
    expected = picture.convert("L").convert("RGB").tobytes()
    for form in (greys, greys[:, :, None], greys / 255, torch.from_numpy(greys), torch.from_numpy(greys)[None]):
        assert read_image(form).tobytes() == expected
    clear = np.zeros((3, 2, 4))
    assert read_image(clear).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(np.zeros((3, 5, 3), np.uint8)).size == (5, 3)  # what could be either is an array's rows first


def test_the_limit_and_the_errors_are_the_same_in_whatever_form_an_image_comes(tmp_path, picture):
    (tmp_path / "huge.png").write_bytes(png(12_000, 12_000))
    picture.resize((310, 170)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    for name, message in {"huge.png": "limit of 100,000,000", "cut.jpg": "the image is damaged"}.items():
        path = tmp_path / name
        data = path.read_bytes()
        for source in (path, data, io.BytesIO(data), Pipe(data)):
            with pytest.raises(ImageError, match=message):
                read_image(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file, pytest.raises(ImageError, match=rf"{name}: .*{message}"):
                read_image(file)
            with Image.open(path) as image, pytest.raises(ImageError, match=rf"{name}: .*{message}"):
                read_image(image)
        with pytest.raises(ImageError, match=f"^upload 3: .*{message}"):
            read_image(data, name="upload 3")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"Dear diary", "image: not an image that Pillow can read"),
        (b"", "image: not an image that Pillow can read"),
        (io.StringIO("Dear diary"), "image: expected a file opened in binary mode"),
        (np.zeros(3), r"image: expected an array \[height, width\] or \[height, width, 1, 3 or 4\], got \[3\]$"),
        (np.zeros((3, 2, 2), np.uint8), r"got \[3, 2, 2\]; channels come last: array.transpose\(1, 2, 0\)"),
        (np.zeros((0, 2, 3), np.uint8), r"got \[0, 2, 3\]"),
        (np.zeros((5, 2, 2, 3)), r"got \[5, 2, 2, 3\]; of a batch give a list of its images: list\(array\)"),
        (np.zeros((2, 2, 3), int), "expected uint8, or fractions from 0 to 1, got int64; numbers to 255 become uint8"),
        (np.zeros((2, 2), bool), "expected uint8, or fractions from 0 to 1, got bool"),
        (np.full((2, 2, 3), 2.5), "expected fractions from 0 to 1, got float64 from 2.5 to 2.5; divide"),
        (np.array([[-0.1, 0.5]]), "got float64 from -0.1 to 0.5; .* before it was normalised"),
        (np.full((2, 2), np.nan), "expected fractions from 0 to 1, got float64 from nan to nan"),
        (torch.zeros(2, 5, 3), r"expected a tensor .*, got \[2, 5, 3\]; a tensor's channels come first: .*permute"),
        (torch.zeros(4, 3, 2, 5), r"got \[4, 3, 2, 5\]; of a batch give a list of its images: list\(tensor\)"),
        (torch.zeros(3, 2, 5, dtype=torch.long), "expected uint8, or fractions from 0 to 1, got int64"),
        (io.IOBase(), "image: expected a path, bytes, .* got IOBase"),
    ],
)
def test_what_is_no_image_is_refused_saying_what_came(source, message):
    with pytest.raises(ImageError, match=message):
        read_image(source)


def test_threads_may_read_one_pillow_image(tmp_path, picture):
    picture.resize((1500, 900)).save(tmp_path / "a.png")
    expected = open_image(tmp_path / "a.png").tobytes()
    for _ in range(5):
        with Image.open(tmp_path / "a.png") as image, ThreadPoolExecutor(8) as pool:
            assert {read.tobytes() for read in pool.map(read_image, [image] * 8)} == {expected}


@pytest.mark.parametrize(
    ("values", "bytes_"),
    [
        ([0, 1, 128, 255], [0, 1, 128, 255]),  # 8 bits kept in 32
        ([0, 257, 40000, 65535], [0, 1, 156, 255]),  # 16 bits
        ([0, 65536, 1_000_000, 500_000], [0, 17, 255, 128]),
        ([-100, 0, 100, 50], [0, 128, 255, 191]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
        ([-7, -7, -7, -7], [0, 0, 0, 0]),
        ([0, 2**31 - 1, 2**30, 2**29], [0, 255, 128, 64]),
        ([0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),
        ([0.0, 0.1, 0.2, 0.3], [0, 26, 51, 76]),
        ([0.0, 64.0, 128.0, 255.0], [0, 64, 128, 255]),
        ([0.0, 0.5, 1.0, 2.5], [0, 51, 102, 255]),
        ([0.0, 1e30, 5e29, 2e29], [0, 255, 128, 51]),
        ([-1.0, 0.0, 1.0, 0.5], [0, 128, 255, 191]),
        ([np.nan, 1.0, np.inf, -np.inf], [0, 255, 255, 0]),
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_greys_of_32_bits_are_scaled_not_cut_off(tmp_path, values, bytes_, stored):
    kind = np.int32 if isinstance(values[0], int) else np.float32
    image = Image.fromarray(np.array(values, kind).reshape(2, 2))
    image.save(tmp_path / "a.tif")
    opened = np.asarray(open_image(tmp_path / "a.tif") if stored else to_rgb(image)).astype(int)
    assert np.abs(opened.reshape(-1, 3) - np.array(bytes_)[:, None]).max() <= 1


def test_whole_numbers_of_tiff_without_a_sign(tmp_path):
    values = np.array([[0, 2**32 - 1], [2**31, 2**30]], np.uint32)
    image = Image.fromarray(values.view(np.int32))
    image.save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    signed, unsigned = (struct.pack("<HHIHH", 339, 3, 1, kind, 0) for kind in (2, 1))
    assert signed in content
    (tmp_path / "a.tif").write_bytes(content.replace(signed, unsigned))
    assert np.asarray(open_image(tmp_path / "a.tif"))[..., 0].tolist() == [[0, 255], [128, 64]]


def test_a_dark_pgm_of_sixteen_bits_stays_dark(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([0, 200, 0, 100]))
    assert np.asarray(open_image(tmp_path / "a.pgm")).max() == 0


def test_greys_of_32_bits_are_turned_upright(tmp_path):
    Image.fromarray(np.arange(6, dtype=np.float32).reshape(2, 3)).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
    assert open_image(tmp_path / "a.tif").size == (2, 3)


SUFFIXES = (
    *("jpg", "jpeg", "jfif", "png", "apng", "bmp", "dib", "gif", "tif", "tiff", "webp", "avif", "ppm", "pgm", "pbm"),
    *("pnm", "jp2", "j2k", "jpx", "tga", "ico", "pcx", "qoi"),
)


def test_every_kind_of_picture_that_can_be_opened_is_found(tmp_path, picture):
    for suffix in SUFFIXES:
        picture.convert("1" if suffix == "pbm" else "RGB").save(tmp_path / f"a.{suffix}")
    (tmp_path / "b.PNG").write_bytes((tmp_path / "a.png").read_bytes())
    for name in ("train.jsonl", "store.h5", ".DS_Store", "Thumbs.db", "a.txt"):
        (tmp_path / name).write_text("x")
    names = find_images(tmp_path)
    assert names == sorted([*(f"a.{suffix}" for suffix in SUFFIXES), "b.PNG"])
    assert {open_image(tmp_path / name).mode for name in names} == {"RGB"}


def test_pictures_that_cannot_be_read_are_counted(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    for name in ("b.svg", "c.svg", "d.EPS", "e"):
        (tmp_path / name).write_text("x")
    with pytest.warns(
        SaccadeWarning, match=r"left out .*: 2 \.svg, 1 \.EPS, 1 without an ending; save them as"
    ) as warned:
        assert find_images(tmp_path) == ["a.png"]
    assert len(warned) == 1


@pytest.fixture
def linked(tmp_path, picture) -> Path:
    """A folder with links: to a folder outside, to one inside, around in a circle."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for path in (root / "a" / "1.png", outside / "deep" / "2.png", outside / "3.png", root / "4.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    (root / "a_link_first").symlink_to(root / "a")
    (root / "linked").symlink_to(outside)
    (root / "a" / "round").symlink_to(root)
    (outside / "back").symlink_to(root / "a")
    (outside / "deep" / "round").symlink_to(outside)
    (root / "5.png").symlink_to(outside / "3.png")
    return root


def test_linked_folders_are_searched_once_each(linked):
    assert find_images(linked) == ["4.png", "5.png", "a/1.png", "linked/3.png", "linked/deep/2.png"]
    assert find_images(linked / "linked") == [
        "3.png",
        "back/1.png",
        "back/round/4.png",
        "back/round/5.png",
        "deep/2.png",
    ]


def test_a_link_to_the_folder_around_and_links_to_nothing_are_told(linked):
    (linked / "up").symlink_to(linked.parent)
    (linked / "none.png").symlink_to(linked / "gone.png")
    with pytest.warns(SaccadeWarning) as warned:
        names = find_images(linked)
    assert len(names) == 5
    assert sorted(str(warning.message).partition("left out ")[2] for warning in warned) == [
        '1 links to a folder that this one lies in: "up"',
        '1 links to nothing: "none.png"',
    ]


def test_names_that_are_not_utf_8_are_named_and_left_out(tmp_path, picture):
    picture.save(tmp_path / "caf\u00e9.png")
    try:
        shutil.copy(tmp_path / "caf\u00e9.png", os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.warns(SaccadeWarning, match=r"left out 1 names that are not UTF-8: \"caf\\udce9\.png\"") as warned:
        assert find_images(tmp_path) == ["caf\u00e9.png"]
    str(warned[0].message).encode()


def test_folders_without_images(tmp_path):
    with pytest.raises(ImageError, match="no such folder of images"):
        find_images(tmp_path / "none")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ImageError, match=r"no image files in it; known endings are .*\.avif.*\.jfif"):
        find_images(tmp_path)
