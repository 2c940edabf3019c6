"""cfcore.layers: a quantized convolution is the convolution of its quantized input and weights, and keeps its state."""

import shutil

import naive_quantize as naive
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfcore.architecture import Conv
from cfcore.config import Configuration, GroupSize
from cfcore.layers import QuantConv2d
from cfcore.scaling import filter_scales

SPEC = Conv("convs.1", channels=5, filters=7, size=9)


def layer(
    spec: Conv = SPEC,
    method: str = "xnor",
    group_size: GroupSize = 3,
    estimator: str = "polynomial",
    **settings: object,
) -> QuantConv2d:
    conv = QuantConv2d(spec, Configuration.of(method=method, group_size=group_size, **settings), estimator)
    conv.regroup()
    return conv


def images(spec: Conv = SPEC, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, spec.channels, spec.size, spec.size, generator=generator)


def expected_output(conv: QuantConv2d, spec: Conv, x: Tensor) -> Tensor:
    """Loops for levels, double precision for the sums."""
    configuration = conv.configuration
    scales = conv.scales.double().numpy()[conv.group_of.numpy()]
    q = naive.nearest_odd(conv.weight.detach().double().numpy(), scales, configuration.weight_bits)
    weight = torch.from_numpy(scales[:, None, None, None] * q)
    if configuration.activation_bits == 32:
        a = x.double().clamp_min(0)
    elif configuration.activation_bits == 1:
        a = torch.where(x >= 0, 1.0, -1.0).double()
    else:
        step = conv.step.item()
        a = torch.from_numpy(naive.activation_levels(x.numpy(), step, configuration.activation_bits) * step)
    return F.conv2d(a, weight, stride=spec.stride, padding=spec.padding)


@pytest.mark.parametrize("spec", [SPEC, Conv("convs.1", channels=3, filters=4, size=8, stride=2)], ids=["1", "2"])
@pytest.mark.parametrize("bits", [(1, 1), (1, 32), (2, 2), (3, 5), (8, 8), (4, 1), (1, 4), (3, 32)])
@pytest.mark.parametrize("order", ["index", "sorted"])
def test_forward_against_loops(spec: Conv, bits: tuple[int, int], order: str) -> None:
    method = "binary-weight" if bits[1] == 32 else "xnor"
    conv = layer(spec, method, weight_bits=bits[0], activation_bits=bits[1], order=order)
    if 1 < bits[1] <= 8:
        conv.step.data.fill_(0.125)
    y = conv(images(spec))
    assert y.shape == (2, spec.filters, spec.output_size, spec.output_size)
    torch.testing.assert_close(y.double(), expected_output(conv, spec, images(spec)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_k_map_scales_every_output(stride: int) -> None:
    spec = Conv("convs.1", channels=3, filters=4, size=6, stride=stride)
    conv = layer(spec, input_scale=True)
    x = images(spec)
    k = torch.from_numpy(naive.input_scale_map(x.double().numpy(), 3, stride, 1))
    torch.testing.assert_close(conv(x).double(), expected_output(conv, spec, x) * k, rtol=1e-5, atol=1e-5)


def test_float_weights_are_used_while_held() -> None:
    conv = layer()
    conv.weights_float = True
    a = torch.where(images() >= 0, 1.0, -1.0)
    torch.testing.assert_close(conv(images()), F.conv2d(a, conv.weight, padding=1))
    assert conv.quantized_weight() is conv.weight


def test_a_float_layer_has_no_quantizer_state() -> None:
    conv = QuantConv2d(SPEC, Configuration.of(method="float"))
    assert set(conv.state_dict()) == {"weight"}
    torch.testing.assert_close(conv(images()), F.conv2d(images().relu(), conv.weight, padding=1))


@pytest.mark.parametrize(
    ("bits", "state"),
    [
        ((1, 1), {"weight", "group_of", "scales"}),
        ((3, 2), {"weight", "group_of", "scales", "step"}),
    ],
)
def test_state_of_a_quantized_layer(bits: tuple[int, int], state: set[str]) -> None:
    assert set(layer(weight_bits=bits[0], activation_bits=bits[1]).state_dict()) == state
    assert "step" not in layer(method="binary-weight", weight_bits=bits[0]).state_dict()


@pytest.mark.parametrize(("group_size", "groups"), [(1, 7), (2, 4), (3, 3), (7, 1), (64, 1), ("layer", 1)])
@pytest.mark.parametrize("order", ["index", "sorted"])
def test_one_factor_a_group(group_size: GroupSize, groups: int, order: str) -> None:
    conv = layer(group_size=group_size, order=order)
    assert conv.scales.shape == (groups,)
    assert sorted(conv.group_of.unique().tolist()) == list(range(groups))
    for g in range(groups):
        members = conv.weight[conv.group_of == g]
        torch.testing.assert_close(conv.scales[g], members.abs().mean())


def test_regrouping_follows_weights_that_have_changed() -> None:
    conv = layer(order="sorted", group_size=3)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(1.0, 8.0).view(7, 1, 1, 1) * torch.ones(7, 5, 3, 3))
    conv.regroup()
    assert conv.group_of.tolist() == [2, 1, 1, 1, 0, 0, 0]  # the largest first
    assert conv.scales.tolist() == [(7 + 6 + 5) / 3, (4 + 3 + 2) / 3, 1]


def test_refining_keeps_the_groups_and_moves_the_factors() -> None:
    conv = layer(order="sorted")
    groups = conv.group_of.clone()
    with torch.no_grad():
        conv.weight.mul_(torch.linspace(3, 0.1, 7).view(7, 1, 1, 1))
    conv.refine_scales()
    assert torch.equal(conv.group_of, groups)
    alpha = filter_scales(conv.weight.detach())
    torch.testing.assert_close(conv.scales, torch.stack([alpha[groups == g].mean() for g in range(3)]))


def test_learned_scales_are_groupwise_and_their_gradient_is_that_of_a_product() -> None:
    conv = layer(order="sorted")
    fitted, x = conv.scales.clone(), images()
    conv.learn_scales()
    assert torch.equal(conv.scales, fitted)
    conv(x).square().sum().backward()
    found, up = conv.scales.grad, 1 + 2.0**-10
    assert found is not None
    for g in range(3):
        sides = []
        for factor in (up, 1 / up):
            with torch.no_grad():
                conv.scales.copy_(fitted).select(0, g).mul_(factor)
                sides.append(conv(x).double().square().sum())
        slope = (sides[0] - sides[1]) / (fitted[g] * (up - 1 / up))
        torch.testing.assert_close(found[g].double(), slope, rtol=1e-3, atol=0)


@pytest.mark.skipif(not shutil.which("g++"), reason="without a compiler nothing is compiled")
def test_a_lone_learned_scale_trains_compiled() -> None:
    """torch.compile fails to scatter a gradient into one number, where the filters are enough to fill vectors."""
    spec = Conv("convs.1", channels=16, filters=16, size=8)
    conv = layer(spec, "binary-weight", "layer")
    conv.learn_scales()
    gradients = []
    for forward in (conv, torch.compile(conv)):
        conv.zero_grad()
        forward(images(spec)).square().sum().backward()
        assert conv.scales.grad is not None
        gradients.append(conv.scales.grad.clone())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=0)


def test_learned_scales_stay_above_zero_and_the_weights_take_their_size() -> None:
    conv = layer()
    conv.learn_scales()
    with torch.no_grad():
        conv.scales.copy_(torch.tensor([-1.0, 0.5, 2.0]))
    conv.refine_scales()
    assert conv.scales[0] > 0
    assert conv.scales[1:].tolist() == [0.5, 2.0]
    learned, signs = conv.scales.detach().clone(), conv.quantized_weight().sign()
    with torch.no_grad():
        conv.scales[0] = -1.0  # as the last step may leave it
    conv.resize()
    conv.regroup()
    torch.testing.assert_close(conv.scales.detach(), learned)
    assert torch.equal(conv.quantized_weight().sign(), signs)


@pytest.mark.parametrize("bits", [(1, 1), (2, 3)])
def test_gradients_reach_weights_input_and_step(bits: tuple[int, int]) -> None:
    conv = layer(weight_bits=bits[0], activation_bits=bits[1])
    x = (images() * 0.5).requires_grad_()
    conv(x).square().sum().backward()
    for name, parameter in conv.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_the_weights_gradient_is_that_of_a_plain_convolution() -> None:
    conv = layer(method="binary-weight")
    x = images()
    conv(x).sum().backward()
    plain = nn.Conv2d(5, 7, 3, padding=1, bias=False)
    plain(x.relu()).sum().backward()
    assert conv.weight.grad is not None
    torch.testing.assert_close(conv.weight.grad, plain.weight.grad)


@pytest.mark.parametrize(("estimator", "slope"), [("clip", 1.0), ("polynomial", 2 - 2 * 0.25)])
def test_the_estimator_is_the_one_asked_for(estimator: str, slope: float) -> None:
    conv = layer(Conv("convs.1", channels=1, filters=1, size=1, kernel=1, padding=0), estimator=estimator)
    x = torch.full((1, 1, 1, 1), 0.25, requires_grad=True)
    conv(x).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(conv.quantized_weight().item() * slope)


def test_calibrating_sets_the_step_from_the_input() -> None:
    conv = layer(activation_bits=2)
    x = torch.arange(4.0).mul(0.25).repeat(2, 5, 9, 3)[..., :9]
    conv.calibrating = True
    with torch.no_grad():
        conv(x)
    conv.calibrating = False
    assert conv.step.item() == 0.25
    with torch.no_grad():
        conv(x * 100)
    assert conv.step.item() == 0.25
    np.testing.assert_array_equal(conv.quantized_input(x).detach().numpy(), x.numpy())
