"""What a quantized convolution of a stored network meets and gives, for some images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cfcore.architecture import Conv
from cfcore.checkpoint import Checkpoint
from cfcore.data import normalise
from cfcore.errors import ConfigError, bad_value
from cfcore.export import unpack_network
from cfcore.layers import QuantConv2d
from cfcore.window import Flip, Window, flipped, plane_products, scaled, window


@dataclass(frozen=True, eq=False)
class Inside:
    """One convolution at work.

    levels   int16 [N, C, H, W]: its quantized input as integers, ±1 at one bit, 0..2^k_a - 1 above
    outputs  float32 [N, F, OH, OW]: what torch's float convolution makes of it
    """

    levels: NDArray[np.int16]
    outputs: NDArray[np.float32]


def bitwise_conv(checkpoint: Checkpoint, layer: str) -> Conv:
    """The convolution of that name. Raises ConfigError where its bits cannot be counted."""
    configuration = checkpoint.configuration
    if not configuration.counts_bits:
        raise ConfigError(
            f"In {configuration.name} no bits can be counted: that needs method xnor without the K map. Choose method "
            "xnor."
        )
    quantized = {conv.name: conv for conv in checkpoint.architecture.convs if conv.quantized}
    if layer not in quantized:
        first, *_, last = quantized
        raise bad_value("layer", layer, f"{first} to {last}", "Choose a quantized layer.")
    return quantized[layer]


def look_inside(checkpoint: Checkpoint, layer: str, pixels: NDArray[np.uint8]) -> Inside:
    """Run the network on images uint8 [N, 32, 32, 3], and keep what goes through one convolution.

    One by one: among others, float arithmetic may round an image differently, and then a sign turns over.

    Raises ConfigError for a layer without quantized activations.
    """
    name = bitwise_conv(checkpoint, layer).name
    network = unpack_network(checkpoint)
    conv = network.convs[[c.name for c in checkpoint.architecture.convs].index(name)]
    assert isinstance(conv, QuantConv2d)
    step = float(conv.step.detach()) if checkpoint.configuration.has_steps else 1.0
    levels, outputs = [], []

    def keep(_: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        levels.append((conv.quantized_input(inputs[0]) / step).round().to(torch.int16).contiguous().numpy())
        outputs.append(output.contiguous().numpy())

    hook = conv.register_forward_hook(keep)
    try:
        with torch.no_grad():
            for image in normalise(pixels).split(1):
                network(image)
    finally:
        hook.remove()
    return Inside(np.concatenate(levels), np.concatenate(outputs))


@dataclass(frozen=True, eq=False)
class Output:
    """One output of one filter.

    window  the integers that meet there, bits flipped
    sum     their convolution, counted on bits
    scaled  sum·alpha·step, in float32 as the kernels do it
    torch   what torch's float convolution gives, with no bit flipped
    """

    window: Window
    sum: int
    alpha: float
    step: float
    scaled: float
    torch: float


def look_at(
    checkpoint: Checkpoint,
    layer: str,
    pixels: NDArray[np.uint8],
    *,
    row: int,
    column: int,
    filter: int,
    flips: Iterable[Flip] = (),
) -> Output:
    """One output of a layer for one image uint8 [32, 32, 3], with some bits flipped.

    Raises ConfigError where there is no such output, or bit.
    """
    conv, configuration = bitwise_conv(checkpoint, layer), checkpoint.configuration
    if not 0 <= filter < conv.filters:
        raise bad_value("filter", filter, f"a whole number from 0 to {conv.filters - 1}", "Choose a filter of it.")
    inside = look_inside(checkpoint, layer, pixels[None])
    met = window(
        inside.levels[0],
        checkpoint.levels(conv)[filter],
        row,
        column,
        stride=conv.stride,
        padding=conv.padding,
        activation_bits=configuration.activation_bits,
        weight_bits=configuration.weight_bits,
    )
    met = flipped(met, flips)
    total = sum(product.product for product in plane_products(met))
    alpha = float(checkpoint.filter_scales(conv)[filter])
    step = float(checkpoint.tensors[f"{layer}.step"][0]) if configuration.has_steps else 1.0
    return Output(met, total, alpha, step, scaled(total, alpha, step), float(inside.outputs[0, filter, row, column]))
