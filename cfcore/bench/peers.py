"""What the packed convolution is timed against: torch in float32, bfloat16 and int8; OpenVINO where installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cfcore.architecture import Conv
from cfcore.bench.rounds import Contender, close
from cfcore.timings import layer_name

TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}  # over the largest result: bf16 cannot pass for fp32


def torch_float(x: Tensor, w: Tensor, conv: Conv) -> list[Contender]:
    """fp32 and bf16, every way; both from and to its own type (product), and from and to float32 (layer)."""
    exact = exact_conv(x, w, conv)
    contenders = []
    for dtype, layout in itertools.product(TOLERANCE, (torch.contiguous_format, torch.channels_last)):
        floats = x.contiguous(memory_format=layout)
        own = floats.to(dtype)
        for convolve in _ways(w.to(dtype).contiguous(memory_format=layout), own, conv):
            product, matches = partial(convolve, own), close(convolve(own), exact, TOLERANCE[dtype])
            if dtype == torch.float32:  # its own type is float32, so that both stages are the same
                contenders.append(Contender("torch-fp32", ("layer", "product"), product, matches))
                continue
            layer = partial(lambda convolve, x: convolve(x.bfloat16()).float(), convolve, floats)
            contenders.append(Contender("torch-bf16", ("product",), product, matches))
            contenders.append(Contender("torch-bf16", ("layer",), layer, matches))
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


def torch_int8(x: Tensor, w: Tensor, conv: Conv, notes: list[str]) -> list[Contender]:
    """uint8 levels by int8 weights through oneDNN, weights arranged beforehand, results scaled to float32 within."""
    x = x.abs().contiguous(memory_format=torch.channels_last)
    weights = (w / w.abs().max() * 127).round().to(torch.int8)
    step, scale, geometry = float(x.max()) / 255, 0.01, ([conv.stride] * 2, [conv.padding] * 2, [1, 1], 1)
    scales, zeros = torch.full((conv.filters,), scale), torch.zeros(conv.filters, dtype=torch.long)

    def quantize() -> Tensor:
        levels = torch.quantize_per_tensor(x, step, 0, torch.quint8)  # int_repr() would copy them
        return torch.empty(0, dtype=torch.uint8).set_(levels.untyped_storage(), 0, levels.size(), levels.stride())

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
    exact = exact_conv(levels, weights, conv) * step * scale
    matches = close(result, exact, 1e-6)  # integers, and one rounding to float32 at the end
    return [
        Contender("torch-int8", ("product",), partial(product, levels), matches),
        Contender("torch-int8", ("layer",), lambda: product(quantize()), matches),
    ]


def openvino(x: Tensor, signs: Tensor, alpha: Tensor, conv: Conv, threads: int, notes: list[str]) -> list[Contender]:
    """OpenVINO's BinaryConvolution of sign(x) and ±1 weights times α, from float32 to float32, channels first or last.

    Nothing where it is not installed (requirements-bench.txt), nor for channels that do not fill bytes: its sums are
    others there.
    """
    try:
        import openvino as ov
        from openvino import opset13 as op
    except ImportError:
        return []
    if conv.channels % 8:
        notes.append(f"openvino is missing for {layer_name(conv)}: its channels do not fill bytes.")
        return []
    bits = np.packbits(signs.numpy().reshape(-1) > 0, bitorder="little")  # its constant reads this memory: keep it
    weights = ov.op.Constant(ov.Tensor(bits, ov.Shape(list(signs.shape)), ov.Type.u1))
    threshold = [np.float32(v) for v in (-1, 1, -1, 1)]  # two levels, cut in the middle
    border, stride = [conv.padding] * 2, [conv.stride] * 2
    exact = exact_conv(torch.where(x >= 0, 1.0, -1.0), signs, conv) * alpha.double()[:, None, None]
    hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    contenders = []
    for last in (False, True):
        given = (x.permute(0, 2, 3, 1) if last else x).contiguous().numpy()
        parameter = op.parameter(given.shape, np.float32)
        y = op.transpose(parameter, op.constant([0, 3, 1, 2])) if last else parameter
        y = op.fake_quantize(y, *threshold, 2)
        y = op.binary_convolution(y, weights, stride, border, border, [1, 1], "xnor-popcount", 0.0)  # pads with 0
        y = op.multiply(y, op.constant(alpha.numpy().reshape(1, -1, 1, 1)))
        y = op.transpose(y, op.constant([0, 2, 3, 1])) if last else y
        request = ov.Core().compile_model(ov.Model([y], [parameter]), "CPU", hints).create_infer_request()
        request.set_input_tensor(ov.Tensor(given))
        request.infer()
        result = torch.from_numpy(request.get_output_tensor().data.copy())
        matches = close(result.permute(0, 3, 1, 2) if last else result, exact, 1e-6)
        contenders.append(Contender("openvino", ("layer",), partial(_infer, request, bits), matches))
    return contenders


def _infer(request: Any, kept: Any) -> None:
    request.infer()


def exact_conv(x: Tensor, w: Tensor, conv: Conv) -> Tensor:
    """The convolution in float64: exact for integers."""
    return F.conv2d(x.double(), w.double(), stride=conv.stride, padding=conv.padding)
