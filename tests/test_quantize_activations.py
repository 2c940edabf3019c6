"""cfcore.quantize: activations, their steps and gradients, and the K map, against loops."""

import naive_quantize as naive
import numpy as np
import pytest
import torch
from test_quantize import draw
from torch import Tensor

from cfcore import quantize
from cfcore.config import LEAST_STEP

SEARCHED_BITS = range(2, 9)


# ---- activations at one bit ------------------------------------------------------------------------------------

POINTS = [-3.0, -1.0001, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.0001, 7.0]


@pytest.mark.parametrize(
    ("estimator", "slopes"),
    [
        ("clip", [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]),
        ("polynomial", [0, 0, 2 - 2 * 1, 2 - 2 * 0.5, 2, 2, 2 - 2 * 0.25, 2 - 2 * 1, 0, 0]),
    ],
)
def test_the_two_gradients_of_the_sign(estimator: str, slopes: list[float]) -> None:
    x = torch.tensor(POINTS, requires_grad=True)
    upstream = torch.linspace(-2, 3, len(POINTS))
    y = quantize.binarize(x, estimator)
    y.backward(upstream)
    assert y.tolist() == [-1, -1, -1, -1, 1, 1, 1, 1, 1, 1]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, upstream * torch.tensor(slopes))
    assert torch.equal(x.detach(), torch.tensor(POINTS))  # the saved input is not changed on the way


def test_the_polynomial_is_the_slope_of_bi_real_nets_curve() -> None:
    """F(x) = 2x + x² on [-1, 0) and 2x - x² on [0, 1): its finite differences."""
    x = torch.linspace(-0.99, 0.99, 67, dtype=torch.float64)
    curve = lambda v: torch.where(v < 0, 2 * v + v * v, 2 * v - v * v)
    slope = (curve(x + 1e-6) - curve(x - 1e-6)) / 2e-6
    x.requires_grad_()
    quantize.binarize(x, "polynomial").sum().backward()
    torch.testing.assert_close(x.grad, slope, rtol=1e-4, atol=1e-5)


# ---- activations at 2 to 8 bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", SEARCHED_BITS)
def test_activations_are_exactly_whole_steps(bits: int) -> None:
    """Bit-equal to the packed kernels' formula: rint(x / s) in float32, half to even, clamped, times s."""
    generator = torch.Generator().manual_seed(bits)
    for _ in range(40):
        step = torch.rand((), generator=generator) * 2 + 0.01
        x = torch.randn(2, 3, 5, 7, generator=generator) * 2**bits
        expected = (x / step).round().clamp(0, 2**bits - 1) * step
        assert torch.equal(quantize.quantize_activation(x, step, bits), expected)


@pytest.mark.parametrize("bits", SEARCHED_BITS)
def test_activation_levels_against_loops(bits: int) -> None:
    """Half steps go to the even level; a power of two as step keeps the ratios exact."""
    step = 0.125
    x = torch.arange(-8, 2 * 2**bits + 8, dtype=torch.float32).view(1, -1) * step / 2
    y = quantize.quantize_activation(x, torch.tensor(step), bits)
    np.testing.assert_array_equal(y.numpy(), naive.activation_levels(x.numpy(), step, bits) * step)


@pytest.mark.parametrize("bits", SEARCHED_BITS)
def test_learned_step_gradients(bits: int) -> None:
    generator = torch.Generator().manual_seed(bits)
    x = (torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64) * 2**bits * 0.4).requires_grad_()
    step = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    quantize.quantize_activation(x, step, bits).backward(upstream)
    dx, ds = naive.learned_step_gradients(x.detach().numpy(), 0.7, bits, upstream.numpy())
    assert x.grad is not None
    assert step.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), dx, rtol=1e-9)
    assert step.grad.item() == pytest.approx(ds, rel=1e-9)


@pytest.mark.parametrize("bits", SEARCHED_BITS)
def test_outside_the_range_the_step_gradient_is_a_finite_difference(bits: int) -> None:
    """There s·clamp(…) is linear in s, so the balanced gradient can be measured."""
    top = 2**bits - 1
    x = torch.tensor([[-3.0, 1e4, 2e4, -0.5]], dtype=torch.float64)
    step = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    quantize.quantize_activation(x, step, bits).sum().backward()
    around = torch.tensor([0.499, 0.501], dtype=torch.float64)
    low, high = (quantize.quantize_activation(x, s, bits).sum() for s in around)
    assert step.grad is not None
    assert step.grad.item() == pytest.approx((high - low).item() / 0.002 * (4 * top) ** -0.5, rel=1e-6)


def test_a_step_below_the_least_one_can_grow_again() -> None:
    step = torch.tensor(-1e-3, requires_grad=True)
    y = quantize.quantize_activation(torch.ones(1, 4), step, 4)
    torch.testing.assert_close(y, torch.full((1, 4), 15 * LEAST_STEP))  # every number is above the top level
    (y - 1).square().sum().backward()
    assert step.grad is not None
    assert step.grad < 0  # so that it is made larger


def test_the_balance_counts_the_numbers_of_one_image() -> None:
    """The same image twice doubles the gradient and nothing else: the batch's mean stays the mean."""
    x = torch.rand(1, 3, 4, 4) * 5
    gradients = []
    for batch in (x, torch.cat([x, x])):
        step = torch.tensor(0.3, requires_grad=True)
        quantize.quantize_activation(batch, step, 3).sum().backward()
        gradients.append(step.grad)
    torch.testing.assert_close(gradients[1], 2 * gradients[0])


# ---- calibration -----------------------------------------------------------------------------------------------


def activation_error(x: Tensor, step: float | Tensor, bits: int) -> float:
    positive = x.double().relu()
    return ((positive / step).round().clamp(0, 2**bits - 1) * step - positive).square().mean().item()


@pytest.mark.parametrize("bits", SEARCHED_BITS)
@pytest.mark.parametrize("power", [1, 3])
def test_a_calibrated_step_never_loses_to_min_max(bits: int, power: int) -> None:
    for seed in range(5):
        x = draw((4, 8, 9, 7), seed, power)
        step = quantize.calibrate_step(x, bits)
        assert step.dim() == 0
        assert step > 0
        assert activation_error(x, step, bits) <= activation_error(x, x.max() / (2**bits - 1), bits) * (1 + 1e-5)


@pytest.mark.parametrize("bits", SEARCHED_BITS)
def test_calibration_finds_values_that_are_levels(bits: int) -> None:
    x = torch.arange(2**bits).float() * 0.25
    torch.testing.assert_close(quantize.calibrate_step(x, bits), torch.tensor(0.25))


@pytest.mark.parametrize("x", [torch.zeros(2, 3), -torch.ones(2, 3), torch.full((2, 3), 1e-30)])
def test_calibration_without_anything_positive_gives_a_step_that_quantizing_uses(x: Tensor) -> None:
    """A dead layer. The step is stored, and must be the very one that `quantize_activation` works with."""
    step = quantize.calibrate_step(x, 4)
    assert step > 0
    ramp = torch.arange(16).float()[None] * step
    assert torch.equal(quantize.quantize_activation(ramp, step, 4), ramp)


def test_calibration_of_many_numbers_sees_every_column() -> None:
    """Past 200,000 numbers a part is looked at. A part in step with the image's width sees a few columns only."""
    images, channels, size = 200, 16, 32
    x = torch.zeros(images, channels, size, size)
    x[..., torch.arange(size) % 16 != 0] = torch.rand(images, channels, size, size - 2)
    step = quantize.calibrate_step(x, 4)
    assert activation_error(x, step, 4) <= activation_error(x, x.max() / 15, 4) * 1.05


# ---- the K map -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0), (5, 1, 2), (3, 1, 0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_input_scale_map_against_loops(kernel: int, stride: int, padding: int, channels: int) -> None:
    x = torch.randn(2, channels, 7, 6, dtype=torch.float64)
    found = quantize.input_scale_map(x, kernel, stride, padding)
    np.testing.assert_allclose(found.numpy(), naive.input_scale_map(x.numpy(), kernel, stride, padding), rtol=1e-12)


def test_input_scale_map_of_ones_is_the_share_of_the_window_inside() -> None:
    found = quantize.input_scale_map(-torch.ones(1, 2, 3, 3), 3, 1, 1)
    expected = torch.tensor([[4.0, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("bits", range(2, 9))
def test_activations_are_the_same_where_no_gradient_is_wanted(bits: int) -> None:
    x, step = 3 * torch.randn(4, 5, 6, 7), torch.tensor(0.37)
    kept = x.clone()
    with torch.no_grad():
        inplace = quantize.quantize_activation(x, step, bits)
    assert torch.equal(inplace, quantize.quantize_activation(x, step, bits))
    assert torch.equal(x, kept)
