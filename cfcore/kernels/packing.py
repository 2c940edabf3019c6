"""Quantize and pack in one pass: vector code for 32 channels or 64 pixels at a time, and the loops around it.

Channels last, a comparison of 32 floats gives 32 bits, and those are the word. Channels first, 64 pixels are compared
with each channel in turn, and the channel's bit is set in the words of those that pass. Numbers stay float32 from end
to end, with no fused multiply-add, so that the bits equal those of the same formula in numpy or torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cfcore.bitpack import WORD_BITS
from cfcore.kernels.convolve import aligned_bytes, copy_number
from cfcore.kernels.emit import F32, I8, I32, Emitter, const, constant
from cfcore.kernels.epilogue import quantize
from cfcore.kernels.isa import compiled

PIXELS = 64
"""Neighbours packed at once where channels come first: a few vectors and cache lines of each channel."""

BLOCK_BYTES = 4 * (WORD_BITS + 1) * PIXELS
"""What such a block holds on the way: a row of levels a channel, and its words."""

ADDRESS = types.int64

# ---- 32 channels of a pixel --------------------------------------------------------------------------------------


@intrinsic
def sign_word(typing_context: Any, x: Any) -> Any:
    """Bit c is 1 where x[c] >= 0, for the 32 channels from an address on."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Emitter(b).load(ir.VectorType(F32, WORD_BITS), args[0])
        return b.bitcast(b.fcmp_ordered(">=", v, constant(v.type, 0.0)), I32)

    return types.uint32(ADDRESS), codegen


@intrinsic
def level_bytes(typing_context: Any, x: Any, step: Any, top: Any, to: Any) -> Any:
    """Store the levels of 32 channels, rint(x / step) limited to 0..top, as 32 bytes."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, step, top, to = args
        e = Emitter(b)
        v = e.load(ir.VectorType(F32, WORD_BITS), x)
        level = quantize(e, v, e.splat(step, WORD_BITS), e.splat(top, WORD_BITS))
        e.store(b.trunc(level, ir.VectorType(I8, WORD_BITS)), to)
        return context.get_dummy_value()

    return types.void(ADDRESS, types.float32, types.float32, ADDRESS), codegen


@intrinsic
def digit_word(typing_context: Any, levels: Any, plane: Any) -> Any:
    """Bit c is binary digit `plane` of byte c at an address."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Emitter(b)
        level = e.load(ir.VectorType(I8, WORD_BITS), args[0])
        moved = b.shl(level, e.splat(b.trunc(b.sub(const(7), args[1]), I8), WORD_BITS))
        return b.bitcast(b.icmp_signed("<", moved, constant(moved.type, 0)), I32)  # the digit is the sign bit

    return types.uint32(ADDRESS, types.int64), codegen


# ---- 64 pixels of up to 32 channels ------------------------------------------------------------------------------


@intrinsic
def sign_words(typing_context: Any, x: Any, plane: Any, channels: Any, pixels: Any, to: Any) -> Any:
    """Store 64 words of signs: bit c of a pixel's word is 1 where x[c] >= 0.

    x is the address of the first channel's pixels; the next channel's lie `plane` bytes on. Only `pixels` of them are
    read: all of them without a mask.
    """

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, plane, channels, pixels, to = args
        e, words = Emitter(b), ir.VectorType(I32, PIXELS)

        def store(count: Any) -> None:
            def channel(c: Any, values: list[Any]) -> list[Any]:
                v = _pixels(e, c, x, plane, count)
                ones = b.fcmp_ordered(">=", v, constant(v.type, 0.0))
                bit = values[1]
                chosen = b.select(ones, e.splat(bit, PIXELS), constant(words, 0))
                return [b.or_(values[0], chosen), b.add(bit, bit)]

            e.store(e.loop(channels, [constant(words, 0), ir.Constant(I32, 1)], channel)[0], to)

        with b.if_else(b.icmp_signed("==", pixels, const(PIXELS))) as (whole, part):
            with whole:
                store(count=None)
            with part:
                store(count=pixels)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5), codegen


@intrinsic
def level_rows(
    typing_context: Any, x: Any, plane: Any, channels: Any, pixels: Any, step: Any, top: Any, to: Any
) -> Any:
    """Store the levels of 64 pixels, a row of 64 int32 a channel; x … pixels as for `sign_words`."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, plane, channels, pixels, step, top, to = args
        e = Emitter(b)
        step, top = e.splat(step, PIXELS), e.splat(top, PIXELS)

        def channel(c: Any, values: list[Any]) -> list[Any]:
            e.store(quantize(e, _pixels(e, c, x, plane, pixels), step, top), to, b.mul(c, const(4 * PIXELS)))
            return values

        e.loop(channels, [], channel)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 4, types.float32, types.float32, ADDRESS), codegen


@intrinsic
def digit_words(typing_context: Any, levels: Any, channels: Any, plane: Any, to: Any) -> Any:
    """Store 64 words: bit c of a pixel's word is binary digit `plane` of its level, from the rows of `level_rows`."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        levels, channels, plane, to = args
        e, words = Emitter(b), ir.VectorType(I32, PIXELS)
        digit = e.splat(b.trunc(plane, I32), PIXELS)

        def channel(c: Any, values: list[Any]) -> list[Any]:
            level = e.load(words, levels, b.mul(c, const(4 * PIXELS)))
            one = b.and_(b.lshr(level, digit), constant(words, 1))
            return [b.or_(values[0], b.shl(one, e.splat(b.trunc(c, I32), PIXELS)))]

        e.store(e.loop(channels, [constant(words, 0)], channel)[0], to)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 4), codegen


def _pixels(e: Emitter, c: Any, x: Any, plane: Any, pixels: Any) -> Any:
    """64 pixels of channel c, of which only `pixels` are read; None for all."""
    b, floats = e.b, ir.VectorType(F32, PIXELS)
    if pixels is None:
        return e.load(floats, x, b.mul(c, plane))
    lane = ir.Constant(ir.VectorType(I32, PIXELS), list(range(PIXELS)))
    return e.load_where(b.icmp_signed("<", lane, e.splat(b.trunc(pixels, I32), PIXELS)), floats, x, b.mul(c, plane))


# ---- the loops around it -----------------------------------------------------------------------------------------


@compiled
def pack_rows(x, step, top, groups, padding, packed, first, last):  # type: ignore[no-untyped-def]
    """Words of x [N, H, W, C], inside the zero border of packed [N, k_a, H + 2p, W + 2p, groups · words].

    step 0 stands for signs. Only rows first ≤ n·H + row < last are packed.
    """
    _, rows, columns, channels = x.shape
    group_words, group_channels = packed.shape[4] // groups, channels // groups
    gathered, levels = np.zeros(WORD_BITS, np.float32), np.empty(WORD_BITS, np.uint8)
    readable = _readable(x)
    for image_row in range(first, last):
        n, row = divmod(image_row, rows)
        for column in range(columns):
            pixel = n * x.strides[0] + row * x.strides[1] + column * x.strides[2]
            for word in range(packed.shape[4]):
                group, within = divmod(word, group_words)
                channel = group * group_channels + within * WORD_BITS
                here = min(WORD_BITS, group_channels - within * WORD_BITS)
                channels_here = (1 << here) - 1  # the bits behind the last channel stay 0
                source = x.ctypes.data + pixel + 4 * channel
                if pixel + 4 * (channel + WORD_BITS) > readable:
                    for c in range(here):
                        gathered[c] = x[n, row, column, channel + c]
                    source = gathered.ctypes.data
                if step == 0:
                    bits = sign_word(source) & channels_here
                    packed[n, 0, row + padding, column + padding, word] = bits
                else:
                    level_bytes(source, step, top, levels.ctypes.data)
                    for plane in range(packed.shape[1]):
                        bits = digit_word(levels.ctypes.data, plane) & channels_here
                        packed[n, plane, row + padding, column + padding, word] = bits


@compiled
def pack_planes(x, step, top, groups, padding, packed, first, last):  # type: ignore[no-untyped-def]
    """`pack_rows` for x [N, C, H, W] that lies without gaps.

    Only blocks of 64 pixels first ≤ n·blocks + block < last are packed.
    """
    memory = aligned_bytes(BLOCK_BYTES)
    blocks = -(-x.shape[2] * x.shape[3] // PIXELS)
    for image_block in range(first, last):
        n, block = divmod(image_block, blocks)
        pack_block(x, n, step, top, groups, padding, packed, n, block, memory)


@compiled
def pack_block(x, n, step, top, groups, padding, packed, m, block, memory):  # type: ignore[no-untyped-def]
    """One block of 64 pixels of image n of x, into image m of packed; `memory` holds BLOCK_BYTES on the way."""
    _, channels, rows, columns = x.shape
    group_words, group_channels = packed.shape[4] // groups, channels // groups
    levels, words = memory.ctypes.data, memory.ctypes.data + 4 * WORD_BITS * PIXELS
    size, start = rows * columns, block * PIXELS
    count, places = min(PIXELS, size - start), np.empty(PIXELS, np.int64)
    row, column = divmod(start, columns)
    for i in range(count):
        places[i] = (row + padding) * packed.strides[2] + (column + padding) * packed.strides[3]
        column += 1
        if column == columns:
            row, column = row + 1, 0
    for group in range(groups):
        for within in range(group_words):
            word, channel = group * group_words + within, group * group_channels + within * WORD_BITS
            here = min(WORD_BITS, group_channels - within * WORD_BITS)
            source = x.ctypes.data + 4 * ((n * channels + channel) * size + start)
            if step != 0:
                level_rows(source, 4 * size, here, count, step, top, levels)
            for plane in range(packed.shape[1]):
                if step == 0:
                    sign_words(source, 4 * size, here, count, words)
                else:
                    digit_words(levels, here, plane, words)
                to = packed.ctypes.data + m * packed.strides[0] + plane * packed.strides[1] + 4 * word
                for i in range(count):
                    copy_number(words + 4 * i, to + places[i])


@compiled
def _readable(x):  # type: ignore[no-untyped-def]
    """Bytes from the start of x that can be read as they are; less than any where channels do not lie side by side.

    A word at the tail of a pixel reads on into the next pixel, whose bits are then blotted out.
    """
    if x.strides[3] != 4 or min(x.strides) < 0:
        return -(1 << 62)
    end = 4
    for i in range(4):
        end += (x.shape[i] - 1) * x.strides[i]
    return end
