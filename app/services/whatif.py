"""Many configurations of one model at once: what each costs, what is known of it, and which suits a wish.

A number that nobody measured is None; nothing is estimated in its place. Loads no torch.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app.figures import accuracy
from app.figures.accuracy import Score
from app.figures.plane import Place
from app.services import networks
from cfcore.config import MODELS, ORDERS, Configuration, parse_group_size
from cfcore.cost import network_cost
from cfcore.errors import ConfigError

BITS = (1, 2, 4, 8)  # of the configurations that are always listed
NEAR = 1.0  # point below float, for who wants its accuracy in fewer bytes
ANY = "any"
SMALLEST = 25_000  # bytes of the first limit; each is twice the one before


@dataclass(frozen=True)
class Candidate:
    """One configuration of the table.

    accuracy         top-1 in % of the network trained with it; None where none ships
    epochs           of that network's own training
    bytes            of its tensors
    ratio            the float network's bytes over these
    bits_per_weight  stored bits of the convolutions that quantization changes, scaling factors included, over their
                     weights
    scaling_factors  how many there are
    float_macs, bitwise_macs  multiply-accumulates for one image, in float and on bits
    fewer_operations XNOR-Net's model for the whole network: times fewer operations than float
    """

    configuration: Configuration
    accuracy: float | None
    epochs: int | None
    bytes: int
    ratio: float
    bits_per_weight: float
    scaling_factors: int
    float_macs: int
    bitwise_macs: int
    fewer_operations: float

    @property
    def label(self) -> str:
        return label(self.configuration)

    def to_dict(self) -> dict[str, Any]:
        """The settings that tell it from others, and the numbers, in one level."""
        names = ("model", "method", "weight_bits", "activation_bits", "group_size", "order")
        numbers = {name: value for name, value in vars(self).items() if name != "configuration"}
        return {"label": self.label, **{name: getattr(self.configuration, name) for name in names}, **numbers}


# ---- names


def label(configuration: Configuration) -> str:
    """What tells a network from all others of its model.

    >>> label(Configuration()), label(Configuration.of(method="binary-weight", weight_bits=2, group_size="layer"))
    ('xnor, 1 × 1 bits, m = 16', 'binary-weight, 2-bit weights, layer-wise')
    """
    if configuration.method == "float":
        return "float"
    return f"{configuration.method}, {networks.bits(configuration)}, {networks.label(configuration)}"


def configuration_of(text: str, model: str) -> Configuration | None:
    """The network of a model that a label names; None where it names none.

    >>> configuration_of("xnor, 3 × 2 bits, m = 5, sorted", "resnet20").name
    'resnet20-xnor-w3a2-m5-sorted'
    >>> configuration_of("xnor, 1 × 1 bits, m = 512", "resnet20")
    """
    settings: dict[str, Any] = {"model": model, "method": "float"}
    if text != "float":
        bits = r"(?:(binary-weight), (\d)-bit weights|(xnor), (\d) × (\d) bits)"
        found = re.fullmatch(bits + r", (?:(layer)-wise|m = ([1-9]\d{0,5})(?:, (sorted))?)", text, re.ASCII)
        if found is None:
            return None
        weights, weight_bits, _, both_bits, activation_bits, layer, group_size, order = found.groups()
        settings |= {"method": weights or "xnor", "weight_bits": int(weight_bits or both_bits)}
        settings |= {} if weights else {"activation_bits": int(activation_bits)}
        settings |= {"group_size": parse_group_size(layer or group_size), "order": order or ORDERS[0]}
    try:
        configuration = networks.canonical(Configuration.of(**settings))
    except ConfigError:
        return None
    return configuration if label(configuration) == text else None


def own(configuration: Configuration) -> Configuration:
    """The configuration as it is listed: as trained, since only training has a network for each."""
    return replace(configuration, source="trained")


# ---- the table


def _limits() -> dict[str, int | None]:
    """Byte limits by name, up to the largest float network."""
    largest = max(network_cost(Configuration.of(model=name, method="float")).bytes.total for name in MODELS)
    sizes = [SMALLEST * 2**i for i in range((largest // SMALLEST).bit_length())]
    return {ANY: None, **{f"{s // 1000} kB" if s < 10**6 else f"{s / 10**6:g} MB": s for s in sizes}}


LIMITS = _limits()


def candidates(model: str, also: Iterable[Configuration] = ()) -> list[Candidate]:
    """Every usual configuration, all standard ones that ship, and `also`; the most accurate first, then the smallest.

    Raises CheckpointError where the manifest is missing or damaged.
    """
    standard = (entry for entry in networks.shipped() if entry.configuration.is_standard)
    entries = {entry.configuration: entry for entry in standard if entry.configuration.model == model}
    found = []
    costs = _costs(model)
    for configuration in dict.fromkeys((*costs, *entries, *also)):
        entry = entries.get(configuration)
        known = (entry.accuracy, entry.epochs) if entry else (None, None)
        found.append(Candidate(configuration, *known, **(costs.get(configuration) or _cost(configuration))))
    return sorted(found, key=lambda c: (c.accuracy is None, -(c.accuracy or 0), c.bytes))


@st.cache_resource(max_entries=8, show_spinner=False)
def usual(model: str) -> tuple[Configuration, ...]:
    """The configurations that are always listed: float, then every method, bits and group size, by index."""
    found = [Configuration.of(model=model, method="float")]
    for m in networks.group_sizes(model):
        for bits in BITS:
            found.append(Configuration.of(model=model, method="binary-weight", weight_bits=bits, group_size=m))
            found += [Configuration(model, "xnor", bits, activations, m) for activations in BITS]
    return tuple(found)


@st.cache_resource(max_entries=8, show_spinner=False)
def _costs(model: str) -> dict[Configuration, dict[str, Any]]:
    """Of all usual configurations at once: a look into the cache for each would take longer than the rest."""
    return {configuration: _cost(configuration) for configuration in usual(model)}


@st.cache_resource(max_entries=1024, show_spinner=False)
def _cost(configuration: Configuration) -> dict[str, Any]:
    """The computed numbers of a candidate; shared, read only."""
    cost = network_cost(configuration)
    names = networks.layers(configuration)
    changed = [layer for layer in cost.layers if layer.name in names]
    return {
        "bytes": cost.bytes.total,
        "ratio": cost.ratio,
        "bits_per_weight": 8
        * sum(layer.bytes.total for layer in changed)
        / sum(layer.filters * layer.weights_per_filter for layer in changed),
        "scaling_factors": sum(layer.groups for layer in changed),
        "float_macs": cost.operations.float_macs,
        "bitwise_macs": cost.operations.binary_macs,
        "fewer_operations": cost.operations.network_speedup,
    }


def fitting(found: Sequence[Candidate], limit: int | None) -> list[Candidate]:
    """Those of at most so many bytes."""
    return [candidate for candidate in found if limit is None or candidate.bytes <= limit]


def places(found: Sequence[Candidate], limit: int | None, names: dict[Configuration, str]) -> list[Place]:
    """Where the trained ones lie: those beyond the limit pale, the ones with a name named."""
    return [
        Place(
            networks.place(c.configuration, c.accuracy, chosen=False).label,
            c.configuration.method,
            c.bytes,
            c.accuracy,
            chosen=c.configuration in names,
            name=names.get(c.configuration, ""),
            pale=limit is not None and c.bytes > limit,
            family=networks.short_bits(c.configuration),
        )
        for c in found
        if c.accuracy is not None
    ]


# ---- which one?


def best(found: Sequence[Candidate]) -> Candidate | None:
    """The most accurate trained one; of equals the smallest."""
    return min((c for c in found if c.accuracy is not None), key=_rank, default=None)


def _rank(candidate: Candidate) -> tuple[float, int]:
    return -(candidate.accuracy or 0), candidate.bytes


def level_with(first: Candidate, found: Sequence[Candidate]) -> list[Candidate]:
    """The other trained ones whose accuracy is so near that chance may part them; the smallest first."""
    near = []
    for c in found:
        margin = chance(first, c)
        if c != first and margin is not None and abs((first.accuracy or 0) - (c.accuracy or 0)) <= margin:
            near.append(c)
    return sorted(near, key=lambda c: c.bytes)


def near_float(found: Sequence[Candidate]) -> tuple[Candidate | None, Candidate | None]:
    """The trained float network, and the smallest trained one that is at most `NEAR` points less accurate."""
    trained = [c for c in found if c.accuracy is not None]
    floats = next((c for c in trained if c.configuration.method == "float"), None)
    if floats is None:
        return None, None
    near = [c for c in trained if (c.accuracy or 0) >= (floats.accuracy or 0) - NEAR and c != floats]
    return floats, min(near, key=lambda c: (c.bytes, _rank(c)), default=None)


def chance(a: Candidate, b: Candidate) -> float | None:
    """`accuracy.chance` of two networks; None where one of them is not trained."""
    if a.accuracy is None or b.accuracy is None:
        return None
    return accuracy.chance(*(Score("", known, networks.TEST_IMAGES) for known in (a.accuracy, b.accuracy)))
