"""cfcore.operator: torch's own convolution of the quantized numbers, as an operator that torch can export."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from cfcore.config import Configuration
from cfcore.data import normalise
from cfcore.errors import ConfigError
from cfcore.export import pack_network, packed_layers, unpack_network
from cfcore.models import Network, reestimate_batch_norm
from cfcore.operator import PackedConv2d, packed_conv2d

CASES: list[dict[str, Any]] = [
    {"channels": 1, "filters": 1},
    {"channels": 3, "filters": 5, "stride": 2, "padding": 1},
    {"channels": 31, "filters": 33, "kernel": 1, "weight_bits": 2},
    {"channels": 33, "filters": 16, "padding": 2, "dilation": 2, "activation_bits": 2},
    {"channels": 64, "filters": 65, "kernel": 5, "padding": 2, "weight_bits": 3, "activation_bits": 4},
    {"channels": 66, "filters": 6, "groups": 2, "padding": 1, "stride": 3},
]


def made(channels: int, filters: int, kernel: int = 3, groups: int = 1, **settings: Any) -> tuple[PackedConv2d, Tensor]:
    """A layer of random weights, and those weights."""
    rng = np.random.default_rng(channels)
    top = 2 ** settings.get("weight_bits", 1) - 1
    q = rng.integers(0, top + 1, (filters, channels // groups, kernel, kernel)) * 2 - top
    scale = rng.uniform(0.5, 1.5, filters).astype(np.float32)
    step = 0.0 if settings.get("activation_bits", 1) == 1 else 0.3
    layer = PackedConv2d(q, scale, groups=groups, **settings, **({"step": step} if step else {}))
    return layer, torch.from_numpy(q * scale[:, None, None, None].astype(np.float64))


def expected(x: Tensor, w: Tensor, layer: PackedConv2d) -> Tensor:
    s = layer.shape
    signs = torch.where(x >= 0, 1.0, -1.0).double()
    a = signs if s.signed else (x / layer.step).round().clamp(0, s.max_level).double() * layer.step
    return F.conv2d(a, w, None, s.stride, s.padding, s.dilation, s.groups)


def images(channels: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, 9, 7, generator=torch.Generator().manual_seed(channels))


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
def test_it_is_the_convolution_of_the_quantized_numbers(case: dict[str, Any]) -> None:
    layer, w = made(**case)
    x = images(case["channels"])
    torch.testing.assert_close(layer(x), expected(x, w, layer).float(), rtol=1e-5, atol=1e-4)


def test_torch_finds_nothing_wrong_with_the_operator() -> None:
    layer, _ = made(channels=5, filters=3, padding=1)
    arguments = (images(5), layer.planes, layer.scale, 3, 1, 1, 1, 1, 1, 1.0)
    torch.library.opcheck(packed_conv2d, arguments)


def test_a_network_that_holds_it_can_be_exported() -> None:
    layer, w = made(channels=5, filters=3, stride=2, padding=1)
    network = torch.nn.Sequential(layer, torch.nn.ReLU())
    x = images(5)
    exported = torch.export.export(network, (x,))
    assert any("packed_conv2d" in str(node.target) for node in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(x), expected(x, w, layer).relu().float(), rtol=1e-5, atol=1e-4)


def test_sizes_of_images_may_stay_open_in_an_export() -> None:
    layer, _ = made(channels=5, filters=3, stride=2, padding=1)
    open_sizes = {0: Dim("n"), 2: Dim("height", min=3), 3: Dim("width", min=3)}  # one output pixel is a case of its own
    exported = torch.export.export(layer, (images(5),), dynamic_shapes=(open_sizes,)).module()
    for size in ((1, 5, 4, 6), (3, 5, 7, 3)):
        x = torch.randn(size)
        assert torch.equal(exported(x), layer(x))


def test_it_compiles_behind_a_layer_that_could_be_trained() -> None:
    layer, _ = made(channels=5, filters=3, padding=1)
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 5, 1), layer)
    x = images(2)
    assert not network(x).requires_grad
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), network(x))


def test_weights_are_stored_in_bits() -> None:
    layer, _ = made(channels=64, filters=16, weight_bits=2)
    state = layer.state_dict()
    assert state["planes"].numel() == 2 * 16 * 64 * 9 // 8
    assert state["scale"].shape == (16,)


def test_changed_weights_count() -> None:
    (layer, _), (other, _) = made(channels=8, filters=4), made(channels=8, filters=4)
    other.planes.bitwise_not_()
    x = images(8)
    before = layer(x)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(x), -before, rtol=1e-5, atol=1e-4)
    layer.scale.mul_(2)
    torch.testing.assert_close(layer(x), -2 * before, rtol=1e-5, atol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), -2 * before, rtol=1e-5, atol=1e-4)


def test_tensors_of_any_type_become_a_layer() -> None:
    q, scale, x = torch.ones(2, 3, 3, 3, dtype=torch.int64), torch.tensor([0.5, 2.0]), images(3)
    expected = PackedConv2d(q.numpy(), scale.numpy())(x)
    for kind in (scale.bfloat16(), nn.Parameter(scale), scale.double()):
        assert torch.equal(PackedConv2d(q, kind)(x), expected)


@pytest.mark.parametrize("scale", [["a"] * 2, [np.nan, 1.0], [np.inf, 1.0]], ids=str)
def test_scales_that_are_no_numbers_are_refused(scale: list[Any]) -> None:
    with pytest.raises(ConfigError, match=r"^scale = .* is not allowed"):
        PackedConv2d(np.ones((2, 3, 3, 3), np.int64), np.array(scale))


def test_a_state_holds_the_step() -> None:
    q, scale, x = np.ones((2, 3, 3, 3), np.int64), np.ones(2, np.float32), images(3).abs()
    coarse, fine = (PackedConv2d(q, scale, weight_bits=2, activation_bits=2, step=step) for step in (0.5, 0.1))
    assert not torch.equal(coarse(x), fine(x))
    coarse.load_state_dict(fine.state_dict())
    assert torch.equal(coarse(x), fine(x))


def test_changed_weights_count_in_inference_mode() -> None:
    """A tensor that was made there has no version by which torch tells a change."""
    with torch.inference_mode():
        (layer, _), (other, _) = made(channels=8, filters=4), made(channels=8, filters=4)
        other.planes.bitwise_not_()
        x = images(8)
        before = layer(x)
        layer.load_state_dict(other.state_dict())
        torch.testing.assert_close(layer(x), -before, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("x", [torch.zeros(1, 5, 4), torch.zeros(1, 5, 4, 4).double(), torch.zeros(5, 4, 4)])
def test_other_inputs_are_refused(x: Tensor) -> None:
    layer, _ = made(channels=5, filters=3)
    with pytest.raises(ConfigError, match=r"use float32 \[N, C, H, W\]"):
        layer(x)


def test_other_channels_are_refused() -> None:
    layer, _ = made(channels=5, filters=3)
    with pytest.raises(ConfigError, match="for x of 40 channels"):
        layer(torch.zeros(1, 40, 4, 4))


@pytest.mark.parametrize(
    ("shape", "scales"),
    [((8, 5, 3, 5), 8), ((8, 5, 3, 3), 3), ((5, 3, 3), 5)],
)
def test_what_makes_no_layer_is_refused(shape: tuple[int, ...], scales: int) -> None:
    with pytest.raises(ConfigError, match=r"q and scale = .* is not allowed: use \[F, C, k, k\] and \[F\]"):
        PackedConv2d(np.ones(shape, np.int16), np.ones(scales, np.float32))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), 1e-50, 1e39, "a", None])
def test_steps_that_float32_has_not_are_refused(step: Any) -> None:
    with pytest.raises(ConfigError, match=r"step = .* is not allowed: use a number above 0 that float32 has"):
        PackedConv2d(np.ones((8, 5, 3, 3), np.int16), np.ones(8, np.float32), step=step)


def test_it_is_made_of_tensors_too() -> None:
    q, scale = torch.tensor([-1, 1, 1, -1]).reshape(2, 2, 1, 1), torch.tensor([0.5, 2.0])
    x = images(2)
    assert torch.equal(PackedConv2d(q, scale)(x), PackedConv2d(q.numpy(), scale.numpy())(x))


SOUND: dict[str, Any] = {
    "x": torch.zeros(1, 5, 4, 6),
    "planes": torch.zeros(1, 3, 6, dtype=torch.uint8),
    "scale": torch.ones(3),
    "kernel": 3,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "activation_bits": 1,
    "step": 1.0,
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.zeros(5, 4, 6)}, r"x = 'float32 \(5, 4, 6\)' is not allowed: use float32 \[N, C, H, W\]"),
        ({"x": torch.zeros(1, 5, 4, 6).double()}, r"x = 'float64 \(1, 5, 4, 6\)'"),
        ({"x": torch.zeros(1, 13, 4, 6)}, "for x of 13 channels"),
        ({"x": torch.zeros(1, 5, 6, 2)}, "width = 2 is not allowed: use at least 3"),
        ({"planes": torch.zeros(3, 6, dtype=torch.uint8)}, r"planes = 'uint8 \(3, 6\)' is not allowed: use uint8"),
        ({"planes": torch.zeros(1, 3, 6)}, r"planes = 'float32 \(1, 3, 6\)'"),
        ({"planes": torch.zeros(1, 3, 5, dtype=torch.uint8)}, r"'uint8 \(1, 3, 5\) and float32 \(3,\)' is not allowed"),
        ({"planes": torch.zeros(9, 3, 6, dtype=torch.uint8)}, "weight_bits = 9"),
        ({"scale": torch.ones(3).double()}, r"'uint8 \(1, 3, 6\) and float64 \(3,\)' is not allowed: use uint8"),
        ({"scale": torch.ones(4)}, r"and float32 \(4,\)'"),
        ({"stride": 0}, "stride = 0"),
        ({"groups": 2}, "groups = 2"),
        ({"activation_bits": 9}, "activation_bits = 9"),
        ({"step": 0.0}, "step = 0.0"),
        ({"planes": torch.zeros(32, 3, 6, dtype=torch.uint8), "activation_bits": 32}, r"= \(32, 32\) is not allowed"),
    ],
)
def test_the_operator_refuses_the_same_before_it_runs(changes: dict[str, Any], message: str, device: str) -> None:
    """A meta tensor has sizes only: what an export or a compiler sees."""
    arguments = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in (SOUND | changes).items()}
    with pytest.raises(ConfigError, match=message):
        packed_conv2d(*arguments.values())


@pytest.mark.parametrize(
    "settings", [{}, {"weight_bits": 2, "activation_bits": 3}, {"source": "post-training"}, {"model": "vgg_small"}]
)
def test_a_stored_network_runs_with_packed_layers(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = Network(Configuration.of(**{"width": 0.25, "group_size": 3, **settings}))
    coarse = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    pictures = normalise(coarse.repeat(4, axis=1).repeat(4, axis=2))
    reestimate_batch_norm(network, pictures)
    stored = pack_network(network.eval())
    packed, simulated = packed_layers(stored), unpack_network(stored)
    assert sum(isinstance(module, PackedConv2d) for module in packed.modules()) == len(network.quantized_convs())
    with torch.no_grad():
        found, wanted = packed(pictures), simulated(pictures)
    # an activation within rounding of a threshold may fall on its other side: rare, and in few images
    near = (found - wanted).abs().amax(1) < 1e-3 * wanted.abs().max()
    assert near.float().mean() > 0.8


@pytest.mark.parametrize("settings", [{"method": "float"}, {"method": "binary-weight"}, {"input_scale": True}])
def test_float_activations_have_no_packed_layers(settings: dict[str, Any]) -> None:
    network = Network(Configuration.of(width=0.25, group_size=3, **settings))
    with pytest.raises(ConfigError, match="has no packed layers: they need method xnor without the K map"):
        packed_layers(pack_network(network.eval()))
