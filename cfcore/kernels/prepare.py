"""What is done once: weights in the order of the tiles, tables of pixels and taps, and the job that points at them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import bitpack
from cfcore.errors import bad_value
from cfcore.kernels.convolve import TALLEST, block_vectors
from cfcore.kernels.isa import ISA
from cfcore.kernels.job import SEGMENT_FIELDS, TABLE_FIELDS, Job, address
from cfcore.kernels.operands import PackedFilters, border_class, border_corrections
from cfcore.kernels.shape import ConvShape
from cfcore.kernels.tile import BYTE_STEPS


def prepare_filters(q: NDArray[Any], shape: ConvShape) -> PackedFilters:
    """Arrange odd integers q [F, C/groups, kh, kw] for the tiles, or float32 for a float shape; once per layer.

    Raises ConfigError for other shapes and for weights that are not odd integers of k_w bits.
    """
    expected = (shape.filters, shape.group_channels, shape.kernel, shape.kernel)
    if q.shape != expected:
        raise bad_value("shape of the weights", q.shape, str(expected), "Check the layer that they belong to.")
    if shape.floats:
        words: NDArray[Any] = q.astype(np.float32)[None]  # [1, F, C/groups, kh, kw]
    else:
        planes = bitpack.weight_planes(q, shape.weight_bits).reshape(-1, *expected)  # [k_w, F, C/groups, kh, kw]
        words = bitpack.pack_words(planes.transpose(0, 1, 3, 4, 2))  # [k_w, F, kh, kw, words]
    corrections = border_corrections(q, shape) if shape.signed else np.zeros((1, shape.filters), np.int32)
    return PackedFilters(shape, words, _tile_order(words, shape), per_vector(corrections, shape), _segments(shape))


def per_vector(values: NDArray[Any], shape: ConvShape, tail: float = 0) -> NDArray[Any]:
    """Numbers [..., F] as [..., groups, W]: those of each group filled up to whole units, on a cache line."""
    whole = aligned((*values.shape[:-1], shape.groups, whole_filters(shape)), values.dtype)
    whole[...] = tail
    whole[..., : shape.group_filters] = values.reshape(*values.shape[:-1], shape.groups, shape.group_filters)
    return whole


def whole_filters(shape: ConvShape) -> int:
    """W: the filters of a group, rounded up to whole units (see `isa`)."""
    return -(-shape.group_filters // ISA.unit) * ISA.unit


def _tile_order(words: NDArray[Any], shape: ConvShape) -> NDArray[Any]:
    """Words [k_w, F, kh, kw, words] to blocks of filters, one after the other: [k_w, kh, kw, words, filters of block].

    The filters of a group are filled up with zeros to whole units; `convolve.block_vectors` says how wide a block is.
    """
    by_step = per_vector(np.moveaxis(words, 1, -1), shape)  # [k_w, kh, kw, words, groups, W]
    tiles = aligned((by_step.size,), words.dtype)
    end = 0
    for group in range(shape.groups):
        first = 0
        while first < shape.group_filters:
            width = block_vectors.py_func(shape.group_filters - first) * ISA.lanes
            block = by_step[..., group, first : first + width]
            tiles[end : end + block.size] = block.reshape(-1)
            first, end = first + width, end + block.size
    return tiles


def _segments(shape: ConvShape) -> NDArray[np.int64]:
    """The order in which a tile visits plane pairs: int64 [segments, 4], see `tile`.

    Pairs (j, i) of activation and weight planes come in falling order of 2^(i+j); the first segment of each new sum
    i + j doubles what was counted so far (Horner's rule).
    """
    if shape.floats:
        return np.array([[0, 0, shape.steps, 0]], np.int64)
    at_once = shape.steps if ISA.counts_words else BYTE_STEPS
    pairs = [(j, i) for j in range(shape.activation_bits) for i in range(shape.weight_bits)]
    rows: list[tuple[int, int, int, int]] = []
    power = shape.activation_bits + shape.weight_bits - 2
    for j, i in sorted(pairs, key=sum, reverse=True):
        for start in range(0, shape.steps, at_once):
            rows.append(
                (j * shape.steps + start, i * shape.steps + start, min(at_once, shape.steps - start), power - (i + j))
            )
            power = i + j
    return np.array(rows, np.int64).reshape(-1, SEGMENT_FIELDS)


MOST_PLANS = 64
"""Sizes of input whose tables are kept with a layer."""

# ---- tables for a size of input ----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def tap_offsets(shape: ConvShape, height: int, width: int) -> NDArray[np.int64]:
    """Bytes from the first word under a window to each of its words: [k_a · kh · kw · words], plane by plane.

    Floats are added channel by channel, [C/groups · kh · kw]: the order of a matrix product with plain weights.
    """
    rows, columns = height + 2 * shape.padding, width + 2 * shape.padding
    if shape.floats:
        plane, word, row, column = np.indices((1, shape.group_words, shape.kernel, shape.kernel))
    else:
        plane, row, column, word = np.indices((shape.planes, shape.kernel, shape.kernel, shape.group_words))
    pixels = (plane * rows + row * shape.dilation) * columns + column * shape.dilation
    return (4 * (pixels * shape.words + word)).reshape(-1).astype(np.int64)


@lru_cache(maxsize=64)
def pixel_table(shape: ConvShape, height: int, width: int, following: ConvShape | None = None) -> NDArray[np.int32]:
    """int32 [OH·OW + a tile's height, 4], as `job` has it; the last pixel is repeated at the end.

    following  the convolution whose input the outputs are

    Raises ConfigError for an input so large that an offset does not fit.
    """
    oh, ow = shape.output_size(height, width)
    columns, side = width + 2 * shape.padding, shape.clip + 1
    y, x = (axis.reshape(-1) for axis in np.indices((oh, ow)))
    starts = 4 * (y * columns + x) * shape.stride * shape.words
    by_row, by_column = (
        np.array([border_class(i * shape.stride - shape.padding, size, shape) for i in range(outputs)])
        for outputs, size in ((oh, height), (ow, width))
    )
    classes = by_row[y] * side**2 + by_column[x] if shape.signed else 0 * y
    corrections = 4 * classes * shape.groups * whole_filters(shape)
    padding, words = (following.padding, following.words) if following else (0, 0)
    places = 4 * ((y + padding) * (ow + 2 * padding) + x + padding) * words
    table = np.stack([starts, corrections, np.arange(oh * ow), places], axis=1)
    if table.max() * shape.planes > 2**31 - 1:
        raise bad_value("size of the input", (height, width), "fewer pixels", "Cut the input into parts.")
    repeated = np.repeat(table[-1:], TALLEST, axis=0)
    return np.ascontiguousarray(np.concatenate([table, repeated]), np.int32).reshape(-1, TABLE_FIELDS)


@dataclass(frozen=True, eq=False)
class Plan:
    """A convolution ready to run on inputs of one size.

    job     int64 [1, fields of Job]: all but the addresses of the image and of what follows
    output  (OH, OW)
    words   sizes of the packed words of one image
    window  columns of the output, rows under a window, stride, padding
    kept    the arrays that the job points at, beside those of the filters
    """

    job: NDArray[np.int64]
    output: tuple[int, int]
    words: tuple[int, int, int, int, int]
    window: tuple[int, int, int, int]
    kept: tuple[NDArray[Any], ...]


def plan(filters: PackedFilters, height: int, width: int, following: ConvShape | None = None) -> Plan:
    """The plan for an input of that size; made once, and kept with the filters. Raises ConfigError as its parts do.

    following  the convolution that the outputs are packed for
    """
    key = height, width, following
    found: Plan | None = filters.plans.get(key)
    if found is not None:
        return found
    shape = filters.shape
    table, offsets = pixel_table(shape, height, width, following), tap_offsets(shape, height, width)
    job = Job(
        kind=shape.kind,
        table=address(table),
        pixels=len(table) - TALLEST,
        offsets=address(offsets),
        segments=address(filters.segments),
        segment_count=len(filters.segments),
        weights=address(filters.tiles),
        weight_rows=len(filters.words) * shape.steps,
        groups=shape.groups,
        group_bytes=4 * shape.group_words,
        filters=shape.group_filters,
        corrections=address(filters.correction),
        out_bytes=4 * shape.filters,
    )
    if len(filters.plans) >= MOST_PLANS:
        filters.plans.clear()
    output = shape.output_size(height, width)
    words = 1, shape.planes, height + 2 * shape.padding, width + 2 * shape.padding, shape.words
    window = output[1], shape.dilation * (shape.kernel - 1) + 1, shape.stride, shape.padding
    made = Plan(np.array([job], np.int64), output, words, window, (table, offsets))
    filters.plans[key] = made
    return made


def aligned(shape: tuple[int, ...], dtype: Any, new: Callable[..., Any] = np.zeros) -> NDArray[Any]:
    """Zeros (or, with np.empty, anything) that start on a cache line, so that no vector straddles two."""
    size = np.dtype(dtype).itemsize * math.prod(shape)
    buffer = new(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(dtype).reshape(shape)
