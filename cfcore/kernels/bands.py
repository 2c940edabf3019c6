"""A layer of float images in one pass: each chunk of output first packs the rows of input that nobody needed before.

The input is read, counted and written a little at a time, so that memory is busy while the vector ports count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cfcore.kernels.convolve import PLANAR_BYTES, PLANAR_CHUNK, aligned_bytes, convolve_levels, convolve_signs
from cfcore.kernels.isa import compiled
from cfcore.kernels.job import AT
from cfcore.kernels.packing import BLOCK_BYTES, PIXELS, pack_block


def _band_loop(convolve: Any) -> Any:
    """The loop over chunks of output pixels, for one kind of words."""

    @compiled
    def convolve_bands(x, out, job, after, step, top, size, window, first, last):  # type: ignore[no-untyped-def]
        """The output pixels first ≤ n·pixels + p < last of float32 x [N, C, H, W]; neither it nor out has gaps.

        job           of one image: where it lies and goes to is put in here
        after         addresses of the scale and the shift that follow
        step, top     as for `packing.pack_planes`
        size          of the packed words of one image
        window        columns of the output, rows under a window, stride, padding
        """
        rows, columns = x.shape[2:]
        output_columns, reach, stride, padding = window
        packed, memory = np.zeros(size, np.uint32), aligned_bytes(BLOCK_BYTES)  # of our own: no thread waits
        image_job, pixels, groups = job[0].copy(), job[0, AT.pixels], job[0, AT.groups]
        image_job[AT.words] = packed.ctypes.data
        image_job[AT.scale], image_job[AT.norm_shift] = after
        image_job[AT.planar], image_job[AT.out_bytes] = 1, PLANAR_BYTES
        for n in range(first // pixels, -(-last // pixels)):
            image_job[AT.out] = out.ctypes.data + n * out.strides[0]
            begin, end = max(0, first - n * pixels), min(pixels, last - n * pixels)
            block = max(0, begin // output_columns * stride - padding) * columns // PIXELS
            for chunk in range(begin, end, PLANAR_CHUNK):
                chunk_end = min(end, chunk + PLANAR_CHUNK)
                needed = min(rows, (chunk_end - 1) // output_columns * stride - padding + reach)
                while block * PIXELS < needed * columns:
                    pack_block(x, n, step, top, groups, padding, packed, 0, block, memory)
                    block += 1
                convolve(image_job, chunk, chunk_end)

    return convolve_bands


convolve_bands_of_signs, convolve_bands_of_levels = (_band_loop(each) for each in (convolve_signs, convolve_levels))
