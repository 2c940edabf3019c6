"""What training can start from: a run of one's own, or weights that ship.

The shipped ones are float networks, whose checkpoint holds all there is to learn, and the latent weights of the m = 1
networks: pretrained/latent/NAME.safetensors, with the learned tensors of `Network.state_dict`, convolutions in float16.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_bytes
from torch import Tensor

from cfcore import manifest, runfiles
from cfcore.architecture import architecture
from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.export import unpack_network
from cfcore.files import whole
from cfcore.latent import FORMAT, base_name, latent_file, read_latent
from cfcore.manifest import PRETRAINED
from cfcore.models import Network

FITTED = ("group_of", "scales")  # of the latent weights: never copied, always fitted anew


@dataclass(frozen=True, eq=False)
class Start:
    """A network that has learned something.

    file     where it was found
    learned  its tensors, by their names in `Network.state_dict`
    made     how: `runfiles.DESCRIBED` and more
    """

    file: Path
    configuration: Configuration
    learned: dict[str, Tensor]
    made: dict[str, Any]

    def copy_to(self, network: Network) -> None:
        """Copy what it has learned into a network that may differ in how it is quantized; fit that one's scales anew.

        The start of every fine-tune: float to quantized, m = 1 to any other m. Raises CheckpointError, also where the
        network has no place for the slopes that were learned.
        """
        if architecture(self.configuration).slopes and not network.architecture.slopes:
            name = self.configuration.name
            raise CheckpointError(
                f"{self.file} has the blocks of {name}, and this network has others. Start from the float network."
            )
        learned = self.learned
        if self.configuration.activation_bits != network.configuration.activation_bits:
            learned = {k: v for k, v in learned.items() if not k.endswith("step")}  # a step is of its number of bits
        own = network.state_dict()
        kept = {k: v for k, v in learned.items() if k in own and v.shape == own[k].shape and not k.endswith(FITTED)}
        spared = (*FITTED, "step", *(() if architecture(self.configuration).slopes else ("slopes",)))  # float has none
        missing = [k for k in own if k not in kept and not k.endswith(spared)]
        if missing:
            raise CheckpointError(
                f"{self.file} is of another network: its {missing[0]} is missing or of another shape. Start from the "
                "same model."
            )
        network.load_state_dict(kept, strict=False)
        network.regroup()


def find_start(name: str, runs: Path, shipped: Path = PRETRAINED) -> Start:
    """The finished run of this name, else what is shipped under it. Raises CheckpointError."""
    missing = f"There is no trained network at {runs / name / 'last.pt'}. Train it first, or name another folder."
    if (runs / name / "last.pt").is_file():
        state = runfiles.read_state(runs / name / "last.pt")
        done, all_of_them = state["epoch"], state["recipe"]["epochs"]
        if done >= all_of_them:
            made = runfiles.read_description(runs / name) if (runs / name / "run.json").is_file() else {}
            configuration = Configuration.of(**state["configuration"])
            return Start(runs / name / "last.pt", configuration, dict(state["network"]), made)
        missing = f"The run in {runs / name} has done {done} of {all_of_them} epochs. Repeat its command to go on."
    if (latent := latent_file(name, shipped)).is_file():
        return load_latent(latent)
    if (floats := shipped / f"{name}.safetensors").is_file():
        stored = manifest.load(manifest.named(name, shipped), shipped)
        if stored.configuration.method == "float":
            return Start(floats, stored.configuration, unpack_network(stored).state_dict(), stored.origin)
        base = base_name(stored.configuration)
        instead = base if latent_file(base, shipped).is_file() else stored.configuration.float_reference.name
        missing = f"{floats.name} is quantized and keeps no latent weights to go on from. Start from {instead}."
    raise CheckpointError(missing)


def save_latent(network: Network, made: dict[str, Any], file: Path) -> None:
    """Write what a network has learned, and how it was made."""
    convs = {f"convs.{i}.weight" for i in range(len(network.convs))}
    tensors = {
        name: (values.half() if name in convs else values).contiguous().clone()
        for name, values in network.state_dict().items()
        if not name.endswith(FITTED)
    }
    described = {"configuration": network.configuration.to_dict(), "made": made}
    metadata = {"format": FORMAT, **{name: json.dumps(value, sort_keys=True) for name, value in described.items()}}
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as partial:
        partial.write_bytes(save_bytes(tensors, metadata))


def load_latent(file: Path) -> Start:
    """Read and check latent weights. Raises CheckpointError."""
    stored = read_latent(file)
    own = Network(stored.configuration, fitted=False).state_dict()
    learned = {name: torch.tensor(values, dtype=own[name].dtype) for name, values in stored.tensors.items()}
    return Start(file, stored.configuration, learned, stored.made)
