"""cfcore.starts: what ships as a start is what was learned, and damage is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cfcore import checkpoint, manifest
from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.export import pack_network
from cfcore.models import Network
from cfcore.starts import FORMAT, find_start, latent_file, load_latent, save_latent

BASE = Configuration(width=0.25, weight_bits=2, activation_bits=2, group_size=1)
MADE = {"plan": "short", "command": "cfcore train"}


@pytest.fixture
def network() -> Network:
    made = Network(BASE)
    for conv in made.quantized_convs():
        conv.step.data.fill_(0.3)
    for norm in made.norms:
        norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    return made


def test_latent_weights_come_back(network: Network, tmp_path: Path) -> None:
    file = latent_file("base", tmp_path)
    save_latent(network, MADE, file)
    start = find_start("base", tmp_path / "runs", tmp_path)
    assert (start.configuration, start.made, start.file) == (BASE, MADE, file)
    other = Network(BASE.with_group_size(3))
    start.copy_to(other)
    for (name, mine), (_, theirs) in zip(other.named_parameters(), network.named_parameters(), strict=True):
        rounded = theirs.half().float() if "convs" in name and name.endswith("weight") else theirs
        assert torch.equal(mine, rounded), name
    assert torch.equal(other.norms[1].running_mean, network.norms[1].running_mean)
    assert sorted(p.name for p in file.parent.iterdir()) == [file.name]


def test_a_full_disk_is_an_oserror_that_names_the_file(network: Network, tmp_path: Path) -> None:
    """Which is told in a sentence, and leaves nothing; and what is written, others may read."""
    resource = pytest.importorskip("resource")
    file = latent_file("base", tmp_path)
    file.parent.mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="base") as caught:
            save_latent(network, MADE, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.strerror
    assert not list(file.parent.iterdir())
    save_latent(network, MADE, file)
    (tmp_path / "plain").touch()
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode


def ship(network: Network, folder: Path) -> Path:
    file = folder / f"{network.configuration.name}.safetensors"
    size = checkpoint.save(pack_network(network), file)
    made = {"plan": "own", "epochs": 1, "seconds": 1.0, "machine": "one", "command": "cfcore train"}
    counted = {"accuracy": 10.0, "seeds": {"0": 10.0}, "bytes": size, "sha256": manifest.sha256(file)}
    manifest.record(manifest.Entry(network.configuration, file=file.name, **made, **counted), folder)
    return file


def test_a_shipped_float_network_is_a_start(tmp_path: Path) -> None:
    floats = Network(BASE.float_reference)
    file = ship(floats, tmp_path)
    other = Network(BASE)
    find_start(BASE.float_reference.name, tmp_path, tmp_path).copy_to(other)
    for mine, theirs in zip(other.convs, floats.convs, strict=True):
        assert torch.equal(mine.weight, theirs.weight)  # type: ignore[arg-type]
    checkpoint.save(pack_network(Network(BASE.float_reference)), file, overwrite=True)
    with pytest.raises(CheckpointError, match="its sha256 differs"):
        find_start(BASE.float_reference.name, tmp_path, tmp_path)


def test_a_packed_network_is_no_start(network: Network, tmp_path: Path) -> None:
    """Its weights are signs and factors: what was learned is no longer there."""
    ship(network, tmp_path)
    with pytest.raises(CheckpointError, match="keeps no latent weights"):
        find_start(BASE.name, tmp_path / "runs", tmp_path)


def _spoil(file: Path, tensor: str, values: torch.Tensor | None, form: str = FORMAT) -> None:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = {**opened.metadata(), "format": form}
    tensors = load_file(file)
    tensors.pop(tensor, None)
    if values is not None:
        tensors[tensor] = values
    save_file(tensors, file, metadata)


@pytest.mark.parametrize(
    ("tensor", "values", "form", "said"),
    [
        ("convs.1.weight", None, FORMAT, "convs.1.weight is missing or one too many"),
        ("convs.1.weight", torch.zeros(1, 2), FORMAT, "convs.1.weight is of another type or shape"),
        ("head.bias", torch.full((10,), torch.nan), FORMAT, "head.bias holds a number that is not finite"),
        ("unused", None, "other", "holds no latent weights"),
    ],
)
def test_damage_is_refused(
    network: Network, tmp_path: Path, tensor: str, values: torch.Tensor | None, form: str, said: str
) -> None:
    file = tmp_path / "base.safetensors"
    save_latent(network, MADE, file)
    _spoil(file, tensor, values, form)
    with pytest.raises(CheckpointError, match=said):
        load_latent(file)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "base.safetensors"
    file.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_latent(file)
