"""The bitwise convolution inside torch: an operator, `torch.ops.cfcore.packed_conv2d`, and a layer around it.

Eager torch, `torch.export` and `torch.compile` see one operation that knows the shape of its result, and what it must
refuse. It has no gradient: quantized networks are trained simulated (`layers`), and then packed.
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
from cfcore.kernels.operands import check_packable, check_step


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
    shape = _checked(x, planes, scale, (kernel, stride, padding, dilation, groups), activation_bits, step)
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
    shape = _checked(x, planes, scale, (kernel, stride, padding, dilation, groups), activation_bits, step)
    return x.new_empty(x.shape[0], shape.filters, *shape.output_size(x.shape[2], x.shape[3]))


def _checked(
    x: Tensor, planes: Tensor, scale: Tensor, geometry: tuple[int, ...], activation_bits: int, step: float
) -> ConvShape:
    """The convolution that sizes and types describe; only numbers of images and pixels may still be symbols.

    geometry  kernel, stride, padding, dilation, groups

    Raises ConfigError.
    """
    if x.dtype != torch.float32 or x.dim() != 4:
        raise bad_value("x", _described(x), "float32 [N, C, H, W]", "Convert it with float().")
    if planes.dtype != torch.uint8 or planes.dim() != 3:
        raise bad_value("planes", _described(planes), "uint8 [k_w, F, ⌈n/8⌉]", "Check the layer.")
    kernel, stride, padding, dilation, groups = map(int, geometry)
    weight_bits, filters, row = map(int, planes.shape)
    sizes = (int(x.shape[1]), filters, kernel, stride, padding, weight_bits, int(activation_bits), dilation, groups)
    shape = ConvShape(*sizes)
    check_packable(shape)
    check_step(float(step))
    n = shape.group_channels * kernel**2
    if row != -(-n // 8) or scale.dtype != torch.float32 or scale.shape != (filters,):
        allowed = f"uint8 [k_w, F, {-(-n // 8)}] and float32 [F] for x of {shape.channels} channels"
        raise bad_value(
            "planes and scale", f"{_described(planes)} and {_described(scale)}", allowed, "Check the layer."
        )
    return shape


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Filters in the order of the register tiles, and what they were made of."""

    scale: Tensor
    versions: tuple[int | bytes, int | bytes]
    filters: PackedFilters
    after: Epilogue


_KNOWN = WeakTensorKeyDictionary()
"""By planes: arranging filters takes longer than a convolution, and is done again only when a tensor has changed as far
as torch can tell. It cannot where one writes through `.data` or `.numpy()`."""


def _prepared(planes: Tensor, scale: Tensor, shape: ConvShape) -> _Prepared:
    versions = _version(planes), _version(scale)
    known = _KNOWN.get(planes)
    if known is None or known.scale is not scale or known.versions != versions or known.filters.shape != shape:
        bits = bitpack.unpack_bits(planes.numpy(), shape.group_channels * shape.kernel**2)
        q = bitpack.weights_from_planes(bits).reshape(shape.filters, shape.kernel, shape.kernel, shape.group_channels)
        filters = prepare_filters(np.ascontiguousarray(q.transpose(0, 3, 1, 2)), shape)
        known = _KNOWN[planes] = _Prepared(scale, versions, filters, epilogue(shape, scale.detach().numpy()))
    return known


def _version(tensor: Tensor) -> int | bytes:
    """A number that grows with every change in place; tensors of inference mode have none, only their bytes."""
    return tensor.numpy().tobytes() if tensor.is_inference() else tensor._version


def _threads() -> Threads:
    return _pool(torch.get_num_threads())


@lru_cache(maxsize=8)
def _pool(count: int) -> Threads:
    return Threads(count)


def _array(values: NDArray[Any] | Tensor, name: str) -> NDArray[Any]:
    """A tensor of any type, learned or not, and whatever is an array of numbers. Raises ConfigError for the rest."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise bad_value(name, array.dtype, "an array or tensor of numbers", "Check the layer.")
    return array


class PackedConv2d(nn.Module):
    """A quantized convolution on packed bits; its weights take k_w bits each, in the state too.

    Quantization has slope 0, so that no gradient goes through it: layers before it learn nothing here.

    q      odd integers of `weight_bits` bits [F, C/groups, k, k]
    scale  α of each filter [F]
    step   of the levels of 2..8-bit activations

    Raises ConfigError.
    """

    planes: Tensor
    scale: Tensor

    def __init__(
        self,
        q: NDArray[Any] | Tensor,
        scale: NDArray[np.float32] | Tensor,
        weight_bits: int = 1,
        activation_bits: int = 1,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        step: float = 1.0,
    ) -> None:
        super().__init__()
        q, scale = _array(q, "q"), _array(scale, "scale").astype(np.float32)
        if not np.isfinite(scale).all():
            raise bad_value("scale", scale, "finite numbers", "Check the layer.")
        if q.ndim != 4 or q.shape[2] != q.shape[3] or scale.shape != q.shape[:1]:
            raise bad_value("q and scale", (q.shape, scale.shape), "[F, C, k, k] and [F]", "Check the layer.")
        check_step(step)
        filters, channels, kernel, _ = q.shape
        sizes = (kernel, stride, padding, weight_bits, activation_bits, dilation, groups)
        self.shape, self.step = ConvShape(channels * groups, filters, *sizes), step
        planes = bitpack.weight_planes(np.ascontiguousarray(q.transpose(0, 2, 3, 1)), weight_bits)
        self.register_buffer("planes", torch.from_numpy(bitpack.pack_bits(planes)))
        self.register_buffer("scale", torch.from_numpy(scale * np.float32(step)))

    def get_extra_state(self) -> float:
        """The step, which cuts the levels that `scale` scales back: a state without it would be half of one."""
        return self.step

    def set_extra_state(self, state: float) -> None:
        """Take the step of another layer. Raises ConfigError."""
        check_step(state)
        self.step = state

    def forward(self, x: Tensor) -> Tensor:
        """float32 [N, C, H, W] -> [N, F, OH, OW]"""
        s = self.shape
        geometry = (s.kernel, s.stride, s.padding, s.dilation, s.groups)
        return packed_conv2d(x.detach(), self.planes, self.scale, *geometry, s.activation_bits, self.step)

    def extra_repr(self) -> str:
        """What tells it from another, as torch prints it."""
        s = self.shape
        bits = f"weight_bits={s.weight_bits}, activation_bits={s.activation_bits}"
        window = f"kernel={s.kernel}, stride={s.stride}, padding={s.padding}, dilation={s.dilation}, groups={s.groups}"
        return f"{s.channels}, {s.filters}, {window}, {bits}"
