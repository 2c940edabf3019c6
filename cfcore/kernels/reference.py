"""The readable convolution: loops over planes, taps and words, bits counted by numpy. The slow twin of `packed`.

Same arguments, same results, no tiles: what a test or a reader compares the fast kernels with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import bitpack
from cfcore.errors import bad_value
from cfcore.kernels.operands import PackedActivations, PackedFilters, border_class, check_match, check_packable
from cfcore.kernels.shape import ConvShape


def quantize_activations(x: NDArray[np.float32], shape: ConvShape, step: float = 1.0) -> NDArray[np.int16]:
    """Numbers x [N, H, W, C] to integers.

    One bit: x >= 0 gives +1, anything else (a NaN too) -1; k_a bits: rint(x / step) in float32, half to even, limited
    to 0..2^k_a - 1, a NaN to 0.
    """
    if shape.signed:
        return np.where(x >= 0, 1, -1).astype(np.int16)
    level = np.rint(x / np.float32(step))
    return np.where(level > 0, np.minimum(level, shape.max_level), 0).astype(np.int16)


def pack_levels(a: NDArray[Any], shape: ConvShape) -> PackedActivations:
    """Integers a [N, H, W, C], ±1 at one bit and 0..2^k_a - 1 above, packed with the zero border of `shape`.

    Raises ConfigError for other values and other channels.
    """
    check_input(a, shape)
    allowed = "-1 or 1" if shape.signed else f"a whole number from 0 to {shape.max_level}"
    wrong = (a != 1) & (a != -1) if shape.signed else (a < 0) | (a > shape.max_level) | (a != np.floor(a))
    if wrong.any():
        raise bad_value("activation", a[wrong][0].item(), allowed, "Quantize the activations first.")
    a = np.maximum(a, 0).astype(np.int32)
    border = ((0, 0), (shape.padding, shape.padding), (shape.padding, shape.padding), (0, 0))
    planes = bitpack.digits(np.pad(a, border), shape.activation_bits)  # [k_a, N, H + 2p, W + 2p, C]
    by_group = planes.reshape(*planes.shape[:4], shape.groups, shape.group_channels)
    words = bitpack.pack_words(by_group).reshape(*planes.shape[:4], shape.words)
    return PackedActivations(shape, np.ascontiguousarray(words.swapaxes(0, 1)))


def conv2d(activations: PackedActivations, filters: PackedFilters) -> NDArray[np.int32]:
    """int32 [N, OH, OW, F]: exactly the convolution of the integers, with padded taps zero (formula in `operands`)."""
    check_match(activations, filters)
    shape = filters.shape
    n, oh, ow, f = activations.output_shape
    bits_in_common = np.bitwise_xor if shape.signed else np.bitwise_and
    count, levels = np.zeros((2, n, oh, ow, f), np.int64)
    for g in range(shape.groups):
        of_group = slice(g * shape.group_filters, (g + 1) * shape.group_filters)
        for row, column, word in np.ndindex(shape.kernel, shape.kernel, shape.group_words):
            for j in range(shape.activation_bits):
                under_tap = _under_tap(activations, j, row, column, g * shape.group_words + word)  # [N, OH, OW, 1]
                levels[..., of_group] += np.bitwise_count(under_tap).astype(np.int64) << j
                for i in range(shape.weight_bits):
                    both = bits_in_common(under_tap, filters.words[i, of_group, row, column, word])
                    count[..., of_group] += np.bitwise_count(both).astype(np.int64) << (i + j)
    result = _corrections(activations, filters) - 2 * count if shape.signed else 2 * count - shape.max_weight * levels
    return result.astype(np.int32)


def check_input(x: NDArray[Any], shape: ConvShape) -> None:
    """Refuse anything but [N, H, W, C] with the C of `shape` and room for its kernel, and shapes of float layers."""
    check_packable(shape)
    if x.ndim != 4 or x.shape[3] != shape.channels:
        allowed = f"[N, H, W, {shape.channels}], channels last"
        raise bad_value("shape of the activations", x.shape, allowed, "Transpose the input, or pack for another shape.")
    shape.output_size(x.shape[1], x.shape[2])


def _under_tap(activations: PackedActivations, plane: int, row: int, column: int, word: int) -> NDArray[np.uint32]:
    """The words [N, OH, OW, 1] of a plane that one tap of the kernel meets at each output."""
    shape = activations.shape
    _, oh, ow, _ = activations.output_shape
    rows, columns = (
        slice(tap * shape.dilation, tap * shape.dilation + shape.stride * (outputs - 1) + 1, shape.stride)
        for tap, outputs in ((row, oh), (column, ow))
    )
    return activations.words[:, plane, rows, columns, word, None]


def _corrections(activations: PackedActivations, filters: PackedFilters) -> NDArray[np.int32]:
    """The row of the correction table that belongs to each output: int32 [1, OH, OW, F]."""
    shape = filters.shape
    _, oh, ow, f = activations.output_shape
    rows = np.array([border_class(y * shape.stride - shape.padding, activations.height, shape) for y in range(oh)])
    columns = np.array([border_class(x * shape.stride - shape.padding, activations.width, shape) for x in range(ow)])
    classes = rows[:, None] * (shape.clip + 1) ** 2 + columns  # [OH, OW]
    return filters.correction[None, classes, :, : shape.group_filters].reshape(1, oh, ow, f)
