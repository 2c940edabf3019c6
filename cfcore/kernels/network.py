"""A whole network as a table of jobs over one block of memory, run image by image in one compiled call.

Every layer is a job: a convolution of bits or floats, a pool (a convolution without weights), the classifier (a
convolution whose kernel covers its input). `Planner` lays their buffers out in one block; where a block starts is added
to a copy of the table, so that every thread works in a block of its own and images need no synchronisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore.config import FLOAT_BITS
from cfcore.kernels.convolve import (
    TALLEST,
    UNIT,
    convolve_floats,
    convolve_levels,
    convolve_signs,
    pool_maxima,
    pool_totals,
)
from cfcore.kernels.isa import compiled
from cfcore.kernels.job import AT, FLOATS, LEVELS, MAXIMA, SIGNS, TOTALS, Job, address, float_bits
from cfcore.kernels.operands import PackedFilters
from cfcore.kernels.prepare import aligned, per_vector, pixel_table, plan, tap_offsets
from cfcore.kernels.shape import ConvShape

CACHE_LINE = 64
IN_BLOCK = [AT.words, AT.out, AT.residual, AT.next_words]
"""The fields that are places in the block; 0 stands for none, so that nothing lies there."""

Affine = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Floats:
    """A buffer of floats [height, width, channels in whole units] at a place in the block."""

    place: int
    height: int
    width: int
    channels: int

    @property
    def row(self) -> int:
        """Floats of a pixel."""
        return -(-self.channels // UNIT) * UNIT


@dataclass(frozen=True)
class Bits:
    """Packed input of a convolution, quantized with `step` after an optional norm, at a place in the block."""

    place: int
    shape: ConvShape
    height: int
    width: int
    step: float = 1.0
    norm: Affine | None = None


@dataclass(frozen=True, kw_only=True)
class After:
    """What follows the sums, in this order: y = sum·scale; norm; + residual; PReLU; stored or rectified; packed."""

    scale: NDArray[np.float32] | None = None
    norm: Affine | None = None
    residual: Floats | None = None
    slope: float | None = None
    out: Floats | None = None
    rectify: bool = False
    bits: Bits | None = None


class Planner:
    """Collects jobs and places; `block_bytes` and `jobs` are the plan."""

    def __init__(self) -> None:
        self.block_bytes = CACHE_LINE
        self._jobs: list[Job] = []
        self._kept: list[Any] = []

    @property
    def jobs(self) -> NDArray[np.int64]:
        """int64 [jobs, fields of Job]; valid as long as the planner lives."""
        return np.array(self._jobs, np.int64)

    def floats(self, height: int, width: int, channels: int) -> Floats:
        """Room for floats."""
        buffer = Floats(self.block_bytes, height, width, channels)
        self._reserve(height * width * buffer.row)
        return buffer

    def bits(self, shape: ConvShape, height: int, width: int, step: float = 1.0, norm: Affine | None = None) -> Bits:
        """Room for the input of a convolution, border included (of float32 words, where its shape says so)."""
        buffer = Bits(self.block_bytes, shape, height, width, step, norm)
        self._reserve(shape.planes * (height + 2 * shape.padding) * (width + 2 * shape.padding) * shape.words)
        return buffer

    def convolve(self, source: Bits, filters: PackedFilters, after: After) -> None:
        """A convolution of packed bits, or of the floats that a float shape takes."""
        ready = plan(filters, source.height, source.width, after.bits.shape if after.bits else None)
        self._add(Job(*ready.job[0].tolist())._replace(words=source.place), filters.shape, after, ready, filters)

    def pool(self, source: Floats, kernel: int, after: After, kind: int) -> None:
        """The totals or maxima of windows that do not overlap."""
        shape = ConvShape(source.row, source.channels, kernel, kernel, 0, FLOAT_BITS, FLOAT_BITS)
        table = pixel_table(shape, source.height, source.width, after.bits.shape if after.bits else None)
        taps = tap_offsets(shape, source.height, source.width)[: kernel**2]  # those of the first channel
        segments = np.array([[0, 0, kernel**2, 0]], np.int64)
        job = Job(
            kind=kind,
            words=source.place,
            table=address(table),
            pixels=len(table) - TALLEST,
            offsets=address(taps),
            segments=address(segments),
            segment_count=1,
            groups=source.row // UNIT,
            group_bytes=4 * UNIT,
            filters=UNIT,
        )
        self._add(job, shape, after, table, taps, segments)

    def _add(self, job: Job, shape: ConvShape, after: After, *kept: Any) -> None:
        bits = after.bits
        following: tuple[Any, Any] = (None, None)
        if bits and (bits.norm or shape.filters % UNIT):  # behind the last filter 0·y - 1 < 0 gives bit 0 and level 0
            ones, zeros = np.ones(shape.filters, np.float32), np.zeros(shape.filters, np.float32)
            factor, term = bits.norm or (ones, zeros)
            following = per_vector(factor, shape), per_vector(term, shape, tail=-1)
        numbers = (after.scale, *(after.norm or (None, None)))
        vectors = [None if v is None else per_vector(v.astype(np.float32), shape) for v in numbers]
        self._kept += [*kept, *vectors, *following]
        if after.out:
            job = job._replace(out=after.out.place, out_bytes=4 * after.out.row, rectify=int(after.rectify))
        if after.residual:
            job = job._replace(residual=after.residual.place, residual_bytes=4 * after.residual.row)
        if after.slope is not None:
            job = job._replace(slope=float_bits(after.slope) or float_bits(-0.0))  # 0 stands for none
        if bits:
            columns = bits.width + 2 * bits.shape.padding
            plane = 4 * (bits.height + 2 * bits.shape.padding) * columns * bits.shape.words
            job = job._replace(next_words=bits.place, next_planes=bits.shape.planes, next_plane_bytes=plane)
            if not bits.shape.signed:
                job = job._replace(next_step=float_bits(bits.step), next_top=float_bits(bits.shape.max_level))
        names = ("scale", "norm_scale", "norm_shift", "next_scale", "next_shift")
        addresses = map(address, (*vectors, *following))
        self._jobs.append(job._replace(**dict(zip(names, addresses, strict=True))))

    def _reserve(self, words: int) -> None:
        self.block_bytes += -(-4 * words // CACHE_LINE) * CACHE_LINE


class Block:
    """Memory for one image on its way through the plan, and the jobs that work in it.

    memory  its bytes
    entry   float32 [H + 2p, W + 2p, C]: where the image goes
    output  float32: where the last job leaves its numbers
    bits    the kind of the bits in the plan: SIGNS or LEVELS
    """

    def __init__(self, planner: Planner, entry: Bits, output: Floats) -> None:
        memory = self.memory = aligned((planner.block_bytes,), np.uint8)
        self.planner = planner  # whose weights and tables the jobs have the addresses of
        self.jobs = planner.jobs
        self.bits = LEVELS if LEVELS in self.jobs[:, AT.kind] else SIGNS
        places = self.jobs[:, IN_BLOCK]
        self.jobs[:, IN_BLOCK] = np.where(places > 0, places + address(memory), 0)
        border = 2 * entry.shape.padding
        size = entry.height + border, entry.width + border, entry.shape.channels
        self.entry = memory[entry.place :].view(np.float32)[: np.prod(size)].reshape(size)
        self.output = memory[output.place :].view(np.float32)[: output.channels]


# ---- running it, all the jobs for one image, then for the next ---------------------------------------------------


@compiled
def _enter(image, entry):  # type: ignore[no-untyped-def]
    """Copy an image [H, W, C] into its border of zeros."""
    border = (entry.shape[0] - image.shape[0]) // 2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for channel in range(image.shape[2]):
                entry[row + border, column + border, channel] = image[row, column, channel]


@compiled
def _leave(output, result):  # type: ignore[no-untyped-def]
    """Copy the numbers of the last job; for `result[:] = output` numba would also compile a refusal of other shapes."""
    for i in range(len(output)):
        result[i] = output[i]


def _run_loop(convolve: Any) -> Any:
    """The loop over images and jobs, for one kind of bits, so that nobody compiles the code for the other."""

    @compiled
    def run_jobs(images, jobs, entry, output, results, first, last):  # type: ignore[no-untyped-def]
        for n in range(first, last):
            _enter(images[n], entry)
            for job in jobs:
                if job[AT.kind] == FLOATS:
                    convolve_floats(job, 0, job[AT.pixels])
                elif job[AT.kind] == TOTALS:
                    pool_totals(job)
                elif job[AT.kind] == MAXIMA:
                    pool_maxima(job)
                else:
                    convolve(job, 0, job[AT.pixels])
            _leave(output, results[n])

    return run_jobs


run_signs, run_levels = (_run_loop(convolve) for convolve in (convolve_signs, convolve_levels))


def run(images: NDArray[np.float32], block: Block, results: NDArray[np.float32], first: int, last: int) -> None:
    """results[n] of images[n], float32 [N, H, W, C], for first ≤ n < last: all the jobs for one, then for the next.

    results  float32 [N, numbers of the last job]
    """
    loop = run_signs if block.bits == SIGNS else run_levels
    loop(images, block.jobs, block.entry, block.output, results, first, last)
