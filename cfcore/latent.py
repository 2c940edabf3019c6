"""Latent weights that ship, read without torch: pretrained/latent/NAME.safetensors. `starts` writes and copies them.

Metadata: `format`, `configuration` and `made` (how) as JSON. Tensors: the learned ones of `Network.state_dict`, with
convs.i.weight as float16 [F, C, kh, kw].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from cfcore import manifest
from cfcore.architecture import architecture
from cfcore.checkpoint import Tensors
from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.manifest import PRETRAINED

FORMAT = "cfcore-latent-1"
NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Latent:
    """Float weights that a quantized network is made from.

    file           where they are from
    configuration  of the network that they belong to
    tensors        convs.i.weight [F, C, kh, kw], and more
    made           how they were made
    """

    file: Path
    configuration: Configuration
    tensors: Tensors
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def learned(self) -> bool:
        """Whether the scaling factors were learned by gradient: each mean|W_f| is then that of filter f."""
        return learned_scaling(self.made)


def learned_scaling(made: Mapping[str, Any]) -> bool:
    """Whether scaling factors were learned by gradient, in the last of the commands that made them.

    >>> learned_scaling({"command": "cfcore train --scaling learned --seed 1"}), learned_scaling({})
    (True, False)
    """
    return "--scaling learned" in str(made.get("command", "")).split(" && ")[-1]


def latent_file(name: str, shipped: Path = PRETRAINED) -> Path:
    """Where latent weights are shipped under this name."""
    return shipped / "latent" / f"{name}.safetensors"


def base_name(configuration: Configuration) -> str:
    """The m = 1 network that the trained networks of the same model, method and bits go on from.

    >>> base_name(Configuration(group_size=16, order="sorted"))
    'resnet20-xnor-w1a1-m1-base'
    """
    return configuration.with_group_size(1).name + "-base"


def find_latent(configuration: Configuration, shipped: Path = PRETRAINED) -> Latent | None:
    """The latent weights that ship for a quantized network, if any do.

    post-training  the float network, which is what is quantized
    trained        the base, where it was fine-tuned from it: its own latent weights are not kept

    Raises CheckpointError where a file is damaged, or of another network than its name says.
    """
    if configuration.source == "post-training":
        entry = manifest.find(configuration.float_reference, shipped)
        if entry is None:
            return None
        network = manifest.load(entry, shipped)
        return Latent(shipped / entry.file, network.configuration, network.tensors, network.origin)
    file = latent_file(base_name(configuration), shipped)
    if not file.is_file():
        return None
    latent = read_latent(file)
    if latent.configuration != configuration.with_group_size(1):
        raise CheckpointError(f"{file.name} holds {latent.configuration.name}, not what its name says. Restore it.")
    entry = manifest.find(configuration, shipped) if (shipped / "manifest.json").is_file() else None
    command = latent.made.get("command")
    if entry is not None and command and not entry.command.startswith(f"{command} && "):
        return None  # of an earlier base
    return latent


def layout(configuration: Configuration) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every tensor of a file of latent weights: its type, as safetensors names it, and its shape."""
    network = architecture(configuration)
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for conv in network.convs:
        found[f"{conv.name}.weight"] = "F16", (conv.filters, conv.channels, conv.kernel, conv.kernel)
        if conv.quantized and configuration.has_steps:
            found[f"{conv.name}.step"] = "F32", ()
    for i, channels in enumerate(network.norms):
        found |= {f"norms.{i}.{part}": ("F32", (channels,)) for part in NORM}
        found[f"norms.{i}.num_batches_tracked"] = "I64", ()
    if network.slopes:
        found["slopes"] = "F32", (network.slopes,)
    found["head.weight"] = "F32", (network.classes, network.features)
    found["head.bias"] = "F32", (network.classes,)
    return found


def read_latent(file: Path) -> Latent:
    """Read latent weights once names, types and shapes are those of the network. Raises CheckpointError."""
    try:
        with safe_open(file, "np") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(f'{file.name} holds no latent weights: its format is not "{FORMAT}".')
            configuration = Configuration.of(**json.loads(metadata["configuration"]))
            made = json.loads(metadata["made"])
            if not isinstance(made, dict) or not all(isinstance(made.get(k, ""), str) for k in ("plan", "command")):
                raise ValueError("made is no record of a training")
            names, expected = set(opened.keys()), layout(configuration)
            for name in sorted(names ^ expected.keys()):
                raise CheckpointError(f"{file.name} is damaged: {name} is missing or one too many. Restore it.")
            for name, kind in expected.items():
                stored = opened.get_slice(name)
                if (stored.get_dtype(), tuple(stored.get_shape())) != kind:
                    raise CheckpointError(f"{file.name} is damaged: {name} is of another type or shape. Restore it.")
            tensors = {name: opened.get_tensor(name) for name in expected}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file.name} is damaged ({type(error).__name__}). Restore it.") from error
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise CheckpointError(f"{file.name} is damaged: {name} holds a number that is not finite. Restore it.")
    return Latent(file, configuration, tensors, made)
