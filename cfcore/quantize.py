"""k-bit weights and activations: the formulas, their gradients, and the search for a scaling factor.

Weights are odd integers times a scaling factor: Ŵ = α·q with q in {-(2^k - 1), ..., -3, -1, 1, 3, ..., 2^k - 1}, so
that q = Σ 2^i·b_i with every b_i in {-1, +1}. One bit gives α·sign(W), with sign(0) = +1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cfcore.config import LEAST_STEP
from cfcore.scaling import group_sums, shared_scales

SEARCH_STARTS = 24  # candidate ranges, from 1/24 of the largest |W| to all of it
LEAST_SCALE = 1e-6  # of weights, where it is learned
SEARCH_STEPS = 8  # then rounds of levels and least squares


def weight_levels(weight: Tensor, scale: Tensor, bits: int) -> Tensor:
    """q = clamp(2·⌊W / 2α⌋ + 1, ±(2^k - 1)): the odd integer nearest to W/α. weight [F, ...], scale [F] -> like weight.

    >>> weight_levels(torch.tensor([[-5.0, -0.1, 0.0, 1.9, 2.1]]), torch.tensor([1.0]), 2).tolist()
    [[-3.0, -1.0, 1.0, 1.0, 3.0]]
    """
    top = 2**bits - 1
    alpha = scale.view(-1, *[1] * (weight.dim() - 1))
    return (2 * torch.floor(weight / (2 * alpha)) + 1).clamp(-top, top)


def fit_scales(weight: Tensor, groups: Tensor, bits: int) -> Tensor:
    """The scaling factor of each group: closed form at one bit, searched above. weight [F, ...] -> [G] > 0"""
    scales = shared_scales(weight, groups) if bits == 1 else _search_scales(weight, groups, bits)
    return scales.clamp_min(torch.finfo(weight.dtype).tiny)  # a group of zero weights still needs a positive factor


def refine_scales(weight: Tensor, groups: Tensor, bits: int, scales: Tensor) -> Tensor:
    """One round towards the least squared error: levels for α, then α = Σ W·q / Σ q² over each group (LQ-Nets).

    The error never grows, as each half is the exact minimum with the other half fixed.
    """
    if bits == 1:
        return fit_scales(weight, groups, 1)
    q = weight_levels(weight, scales[groups], bits)
    top = group_sums((weight * q).flatten(1).sum(1), groups)
    return (top / group_sums((q * q).flatten(1).sum(1), groups)).clamp_min(torch.finfo(weight.dtype).tiny)


def _search_scales(weight: Tensor, groups: Tensor, bits: int) -> Tensor:
    """Start from shrunken ranges and from min-max, keep each group's best, then refine it.

    Min-max comes twice: the top level reaches the largest |W|, and the cells of width 2α just cover it.
    """
    largest = _group_max(weight.flatten(1).abs().amax(1), groups).clamp_min(torch.finfo(weight.dtype).tiny)
    best, least = largest, torch.full_like(largest, torch.inf)
    shares = [1 / (2**bits - 1), *(i / SEARCH_STARTS / 2**bits for i in range(SEARCH_STARTS, 0, -1))]
    for share in shares:
        best, least = _keep_better(weight, groups, bits, largest * share, best, least)
    for _ in range(SEARCH_STEPS):
        best, least = _keep_better(weight, groups, bits, refine_scales(weight, groups, bits, best), best, least)
    return best


def _keep_better(
    weight: Tensor, groups: Tensor, bits: int, candidate: Tensor, best: Tensor, least: Tensor
) -> tuple[Tensor, Tensor]:
    error = group_errors(weight, groups, bits, candidate)
    return torch.where(error < least, candidate, best), torch.minimum(error, least)


def group_errors(weight: Tensor, groups: Tensor, bits: int, scales: Tensor) -> Tensor:
    """Squared error |W - α·q|² of each group -> [G]."""
    alpha = scales[groups]
    quantized = weight_levels(weight, alpha, bits) * alpha.view(-1, *[1] * (weight.dim() - 1))
    return group_sums((weight - quantized).square().flatten(1).sum(1), groups)


def quantize_weight(weight: Tensor, groups: Tensor, scales: Tensor, bits: int) -> Tensor:
    """Ŵ = α_g·q with the straight-through gradient dŴ/dW = 1 (Bengio et al., arXiv 1308.3432). -> like weight.

    dŴ/dα = q, for scales that are learned (at one bit; above, α moves the levels too).
    """
    # torch.compile fails to scatter the gradient of a lone factor
    alpha = scales[groups] if len(scales) > 1 else scales.expand(len(groups))
    levels = weight_levels(weight.detach(), alpha.detach(), bits)
    quantized = levels * alpha.view(-1, *[1] * (weight.dim() - 1))
    return quantized + (weight - weight.detach())  # the bracket is 0: the value stays exactly α·q


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1; so sign(0) = +1 and there are only two values."""
    return (x >= 0).to(x.dtype).mul_(2).sub_(1)


def binarize(x: Tensor, estimator: str = "polynomial") -> Tensor:
    """sign(x), with one of two gradients in place of its own, which is zero.

    "clip":       1 for |x| <= 1, else 0 (XNOR-Net)
    "polynomial": 2 - 2|x| for |x| <= 1, else 0 (Bi-Real Net, arXiv 1808.00278, eq. 7)
    """
    return _Binarize.apply(x, estimator)


class _Binarize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, estimator: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.estimator = estimator
        return sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        slope = (x.abs() <= 1) if ctx.estimator == "clip" else x.abs().mul_(-2).add_(2).clamp_min_(0)
        return gradient * slope, None


def quantize_activation(x: Tensor, step: Tensor, bits: int) -> Tensor:
    """s·clamp(round(x/s), 0, 2^k - 1) with the learned step s > 0 (LSQ, arXiv 1902.08153).

    Gradient: straight through inside the range, 0 outside; that of s is scaled by 1/sqrt(numbers·(2^k - 1)), with
    `numbers` those of one image. x of any shape, step a scalar -> like x.
    """
    top = 2**bits - 1
    value = step.detach().clamp_min(LEAST_STEP)
    if not torch.is_grad_enabled():
        return (x / value).clamp_(0, top).round_().mul_(value)  # the same values, in place
    balance = (x[0].numel() * top) ** -0.5
    balanced = step * balance
    step = value + (balanced - balanced.detach())  # the bracket is 0: the value stays exactly s; at its least it learns
    level = (x / step).clamp(0, top)
    return (level + (level.round() - level).detach()) * step


def calibrate_step(x: Tensor, bits: int) -> Tensor:
    """The step of least squared error on the non-negative part of x: among 20 shrunken ranges, then between the best
    one's neighbours. -> scalar > 0
    """
    values = x.detach().float().relu().flatten()
    values = values[:: max(1, values.numel() // 200_000) | 1]  # odd: in step with no row of an image
    finest = values.max().clamp_min(1e-6) / 80 / (2**bits - 1)
    values = values[values > 0]  # a zero has no error, whatever the step

    def best(shares: range) -> int:
        steps = [share * finest for share in shares]
        errors = [(values / s).round_().clamp_(0, 2**bits - 1).mul_(s).sub_(values).square_().sum() for s in steps]
        return shares[int(torch.stack(errors).argmin())]

    coarse = best(range(4, 81, 4))
    return (best(range(coarse - 3, min(coarse + 4, 81))) * finest).clamp_min(LEAST_STEP)


def input_scale_map(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """XNOR-Net's K: mean |x| over channels, averaged under the window (eq. 11). x [N, C, H, W] -> [N, 1, OH, OW]"""
    mean = x.abs().mean(1, keepdim=True)
    return F.avg_pool2d(mean, kernel, stride, padding, count_include_pad=True)


def _group_max(values: Tensor, groups: Tensor) -> Tensor:
    count = int(groups.max()) + 1
    return torch.zeros(count, dtype=values.dtype, device=values.device).scatter_reduce_(0, groups, values, "amax")
