"""The loops around the register tile: pixels × blocks of filters, and the way out in channels-first order.

All filters visit a chunk of pixels before the next ones, so that its words stay in the first cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cfcore.kernels.emit import F32, Emitter, const
from cfcore.kernels.epilogue import finish
from cfcore.kernels.isa import ISA, compiled
from cfcore.kernels.job import AT, FLOATS, LEVELS, MAXIMA, SIGNS, TABLE_FIELDS, TOTALS
from cfcore.kernels.tile import Tile

LANES, VECTORS, UNIT = ISA.lanes, ISA.vectors, ISA.unit
TALLEST = max(ISA.heights.values())

CHUNK, PLANAR_CHUNK = 240, 80
"""Output pixels of a chunk, channels last and channels first: multiples of each height and of `SQUARE`. The second is
smaller because a block's results wait in the first cache until they are transposed."""

PLANAR_BYTES = 4 * VECTORS * LANES
"""Bytes of a pixel's results of a block of filters, on their way to channels-first order: what `out_bytes` is then."""

CACHE_LINE = 64

FETCHED_ROWS = -(-VECTORS * LANES * ISA.heights[VECTORS] // PLANAR_CHUNK)
"""Rows of channels-first results that are fetched into the cache with each of the widest tiles: by the end of a chunk,
all of its block's. They come while the tile counts, which leaves memory idle."""

SQUARE = 16
"""Filters × pixels that are transposed in registers."""


def _round(apart: int, low: list[int], step: int) -> tuple[int, ir.Constant, ir.Constant]:
    picks = [ir.Constant(ir.VectorType(ir.IntType(32), SQUARE), [i + more for i in low]) for more in (0, step)]
    return apart, *picks


QUARTERS, BOTH, FOUR = (0, 4, 8, 12), (0, SQUARE), (0, 1, 2, 3)
ROUNDS = (
    _round(1, [q + i + row for q in QUARTERS for i in (0, 1) for row in BOTH], 2),
    _round(2, [q + i + row for q in QUARTERS for row in BOTH for i in (0, 1)], 2),
    _round(4, [q + i + row for row in BOTH for q in (0, 8) for i in FOUR], 4),
    _round(8, [q + i + row for row in BOTH for q in (0, 8) for i in FOUR], 4),
)
"""Of a transposition: how far apart two rows lie that are merged, and the numbers that the first and the second take
of both. Numbers interleave, then pairs, within each quarter; then quarters change places. Each pick is one instruction
that any two vectors can do, unlike a free permutation."""


# ---- vector code, as functions of numba -------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def register_tile(
    typing_context: Any,
    job: Any,
    rows: Any,
    words: Any,
    weights: Any,
    out: Any,
    parameters: Any,
    first: Any,
    left: Any,
    kind: Any,
    height: Any,
    vectors: Any,
) -> Any:
    """Convolve `height` pixels with `vectors` vectors of filters, and finish; the last three are literals.

    Addresses: the job; its table from the first pixel on; the group's words; the block's weights; the output row of
    pixel 0. And `parameters`, `first`, `left` as in `epilogue.finish`. Nothing is checked: the caller has.
    """
    literals = [value.literal_value for value in (kind, height, vectors) if isinstance(value, types.Literal)]
    if len(literals) < 3:
        return None

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        emit_tile(Tile(b, ISA, *literals), *args[:8])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8, kind, height, vectors), codegen


def emit_tile(tile: Tile, job: Any, rows: Any, words: Any, weights: Any, out: Any, *place: Any) -> None:
    """The whole tile: count, results, and what follows. Arguments as for `register_tile`."""
    counts, windows = tile.count(job, rows, words, weights)
    results = tile.results(job, rows, counts, windows, place[0])
    finish(tile, job, rows, results, out, dict(zip(("parameters", "first", "left"), place, strict=True)))


@intrinsic
def transpose_square(typing_context: Any, source: Any, source_row: Any, to: Any, to_row: Any) -> Any:
    """Copy SQUARE rows of SQUARE 4-byte numbers as columns; addresses, and bytes from row to row."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e, vector = Emitter(b), ir.VectorType(F32, SQUARE)
        rows = [e.load(vector, args[0], b.mul(args[1], const(i))) for i in range(SQUARE)]
        for apart, low, high in ROUNDS:
            rows = [
                b.shuffle_vector(rows[i & ~apart], rows[i | apart], high if i & apart else low) for i in range(SQUARE)
            ]
        for i, row in enumerate(rows):
            column = i & 12 | (i & 1) << 1 | (i & 2) >> 1  # the rounds leave its lowest two bits exchanged
            e.store(row, args[2], b.mul(args[3], const(column)))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@intrinsic
def copy_number(typing_context: Any, source: Any, to: Any) -> Any:
    """Copy four bytes from one address to another."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Emitter(b)
        e.store(e.load(ir.IntType(32), args[0]), args[1])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def fetch_to_write(typing_context: Any, to: Any, row_bytes: Any) -> Any:
    """Fetch FETCHED_ROWS rows of PLANAR_CHUNK numbers into the cache, to be written soon. Any addresses will do."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Emitter(b)
        for row in range(FETCHED_ROWS):
            start = e.at(args[0], b.mul(args[1], const(row)))
            for line in range(0, 4 * PLANAR_CHUNK, CACHE_LINE):
                e.prefetch_to_write(start, line)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


# ---- loops -------------------------------------------------------------------------------------------------------


@compiled
def aligned_bytes(size):  # type: ignore[no-untyped-def]
    """Memory that starts on a cache line, so that no vector straddles two."""
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size]


@compiled
def block_vectors(left):  # type: ignore[no-untyped-def]
    """Vectors of the next block of filters, when so many filters are left."""
    if VECTORS == 4 and left > 3 * LANES:
        return 4
    return 2 if left > LANES or UNIT > LANES else 1


def _image_loop(kind: int) -> Any:
    """The loop over the output pixels begin ≤ p < end of one image, for one kind of words."""
    heights = ISA.float_heights if kind == FLOATS else ISA.heights
    height_1, height_2, height_4 = (heights.get(vectors, 1) for vectors in (1, 2, 4))

    @compiled
    def convolve_image(job, begin, end):  # type: ignore[no-untyped-def]
        where, filters = job.ctypes.data, job[AT.filters]
        whole = -(-filters // UNIT) * UNIT
        planar = job[AT.planar]
        size = PLANAR_CHUNK if planar else CHUNK
        scratch = aligned_bytes((PLANAR_CHUNK + TALLEST) * PLANAR_BYTES if planar else 0)
        row_bytes = 4 * job[AT.pixels]
        for chunk in range(begin, end, size):
            chunk_end = min(end, chunk + size)
            for group in range(job[AT.groups]):
                words = job[AT.words] + group * job[AT.group_bytes]
                block = 0
                while block < filters:
                    left = filters - block
                    padded, first = group * whole + block, group * filters + block
                    weights = job[AT.weights] + 4 * padded * job[AT.weight_rows]
                    out = job[AT.out]
                    if planar:
                        out = scratch.ctypes.data - chunk * PLANAR_BYTES - 4 * first
                    vectors = block_vectors(left)
                    to, here = job[AT.out] + 4 * (first * job[AT.pixels] + chunk), min(left, vectors * LANES)
                    ahead = to
                    if vectors == 1:
                        for p in range(chunk, chunk_end, height_1):
                            rows = job[AT.table] + 4 * TABLE_FIELDS * p
                            register_tile(where, rows, words, weights, out, 4 * padded, first, left, kind, height_1, 1)
                    elif vectors == 2:
                        for p in range(chunk, chunk_end, height_2):
                            rows = job[AT.table] + 4 * TABLE_FIELDS * p
                            register_tile(where, rows, words, weights, out, 4 * padded, first, left, kind, height_2, 2)
                    else:
                        for p in range(chunk, chunk_end, height_4):
                            rows = job[AT.table] + 4 * TABLE_FIELDS * p
                            if planar:
                                fetch_to_write(ahead, row_bytes)
                                ahead += FETCHED_ROWS * row_bytes
                            register_tile(where, rows, words, weights, out, 4 * padded, first, left, kind, height_4, 4)
                    if planar:
                        transpose(scratch.ctypes.data, to, job[AT.pixels], chunk_end - chunk, here)
                    block += vectors * LANES

    return convolve_image


convolve_floats, convolve_signs, convolve_levels = (_image_loop(kind) for kind in (FLOATS, SIGNS, LEVELS))


def _images_loop(convolve: Any) -> Any:
    """The loop over images, for one kind of words; apart, so that nobody compiles both who needs one."""

    @compiled
    def convolve_images(jobs, first, last):  # type: ignore[no-untyped-def]
        """The output pixels first ≤ n·pixels + p < last of the images n that the rows of `jobs` describe."""
        pixels = jobs[0, AT.pixels]
        for n in range(first // pixels, -(-last // pixels)):
            convolve(jobs[n], max(0, first - n * pixels), min(pixels, last - n * pixels))

    return convolve_images


convolve_images_of_signs, convolve_images_of_levels = (_images_loop(c) for c in (convolve_signs, convolve_levels))


def _pool_loop(kind: int) -> Any:
    """The loop over all the output pixels of one image, for one kind of pooling: every unit is a group of its own."""
    vectors = UNIT // LANES
    height = ISA.float_heights[vectors]

    @compiled
    def pool_image(job):  # type: ignore[no-untyped-def]
        for group in range(job[AT.groups]):
            words, first = job[AT.words] + group * job[AT.group_bytes], group * UNIT
            for p in range(0, job[AT.pixels], height):
                rows, to = job[AT.table] + 4 * TABLE_FIELDS * p, job[AT.out]
                register_tile(job.ctypes.data, rows, words, 0, to, 4 * first, first, UNIT, kind, height, vectors)

    return pool_image


pool_totals, pool_maxima = (_pool_loop(kind) for kind in (TOTALS, MAXIMA))


@compiled
def transpose(scratch, to, row, pixels, filters):  # type: ignore[no-untyped-def]
    """The first pixels × filters of `scratch` to `to`, as [filters, row]: addresses. Squares at the ends overlap."""
    if pixels < SQUARE or filters < SQUARE:
        for f in range(filters):
            for p in range(pixels):
                copy_number(scratch + p * PLANAR_BYTES + 4 * f, to + 4 * (f * row + p))
        return
    for f in range(0, filters, SQUARE):
        f = min(f, filters - SQUARE)
        for p in range(0, pixels, SQUARE):
            p = min(p, pixels - SQUARE)
            source = scratch + p * PLANAR_BYTES + 4 * f
            transpose_square(source, PLANAR_BYTES, to + 4 * (f * row + p), 4 * row)
