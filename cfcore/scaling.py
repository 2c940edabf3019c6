"""Scaling factors at one bit: one a filter, or one shared by a group of filters.

With W_f the n weights of filter f, the squared error |W_f - α·sign(W_f)|² is least at α_f = mean|W_f| (Rastegari et
al., XNOR-Net, arXiv 1603.05279, eq. 6). For a group of filters that must share one factor the least error is at the
mean of the group's α_f, and sharing costs n·(α_f - ᾱ)² for each filter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cfcore.config import GroupSize, check_group_size, check_order, shared_by


def filter_scales(weight: Tensor) -> Tensor:
    """α_f = mean|W_f|. weight [F, ...] -> [F].

    >>> filter_scales(torch.tensor([[1.0, -3.0], [0.5, 0.5]]))
    tensor([2.0000, 0.5000])
    """
    return weight.flatten(1).abs().mean(1)


def assign_groups(alpha: Tensor, group_size: GroupSize, order: str = "index") -> Tensor:
    """The group of each filter: g_f = ⌊position of f / m⌋; the last group may be smaller. alpha [F] -> int64 [F].

    order "index": position is the filter's number, so that groups are neighbours (the paper's adjacency).
    order "sorted": position is the rank of α_f, largest first, so that groups are filters of like size (ours).
    A layer of fewer than m filters is one group.

    >>> alpha = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.5])
    >>> assign_groups(alpha, 2).tolist(), assign_groups(alpha, 2, "sorted").tolist()
    ([0, 0, 1, 1, 2], [2, 0, 1, 0, 1])
    """
    check_group_size(group_size)
    filters = len(alpha)
    position = torch.arange(filters, device=alpha.device)
    if check_order(order) == "sorted":
        by_size = torch.argsort(alpha, descending=True, stable=True)
        position = torch.empty_like(position).scatter_(0, by_size, position)
    return position // shared_by(group_size, filters)


def group_sums(values: Tensor, groups: Tensor) -> Tensor:
    """Sum of `values` [F] over each group -> [G]."""
    count = int(groups.max()) + 1
    return torch.zeros(count, dtype=values.dtype, device=values.device).index_add_(0, groups, values)


def group_means(values: Tensor, groups: Tensor) -> Tensor:
    """Mean of `values` [F] over each group -> [G]."""
    return group_sums(values, groups) / torch.bincount(groups)


def shared_scales(weight: Tensor, groups: Tensor) -> Tensor:
    """ᾱ_g = mean|W| over all weights of the group's filters, the best shared factor at one bit. -> [G]"""
    return group_means(filter_scales(weight), groups)


def sharing_error(weight: Tensor, groups: Tensor) -> Tensor:
    """The squared error that sharing adds to each filter at one bit: n·(α_f - ᾱ_g)². -> [F]

    Exact for every filter: Σ(|w| - α_f) = 0 over it, so |W - ᾱ·sign W|² = |W - α_f·sign W|² + n·(α_f - ᾱ)².
    """
    alpha = filter_scales(weight)
    shared = group_means(alpha, groups)[groups]
    return weight[0].numel() * (alpha - shared) ** 2
