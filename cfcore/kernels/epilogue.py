"""What follows the sums, while they are still in registers: scale, norm, shortcut, store, quantize and pack.

    y = sum·scale                      each line only where the job asks for it; float32, no fused multiply-add,
    y = y·norm_scale + norm_shift      so that every number equals that of the separate steps
    y = y + residual
    y = y, or y·slope where y < 0
    out = y, or max(y, 0)
    v = y·next_scale + next_shift
    next bits = v >= 0, or the binary digits of rint(v / step) limited to 0..top

A comparison of a vector of 16 filters gives 16 bits, and those are half a word of the next layer's input.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from cfcore.kernels.emit import F32, I1, I32, Emitter, const, constant
from cfcore.kernels.job import AT
from cfcore.kernels.tile import Tile


def finish(tile: Tile, job: Any, rows: Any, results: list[Any], out: Any, place: dict[str, Any]) -> None:
    """Emit it for a tile.

    out          address of the output row of pixel 0
    place        "parameters": bytes from the first filter of scale, … to the block's first (padding counted);
                 "first": number of the block's first filter; "left": how many filters of the group are left, and no
                 others are stored
    """
    b, vectors = tile.b, tile.vectors
    exists = [
        b.icmp_signed("<", _lanes(tile, v), tile.splat(b.trunc(place["left"], I32), tile.isa.lanes))
        for v in range(vectors)
    ]
    full = b.icmp_signed(">=", place["left"], const(vectors * tile.isa.lanes))

    def wanted(field: int) -> Any:
        return b.icmp_signed("!=", tile.field(job, field), const(0))

    def parameter(field: int) -> list[Any]:
        base = tile.at(tile.field(job, field), place["parameters"])
        return [tile.load(tile.floats, base, v * tile.vector_bytes) for v in range(vectors)] * tile.height

    def each(values: list[Any], others: list[Any], operation: Any) -> list[Any]:
        return [operation(value, other) for value, other in zip(values, others, strict=True)]

    def store(values: list[Any]) -> None:
        first = tile.at(out, b.mul(place["first"], const(4)))
        addresses = [
            tile.at(first, b.mul(tile.row(rows, p, 2), tile.field(job, AT.out_bytes))) for p in range(tile.height)
        ]
        with b.if_else(full) as (all_exist, some_exist):
            with all_exist:
                for i, value in enumerate(values):
                    tile.store(value, addresses[i // vectors], i % vectors * tile.vector_bytes)
            with some_exist:
                for i, value in enumerate(values):
                    tile.store_where(
                        exists[i % vectors], value, addresses[i // vectors], i % vectors * tile.vector_bytes
                    )

    def residual(values: list[Any]) -> list[Any]:
        first = tile.at(tile.field(job, AT.residual), b.mul(place["first"], const(4)))
        added = []
        for p in range(tile.height):
            row = tile.at(first, b.mul(tile.row(rows, p, 2), tile.field(job, AT.residual_bytes)))
            added += [tile.load(tile.floats, row, v * tile.vector_bytes) for v in range(vectors)]
        return each(values, added, b.fadd)

    def sloped(values: list[Any]) -> list[Any]:
        slope, zero = tile.splat(tile.load(F32, job, 8 * AT.slope), tile.isa.lanes), constant(tile.floats, 0.0)
        return [b.select(b.fcmp_ordered("<", value, zero), b.fmul(value, slope), value) for value in values]

    def rectified(values: list[Any]) -> list[Any]:
        zero = constant(tile.floats, 0.0)
        return [b.select(b.fcmp_ordered("<", value, zero), zero, value) for value in values]  # a NaN stays

    def floats(values: list[Any]) -> None:
        y = [b.sitofp(value, tile.floats) for value in values] if tile.counts else values
        y = tile.when(wanted(AT.scale), y, lambda y: each(y, parameter(AT.scale), b.fmul))
        y = tile.when(wanted(AT.norm_scale), y, lambda y: each(y, parameter(AT.norm_scale), b.fmul))
        y = tile.when(wanted(AT.norm_shift), y, lambda y: each(y, parameter(AT.norm_shift), b.fadd))
        y = tile.when(wanted(AT.residual), y, residual)
        y = tile.when(wanted(AT.slope), y, sloped)
        with b.if_then(wanted(AT.out)):
            store(tile.when(wanted(AT.rectify), y, rectified))
        with b.if_then(wanted(AT.next_words)):
            v = tile.when(wanted(AT.next_scale), y, lambda y: each(y, parameter(AT.next_scale), b.fmul))
            v = tile.when(wanted(AT.next_shift), v, lambda v: each(v, parameter(AT.next_shift), b.fadd))
            with b.if_else(wanted(AT.next_step)) as (levels, signs):
                with levels:
                    pack_levels(v)
                with signs:
                    ones = [b.fcmp_ordered(">=", value, constant(tile.floats, 0.0)) for value in v]
                    store_bits(ones, tile.field(job, AT.next_words))

    def pack_levels(values: list[Any]) -> None:
        step, top = (
            tile.splat(tile.load(F32, job, 8 * field), tile.isa.lanes) for field in (AT.next_step, AT.next_top)
        )
        quantized = [quantize(tile, value, step, top) for value in values]

        def plane(j: Any, levels: list[Any]) -> list[Any]:
            words = tile.at(tile.field(job, AT.next_words), b.mul(j, tile.field(job, AT.next_plane_bytes)))
            one = constant(tile.words, 1)
            store_bits([b.icmp_signed("!=", b.and_(level, one), constant(tile.words, 0)) for level in levels], words)
            return [b.lshr(level, one) for level in levels]

        tile.loop(tile.field(job, AT.next_planes), quantized, plane)

    def store_bits(ones: list[Any], words: Any) -> None:
        """Bits of the block's filters, in whole bytes: narrow vectors share one."""
        lanes = tile.isa.lanes
        shared = max(1, 8 // lanes)
        first = tile.at(words, b.lshr(place["first"], const(3)))
        for p in range(tile.height):
            to = tile.at(first, tile.row(rows, p, 3))
            for v in range(0, vectors, shared):
                bits = _joined(tile, ones[p * vectors + v : p * vectors + min(v + shared, vectors)])
                tile.store(bits, to, v * lanes // 8)

    if not tile.counts:
        floats(results)
        return
    with b.if_else(wanted(AT.integers)) as (integers, others):
        with integers:
            store(results)
        with others:
            floats(results)


def quantize(emitter: Emitter, value: Any, step: Any, top: Any) -> Any:
    """The level rint(value / step), half to even, limited to 0..top; 0 of a NaN. A vector of int32."""
    b, floats = emitter.b, value.type
    rounded = emitter.call(f"llvm.rint.v{floats.count}f32", floats, b.fdiv(value, step))
    zero = constant(floats, 0.0)
    limited = b.select(b.fcmp_ordered("<", rounded, top), rounded, top)
    positive = b.select(b.fcmp_ordered(">", rounded, zero), limited, zero)  # a NaN is not above 0
    return b.fptosi(positive, ir.VectorType(I32, floats.count))


def _joined(tile: Tile, ones: list[Any]) -> Any:
    """Vectors of single bits, first lane lowest, as an integer of at least a byte."""
    b, lanes = tile.b, tile.isa.lanes
    width = max(8, lanes * len(ones))
    if lanes >= 8:
        return b.bitcast(ones[0], ir.IntType(width))
    both = [*ones, constant(ir.VectorType(I1, lanes), 0)][:2]
    numbers = ir.VectorType(I32, 2 * lanes)
    joined = b.shuffle_vector(*both, ir.Constant(numbers, list(range(2 * lanes))))
    return b.bitcast(joined, ir.IntType(width))


def _lanes(tile: Tile, vector: int) -> ir.Constant:
    """Numbers of the filters in a vector of the block."""
    first = vector * tile.isa.lanes
    return ir.Constant(tile.words, list(range(first, first + tile.isa.lanes)))
