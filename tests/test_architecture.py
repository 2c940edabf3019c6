"""cfcore.architecture: shapes and counts, with the arithmetic spelled out."""

import dataclasses

import pytest

from cfcore.architecture import Architecture, Conv, architecture
from cfcore.config import MODELS, Configuration
from cfcore.errors import ConfigError


def network(model: str = "resnet20", **settings: object) -> Architecture:
    return architecture(Configuration.of(model=model, **settings))


@pytest.mark.parametrize(
    ("conv", "weights_per_filter", "output_size", "macs"),
    [
        (Conv("a", channels=3, filters=16, size=32), 3 * 3 * 3, 32, 16 * (3 * 3 * 3) * 32 * 32),
        (Conv("a", channels=33, filters=5, size=9, stride=2), 33 * 3 * 3, 5, 5 * (33 * 9) * 5 * 5),
        (Conv("a", channels=65, filters=2, size=7, kernel=1, padding=0), 65, 7, 2 * 65 * 7 * 7),
        (Conv("a", channels=96, filters=256, size=27, kernel=5, padding=2), 96 * 5 * 5, 27, 256 * 96 * 25 * 27 * 27),
        (Conv("a", channels=31, filters=4, size=8, padding=0), 31 * 9, 6, 4 * 31 * 9 * 6 * 6),
        (Conv("a", channels=1, filters=1, size=8, stride=3), 9, 3, 9 * 3 * 3),
    ],
)
def test_one_convolution(conv: Conv, weights_per_filter: int, output_size: int, macs: int) -> None:
    assert (conv.weights_per_filter, conv.output_size, conv.macs) == (weights_per_filter, output_size, macs)


@pytest.mark.parametrize(
    ("model", "per_stage"), [("resnet20", 6), ("resnet32", 10), ("resnet44", 14), ("resnet56", 18)]
)
def test_resnet_has_6n_plus_1_convolutions(model: str, per_stage: int) -> None:
    convs = network(model).convs
    assert [c.filters for c in convs] == [16] + per_stage * [16] + per_stage * [32] + per_stage * [64]
    assert [c.size for c in convs] == [32] + per_stage * [32] + [32] + (per_stage - 1) * [16] + [16] + (
        per_stage - 1
    ) * [8]
    assert [c.name for c in convs if c.stride == 2] == [f"convs.{1 + per_stage}", f"convs.{1 + 2 * per_stage}"]
    assert network(model).features == 64
    assert network(model).family == "resnet"


def test_resnet20_macs() -> None:
    first = 16 * (3 * 9) * 32 * 32
    stage1 = 6 * 16 * (16 * 9) * 32 * 32
    stage2 = 32 * (16 * 9) * 16 * 16 + 5 * 32 * (32 * 9) * 16 * 16
    stage3 = 64 * (32 * 9) * 8 * 8 + 5 * 64 * (64 * 9) * 8 * 8
    assert sum(c.macs for c in network().convs) == first + stage1 + stage2 + stage3


def test_resnet20_weights() -> None:
    first = 3 * 9 * 16
    stage1 = 6 * (16 * 9 * 16)
    stage2 = 16 * 9 * 32 + 5 * (32 * 9 * 32)
    stage3 = 32 * 9 * 64 + 5 * (64 * 9 * 64)
    assert sum(c.filters * c.weights_per_filter for c in network().convs) == first + stage1 + stage2 + stage3


def test_vgg_small() -> None:
    vgg = network("vgg_small")
    assert [(c.channels, c.filters, c.size, c.pool) for c in vgg.convs] == [
        (3, 128, 32, False),
        (128, 128, 32, True),
        (128, 256, 16, False),
        (256, 256, 16, True),
        (256, 512, 8, False),
        (512, 512, 8, True),
    ]
    assert vgg.features == 512 * 4 * 4
    assert vgg.norms == (128, 128, 256, 256, 512, 512)
    assert (vgg.family, vgg.block) == ("vgg", "basic")
    assert [c.macs for c in vgg.convs[:2]] == [128 * (3 * 9) * 32 * 32, 128 * (128 * 9) * 32 * 32]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["float", "binary-weight", "xnor"])
def test_layers_follow_each_other(model: str, method: str) -> None:
    """Each convolution takes what the one before hands on; only the first stays float; a norm for each."""
    net = network(model, method=method)
    for before, after in zip(net.convs, net.convs[1:], strict=False):
        assert after.channels == before.filters
        assert after.size == (before.output_size // 2 if before.pool else before.output_size)
    assert [c.quantized for c in net.convs] == [False] + [True] * (len(net.convs) - 1)
    assert [c.name for c in net.convs] == [f"convs.{i}" for i in range(len(net.convs))]
    assert len(net.norms) == len(net.convs)
    assert (net.model, net.classes) == (model, 10)


@pytest.mark.parametrize(
    ("settings", "block"),
    [
        ({"method": "xnor", "source": "trained"}, "binary"),
        ({"method": "xnor", "source": "post-training"}, "basic"),
        ({"method": "binary-weight"}, "basic"),
        ({"method": "float"}, "basic"),
    ],
)
def test_only_trained_xnor_takes_the_binary_block(settings: dict[str, object], block: str) -> None:
    assert network(**settings).block == block


def test_norms_of_the_two_blocks() -> None:
    """basic: after each convolution; binary: before each but the first, and one at the end."""
    assert network(method="float").norms == (16, *6 * (16,), *6 * (32,), *6 * (64,))
    assert network(method="xnor").norms == (*7 * (16,), *6 * (32,), *5 * (64,), 64)


@pytest.mark.parametrize(("width", "filters"), [(0.25, (4, 8, 16)), (0.5, (8, 16, 32)), (2, (32, 64, 128))])
def test_width_scales_every_stage(width: float, filters: tuple[int, ...]) -> None:
    net = network(width=width, group_size=1)
    assert tuple(dict.fromkeys(c.filters for c in net.convs)) == filters
    assert net.convs[0].channels == 3
    assert net.features == filters[-1]


def test_width_must_leave_whole_channels() -> None:
    with pytest.raises(
        ConfigError, match=r"^width = 0\.3 is not allowed: use a multiple that leaves whole channels\. Choose 0"
    ):
        network(width=0.3)


@pytest.mark.parametrize(
    ("model", "width", "widest"),
    [("resnet20", 1, 64), ("resnet56", 1, 64), ("vgg_small", 1, 512), ("resnet20", 0.25, 16), ("vgg_small", 0.5, 256)],
)
def test_group_size_reaches_the_widest_layer_and_no_further(model: str, width: float, widest: int) -> None:
    for fits in (1, widest, "layer"):
        network(model, width=width, group_size=fits)
    with pytest.raises(ConfigError) as refused:
        network(model, width=width, group_size=widest + 1)
    assert str(refused.value) == (
        f"group_size = {widest + 1} is not allowed: use a whole number from 1 to {widest}, "
        'the filters of the widest layer, or "layer". Choose 16, or "layer".'
    )


def test_networks_cannot_be_changed() -> None:
    net = network()
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.features = 1  # type: ignore[misc]
    assert net == network()
    assert hash(net) == hash(network())
