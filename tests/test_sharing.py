"""cfcore.sharing: numpy says what torch says, and the error that sharing adds is that of the quantized weights."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.testing

from cfcore import manifest, quantize, scaling, sharing
from cfcore.__main__ import app
from cfcore.config import Configuration, GroupSize
from cfcore.errors import Cancelled, CheckpointError, ConfigError
from cfcore.export import post_training
from cfcore.models import Network
from cfcore.starts import latent_file, save_latent

NARROW = 0.25
ROOT = Path(__file__).parents[1]


def draw(filters: int = 13, channels: int = 5, seed: int = 0) -> np.ndarray:
    """Filters of very different size."""
    numbers = np.random.default_rng(seed)
    return (numbers.normal(size=(filters, channels, 3, 3)) * numbers.random((filters, 1, 1, 1))).astype(np.float32)


@pytest.mark.parametrize("order", ["index", "sorted"])
@pytest.mark.parametrize("group_size", [1, 2, 5, 16, "layer"])
def test_groups_are_those_of_torch(group_size: GroupSize, order: str) -> None:
    magnitude = sharing.magnitudes(draw())
    expected = scaling.assign_groups(scaling.filter_scales(torch.from_numpy(draw())), group_size, order)
    assert sharing.group_of(magnitude, group_size, order).tolist() == expected.tolist()
    equal = np.ones(33)  # they keep their order
    assert sharing.group_of(equal, 4, order).tolist() == (np.arange(33) // 4).tolist()


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_quantized_weights_are_those_of_torch(bits: int) -> None:
    weight, groups = draw(), torch.arange(13) // 4
    scales = quantize.fit_scales(torch.from_numpy(weight), groups, bits)
    expected = quantize.quantize_weight(torch.from_numpy(weight), groups, scales, bits).numpy()
    np.testing.assert_array_equal(sharing.quantized(weight, scales[groups].numpy(), bits), expected)


@pytest.mark.parametrize("group_size", [1, 2, 5, "layer"])
def test_the_closed_form_is_that_of_torch(group_size: GroupSize) -> None:
    weight = draw()
    groups = sharing.group_of(sharing.magnitudes(weight), group_size)
    fit = sharing.fit_layer(weight, groups, 1, group_size)
    latent, of = torch.from_numpy(weight).double(), torch.from_numpy(groups)
    np.testing.assert_allclose(fit.own, scaling.filter_scales(latent))
    np.testing.assert_allclose(fit.shared, scaling.shared_scales(latent, of))
    np.testing.assert_allclose(fit.added, scaling.sharing_error(latent, of), atol=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("group_size", [1, 3, "layer"])
def test_errors_are_those_of_the_quantized_weights(group_size: GroupSize, bits: int) -> None:
    weight = draw().astype(np.float64)
    groups = sharing.group_of(sharing.magnitudes(weight), group_size)
    fit = sharing.fit_layer(weight, groups, bits, group_size)
    for alphas, errors in (
        (np.array(fit.own), np.array(fit.alone)),
        (np.array(fit.shared)[groups], np.array(fit.alone) + np.array(fit.added)),
    ):
        left = weight - sharing.quantized(weight, alphas, bits)
        np.testing.assert_allclose(errors, (left.reshape(13, -1) ** 2).sum(1), rtol=1e-4)
    assert min(fit.added) >= 0
    assert fit.by_order["index"] == pytest.approx(sum(fit.added))


def test_the_sum_on_the_screen_is_spelled_out() -> None:
    """Two filters of two weights: α = 2 and 4, shared 3, so sharing adds 2·((2 - 3)² + (4 - 3)²)."""
    weight = np.array([[1.0, -3.0], [4.0, 4.0]]).reshape(2, 2, 1, 1)
    fit = sharing.fit_layer(weight, np.array([0, 0]), 1, 2)
    assert fit.own == (2, 4)
    assert fit.shared == (3,)
    assert fit.alone == ((1 - 2) ** 2 + (3 - 2) ** 2, 0)
    assert fit.added == (2 * (2 - 3) ** 2, 2 * (4 - 3) ** 2)
    layer = sharing.SharedLayer("convs.1", 2, (3.0,), ((0, 1),), fit)
    assert layer.increase() == layer.increase(0) == 100 * (2 + 2) / (2 + 0)


def test_learned_factors_are_compared_with_the_weights_that_training_used() -> None:
    """Filters of the same signs and factors, but other sizes within: to training they are the same network."""
    even = np.array([[2.0, -2.0], [4.0, 4.0]]).reshape(2, 2, 1, 1)
    uneven = np.array([[1.0, -3.0], [7.0, 1.0]]).reshape(2, 2, 1, 1)
    groups, found = np.array([0, 0]), []
    for weight in (even, uneven):
        fit = sharing.fit_layer(weight, groups, 1, 2, learned=True)
        layer = sharing.SharedLayer("convs.1", 2, fit.shared, ((0, 1),), fit)
        assert fit.whole == (2 * 2**2, 2 * 4**2)
        assert sharing.increase_by_size(weight, learned=True)[2]["index"] == layer.increase()
        found.append(layer.increase())
    assert found == [100 * 2 * (1 + 1) / (2 * (4 + 16))] * 2


def test_filters_of_zeros_have_a_factor_too() -> None:
    fit = sharing.fit_layer(np.zeros((2, 3, 3, 3)), np.array([0, 0]), 1, 2)
    assert min(fit.own) > 0
    assert fit.added == (0, 0)
    assert sharing.SharedLayer("convs.1", 27, fit.shared, ((0, 1),), fit).increase() == pytest.approx(0)


# ---- of whole networks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped networks, where latent weights can be put beside them."""
    for file in manifest.PRETRAINED.iterdir():
        if file.suffix in (".json", ".safetensors"):
            shutil.copy(file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("order", ["index", "sorted"])
@pytest.mark.parametrize("bits", [1, 3])
def test_post_training_factors_are_those_of_the_network(folder: Path, bits: int, order: str) -> None:
    settings = {"weight_bits": bits, "group_size": 16, "order": order, "source": "post-training"}
    configuration = Configuration.of(method="binary-weight", **settings)
    entry = manifest.find(configuration.float_reference, folder)
    assert entry is not None
    floats = manifest.load(entry, folder)
    network = post_training(floats, configuration, np.zeros((1, 32, 32, 3), np.uint8))
    found = sharing.factors(configuration, folder)
    assert found.latent == entry.file
    for conv in network.architecture.convs[1:]:
        layer = found.layer(conv.name)
        np.testing.assert_allclose(layer.alphas, network.tensors[f"{conv.name}.scales"], rtol=1e-5)
        groups = network.group_of(conv).tolist()
        assert layer.members == tuple(
            tuple(f for f, of in enumerate(groups) if of == g) for g in range(max(groups) + 1)
        )


def test_a_trained_network_shows_its_own_factors_and_its_bases_weights(folder: Path) -> None:
    configuration = Configuration(group_size=16)
    (without,) = {layer.fit for layer in sharing.factors(configuration, folder).layers}
    assert without is None
    base = Network(configuration.with_group_size(1))
    entry = manifest.find(configuration, folder)
    assert entry is not None
    command = " && ".join(entry.command.split(" && ")[:-1])
    save_latent(base, {"plan": "own", "command": command}, latent_file("resnet20-xnor-w1a1-m1-base", folder))
    found = sharing.factors(configuration, folder)
    stored = manifest.load(entry, folder)
    layer = found.layer("convs.18")
    assert found.latent == "resnet20-xnor-w1a1-m1-base.safetensors"
    assert found.learned == ("--scaling learned" in command)
    assert list(layer.alphas) == stored.tensors["convs.18.scales"].tolist()
    assert layer.fit is not None
    expected = scaling.filter_scales(base.convs[18].weight.detach().half().float())
    np.testing.assert_allclose(layer.fit.own, expected, rtol=1e-6)
    of_first = layer.fit.own[:16]
    assert layer.fit.shared[0] == pytest.approx(sum(of_first) / 16)
    assert layer.added(0) == pytest.approx(576 * sum((a - layer.fit.shared[0]) ** 2 for a in of_first))


def test_what_is_not_there_is_one_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match="A float network has no scaling factors"):
        sharing.factors(Configuration.of(method="float"), folder)
    with pytest.raises(CheckpointError, match=r"No trained network of resnet20-xnor-w3a1-m16 is shipped\."):
        sharing.factors(Configuration(weight_bits=3), folder)
    with pytest.raises(CheckpointError, match="No trained resnet56-float is shipped to quantize"):
        sharing.factors(Configuration(model="resnet56", source="post-training"), folder)


def test_it_stops_when_told(folder: Path) -> None:
    seen: list[float] = []

    def stop(done: float) -> None:
        seen.append(done)
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        sharing.factors(Configuration(source="post-training"), folder, stop)
    assert seen == [0.0]


def test_one_bit_needs_no_torch() -> None:
    code = (
        "import sys\nfrom cfcore.config import Configuration\nfrom cfcore.sharing import factors\n"
        "factors(Configuration(source='post-training'))\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_prints_the_same_numbers() -> None:
    configuration = Configuration(source="post-training", group_size=4, order="sorted")
    words = ["scales", "--source", "post-training", "--group-size", "4", "--order", "sorted"]
    result = typer.testing.CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(result.stdout) == json.loads(json.dumps(sharing.factors(configuration).to_dict()))
    table = typer.testing.CliRunner().invoke(app, words).stdout
    layer = sharing.factors(configuration).layer("convs.18")
    line = next(line for line in table.splitlines() if line.startswith("convs.18"))
    assert line.split()[1:4] == ["16", f"{min(layer.alphas):.5f}", f"{max(layer.alphas):.5f}"]
    assert f"{layer.increase_by_order('sorted'):+.2f} %" in line
