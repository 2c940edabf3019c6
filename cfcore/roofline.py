"""The roofline: what a convolution reaches, measured, against how much it computes for each byte it moves, computed.

A layer with much to compute for each byte can come near to what the arithmetic allows (`Benchmark.bound`); one with
little waits for its data first (Williams, Waterman and Patterson, Roofline, Communications of the ACM 52(4), 2009).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cfcore.architecture import Conv
from cfcore.config import FLOAT_BITS
from cfcore.timings import Benchmark, conv_of

OWN_TYPE = {"torch-fp32": (32, 32), "torch-bf16": (16, 16), "torch-int8": (8, 32), "openvino": (1, 32)}
"""Bits of an operand of a product, and of its result."""
STAGES = {"packed": ("product", "layer", "chain"), **dict.fromkeys(OWN_TYPE, ("product", "layer"))}


@dataclass(frozen=True)
class Point:
    """One backend in one stage of one layer.

    bytes      least that a call moves, computed: see `least_bytes`
    intensity  multiply-accumulates a byte, computed
    gmacs      10^9 multiply-accumulates a second, measured
    moved      10^9 bytes a second: gmacs / intensity
    """

    layer: str
    backend: str
    stage: str
    bytes: int
    intensity: float
    gmacs: float
    moved: float

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)


def least_bytes(conv: Conv, backend: str, stage: str, weight_bits: int, activation_bits: int) -> int:
    """Bytes of input, weights and output of one image, each moved once: (b_x·C·H² + b_w·F·n + b_y·F·O²) / 8.

    Bits b of each: in a product the backend's own type and its sums, in a layer float32 in and out, in a chain the
    packed activations. What is moved more than once, or only between two steps of one call, is not counted, nor are
    the scaling factors.

    >>> conv, x, w, y = Conv("", 64, 64, 8), 64 * 8**2, 64 * 64 * 9, 64 * 8**2
    >>> least_bytes(conv, "torch-fp32", "layer", 1, 1) == 4 * (x + w + y)
    True
    >>> least_bytes(conv, "packed", "product", 1, 2) == (2 * x + w + 32 * y) // 8
    True
    """
    if backend == "packed":
        weights, inside = weight_bits, activation_bits
        outside = {"product": (inside, FLOAT_BITS), "layer": (FLOAT_BITS, FLOAT_BITS), "chain": (inside, inside)}[stage]
    else:
        weights, result = OWN_TYPE[backend]
        outside = (FLOAT_BITS, FLOAT_BITS) if stage == "layer" else (weights, result)
    read = outside[0] * conv.channels * conv.size**2 + weights * conv.filters * conv.weights_per_filter
    return -(-(read + outside[1] * conv.filters * conv.output_size**2) // 8)


def points(benchmark: Benchmark) -> list[Point]:
    """Every row of known layers and backends; of whole networks there are none."""
    found = []
    for row in benchmark.rows:
        conv = conv_of(row.layer)
        if conv is None or row.stage not in STAGES.get(row.backend, ()):
            continue
        size = least_bytes(conv, row.backend, row.stage, benchmark.weight_bits, benchmark.activation_bits)
        intensity = conv.macs / size
        found.append(Point(row.layer, row.backend, row.stage, size, intensity, row.gmacs, row.gmacs / intensity))
    return found
