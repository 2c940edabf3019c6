"""cfcore.quantize: levels, the search for a factor and straight-through gradients of weights, against loops."""

import itertools

import naive_quantize as naive
import numpy as np
import pytest
import torch
from torch import Tensor

from cfcore import quantize
from cfcore.config import GroupSize
from cfcore.scaling import assign_groups, filter_scales, shared_scales

ALL_BITS = range(1, 9)
SEARCHED_BITS = range(2, 9)


def draw(shape: tuple[int, ...], seed: int = 0, power: int = 1) -> Tensor:
    """Filters of unlike size; a power of 3 gives long tails."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator) ** power
    return weight * (0.1 + torch.rand(shape[0], *[1] * (len(shape) - 1), generator=generator))


def grouped(weight: Tensor, group_size: GroupSize, order: str = "index") -> Tensor:
    return assign_groups(filter_scales(weight), group_size, order)


# ---- levels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", ALL_BITS)
def test_levels_are_the_nearest_odd_integers(bits: int) -> None:
    weight = draw((5, 3, 3, 2)).double()
    scale = filter_scales(weight) * torch.tensor([0.01, 0.3, 1.0, 2.0, 40.0], dtype=torch.float64)
    expected = naive.nearest_odd(weight.numpy(), scale.numpy(), bits)
    np.testing.assert_array_equal(quantize.weight_levels(weight, scale, bits).numpy(), expected)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_ties_go_up_and_the_far_ones_are_clamped(bits: int) -> None:
    """Every even multiple of α lies between two levels: the upper one is taken, where there is one."""
    top = 2**bits - 1
    even = torch.arange(-2 * top - 2, 2 * top + 3, 2).double()
    for alpha in (0.25, 1.0, 4.0):
        q = quantize.weight_levels((even * alpha)[None], torch.tensor([alpha]).double(), bits)
        assert q[0].tolist() == (even + 1).clamp(-top, top).tolist()
        np.testing.assert_array_equal(
            q.numpy(), naive.nearest_odd((even * alpha)[None].numpy(), np.array([alpha]), bits)
        )


@pytest.mark.parametrize("bits", ALL_BITS)
def test_every_level_is_reached_and_no_other(bits: int) -> None:
    fine = torch.linspace(-2 * 2**bits, 2 * 2**bits, 4097)
    q = quantize.weight_levels(fine[None], torch.ones(1), bits)
    assert q.unique().tolist() == naive.odd_levels(bits)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_a_zero_weight_counts_as_positive(bits: int) -> None:
    zeros = torch.tensor([[0.0, -0.0]])
    assert quantize.weight_levels(zeros, torch.ones(1), bits).tolist() == [[1.0, 1.0]]


def test_one_bit_is_the_sign() -> None:
    weight = draw((6, 5, 3, 3))
    weight[0, 0, 0] = torch.tensor([0.0, -0.0, 1e-30])
    assert torch.equal(quantize.weight_levels(weight, filter_scales(weight), 1), quantize.sign(weight))


def test_sign_has_two_values() -> None:
    x = torch.tensor([-2.0, -1e-38, -0.0, 0.0, 1e-38, 3.0])
    assert quantize.sign(x).tolist() == [-1, -1, 1, 1, 1, 1]
    assert quantize.sign(x.double()).dtype == torch.float64


# ---- the factor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["index", "sorted"])
@pytest.mark.parametrize("group_size", [1, 3, 7, "layer"])
def test_at_one_bit_the_factor_is_the_closed_form(group_size: GroupSize, order: str) -> None:
    weight = draw((7, 5, 3, 3))
    groups = grouped(weight, group_size, order)
    assert torch.equal(quantize.fit_scales(weight, groups, 1), shared_scales(weight, groups))
    anything = torch.rand(len(groups.unique()))
    assert torch.equal(quantize.refine_scales(weight, groups, 1, anything), shared_scales(weight, groups))


@pytest.mark.parametrize("bits", ALL_BITS)
def test_group_errors_against_loops(bits: int) -> None:
    weight = draw((5, 2, 3, 3)).double()
    groups = grouped(weight, 2, "sorted")
    scales = shared_scales(weight, groups) / 2 ** (bits - 1)
    expected = [naive.squared_error(weight[groups == g].numpy(), scales[g].item(), bits) for g in range(3)]
    np.testing.assert_allclose(quantize.group_errors(weight, groups, bits, scales).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("bits", SEARCHED_BITS)
@pytest.mark.parametrize("group_size", [1, 2, 3, "layer"])
@pytest.mark.parametrize("minmax", ["the top level reaches the largest weight", "the top cell reaches it"])
def test_the_search_never_loses_to_min_max(bits: int, group_size: GroupSize, minmax: str) -> None:
    """Min-max has two readings: α·(2^k - 1) = max|W|, or the cells of width 2α just cover it, α·2^k = max|W|."""
    levels = 2**bits - 1 if "level" in minmax else 2**bits
    for seed, power in itertools.product(range(8), (1, 3)):
        weight = draw((7, 5, 3, 3), seed, power)
        groups = grouped(weight, group_size)
        largest = torch.stack([weight[groups == g].abs().max() for g in range(int(groups.max()) + 1)])
        found = quantize.group_errors(weight, groups, bits, quantize.fit_scales(weight, groups, bits))
        simple = quantize.group_errors(weight, groups, bits, largest / levels)
        assert (found <= simple * (1 + 1e-5)).all()


@pytest.mark.parametrize("bits", SEARCHED_BITS)
def test_the_search_finds_weights_that_lie_on_levels(bits: int) -> None:
    """Weights that are α·q already, top level included, are stored without error."""
    generator = torch.Generator().manual_seed(bits)
    q = torch.randint(0, 2**bits, (4, 3, 3, 3), generator=generator) * 2 - (2**bits - 1)
    q[:, 0, 0, 0] = 2**bits - 1
    alpha = torch.tensor([0.5, 0.125, 2.0, 1.0])
    found = quantize.fit_scales(alpha.view(-1, 1, 1, 1) * q, torch.arange(4), bits)
    torch.testing.assert_close(found, alpha, rtol=1e-6, atol=0)


def test_the_search_is_near_the_best_on_a_fine_grid() -> None:
    """Two bits, where the error has few local minima: within 1 % of the best of 2,000 factors."""
    weight = draw((3, 16, 3, 3))
    groups = torch.arange(3)
    found = quantize.group_errors(weight, groups, 2, quantize.fit_scales(weight, groups, 2))
    largest = weight.flatten(1).abs().amax(1)
    errors = [quantize.group_errors(weight, groups, 2, largest * i / 2000) for i in range(1, 2001)]
    assert (found <= torch.stack(errors).amin(0) * 1.01).all()


@pytest.mark.parametrize("bits", ALL_BITS)
@pytest.mark.parametrize("group_size", [1, 3, "layer"])
def test_refining_never_adds_error(bits: int, group_size: GroupSize) -> None:
    weight = draw((7, 5, 3, 3), power=3).double()
    groups = grouped(weight, group_size, "sorted")
    count = int(groups.max()) + 1
    for start in (1e-3, 0.1, 1.0, 30.0):
        scales = torch.full((count,), start, dtype=torch.float64)
        for _ in range(5):
            refined = quantize.refine_scales(weight, groups, bits, scales)
            before, after = (quantize.group_errors(weight, groups, bits, s) for s in (scales, refined))
            assert (refined > 0).all()
            assert (after <= before * (1 + 1e-12)).all()
            scales = refined


def test_refining_is_least_squares_for_the_levels_it_starts_with() -> None:
    weight = torch.tensor([[1.0, 2.5, -4.0, 0.2]])
    q = np.array([1, 3, -3, 1])  # α = 1: 2.5 is nearest to 3, and -4 is beyond the last level
    expected = float((weight[0].numpy() * q).sum() / (q * q).sum())
    refined = quantize.refine_scales(weight, torch.zeros(1, dtype=torch.int64), 2, torch.ones(1))
    assert refined.item() == pytest.approx(expected)


@pytest.mark.parametrize("bits", ALL_BITS)
@pytest.mark.parametrize("fit", ["fit", "refine"])
def test_a_group_of_zeros_keeps_a_positive_factor(bits: int, fit: str) -> None:
    weight = draw((4, 3, 3, 3))
    weight[:2] = 0
    groups = torch.tensor([0, 0, 1, 1])
    if fit == "fit":
        scales = quantize.fit_scales(weight, groups, bits)
    else:
        scales = quantize.refine_scales(weight, groups, bits, torch.ones(2))
    assert (scales > 0).all()
    assert torch.isfinite(scales).all()
    assert scales[0] < 1e-30
    quantized = quantize.quantize_weight(weight, groups, scales, bits)
    assert torch.isfinite(quantized).all()
    assert quantized[:2].abs().max() < 1e-30


@pytest.mark.parametrize("bits", ALL_BITS)
def test_the_factor_follows_the_size_of_the_weights(bits: int) -> None:
    weight, groups = draw((3, 4, 3, 3)), torch.arange(3)
    ordinary = quantize.fit_scales(weight, groups, bits)
    torch.testing.assert_close(quantize.fit_scales(weight * 2.0**40, groups, bits), ordinary * 2.0**40)
    tiny = quantize.fit_scales(weight * 1e-37, groups, bits)  # every squared error underflows: anything usable will do
    assert (torch.isfinite(tiny) & (tiny > 0)).all()


# ---- weights: straight through ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", ALL_BITS)
@pytest.mark.parametrize("group_size", [1, 3, "layer"])
def test_quantized_weights_are_exactly_scale_times_level(bits: int, group_size: GroupSize) -> None:
    """Not nearly: what training sees is what is stored, so a group holds 2^k values and no others."""
    weight = draw((7, 5, 3, 3))
    groups = grouped(weight, group_size)
    scales = quantize.fit_scales(weight, groups, bits)
    alpha = scales[groups].view(-1, 1, 1, 1)
    expected = alpha * quantize.weight_levels(weight, scales[groups], bits)
    assert torch.equal(quantize.quantize_weight(weight, groups, scales, bits), expected)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_the_gradient_passes_straight_through_to_the_weights(bits: int) -> None:
    weight = draw((5, 3, 3, 3)).requires_grad_()
    groups = grouped(weight.detach(), 2)
    scales = quantize.fit_scales(weight.detach(), groups, bits)
    upstream = torch.randn(weight.shape)
    quantize.quantize_weight(weight, groups, scales, bits).backward(upstream)
    assert weight.grad is not None
    assert torch.equal(weight.grad, upstream)
