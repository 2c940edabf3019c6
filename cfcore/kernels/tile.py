"""The register tile: vector code for a few pixels × a few vectors of filters, emitted as LLVM IR and compiled by numba.

One lane of a vector is one filter, so a sum never crosses lanes. A tile of P pixels × V vectors keeps its P·V sums in
registers over all taps, words and bit planes, and touches memory only to read operands; at each step it reads P words
of activations, each copied to all lanes, and V vectors of weights.

A step is one word of one tap. The words under a window lie at fixed offsets from its first one, so a table of offsets
(bytes, one entry per plane and step) makes one flat loop of them: direct convolution, no im2col. Segments string the
steps together:

    for offset, weight, steps, shift in segments:          one row of int64 each
        sums <<= shift                                     plane pairs come in falling order of 2^(i+j)
        for t in range(steps):
            sums[p, v] += |x[p] at offsets[offset + t]  ?  weights[weight + t, v]|

where ? is ^ for ±1 activations and & for levels. Where the machine counts the bits of whole words, the sums are int32
throughout. Elsewhere counting bytes is what vectors do best (a table look-up of nibbles): a segment then counts in
bytes, for at most 31 steps of at most 8, and adds them up at its end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from cfcore.kernels.isa import ISA, Isa, compiled, constant, popcount, splat, vector_function

BYTE_STEPS = 31
"""Steps that a byte can count: 31 · 8 = 248 < 256."""

PIXEL_FIELDS, SEGMENT_FIELDS = 3, 4
"""int64 per pixel: address of its first word, address of its first output, base (see `register_tile`);
per segment: first offset, first weight step, steps, shift."""

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))

# ---- the tile --------------------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def register_tile(
    typing_context: Any,
    pixels: Any,
    first_pixel: Any,
    offsets: Any,
    segments: Any,
    weights: Any,
    first_word: Any,
    max_weight: Any,
    first_filter: Any,
    filters: Any,
    base: Any,
    height: Any,
    vectors: Any,
) -> Any:
    """Convolve `height` pixels with `vectors` vectors of filters, and store int32 results.

    pixels        int64 [..., 3], from row `first_pixel` on: address of the first word under the window, address of the
                  first output, and the pixel's base
    offsets       int64: byte offsets of the words of all planes and steps
    segments      int64 [segments, 4]
    weights       words, from `first_word` on [k_w·steps, vectors·lanes]: this block of filters
    first_filter  of this block; `filters` counts those of the block that exist, and no others are stored
    base          ±1: the corrections, of which only the type matters here: two axes. A pixel's base is the address of
                  its row, and results are row[filter] - 2·count
                  levels: the sums, three axes. A pixel's base is the sum of the levels under its window, and results
                  are 2·count - max_weight·base

    height and vectors are literals. Nothing is checked: the caller has.
    """
    if not (isinstance(height, types.Literal) and isinstance(vectors, types.Literal)):
        return None
    index = types.int64
    signature = types.void(pixels, index, offsets, segments, weights, index, index, index, index, base, height, vectors)

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        views = {i: context.make_array(signature.args[i])(context, b, args[i]) for i in (0, 2, 3, 4)}
        start = {i: b.ptrtoint(view.data, I64) for i, view in views.items()}
        tile = _Tile(b, ISA, height.literal_value, vectors.literal_value, signed=base.ndim == 2)
        tile.pixels = b.add(start[0], b.mul(args[1], _const(8 * PIXEL_FIELDS)))
        counts = tile.count(
            offsets=start[2],
            segments=start[3],
            segment_count=cgutils.unpack_tuple(b, views[3].shape)[0],
            weights=b.add(start[4], b.mul(args[5], _const(4))),
        )
        tile.store(tile.results(counts, max_weight=args[6], first_filter=args[7]), args[7], filters=args[8])
        return context.get_dummy_value()

    return signature, codegen


class _Tile:
    """Emits one tile. Lists of sums, counts and results hold height·vectors vector values, pixel by pixel."""

    pixels: Any  # address of the rows of the table of pixels

    def __init__(self, builder: ir.IRBuilder, isa: Isa, height: int, vectors: int, signed: bool) -> None:
        self.b, self.isa, self.height, self.vectors, self.signed = builder, isa, height, vectors, signed
        self.words = ir.VectorType(I32, isa.lanes)
        self.counters = self.words if isa.counts_words else ir.VectorType(I8, 4 * isa.lanes)
        self.vector_bytes = isa.vector_bits // 8

    def count(self, offsets: Any, segments: Any, segment_count: Any, weights: Any) -> list[Any]:
        """The two loops, over segments and over steps: count = Σ_ij 2^(i+j) |a_j ? u_i|."""
        b, row_bytes = self.b, self.vectors * self.vector_bytes
        starts = [self._load(I64, self.pixels, 8 * PIXEL_FIELDS * p) for p in range(self.height)]
        entry = b.block
        segment_start, step, segment_end, finish = (
            b.append_basic_block(name) for name in ("segment", "step", "segment_end", "finish")
        )
        b.branch(segment_start)

        b.position_at_end(segment_start)
        s = self._phi(_const(0), entry)
        sums = [self._phi(constant(self.words, 0), entry) for _ in range(self.height * self.vectors)]
        segment = b.add(segments, b.mul(s, _const(8 * SEGMENT_FIELDS)))
        first_offset, first_weight, steps, shift = (self._load(I64, segment, 8 * i) for i in range(SEGMENT_FIELDS))
        shifts = splat(b, b.trunc(shift, I32), self.isa.lanes)
        shifted = [b.shl(value, shifts) for value in sums]
        segment_offsets = b.add(offsets, b.mul(first_offset, _const(8)))
        segment_weights = b.add(weights, b.mul(first_weight, _const(row_bytes)))
        b.branch(step)

        b.position_at_end(step)
        t = self._phi(_const(0), segment_start)
        starting = shifted if self.isa.counts_words else [constant(self.counters, 0)] * len(sums)
        counts = [self._phi(value, segment_start) for value in starting]
        offset = self._load(I64, b.add(segment_offsets, b.mul(t, _const(8))))
        counted = self._step(counts, starts, offset, b.add(segment_weights, b.mul(t, _const(row_bytes))))
        t_next = b.add(t, _const(1))
        for phi, value in zip([t, *counts], [t_next, *counted], strict=True):
            phi.add_incoming(value, step)
        b.cbranch(b.icmp_signed("<", t_next, steps), step, segment_end)

        b.position_at_end(segment_end)
        if self.isa.counts_words:
            added = counted
        else:
            added = [b.add(value, self._add_up_bytes(count)) for value, count in zip(shifted, counted, strict=True)]
        s_next = b.add(s, _const(1))
        for phi, value in zip([s, *sums], [s_next, *added], strict=True):
            phi.add_incoming(value, segment_end)
        b.cbranch(b.icmp_signed("<", s_next, segment_count), segment_start, finish)
        b.position_at_end(finish)
        return added

    def _step(self, counts: list[Any], starts: list[Any], offset: Any, weights: Any) -> list[Any]:
        """One word of each pixel against one row of weights."""
        b, counted = self.b, []
        filters = [self._load(self.words, weights, v * self.vector_bytes) for v in range(self.vectors)]
        for p, start in enumerate(starts):
            word = splat(b, self._load(I32, b.add(start, offset)), self.isa.lanes)
            for v, weight in enumerate(filters):
                both = b.xor(word, weight) if self.signed else b.and_(word, weight)
                ones = popcount(b, b.bitcast(both, self.counters))
                counted.append(b.add(counts[p * self.vectors + v], ones))
        return counted

    def _add_up_bytes(self, count: Any) -> Any:
        """The four bytes of each word, added: pairs of bytes into halves, then the halves."""
        b, value = self.b, self.b.bitcast(count, self.words)
        for mask, bits in ((0x00FF00FF, 8), (0x0000FFFF, 16)):
            low = constant(self.words, mask)
            value = b.add(b.and_(value, low), b.and_(b.lshr(value, constant(self.words, bits)), low))
        return value

    def results(self, counts: list[Any], max_weight: Any, first_filter: Any) -> list[Any]:
        """row - 2·count, or 2·count - max_weight·sum."""
        b, results = self.b, []
        for p in range(self.height):
            base = self._load(I64, self.pixels, 8 * (PIXEL_FIELDS * p + 2))
            row = b.add(base, b.mul(first_filter, _const(4)))
            window = splat(b, b.trunc(b.mul(base, max_weight), I32), self.isa.lanes)
            for v, count in enumerate(counts[p * self.vectors : (p + 1) * self.vectors]):
                doubled = b.add(count, count)
                if self.signed:
                    results.append(b.sub(self._load(self.words, row, v * self.vector_bytes), doubled))
                else:
                    results.append(b.sub(doubled, window))
        return results

    def store(self, results: list[Any], first_filter: Any, filters: Any) -> None:
        """Store all lanes, or only those of the filters that exist: the next pixel's results follow without a gap."""
        b, lanes = self.b, self.isa.lanes
        places = []
        for p in range(self.height):
            out = b.add(self._load(I64, self.pixels, 8 * (PIXEL_FIELDS * p + 1)), b.mul(first_filter, _const(4)))
            places += [self._pointer(self.words, out, v * self.vector_bytes) for v in range(self.vectors)]
        arguments = [self.words, self.words.as_pointer(), I32, ir.VectorType(I1, lanes)]
        masked_store = vector_function(b, f"llvm.masked.store.v{lanes}i32.p0", ir.VoidType(), arguments)
        with b.if_else(b.icmp_signed(">=", filters, _const(self.vectors * lanes))) as (all_exist, some_exist):
            with all_exist:
                for result, place in zip(results, places, strict=True):
                    b.store(result, place, align=4)
            with some_exist:
                existing = splat(b, b.trunc(filters, I32), lanes)
                for i, (result, place) in enumerate(zip(results, places, strict=True)):
                    first = i % self.vectors * lanes
                    lane = ir.Constant(self.words, list(range(first, first + lanes)))
                    exists = b.icmp_signed("<", lane, existing)
                    b.call(masked_store, [result, place, ir.Constant(I32, 4), exists])

    def _pointer(self, kind: Any, base: Any, offset: int = 0) -> Any:
        return self.b.inttoptr(self.b.add(base, _const(offset)), kind.as_pointer())

    def _load(self, kind: Any, base: Any, offset: int = 0) -> Any:
        # element alignment is all that is promised; on an aligned address the unaligned load costs nothing
        return self.b.load(self._pointer(kind, base, offset), align=8 if kind is I64 else 4)

    def _phi(self, value: Any, block: Any) -> Any:
        phi = self.b.phi(value.type)
        phi.add_incoming(value, block)
        return phi


def _const(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


# ---- the loops around it ---------------------------------------------------------------------------------------

LANES, VECTORS = ISA.lanes, ISA.vectors
HEIGHTS = {512: (8, 8, 6, 5), 256: (4, 4, 4, 4), 128: (4, 4, 4, 4)}[ISA.vector_bits]
"""Pixels of the tile of 1, 2, 3 and 4 vectors: as many sums as leave registers for the operands."""
HEIGHT_1, HEIGHT_2, HEIGHT_3, HEIGHT_4 = HEIGHTS

CHUNK = 240
"""Output pixels that all filters visit before the next ones, so that their words stay in the first cache; a multiple of
each height."""


class Geometry(NamedTuple):
    """The numbers of a `ConvShape` that the loops need."""

    kernel: int
    stride: int
    padding: int
    clip: int
    max_weight: int


@compiled
def convolve(x, weights, base, segments, geometry, out, first, last):  # type: ignore[no-untyped-def]
    """Fill output pixels first ≤ n·OH·OW + y·OW + x < last; without the GIL, so that threads can share out the pixels.

    x         words [k_a, N, H + 2p, W + 2p, words]
    weights   words in tile order: blocks of up to `VECTORS` vectors of filters, in each [k_w, kh, kw, words, filters]
    base      int32: corrections [classes, whole vectors of filters], or level sums [N, H + 2p, W + 2p]
    segments  int64 [segments, 4] (see above)
    out       int32 [N, OH, OW, F]
    """
    filters = out.shape[3]
    steps = geometry.kernel * geometry.kernel * x.shape[4]
    weight_planes = weights.size // (steps * LANES * -(-filters // LANES))
    offsets, top = _offsets(x, geometry), geometry.max_weight
    pixels = np.empty((CHUNK, PIXEL_FIELDS), np.int64)
    for begin in range(first, last, CHUNK):
        count = min(CHUNK, last - begin)
        _locate(x, base, geometry, begin, count, out, pixels)
        for block in range(0, filters, VECTORS * LANES):
            left = min(filters - block, VECTORS * LANES)
            vectors = -(-left // LANES)
            word = block * weight_planes * steps
            if vectors == 1:
                for p in range(0, count, HEIGHT_1):
                    register_tile(pixels, p, offsets, segments, weights, word, top, block, left, base, HEIGHT_1, 1)
            elif vectors == 2:
                for p in range(0, count, HEIGHT_2):
                    register_tile(pixels, p, offsets, segments, weights, word, top, block, left, base, HEIGHT_2, 2)
            elif vectors == 3:
                for p in range(0, count, HEIGHT_3):
                    register_tile(pixels, p, offsets, segments, weights, word, top, block, left, base, HEIGHT_3, 3)
            else:
                for p in range(0, count, HEIGHT_4):
                    register_tile(pixels, p, offsets, segments, weights, word, top, block, left, base, HEIGHT_4, 4)


@compiled
def _offsets(x, geometry):  # type: ignore[no-untyped-def]
    """Bytes from the first word under a window to each of its words: [k_a · kh · kw · words], plane by plane."""
    planes, batch, rows, columns, words = x.shape
    offsets = np.empty(planes * geometry.kernel * geometry.kernel * words, np.int64)
    i = 0
    for plane in range(planes):
        for row in range(geometry.kernel):
            for word in range(geometry.kernel * words):  # the taps of a row are neighbours
                offsets[i] = 4 * ((plane * batch * rows + row) * columns * words + word)
                i += 1
    return offsets


@compiled
def _locate(x, base, geometry, begin, count, out, pixels):  # type: ignore[no-untyped-def]
    """Fill the table of pixels. Behind the last one it is repeated: tiles compute it again, into the same place."""
    _, _, rows, columns, words = x.shape
    _, out_rows, out_columns, filters = out.shape
    kernel, stride, padding, clip, _ = geometry
    side = clip + 1
    out_row, first = divmod(begin, out_columns)  # rows of all images
    p = 0
    while p < count:
        image, row = divmod(out_row, out_rows)
        row *= stride
        words_of_row = x.ctypes.data + 4 * (image * rows + row) * columns * words
        top, bottom = min(max(0, padding - row), clip), min(max(0, row + kernel + padding - rows), clip)
        for out_column in range(first, min(out_columns, first + count - p)):
            column = out_column * stride
            pixels[p, 0] = words_of_row + 4 * column * words
            pixels[p, 1] = out.ctypes.data + 4 * (begin + p) * filters
            if base.ndim == 2:
                # the class of border, as `operands.border_class` counts it
                left, right = (
                    min(max(0, padding - column), clip),
                    min(max(0, column + kernel + padding - columns), clip),
                )
                border = ((top * side + bottom) * side + left) * side + right
                pixels[p, 2] = base.ctypes.data + 4 * border * base.shape[1]
            else:
                window = 0
                for i in range(kernel):
                    for j in range(kernel):
                        window += base[image, row + i, column + j]
                pixels[p, 2] = window
            p += 1
        out_row, first = out_row + 1, 0
    for p in range(count, min(CHUNK, count + max(HEIGHTS))):
        pixels[p] = pixels[count - 1]
