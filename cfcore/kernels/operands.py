"""What the kernels work on: packed weights and packed activations.

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
from cfcore.errors import bad_value
from cfcore.kernels.isa import ISA, Isa
from cfcore.kernels.job import address
from cfcore.kernels.shape import ConvShape

FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_ZERO = 2.0**-150  # half of the smallest number above 0, which rounds to 0
NUMBERS = (int, float, np.floating)


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
    tiles       the same words in the order in which the register tiles read them
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
