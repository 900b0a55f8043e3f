"""One untrusted image: what its header says, and its pixels in the size and the channels of the set."""

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

#: The decoders that are let near a user's bytes: those of the formats that torchvision's ImageFolder takes, and GIF.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
#: Pillow's modes without colour; all others become RGB.
GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_LYING = frozenset({5, 6, 7, 8})  # EXIF orientations in which width and height change places


class UnreadableImage(Exception):
    """These bytes are no image that we take; the message says why, in words that may be shown to anyone."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself: its size in pixels as it is looked at, and Pillow's mode."""

    width: int
    height: int
    mode: str


def header(content: bytes, *, pixels: int) -> Header:
    """The header of an image of at most so many pixels. Raises UnreadableImage."""
    with _opened(content, pixels=pixels) as image:
        if image.mode == "F":
            raise UnreadableImage("has floating-point pixels; save it with 8 bits a channel")
        # A PNG would have to be decoded for its EXIF data; those that lie are counted among the resized then.
        lying = image.format != "PNG" and image.getexif().get(ExifTags.Base.Orientation) in _LYING
        width, height = reversed(image.size) if lying else image.size
        return Header(width, height, image.mode)


def decode(content: bytes, *, size: tuple[int, int], grey: bool, pixels: int) -> tuple[bytes, bool]:
    """(uint8 pixels [H, W] or [H, W, 3], whether it was turned upright). size: (W, H). Raises UnreadableImage.

    Alpha is left out, of an animation the first frame is taken, 16 bits become 8, and what has another size is resized
    with Pillow's antialiased bilinear filter, whatever its proportions.
    """
    with _opened(content, pixels=pixels) as image:
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        upright = ImageOps.exif_transpose(image) if turned else image
        flat = _in_channels(upright, "L" if grey else "RGB")
        fitting = flat if flat.size == size else flat.resize(size, Image.Resampling.BILINEAR)
        return fitting.tobytes(), turned


def _in_channels(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        # In the type that it has: in one of 64 bits a large image would take half a gigabyte.
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)


@contextmanager
def _opened(content: bytes, *, pixels: int) -> Generator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Pillow warns of damage that it reads over, and of sizes below its own limit: ours is looked at below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > pixels:
                    raise UnreadableImage(f"claims {width} x {height} pixels; the most is {pixels} in all")
                yield image
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"claims more than {pixels} pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"is no image; known are {', '.join(FORMATS)}") from error
    except MemoryError as error:
        raise UnreadableImage("takes more memory to open than an image may") from error
    except Exception as error:
        # Decoders raise almost anything on bytes that were made to break them.
        raise UnreadableImage("is cut off or damaged") from error
