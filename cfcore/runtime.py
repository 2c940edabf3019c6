"""Runs a stored xnor network on packed bits: numpy for the float layers, the bitwise kernels for the others, no torch.

Every quantized convolution takes three passes: norm, quantize and pack in one; count bits; scale and add the shortcut.
Activations are channels-last throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cfcore.architecture import Conv
from cfcore.checkpoint import Checkpoint
from cfcore.errors import ConfigError, DataError
from cfcore.kernels import ConvShape, PackedFilters, conv2d, pack_activations, prepare_filters

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A quantized convolution ready to run.

    output_scale  α of each filter, times the step of the activations where they have one -> [F]
    """

    shape: ConvShape
    filters: PackedFilters
    output_scale: Floats
    step: float


class PackedNetwork:
    """The network of a checkpoint; call it with normalised images.

    Raises ConfigError for a network whose activations are float (nothing can be counted bitwise then), or that uses the
    K map, which is float work for every window.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        configuration = checkpoint.configuration
        if configuration.method != "xnor" or configuration.input_scale:
            raise ConfigError(
                f"{configuration.name} cannot run packed: that needs method xnor without the K map. "
                "Use engine simulated."
            )
        self.configuration = configuration
        self.architecture = checkpoint.architecture
        tensors = checkpoint.tensors
        self._stem = tensors[f"{self.architecture.convs[0].name}.weight"]
        self._layers = [_prepare(checkpoint, conv) for conv in self.architecture.convs[1:]]
        self._norms = [
            (tensors[f"norms.{i}.scale"], tensors[f"norms.{i}.shift"]) for i in range(len(self.architecture.norms))
        ]
        self._head = tensors["head.weight"], tensors["head.bias"]

    def __call__(self, images: Floats) -> Floats:
        """Logits [N, 10] of images float32 [N, 32, 32, 3]. Raises DataError for another shape."""
        if images.ndim != 4 or images.shape[1:] != (32, 32, 3):
            raise DataError(f"Images of shape {images.shape} do not fit: this network takes [N, 32, 32, 3].")
        if images.dtype != np.float32:
            raise DataError(f"Images of type {images.dtype} do not fit: normalise them to float32 first.")
        x = _float_conv(images, self._stem, self.architecture.convs[0])
        if self.architecture.family == "vgg":
            features = self._vgg(x).transpose(0, 3, 1, 2).reshape(len(x), -1)  # the classifier counts channels first
        elif self.architecture.block == "basic":
            features = self._resnet_basic(x).mean((1, 2))
        else:
            features = self._resnet_binary(x).mean((1, 2))
        weight, bias = self._head
        return features @ weight.T + bias

    def _vgg(self, x: Floats) -> Floats:
        for norm, layer, conv in zip(self._norms, self._layers, self.architecture.convs[1:], strict=False):
            x = _convolve(x, layer, norm)
            if conv.pool:
                n, h, w, f = x.shape
                x = x.reshape(n, h // 2, 2, w // 2, 2, f).max((2, 4))
        return _relu(_affine(x, self._norms[-1]))

    def _resnet_basic(self, x: Floats) -> Floats:
        x = _affine(x, self._norms[0])
        for i in range(0, len(self._layers), 2):
            y = _convolve(x, self._layers[i])
            y = _convolve(y, self._layers[i + 1], self._norms[i + 1])
            y = _affine(y, self._norms[i + 2])
            x = _add_shortcut(y, _relu(x))
        return _relu(x)

    def _resnet_binary(self, x: Floats) -> Floats:
        for norm, layer in zip(self._norms, self._layers, strict=False):
            x = _add_shortcut(_convolve(x, layer, norm), x)
        return _relu(_affine(x, self._norms[-1]))


def _prepare(checkpoint: Checkpoint, conv: Conv) -> PackedLayer:
    configuration = checkpoint.configuration
    shape = ConvShape(
        conv.channels,
        conv.filters,
        conv.kernel,
        conv.stride,
        conv.padding,
        configuration.weight_bits,
        configuration.activation_bits,
    )
    step = float(checkpoint.tensors[f"{conv.name}.step"][0]) if configuration.activation_bits > 1 else 1.0
    scales = checkpoint.filter_scales(conv) * np.float32(step)
    return PackedLayer(shape, prepare_filters(checkpoint.levels(conv), shape), scales, step)


def _convolve(x: Floats, layer: PackedLayer, norm: tuple[Floats, Floats] | None = None) -> Floats:
    """α·(bits counted) of the quantized norm(x). [N, H, W, C] -> [N, OH, OW, F]"""
    scale, shift = norm or (None, None)
    counts = conv2d(pack_activations(x, layer.shape, scale, shift, layer.step), layer.filters)
    return np.multiply(counts, layer.output_scale, dtype=np.float32, casting="same_kind")


def _float_conv(x: Floats, weight: Floats, conv: Conv) -> Floats:
    """The first layer, as one matrix product over windows. [N, H, W, C] -> [N, OH, OW, F]"""
    p, k, s = conv.padding, conv.kernel, conv.stride
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = sliding_window_view(padded, (k, k), axis=(1, 2))[:, ::s, ::s]  # [N, OH, OW, C, kh, kw]
    rows = windows.reshape(-1, conv.weights_per_filter)
    return (rows @ weight.reshape(conv.filters, -1).T).reshape(*windows.shape[:3], conv.filters)


def _add_shortcut(y: Floats, x: Floats) -> Floats:
    """y + x, with x averaged over 2x2 where y is half its size; channels that x lacks count as zero. Changes y."""
    if x.shape[1] != y.shape[1]:
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
    y[..., : x.shape[-1]] += x
    return y


def _affine(x: Floats, norm: tuple[Floats, Floats]) -> Floats:
    return x * norm[0] + norm[1]


def _relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0))
