"""The bitwise convolution inside torch: an operator, `torch.ops.cfcore.packed_conv2d`, and a layer around it.

Eager torch, `torch.export` and `torch.compile` see one operation that knows the shape of its result. It has no
gradient: quantized networks are trained simulated (`layers`), and then packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from cfcore import bitpack
from cfcore.errors import bad_value
from cfcore.kernels import ConvShape, Epilogue, PackedFilters, Threads, epilogue, layer, prepare_filters


@torch.library.custom_op("cfcore::packed_conv2d", mutates_args=(), device_types="cpu")
def packed_conv2d(
    x: Tensor,
    planes: Tensor,
    scale: Tensor,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    activation_bits: int,
    step: float,
) -> Tensor:
    """α[f]·(convolution of the quantized x with odd integers): float32 [N, C, H, W] -> [N, F, OH, OW].

    planes           uint8 [k_w, F, ⌈n/8⌉]: the integers' bit planes, as a checkpoint stores them
    scale            float32 [F]: α of each filter, times the step where activations have one
    activation_bits  1 for the sign of x, 2..8 for levels clamp(round(x / step), 0, 2^k - 1)

    Threads are as many as torch's own. Raises ConfigError for other shapes and types.
    """
    if x.dtype != torch.float32 or x.dim() != 4 or planes.dim() != 3:
        raise bad_value("x", f"{x.dtype} {tuple(x.shape)}", "float32 [N, C, H, W]", "Convert it with float().")
    shape = ConvShape(
        x.shape[1], planes.shape[1], kernel, stride, padding, planes.shape[0], activation_bits, dilation, groups
    )
    ready = _prepared(planes, scale, shape)
    return torch.from_numpy(layer(x.detach().numpy(), ready.filters, ready.after, step, _threads()))


@packed_conv2d.register_fake
def _(
    x: Tensor,
    planes: Tensor,
    scale: Tensor,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    activation_bits: int,
    step: float,
) -> Tensor:
    n, _, height, width = x.shape
    reach = 2 * padding - dilation * (kernel - 1) - 1
    return x.new_empty(n, planes.shape[1], (height + reach) // stride + 1, (width + reach) // stride + 1)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Filters in the order of the register tiles, and what they were made of."""

    scale: Tensor
    versions: tuple[int, int]
    filters: PackedFilters
    after: Epilogue


_KNOWN = WeakTensorKeyDictionary()
"""By planes: arranging filters takes longer than a convolution, and is done again only when a tensor has changed as far
as torch can tell. It cannot where one writes through `.data` or `.numpy()`, or to a tensor of inference mode."""


def _prepared(planes: Tensor, scale: Tensor, shape: ConvShape) -> _Prepared:
    versions = _version(planes), _version(scale)
    known = _KNOWN.get(planes)
    if known is None or known.scale is not scale or known.versions != versions or known.filters.shape != shape:
        n = shape.group_channels * shape.kernel**2
        if planes.dtype != torch.uint8 or planes.shape[2] != -(-n // 8) or scale.shape != (shape.filters,):
            sizes = f"uint8 [k_w, F, {-(-n // 8)}] and float32 [F] for x of {shape.channels} channels"
            raise bad_value("planes and scale", (tuple(planes.shape), tuple(scale.shape)), sizes, "Check the layer.")
        bits = bitpack.unpack_bits(planes.numpy(), n)
        q = bitpack.weights_from_planes(bits).reshape(shape.filters, shape.kernel, shape.kernel, shape.group_channels)
        filters = prepare_filters(np.ascontiguousarray(q.transpose(0, 3, 1, 2)), shape)
        known = _KNOWN[planes] = _Prepared(scale, versions, filters, epilogue(shape, scale.detach().numpy()))
    return known


def _version(tensor: Tensor) -> int:
    """A number that grows with every change in place; tensors of inference mode have none."""
    return 0 if tensor.is_inference() else tensor._version


def _threads() -> Threads:
    return _pool(torch.get_num_threads())


@lru_cache(maxsize=8)
def _pool(count: int) -> Threads:
    return Threads(count)


class PackedConv2d(nn.Module):
    """A quantized convolution on packed bits; its weights take k_w bits each, in the state too.

    q      odd integers of `weight_bits` bits [F, C/groups, k, k]
    scale  α of each filter [F]
    step   of the levels of 2..8-bit activations

    Raises ConfigError.
    """

    planes: Tensor
    scale: Tensor

    def __init__(
        self,
        q: NDArray[Any],
        scale: NDArray[np.float32],
        weight_bits: int = 1,
        activation_bits: int = 1,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        step: float = 1.0,
    ) -> None:
        super().__init__()
        filters, channels, kernel, width = q.shape
        if kernel != width or np.shape(scale) != (filters,) or not 0 < step < np.inf:
            given = (q.shape, np.shape(scale), step)
            raise bad_value("q, scale and step", given, "[F, C, k, k], [F] and a number above 0", "Check the layer.")
        sizes = (kernel, stride, padding, weight_bits, activation_bits, dilation, groups)
        self.shape, self.step = ConvShape(channels * groups, filters, *sizes), step
        planes = bitpack.weight_planes(np.ascontiguousarray(q.transpose(0, 2, 3, 1)), weight_bits)
        self.register_buffer("planes", torch.from_numpy(bitpack.pack_bits(planes)))
        self.register_buffer("scale", torch.from_numpy(np.asarray(scale, np.float32) * np.float32(step)))

    def forward(self, x: Tensor) -> Tensor:
        """float32 [N, C, H, W] -> [N, F, OH, OW]"""
        s = self.shape
        geometry = (s.kernel, s.stride, s.padding, s.dilation, s.groups)
        return packed_conv2d(x, self.planes, self.scale, *geometry, s.activation_bits, self.step)

    def extra_repr(self) -> str:
        """What tells it from another, as torch prints it."""
        s = self.shape
        bits = f"weight_bits={s.weight_bits}, activation_bits={s.activation_bits}"
        window = f"kernel={s.kernel}, stride={s.stride}, padding={s.padding}, dilation={s.dilation}, groups={s.groups}"
        return f"{s.channels}, {s.filters}, {window}, {bits}"
