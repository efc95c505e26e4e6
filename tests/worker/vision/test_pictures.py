"""Pictures of every kind become the pixels that a person would see."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb

from mlxd.errors import InvalidRequestError
from mlxd.worker.runtime.vision.pictures import read_picture
from tests.support.picture_files import saved, waves

PIXELS = 10**6
ORIENTATION = 0x0112


def read(data, max_pixels=PIXELS):
    return read_picture(data, max_pixels, "part")


def pixels(data):
    picture = read(data)
    assert picture.mode == "RGB"
    return np.asarray(picture)


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("PNG", {"optimize": True})])
def test_the_same_pixels_from_whatever_file(form, options):
    assert np.array_equal(pixels(saved(waves(), form, **options)), np.asarray(waves()))


@pytest.mark.parametrize(("form", "options"), [("JPEG", {"quality": 95}), ("JPEG", {"progressive": True}), ("WEBP", {"quality": 95})])
def test_nearly_the_same_where_a_format_loses_some(form, options):
    smooth = waves(60, 40).resize((240, 160))
    apart = np.abs(pixels(saved(smooth, form, **options)).astype(int) - np.asarray(smooth).astype(int))
    assert np.median(apart) < 4


def seen_through():
    picture = waves().convert("RGBA")
    picture.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (24, 1))))
    return picture


MODES = {
    "RGBA": seen_through(),
    "LA": seen_through().convert("LA"),
    "L": waves().convert("L"),
    "1": waves().convert("1"),
    "P": waves().convert("P", palette=Image.Palette.ADAPTIVE),
    "PA": seen_through().quantize(16),
}


@pytest.mark.parametrize("mode", MODES)
def test_what_can_be_seen_through_is_white_behind_as_transformers_has_it(mode):
    file = saved(MODES[mode])
    with Image.open(BytesIO(file)) as opened:
        assert np.array_equal(pixels(file), convert_to_rgb(opened, return_numpy=True))


def test_a_colour_of_a_palette_that_is_none_is_white():
    picture = waves().convert("P", palette=Image.Palette.ADAPTIVE)
    gone = picture.getpixel((3, 3))
    found = pixels(saved(picture, transparency=gone))
    assert (found[np.asarray(picture) == gone] == 255).all()


def test_inks_become_colours():
    picture = waves(64, 64).convert("CMYK")
    file = saved(picture, "JPEG", quality=95)
    with Image.open(BytesIO(file)) as opened:
        assert opened.mode == "CMYK"
        assert np.array_equal(pixels(file), convert_to_rgb(opened, return_numpy=True))


def test_of_sixteen_bits_the_upper_ones_count():
    shades = np.arange(256, dtype=np.uint16).reshape(16, 16)
    found = pixels(saved(Image.fromarray(shades * 257)))
    assert np.array_equal(found[..., 0], shades.astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_as_its_camera_was_held(orientation, form):
    picture = waves(64, 32)
    picture.getexif()[ORIENTATION] = orientation
    file = saved(picture, form, exif=picture.getexif())
    with Image.open(BytesIO(file)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert read(file).size == ((64, 32) if orientation < 5 else (32, 64))
    assert np.array_equal(pixels(file), np.asarray(expected))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("notes", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0"])
def test_one_whose_notes_cannot_be_read_is_as_it_is(notes):
    file = saved(waves(64, 32), "JPEG", exif=notes)
    assert read(file).size == (64, 32)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_a_moving_picture_the_first_frame(form):
    frames = [Image.new("RGB", (20, 20), (shade, shade, shade)) for shade in (40, 120, 200)]
    options = {"lossless": True} if form == "WEBP" else {}
    found = pixels(saved(frames[0], form, save_all=True, append_images=frames[1:], **options))
    assert (np.abs(found.astype(int) - 40) < 3).all()


def test_a_picture_of_several_as_phones_make_them():
    file = saved(waves(64, 64), "MPO", save_all=True, append_images=[waves(64, 64, shift=90)])
    assert read(file).size == (64, 64)


def test_one_pixel_is_a_picture():
    assert read(saved(Image.new("RGB", (1, 1)))).size == (1, 1)


def test_as_many_pixels_as_are_allowed_and_no_more():
    file = saved(waves(40, 24))
    assert read(file, 960).size == (40, 24)
    with pytest.raises(InvalidRequestError, match="40 x 24 is more than the 959 pixels") as error:
        read(file, 959)
    assert error.value.param == "part"
