"""The fast kernels: pack activations, convolve, and finish in one pass. Same arguments and results as `reference`.

Three stages, by what goes in and out: `conv2d` (packed in, integers out), `conv2d_float` (packed in, float32 out) and
`conv2d_packed` (packed in, the next layer's packed input out). `layer` is packing and `conv2d_float` in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore.errors import bad_value
from cfcore.kernels import reference
from cfcore.kernels.bands import convolve_bands_of_levels, convolve_bands_of_signs
from cfcore.kernels.convolve import PLANAR_BYTES, convolve_images_of_levels, convolve_images_of_signs
from cfcore.kernels.isa import ISA
from cfcore.kernels.job import AT, address, float_bits
from cfcore.kernels.operands import PackedActivations, PackedFilters, check_match, check_step, made_anew
from cfcore.kernels.packing import PIXELS, pack_planes, pack_rows
from cfcore.kernels.prepare import Plan, aligned, per_vector, plan
from cfcore.kernels.shape import ConvShape
from cfcore.kernels.threads import ALONE, Threads

Floats = NDArray[np.float32]


def pack_activations(x: Floats, shape: ConvShape, step: float = 1.0, threads: Threads = ALONE) -> PackedActivations:
    """Quantize x [N, H, W, C] and pack it, in one pass: see `reference.quantize_activations` for the formula.

    x        any strides do, and best are contiguous ones: as they are, or with channels first in memory
             (`images.transpose(0, 2, 3, 1)` of [N, C, H, W])
    step     of the levels; unused at one bit
    threads  share out the pixels

    Raises ConfigError for other shapes and types, and for a step that is not above 0.
    """
    reference.check_input(x, shape)
    if x.dtype != np.float32:
        raise bad_value("type of the activations", str(x.dtype), "float32", "Convert them with astype.")
    limits = _limits(step, shape)
    n, h, w, _ = x.shape
    packed = empty_activations(shape, n, h, w)
    channels_first = x.transpose(0, 3, 1, 2)
    arguments = (*limits, shape.groups, shape.padding, packed.words)
    if channels_first.flags.c_contiguous and h * w > 1:
        threads.share(n * -(-h * w // PIXELS), partial(pack_planes, channels_first, *arguments))
    else:
        threads.share(n * h, partial(pack_rows, x, *arguments))
    return packed


NO_LIMITS = np.float32(0), np.float32(0)


def _limits(step: float, shape: ConvShape) -> tuple[np.float32, np.float32]:
    """The step of the levels and the highest of them; 0 and 0 for signs."""
    check_step(step)
    return NO_LIMITS if shape.signed else (np.float32(step), np.float32(shape.max_level))


def empty_activations(shape: ConvShape, batch: int, height: int, width: int) -> PackedActivations:
    """Packed activations of nothing yet: all bits 0."""
    padded = height + 2 * shape.padding, width + 2 * shape.padding
    return PackedActivations(shape, np.zeros((batch, shape.planes, *padded, shape.words), np.uint32))


def conv2d(
    activations: PackedActivations,
    filters: PackedFilters,
    threads: Threads = ALONE,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """int32 [N, OH, OW, F]: exactly the convolution of the integers, with padded taps zero; threads share the pixels.

    out  an array of that shape and type with memory of its own, to be overwritten

    Raises ConfigError where the two were packed for different convolutions, or out is another.
    """
    check_match(activations, filters)
    ready = plan(filters, activations.height, activations.width)
    result = _output(out, activations.words, (activations.batch, *ready.output, filters.shape.filters), np.int32)
    job = ready.job.copy()
    job[0, AT.out], job[0, AT.integers] = address(result), 1
    _run(job, activations, threads, out=result.strides[0])
    return result


@dataclass(frozen=True, eq=False)
class Epilogue:
    """What follows the sums of a layer: y = sum·scale[f] + shift[f], in float32. `epilogue` prepares it, once.

    scale, shift  float32 [groups, whole units of filters]; shift is missing where it is 0
    """

    shape: ConvShape
    scale: Floats
    shift: Floats | None
    addresses: tuple[int, int] = field(init=False)
    __reduce__ = made_anew

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", (address(self.scale), address(self.shift)))


def epilogue(shape: ConvShape, scale: Floats, shift: Floats | None = None) -> Epilogue:
    """Prepare y = sum·scale[f] + shift[f] for one convolution. Raises ConfigError for other shapes than [F]."""
    scales = per_vector(_per_filter("scale", scale, shape), shape)
    if shift is None and shape.group_filters % ISA.unit == 0:
        return Epilogue(shape, scales, None)
    shifts = np.zeros(shape.filters, np.float32) if shift is None else _per_filter("shift", shift, shape)
    return Epilogue(shape, scales, per_vector(shifts, shape, tail=-1))  # below 0: bit 0 behind the last filter


def conv2d_float(
    activations: PackedActivations,
    filters: PackedFilters,
    after: Epilogue,
    channels_first: bool = False,
    threads: Threads = ALONE,
    out: Floats | None = None,
) -> Floats:
    """float32 sum·scale[f] + shift[f] of the sums of `conv2d`, [N, OH, OW, F] or, channels first, [N, F, OH, OW].

    Raises ConfigError as `conv2d` does.
    """
    check_match(activations, filters)
    ready = plan(filters, activations.height, activations.width)
    n, f = activations.batch, filters.shape.filters
    size = (n, f, *ready.output) if channels_first else (n, *ready.output, f)
    result = _output(out, activations.words, size, np.float32)
    job = _finished(ready, after, filters)
    job[0, AT.out] = address(result)
    if channels_first:
        job[0, AT.planar], job[0, AT.out_bytes] = 1, PLANAR_BYTES
    _run(job, activations, threads, out=result.strides[0])
    return result


def conv2d_packed(
    activations: PackedActivations,
    filters: PackedFilters,
    after: Epilogue,
    following: ConvShape,
    step: float = 1.0,
    threads: Threads = ALONE,
    out: PackedActivations | None = None,
) -> PackedActivations:
    """The results of `conv2d_float`, quantized with `step` and packed for the `following` one; no float between.

    out  activations of an earlier call with the same shapes, to be overwritten

    Raises ConfigError as `conv2d` does, where the filters are not the following channels, and for groups whose bits do
    not lie as the following words want them.
    """
    check_match(activations, filters)
    shape = filters.shape
    if following.channels != shape.filters or following.floats:
        raise bad_value(
            "following", following, f"a packed convolution of {shape.filters} channels", "Take the next layer's."
        )
    if following.groups > 1 or (shape.groups > 1 and shape.group_filters % ISA.unit):
        allowed = "one group after one group, or after groups of whole units of filters"
        raise bad_value("groups", (shape.groups, following.groups), allowed, "Use conv2d_float and pack_activations.")
    ready = plan(filters, activations.height, activations.width, following)
    result = _packed_output(out, activations.words, following, activations.batch, *ready.output)
    job = _finished(ready, after, filters)
    job[0, AT.next_words] = result.address
    job[0, AT.next_planes], job[0, AT.next_plane_bytes] = following.planes, result.words.strides[1]
    if not following.signed:
        job[0, AT.next_step], job[0, AT.next_top] = (float_bits(float(limit)) for limit in _limits(step, following))
    _run(job, activations, threads, next_words=result.words.strides[0])
    return result


def layer(
    x: Floats,
    filters: PackedFilters,
    after: Epilogue,
    step: float = 1.0,
    threads: Threads = ALONE,
    out: Floats | None = None,
) -> Floats:
    """A whole layer as torch has it: float32 [N, C, H, W] -> quantize, convolve, scale and shift -> [N, F, OH, OW]."""
    shape = filters.shape
    if x.ndim != 4 or x.shape[1] != shape.channels:
        raise bad_value("shape of the activations", x.shape, f"[N, {shape.channels}, H, W]", "Check the layer before.")
    channels_last = x.transpose(0, 2, 3, 1)
    if not x.flags.c_contiguous or x.dtype != np.float32:
        activations = pack_activations(channels_last, shape, step=step, threads=threads)
        return conv2d_float(activations, filters, after, channels_first=True, threads=threads, out=out)
    reference.check_input(channels_last, shape)
    limits = _limits(step, shape)
    n, _, height, width = x.shape
    ready = plan(filters, height, width)
    result = _output(out, x, (n, shape.filters, *ready.output), np.float32)
    _check_epilogue(after, filters)
    convolve = convolve_bands_of_signs if shape.signed else convolve_bands_of_levels
    work = partial(convolve, x, result, ready.job, after.addresses, *limits, ready.words, ready.window)
    threads.share(n * ready.output[0] * ready.output[1], work)
    return result


def _finished(ready: Plan, after: Epilogue, filters: PackedFilters) -> NDArray[np.int64]:
    """The plan's job, with scale and shift."""
    _check_epilogue(after, filters)
    job = ready.job.copy()
    job[0, AT.scale], job[0, AT.norm_shift] = after.addresses
    return job


def _check_epilogue(after: Epilogue, filters: PackedFilters) -> None:
    if after.shape is not filters.shape and after.shape != filters.shape:
        raise bad_value("epilogue", after.shape, f"one for {filters.shape}", "Prepare another.")


def _run(job: NDArray[np.int64], activations: PackedActivations, threads: Threads, **strides: int) -> None:
    """Convolve every image: a row of the job each, its addresses moved on."""
    batch, pixels = activations.batch, int(job[0, AT.pixels])
    job[0, AT.words] = activations.address
    if batch != 1:
        job = job.repeat(batch, axis=0)
        for field, stride in {"words": activations.words.strides[0], **strides}.items():
            job[:, getattr(AT, field)] += np.arange(batch) * stride
    if batch:
        convolve = convolve_images_of_signs if activations.shape.signed else convolve_images_of_levels
        threads.share(batch * pixels, partial(convolve, job))


def _output(out: NDArray[Any] | None, source: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    if out is None:
        return aligned(shape, dtype, np.empty)
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
        allowed = f"a contiguous {np.dtype(dtype).name} array {shape}"
        raise bad_value("out", f"{out.dtype.name} {out.shape}", allowed, "Leave it out.")
    _check_apart(out, source)
    return out


def _packed_output(
    out: PackedActivations | None, source: NDArray[Any], shape: ConvShape, *size: int
) -> PackedActivations:
    if out is None:
        return empty_activations(shape, *size)
    if out.shape != shape or (out.batch, out.height, out.width) != size or not out.words.flags.writeable:
        raise bad_value("out", out.words.shape, f"activations of {shape} for {size}", "Leave it out.")
    _check_apart(out.words, source)
    return out


def _check_apart(out: NDArray[Any], source: NDArray[Any]) -> None:
    """Refuse to write over what is still to be read."""
    if np.may_share_memory(out, source):
        raise bad_value("out", "the input", "memory of its own", "Leave it out.")


def _per_filter(name: str, values: Floats, shape: ConvShape) -> Floats:
    if np.shape(values) != (shape.filters,):
        raise bad_value(f"shape of {name}", np.shape(values), f"({shape.filters},)", "Give one number per filter.")
    return np.ascontiguousarray(values, np.float32)
