"""Image files -> square RGB of 8 bits, whatever they hold."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from sets import draw, heard

from cgankd.errors import UserError
from cgankd.sources import pictures, places


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "RGB", (10, 20, 30), (10, 20, 30)),
        ("a.png", "L", 77, (77, 77, 77)),
        ("a.png", "1", 1, (255, 255, 255)),
        ("a.png", "RGBA", (10, 20, 30, 40), (10, 20, 30)),
        ("a.png", "LA", (50, 9), (50, 50, 50)),
        ("a.tif", "CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("a.bmp", "RGB", (1, 2, 3), (1, 2, 3)),
    ],
)
def test_every_kind_of_picture_becomes_square_rgb(name, mode, colour, expected, tmp_path):
    image = pictures.read(draw(tmp_path / name, colour, (21, 13), mode), 8)
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.broadcast_to(np.array(expected)[:, None, None], (3, 8, 8)))


def test_a_picture_of_the_right_size_keeps_its_bits(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(pictures.read(tmp_path / "a.png", 8), pixels.transpose(2, 0, 1))


def test_a_photograph_is_turned_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert pictures.read(tmp_path / "a.png", 8)[0, :, 0].tolist() == [0] * 4 + [200] * 4


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    start = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )
    data = b"IDAT" + zlib.compress(bytes(1000))
    (tmp_path / "a.png").write_bytes(
        start + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    )
    with pytest.raises(UserError, match="not a readable image"):
        pictures.read(tmp_path / "a.png", 8)


def test_formats_that_start_other_programs_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(UserError, match="not a readable image"):
        pictures.read(tmp_path / "a.png", 8)


# What is looked at before it is converted


def save(path, pixels: np.ndarray):
    Image.fromarray(pixels).save(path)
    return path


def read_all(*paths, size: int = 8) -> np.ndarray:
    images, rows = pictures.read_all(paths, size, skip_broken=False)
    assert rows.tolist() == list(range(len(paths)))
    return images


@pytest.mark.parametrize(
    ("dtype", "low", "high", "suffix"),
    [
        ("uint16", 0, 4095, "png"),
        ("uint16", 0, 65535, "png"),
        ("uint16", 30_000, 34_000, "tif"),
        ("int32", -500, 70_000, "tif"),
        ("float32", 0, 1, "tif"),
        ("float32", -3, 5, "tif"),
    ],
)
def test_pixels_of_more_than_8_bits_are_scaled_by_the_range_of_all_files(
    dtype, low, high, suffix, tmp_path, monkeypatch
):
    said = heard(monkeypatch, "say")
    values = np.linspace(low, high, 128).reshape(2, 8, 8).astype(dtype)
    paths = [save(tmp_path / f"{i}.{suffix}", part) for i, part in enumerate(values)]
    images = read_all(*paths)
    expected = np.rint((values.astype(float) - low) * 255 / (high - low))
    for channel in range(3):
        np.testing.assert_allclose(images[:, channel], expected, atol=1)
    assert images[0].max() < 130 <= images[1].max() == 255, "not each by its own range"
    (text,) = [text for text in said if "8 bits" in text]  # beside how far reading has come
    assert f"2 images have more than 8 bits (the first: {paths[0]})" in text
    assert f"{low:g} to {high:g}, become 0 to 255" in text


def test_one_by_one_pictures_are_as_all_together_once_their_range_is_known(tmp_path):
    values = np.linspace(100, 4000, 128).reshape(2, 8, 8).astype(np.uint16)
    deep = [save(tmp_path / f"{i}.png", part) for i, part in enumerate(values)]
    plain, bad = draw(tmp_path / "plain.jpg", size=(21, 13)), tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    span = pictures.span_of([plain, *deep, bad])
    assert span == (100, 4000)
    assert pictures.span_of([plain]) is None
    *images, fault = pictures.read_each([plain, *deep, bad], 8, span)
    assert np.array_equal(images, read_all(plain, *deep))
    assert "bad.png: not a readable image" in str(fault)
    image, unknown, _ = pictures.read_each([plain, *deep], 8, None)
    assert np.array_equal(image, images[0])
    assert "what is black and white in it is not known" in str(unknown)


def test_images_of_8_bits_among_deeper_ones_stay_as_they_are(tmp_path):
    plain = np.arange(64, dtype=np.uint8).reshape(8, 8)
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
    first, second = read_all(save(tmp_path / "a.png", plain), save(tmp_path / "b.png", deep))
    assert np.array_equal(first[0], plain)
    assert (second.min(), second.max()) == (0, 255)


def test_pixels_that_are_no_numbers_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", np.full((8, 8), np.nan, np.float32))
    with pytest.raises(UserError, match="pixels that are no numbers"):
        read_all(path)


@pytest.mark.parametrize(
    ("colour", "behind"), [(0, 255), (60, 255), (200, 0), (255, 0)], ids=lambda value: str(value)
)
def test_a_shape_that_lives_in_the_transparency_is_put_on_what_contrasts(colour, behind, tmp_path):
    shape = np.zeros((8, 8), bool)
    shape[2:5, 3:7] = True
    pixels = np.full((8, 8, 4), colour, np.uint8)
    pixels[..., 3] = shape * 255
    expected = np.where(shape, colour, behind)
    grey = save(tmp_path / "grey.png", pixels[..., 2:])
    palette = tmp_path / "palette.png"
    Image.fromarray(pixels).quantize().save(palette)
    for path in (save(tmp_path / "a.png", pixels), grey, palette):
        assert (read_all(path)[0] == expected).all()


def test_half_transparent_pixels_are_mixed_and_an_even_transparency_is_dropped(tmp_path):
    pixels = np.full((8, 8, 4), 40, np.uint8)
    pixels[:, 4:, 3] = 255
    image = read_all(save(tmp_path / "a.png", pixels))[0, 0]
    assert (image[:, 4:] == 40).all()
    assert abs(image[:, :4].astype(int) - (255 - (255 - 40) * 40 / 255)).max() <= 1
    pixels[..., 3] = 40
    assert (read_all(save(tmp_path / "b.png", pixels)) == 40).all()


def test_images_that_show_nothing_are_counted_with_the_first_names(monkeypatch):
    warned = heard(monkeypatch, "warn")
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), dtype=np.uint8)
    pictures.tell_dull(images, "picture {}".format, "a set")
    assert not warned
    images[[2, 3, 5, 8]] = np.array([[[[9]], [[200]], [[30]]]])
    images[3, :, 0, 0] += 2
    pictures.tell_dull(images, "picture {}".format, "a set")
    assert warned == [
        "a set: 4 of 9 images are of (almost) one colour, the first picture 2, picture 3, picture 5"
    ]
    pictures.tell_dull(images // 16, "picture {}".format, "a dark set")
    assert "a dark set: no pixel of 9 images is above 15 of 255" in warned[-1]


def test_files_of_a_folder_that_are_not_read_are_counted_by_reason(tmp_path):
    for name in ("a.jfif", "b.JPG", "c.png", "d.jpe"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG" if name == "c.png" else "JPEG")
    for number in range(3):
        draw(tmp_path / "inner" / "deeper" / f"{number}.png")
    draw(tmp_path / ".hidden.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    for name in ("x.heic", "y.HEIC", "z.avif", "Thumbs.db", "README"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    images, left_out = places.images_in(tmp_path)
    assert [path.name for path in images] == ["a.jfif", "b.JPG", "c.png", "d.jpe"]
    assert left_out == {
        "in inner folders": 3,
        "hidden": 1,
        "links to nothing": 1,
        ".heic (convert them to .png, as with the package pillow-heif)": 2,
        ".avif (convert them to .png, as with the package pillow-avif-plugin)": 1,
        ".db": 1,
        "without a suffix": 1,
        "no regular files": 1,
    }
    assert read_all(*images).shape == (4, 3, 8, 8)
