"""QuantConv2d: a convolution that quantizes its input and weights. It stores options; `quantize` holds the maths."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfcore import quantize
from cfcore.architecture import Conv
from cfcore.config import FLOAT_BITS, Configuration
from cfcore.errors import bad_value
from cfcore.scaling import assign_groups, filter_scales


class QuantConv2d(nn.Conv2d):
    """y = conv(a(x), Ŵ), times XNOR-Net's K map where asked for. x [N, C, H, W] -> y [N, F, OH, OW]

    a     ReLU for float activations, the sign at 1 bit, unsigned levels times `step` at 2..8 bits
    Ŵ     `scales[group_of]`·q, or the latent weights themselves while `weights_float`
    State beyond the latent weights: `group_of` [F], `scales` [G], `step` (2..8 bits only). The scales are 1 until
    `regroup` fits them; `learn_scales` makes them parameters.
    """

    group_of: Tensor
    scales: Tensor

    def __init__(self, conv: Conv, configuration: Configuration, estimator: str = "polynomial") -> None:
        super().__init__(conv.channels, conv.filters, conv.kernel, conv.stride, conv.padding, bias=False)
        self.configuration = configuration
        self.estimator = estimator
        self.weights_float = configuration.weight_bits == FLOAT_BITS
        self.calibrating = False
        if configuration.weight_bits < FLOAT_BITS:
            groups = assign_groups(filter_scales(self.weight.detach()), configuration.group_size)
            self.register_buffer("group_of", groups)
            self.register_buffer("scales", torch.ones(int(groups.max()) + 1))
        if configuration.has_steps:
            self.step = nn.Parameter(torch.tensor(1.0))

    @torch.no_grad()
    def regroup(self) -> None:
        """Assign the groups and fit their scales anew, from the latent weights."""
        alpha = filter_scales(self.weight)
        self.group_of.copy_(assign_groups(alpha, self.configuration.group_size, self.configuration.order))
        self.scales.copy_(quantize.fit_scales(self.weight, self.group_of, self.configuration.weight_bits))

    @torch.no_grad()
    def refine_scales(self) -> None:
        """Move the scales towards the latent weights, which training has changed; learned ones only stay above 0."""
        if isinstance(self.scales, nn.Parameter):
            self.scales.clamp_min_(quantize.LEAST_SCALE)
            return
        bits = self.configuration.weight_bits
        self.scales.copy_(quantize.refine_scales(self.weight, self.group_of, bits, self.scales))

    def learn_scales(self) -> None:
        """From now on the scales are learned by gradient (XNOR-Net++, Bulat and Tzimiropoulos, arXiv 1909.13863).

        Raises ConfigError above one bit a weight: there the scales decide the integers too.
        """
        bits = self.configuration.weight_bits
        if bits != 1:
            raise bad_value("weight_bits", bits, "1 where scales are learned", "Let them be fitted.")
        fitted = self.scales
        del self.scales  # a buffer until now
        self.scales = nn.Parameter(fitted.clone())

    @torch.no_grad()
    def resize(self) -> None:
        """Give the latent weights of each filter the mean size of its learned scale, so that `regroup` finds it again.

        Their signs are all that was used of them. Not found again: the scale of a group with a filter of zeros, and
        groups of sorted filters where m does not divide F, which are cut by size and may be cut elsewhere.
        """
        self.refine_scales()  # above 0 after the last step too: else signs would turn over
        sizes = filter_scales(self.weight).clamp_min(quantize.LEAST_SCALE)
        self.weight.mul_((self.scales[self.group_of] / sizes).view(-1, 1, 1, 1))

    def quantized_input(self, x: Tensor) -> Tensor:
        bits = self.configuration.activation_bits
        if bits == FLOAT_BITS:
            return x.relu()
        if bits == 1:
            return quantize.binarize(x, self.estimator)
        if self.calibrating:
            self.step.data.copy_(quantize.calibrate_step(x, bits))
        return quantize.quantize_activation(x, self.step, bits)

    def quantized_weight(self) -> Tensor:
        if self.weights_float:
            return self.weight
        return quantize.quantize_weight(self.weight, self.group_of, self.scales, self.configuration.weight_bits)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(self.quantized_input(x), self.quantized_weight(), None, self.stride, self.padding)
        if self.configuration.input_scale:
            y = y * quantize.input_scale_map(x, self.kernel_size[0], self.stride[0], int(self.padding[0]))
        return y
