"""What is published of memory and speed, and the formulas behind it: one layer of any size, every count an input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cfcore.config import FLOAT_BITS, LayerModel

BIT_INSTRUCTIONS = 3  # exclusive or, bit count and addition, where a float needs one fused multiply-add

# Published: Rastegari et al., arXiv 1603.05279, section 4.1; Lyu, Zhu and Liu, arXiv 2005.09034, first abstract (about
# 32; the later one has neither number).
PUBLISHED_RATIO = 32
XNOR_NET_SPEEDUP = 62.27
CROSS_FILTER_SPEEDUP = 122
# That abstract does not say how its 122 is counted. These ways of counting come near it; none is known to be its own.
CANDIDATES = (
    LayerModel(group_size=2, operations=2, scaling="both"),
    LayerModel(channels=96, kernel=5, word_bits=128),
    LayerModel(channels=512, kernel=1, group_size=6, word_bits=128, scaling="group"),
)


def ideal_ratio(n: int, group_size: int, weight_bits: int, scale_bits: int = FLOAT_BITS) -> float:
    """32·n·m / (k_w·n·m + 32): float bits over stored bits of a layer, only weights and scaling factors counted; the
    latter of 32 bits, or 16.

    >>> round(ideal_ratio(n=144, group_size=16, weight_bits=1), 2)
    31.56
    """
    return FLOAT_BITS * n * group_size / (weight_bits * n * group_size + scale_bits)


def xnor_speedup(n: int, scalings: float = 1, word_bits: float = LayerModel.word_bits, planes: int = 1) -> float:
    """XNOR-Net's model (arXiv 1603.05279, section 4.1): S = n / (planes·n/L + s), L bits a word.

    n = c·kh·kw products and s multiplications by a scale for an output (theirs: 1), k_w·k_a planes (theirs: 1).

    >>> round(xnor_speedup(256 * 9), 2)
    62.27
    """
    return n / (planes * n / word_bits + scalings)


@dataclass(frozen=True)
class Estimate:
    """What the formulas say of one layer.

    memory_ratio  float32 bits over stored bits, 32·n·m / (k_w·n·m + 32), or + 16
    floats        operations that the float convolution counts for one output: 1 or 2 for each of n
    words         word operations that take their place, k_w·k_a·n / L; a part of a word counts in part
    scalings      multiplications by a scaling factor for one output, on average
    speedup       floats / (words + scalings)
    """

    model: LayerModel
    memory_ratio: float
    floats: int
    words: float
    scalings: float
    speedup: float

    def to_dict(self) -> dict[str, Any]:
        own = asdict(self)
        return {**own.pop("model"), **own}


def estimate(model: LayerModel) -> Estimate:
    """Memory of one layer, and XNOR-Net's model of its speed with every count an input.

    S = o·n / (k_w·k_a·n/L + s): o operations for a float multiply-accumulate, L bits a word, and s multiplications by a
    scaling factor for an output. s is 1 for each output, as in XNOR-Net's own model; 1/m if one is counted for a group
    of m outputs; 1 + 1/m for both, one of the activations and one of the weights; 0 where batch norm takes it in.

    Rastegari et al., arXiv 1603.05279, section 4.1 (o = 1, s = 1, L = 64). The other counts are this project's.

    >>> round(estimate(LayerModel()).speedup, 2)
    62.27
    >>> [round(estimate(candidate).speedup, 2) for candidate in CANDIDATES]
    [122.88, 121.52, 122.88]
    """
    n, m, planes = model.weights_per_filter, model.group_size, model.weight_bits * model.activation_bits
    scalings = {"output": 1.0, "group": 1 / m, "both": 1 + 1 / m, "folded": 0.0}[model.scaling]
    speedup = model.operations * xnor_speedup(n, scalings, model.word_bits, planes)
    ratio = ideal_ratio(n, m, model.weight_bits, model.scale_bits)
    return Estimate(model, ratio, model.operations * n, planes * n / model.word_bits, scalings, speedup)


def vector_word_bits() -> float:
    """L of a processor with vectors: one-bit multiply-accumulates in the time of one float multiply-accumulate.

    A vector of V bits takes V one-bit operands in 3 instructions, or V/32 floats in one, on the same ports:
    (V/3) / (V/32) = 32/3, whatever V is. It needs an instruction that counts the bits of a vector. A processor with
    fewer ports for floats than for bits gains more.

    >>> round(vector_word_bits(), 2)
    10.67
    """
    return FLOAT_BITS / BIT_INSTRUCTIONS
