"""A convolution of one image as a row of integers: where everything lies, and what follows the sums.

The compiled loops and the vector code read the same row. Python fills it in by name: `Job(...)`, an address 0 standing
for "not wanted". Compiled code reads it by place: `job[AT.words]`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FLOATS, SIGNS, LEVELS, TOTALS, MAXIMA = range(5)
"""What a word of activations is, and what is done with it. A float32, 32 signs, or one digit of 32 levels is multiplied
with weights. Pooling takes whole vectors of floats as they are: the total or the largest of each channel's window."""

TABLE_FIELDS, SEGMENT_FIELDS = 4, 4
"""int32 per output pixel: offset of the first word under its window, of its row of corrections, its number, and offset
of its first bit in the next layer's words. int64 per segment: first offset, first row of weights, steps, shift."""


class Job(NamedTuple):
    """Addresses and offsets in bytes. F and "filters" are those of one group; W is F in whole units (see `isa`).

    What is convolved:
    kind             FLOATS, SIGNS, LEVELS, TOTALS or MAXIMA
    words            the image [k_a, H + 2p, W + 2p, groups, words of a group]
    table, pixels    int32 [pixels + a tile's height, 4], see `TABLE_FIELDS`; the last pixel is repeated at the end
    offsets          int64 [k_a · kh · kw · words]: from the first word under a window to each of its words
    segments, segment_count   int64 [segments, 4]: the order of visiting planes (see `tile`)
    weights          words [groups, blocks of filters, k_w · steps, filters of the block]
    weight_rows      k_w · steps
    groups, group_bytes, filters   group_bytes: from the words of one group to those of the next
    corrections      int32 [border classes, groups, W], for SIGNS

    What follows: y = sum·scale; y = y·norm_scale + norm_shift; y = y + residual; y = y·slope where y < 0;
    out = y or max(y, 0)
    scale, norm_scale, norm_shift    float32 [groups, W], each may be missing
    residual, residual_bytes         float32 rows that can be read up to the end of a vector; bytes of a row
    slope            the bits of a float32, which are those of -0 for the slope 0
    out, out_bytes   int32 or float32 rows of a pixel; bytes of a row
    integers         out is the sums themselves, and nothing follows
    planar           out is [groups·F, pixels] instead
    rectify          out = max(y, 0); what is packed stays y

    And then: v = y·next_scale + next_shift, packed as `packing` does
    next_scale, next_shift   float32 [groups, W]; behind the last filter 0 and -1, which gives bit 0
    next_words       the next layer's image, of next_planes planes, next_plane_bytes apart
    next_step, next_top      the bits of two float32
    """

    kind: int = 0
    words: int = 0
    table: int = 0
    pixels: int = 0
    offsets: int = 0
    segments: int = 0
    segment_count: int = 0
    weights: int = 0
    weight_rows: int = 0
    groups: int = 1
    group_bytes: int = 0
    filters: int = 0
    corrections: int = 0
    scale: int = 0
    norm_scale: int = 0
    norm_shift: int = 0
    residual: int = 0
    residual_bytes: int = 0
    slope: int = 0
    out: int = 0
    out_bytes: int = 0
    integers: int = 0
    planar: int = 0
    rectify: int = 0
    next_scale: int = 0
    next_shift: int = 0
    next_words: int = 0
    next_planes: int = 0
    next_plane_bytes: int = 0
    next_step: int = 0
    next_top: int = 0


AT = Job(*range(len(Job._fields)))


def float_bits(value: float) -> int:
    """A float32 as the integer of the same bits."""
    return int(np.float32(value).view(np.int32))


def address(array: NDArray[Any] | None) -> int:
    """Where an array starts; 0 for none. Whoever keeps the address keeps the array."""
    return 0 if array is None else array.ctypes.data
