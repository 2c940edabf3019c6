"""Timings: the sets that come with the project (pretrained/bench/, each made by `cfcore bench record` on one machine),
and what a measurement of this page's tasks says. Loads no torch.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import streamlit as st

from cfcore import timings
from cfcore.architecture import Conv, architecture
from cfcore.bitpack import WORD_BITS, words
from cfcore.config import Configuration
from cfcore.crossover import Crossover, crossovers
from cfcore.roofline import Point, points
from cfcore.shapes import IMAGENET, parse_shape
from cfcore.timings import Benchmark, Row, core_count, layer_name, remarks

__all__ = [  # records of cfcore, for those above
    "Benchmark",
    "Crossover",
    "Point",
    "Row",
    "crossovers",
    "layer_name",
    "parse_shape",
    "points",
    "remarks",
]

BATCHES = (1, 8, 32, 128)
HARDEST = "intel-amx"  # its matrix unit makes int8 faster than on any other machine that was timed


# ---- what ships


def names(folder: Path) -> list[str]:
    """The shipped sets: first that of a processor as this one, then the one with the hardest rivals. Raises
    CheckpointError for a damaged file.
    """
    found = _sets(folder)

    def rank(name: str) -> tuple[bool, bool, str]:
        return all(b.machine.cpu != _cpu() for b in found[name]), name != HARDEST, name

    return sorted(found, key=rank)


def of_set(name: str, folder: Path) -> list[Benchmark]:
    """Every document of a shipped set. Raises CheckpointError."""
    return _sets(folder)[name]


def shipped_layer(layer: str, bits: tuple[int, int], folder: Path, first: str = "") -> tuple[str, Benchmark] | None:
    """The timing of this layer at these bits and the set that it is from: `first`, or else the first set that holds
    one, in the order of `names`. Raises CheckpointError.
    """
    for name, benchmark in _in_turn(folder, first):
        found = benchmark.of_layer(layer) if _bits(benchmark) == bits else None
        if found:
            return name, found
    return None


def shipped_network(
    model: str, bits: tuple[int, int], batch: int, folder: Path, first: str = ""
) -> tuple[str, Benchmark] | None:
    """The same for a whole network and a batch. Raises CheckpointError."""
    for name, benchmark in _in_turn(folder, first):
        found = benchmark.of_layer(model) if _bits(benchmark) == bits else None
        if found and found.rows[0].batch == batch:
            return name, found
    return None


def products(name: str, bits: tuple[int, int], but: str, folder: Path) -> list[Point]:
    """The packed products of a set at these bits, of every layer but one. Raises CheckpointError."""
    found = [point for benchmark in of_set(name, folder) if _bits(benchmark) == bits for point in points(benchmark)]
    return [p for p in found if (p.backend, p.stage) == ("packed", "product") and p.layer != but]


def best_share(name: str, bits: tuple[int, int], but: str, folder: Path) -> float | None:
    """The largest share of the port bound, each measured in its own rounds, that a packed product of a set makes at
    these bits; one layer left out. None where there is no other. Raises CheckpointError.
    """
    rows = (row for benchmark in of_set(name, folder) if _bits(benchmark) == bits for row in benchmark.rows)
    return max((row.of_port_bound for row in rows if row.layer != but and row.of_port_bound), default=None)


def whole_networks(name: str, folder: Path) -> list[tuple[Row, Crossover]]:
    """The whole networks of a set: the packed row, and how it compares. Raises CheckpointError."""
    found = []
    for benchmark in of_set(name, folder):
        for crossover in crossovers([benchmark], "network"):
            here = (r for r in benchmark.rows if (r.layer, r.batch) == (crossover.layer, crossover.batch))
            found.append((next(row for row in here if row.backend == "packed"), crossover))
    return found


def one_by_one(network: Crossover, name: str, folder: Path) -> float | None:
    """Seconds that the packed layers of a network take if each is called by itself, from float to float, as the set
    times them; None where it does not time them all, or not with as many images. Raises CheckpointError.
    """
    at = network.weight_bits, network.activation_bits
    convs = [conv for conv in architecture(Configuration(model=network.layer)).convs if conv.quantized]
    times = [
        row.median_s
        for conv in convs
        for benchmark in of_set(name, folder)
        if _bits(benchmark) == at and (layer := benchmark.of_layer(layer_name(conv)))
        if (row := layer.find("packed", "layer")) and row.batch == network.batch
    ]
    return sum(times) if len(times) == len(convs) else None


def _in_turn(folder: Path, first: str) -> Iterator[tuple[str, Benchmark]]:
    for name in sorted(names(folder), key=lambda name: name != first):
        yield from ((name, benchmark) for benchmark in _sets(folder)[name])


def _bits(benchmark: Benchmark) -> tuple[int, int]:
    return benchmark.weight_bits, benchmark.activation_bits


def _sets(folder: Path) -> dict[str, list[Benchmark]]:
    place = folder / "bench"
    changed = tuple(sorted((file.name, file.stat().st_mtime_ns) for file in place.glob("*.json")))
    return _read(place, changed) if changed else {}


@st.cache_resource(max_entries=4, show_spinner=False)
def _read(place: Path, changed: tuple[tuple[str, int], ...]) -> dict[str, list[Benchmark]]:
    return timings.read_sets(place)


def filled(conv: Conv) -> float:
    """The share of its words' bits that its channels fill: of 33 channels, 33/64."""
    return conv.channels / (WORD_BITS * words(conv.channels))


# ---- what can be timed here


@functools.cache
def _cpu() -> str:
    return timings.cpu_name()


@functools.cache
def cores() -> int:
    """How many threads can run at once."""
    return core_count()


def imagenet(network: str) -> dict[str, Conv]:
    """The convolutions of resnet18 or vgg16 on ImageNet, by C,H,F,K,S."""
    return {layer_name(conv): conv for conv in IMAGENET[network]}


def network_timed(configuration: Configuration) -> Configuration:
    """The one network that is timed for all of its model and bits: the trained one, as its blocks may be others than
    those of the float network, with groups that change no time.
    """
    return replace(configuration, source="trained", group_size=Configuration.group_size, order="index")


def timed_as(configuration: Configuration) -> Configuration:
    """The network whose bits are counted: this one with xnor, else its like of one bit."""
    return configuration if configuration.method == "xnor" else Configuration(model=configuration.model)
