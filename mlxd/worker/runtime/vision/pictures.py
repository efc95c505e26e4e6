"""Files of pictures to pixels: what a header says is checked before anything is decoded."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, WebPImagePlugin

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media
from mlxd.worker.runtime.vision.file_kinds import described, picture_format

_WANTED = "send it as JPEG, PNG, WebP, GIF or BMP"
_NARROWEST = 200  # times as long as it is wide: what processors take; some would blow up a line to gigabytes
_MOST_PIXELS = 100_000_000  # where nobody allows fewer
_MOST_SCANS = 100  # of a progressive JPEG, each of which costs as much as a whole picture

assert WebPImagePlugin.WebPImageFile.format in Image.OPEN  # noqa: S101 - it registers itself: else Pillow would import all of its formats
Image.MAX_IMAGE_PIXELS = None  # whoever opens a picture checks its size by limits of its own
warnings.filterwarnings("ignore", module=r"PIL\.")  # what it doubts of somebody's file is nobody's concern


def most_pixels(media: Media) -> int:
    """Returns how many pixels a picture, or a frame of a film, has at most."""
    return _MOST_PIXELS if media.max_pixels is None else media.max_pixels


def read_picture(data: bytes, max_pixels: int, param: str) -> Image.Image:
    """Returns a picture in RGB, the right way up; of a moving one the first frame. What can be seen through is white behind, as
    transformers has it, and of more than 8 bits the upper ones count.

    Raises ``InvalidRequestError`` that says what is wrong with it, or what it is.
    """
    form = picture_format(data)
    if form is None:
        raise InvalidRequestError(f"this is {described(data)}, which cannot be looked at: {_WANTED}", param=param)
    if form == "JPEG" and data.count(b"\xff\xda") > _MOST_SCANS:
        raise InvalidRequestError(f"this JPEG picture is written in more than {_MOST_SCANS} layers: save it anew", param=param)
    with _blamed(form, param):
        picture = Image.open(io.BytesIO(data), formats=[form])
        check_size(picture.width, picture.height, max_pixels, param)
        picture.load()
        return _opaque(_upright(picture))


def check_size(width: int, height: int, max_pixels: int, param: str) -> None:
    """Raises ``InvalidRequestError`` for a picture, or a film, that is too large, or too long for its width."""
    if width < 1 or height < 1:
        raise InvalidRequestError("this picture has no size", param=param)
    if width * height > max_pixels:
        raise InvalidRequestError(f"{width} x {height} is more than the {max_pixels} pixels that are taken: send it smaller", param=param)
    if max(width, height) > _NARROWEST * min(width, height):
        raise InvalidRequestError(f"{width} x {height} is more than {_NARROWEST} times as long as it is wide: crop it", param=param)


@contextmanager
def _blamed(form: str, param: str) -> Iterator[None]:
    """Makes an error of the client's of whatever Pillow says of a file."""
    try:
        yield
    except InvalidRequestError:
        raise
    except (MemoryError, RecursionError) as error:
        raise InvalidRequestError(f"this {form} picture takes too much memory", param=param) from error
    except UnidentifiedImageError as error:
        raise InvalidRequestError(f"this {form} picture is damaged: its header cannot be read", param=param) from error
    except Exception as error:
        raise InvalidRequestError(f"this {form} picture is damaged: {error}", param=param) from error


def _upright(picture: Image.Image) -> Image.Image:
    """Turns a picture as its camera was held. One whose notes cannot be read is as it is."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
        return ImageOps.exif_transpose(picture) if orientation in range(2, 9) else picture
    except Exception:  # noqa: BLE001 - these notes come from whatever device and editor
        return picture


def _opaque(picture: Image.Image) -> Image.Image:
    picture = _in_bytes(picture) if picture.mode.startswith("I") else picture
    if not {"A", "a"} & {*picture.getbands()} and picture.info.get("transparency") is None:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    seen_through = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), seen_through).convert("RGB")


def _in_bytes(picture: Image.Image) -> Image.Image:
    """Returns shades of grey of 16 bits as those of 8: Pillow would make white of all that is above 255."""
    return picture.convert("F").point(lambda value: value * (1 / 256) + 0).convert("L")
