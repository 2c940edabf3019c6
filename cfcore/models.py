"""ResNet and VGG for CIFAR-10 as torch modules, built from `architecture`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfcore.architecture import architecture
from cfcore.config import Configuration
from cfcore.layers import QuantConv2d

SLOPE = 0.25  # of a PReLU before training, as in its paper


class Network(nn.Module):
    """The network of a configuration: `convs` and `norms` in the order of `architecture`, then a linear `head`.

    images [N, 3, 32, 32], normalised -> logits [N, 10]

    fitted  False leaves the scaling factors at 1, for weights that are still to be loaded
    """

    def __init__(self, configuration: Configuration, estimator: str = "polynomial", fitted: bool = True) -> None:
        super().__init__()
        self.configuration = configuration
        self.architecture = architecture(configuration)
        self.convs = nn.ModuleList(
            QuantConv2d(c, configuration, estimator)
            if c.quantized
            else nn.Conv2d(c.channels, c.filters, c.kernel, c.stride, c.padding, bias=False)
            for c in self.architecture.convs
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in self.architecture.norms)
        if self.architecture.slopes:
            self.slopes = nn.Parameter(torch.full((self.architecture.slopes,), SLOPE))
        self.head = nn.Linear(self.architecture.features, self.architecture.classes)
        for conv in cast(Iterable[nn.Conv2d], self.convs):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        if fitted:
            self.regroup()

    def quantized_convs(self) -> list[QuantConv2d]:
        """The convolutions whose weights are quantized; none in a float network."""
        return [cast(QuantConv2d, conv) for conv in self.convs if hasattr(conv, "group_of")]

    def regroup(self) -> None:
        """Assign groups and fit every layer's scaling factors to its latent weights."""
        for conv in self.quantized_convs():
            conv.regroup()

    def refine_scales(self) -> None:
        """Let the scaling factors follow the latent weights; once a training step."""
        for conv in self.quantized_convs():
            conv.refine_scales()

    def learn_scales(self) -> None:
        """Make every layer's scaling factors parameters."""
        for conv in self.quantized_convs():
            conv.learn_scales()

    def resize(self) -> None:
        """Give latent weights the size of their learned scaling factors."""
        for conv in self.quantized_convs():
            conv.resize()

    def forward(self, images: Tensor) -> Tensor:
        if self.architecture.family == "vgg":
            features = self._vgg(images).flatten(1)
        elif self.architecture.block == "basic":
            features = self._resnet_basic(images).mean((2, 3))
        else:
            features = self._resnet_binary(images).mean((2, 3))
        return self.head(features)

    def _vgg(self, x: Tensor) -> Tensor:
        for conv, norm, spec in zip(self.convs, self.norms, self.architecture.convs, strict=True):
            x = conv(x)
            if spec.pool:
                x = F.max_pool2d(x, 2)
            x = norm(x)  # the next convolution's quantizer is the activation
        return x.relu()

    def _resnet_basic(self, images: Tensor) -> Tensor:
        x = self.norms[0](self.convs[0](images))  # the stream is kept before its ReLU, which is in the quantizer
        for i in range(1, len(self.convs), 2):
            y = self.norms[i](self.convs[i](x))
            y = self.norms[i + 1](self.convs[i + 1](y))
            x = y + shortcut(x.relu(), y)
        return x.relu()

    def _resnet_binary(self, images: Tensor) -> Tensor:
        x = self.convs[0](images)
        for norm, conv, slope in zip(self.norms, self.convs[1:], self.slopes.split(1), strict=False):
            y = conv(norm(x))
            x = F.prelu(y + shortcut(x, y), slope)
        return self.norms[-1](x).relu()


def shortcut(x: Tensor, like: Tensor) -> Tensor:
    """A shortcut without parameters: new channels are zeros (He et al., option A), sizes are halved by averaging."""
    if x.shape[2] != like.shape[2]:
        x = F.avg_pool2d(x, 2)
    missing = like.shape[1] - x.shape[1]
    return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x  # a pad by nothing would still copy


def reestimate_batch_norm(network: Network, images: Tensor, batch_size: int = 250) -> None:
    """Replace the running statistics of every batch normalisation by their averages over `images` [N, 3, 32, 32]."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    training = network.training
    network.eval()  # the scales stay as they are; only the norms learn
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    try:
        with torch.no_grad():
            seen = 0
            for batch in images.split(batch_size):
                seen += len(batch)
                for norm in norms:
                    norm.momentum = len(batch) / seen  # so that every image counts the same
                network(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.train(training)


def calibrate_steps(layers: Iterable[QuantConv2d], network: Network, images: Tensor, batch_size: int = 250) -> None:
    """Set these layers' activation steps from the first batch, one after the other as it passes through; then
    `reestimate_batch_norm` over all images: the statistics may be those of the network before quantization.
    """

    def calibrated(conv: QuantConv2d, *_: Any) -> None:
        conv.calibrating = False

    layers = list(layers)
    watches = [conv.register_forward_hook(calibrated) for conv in layers]
    for conv in layers:
        conv.calibrating = True
    try:
        reestimate_batch_norm(network, images, batch_size)
    finally:
        for watch, conv in zip(watches, layers, strict=True):
            watch.remove()
            conv.calibrating = False
