"""What the kernels work on: the shape of a convolution, its packed weights, and packed activations.

Sums of products of ±1 and of unsigned levels become counts of bits, with | | for the number of ones:

    a = ±1, b = ±1      Σ a·b = K - 2 |a ^ b|             over K products
    a unsigned, b = ±1  Σ a·b = Σ_j 2^j (2 |a_j & b| - |a_j|)    over the digits a_j of a

and a k-bit weight is Σ_i 2^i b_i. Collecting the terms that do not depend on both operands leaves, with the bit planes
a_j of the activations and u_i of the weights,

    count = Σ_ij 2^(i+j) |a_j ? u_i|          ? is ^ for ±1 activations, & for levels
    ±1:      result = correction[border, filter] - 2·count
    levels:  result = 2·count - (2^k_w - 1)·(sum of the levels under the window)

The slow twin (`reference`) and the fast one (`packed`) both evaluate these two lines. A grouped convolution is one
for each group of channels and filters; the channels of a group start a new word.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import bitpack
from cfcore.config import check_bits
from cfcore.errors import bad_value
from cfcore.kernels.isa import ISA, Isa
from cfcore.kernels.job import FLOATS, LEVELS, SIGNS, address

MOST_CUT = 8
LARGEST_SIZE = 2**31 - 1
FLOAT_BITS = 32
INT32_MAX = 2**31 - 1
FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_ZERO = 2.0**-150  # half of the smallest number above 0, which rounds to 0
WHOLE = (int, np.integer)
NUMBERS = (int, float, np.floating)


@dataclass(frozen=True)
class ConvShape:
    """A square convolution of quantized operands, whatever the size of its input.

    channels, filters  C and F
    weight_bits        k_w, 1..8: odd integers
    activation_bits    k_a, 1..8: ±1 at one bit, unsigned levels 0..2^k_a - 1 above
                       32 and 32: float operands, for the layers that stay so; a word is then a float32
    padding            padded taps count as zero. The corrections of ±1 activations take (clip + 1)^4 rows, so for these
                       no more than 8 of a kernel's rows may fall outside on one side.
    dilation           1 or 2: neighbouring taps lie so many pixels apart
    groups             of channels and filters; both counts are multiples of it

    Every sum fits int32: |result| ≤ C/groups·kernel²·(2^k_w - 1)·(2^k_a - 1), and shapes beyond 2^31 - 1 are refused.
    Sums on the way may wrap: they are all additions and shifts modulo 2^32, so a result that fits comes out right.

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
    dilation: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "filters", "kernel", "stride", "padding", "dilation", "groups"):
            value, low = getattr(self, name), 0 if name == "padding" else 1
            if isinstance(value, bool) or not isinstance(value, WHOLE) or not low <= value <= LARGEST_SIZE:
                raise bad_value(name, value, f"a whole number from {low}", "Take it from the layer.")
            object.__setattr__(self, name, int(value))
        if self.dilation > 2:
            raise bad_value("dilation", self.dilation, "1 or 2", "Use another layer.")
        if self.channels % self.groups or self.filters % self.groups:
            allowed = f"a divisor of {self.channels} channels and {self.filters} filters"
            raise bad_value("groups", self.groups, allowed, "Choose 1.")
        if self.floats:
            return
        check_bits("weight_bits", self.weight_bits)
        check_bits("activation_bits", self.activation_bits)
        if self.signed and self.clip > MOST_CUT:
            allowed = f"a whole number from 0 to {MOST_CUT * self.dilation} with a kernel of {self.kernel}"
            raise bad_value("padding", self.padding, allowed, "Use a smaller kernel.")
        most = INT32_MAX // (self.kernel**2 * self.max_weight * self.max_level)
        if most == 0:
            raise bad_value("kernel", self.kernel, "a smaller one (the sums are int32)", "Use fewer bits.")
        if self.group_channels > most:
            channels = f"at most {most * self.groups} (the sums are int32)"
            raise bad_value("channels", self.channels, channels, "Use fewer bits.")

    @property
    def floats(self) -> bool:
        """Float operands: nothing is packed."""
        return self.activation_bits == self.weight_bits == FLOAT_BITS

    @property
    def signed(self) -> bool:
        """±1 activations, rather than unsigned levels."""
        return self.activation_bits == 1

    @property
    def kind(self) -> int:
        """What a word of activations is, as `job` numbers it."""
        return FLOATS if self.floats else SIGNS if self.signed else LEVELS

    @property
    def planes(self) -> int:
        """Bit planes of the activations; float32 words are one."""
        return 1 if self.floats else self.activation_bits

    @property
    def group_channels(self) -> int:
        """Channels that a filter sees."""
        return self.channels // self.groups

    @property
    def group_filters(self) -> int:
        """Filters that see the same channels."""
        return self.filters // self.groups

    @property
    def max_weight(self) -> int:
        """2^k_w - 1"""
        return bitpack.levels(self.weight_bits)

    @property
    def max_level(self) -> int:
        """2^k_a - 1"""
        return bitpack.levels(self.activation_bits)

    @property
    def group_words(self) -> int:
        """Words of one bit plane of one pixel, for one group."""
        return self.group_channels if self.floats else bitpack.words(self.group_channels)

    @property
    def words(self) -> int:
        """Words of one bit plane of one pixel."""
        return self.groups * self.group_words

    @property
    def steps(self) -> int:
        """Words under a window, in one plane and one group."""
        return self.kernel**2 * self.group_words

    @property
    def clip(self) -> int:
        """How many of the kernel's rows (or columns) can fall outside the input on one side."""
        return min(-(-self.padding // self.dilation), self.kernel)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(OH, OW) for an input of that size; ConfigError where the kernel does not fit into the padded input."""
        reach = 2 * self.padding - self.dilation * (self.kernel - 1) - 1
        for name, size in (("height", height), ("width", width)):
            if size < max(1, -reach):
                remedy = f"The kernel is {self.kernel} with padding {self.padding} and dilation {self.dilation}."
                raise bad_value(name, size, f"at least {max(1, -reach)}", remedy)
        return (height + reach) // self.stride + 1, (width + reach) // self.stride + 1


def made_anew(self: Any) -> tuple[Any, tuple[Any, ...]]:
    """`__reduce__` of what keeps addresses of its arrays: a copy, or what is unpickled, has addresses of its own."""
    return _make, (type(self), ISA, tuple(getattr(self, f.name) for f in fields(self) if f.init))


def _make(kind: type, isa: Isa, values: tuple[Any, ...]) -> Any:
    """The object again. ConfigError for one of a machine with other vectors: its numbers lie in another order."""
    if isa != ISA:
        raise bad_value("vectors of what was pickled", isa.name, ISA.name, "Prepare it again on this machine.")
    return kind(*values)


@dataclass(frozen=True, eq=False)
class PackedFilters:
    """Weights ready for both twins.

    words       uint32 [k_w, F, kh, kw, words of a group]: the plain arrangement, bit 1 = +1
                float32 [1, F, C/groups, kh, kw] for floats
    tiles       the same words in the order in which the register tiles read them (see `packed`)
    correction  int32 [border classes, groups, F/groups rounded up to whole units] (see `border_corrections`); all 0
                but for ±1
    segments    int64 [segments, 4]: the order in which the tiles visit planes (see `tile`)
    plans       what `prepare.plan` made for the sizes of input met so far
    """

    shape: ConvShape
    words: NDArray[Any]
    tiles: NDArray[Any]
    correction: NDArray[np.int32]
    segments: NDArray[np.int64]
    plans: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    __reduce__ = made_anew


@dataclass(frozen=True, eq=False)
class PackedActivations:
    """Activations of one shape of convolution, with its border of zero bits in place.

    words       uint32 [N, k_a, H + 2p, W + 2p, words], bit 1 = +1, or digits of levels; bits in the border and behind
                the last channel of a group are 0
    address     of the first word

    Raises ConfigError.
    """

    shape: ConvShape
    words: bitpack.Words
    address: int = field(init=False)
    __reduce__ = made_anew

    def __post_init__(self) -> None:
        check_packable(self.shape)
        # the tiles trust these sizes with addresses
        n, _, *padded, _ = self.words.shape if self.words.ndim == 5 else (0,) * 5
        expected = (n, self.shape.planes, *padded, self.shape.words)
        if self.words.shape != expected or not self.words.flags.c_contiguous or self.words.dtype != np.uint32:
            raise bad_value("packed words", self.words.shape, f"contiguous {expected}", "Use pack_activations.")
        if self._has_stray_bits():
            raise bad_value("packed words", "a bit", "0 in the border and behind the channels", "Use pack_activations.")
        object.__setattr__(self, "address", address(self.words))

    def _has_stray_bits(self) -> bool:
        p, rest = self.shape.padding, self.shape.group_channels % bitpack.WORD_BITS
        for by_row in (self.words, self.words.swapaxes(2, 3)):
            if by_row[:, :, :p].any() or by_row[:, :, by_row.shape[2] - p :].any():
                return True
        last = self.words[..., self.shape.group_words - 1 :: self.shape.group_words]
        return bool(rest and (last >> np.uint32(rest)).any())

    @property
    def batch(self) -> int:
        return self.words.shape[0]

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

        correction = (2^k_w - 1)·K + Σ q over the padded taps,        K = C/groups·kernel²

    A class says how many rows are cut at the top and bottom and columns at the left and right, each 0..clip:
    class = ((top·s + bottom)·s + left)·s + right with s = clip + 1.
    """
    per_tap = q.astype(np.int64).sum(axis=1).transpose(1, 2, 0)  # [kh, kw, F]
    corners = np.zeros((shape.kernel + 1, shape.kernel + 1, shape.filters), np.int64)
    corners[1:, 1:] = per_tap.cumsum(0).cumsum(1)  # sums over all the taps above and left of a corner
    first, end = valid_taps(shape)  # [s·s] each
    top, bottom, left, right = first[:, None], end[:, None], first[None], end[None]
    valid = corners[bottom, right] - corners[top, right] - corners[bottom, left] + corners[top, left]  # [s², s², F]
    products = shape.group_channels * shape.kernel**2
    correction = shape.max_weight * products + per_tap.sum((0, 1)) - valid
    return correction.reshape(-1, shape.filters).astype(np.int32)


def valid_taps(shape: ConvShape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The taps first ≤ i < end that lie inside the input, for each pair (cut before, cut after) in order of class."""
    cut = np.arange(shape.clip + 1)
    first = np.repeat(cut, len(cut))
    return first, np.maximum(first, shape.kernel - np.tile(cut, len(cut)))


def border_class(start: int, size: int, shape: ConvShape) -> int:
    """cut before · (clip + 1) + cut after, for taps from `start` on over `size` rows (or columns) of input.

    >>> shape = ConvShape(channels=1, filters=1, kernel=3, padding=1)
    >>> [border_class(start, 4, shape) for start in (-1, 0, 1, 2)]
    [2, 0, 0, 1]
    """
    before = min(max(0, -(start // shape.dilation)), shape.clip)
    after = min(max(0, shape.kernel + (start - size) // shape.dilation), shape.clip)
    return before * (shape.clip + 1) + after


def check_step(step: float) -> None:
    """Refuse what is no number above 0 in float32, as the kernels have it: there 1e-50 is 0, and 1e39 infinite."""
    if not isinstance(step, NUMBERS) or not FLOAT32_ZERO < float(step) <= FLOAT32_MAX:
        raise bad_value("step", step, "a number above 0 that float32 has", "Calibrate the layer.")


def check_packable(shape: ConvShape) -> None:
    """Refuse the shape of a float layer: its words would be read as bits."""
    if shape.floats:
        bits = shape.weight_bits, shape.activation_bits
        raise bad_value("weight_bits and activation_bits", bits, "1 to 8 of each", "Leave float layers to torch.")


def check_match(activations: PackedActivations, filters: PackedFilters) -> None:
    """Refuse operands that were packed for different convolutions."""
    if activations.shape is not filters.shape and activations.shape != filters.shape:
        raise bad_value("activations", activations.shape, f"activations packed for {filters.shape}", "Pack them again.")
