"""The fast kernels: prepare filters once, pack activations, convolve. Same arguments and results as `reference`.

Nothing here multiplies: bits are packed by fused loops over the floats, and counted in the register tiles of `tile`.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import bitpack
from cfcore.errors import bad_value
from cfcore.kernels import reference
from cfcore.kernels.isa import ISA
from cfcore.kernels.operands import ConvShape, PackedActivations, PackedFilters, border_corrections, check_match
from cfcore.kernels.packing import pack_levels, pack_signs, scale_sums
from cfcore.kernels.threads import ALONE, Threads
from cfcore.kernels.tile import BYTE_STEPS, SEGMENT_FIELDS, Geometry, convolve


def prepare_filters(q: NDArray[Any], shape: ConvShape) -> PackedFilters:
    """Arrange odd integers q [F, C, kh, kw] for the register tiles; once per layer.

    Raises ConfigError for other shapes and for weights that are not odd integers of k_w bits.
    """
    expected = (shape.filters, shape.channels, shape.kernel, shape.kernel)
    if q.shape != expected:
        raise bad_value("shape of the weights", q.shape, str(expected), "Check the layer that they belong to.")
    planes = bitpack.weight_planes(q, shape.weight_bits).reshape(-1, *expected)  # [k_w, F, C, kh, kw]
    words = bitpack.pack_words(planes.transpose(0, 1, 3, 4, 2))  # [k_w, F, kh, kw, words]
    whole = -(-shape.filters // ISA.lanes) * ISA.lanes
    if shape.signed:
        correction = _aligned((len(border_rows := border_corrections(q, shape)), whole), np.int32)
        correction[:, : shape.filters] = border_rows
    else:
        correction = np.zeros((1, whole), np.int32)
    return PackedFilters(shape, words, _tile_order(words, whole), correction, _segments(shape))


def pack_activations(
    x: NDArray[Any],
    shape: ConvShape,
    scale: NDArray[np.float32] | None = None,
    shift: NDArray[np.float32] | None = None,
    step: float = 1.0,
    threads: Threads = ALONE,
) -> PackedActivations:
    """Quantize numbers x [N, H, W, C] and pack them, in one pass: see `reference.quantize_activations` for the formula.

    x            float32, or the int32 sums of `conv2d`; best contiguous, though any strides do
    scale, shift float32 [C], or None for 1 and 0: a batch normalisation costs nothing extra here
    step         of the levels; unused at one bit
    threads      share out the rows

    Raises ConfigError for other shapes and types, and for a step that is not above 0.
    """
    reference.check_input(x, shape)
    if x.dtype not in (np.float32, np.int32):
        raise bad_value("type of the activations", str(x.dtype), "float32 or int32", "Convert them with astype.")
    if not step > 0:
        raise bad_value("step", step, "a number above 0", "Calibrate the layer.")
    # behind the last channel 0·x - 1 < 0 gives bit 0 and level 0
    ones, zeros = _identity(shape)
    factors = ones if scale is None else _whole_words("scale", scale, shape, tail=0)
    terms = zeros if shift is None else _whole_words("shift", shift, shape, tail=-1)
    n, h, w, _ = x.shape
    padded = (n, h + 2 * shape.padding, w + 2 * shape.padding)
    packed = np.zeros((shape.activation_bits, *padded, shape.words), np.uint32)
    if shape.signed:
        sums = np.zeros((0, 0, 0), np.int32)
        threads.share(n * h, partial(pack_signs, x, factors, terms, shape.padding, packed))
    else:
        sums = np.zeros(padded, np.int32)
        limits = np.float32(step), np.float32(shape.max_level)
        threads.share(n * h, partial(pack_levels, x, factors, terms, *limits, shape.padding, packed, sums))
    return PackedActivations(shape, packed, sums)


def conv2d(activations: PackedActivations, filters: PackedFilters, threads: Threads = ALONE) -> NDArray[np.int32]:
    """int32 [N, OH, OW, F]: exactly the convolution of the integers, with padded taps zero; threads share the pixels.

    Raises ConfigError where the two were packed for different convolutions.
    """
    check_match(activations, filters)
    shape = filters.shape
    geometry = Geometry(shape.kernel, shape.stride, shape.padding, shape.clip, shape.max_weight)
    base = filters.correction if shape.signed else activations.level_sums
    n, oh, ow, f = activations.output_shape
    out = np.empty((n, oh, ow, f), np.int32)
    work = partial(convolve, activations.words, filters.tiles, base, filters.segments, geometry, out)
    threads.share(n * oh * ow, work)
    return out


def to_float(
    sums: NDArray[np.int32],
    scale: NDArray[np.float32],
    shift: NDArray[np.float32] | None = None,
    threads: Threads = ALONE,
) -> NDArray[np.float32]:
    """float32 sums·scale[f] + shift[f], for sums [..., F] and one scale (and shift) per filter.

    Raises ConfigError for other shapes.
    """
    filters = sums.shape[-1]
    factors = _per_channel("scale", scale, filters)
    terms = np.zeros(filters, np.float32) if shift is None else _per_channel("shift", shift, filters)
    out = np.empty(sums.shape, np.float32)
    rows = sums.reshape(-1, filters)
    threads.share(len(rows), partial(scale_sums, rows, factors, terms, out.reshape(-1, filters)))
    return out


# ---- arranging the weights -------------------------------------------------------------------------------------


def _tile_order(words: bitpack.Words, whole: int) -> bitpack.Words:
    """Words [k_w, F, kh, kw, words] to blocks of filters, one after the other: [k_w, kh, kw, words, filters of block].

    Filters are filled up with zeros to `whole` vectors; only the last block may hold fewer vectors than a tile can.
    """
    by_step = np.zeros((*words.shape[:1], *words.shape[2:], whole), np.uint32)  # [k_w, kh, kw, words, whole]
    by_step[..., : words.shape[1]] = np.moveaxis(words, 1, -1)
    tiles = _aligned((by_step.size,), np.uint32)
    end = 0
    for first in range(0, whole, ISA.vectors * ISA.lanes):
        block = by_step[..., first : first + ISA.vectors * ISA.lanes]
        tiles[end : end + block.size] = block.reshape(-1)
        end += block.size
    return tiles


def _segments(shape: ConvShape) -> NDArray[np.int64]:
    """The order in which a tile visits plane pairs: int64 [segments, 4], see `tile`.

    Pairs (j, i) of activation and weight planes come in falling order of 2^(i+j); the first segment of each new sum
    i + j doubles what was counted so far (Horner's rule).
    """
    steps = shape.kernel**2 * shape.words
    at_once = steps if ISA.counts_words else BYTE_STEPS
    pairs = [(j, i) for j in range(shape.activation_bits) for i in range(shape.weight_bits)]
    rows: list[tuple[int, int, int, int]] = []
    power = shape.activation_bits + shape.weight_bits - 2
    for j, i in sorted(pairs, key=sum, reverse=True):
        for start in range(0, steps, at_once):
            rows.append((j * steps + start, i * steps + start, min(at_once, steps - start), power - (i + j)))
            power = i + j
    return np.array(rows, np.int64).reshape(-1, SEGMENT_FIELDS)


@lru_cache(maxsize=256)
def _identity(shape: ConvShape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scales of 1 and shifts of 0, for a caller who gives none; nobody writes to them."""
    ones, zeros = np.ones(shape.channels, np.float32), np.zeros(shape.channels, np.float32)
    return _whole_words("scale", ones, shape, tail=0), _whole_words("shift", zeros, shape, tail=-1)


def _whole_words(name: str, values: NDArray[np.float32], shape: ConvShape, tail: float) -> NDArray[np.float32]:
    """One number per channel, and `tail` behind the last channel up to the end of its word."""
    whole = np.full(shape.words * bitpack.WORD_BITS, tail, np.float32)
    whole[: shape.channels] = _per_channel(name, values, shape.channels)
    return whole


def _per_channel(name: str, values: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    if np.shape(values) != (channels,):
        raise bad_value(f"shape of {name}", np.shape(values), f"({channels},)", "Give one number per channel.")
    return np.ascontiguousarray(values, np.float32)


def _aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros that start on a cache line, so that no vector straddles two."""
    size = 4 * math.prod(shape)
    buffer = np.zeros(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(dtype).reshape(shape)
