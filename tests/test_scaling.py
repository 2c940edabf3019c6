"""cfcore.scaling: the one-bit factors are the best there are, and sharing costs exactly what the formula says."""

import pytest
import torch
from torch import Tensor

from cfcore.config import GroupSize
from cfcore.errors import ConfigError
from cfcore.scaling import assign_groups, filter_scales, group_means, shared_scales, sharing_error

SHAPES = [(1, 1, 1, 1), (5, 3, 3, 3), (7, 31, 1, 1), (16, 2, 3, 5), (33, 4, 3, 3), (6, 10)]
GROUP_SIZES: list[GroupSize] = [1, 2, 3, 5, 16, 100, "layer"]


def draw(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Filters of very different size, in float64, so that identities hold to rounding."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    return weight * torch.rand(shape[0], *[1] * (len(shape) - 1), generator=generator, dtype=torch.float64)


def signs(weight: Tensor) -> Tensor:
    return torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)


def squared_error(weight: Tensor, alpha: Tensor) -> Tensor:
    """|W_f - α_f·sign(W_f)|² -> [F]"""
    return (weight - alpha.view(-1, *[1] * (weight.dim() - 1)) * signs(weight)).square().flatten(1).sum(1)


# ---- the closed form -------------------------------------------------------------------------------------------


def test_filter_scales_are_means_of_magnitudes() -> None:
    weight = torch.tensor([[[1.0, -2.0], [0.0, 5.0]], [[-0.5, -0.5], [-0.5, -0.5]]])
    assert filter_scales(weight).tolist() == [(1 + 2 + 0 + 5) / 4, 0.5]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9, 0.999, 1.001, 1.1, 2.0, -1.0])
def test_no_other_factor_is_better_for_a_filter(shape: tuple[int, ...], factor: float) -> None:
    weight = draw(shape)
    alpha = filter_scales(weight)
    assert (squared_error(weight, alpha) < squared_error(weight, alpha * factor)).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_no_other_factor_is_better_for_a_group(shape: tuple[int, ...], group_size: GroupSize) -> None:
    weight = draw(shape)
    groups = assign_groups(filter_scales(weight), group_size)
    shared = shared_scales(weight, groups)
    for g in range(len(shared)):
        members = weight[groups == g]
        best = squared_error(members, shared[g].expand(len(members))).sum()
        for factor in (0.0, 0.5, 0.99, 1.01, 2.0):
            assert best < squared_error(members, (shared[g] * factor).expand(len(members))).sum()


def test_the_shared_factor_is_the_mean_over_all_the_weights() -> None:
    """All filters have the same number of weights, so the mean of means is the mean; a ragged group has its own."""
    weight = draw((5, 3, 3, 3))
    shared = shared_scales(weight, assign_groups(filter_scales(weight), 2))
    expected = [weight[0:2].abs().mean(), weight[2:4].abs().mean(), weight[4:5].abs().mean()]
    torch.testing.assert_close(shared, torch.stack(expected))


# ---- what sharing costs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
@pytest.mark.parametrize("order", ["index", "sorted"])
def test_sharing_costs_exactly_the_formula(shape: tuple[int, ...], group_size: GroupSize, order: str) -> None:
    weight = draw(shape)
    alpha = filter_scales(weight)
    groups = assign_groups(alpha, group_size, order)
    shared = shared_scales(weight, groups)
    added = squared_error(weight, shared[groups]) - squared_error(weight, alpha)
    torch.testing.assert_close(sharing_error(weight, groups), added, rtol=1e-9, atol=1e-11)
    n = weight[0].numel()
    torch.testing.assert_close(sharing_error(weight, groups).sum(), n * (alpha - shared[groups]).square().sum())


def test_sharing_costs_nothing_where_nothing_is_shared_or_all_is_alike() -> None:
    weight = draw((6, 4, 3, 3))
    assert sharing_error(weight, torch.arange(6)).tolist() == [0.0] * 6
    alike = signs(weight) * 0.25
    assert sharing_error(alike, torch.zeros(6, dtype=torch.int64)).tolist() == [0.0] * 6


def test_coarser_groups_that_contain_finer_ones_cost_at_least_as_much() -> None:
    weight = draw((16, 3, 3, 3))
    costs = [sharing_error(weight, torch.arange(16) // m).sum().item() for m in (1, 2, 4, 8, 16)]
    assert costs == sorted(costs)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("group_size", [1, 2, 3, 4, 6, 12, "layer"])
def test_sorting_never_costs_more_where_the_groups_are_of_one_size(seed: int, group_size: GroupSize) -> None:
    weight = draw((12, 3, 3, 3), seed)
    alpha = filter_scales(weight)
    costs = [sharing_error(weight, assign_groups(alpha, group_size, o)).sum() for o in ("sorted", "index")]
    assert costs[0] <= costs[1] * (1 + 1e-12)


def test_sorting_can_cost_more_where_the_last_group_is_smaller() -> None:
    """So no text may promise that it never does: the cut, largest first, joins 9 with 1, and neighbours are luckier."""
    weight = torch.tensor([[1.0], [1.0], [9.0]])
    alpha = filter_scales(weight)
    by_size, by_index = (sharing_error(weight, assign_groups(alpha, 2, o)) for o in ("sorted", "index"))
    assert by_size.tolist() == [(1 - 5) ** 2, 0, (9 - 5) ** 2]
    assert by_index.tolist() == [0, 0, 0]


# ---- groups ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filters", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("group_size", [1, 2, 3, 5, 16, 32, 33, 100, "layer"])
@pytest.mark.parametrize("order", ["index", "sorted"])
def test_every_group_is_full_but_the_last(filters: int, group_size: GroupSize, order: str) -> None:
    alpha = torch.rand(filters, generator=torch.Generator().manual_seed(filters))
    groups = assign_groups(alpha, group_size, order)
    m = filters if group_size == "layer" else min(group_size, filters)
    sizes = torch.bincount(groups).tolist()
    assert groups.dtype == torch.int64
    assert groups.shape == (filters,)
    assert sizes[:-1] == [m] * (len(sizes) - 1)
    assert sizes[-1] == filters - m * (len(sizes) - 1)
    assert len(sizes) == -(-filters // m)


def test_neighbours_share_by_index() -> None:
    assert assign_groups(torch.rand(7), 3).tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert assign_groups(torch.rand(3), 100).tolist() == [0, 0, 0]
    assert assign_groups(torch.rand(3), "layer").tolist() == [0, 0, 0]


def test_sorted_groups_go_from_large_to_small() -> None:
    alpha = torch.rand(33, generator=torch.Generator().manual_seed(0))
    groups = assign_groups(alpha, 5, "sorted")
    for g in range(int(groups.max())):
        assert alpha[groups == g].min() > alpha[groups == g + 1].max()


def test_equal_filters_keep_their_order_when_sorted() -> None:
    assert assign_groups(torch.ones(33), 4, "sorted").tolist() == (torch.arange(33) // 4).tolist()


def test_permuting_the_filters_permutes_sorted_groups_with_them() -> None:
    weight = draw((17, 3, 3, 3))
    shuffle = torch.randperm(17, generator=torch.Generator().manual_seed(1))
    groups = assign_groups(filter_scales(weight), 4, "sorted")
    after = assign_groups(filter_scales(weight[shuffle]), 4, "sorted")
    assert after.tolist() == groups[shuffle].tolist()
    torch.testing.assert_close(shared_scales(weight[shuffle], after), shared_scales(weight, groups))


def test_sorting_is_an_index_cut_of_sorted_filters() -> None:
    weight = draw((13, 2, 3, 3))
    alpha = filter_scales(weight)
    in_order = weight[alpha.argsort(descending=True)]
    torch.testing.assert_close(
        shared_scales(weight, assign_groups(alpha, 5, "sorted")),
        shared_scales(in_order, assign_groups(filter_scales(in_order), 5, "index")),
    )


def test_group_means_weigh_every_filter_alike() -> None:
    means = group_means(torch.tensor([1.0, 2.0, 6.0, 8.0]), torch.tensor([1, 0, 1, 1]))
    assert means.tolist() == [2.0, (1 + 6 + 8) / 3]


@pytest.mark.parametrize("wrong", [0, -1, 1.0, True, "all", None])
def test_other_group_sizes_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="group_size = "):
        assign_groups(torch.rand(4), wrong)  # type: ignore[arg-type]
