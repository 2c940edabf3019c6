"""cfcore.latent: latent weights are read without torch, and a damaged or foreign file is refused in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from cfcore import manifest
from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.latent import FORMAT, find_latent, latent_file, read_latent
from cfcore.models import Network
from cfcore.starts import load_latent, save_latent

BASE = Configuration(group_size=1, width=0.25)
SHARED = Configuration(group_size="layer", width=0.25)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = latent_file("resnet20-x0.25-xnor-w1a1-m1-base", tmp_path)
    save_latent(Network(BASE), {"plan": "own"}, place)
    return place


def rewritten(file: Path, change: dict[str, np.ndarray] | None = None, **metadata: str) -> Path:
    described = {"format": FORMAT, "configuration": json.dumps(BASE.to_dict()), "made": "{}", **metadata}
    save_file({**load_file(file), **(change or {})}, file, described)
    return file


def test_both_readers_read_the_same(file: Path) -> None:
    latent, start = read_latent(file), load_latent(file)
    assert latent.configuration == start.configuration == BASE
    assert latent.made == start.made == {"plan": "own"}
    assert latent.tensors["convs.5.weight"].dtype == np.float16
    for name, values in start.learned.items():
        assert torch.equal(torch.from_numpy(latent.tensors[name]).to(values.dtype), values)


def test_every_sibling_finds_its_base(file: Path, tmp_path: Path) -> None:
    found = find_latent(SHARED, tmp_path)
    assert found is not None
    assert found.file == file
    assert find_latent(Configuration(group_size="layer", width=0.5), tmp_path) is None


def test_latent_weights_of_another_base_are_not_a_networks_own(file: Path, tmp_path: Path) -> None:
    """A base that was trained again lies beside networks of the one before."""
    rewritten(file, made=json.dumps({"plan": "short", "command": "cfcore train --epochs 9"}))
    ends = ("cfcore train --epochs 9 && cfcore train", True), ("cfcore train --epochs 90 && cfcore train", False)
    for command, known in ends:
        manifest.record(
            manifest.Entry(SHARED, 80.0, {"0": 80.0}, "short", 1, None, None, 1, "a.safetensors", "", command), tmp_path
        )
        assert (find_latent(SHARED, tmp_path) is not None) == known


def test_damage_is_one_sentence(file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"convs\.5\.weight is of another type or shape"):
        read_latent(rewritten(file, {"convs.5.weight": np.zeros((1, 2), np.float16)}))
    shape = Network(BASE).convs[5].weight.shape
    with pytest.raises(CheckpointError, match=r"convs\.5\.weight is of another type or shape"):
        read_latent(rewritten(file, {"convs.5.weight": np.zeros(shape, np.float32)}))
    with pytest.raises(CheckpointError, match=r"convs\.5\.weight holds a number that is not finite"):
        read_latent(rewritten(file, {"convs.5.weight": np.full(shape, np.nan, np.float16)}))
    for damaged in ({"configuration": "{"}, {"made": "[]"}, {"made": '{"plan": 1}'}, {"made": "[" * 100_000}):
        with pytest.raises(CheckpointError, match="is damaged"):
            read_latent(rewritten(file, **damaged))
    with pytest.raises(CheckpointError, match="holds no latent weights"):
        read_latent(rewritten(file, format="other"))
    file.write_bytes(b"no such thing")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_latent(file)


def test_a_tensor_too_many_is_refused_unread(file: Path) -> None:
    with pytest.raises(CheckpointError, match="large is missing or one too many"):
        read_latent(rewritten(file, {"large": np.zeros(2**20)}))


def test_the_layout_is_that_of_the_network(tmp_path: Path) -> None:
    for network in (BASE, Configuration(weight_bits=2, activation_bits=2, width=0.25, model="vgg_small")):
        save_latent(Network(network), {}, tmp_path / "a.safetensors")
        assert read_latent(tmp_path / "a.safetensors").configuration == network


def test_a_file_of_another_network_is_refused(file: Path, tmp_path: Path) -> None:
    file.rename(latent_file("resnet20-x0.25-xnor-w1a2-m1-base", tmp_path))
    with pytest.raises(CheckpointError, match=r"holds resnet20-x0\.25-xnor-w1a1-m1, not what its name says"):
        find_latent(Configuration(group_size=4, activation_bits=2, width=0.25), tmp_path)
