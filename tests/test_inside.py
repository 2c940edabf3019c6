"""What a layer meets and gives, against the layer itself; and the command that prints it."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cfcore.__main__ import app
from cfcore.config import Configuration
from cfcore.errors import CfcoreError, ConfigError
from cfcore.evaluate import obtain
from cfcore.export import pack_network
from cfcore.images import load_test_set
from cfcore.inside import bitwise_conv, look_at, look_inside
from cfcore.models import Network

NARROW = 0.25


def pixels(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("bits", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("model", ["resnet20", "vgg_small"])
@pytest.mark.parametrize("layer", ["convs.1", "convs.4"])
def test_what_it_gives_is_the_convolution_of_what_it_meets(bits: tuple[int, int], model: str, layer: str) -> None:
    configuration = Configuration(model=model, activation_bits=bits[0], weight_bits=bits[1], width=NARROW, group_size=2)
    checkpoint = pack_network(Network(configuration))
    conv = bitwise_conv(checkpoint, layer)
    found = look_inside(checkpoint, layer, pixels())
    assert found.levels.shape == (2, conv.channels, conv.size, conv.size)
    allowed = {-1, 1} if bits[0] == 1 else set(range(2 ** bits[0]))
    assert set(np.unique(found.levels)) <= allowed
    step = checkpoint.tensors[f"{layer}.step"][0] if bits[0] > 1 else 1.0
    scale = checkpoint.filter_scales(conv)[:, None, None] * step
    weights = torch.from_numpy(checkpoint.levels(conv).copy()).double()
    sums = torch.nn.functional.conv2d(
        torch.from_numpy(found.levels).double(), weights, stride=conv.stride, padding=conv.padding
    )
    np.testing.assert_allclose(found.outputs, sums.numpy() * scale, rtol=1e-4, atol=1e-4)
    one = look_at(checkpoint, layer, pixels()[1], row=2, column=0, filter=3)
    assert one.sum == sums[1, 3, 2, 0]
    assert one.scaled == pytest.approx(one.torch, rel=1e-4, abs=1e-4)


def test_only_quantized_layers_of_xnor_networks_have_bits() -> None:
    xnor, floats, scaled = (
        pack_network(Network(Configuration.of(method=method, width=NARROW, group_size=1, input_scale=scaled)))
        for method, scaled in (("xnor", False), ("binary-weight", False), ("xnor", True))
    )
    with pytest.raises(ConfigError, match=r"layer = 'convs.0' is not allowed: use convs.1 to convs.18"):
        look_inside(xnor, "convs.0", pixels())
    for other in (floats, scaled):
        with pytest.raises(ConfigError, match=r"no bits can be counted: that needs method xnor without the K map"):
            look_inside(other, "convs.1", pixels())
    with pytest.raises(ConfigError, match="filter = 4 is not allowed: use a whole number from 0 to 3"):
        look_at(xnor, "convs.1", pixels()[0], row=0, column=0, filter=4)


def run(*words: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["window", "--json", *words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_prints_what_look_at_finds() -> None:
    document = run("--layer", "convs.18", "--image", "3", "--row", "0", "--column", "7", "--filter", "5")
    found = look_at(obtain(Configuration()), "convs.18", load_test_set().pixels[3], row=0, column=7, filter=5)
    part = found.window.of_channels(0, 8)
    assert document["all_channels"]["sum"] == found.sum  # type: ignore[index]
    assert document["all_channels"]["torch"] == found.torch  # type: ignore[index]
    assert document["sum"] == document["float_sum"] == int((part.activations * part.weights).sum())
    (plane,) = document["planes"]  # type: ignore[misc]
    assert [step["inside"] for step in plane["steps"]] == part.inside.tolist()
    said = CliRunner().invoke(app, ["window", "--layer", "convs.18", "--image", "3", "--channels", "2"]).stdout
    assert "2 channels: " in said
    assert "torch's float convolution" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "convs.1", "--image", "10000"], "image = 10000 is not allowed: use a whole number from 0 to 9999"),
        (["--layer", "convs.1", "--first-channel", "16"], "first_channel = 16 is not allowed"),
        (["--layer", "convs.1", "--channels", "0"], "channels = 0 is not allowed"),
        (["--layer", "convs.1", "--row", "32"], "row = 32 is not allowed: use a whole number from 0 to 31"),
        (
            ["--layer", "convs.18", "--flip", "weight.0.9.0"],
            "flip = 'weight.0.9.0' is not allowed: use planes from 0 to 0",
        ),
        (["--layer", "convs.18", "--flip", "weight.0.0.64"], "taps to 8, channels to 63. Choose a bit of the window."),
        (["--layer", "convs.18", "--flip", "w.0.0.1"], "flip = 'w.0.0.1' is not allowed: use activation or weight"),
        (["--layer", "fc"], "layer = 'fc' is not allowed"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["window", *words])
    assert isinstance(result.exception, CfcoreError)
    assert said in str(result.exception)
