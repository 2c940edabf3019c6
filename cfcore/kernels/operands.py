"""What the kernels work on: the shape of a convolution, its packed weights, and packed activations.

Sums of products of ±1 and of unsigned levels become counts of bits, with | | for the number of ones:

    a = ±1, b = ±1      Σ a·b = K - 2 |a ^ b|             over K products
    a unsigned, b = ±1  Σ a·b = Σ_j 2^j (2 |a_j & b| - |a_j|)    over the digits a_j of a

and a k-bit weight is Σ_i 2^i b_i. Collecting the terms that do not depend on both operands leaves, with the bit planes
a_j of the activations and u_i of the weights,

    count = Σ_ij 2^(i+j) |a_j ? u_i|          ? is ^ for ±1 activations, & for levels
    ±1:      result = correction[border, filter] - 2·count
    levels:  result = 2·count - (2^k_w - 1)·(sum of the levels under the window)

The slow twin (`reference`) and the fast one (`packed`) both evaluate these two lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import bitpack
from cfcore.config import check_bits
from cfcore.errors import bad_value

MAX_PADDING = 8
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class ConvShape:
    """A square convolution of quantized operands, whatever the size of its input.

    channels, filters  C and F
    weight_bits        k_w, 1..8: odd integers
    activation_bits    k_a, 1..8: ±1 at one bit, unsigned levels 0..2^k_a - 1 above
    padding            0..8; padded taps count as zero. The corrections of ±1 activations take (padding + 1)^4 rows.

    Every sum fits int32: |result| ≤ C·kernel²·(2^k_w - 1)·(2^k_a - 1), and shapes beyond 2^31 - 1 are refused. Sums on
    the way may wrap: they are all additions and shifts modulo 2^32, so a result that fits comes out right.

    Raises ConfigError.

    >>> ConvShape(channels=64, filters=64, kernel=3, padding=1).words
    2
    """

    channels: int
    filters: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    weight_bits: int = 1
    activation_bits: int = 1

    def __post_init__(self) -> None:
        for name, low in (("channels", 1), ("filters", 1), ("kernel", 1), ("stride", 1), ("padding", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise bad_value(name, value, f"a whole number from {low}", "Take it from the layer.")
        if self.padding > MAX_PADDING:
            raise bad_value(
                "padding", self.padding, f"a whole number from 0 to {MAX_PADDING}", "Pad the input beforehand."
            )
        check_bits("weight_bits", self.weight_bits)
        check_bits("activation_bits", self.activation_bits)
        most = INT32_MAX // (self.kernel**2 * self.max_weight * self.max_level)
        if self.channels > most:
            raise bad_value("channels", self.channels, f"at most {most} (the sums are int32)", "Use fewer bits.")

    @property
    def signed(self) -> bool:
        """±1 activations, rather than unsigned levels."""
        return self.activation_bits == 1

    @property
    def max_weight(self) -> int:
        """2^k_w - 1"""
        return bitpack.levels(self.weight_bits)

    @property
    def max_level(self) -> int:
        """2^k_a - 1"""
        return bitpack.levels(self.activation_bits)

    @property
    def words(self) -> int:
        """Words of one bit plane of one pixel."""
        return bitpack.words(self.channels)

    @property
    def clip(self) -> int:
        """How many of the kernel's rows (or columns) can fall outside the input on one side."""
        return min(self.padding, self.kernel)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(OH, OW) for an input of that size; ConfigError where the kernel does not fit into the padded input."""
        reach = 2 * self.padding - self.kernel
        if min(height, width) < max(1, -reach):
            name, size = ("height", height) if height < max(1, -reach) else ("width", width)
            remedy = f"The kernel is {self.kernel} with padding {self.padding}."
            raise bad_value(name, size, f"at least {max(1, -reach)}", remedy)
        return (height + reach) // self.stride + 1, (width + reach) // self.stride + 1


@dataclass(frozen=True, eq=False)
class PackedFilters:
    """Weights ready for both twins.

    words       uint32 [k_w, F, kh, kw, words]: the plain arrangement, bit 1 = +1
    tiles       the same words in the order in which the register tiles read them (see `packed`)
    correction  int32 [border classes, F rounded up to whole vectors] (see `border_corrections`); levels: one row of 0
    segments    int64 [segments, 4]: the order in which the tiles visit planes (see `packed`)
    """

    shape: ConvShape
    words: bitpack.Words
    tiles: bitpack.Words
    correction: NDArray[np.int32]
    segments: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PackedActivations:
    """Activations of one shape of convolution, with its border of zero bits in place.

    words       uint32 [k_a, N, H + 2p, W + 2p, words], bit 1 = +1, or digits of levels
    level_sums  int32 [N, H + 2p, W + 2p]: the sum of a pixel's levels; empty [0, 0, 0] for ±1
    """

    shape: ConvShape
    words: bitpack.Words
    level_sums: NDArray[np.int32]

    def __post_init__(self) -> None:
        # the tiles trust these sizes with addresses
        expected = (self.shape.activation_bits, *self.words.shape[1:4], self.shape.words)
        sums = (0, 0, 0) if self.shape.signed else expected[1:4]
        if self.words.shape != expected or not self.words.flags.c_contiguous or self.level_sums.shape != sums:
            raise bad_value("packed words", self.words.shape, f"contiguous {expected}", "Use pack_activations.")

    @property
    def batch(self) -> int:
        return self.words.shape[1]

    @property
    def height(self) -> int:
        """H, the border not counted."""
        return self.words.shape[2] - 2 * self.shape.padding

    @property
    def width(self) -> int:
        """W, the border not counted."""
        return self.words.shape[3] - 2 * self.shape.padding

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, OH, OW, F)"""
        return (self.batch, *self.shape.output_size(self.height, self.width), self.shape.filters)


def border_corrections(q: NDArray[Any], shape: ConvShape) -> NDArray[np.int32]:
    """What ±1 activations need beside the count, for every way a window can hang over the border: int32 [classes, F].

    A padded tap is stored as bit 0, which reads as -1 and adds -q to the sum where zero padding adds nothing. So

        correction = (2^k_w - 1)·K + Σ q over the padded taps,        K = C·kernel²

    A class says how many rows are cut at the top and bottom and columns at the left and right, each 0..clip:
    class = ((top·s + bottom)·s + left)·s + right with s = clip + 1.
    """
    per_tap = q.astype(np.int64).sum(axis=1).transpose(1, 2, 0)  # [kh, kw, F]
    corners = np.zeros((shape.kernel + 1, shape.kernel + 1, shape.filters), np.int64)
    corners[1:, 1:] = per_tap.cumsum(0).cumsum(1)  # sums over all the taps above and left of a corner
    first, end = valid_taps(shape)  # [s·s] each
    top, bottom, left, right = first[:, None], end[:, None], first[None], end[None]
    valid = corners[bottom, right] - corners[top, right] - corners[bottom, left] + corners[top, left]  # [s², s², F]
    products = shape.channels * shape.kernel**2
    correction = shape.max_weight * products + per_tap.sum((0, 1)) - valid
    return correction.reshape(-1, shape.filters).astype(np.int32)


def valid_taps(shape: ConvShape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The taps first ≤ i < end that lie inside the input, for each pair (cut before, cut after) in order of class."""
    cut = np.arange(shape.clip + 1)
    first = np.repeat(cut, len(cut))
    return first, np.maximum(first, shape.kernel - np.tile(cut, len(cut)))


def border_class(start: int, size: int, shape: ConvShape) -> int:
    """cut before · (clip + 1) + cut after, for taps start … start + kernel - 1 over `size` rows (or columns) of input.

    >>> shape = ConvShape(channels=1, filters=1, kernel=3, padding=1)
    >>> [border_class(start, 4, shape) for start in (-1, 0, 1, 2)]
    [2, 0, 0, 1]
    """
    before = min(max(0, -start), shape.clip)
    after = min(max(0, start + shape.kernel - size), shape.clip)
    return before * (shape.clip + 1) + after


def check_match(activations: PackedActivations, filters: PackedFilters) -> None:
    """Refuse operands that were packed for different convolutions."""
    if activations.shape != filters.shape:
        raise bad_value("activations", activations.shape, f"activations packed for {filters.shape}", "Pack them again.")
