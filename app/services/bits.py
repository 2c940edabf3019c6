"""One window of one layer, bit by bit: what the page of the bitwise convolution shows, and what its flips change."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.services import networks, snippets
from app.services.bits_tasks import TOGETHER, Layer, LookInside
from cfcore import bitpack
from cfcore import window as windows
from cfcore.architecture import Conv
from cfcore.config import Configuration
from cfcore.window import Flip, PlaneProduct, Step, Window

__all__ = ["Flip", "Layer", "PlaneProduct", "Step"]  # records of cfcore, for those above

TEST_IMAGES = networks.TEST_IMAGES
SEPARATOR = "~"  # of flips in an address, which leaves it as it is
WORD = 8  # channels that are shown as one word; the kernels' words hold 32


@dataclass(frozen=True)
class Place:
    """Which window: of which test image, at which output, for which filter; and the first channel that is shown."""

    image: int
    row: int
    column: int
    filter: int
    channel: int


@dataclass(frozen=True)
class Reading:
    """A window's sum, from its bits and in float arithmetic.

    products    K: weights, padded taps counted
    words       of 32 bits in a pair of planes
    planes      every pair of planes
    sum         of their products
    float_sum   Σ a·q without bits
    """

    products: int
    words: int
    planes: tuple[PlaneProduct, ...]
    sum: int
    float_sum: float

    @property
    def equal(self) -> bool:
        return self.sum == self.float_sum


@dataclass(frozen=True)
class View:
    """All that is said of a place.

    steps    tap by tap, the chosen planes and channels
    part     the shown channels, all planes
    whole    all channels, all planes
    before   `part.sum` with no bit flipped
    alpha    the filter's scaling factor, which `together` filters share; step: of the activations
    scaled   alpha·step·whole.sum
    torch    what torch's float convolution gives here, with no bit flipped
    """

    steps: tuple[Step, ...]
    part: Reading
    whole: Reading
    before: int
    alpha: float
    together: int
    step: float
    scaled: float
    torch: float


def task(configuration: Configuration, layer: str, image: int) -> LookInside:
    """What the worker has to do before this image can be shown."""
    return LookInside(configuration, layer, image - image % TOGETHER, networks.folder())


def view(
    configuration: Configuration,
    conv: Conv,
    layer: Layer,
    place: Place,
    flips: Iterable[Flip] = (),
    planes: tuple[int, int] = (0, 0),
) -> View:
    """Count one window; `planes` are (activation, weight). Raises ConfigError for a flip of no bit of the window."""
    as_is = _window(configuration, conv, layer, place)
    now = windows.flipped(as_is, flips)
    part, whole = _shown(now, place), _reading(now)
    alpha = float(layer.alphas[place.filter])
    return View(
        windows.steps(part, *planes),
        _reading(part),
        whole,
        _reading(_shown(as_is, place)).sum,
        alpha,
        layer.sizes[place.filter],
        layer.step,
        windows.scaled(whole.sum, alpha, layer.step),
        float(layer.outputs[place.image - layer.first, place.filter, place.row, place.column]),
    )


def maps(layer: Layer, place: Place) -> list[list[list[int]]]:
    """The shown channels of the layer's input: [channels][H][W]"""
    return layer.levels[place.image - layer.first, place.channel : place.channel + WORD].astype(int).tolist()


def pixels(layer: Layer, image: int) -> list[list[list[int]]]:
    """[32][32][3], 0..255"""
    return layer.pixels[image - layer.first].tolist()


def map_rows(layer: Layer, place: Place) -> list[dict[str, Any]]:
    """The same to take away: one row a channel and row, its numbers by column."""
    return [
        {"channel": place.channel + c, "row": i, **{f"column {j}": level for j, level in enumerate(row)}}
        for c, channel in enumerate(maps(layer, place))
        for i, row in enumerate(channel)
    ]


def pixel_rows(layer: Layer, image: int) -> list[dict[str, Any]]:
    """The same to take away: one row a colour and row, its numbers by column."""
    return [
        {"colour": colour, "row": i, **{f"column {j}": pixel[c] for j, pixel in enumerate(row)}}
        for c, colour in enumerate(("red", "green", "blue"))
        for i, row in enumerate(pixels(layer, image))
    ]


def label(layer: Layer, image: int) -> str:
    return layer.labels[image - layer.first]


def first_channels(conv: Conv) -> list[int]:
    """Where the words of the layer begin."""
    return list(range(0, conv.channels, WORD))


def hanging_over(conv: Conv, place: Place) -> int:
    """How many taps of the window lie outside the input."""
    rows, columns = (
        sum(0 <= at * conv.stride - conv.padding + tap < conv.size for tap in range(conv.kernel))
        for at in (place.row, place.column)
    )
    return conv.kernel**2 - rows * columns


def records(view: View) -> list[dict[str, Any]]:
    """Every pair of planes of the shown channels, to take away."""
    return [product.to_dict() for product in view.part.planes]


def step_records(view: View) -> list[dict[str, Any]]:
    """The steps of the chosen planes, bits written one after the other, to take away."""
    bits = ("activations", "weights", "joined")
    return [
        {name: "".join(map(str, value)) if name in bits else value for name, value in step.to_dict().items()}
        for step in view.steps
    ]


def spelled(flips: Iterable[Flip]) -> str:
    """As an address has them.

    >>> spelled(parsed("weight.0.3.17~activation.0.3.1"))
    'activation.0.3.1~weight.0.3.17'
    """
    return SEPARATOR.join(sorted(map(str, flips)))


def parsed(text: str) -> frozenset[Flip]:
    """The flips that are spelled so. Raises ConfigError."""
    return frozenset(map(Flip.parse, text.split(SEPARATOR)))


def command(configuration: Configuration, layer: str, place: Place, flips: Iterable[Flip] = ()) -> str:
    """The command line that counts this window again."""
    words = ["--layer", layer, "--image", place.image, "--row", place.row, "--column", place.column]
    words += ["--filter", place.filter, "--first-channel", place.channel, "--channels", WORD]
    words += [word for flip in sorted(map(str, flips)) for word in ("--flip", flip)]
    return f"{snippets.command('window', configuration)} {shlex.join(map(str, words))}"


def python(
    configuration: Configuration,
    layer: str,
    place: Place,
    flips: Iterable[Flip] = (),
    planes: tuple[int, int] = (0, 0),
) -> str:
    """The same in Python, with the steps of the chosen planes."""
    turned = "".join(f"Flip.parse({flip!r}), " for flip in sorted(map(str, flips)))
    also = f", flips=[{turned[:-2]}]" if turned else ""
    chosen = f", {planes[0]}, {planes[1]}" if any(planes) else ""
    return f"""\
from cfcore.config import Configuration
from cfcore.images import load_test_set
from cfcore.evaluate import obtain
from cfcore.inside import look_at
from cfcore.window import {"Flip, " if turned else ""}float_sum, plane_products, steps

network = obtain({snippets.spelled(configuration)})
pixels = load_test_set().pixels[{place.image}]
found = look_at(network, {layer!r}, pixels, row={place.row}, column={place.column}, filter={place.filter}{also})
word = found.window.of_channels({place.channel}, {WORD})  # the channels on the screen
for step in steps(word{chosen}):
    print(step.tap, step.activations, step.weights, step.joined, step.count, step.total)
print(sum(p.product for p in plane_products(word)), float_sum(word))
print(sum(p.product for p in plane_products(found.window)), found.scaled, found.torch)  # all channels"""


def _window(configuration: Configuration, conv: Conv, layer: Layer, place: Place) -> Window:
    planes = bitpack.unpack_bits(layer.planes[:, place.filter], conv.weights_per_filter)  # [k_w, n]
    weights = bitpack.weights_from_planes(planes).reshape(conv.kernel, conv.kernel, conv.channels)
    return windows.window(
        layer.levels[place.image - layer.first],
        weights.transpose(2, 0, 1),
        place.row,
        place.column,
        stride=conv.stride,
        padding=conv.padding,
        activation_bits=configuration.activation_bits,
        weight_bits=configuration.weight_bits,
    )


def _shown(window: Window, place: Place) -> Window:
    return window.of_channels(place.channel, WORD)


def _reading(window: Window) -> Reading:
    planes = windows.plane_products(window)
    return Reading(
        window.products,
        window.words,
        planes,
        sum(product.product for product in planes),
        windows.float_sum(window),
    )
