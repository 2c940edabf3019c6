"""The register tile: vector code for a few pixels × a few vectors of filters, emitted as LLVM IR.

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

where ? is ^ for ±1 activations and & for levels. For levels the same loop adds up |x[p]| by the scalar unit, which is
idle otherwise: at the end that is (2^k_w - 1)·(sum of the levels under the window). Where the machine counts the bits
of whole words, the sums are int32 throughout. Elsewhere counting bytes is what vectors do best (a table look-up of
nibbles): a segment then counts in bytes, for at most 31 steps of at most 8, and adds them up at its end.

A float layer is the same loop over words that are numbers, with sums[p, v] += x[p]·weights[t, v]. Pooling is the loop
without weights: sums[p, v] += x[p, v], or their maximum.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from cfcore.kernels.emit import F32, I8, I32, I64, Emitter, const, constant
from cfcore.kernels.isa import Isa
from cfcore.kernels.job import AT, FLOATS, LEVELS, MAXIMA, SEGMENT_FIELDS, SIGNS, TABLE_FIELDS, TOTALS

BYTE_STEPS = 31
"""Steps that a byte can count: 31 · 8 = 248 < 256."""


class Tile(Emitter):
    """Emits one tile. Lists of sums hold height·vectors vectors, pixel by pixel.

    job     address of the row (see `job`)
    rows    address of the first pixel's row of the job's table
    """

    def __init__(self, builder: ir.IRBuilder, isa: Isa, kind: int, height: int, vectors: int) -> None:
        super().__init__(builder)
        self.isa, self.kind, self.height, self.vectors = isa, kind, height, vectors
        self.words = ir.VectorType(I32, isa.lanes)
        self.floats = ir.VectorType(F32, isa.lanes)
        self.vector_bytes = isa.vector_bits // 8
        self.counts = kind in (SIGNS, LEVELS)
        self.by_bytes = self.counts and not isa.counts_words
        self.sums = self.words if self.counts else self.floats
        self.counters = ir.VectorType(I8, 4 * isa.lanes) if self.by_bytes else self.sums

    def field(self, job: Any, place: int) -> Any:
        """A number of the job: `place` is one of `AT`."""
        return self.load(I64, job, 8 * place)

    def row(self, rows: Any, pixel: int, field: int) -> Any:
        """A number of a pixel's row of the table."""
        return self.b.sext(self.load(I32, rows, 4 * (TABLE_FIELDS * pixel + field)), I64)

    def count(self, job: Any, rows: Any, words: Any, weights: Any) -> tuple[list[Any], list[Any]]:
        """The two loops, over segments and over steps: Σ_ij 2^(i+j) |a_j ? u_i| of each sum, and Σ_ij 2^(i+j) |a_j|.

        words and weights are addresses, of the group's first word in the image and of the block of filters. The second
        list has an int32 per pixel for levels, else nothing.
        """
        b, n = self.b, self.height * self.vectors
        starts = [self.at(words, self.row(rows, p, 0)) for p in range(self.height)]
        offsets, segments = self.field(job, AT.offsets), self.field(job, AT.segments)
        row_bytes = self.vectors * self.vector_bytes
        windows = [ir.Constant(I32, 0)] * (self.height if self.kind == LEVELS else 0)
        zero = constant(self.sums, float("-inf") if self.kind == MAXIMA else 0)

        def segment(s: Any, sums: list[Any]) -> list[Any]:
            entry = self.at(segments, b.mul(s, const(8 * SEGMENT_FIELDS)))
            first_offset, first_weight, steps, shift = (self.load(I64, entry, 8 * i) for i in range(SEGMENT_FIELDS))
            first_offsets = self.at(offsets, b.mul(first_offset, const(8)))
            first_weights = self.at(weights, b.mul(first_weight, const(row_bytes)))
            if self.counts:
                one = b.trunc(shift, I32)
                every = self.splat(one, self.isa.lanes)
                sums = [b.shl(value, every if i < n else one) for i, value in enumerate(sums)]

            def step(t: Any, counts: list[Any]) -> list[Any]:
                offset = self.load(I64, first_offsets, b.mul(t, const(8)))
                return self._step(counts, starts, offset, self.at(first_weights, b.mul(t, const(row_bytes))))

            if not self.by_bytes:
                return self.loop(steps, sums, step)
            counts = self.loop(steps, [constant(self.counters, 0)] * n + sums[n:], step)
            return [b.add(s, self._add_up_bytes(c)) for s, c in zip(sums[:n], counts[:n], strict=True)] + counts[n:]

        sums = self.loop(self.field(job, AT.segment_count), [zero] * n + windows, segment)
        return sums[:n], sums[n:]

    def _step(self, counts: list[Any], starts: list[Any], offset: Any, weights: Any) -> list[Any]:
        """One word of each pixel against one row of weights."""
        b, counted, ones = self.b, [], []
        if self.kind in (TOTALS, MAXIMA):
            return self._pool(counts, [self.at(start, offset) for start in starts])
        filters = [self.load(self.sums, weights, v * self.vector_bytes) for v in range(self.vectors)]
        windows = counts[self.height * self.vectors :]
        for p, start in enumerate(starts):
            word = self.load(self.sums.element, start, offset)
            every = self.splat(word, self.isa.lanes)
            for v, weight in enumerate(filters):
                count = counts[p * self.vectors + v]
                if self.kind == FLOATS:
                    name = f"llvm.fmuladd.v{self.isa.lanes}f32"
                    counted.append(self.call(name, self.floats, every, weight, count))
                else:
                    both = b.xor(every, weight) if self.kind == SIGNS else b.and_(every, weight)
                    counted.append(b.add(count, self.popcount(b.bitcast(both, self.counters))))
            if windows:
                ones.append(b.add(windows[p], self.popcount(word)))
        return counted + ones

    def _pool(self, counts: list[Any], places: list[Any]) -> list[Any]:
        """Whole vectors of each pixel's channels, from an address each."""
        b = self.b
        values = [self.load(self.floats, at, v * self.vector_bytes) for at in places for v in range(self.vectors)]
        if self.kind == TOTALS:
            return [b.fadd(count, value) for count, value in zip(counts, values, strict=True)]
        larger = [b.fcmp_ordered(">", value, count) for count, value in zip(counts, values, strict=True)]
        return [b.select(*each) for each in zip(larger, values, counts, strict=True)]

    def _add_up_bytes(self, count: Any) -> Any:
        """The four bytes of each word, added: pairs of bytes into halves, then the halves."""
        b, value = self.b, self.b.bitcast(count, self.words)
        for mask, bits in ((0x00FF00FF, 8), (0x0000FFFF, 16)):
            low = constant(self.words, mask)
            value = b.add(b.and_(value, low), b.and_(b.lshr(value, constant(self.words, bits)), low))
        return value

    def results(self, job: Any, rows: Any, counts: list[Any], windows: list[Any], parameters: Any) -> list[Any]:
        """correction - 2·count, or 2·count - (2^k_w - 1)·(sum of levels); `parameters` in bytes, as for `finish`."""
        if not self.counts:
            return counts
        b, results = self.b, []
        for p in range(self.height):
            of_pixel = counts[p * self.vectors : (p + 1) * self.vectors]
            if self.kind == SIGNS:
                row = self.at(self.at(self.field(job, AT.corrections), self.row(rows, p, 1)), parameters)
                for v, count in enumerate(of_pixel):
                    correction = self.load(self.words, row, v * self.vector_bytes)
                    results.append(b.sub(correction, b.add(count, count)))
            else:
                window = self.splat(windows[p], self.isa.lanes)
                results += [b.sub(b.add(count, count), window) for count in of_pixel]
        return results
