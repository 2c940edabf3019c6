"""What is shipped and what can be computed at once. Imports no torch, so that the first screen does not wait for it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st
from numpy.typing import NDArray

from app.figures.accuracy import Score
from app.figures.plane import Place
from cfcore import cost, formula, manifest
from cfcore.architecture import Conv, architecture, canonical
from cfcore.checkpoint import Checkpoint
from cfcore.config import FLOAT_BITS, MODELS, Configuration, GroupSize
from cfcore.cost import Cost
from cfcore.images import CALIBRATION_IMAGES
from cfcore.manifest import Entry
from cfcore.results import Paired, difference

__all__ = [  # records of cfcore, for those above
    "CALIBRATION_IMAGES",
    "Checkpoint",
    "Conv",
    "Cost",
    "Entry",
    "Paired",
    "canonical",
]

TEST_IMAGES = 10_000


def folder() -> Path:
    """Where the networks are: pretrained/, or the folder that CFCORE_PRETRAINED names."""
    return manifest.pretrained_folder()


def shipped() -> tuple[Entry, ...]:
    """Every network of the manifest. Raises CheckpointError where that is missing or damaged."""
    return _shipped(folder(), manifest.changed(folder()))


@st.cache_resource(max_entries=4, show_spinner=False)
def _shipped(place: Path, changed: int) -> tuple[Entry, ...]:
    return tuple(manifest.entries(place))


def trained(configuration: Configuration) -> Entry | None:
    """The shipped network of exactly this configuration. Raises CheckpointError."""
    return next((entry for entry in shipped() if entry.configuration == configuration), None)


def has_float(model: str) -> bool:
    """Whether there is a float network to quantize after training. Raises CheckpointError."""
    return trained(Configuration.of(model=model, method="float")) is not None


def with_float() -> list[str]:
    """The models of which a float network ships. Raises CheckpointError."""
    return [model for model in MODELS if has_float(model)]


def stored(entry: Entry) -> Checkpoint:
    """The network of an entry, once its file's checksum is right. Shared by all sessions, so none can write to it."""
    return _stored(entry, folder())


@st.cache_resource(max_entries=32, show_spinner=False)
def _stored(entry: Entry, place: Path) -> Checkpoint:
    found = manifest.load(entry, place)
    freeze(found.tensors.values())
    return found


def freeze(arrays: Iterable[NDArray[Any]]) -> None:
    """Let whoever writes to what all sessions share fail."""
    for array in arrays:
        array.flags.writeable = False


@st.cache_resource(max_entries=512, show_spinner=False)
def network_cost(configuration: Configuration) -> Cost:
    return cost.network_cost(configuration)


@st.cache_resource(max_entries=16, show_spinner=False)
def widest(model: str) -> int:
    """Filters of the widest layer: the largest group size that means something."""
    return max(conv.filters for conv in architecture(Configuration.of(model=model, method="float")).convs)


def group_sizes(model: str) -> list[GroupSize]:
    """Powers of two below the widest layer, then "layer".

    >>> group_sizes("resnet20")
    [1, 2, 4, 8, 16, 32, 'layer']
    """
    return [*(2**i for i in range(widest(model).bit_length()) if 2**i < widest(model)), "layer"]


def has_binary_blocks(configuration: Configuration) -> bool:
    """Whether each convolution has its norm before it and a shortcut around it, as XNOR networks are trained."""
    return architecture(configuration).block == "binary"


def prelus(configuration: Configuration) -> int:
    """Slopes that are stored for what stands behind the shortcuts."""
    return architecture(configuration).slopes


def bends(configuration: Configuration) -> bool:
    """Whether the shipped network's PReLUs change anything: one of slope 1 passes every number on as it is."""
    entry = trained(configuration)
    slopes = stored(entry).tensors.get("slopes") if entry else None
    return slopes is not None and bool((slopes != 1).any())


def has_other_float(configuration: Configuration) -> bool:
    """Whether the shipped network was fine-tuned from another float network than the one that ships."""
    entry, floats = trained(configuration), trained(configuration.float_reference)
    if entry is None or floats is None or entry == floats:
        return False
    return not entry.command.startswith(f"{floats.command} && ")


def smooths_otherwise(configuration: Configuration) -> bool:
    """Whether, of a shipped network and float, only one was last trained towards smoothed labels."""
    entries = [trained(each) for each in (configuration, configuration.float_reference)]
    commands = [entry.command.split(" && ")[-1] for entry in entries if entry is not None]
    return len({"--label-smoothing 0.0" in command for command in commands}) > 1


def has_shortcuts(configuration: Configuration) -> bool:
    """Whether sums are added to what came before, as in a ResNet, rather than passed on as they are."""
    return architecture(configuration).family == "resnet"


def layers(configuration: Configuration) -> dict[str, Conv]:
    """The convolutions that quantization changes, by name; those that it would change for a float network."""
    return {conv.name: conv for conv in architecture(configuration).convs if conv.quantized}


@dataclass(frozen=True)
class Sharing:
    """How a layer of F filters of n weights shares its scaling factors.

    together       filters that share one: m, or F where the layer has fewer
    ideal_bits     bits per weight of a full group, k_w + 32 / (m·n); filter_wise_bits: with m = 1
    stored_bits    bits per weight as stored
    also           what is stored beside full groups and their factors: step, order, padding, last (a smaller group)
    """

    n: int
    together: int
    ideal_bits: float
    filter_wise_bits: float
    stored_bits: float
    also: tuple[str, ...]


def sharing(configuration: Configuration, conv: Conv) -> Sharing:
    layer = next(layer for layer in network_cost(configuration).layers if layer.name == conv.name)
    together = configuration.shared_by(conv.filters)
    n = conv.weights_per_filter
    ideal, alone = (
        FLOAT_BITS / formula.ideal_ratio(n, m, configuration.weight_bits) if layer.quantized else float(FLOAT_BITS)
        for m in (together, 1)
    )
    also = {
        "step": layer.quantized and configuration.has_steps,
        "order": layer.bytes.order > 0,
        "padding": layer.bytes.padding > 0,
        "last": conv.filters % together > 0,
    }
    return Sharing(
        n,
        together,
        ideal,
        alone,
        layer.bits_per_weight,
        tuple(part for part, is_there in also.items() if is_there),
    )


def weakest(configuration: Configuration) -> tuple[str, float]:
    """The quantized layer that shrinks least, and its ratio to float32."""
    quantized = [layer for layer in network_cost(configuration).layers if layer.quantized]
    least = min(quantized, key=lambda layer: layer.ratio)
    return least.name, least.ratio


def filter_wise(configuration: Configuration) -> Configuration:
    """The same network with a factor for every filter."""
    return configuration.with_group_size(1)


def paired(entry: Entry) -> Paired | None:
    """A network less its sibling with m = 1, seed by seed; None where both have not several seeds. Raises
    CheckpointError.
    """
    alone = trained(filter_wise(entry.configuration))
    return difference(entry, alone) if alone is not None and alone != entry else None


def siblings(configuration: Configuration) -> list[Score]:
    """Accuracies of trained networks to compare with: float, m = 1, then every group size of the same bits and order.

    Of a sorted network, its like by index too. Of a network that is not trained itself, those that are.
    """
    if configuration.method == "float":
        alike = [configuration]
    else:
        sizes = sorted({e.configuration.group_size for e in shipped()} - {1}, key=lambda m: (m == "layer", m))
        alike = [configuration.float_reference, filter_wise(configuration)]
        alike += [replace(configuration, order="index")] if configuration.order == "sorted" else []
        alike += [configuration.with_group_size(m) for m in sizes]
    alike = [replace(other, source="trained") for other in alike]
    found = ((other, trained(other)) for other in alike)
    return [Score(label(c), e.accuracy, TEST_IMAGES, c == configuration) for c, e in found if e is not None]


def places(configuration: Configuration) -> list[Place]:
    """Where the standard networks of its model that ship lie, the configuration's own lit. Raises CheckpointError."""
    found = {e.configuration: e.accuracy for e in shipped() if e.configuration.is_standard}
    return [place(c, found[c], c == configuration) for c in found if c.model == configuration.model]


def place(configuration: Configuration, accuracy: float, chosen: bool) -> Place:
    """Where a network lies on the plane of bytes and accuracy."""
    size = network_cost(configuration).bytes.total
    named = "float" if configuration.method == "float" else f"{bits(configuration)}, {label(configuration)}"
    if configuration.source == "post-training":  # far from the trained ones of its bits
        return Place(f"{named}, post-training", configuration.method, size, accuracy, chosen)
    return Place(named, configuration.method, size, accuracy, chosen, family=short_bits(configuration))


def bits(configuration: Configuration) -> str:
    """Its bits in words.

    >>> bits(Configuration()), bits(Configuration.of(method="binary-weight", weight_bits=2))
    ('1 × 1 bits', '2-bit weights')
    """
    if configuration.method == "binary-weight":
        return f"{configuration.weight_bits}-bit weights"
    return f"{configuration.weight_bits} × {configuration.activation_bits} bits"


def short_bits(configuration: Configuration) -> str:
    """The same where there is little room.

    >>> short_bits(Configuration()), short_bits(Configuration.of(method="binary-weight", weight_bits=2))
    ('1 × 1', '2-bit')
    """
    if configuration.method == "float":
        return "float"
    if configuration.method == "binary-weight":
        return f"{configuration.weight_bits}-bit"
    return f"{configuration.weight_bits} × {configuration.activation_bits}"


def label(configuration: Configuration) -> str:
    """What tells a network from its siblings."""
    if configuration.method == "float":
        return "float"
    m = configuration.group_size
    order = ", sorted" if configuration.order == "sorted" else ""
    return "layer-wise" if m == "layer" else f"m = {m}{order}"
