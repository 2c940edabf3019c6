"""How fast the packed convolution is here beside torch's best: results are checked, then rounds of all are timed.

Run it in a process of its own: it sets torch's number of threads, and two benchmarks at once would time each other.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cfcore.architecture import Conv, architecture
from cfcore.config import MODELS, Configuration
from cfcore.errors import Cancelled, bad_value
from cfcore.kernels import (
    ConvShape,
    Threads,
    conv2d,
    conv2d_packed,
    epilogue,
    layer,
    pack_activations,
    prepare_filters,
    reference,
)
from cfcore.kernels.machine import port_bound, this_machine
from cfcore.timings import DISTURBED, Benchmark, Row, layer_name

# the 3×3 convolutions of the four stages of ImageNet's ResNet-18 (He et al., arXiv 1512.03385), from 56² pixels to 7²
RESNET18 = tuple(Conv(f"stage{i}", c, c, 3584 // c) for i, c in enumerate((64, 128, 256, 512), 1))

TINY = Conv("tiny", channels=1, filters=1, size=1, kernel=1, padding=0)
LIMITS = {"channels": 4096, "size": 512, "filters": 4096, "kernel": 15, "stride": 8}
MAX_MACS, MAX_RUNS = 2 * 10**9, 10_000
SAMPLE_SECONDS = 1e-3
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}  # over the largest result: bf16 cannot pass for fp32

Call = Callable[[], Any]
Samples = list[list[float]]  # seconds a call, [contender][round]


@dataclass(frozen=True)
class _Contender:
    """A prepared call, and whether what it returned was right."""

    backend: str
    stage: str
    call: Call
    matches: bool


def bench_conv(
    layers: str = "resnet18",
    threads: int = 1,
    weight_bits: int = 1,
    activation_bits: int = 1,
    runs: int = 30,
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Benchmark:
    """Time one image through each layer, packed and in torch's fp32, bf16 and int8.

    Each round times every contender once, one after the other, so that a slow spell of the machine hits all; a sample
    is the mean of as many calls as fill a millisecond, after one that is not counted. Of each type of torch's the
    fastest way is reported: contiguous or channels-last, with weights as they are or arranged beforehand by oneDNN.

    layers     "resnet18", a name of `MODELS`, or "C,H,F,K,S": channels, height and width, filters, kernel, stride
    progress   called before each round with (rounds done, rounds in all, the layer)
    cancelled  asked before each round; Cancelled is raised once it says yes

    Raises ConfigError.
    """
    convs = parse_layers(layers)
    shapes = [_shape(conv, weight_bits, activation_bits) for conv in convs]
    _whole("threads", threads, os.cpu_count() or 1)
    _whole("runs", runs, MAX_RUNS)
    rows, bounds, notes = list[Row](), list[float](), _notes(threads)

    def before_round(layer: int, n: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("The benchmark was stopped.")
        if progress is not None:
            progress(layer * runs + n, len(convs) * runs, layer_name(convs[layer]))
        bounds.append(port_bound(SAMPLE_SECONDS))

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(threads)  # noqa: TID251 - for the length of the benchmark, in a process that does nothing else
    try:
        with Threads(threads) as pool, torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)  # leaves torch some day
            jit_s = _seconds(partial(_packed, TINY, _shape(TINY, weight_bits, activation_bits), pool), 1)
            for i, (conv, shape) in enumerate(zip(convs, shapes, strict=True)):
                contenders = _packed(conv, shape, pool) + _torch_float(conv) + _torch_int8(conv, notes)
                samples = _rounds([c.call for c in contenders], runs, partial(before_round, i))
                bound = statistics.median(bounds[-runs:]) * threads / (weight_bits * activation_bits)
                rows += _rows(conv, contenders, samples, threads, bound)
    finally:
        torch.set_num_threads(torch_threads)  # noqa: TID251
    conditions = (this_machine(), weight_bits, activation_bits, threads, statistics.median(bounds), jit_s)
    return Benchmark(*conditions, tuple(rows), tuple(notes))


def parse_layers(layers: str) -> tuple[Conv, ...]:
    """The quantized convolutions that a name or "C,H,F,K,S" stands for, each shape once.

    >>> [layer_name(conv) for conv in parse_layers("resnet20")]
    ['16,32,16,3,1', '16,32,32,3,2', '32,16,32,3,1', '32,16,64,3,2', '64,8,64,3,1']
    >>> parse_layers("0,56,64,3,1")
    Traceback (most recent call last):
    ...
    cfcore.errors.ConfigError: channels = 0 is not allowed: use a whole number from 1 to 4096. Choose 1.
    """
    if layers == "resnet18":
        return RESNET18
    if layers in MODELS:
        quantized = [conv for conv in architecture(Configuration(model=layers)).convs if conv.quantized]
        return tuple({layer_name(conv): conv for conv in quantized}.values())
    fields = [field.strip() for field in layers.split(",")]
    if len(fields) != len(LIMITS) or not all(f.isascii() and f.isdecimal() and len(f) < 9 for f in fields):
        allowed = ", ".join(("resnet18", *MODELS, "or five whole numbers C,H,F,K,S"))
        raise bad_value("layers", layers, allowed, "Choose 64,56,64,3,1.")
    for (name, top), field in zip(LIMITS.items(), fields, strict=True):
        _whole(name, int(field), top)
    channels, size, filters, kernel, stride = map(int, fields)
    conv = Conv("custom", channels, filters, size, kernel, stride, padding=kernel // 2)
    if max(conv.macs, channels * size**2 * 64) > MAX_MACS:
        raise bad_value("layers", layers, f"at most {MAX_MACS:,} multiply-accumulates", "Choose a smaller layer.")
    return (conv,)


# ---- timing ------------------------------------------------------------------------------------------------------


def _rounds(calls: list[Call], runs: int, before_round: Callable[[int], None]) -> Samples:
    """Rounds A B C, A B C, …"""
    repeats = [math.ceil(SAMPLE_SECONDS / min(_seconds(call, 1) for _ in range(5))) for call in calls]
    samples: Samples = [[] for _ in calls]
    for n in range(runs):
        before_round(n)
        for call, count, kept in zip(calls, repeats, samples, strict=True):
            call()  # the contender before it has emptied the caches
            kept.append(_seconds(call, count))
    return samples


def _seconds(call: Call, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def _rows(conv: Conv, contenders: list[_Contender], samples: Samples, threads: int, bound: float) -> list[Row]:
    """The records of a layer: for each backend and stage its fastest contender."""
    best: dict[tuple[str, str], tuple[float, float, float, bool]] = {}
    for c, kept in zip(contenders, samples, strict=True):
        median, low, high = np.percentile(kept, (50, 10, 90)).tolist()
        slowest = (math.inf, 0.0, 0.0, False)
        best[c.backend, c.stage] = min(best.get((c.backend, c.stage), slowest), (median, low, high, c.matches))
    fp32, name, runs, rows = best["torch-fp32", "layer"][0], layer_name(conv), len(samples[0]), list[Row]()
    for (backend, stage), (median, low, high, matches) in best.items():
        gmacs = conv.macs / median / 1e9
        share = gmacs / bound if (backend, stage) == ("packed", "product") else None
        times = (median, low, high, runs, gmacs, fp32 / median)
        rows.append(Row(name, backend, stage, threads, *times, share, matches))
    return rows


# ---- the packed kernels ------------------------------------------------------------------------------------------


def _shape(conv: Conv, weight_bits: int, activation_bits: int) -> ConvShape:
    sizes = (conv.channels, conv.filters, conv.kernel, conv.stride, conv.padding)
    return ConvShape(*sizes, weight_bits, activation_bits)


def _packed(conv: Conv, shape: ConvShape, pool: Threads) -> list[_Contender]:
    """Product: packed in, int32 out. Layer: float32 in and out, channels first. Chain: packed in, packed out."""
    rng = np.random.default_rng(0)
    x = _random(conv)[0].numpy()  # on a cache line, as torch's own input
    weights = (conv.filters, conv.channels, conv.kernel, conv.kernel)
    q = rng.integers(0, shape.max_weight + 1, weights) * 2 - shape.max_weight
    alpha, step = rng.uniform(0.5, 1.5, conv.filters).astype(np.float32), 2 / shape.max_level
    beta = rng.uniform(-0.5, 0.5, conv.filters).astype(np.float32)
    filters, scaled, shifted = prepare_filters(q, shape), epilogue(shape, alpha), epilogue(shape, alpha, beta)
    following = ConvShape(conv.filters, 1, conv.kernel, 1, conv.padding, 1, shape.activation_bits)
    activations = pack_activations(x.transpose(0, 2, 3, 1), shape, step=step, threads=pool)
    sums = conv2d(activations, filters, pool)
    bits = conv2d_packed(activations, filters, shifted, following, step, pool)
    product = partial(conv2d, activations, filters, pool, out=sums)
    whole = partial(layer, x, filters, scaled, step, pool, out=layer(x, filters, scaled, step, pool))
    chain = partial(conv2d_packed, activations, filters, shifted, following, step, pool, out=bits)

    integers = reference.quantize_activations(x.transpose(0, 2, 3, 1), shape, step=step)
    expected = reference.conv2d(reference.pack_levels(integers, shape), filters)
    floats = expected.astype(np.float32) * alpha
    quantized = reference.quantize_activations(floats + beta, following, step=step)
    packed_again = reference.pack_levels(quantized, following).words
    return [
        _Contender("packed", "product", product, np.array_equal(product(), expected)),
        _Contender("packed", "layer", whole, np.array_equal(whole(), floats.transpose(0, 3, 1, 2))),
        _Contender("packed", "chain", chain, np.array_equal(chain().words, packed_again)),
    ]


# ---- torch -------------------------------------------------------------------------------------------------------


def _torch_float(conv: Conv) -> list[_Contender]:
    """fp32 and bf16, every way; bf16 from and to its own type (product), and from and to float32 (layer)."""
    x, w, exact = _random(conv)
    contenders = []
    for dtype, layout in itertools.product(TOLERANCE, (torch.contiguous_format, torch.channels_last)):
        floats = x.contiguous(memory_format=layout)
        own = floats.to(dtype)
        for convolve in _ways(w.to(dtype).contiguous(memory_format=layout), own, conv):
            product, matches = partial(convolve, own), _close(convolve(own), exact, TOLERANCE[dtype])
            if dtype == torch.float32:
                contenders.append(_Contender("torch-fp32", "layer", product, matches))
                continue
            layer = partial(lambda convolve, x: convolve(x.bfloat16()).float(), convolve, floats)
            contenders.append(_Contender("torch-bf16", "product", product, matches))
            contenders.append(_Contender("torch-bf16", "layer", layer, matches))
    return contenders


def _ways(w: Tensor, x: Tensor, conv: Conv) -> list[Callable[[Tensor], Tensor]]:
    """The plain convolution, and the one with weights arranged beforehand where torch has it."""
    plain = partial(F.conv2d, weight=w, stride=conv.stride, padding=conv.padding)
    geometry = ([conv.padding] * 2, [conv.stride] * 2, [1, 1], 1)
    try:
        arrange: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        arranged = arrange(w.to_mkldnn(), *geometry, list(x.shape))
        arguments: tuple[Any, ...] = (arranged, None, *geometry, "none", [], "")
        torch.ops.mkldnn._convolution_pointwise(x, *arguments)
    except (RuntimeError, AttributeError):  # no oneDNN, or not for this type on this machine
        return [plain]
    return [plain, lambda x: torch.ops.mkldnn._convolution_pointwise(x, *arguments)]


def _torch_int8(conv: Conv, notes: list[str]) -> list[_Contender]:
    """uint8 levels by int8 weights through oneDNN, weights arranged beforehand, results scaled to float32 within."""
    x, weights, _ = _random(conv)
    x = x.abs().contiguous(memory_format=torch.channels_last)
    weights = (weights * 40).round().clamp(-127, 127).to(torch.int8)
    step, scale, geometry = 4 / 255, 0.01, ([conv.stride] * 2, [conv.padding] * 2, [1, 1], 1)
    scales, zeros = torch.full((conv.filters,), scale), torch.zeros(conv.filters, dtype=torch.long)

    def quantize() -> Tensor:
        return torch.quantize_per_tensor(x, step, 0, torch.quint8).int_repr()

    def product(levels: Tensor) -> Tensor:
        filters = (arranged, scales, zeros, None, *geometry)
        return torch.ops.onednn.qconv_pointwise(levels, step, 0, *filters, 1.0, 0, torch.float32, "none", [], "")

    try:
        arranged = torch.ops.onednn.qconv_prepack(weights, scales, step, 0, *geometry, list(x.shape))
        levels = quantize()
        result = product(levels)
    except (RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        notes.append(f"torch-int8 is missing for {layer_name(conv)}, where torch cannot run it here: {reason}")
        return []
    exact = F.conv2d(levels.double(), weights.double(), stride=conv.stride, padding=conv.padding) * step * scale
    matches = _close(result, exact, 1e-6)  # integers, and one rounding to float32 at the end
    return [
        _Contender("torch-int8", "product", partial(product, levels), matches),
        _Contender("torch-int8", "layer", lambda: product(quantize()), matches),
    ]


def _random(conv: Conv) -> tuple[Tensor, Tensor, Tensor]:
    """Activations, weights, and their convolution in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, conv.channels, conv.size, conv.size, generator=generator)
    w = torch.randn(conv.filters, conv.channels, conv.kernel, conv.kernel, generator=generator)
    return x, w, F.conv2d(x.double(), w.double(), stride=conv.stride, padding=conv.padding)


def _close(result: Tensor, exact: Tensor, tolerance: float) -> bool:
    error, largest = (result.double() - exact).abs().max().item(), exact.abs().max().item()
    return result.shape == exact.shape and error <= tolerance * largest


def _notes(threads: int) -> list[str]:
    notes = ["Tensors lie channels-last where a backend is faster so; none pays for transposing."]
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows tells no load
    cores, precision = os.cpu_count() or 1, torch.get_float32_matmul_precision()
    if busy + threads > cores + 0.5:
        notes.append(f"{DISTURBED} (load {busy:.1f} on {cores} cores): times are too long, ratios unsure.")
    if precision != "highest":
        notes.append(f"torch may compute fp32 with less precision here: its matmul precision is {precision}.")
    return notes


def _whole(name: str, value: object, top: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= top:
        raise bad_value(name, value, f"a whole number from 1 to {top}", f"Choose {1 if value == 0 else top}.")
