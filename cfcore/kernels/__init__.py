"""Convolutions that count bits: prepare filters once, pack activations, convolve, and finish in the same pass.

    filters = prepare_filters(q, shape)                            # odd integers [F, C/groups, k, k]
    activations = pack_activations(x, shape)                       # float32 [N, H, W, C], in any order in memory
    sums = conv2d(activations, filters)                            # int32 [N, OH, OW, F]
    y = conv2d_float(activations, filters, epilogue(shape, alpha)) # float32, one scale per filter
    bits = conv2d_packed(activations, filters, after, following)   # the next layer's activations
    y = layer(x, filters, after)                                   # float32 [N, C, H, W] -> [N, F, OH, OW]

`reference` has the same integers as readable loops.
"""

from cfcore.kernels.operands import ConvShape, PackedActivations, PackedFilters
from cfcore.kernels.packed import Epilogue, conv2d, conv2d_float, conv2d_packed, epilogue, layer, pack_activations
from cfcore.kernels.prepare import prepare_filters
from cfcore.kernels.reference import pack_levels
from cfcore.kernels.threads import Threads

__all__ = [
    "ConvShape",
    "Epilogue",
    "PackedActivations",
    "PackedFilters",
    "Threads",
    "conv2d",
    "conv2d_float",
    "conv2d_packed",
    "epilogue",
    "layer",
    "pack_activations",
    "pack_levels",
    "prepare_filters",
]
