"""app.services.picture: any honest picture becomes 32 × 32 pixels, anything else one sentence."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.services import picture
from app.services.picture import Picture
from cfcore.errors import DataError

RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def pixels(found: Picture) -> np.ndarray:
    return np.frombuffer(found.pixels, np.uint8).reshape(32, 32, 3)


def flat(found: Picture, colour: tuple[int, ...], within: int = 0) -> bool:
    return bool((np.abs(pixels(found).astype(int) - np.array(colour)) <= within).all())


# ---- honest pictures


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (31, 33), (640, 48), (48, 640), (20_000, 1), (1, 20_000)], ids=str)
@pytest.mark.parametrize(("kind", "how"), [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})])
def test_any_size_and_format_is_read(size: tuple[int, int], kind: str, how: dict[str, Any]) -> None:
    if kind == "WEBP" and max(size) > 16_383:
        pytest.skip("WebP allows no such size")
    found = picture.read(saved(Image.new("RGB", size, BLUE), kind, **how))
    assert (found.width, found.height) == size
    assert flat(found, BLUE, within=2)
    with Image.open(io.BytesIO(found.preview)) as whole:
        assert max(whole.size) <= picture.PREVIEW
    with Image.open(io.BytesIO(found.seen)) as seen:
        assert seen.tobytes() == found.pixels


def test_a_picture_of_32_by_32_is_taken_as_it_is() -> None:
    original = noise(32, 32)
    assert np.array_equal(pixels(picture.read(saved(original, "PNG"))), np.asarray(original))


def test_each_pixel_is_the_mean_of_what_it_covers() -> None:
    original = noise(96, 96)
    means = np.asarray(original, float).reshape(32, 3, 32, 3, 3).mean((1, 3))
    assert np.abs(pixels(picture.read(saved(original, "PNG"))) - means).max() <= 1


def test_an_edge_on_a_pixels_border_stays_sharp() -> None:
    """400 × 300: the square in the middle is 300 wide, whose pixels are 9.375; its halves meet where two pixels do."""
    quadrants = np.zeros((300, 400, 3), np.uint8)
    quadrants[:, :200, 0], quadrants[:, 200:, 2] = 255, 255
    seen = pixels(picture.read(saved(Image.fromarray(quadrants), "PNG")))
    assert (seen[:, :16] == (255, 0, 0)).all()
    assert (seen[:, 16:] == (0, 0, 255)).all()


def test_the_square_in_the_middle_is_cut_out_and_the_rest_dimmed() -> None:
    wide = Image.new("RGB", (96, 32), RED)
    wide.paste(GREEN, (32, 0, 64, 32))
    found = picture.read(saved(wide, "PNG"))
    assert flat(found, GREEN)
    with Image.open(io.BytesIO(found.preview)) as whole:
        assert whole.getpixel((48, 16)) == GREEN
        assert whole.getpixel((5, 16)) == (int(255 * picture.DIMMED), 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_the_camera_says(orientation: int) -> None:
    """Turned back by PIL's own reading of the EXIF data, of which ours has to be the equal."""
    from PIL import ImageOps

    original = noise(4, 6).resize((64, 96), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(original, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = ImageOps.exif_transpose(image)
    found = picture.read(content)
    assert (found.width, found.height) == upright.size
    assert np.array_equal(pixels(found), pixels(picture.read(saved(upright, "PNG", exif=Image.Exif()))))
    assert any("EXIF" in remark for remark in found.remarks) == (orientation != 1)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_means_nothing_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    original = noise(32, 32)
    found = picture.read(saved(original, "PNG", exif=exif))
    assert np.array_equal(pixels(found), np.asarray(original))


def test_white_stands_behind_what_is_transparent() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    found = picture.read(saved(clear, "PNG"))
    assert flat(found, (255, 255, 255))
    assert "white stands behind it" in " ".join(found.remarks)
    deep = picture.read(saved(Image.fromarray(np.full((40, 40), 1000, np.uint16)), "PNG", transparency=1000))
    assert flat(deep, (255, 255, 255))
    assert deep.remarks == found.remarks
    opaque = picture.read(saved(Image.new("RGBA", (40, 40), (255, 0, 0, 255)), "PNG"))
    assert flat(opaque, RED)
    assert opaque.remarks == ()


def palette() -> bytes:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([0, 0, 0, *GREEN])
    return saved(image, "PNG")


def palette_with_transparency() -> bytes:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([0, 0, 0, *GREEN])
    return saved(image, "PNG", transparency=0)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (saved(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"), RED),
        (saved(Image.new("L", (40, 40), 77), "JPEG"), (77, 77, 77)),
        (saved(Image.new("1", (40, 40), 1), "PNG"), (255, 255, 255)),
        (saved(Image.new("LA", (40, 40), (77, 255)), "PNG"), (77, 77, 77)),
        (saved(Image.fromarray(np.full((40, 40), 77 * 257, np.uint16)), "PNG"), (77, 77, 77)),
        (palette(), GREEN),
        (palette_with_transparency(), GREEN),
    ],
    ids=["cmyk", "grey", "one bit", "grey with alpha", "16 bits", "palette", "palette with transparency"],
)
def test_any_kind_of_colour_is_read(content: bytes, colour: tuple[int, int, int]) -> None:
    assert flat(picture.read(content), colour, within=2)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (GREEN, RED, BLUE)]
    how = {"lossless": True} if kind == "WEBP" else {}
    found = picture.read(saved(frames[0], kind, save_all=True, append_images=frames[1:], **how))
    assert flat(found, GREEN, within=1)
    assert "the first is taken" in " ".join(found.remarks)


def test_a_small_picture_is_said_to_be_small() -> None:
    found = picture.read(saved(noise(8, 8), "PNG"))
    assert "its pixels are repeated" in " ".join(found.remarks)
    assert np.array_equal(pixels(found)[::4, ::4], np.asarray(noise(8, 8)))


# ---- hostile bytes


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size, with hardly any data behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((5_001, 5_000), "5,001 × 5,000 pixels"),
        ((10_000, 10_000), "too many pixels"),  # where PIL warns
        ((60_000, 60_000), "too many pixels"),  # where PIL refuses
    ],
)
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_refused_unread(size: tuple[int, int], said: str) -> None:
    with pytest.raises(DataError, match=f"This picture has {said}; at most 25 million are decoded"):
        picture.read(png_of(*size))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"GIF89a" + b"\0" * 50, saved(noise(40, 40), "GIF"), saved(noise(9, 9), "BMP"), b"<svg/>"],
    ids=["empty", "zeros", "a broken gif", "gif", "bmp", "svg"],
)
def test_another_format_is_refused_whatever_its_name(content: bytes) -> None:
    with pytest.raises(DataError, match="holds no PNG, JPEG or WebP picture, whatever its name"):
        picture.read(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_picture_cut_short_is_refused(kind: str, share: float) -> None:
    content = saved(noise(200, 200), kind)
    with pytest.raises(DataError, match=r"(is damaged|holds no PNG)"):
        picture.read(content[: int(share * len(content))])


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_png_is_refused_for_one_wrong_byte_of_its_pixels(at: float) -> None:
    """Whoever looks for EXIF data, where there are none, reads them all on the way, and may think nothing of it."""
    content = bytearray(saved(noise(48, 40), "PNG"))
    content[int(at * len(content))] ^= 0x55
    with pytest.raises(DataError, match="is damaged"):
        picture.read(bytes(content))


@pytest.mark.filterwarnings("ignore")  # PIL warns of much before it gives up
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_bytes_give_a_picture_or_one_sentence(kind: str) -> None:
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = np.frombuffer(saved(noise(48, 40), kind, exif=exif), np.uint8)
    sentences = []
    for _ in range(150):
        hurt = content.copy()
        hurt[rng.integers(0, min(len(hurt), int(rng.choice([100, len(hurt)]))), 4)] = rng.integers(0, 256, 4)
        try:
            found = picture.read(hurt.tobytes())
        except DataError as error:
            sentences.append(str(error))
        else:
            assert len(found.pixels) == 32 * 32 * 3
    assert sentences
    assert all(sentence.endswith(picture.SAVE_AGAIN) or "Make it smaller" in sentence for sentence in sentences)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    content = saved(noise(40, 40), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    with pytest.raises(DataError, match="more than 64 scans"):
        picture.read(content[:-2] + 100 * scan + content[-2:])
    assert picture.read(content).width == 40


def test_running_out_of_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> Callable[..., None]:
        raise MemoryError

    monkeypatch.setattr(picture, "_eight_bits", full)
    with pytest.raises(DataError, match="too many pixels"):
        picture.read(saved(noise(40, 40), "PNG"))
