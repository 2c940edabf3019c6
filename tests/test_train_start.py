"""cfcore.starts: what a training can begin with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training import SPOILT, network, run, same, spoil, state

from cfcore import runfiles
from cfcore import train as training
from cfcore.errors import CheckpointError
from cfcore.models import Network
from cfcore.starts import find_start

pytestmark = pytest.mark.usefixtures("nothing_compiled")


# ---- starting from another run ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def float_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    folder = tmp_path_factory.mktemp("float")
    net = network(method="float")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_compiled", lambda network: network)
        run(net, folder, epochs=1)
    return folder, net


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "float"},
        {"method": "binary-weight", "order": "sorted"},
        {"source": "post-training", "activation_bits": 4, "weight_bits": 2},
        {"method": "xnor"},  # whose PReLUs the float network does not have
    ],
    ids=str,
)
def test_a_quantized_network_starts_from_the_float_one(
    settings: dict[str, Any], float_run: tuple[Path, Network]
) -> None:
    folder, start = float_run
    net = network(seed=77, **settings)
    find_start(folder.name, folder.parent).copy_to(net)
    learned = start.state_dict()
    for name, values in net.state_dict().items():
        if name in learned:
            assert torch.equal(values, learned[name]), name
    fitted = state(net)
    net.regroup()
    same(state(net), fitted)  # factors and groups fit the weights that were loaded


def test_one_group_size_starts_from_another(tmp_path: Path) -> None:
    start = network(group_size=1, order="sorted", activation_bits=2)
    run(start, tmp_path, epochs=1)
    net = network(seed=77, group_size=5, activation_bits=2)
    find_start(tmp_path.name, tmp_path.parent).copy_to(net)
    for (name, values), (_, learned) in zip(net.named_parameters(), start.named_parameters(), strict=True):
        assert torch.equal(values, learned), name  # the learned steps among them
    for conv in net.quantized_convs():
        assert conv.scales.shape == (-(-conv.out_channels // 5),)


@pytest.mark.parametrize("settings", [{"model": "resnet32"}, {"model": "vgg_small"}, {"width": 0.5}], ids=str)
def test_another_network_is_no_start(settings: dict[str, Any], float_run: tuple[Path, Network]) -> None:
    net = network(**settings)
    before = state(net)
    with pytest.raises(CheckpointError, match=r"last\.pt is of another network: its .* of another shape\. Start"):
        find_start(float_run[0].name, float_run[0].parent).copy_to(net)
    same(state(net), before)


def test_an_unfinished_run_is_no_start(tmp_path: Path) -> None:
    run(network(), tmp_path / "half", epochs=1)
    file = tmp_path / "half" / "last.pt"
    state = runfiles.read_state(file)
    torch.save({**state, "recipe": {**state["recipe"], "epochs": 2}}, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)  # what was read lies in the old one
    with pytest.raises(CheckpointError, match="has done 1 of 2 epochs"):
        find_start("half", tmp_path)


def test_a_run_that_is_not_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^There is no trained network at .*last\.pt\. Train it first"):
        find_start(tmp_path.name, tmp_path.parent).copy_to(network())


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_run_is_no_start(how: str, tmp_path: Path) -> None:
    spoil(tmp_path / "last.pt", how)
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read \(\w+\)\. Remove it to start anew\."):
        find_start(tmp_path.name, tmp_path.parent).copy_to(network())
    assert not (tmp_path / "ran").exists()
