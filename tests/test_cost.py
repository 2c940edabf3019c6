"""cfcore.cost: the ledger is the saved file to the byte, and every number is arithmetic that can be read."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from cfcore.architecture import Conv, architecture
from cfcore.checkpoint import header_size, save
from cfcore.config import MODELS, Configuration
from cfcore.cost import Bytes, Operations, layer_cost, network_cost
from cfcore.export import pack_network
from cfcore.models import Network


def cost_of(**settings: Any) -> Bytes:
    return network_cost(Configuration.of(**settings)).bytes


# ---- the file --------------------------------------------------------------------------------------------------


def quantized(models: list[tuple[str, float]]) -> list[dict[str, Any]]:
    """Every width with every order and kind of group, bits and method in turn."""
    out = []
    turns = itertools.cycle(
        [
            {"method": "binary-weight", "weight_bits": 1},
            {"weight_bits": 1, "activation_bits": 1},
            {"weight_bits": 2, "activation_bits": 2, "source": "post-training"},
            {"method": "binary-weight", "weight_bits": 5},
            {"weight_bits": 8, "activation_bits": 8},
        ]
    )
    for (model, width), order, m in itertools.product(models, ("index", "sorted"), (1, 3, 16, "layer")):
        narrow = model != "vgg_small" and width * 64 < 16
        out.append({"model": model, "width": width, "order": order, "group_size": 4 if narrow and m == 16 else m})
        out[-1] |= next(turns)
    return out


SIZES = [("resnet20", 0.0625), ("resnet20", 0.3125), ("resnet20", 1), ("resnet32", 0.25), ("resnet56", 0.125)]
SIZES += [("vgg_small", 0.0625), ("vgg_small", 0.25), ("vgg_small", 0.3125)]


@pytest.mark.parametrize(
    "settings",
    [{"model": m, "width": w, "method": "float"} for m, w in SIZES] + quantized(SIZES),
    ids=lambda s: "-".join(map(str, s.values())),
)
def test_the_ledger_is_the_saved_file_to_the_byte(settings: dict[str, Any], tmp_path: Path) -> None:
    stored = pack_network(Network(Configuration.of(**settings)).eval())
    size = save(stored, tmp_path / "a")
    ledger = cost_of(**settings)
    assert size - header_size((tmp_path / "a").read_bytes()) == ledger.total
    by_part = dict.fromkeys(dataclasses.asdict(ledger), 0)
    for name, values in stored.tensors.items():
        kind = name.split(".")[-1]
        part = {"planes": "weights", "scales": "scales", "step": "scales", "group_of": "order"}.get(
            kind, "float_layers"
        )
        by_part["batch_norm" if name.startswith(("norms.", "slopes")) else part] += values.nbytes
    assert by_part["weights"] == ledger.weights + ledger.padding
    for part in ("scales", "order", "float_layers", "batch_norm"):
        assert by_part[part] == getattr(ledger, part), part


# ---- one ResNet-20 and one VGG, spelled out --------------------------------------------------------------------

RESNET20_QUANTIZED = 6 * 16 * (16 * 9) + 32 * (16 * 9) + 5 * 32 * (32 * 9) + 64 * (32 * 9) + 5 * 64 * (64 * 9)
RESNET20_CHANNELS = 7 * 16 + 6 * 32 + 6 * 64
RESNET20_FLOAT_LAYERS = 4 * (16 * 3 * 9) + 4 * (64 * 10 + 10)


def test_resnet20_at_one_bit() -> None:
    ledger = cost_of(model="resnet20", weight_bits=1, activation_bits=1, group_size=16)
    assert ledger.weights == RESNET20_QUANTIZED // 8
    assert ledger.scales == 4 * (6 * 16 // 16 + 6 * 32 // 16 + 6 * 64 // 16)
    assert ledger.order == 0
    assert ledger.padding == 0  # 144, 288 and 576 are whole bytes
    assert ledger.float_layers == RESNET20_FLOAT_LAYERS
    assert ledger.batch_norm == 2 * 4 * RESNET20_CHANNELS + 4 * 18  # a PReLU behind every shortcut
    assert ledger.total == (
        RESNET20_QUANTIZED // 8 + 4 * (6 * 1 + 6 * 2 + 6 * 4) + RESNET20_FLOAT_LAYERS + 8 * RESNET20_CHANNELS + 4 * 18
    )


def test_resnet20_in_float() -> None:
    cost = network_cost(Configuration.of(model="resnet20", method="float"))
    expected = 4 * RESNET20_QUANTIZED + RESNET20_FLOAT_LAYERS + 4 * 4 * RESNET20_CHANNELS
    assert cost.bytes == Bytes(float_layers=4 * RESNET20_QUANTIZED + RESNET20_FLOAT_LAYERS, batch_norm=16 * 688)
    assert cost.bytes.total == cost.float_bytes == expected
    assert cost.ratio == 1
    assert cost.operations.binary_macs == 0
    assert cost.operations.ideal_speedup == 0


def test_resnet20_sorted_with_steps() -> None:
    ledger = cost_of(model="resnet20", weight_bits=3, activation_bits=2, group_size=24, order="sorted")
    assert ledger.weights == 3 * RESNET20_QUANTIZED // 8
    groups = 6 * 1 + 6 * 2 + 6 * 3  # ⌈16/24⌉, ⌈32/24⌉, ⌈64/24⌉
    assert ledger.scales == 4 * groups + 4 * 18
    assert ledger.order == 2 * (6 * 32 + 6 * 64)  # a layer of 16 filters is one group: nothing to say


def test_vgg_small_at_two_bits() -> None:
    ledger = cost_of(model="vgg_small", weight_bits=2, activation_bits=2, group_size="layer")
    weights = 9 * (128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
    assert ledger.weights == 2 * weights // 8
    assert ledger.scales == 5 * 4 + 5 * 4
    assert ledger.float_layers == 4 * (128 * 3 * 9) + 4 * (512 * 4 * 4 * 10 + 10)
    assert ledger.batch_norm == 8 * (128 + 128 + 256 + 256 + 512 + 512)
    assert (ledger.order, ledger.padding) == (0, 0)


def test_narrow_filters_are_padded_to_whole_bytes() -> None:
    layer = layer_cost(Conv("a", channels=1, filters=5, size=8), Configuration(weight_bits=3, group_size=2))
    assert layer.bytes == Bytes(weights=3 * 5 * 9 // 8, scales=4 * 3, padding=3 * 5 * 2 - 3 * 5 * 9 // 8)
    assert layer.groups == 3
    assert layer.bits_per_weight == 8 * (3 * 5 * 2 + 4 * 3) / (5 * 9)
    assert layer.ratio == 4 * 5 * 9 / (3 * 5 * 2 + 4 * 3)


def test_the_layers_add_up() -> None:
    for settings in quantized(SIZES):
        cost = network_cost(Configuration.of(**settings))
        convs = architecture(cost.configuration).convs
        total = sum((layer.bytes for layer in cost.layers), Bytes())
        assert total.weights == cost.bytes.weights
        assert total.scales == cost.bytes.scales
        assert [layer.name for layer in cost.layers] == [conv.name for conv in convs]
        assert [layer.macs for layer in cost.layers] == [conv.macs for conv in convs]
        assert cost.float_bytes == cost_of(method="float", model=settings["model"], width=settings["width"]).total
        assert cost.ratio == cost.float_bytes / cost.bytes.total


def test_more_sharing_never_takes_more() -> None:
    for model, bits in itertools.product(MODELS, (1, 2, 8)):
        totals = [cost_of(model=model, weight_bits=bits, group_size=m).total for m in (1, 2, 4, 16, 64, "layer")]
        assert totals == sorted(totals, reverse=True)


def test_the_record_is_json_and_adds_up() -> None:
    out = json.loads(json.dumps(network_cost(Configuration()).to_dict()))
    parts = {name: size for name, size in out["bytes"].items() if name != "total"}
    assert set(parts) == {"weights", "scales", "order", "float_layers", "batch_norm", "padding"}
    assert out["bytes"]["total"] == sum(parts.values())
    assert out["group_size"] == 16
    assert len(out["layers"]) == 19
    assert sum(layer["bytes"]["total"] for layer in out["layers"]) < out["bytes"]["total"]


# ---- operations ------------------------------------------------------------------------------------------------


def test_resnet20_operations() -> None:
    binary = 6 * 16 * 144 * 32 * 32 + (32 * 144 + 5 * 32 * 288) * 16 * 16 + (64 * 288 + 5 * 64 * 576) * 8 * 8
    operations = network_cost(Configuration()).operations
    assert operations.binary_macs == binary
    assert operations.float_macs == 16 * 27 * 32 * 32 + 64 * 10
    modelled = sum(
        filters * n * size**2 / (64 * n / (n + 64))
        for filters, n, size in [(16, 144, 32)] * 6
        + [(32, 144, 16)]
        + [(32, 288, 16)] * 5
        + [(64, 288, 8)]
        + [(64, 576, 8)] * 5
    )
    assert operations.ideal_speedup == pytest.approx(binary / modelled)


def test_float_activations_count_nothing_bitwise() -> None:
    operations = network_cost(Configuration.of(method="binary-weight")).operations
    convs = architecture(Configuration.of(method="binary-weight")).convs
    assert operations.binary_macs == 0
    assert operations.float_macs == sum(conv.macs for conv in convs) + 64 * 10
    assert operations.ideal_speedup == 0


def test_with_the_k_map_no_engine_counts_bits() -> None:
    operations = network_cost(Configuration(input_scale=True)).operations
    assert (operations.binary_macs, operations.ideal_speedup) == (0, 0)


def test_more_planes_cost_more() -> None:
    speedups = [
        network_cost(Configuration(weight_bits=k, activation_bits=k)).operations.ideal_speedup for k in (1, 2, 4, 8)
    ]
    assert speedups == sorted(speedups, reverse=True)
    assert speedups[3] < 1 < speedups[0] < 64


@pytest.mark.parametrize("settings", [{}, {"weight_bits": 3, "activation_bits": 2, "order": "sorted"}], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_the_steps_lead_from_the_ideal_to_the_networks_ratio(model: str, settings: dict[str, Any]) -> None:
    cost = network_cost(Configuration(model=model, **settings))
    assert cost.steps[0].part == "weights"
    assert cost.steps[0].ratio == pytest.approx(32 / cost.configuration.weight_bits)
    assert cost.steps[-1].ratio == cost.ratio
    assert sum(step.bytes for step in cost.steps) == cost.bytes.total
    assert sum(step.float_bytes for step in cost.steps) == cost.float_bytes


def test_a_float_networks_steps_shrink_nothing() -> None:
    cost = network_cost(Configuration.of(method="float"))
    assert {step.ratio for step in cost.steps} == {1.0}
    assert sum(step.bytes for step in cost.steps) == cost.bytes.total


def test_float_layers_hold_the_network_back() -> None:
    operations = network_cost(Configuration()).operations
    total = operations.float_macs + operations.binary_macs
    left = operations.float_macs + operations.binary_macs / operations.ideal_speedup
    assert operations.network_speedup == pytest.approx(total / left)
    assert operations.to_dict()["network_speedup"] == operations.network_speedup
    assert Operations(float_macs=7, binary_macs=0, ideal_speedup=0.0).network_speedup == 1
