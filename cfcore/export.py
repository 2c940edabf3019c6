"""Between training and storage: pack a trained network, unpack a stored one, quantize a float one without training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cfcore import bitpack
from cfcore.checkpoint import Checkpoint, Tensors, layout
from cfcore.config import LEAST_STEP, Configuration
from cfcore.data import normalise
from cfcore.errors import ConfigError, DataError
from cfcore.images import check_pixels
from cfcore.layers import QuantConv2d
from cfcore.models import Network, calibrate_steps
from cfcore.operator import PackedConv2d
from cfcore.quantize import weight_levels

CALIBRATION_BATCH = 125  # images: what a layer computes of them stays near the processor


class FoldedNorm(nn.Module):
    """Batch normalisation at inference: y = scale·x + shift, by channel. x [N, C, H, W]"""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale[:, None, None] + self.shift[:, None, None]


def fold(norm: nn.Module) -> FoldedNorm:
    """scale = γ/sqrt(σ² + ε), shift = β - μ·scale, in double precision."""
    if isinstance(norm, FoldedNorm):
        return norm
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    return FoldedNorm(scale.float(), shift.float())


def pack_network(network: Network, origin: dict[str, Any] | None = None) -> Checkpoint:
    """A trained or calibrated network as it is stored (`checkpoint` describes the tensors)."""
    configuration = network.configuration
    tensors: Tensors = {}
    for conv, spec in zip(network.convs, network.architecture.convs, strict=True):
        if not hasattr(conv, "group_of"):
            tensors[f"{spec.name}.weight"] = _numpy(conv.weight)
            continue
        assert isinstance(conv, QuantConv2d)
        q = weight_levels(conv.weight.detach(), conv.scales[conv.group_of], configuration.weight_bits)
        taps = _numpy(q.permute(0, 2, 3, 1)).astype(np.int16)  # [F, kh, kw, C]
        planes = bitpack.weight_planes(taps, configuration.weight_bits)
        tensors[f"{spec.name}.planes"] = bitpack.pack_bits(planes)
        tensors[f"{spec.name}.scales"] = _numpy(conv.scales)
        tensors[f"{spec.name}.group_of"] = _numpy(conv.group_of).astype(np.uint16)
        if hasattr(conv, "step"):
            tensors[f"{spec.name}.step"] = _numpy(conv.step.clamp_min(LEAST_STEP)).reshape(1)
    for i, norm in enumerate(network.norms):
        stored = norm if configuration.method == "float" else fold(norm)
        for name, values in stored.state_dict().items():
            tensors[f"norms.{i}.{name}"] = _numpy(values)
    if network.architecture.slopes:
        tensors["slopes"] = _numpy(network.slopes)
    tensors |= {f"head.{name}": _numpy(values) for name, values in network.head.state_dict().items()}
    expected = layout(configuration)
    return Checkpoint(configuration, {name: tensors[name] for name in expected}, origin or {})


def unpack_network(checkpoint: Checkpoint) -> Network:
    """The stored network as a torch module for inference: float arithmetic on quantized values ("simulated")."""
    network = Network(checkpoint.configuration, fitted=False)
    tensors = {name: torch.from_numpy(values.copy()) for name, values in checkpoint.tensors.items()}
    with torch.no_grad():
        for conv, spec in zip(network.convs, network.architecture.convs, strict=True):
            assert isinstance(conv, nn.Conv2d)
            if f"{spec.name}.planes" not in tensors:
                conv.weight.copy_(tensors[f"{spec.name}.weight"])
                continue
            assert isinstance(conv, QuantConv2d)
            conv.group_of.copy_(torch.from_numpy(checkpoint.group_of(spec)))
            conv.scales.copy_(tensors[f"{spec.name}.scales"])
            alpha = conv.scales[conv.group_of].view(-1, 1, 1, 1)
            conv.weight.copy_(alpha * torch.from_numpy(checkpoint.levels(spec).copy()))
            conv.weights_float = True  # the weights are quantized values already
            if hasattr(conv, "step"):
                conv.step.copy_(tensors[f"{spec.name}.step"][0])
        for i in range(len(network.norms)):
            if f"norms.{i}.scale" in tensors:
                network.norms[i] = FoldedNorm(tensors[f"norms.{i}.scale"], tensors[f"norms.{i}.shift"])
            else:
                prefix = f"norms.{i}."
                state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                network.norms[i].load_state_dict(state, strict=False)
        if network.architecture.slopes:
            network.slopes.copy_(tensors["slopes"])
        network.head.weight.copy_(tensors["head.weight"])
        network.head.bias.copy_(tensors["head.bias"])
    return network.eval()


def packed_layers(checkpoint: Checkpoint) -> Network:
    """The stored network as a torch module whose quantized convolutions run on packed bits (`operator.PackedConv2d`).

    Raises ConfigError where activations are float, or the K map scales them.
    """
    configuration = checkpoint.configuration
    if not configuration.counts_bits:
        raise ConfigError(
            f"{configuration.name} has no packed layers: they need method xnor without the K map. Use unpack_network."
        )
    network = unpack_network(checkpoint)
    for i, conv in enumerate(checkpoint.architecture.convs):
        if conv.quantized:
            network.convs[i] = PackedConv2d(
                checkpoint.levels(conv),
                checkpoint.filter_scales(conv),
                configuration.weight_bits,
                configuration.activation_bits,
                conv.stride,
                conv.padding,
                step=float(checkpoint.tensors[f"{conv.name}.step"][0]) if configuration.has_steps else 1.0,
            )
    return network


def post_training(
    float_checkpoint: Checkpoint,
    configuration: Configuration,
    calibration: NDArray[np.uint8],
    progress: Callable[[float], None] | None = None,
) -> Checkpoint:
    """Quantize a float network without training: fit scales, calibrate steps, re-estimate the batch statistics.

    calibration  images uint8 [N, 32, 32, 3]; no label is used
    progress     is called with the share done

    The same network comes of it on any number of cores.

    Raises ConfigError where the two networks differ, DataError for other images, or none.
    """
    check_pixels(calibration)
    if not len(calibration):
        raise DataError("There are no images to calibrate with. Give at least one.")
    if configuration.source != "post-training" or configuration.float_reference != float_checkpoint.configuration:
        raise ConfigError(
            f"{configuration.name} cannot be quantized after training from {float_checkpoint.configuration.name}: "
            "use source post-training and the float network of the same model and width."
        )
    network = Network(configuration, fitted=False)
    learned = {name: torch.from_numpy(values.copy()) for name, values in float_checkpoint.tensors.items()}
    network.load_state_dict(learned, strict=False)  # a float network is stored under torch's own names
    network.eval()
    pixels = normalise(calibration)
    convs = network.quantized_convs()
    steps = len(convs) * len(pixels.split(CALIBRATION_BATCH))
    done = itertools.count(1)

    def report(*_: Any) -> None:
        if progress:
            progress(next(done) / steps)

    for conv in convs:
        conv.register_forward_hook(report)
    with _one_thread():
        network.regroup()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        calibrate_steps(convs if configuration.has_steps else [], network, pixels, CALIBRATION_BATCH)
    return pack_network(network, {"calibration_images": len(calibration)})


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: batch statistics are sums, rounded otherwise for each number of threads that share them.

    It costs little: while a page is drawn beside it, two threads on two cores take longer than one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # noqa: TID251
    try:
        yield
    finally:
        torch.set_num_threads(threads)  # noqa: TID251


def _numpy(values: Any) -> Any:
    return values.detach().cpu().contiguous().numpy().copy()  # training may go on with the memory
