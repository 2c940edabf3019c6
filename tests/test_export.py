"""cfcore.export: packing and unpacking change nothing, folding is exact, post-training quantization keeps its word."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfcore.checkpoint import Checkpoint, layout
from cfcore.config import Configuration
from cfcore.data import normalise
from cfcore.errors import Cancelled, ConfigError
from cfcore.export import CALIBRATION_BATCH, FoldedNorm, fold, pack_network, post_training, unpack_network
from cfcore.models import Network, reestimate_batch_norm


def pixels(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures: noise, enlarged."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def network(seed: int = 0, **settings: Any) -> Network:
    """Random weights, norms as after training: statistics of pictures, and scales and shifts of their own."""
    torch.manual_seed(seed)
    net = Network(Configuration.of(**{"width": 0.25, "group_size": 3, **settings}))
    generator = torch.Generator().manual_seed(seed)
    for norm in net.norms:
        norm.weight.data.copy_(torch.rand(norm.weight.shape, generator=generator) + 0.5)
        norm.bias.data.copy_(torch.randn(norm.bias.shape, generator=generator) * 0.2)
    for conv in net.quantized_convs():
        if hasattr(conv, "step"):
            conv.step.data.copy_(torch.rand((), generator=generator) * 0.2 + 3 / 2**net.configuration.activation_bits)
    reestimate_batch_norm(net, normalise(pixels(8, seed)))
    return net.eval()


EVERY_KIND: list[dict[str, Any]] = [
    {"method": "float"},
    {"method": "float", "model": "vgg_small"},
    {"method": "binary-weight"},
    {"method": "binary-weight", "weight_bits": 4, "order": "sorted", "model": "vgg_small"},
    {"weight_bits": 1, "activation_bits": 1},
    {"weight_bits": 1, "activation_bits": 1, "input_scale": True, "group_size": "layer"},
    {"weight_bits": 2, "activation_bits": 2, "source": "post-training", "order": "sorted"},
    {"weight_bits": 3, "activation_bits": 5, "model": "vgg_small", "group_size": 1},
    {"weight_bits": 8, "activation_bits": 8, "group_size": 7, "order": "sorted"},
]
kinds = pytest.mark.parametrize("settings", EVERY_KIND, ids=lambda s: "-".join(map(str, s.values())))


# ---- packing ---------------------------------------------------------------------------------------------------


@kinds
def test_unpacking_gives_the_network_that_was_packed(settings: dict[str, Any]) -> None:
    net = network(**settings)
    back = unpack_network(pack_network(net))
    assert not back.training
    images = normalise(pixels(6, seed=1))
    with torch.no_grad():
        expected, found = net(images), back(images)
    # an activation within rounding of a threshold may fall on its other side: rare, and small in the sum
    assert ((found - expected).abs() < 1e-3 * expected.abs().max()).float().mean() > 0.9
    assert torch.equal(found.argmax(1), expected.argmax(1))
    for conv, stored in zip(net.quantized_convs(), back.quantized_convs(), strict=True):
        torch.testing.assert_close(stored.quantized_weight(), conv.quantized_weight(), rtol=1e-6, atol=1e-9)
        assert torch.equal(stored.group_of, conv.group_of)
        assert torch.equal(stored.scales, conv.scales)


@kinds
def test_packing_what_was_unpacked_gives_the_same_tensors(settings: dict[str, Any]) -> None:
    """Level for level: the weights unpacked are exactly α·q, and quantize to q again."""
    once = pack_network(network(**settings), {"a": 1})
    again = pack_network(unpack_network(once), {"a": 1})
    assert again.tensors.keys() == once.tensors.keys() == layout(once.configuration).keys()
    for name, values in once.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], values, err_msg=name, strict=True)
    assert again.origin == once.origin == {"a": 1}


@kinds
def test_packing_changes_nothing_and_shares_no_memory_with_later_training(settings: dict[str, Any]) -> None:
    net = network(**settings)
    before = {name: values.clone() for name, values in net.state_dict().items()}
    stored = pack_network(net)
    for name, values in net.state_dict().items():
        assert torch.equal(values, before[name]), name
    kept = {name: values.copy() for name, values in stored.tensors.items()}
    with torch.no_grad():
        for values in net.state_dict().values():
            values.add_(1)
    for name, values in stored.tensors.items():
        np.testing.assert_array_equal(values, kept[name], err_msg=name)


def test_levels_are_stored_in_the_weights_own_order() -> None:
    net = network(weight_bits=2, activation_bits=2)
    stored = pack_network(net)
    for conv, spec in zip(net.convs[1:], stored.architecture.convs[1:], strict=True):
        alpha = torch.from_numpy(stored.filter_scales(spec)).view(-1, 1, 1, 1)
        q = torch.from_numpy(stored.levels(spec).astype(np.float32))
        assert (conv.weight - alpha * q).abs().max() <= conv.weight.abs().max()
        inside = conv.weight.abs() < 4 * alpha
        assert ((conv.weight - alpha * q).abs() <= alpha * (1 + 1e-5))[inside].all()


def test_a_step_is_stored_as_quantizing_uses_it() -> None:
    """Learning can drive a step to 0 and below, where quantizing works with a least step: then that one is stored."""
    net = network(activation_bits=4)
    for conv in net.quantized_convs():
        conv.step.data.fill_(-1.0)
    back = pack_network(net)
    images = normalise(pixels(2))
    with torch.no_grad():
        torch.testing.assert_close(unpack_network(back)(images), net(images))
    for spec in back.architecture.convs[1:]:
        assert back.tensors[f"{spec.name}.step"][0] > 0


# ---- folding ---------------------------------------------------------------------------------------------------


def test_a_folded_norm_is_the_norm() -> None:
    norm = nn.BatchNorm2d(5).eval()
    generator = torch.Generator().manual_seed(0)
    for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        assert values is not None
        values.copy_(torch.rand(5, generator=generator) + 0.01)
    assert norm.running_var is not None
    norm.running_var[0] = 1e-12  # then ε decides
    x = torch.randn(3, 5, 4, 2, generator=generator)
    torch.testing.assert_close(fold(norm)(x), norm(x), rtol=1e-5, atol=1e-4)
    assert norm.running_mean is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + 1e-5) ** 0.5
    assert torch.equal(fold(norm).scale, scale.float())
    assert torch.equal(fold(norm).shift, (norm.bias.detach().double() - norm.running_mean.double() * scale).float())


def test_folding_twice_is_folding_once() -> None:
    folded = FoldedNorm(torch.ones(2), torch.zeros(2))
    assert fold(folded) is folded


# ---- post-training quantization --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def float_network() -> Checkpoint:
    return pack_network(network(method="float"))


@pytest.fixture(scope="module")
def float_vgg() -> Checkpoint:
    return pack_network(network(method="float", model="vgg_small"))


def target(**settings: Any) -> Configuration:
    return Configuration.of(**{"width": 0.25, "group_size": 1, "source": "post-training", **settings})


def logits(checkpoint: Checkpoint, images: Tensor) -> Tensor:
    with torch.no_grad():
        return unpack_network(checkpoint)(images)


def near(found: Tensor, expected: Tensor) -> float:
    """Correlation of the logits."""
    return float(torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1])


@pytest.mark.parametrize("model", ["resnet20", "vgg_small"])
@pytest.mark.parametrize("group_size", [1, "layer"])
def test_eight_bits_come_close_to_float(
    model: str, group_size: Any, float_network: Checkpoint, float_vgg: Checkpoint
) -> None:
    start = float_vgg if model == "vgg_small" else float_network
    settings = {"model": model, "weight_bits": 8, "activation_bits": 8, "group_size": group_size}
    stored = post_training(start, target(**settings), pixels(16))
    images = normalise(pixels(32, seed=5))
    assert near(logits(stored, images), logits(start, images)) > 0.98


def test_more_bits_come_closer(float_network: Checkpoint) -> None:
    images = normalise(pixels(32, seed=5))
    found = [
        near(
            logits(post_training(float_network, target(weight_bits=k, activation_bits=k), pixels(32)), images),
            logits(float_network, images),
        )
        for k in (2, 4, 8)
    ]
    assert found == sorted(found)


@pytest.mark.parametrize("order", ["index", "sorted"])
def test_what_comes_out_is_a_whole_network_of_the_configuration(float_network: Checkpoint, order: str) -> None:
    configuration = target(weight_bits=3, activation_bits=2, group_size=3, order=order)
    stored = post_training(float_network, configuration, pixels(4))
    assert stored.configuration == configuration
    assert stored.architecture.block == "basic"
    assert stored.origin == {"calibration_images": 4}
    for name, (dtype, shape) in layout(configuration).items():
        assert (stored.tensors[name].dtype, stored.tensors[name].shape) == (dtype, shape)
    for name in ("convs.0.weight", "head.weight", "head.bias"):  # what stays float is the float network's
        np.testing.assert_array_equal(stored.tensors[name], float_network.tensors[name])


def test_post_training_changes_neither_its_start_nor_its_result(float_network: Checkpoint) -> None:
    before = {name: values.copy() for name, values in float_network.tensors.items()}
    once, again = (post_training(float_network, target(activation_bits=2), pixels(4)) for _ in range(2))
    for name, values in float_network.tensors.items():
        np.testing.assert_array_equal(values, before[name])
    for name, values in once.tensors.items():
        np.testing.assert_array_equal(values, again.tensors[name])


def test_steps_fit_the_activations_that_the_finished_network_has(float_vgg: Checkpoint) -> None:
    """One bit per weight changes the size of every sum, and the norms' new statistics undo that: steps calibrated with
    the old statistics are steps for other activations."""
    stored = post_training(float_vgg, target(model="vgg_small", weight_bits=1, activation_bits=4), pixels(32))
    net = unpack_network(stored)
    images = normalise(pixels(32))
    for i, conv in enumerate(net.quantized_convs()):
        seen: list[Tensor] = []
        handle = conv.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0]))  # type: ignore[misc]
        with torch.no_grad():
            net(images)
        handle.remove()
        x, step = seen[0].relu(), conv.step.detach()
        error, minmax = (float(((x / s).round().clamp(0, 15) * s - x).square().mean()) for s in (step, x.max() / 15))
        assert error <= minmax * 1.05, f"layer {i}"


@pytest.mark.parametrize("activation_bits", [1, 4])
def test_at_one_bit_sharing_makes_no_difference_after_training(float_vgg: Checkpoint, activation_bits: int) -> None:
    """A norm follows every convolution, and its statistics are estimated again: every m is the same network. The steps
    too, which must not be those of activations before that."""
    images = normalise(pixels(8, seed=5))
    alone, shared = (
        logits(
            post_training(
                float_vgg,
                target(model="vgg_small", weight_bits=1, activation_bits=activation_bits, group_size=m),
                pixels(16),
            ),
            images,
        )
        for m in (1, 16)
    )
    torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"source": "trained"},
        {"width": 0.5},
        {"model": "vgg_small"},
        {"model": "resnet32"},
        {"method": "float"},
    ],
    ids=str,
)
def test_other_networks_are_refused(float_network: Checkpoint, settings: dict[str, Any]) -> None:
    configuration = target(**settings)
    with pytest.raises(ConfigError) as error:
        post_training(float_network, configuration, pixels(2))
    assert str(error.value) == (
        f"{configuration.name} cannot be quantized after training from resnet20-x0.25-float: "
        "use source post-training and the float network of the same model and width."
    )


def test_a_quantized_network_is_no_start() -> None:
    with pytest.raises(ConfigError, match=r"cannot be quantized after training from resnet20-x0\.25-xnor-w1a1-m3"):
        post_training(pack_network(network()), target(), pixels(2))


def test_progress_rises_to_one_and_can_cancel(float_network: Checkpoint) -> None:
    done: list[float] = []

    images = pixels(CALIBRATION_BATCH + 1)
    post_training(float_network, target(), images, done.append)
    assert done == pytest.approx([step / 36 for step in range(1, 37)])  # 18 layers, two batches
    done.clear()

    def stop(share: float) -> None:
        done.append(share)
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        post_training(float_network, target(), images, stop)
    assert done == [1 / 36]


def test_it_comes_out_the_same_on_any_number_of_cores(float_network: Checkpoint) -> None:
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)  # noqa: TID251
            found.append(post_training(float_network, target(weight_bits=2, activation_bits=2), pixels(100)).tensors)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)  # noqa: TID251
    for other in found[1:]:
        assert all(np.array_equal(values, other[name]) for name, values in found[0].items())
