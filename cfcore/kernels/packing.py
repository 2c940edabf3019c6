"""Quantize and pack in one pass: vector code for the 32 channels of a word, and the loops over pixels around it.

A comparison of 32 floats gives 32 bits, and those are the word. Numbers stay float32 from end to end, with no fused
multiply-add, so that the bits equal those of the same formula in numpy or torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cfcore.bitpack import WORD_BITS
from cfcore.kernels.isa import compiled, constant, splat, vector_function

WORD = ir.IntType(WORD_BITS)
FLOATS = ir.VectorType(ir.FloatType(), WORD_BITS)
INTS = ir.VectorType(ir.IntType(32), WORD_BITS)
BYTES = ir.VectorType(ir.IntType(8), WORD_BITS)


# ---- 32 channels at a time -------------------------------------------------------------------------------------


@intrinsic
def sign_word(typing_context: Any, x: Any, offset: Any, scale: Any, shift: Any, channel: Any) -> Any:
    """Bit c is 1 where x[c]·scale[c] + shift[c] >= 0, for the 32 numbers `offset` bytes into x, from `channel` on."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = _affine(context, b, signature, args)
        return b.bitcast(b.fcmp_ordered(">=", v, constant(FLOATS, 0.0)), WORD)

    return types.uint32(x, types.int64, scale, shift, types.int64), codegen


@intrinsic
def level_bytes(
    typing_context: Any, x: Any, offset: Any, scale: Any, shift: Any, channel: Any, step: Any, top: Any, levels: Any
) -> Any:
    """Store rint((x·scale + shift) / step), limited to 0..top, in the 32 bytes of `levels`; return their sum."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = b.fdiv(_affine(context, b, signature, args), splat(b, args[5], WORD_BITS))
        rounded = b.call(vector_function(b, "llvm.rint.v32f32", FLOATS, [FLOATS]), [v])
        zero, most = constant(FLOATS, 0.0), splat(b, args[6], WORD_BITS)
        limited = b.select(b.fcmp_ordered("<", rounded, most), rounded, most)
        positive = b.select(b.fcmp_ordered(">", rounded, zero), limited, zero)  # a NaN is not above 0
        level = b.fptosi(positive, INTS)
        b.store(b.trunc(level, BYTES), _pointer(context, b, signature.args[7], args[7], None, BYTES), align=1)
        return b.call(vector_function(b, "llvm.vector.reduce.add.v32i32", INTS.element, [INTS]), [level])

    return types.int32(x, types.int64, scale, shift, types.int64, types.float32, types.float32, levels), codegen


@intrinsic
def digit_word(typing_context: Any, levels: Any, plane: Any) -> Any:
    """Bit c is binary digit `plane` of byte c."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        level = b.load(_pointer(context, b, signature.args[0], args[0], None, BYTES), align=1)
        to_the_top = splat(b, b.trunc(b.sub(ir.Constant(args[1].type, 7), args[1]), BYTES.element), WORD_BITS)
        moved = b.shl(level, to_the_top)
        return b.bitcast(b.icmp_signed("<", moved, constant(BYTES, 0)), WORD)  # the digit is the sign bit

    return types.uint32(levels, types.int64), codegen


def _affine(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
    """x·scale + shift of 32 channels."""
    x, scale, shift = signature.args[0], signature.args[2], signature.args[3]
    kind = INTS if x.dtype == types.int32 else FLOATS
    v = b.load(_pointer(context, b, x, args[0], args[1], kind), align=4)
    v = b.sitofp(v, FLOATS) if kind is INTS else v
    channel = b.mul(args[4], ir.Constant(args[4].type, 4))
    factor = b.load(_pointer(context, b, scale, args[2], channel, FLOATS), align=4)
    term = b.load(_pointer(context, b, shift, args[3], channel, FLOATS), align=4)
    return b.fadd(b.fmul(v, factor), term)


def _pointer(context: Any, b: ir.IRBuilder, kind: Any, array: Any, offset: Any, vector: ir.VectorType) -> Any:
    data = b.ptrtoint(context.make_array(kind)(context, b, array).data, ir.IntType(64))
    return b.inttoptr(data if offset is None else b.add(data, offset), vector.as_pointer())


# ---- the loops around it ---------------------------------------------------------------------------------------


@compiled
def pack_signs(x, scale, shift, padding, packed, first_row, last_row):  # type: ignore[no-untyped-def]
    """Words of signs of x [N, H, W, C], inside the zero border of packed [1, N, H + 2p, W + 2p, words].

    scale and shift hold whole words of channels; behind the last one they are 0 and -1, which gives bit 0. Only rows
    first_row ≤ n·H + row < last_row are packed.
    """
    _, rows, columns, channels = x.shape
    gathered = np.zeros(WORD_BITS, x.dtype)
    readable = _readable(x)
    for image_row in range(first_row, last_row):
        n, row = divmod(image_row, rows)
        for column in range(columns):
            pixel = n * x.strides[0] + row * x.strides[1] + column * x.strides[2]
            for word in range(packed.shape[4]):
                first = word * WORD_BITS
                if pixel + 4 * (first + WORD_BITS) <= readable:
                    bits = sign_word(x, pixel + 4 * first, scale, shift, first)
                else:
                    for c in range(min(WORD_BITS, channels - first)):
                        gathered[c] = x[n, row, column, first + c]
                    bits = sign_word(gathered, 0, scale, shift, first)
                packed[0, n, row + padding, column + padding, word] = bits


@compiled
def pack_levels(x, scale, shift, step, top, padding, packed, sums, first_row, last_row):  # type: ignore[no-untyped-def]
    """Words of each digit of the levels of x [N, H, W, C], and sums [N, H + 2p, W + 2p] of the levels over channels.

    scale and shift as for `pack_signs`: behind the last channel the level is 0.
    """
    _, rows, columns, channels = x.shape
    gathered = np.zeros(WORD_BITS, x.dtype)
    readable = _readable(x)
    levels = np.empty(WORD_BITS, np.uint8)
    for image_row in range(first_row, last_row):
        n, row = divmod(image_row, rows)
        for column in range(columns):
            pixel = n * x.strides[0] + row * x.strides[1] + column * x.strides[2]
            total = np.int32(0)
            for word in range(packed.shape[4]):
                first = word * WORD_BITS
                if pixel + 4 * (first + WORD_BITS) <= readable:
                    total += level_bytes(x, pixel + 4 * first, scale, shift, first, step, top, levels)
                else:
                    for c in range(min(WORD_BITS, channels - first)):
                        gathered[c] = x[n, row, column, first + c]
                    total += level_bytes(gathered, 0, scale, shift, first, step, top, levels)
                for plane in range(packed.shape[0]):
                    packed[plane, n, row + padding, column + padding, word] = digit_word(levels, plane)
            sums[n, row + padding, column + padding] = total


@compiled
def _readable(x):  # type: ignore[no-untyped-def]
    """Bytes from the start of x that can be read as they are; 0 where channels do not lie side by side.

    A word at the tail of a pixel reads on into the next pixel, whose numbers scale and shift then blot out.
    """
    if x.strides[3] != 4 or min(x.strides) < 0:
        return 0
    end = 4
    for i in range(4):
        end += (x.shape[i] - 1) * x.strides[i]
    return end


@compiled
def scale_sums(sums, scale, shift, out, first, last):  # type: ignore[no-untyped-def]
    """out = sums·scale[f] + shift[f], for pixels first ≤ p < last of sums and out [pixels, F]."""
    for p in range(first, last):
        for f in range(sums.shape[1]):
            out[p, f] = np.float32(sums[p, f]) * scale[f] + shift[f]
