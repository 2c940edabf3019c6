"""Convolutions that count bits: prepare filters once, pack activations, convolve.

    filters = prepare_filters(q, shape)                # odd integers [F, C, kh, kw]
    activations = pack_activations(x, shape)           # float32 [N, H, W, C]
    sums = conv2d(activations, filters)                # int32 [N, OH, OW, F]

`reference` has the same functions as readable loops.
"""

from cfcore.kernels.operands import ConvShape, PackedActivations, PackedFilters
from cfcore.kernels.packed import conv2d, conv2d_into, empty_output, pack_activations, prepare_filters
from cfcore.kernels.reference import pack_levels

__all__ = [
    "ConvShape",
    "PackedActivations",
    "PackedFilters",
    "conv2d",
    "conv2d_into",
    "empty_output",
    "pack_activations",
    "pack_levels",
    "prepare_filters",
]
