"""Convolutions that count bits: prepare filters once, pack activations, convolve.

    filters = prepare_filters(q, shape)                # odd integers [F, C, kh, kw]
    activations = pack_activations(x, shape)           # float32 [N, H, W, C]
    sums = conv2d(activations, filters)                # int32 [N, OH, OW, F]
    y = to_float(sums, alpha)                          # float32, one scale per filter

`reference` has the same functions as readable loops.
"""

from cfcore.kernels.operands import ConvShape, PackedActivations, PackedFilters
from cfcore.kernels.packed import conv2d, pack_activations, prepare_filters, to_float
from cfcore.kernels.reference import pack_levels
from cfcore.kernels.threads import Threads

__all__ = [
    "ConvShape",
    "PackedActivations",
    "PackedFilters",
    "Threads",
    "conv2d",
    "pack_activations",
    "pack_levels",
    "prepare_filters",
    "to_float",
]
