"""The shape of a convolution: what is known of it before any weight or input, and what follows from that alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore import bitpack
from cfcore.config import FLOAT_BITS, check_bits
from cfcore.errors import bad_value
from cfcore.kernels.job import FLOATS, LEVELS, SIGNS

MOST_CUT = 8
LARGEST_SIZE = 2**31 - 1
INT32_MAX = 2**31 - 1
WHOLE = (int, np.integer)


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
