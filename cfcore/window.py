"""One output of a bitwise convolution, spelled out word by word: the sum that the kernels form in registers.

A window is the part of the input that a filter meets at one output. With | | for the number of ones, and the bit planes
a_j of the activations and u_i of the weights (`bitpack`: bit 1 is +1),

    ±1 activations:  Σ a·b = Σ_i 2^i (K - 2 |a ^ u_i| + correction_i)         K products
    levels:          Σ a·b = Σ_ij 2^(i+j) (2 |a_j & u_i| - |a_j|)

A tap outside the input counts as zero, as in a padded float convolution. It is stored as bits 0: of levels they add
nothing; of ±1 they read as -1, and correction_i = Σ b_i over those taps takes back what they add. The kernels keep the
corrections in a table (`kernels.operands.border_corrections`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cfcore import bitpack
from cfcore.errors import bad_value


@dataclass(frozen=True)
class Flip:
    """One bit to turn over: of which operand, and where.

    >>> Flip.parse(str(Flip("weight", plane=0, tap=3, channel=17)))
    Flip(operand='weight', plane=0, tap=3, channel=17)
    """

    operand: Literal["activation", "weight"]
    plane: int
    tap: int
    channel: int

    def __str__(self) -> str:
        return f"{self.operand}.{self.plane}.{self.tap}.{self.channel}"

    @classmethod
    def parse(cls, text: str) -> Flip:
        """The flip that is spelled so. Raises ConfigError."""
        found = re.fullmatch(r"(activation|weight)\.(\d{1,6})\.(\d{1,6})\.(\d{1,6})", text, re.ASCII)
        if found is None:
            allowed = "activation or weight, then plane, tap and channel, such as weight.0.3.17"
            raise bad_value("flip", text, allowed, "Choose a bit of the window.")
        operand: Any = found[1]
        return cls(operand, *(int(number) for number in found.groups()[1:]))


@dataclass(frozen=True)
class Step:
    """What one tap adds to the sum of a pair of planes.

    tap          row·kernel + column
    inside       whether it lies within the input
    activations  bits 0 or 1, by channel
    weights      the same
    joined       their exclusive or for ±1 activations, their and for levels
    count        ones in `joined`
    ones         ones in `activations`
    correction   Σ b over the tap where it is padded and activations are ±1, else 0
    adds         channels - 2·count + correction, or 2·count - ones
    total        of this step and all before
    float_total  the same in float arithmetic on the numbers that the bits stand for, padded taps zero
    """

    tap: int
    inside: bool
    activations: tuple[int, ...]
    weights: tuple[int, ...]
    joined: tuple[int, ...]
    count: int
    ones: int
    correction: int
    adds: int
    total: int
    float_total: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class PlaneProduct:
    """The sum of one pair of planes over the window, and its share 2^(i+j)·sum of the whole.

    activation_plane  j
    weight_plane      i
    count, ones       popcounts over all words
    correction        of padded taps
    """

    activation_plane: int
    weight_plane: int
    count: int
    ones: int
    correction: int
    sum: int
    factor: int
    product: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Window:
    """The integers of one window.

    activations  [C, T], T = kernel² taps: ±1 at one bit, 0..2^k_a - 1 above; 0 at padded taps
    weights      [C, T]: odd integers of k_w bits
    inside       bool [T]
    """

    activations: NDArray[np.int64]
    weights: NDArray[np.int64]
    inside: NDArray[np.bool_]
    activation_bits: int
    weight_bits: int

    @property
    def signed(self) -> bool:
        """±1 activations, rather than unsigned levels."""
        return self.activation_bits == 1

    @property
    def channels(self) -> int:
        return len(self.activations)

    @property
    def taps(self) -> int:
        return len(self.inside)

    @property
    def products(self) -> int:
        """K, padded taps counted."""
        return self.channels * self.taps

    @property
    def words(self) -> int:
        """Words of the kernels in one pair of planes."""
        return self.taps * bitpack.words(self.channels)

    def of_channels(self, first: int, count: int) -> Window:
        """The same window with some of the channels."""
        some = slice(first, first + count)
        return replace(self, activations=self.activations[some], weights=self.weights[some])

    def activation_plane(self, j: int) -> bitpack.Bits:
        """Bits a_j [C, T]; a padded tap is 0."""
        return bitpack.digits(np.maximum(self.activations, 0), self.activation_bits)[j]

    def weight_plane(self, i: int) -> bitpack.Bits:
        """Bits u_i [C, T]."""
        return bitpack.weight_planes(self.weights, self.weight_bits)[i]


def window(
    levels: NDArray[Any],
    weights: NDArray[Any],
    row: int,
    column: int,
    *,
    stride: int,
    padding: int,
    activation_bits: int,
    weight_bits: int,
) -> Window:
    """The window of output (row, column). levels [C, H, W], weights of one filter [C, kernel, kernel].

    Raises ConfigError where there is no such output, and for numbers that so many bits cannot hold.
    """
    (channels, *size), kernel = levels.shape, weights.shape[-1]
    if weights.shape != (channels, kernel, kernel):
        allowed = f"({channels}, k, k), as levels have {channels} channels"
        raise bad_value("weights' shape", weights.shape, allowed, "Give both of one layer.")
    top = 2**activation_bits - 1
    held = np.abs(levels) == 1 if activation_bits == 1 else np.isin(levels, np.arange(top + 1))
    if not held.all():
        allowed = "+1 or -1" if activation_bits == 1 else f"a whole number from 0 to {top}"
        raise bad_value("levels", levels[~held][0].item(), allowed, "Quantize the activations first.")
    bitpack.check_odd(weights, weight_bits)
    for name, value, length in zip(("row", "column"), (row, column), size, strict=True):
        outputs = (length + 2 * padding - kernel) // stride + 1
        if not 0 <= value < outputs:
            raise bad_value(name, value, f"a whole number from 0 to {outputs - 1}", "Choose an output of the layer.")
    border = (padding, padding)
    top, left = row * stride, column * stride
    part = np.s_[..., top : top + kernel, left : left + kernel]
    met = np.pad(levels.astype(np.int64), ((0, 0), border, border))[part]
    inside = np.pad(np.ones(size, bool), (border, border))[part]
    return Window(
        met.reshape(channels, -1),
        weights.astype(np.int64).reshape(channels, -1),
        inside.reshape(-1),
        activation_bits,
        weight_bits,
    )


def flipped(window: Window, flips: Iterable[Flip]) -> Window:
    """The window with some bits turned over, each once; the numbers change as the bits say.

    Raises ConfigError for a bit that the window does not have, as an activation outside the input.

    >>> w = Window(np.array([[1]]), np.array([[-3]]), np.array([True]), activation_bits=1, weight_bits=2)
    >>> turned = flipped(w, [Flip("activation", 0, 0, 0), Flip("weight", 1, 0, 0)])
    >>> turned.activations.tolist(), turned.weights.tolist()
    ([[-1]], [[1]])
    """
    activations, weights, top = window.activations.copy(), window.weights.copy(), bitpack.levels(window.weight_bits)
    for flip in set(flips):
        planes = window.weight_bits if flip.operand == "weight" else window.activation_bits
        if not (0 <= flip.plane < planes and 0 <= flip.tap < window.taps and 0 <= flip.channel < window.channels):
            allowed = f"planes from 0 to {planes - 1}, taps to {window.taps - 1}, channels to {window.channels - 1}"
            raise bad_value("flip", str(flip), allowed, "Choose a bit of the window.")
        at = flip.channel, flip.tap
        if flip.operand == "weight":
            weights[at] = 2 * (((weights[at] + top) >> 1) ^ (1 << flip.plane)) - top
        elif not window.inside[flip.tap]:
            raise bad_value("flip", str(flip), "a tap inside the input: this one is padding", "Choose another bit.")
        else:
            activations[at] = -activations[at] if window.signed else activations[at] ^ (1 << flip.plane)
    return replace(window, activations=activations, weights=weights)


def steps(window: Window, activation_plane: int = 0, weight_plane: int = 0) -> tuple[Step, ...]:
    """Tap by tap, what one pair of planes adds up to."""
    a, u = window.activation_plane(activation_plane).T, window.weight_plane(weight_plane).T  # [T, C]
    joined = a ^ u if window.signed else a & u
    counts, ones = _popcount(joined), _popcount(a)
    corrections = _corrections(window, u)
    adds = window.channels - 2 * counts + corrections if window.signed else 2 * counts - ones
    floats = _float_taps(window, a, u)
    return tuple(
        Step(
            tap,
            bool(window.inside[tap]),
            tuple(a[tap].tolist()),
            tuple(u[tap].tolist()),
            tuple(joined[tap].tolist()),
            int(counts[tap]),
            int(ones[tap]),
            int(corrections[tap]),
            int(adds[tap]),
            int(adds[: tap + 1].sum()),
            float(floats[: tap + 1].sum()),
        )
        for tap in range(window.taps)
    )


def plane_products(window: Window) -> tuple[PlaneProduct, ...]:
    """Every pair of planes; their products add up to the convolution's integer."""
    found = []
    weights = [window.weight_plane(i).T for i in range(window.weight_bits)]  # [T, C] each
    for j in range(window.activation_bits):
        a = window.activation_plane(j).T  # [T, C]
        ones = int(_popcount(a).sum())
        for i, u in enumerate(weights):
            count = int(_popcount(a ^ u if window.signed else a & u).sum())
            correction = int(_corrections(window, u).sum())
            total = window.products - 2 * count + correction if window.signed else 2 * count - ones
            found.append(PlaneProduct(j, i, count, ones, correction, total, 2 ** (i + j), 2 ** (i + j) * total))
    return tuple(found)


def float_sum(window: Window) -> float:
    """Σ a·q in float arithmetic, without a bit trick.

    >>> float_sum(Window(np.array([[1, -1]]), np.array([[3, 1]]), np.array([True, True]), 1, 2))
    2.0
    """
    return float(np.dot(window.activations.ravel().astype(np.float64), window.weights.ravel().astype(np.float64)))


def scaled(total: int, alpha: float, step: float = 1.0) -> float:
    """alpha·step·total in float32, as the kernels scale their integers.

    >>> scaled(-6, 0.5)
    -3.0
    """
    return float(np.float32(total) * (np.float32(alpha) * np.float32(step)))


def _popcount(bits: NDArray[Any]) -> NDArray[np.int64]:
    """Ones of bits [T, C], counted on packed words. -> [T]"""
    return np.bitwise_count(bitpack.pack_words(bits)).sum(axis=-1, dtype=np.int64)


def _corrections(window: Window, u: NDArray[Any]) -> NDArray[np.int64]:
    """Σ b over each padded tap, for ±1 activations. u [T, C] -> [T]"""
    if not window.signed:
        return np.zeros(window.taps, np.int64)
    return np.where(window.inside, 0, 2 * _popcount(u) - window.channels)


def _float_taps(window: Window, a: NDArray[Any], u: NDArray[Any]) -> NDArray[np.float64]:
    """Σ a_j·b_i of each tap in float arithmetic, for planes [T, C]. -> [T]"""
    numbers = a.astype(np.float64)
    if window.signed:
        numbers = np.where(window.inside[:, None], 2 * numbers - 1, 0.0)
    return (numbers * (2 * u.astype(np.float64) - 1)).sum(axis=1)
