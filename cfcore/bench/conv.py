"""Single convolutions: the packed kernels' product, layer and chain, beside torch's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cfcore.architecture import Conv
from cfcore.bench.peers import exact_conv, openvino, torch_float, torch_int8
from cfcore.bench.rounds import Case, Contender, Rounds, run_cases
from cfcore.config import check_bits
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
from cfcore.quantize import weight_levels
from cfcore.runtime import conv_shape
from cfcore.shapes import parse_layers
from cfcore.timings import Benchmark, layer_name


def bench_conv(
    layers: str = "resnet18",
    threads: int = 1,
    weight_bits: int = 1,
    activation_bits: int = 1,
    runs: int = 30,
    progress: Rounds | None = None,
) -> Benchmark:
    """Time one image through each layer, packed and in torch's fp32, bf16 and int8.

    Of each type of torch's the fastest way is reported: contiguous or channels-last, with weights as they are or
    arranged beforehand by oneDNN.

    layers  a name of `shapes.NAMES`, or "C,H,F,K,S": channels, height and width, filters, kernel, stride

    Raises ConfigError.
    """
    check_bits("weight_bits", weight_bits)
    check_bits("activation_bits", activation_bits)
    warm_up = partial(_compile, weight_bits, activation_bits)
    cases = [_case(conv, weight_bits, activation_bits) for conv in parse_layers(layers)]
    return run_cases(cases, (weight_bits, activation_bits), threads, runs, warm_up, progress)


def _case(conv: Conv, weight_bits: int, activation_bits: int) -> Case:
    shape = conv_shape(conv, weight_bits, activation_bits)

    def prepare(pool: Threads, notes: list[str]) -> list[Contender]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, conv.channels, conv.size, conv.size, generator=generator)
        w = torch.randn(conv.filters, conv.channels, conv.kernel, conv.kernel, generator=generator)
        alpha = torch.rand(conv.filters, generator=generator) + 0.5
        peers = torch_float(x, w, conv) + torch_int8(x, w, conv, notes)
        if shape.signed and shape.weight_bits == 1:
            peers += openvino(x, w.sign(), alpha, conv, pool.count, notes)
        q = weight_levels(w, torch.full((conv.filters,), 2.0**-weight_bits), weight_bits)  # some of each integer
        return _packed(x, q, alpha, conv, shape, pool) + peers

    return Case(layer_name(conv), 1, conv.macs, prepare)


def _packed(x: Tensor, q: Tensor, alpha: Tensor, conv: Conv, shape: ConvShape, pool: Threads) -> list[Contender]:
    """Product: packed in, int32 out. Layer: float32 in, scaled float32 out, channels first. Chain: packed in, scaled,
    shifted as batch norm does, quantized again, and out packed for a 1×1 layer of the same bits and border."""
    step = 1.0 if shape.signed else 2 / shape.max_level
    a = torch.where(x >= 0, 1.0, -1.0) if shape.signed else (x / step).round().clamp(0, shape.max_level)
    exact = exact_conv(a, q, conv)
    scaled = exact.float() * alpha[:, None, None]
    beta, following = alpha - 1, replace(shape, channels=shape.filters, kernel=1)
    shifted = (scaled + beta[:, None, None]).permute(0, 2, 3, 1).numpy()
    bits = reference.pack_levels(reference.quantize_activations(shifted, following, step=step), following)

    filters = prepare_filters(q.numpy().astype(np.int16), shape)
    scale, norm = epilogue(shape, alpha.numpy()), epilogue(shape, alpha.numpy(), beta.numpy())
    activations = pack_activations(x.numpy().transpose(0, 2, 3, 1), shape, step=step)
    sums = conv2d(activations, filters, pool)
    floats = torch.empty_like(scaled, memory_format=torch.contiguous_format).numpy()
    packed = conv2d_packed(activations, filters, norm, following, step, pool)
    product = partial(conv2d, activations, filters, pool, out=sums)
    from_floats = partial(layer, x.numpy(), filters, scale, step, pool, out=floats)
    chain = partial(conv2d_packed, activations, filters, norm, following, step, pool, out=packed)
    return [
        Contender("packed", ("product",), product, np.array_equal(sums.transpose(0, 3, 1, 2), exact)),
        Contender("packed", ("layer",), from_floats, np.array_equal(from_floats(), scaled)),
        Contender("packed", ("chain",), chain, np.array_equal(packed.words, bits.words)),
    ]


def _compile(weight_bits: int, activation_bits: int) -> None:
    """The first call of every packed kernel."""
    tiny = Conv("tiny", channels=1, filters=1, size=2, kernel=1, padding=0)
    q = torch.full((1, 1, 1, 1), 1.0)
    _packed(torch.ones(1, 1, 2, 2), q, torch.ones(1), tiny, conv_shape(tiny, weight_bits, activation_bits), Threads(1))
