"""A learner's own picture, from a file that may hold anything: checked, decoded, cropped to a square, 32 × 32 pixels.

The file's bytes are hostile until proven otherwise. Its format and size are read first; what would take too much memory
or time is refused before it is decoded, and only one picture is decoded at a time.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from cfcore.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP")
SIDE = 32
PREVIEW = 320  # pixels of the longer side
MOST_PIXELS = 25_000_000  # up to 420 MB of memory while it is decoded, one at a time
MOST_SCANS = 64  # of a JPEG: each draws over the whole picture, and a few bytes can ask for one
DIMMED = 0.3  # of the brightness outside the square
TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SAVE_AGAIN = "Save it as PNG, JPEG or WebP and choose it again."

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    width, height  in pixels, as it is looked at
    pixels         what a network sees: 32·32·3 bytes, row by row, red, green, blue
    seen           these pixels as PNG
    preview        the whole picture as PNG, at most 320 pixels long, darker outside the square
    remarks        a sentence on each thing that was done to it besides
    """

    width: int
    height: int
    pixels: bytes
    seen: bytes
    preview: bytes
    remarks: tuple[str, ...]


def read(content: bytes) -> Picture:
    """Decode a file. Raises DataError with one sentence for whatever is no picture of sensible size."""
    with _one_at_a_time:
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _decoded(image, content)
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(f"This file holds no PNG, JPEG or WebP picture, whatever its name. {SAVE_AGAIN}") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
            raise _too_large() from error
        except Exception as error:  # decoders raise nearly anything for damaged bytes, and any of it means this
            raise DataError(f"This picture is damaged, or was cut short on its way. {SAVE_AGAIN}") from error


def _too_large(size: str = "too many pixels") -> DataError:
    most = f"{MOST_PIXELS // 1_000_000} million"
    return DataError(f"This picture has {size}; at most {most} are decoded. Make it smaller and choose it again.")


def _decoded(image: Image.Image, content: bytes) -> Picture:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(f"{width:,} × {height:,} pixels")
    if image.format in ("JPEG", "MPO") and content.count(b"\xff\xda") > MOST_SCANS:
        raise DataError(f"This JPEG is built of more than {MOST_SCANS} scans, which takes too long. {SAVE_AGAIN}")
    remarks = []
    if getattr(image, "is_animated", False):
        remarks.append("Of its several pictures the first is taken.")
    if min(width, height) < SIDE:
        remarks.append(f"It is smaller than {SIDE} × {SIDE} pixels, so its pixels are repeated.")
    image.draft("RGB", (PREVIEW, PREVIEW))  # a large JPEG is decoded at a fraction of its size
    colours = _eight_bits(image)  # before its EXIF data, which lie anywhere in a file
    turn = TURNS.get(_orientation(image))
    if colours.mode == "RGBA":
        remarks.append("It is transparent in places: white stands behind it.")
    if turn is not None:
        remarks.append("It is turned as its EXIF data say.")
    x, y = ((length - min(colours.size)) / 2 for length in colours.size)
    square = (x, y, x + min(colours.size), y + min(colours.size))
    # each of the 32 × 32 pixels is the mean of what it covers
    seen = colours.resize((SIDE, SIDE), Image.Resampling.BOX, square)
    whole = colours if max(colours.size) < PREVIEW else colours.copy()
    whole.thumbnail((PREVIEW, PREVIEW), reducing_gap=2.0)
    seen, whole = _on_white(seen), _dimmed(_on_white(whole))
    if turn is not None:
        seen, whole = seen.transpose(turn), whole.transpose(turn)
        if turn not in (TURNS[2], TURNS[3], TURNS[4]):
            width, height = height, width
    return Picture(width, height, seen.tobytes(), png(seen), png(whole), tuple(remarks))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF data do not make the picture worse
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """-> mode RGB, or RGBA where it is transparent in places"""
    if image.mode.startswith(("I", "F")):  # 16 bits of grey: PIL would cut, not scale
        grey = np.asarray(image).clip(0, 65535)
        colours = Image.fromarray((grey // 257).astype(np.uint8)).convert("RGB")
        clear = image.info.get("transparency")  # of PNG: one shade of grey that is not there
        if isinstance(clear, int) and (grey == clear).any():
            colours.putalpha(Image.fromarray(np.where(grey == clear, 0, 255).astype(np.uint8)))
        return colours
    if not image.has_transparency_data:
        return image.convert("RGB")
    with_alpha = image.convert("RGBA")
    opaque = np.asarray(with_alpha.getchannel("A")).min() == 255
    return with_alpha.convert("RGB") if opaque else with_alpha


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _dimmed(image: Image.Image) -> Image.Image:
    """Darker outside the square in its middle."""
    side = min(image.size)
    x, y = ((length - side) // 2 for length in image.size)
    square = (x, y, x + side, y + side)
    dark = image.point(lambda value: value * DIMMED)
    dark.paste(image.crop(square), square)
    return dark


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
