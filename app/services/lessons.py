"""What the lessons reveal: numbers of the shipped networks and timings, of the cost model, and of bits counted by hand.

Each is obtained when a lesson is drawn; what is not shipped is None, and the lesson says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.figures.accuracy import Score
from app.figures.seeds import Seeds
from app.services import model as formulas
from app.services import networks, scaling, speed
from app.services.lessons_tasks import Counted, Survival
from app.services.model import Measured
from app.services.networks import Cost, Entry
from cfcore import window as windows
from cfcore.config import Configuration, LayerModel
from cfcore.crossover import Crossover, crossovers
from cfcore.formula import CANDIDATES as _CANDIDATES
from cfcore.formula import CROSS_FILTER_SPEEDUP, XNOR_NET_SPEEDUP, estimate, vector_word_bits
from cfcore.results import Paired, difference
from cfcore.timings import layer_name, remarks
from cfcore.window import Step, Window

__all__ = [  # records of others, for those above
    "Cost",
    "Counted",
    "Crossover",
    "Entry",
    "Paired",
    "Seeds",
    "Step",
    "Survival",
]

ONE_BIT = Configuration.of(method="binary-weight", group_size=1)  # every filter with a factor of its own
ADDED = Configuration(group_size=1)  # the same, and activations of one bit: a shortcut is added before the next norm
EXAMPLE = LayerModel()  # XNOR-Net's layer
CANDIDATE = _CANDIDATES[0]  # for 122×, and the same layer
VECTORS = replace(EXAMPLE, word_bits=vector_word_bits(), scaling="folded")
TIMED_BITS = (4, 4)  # weight × activation bits that lesson 5 asks about
ACTIVATIONS, WEIGHTS = (1, -1, 1, 1, -1, -1, 1, -1), (1, -1, -1, 1, -1, 1, 1, -1)  # of lesson 3


def nearest(guesses: Sequence[float], value: float) -> float:
    """The guess whose ratio to the value is closest to 1.

    >>> nearest((32, 28, 24, 16), 23.6)
    24
    """
    return min(guesses, key=lambda guess: abs(math.log(guess / value)))


# ---- bytes


def cost() -> Cost:
    """The ledger of a network of one-bit weights, each filter with its factor."""
    return networks.network_cost(ONE_BIT)


# ---- sharing


@dataclass(frozen=True)
class Shared:
    """Training seeds by group size, and what sharing among a whole layer changes.

    difference  layer-wise less m = 1, seed by seed
    added       the same where a shortcut is added before the next norm; None where not trained with several seeds
    more_error  by how many % sharing makes the squared error of the weights larger; None where that is not known
    """

    seeds: tuple[Seeds, ...]
    difference: Paired
    added: Paired | None
    more_error: float | None


def shared() -> Shared | None:
    """The shipped 1-bit networks that were trained with several seeds; None without m = 1 and layer-wise among them.
    Raises CheckpointError.
    """
    sizes = sorted({entry.configuration.group_size for entry in networks.shipped()}, key=lambda m: (m == "layer", m))
    entries = (networks.trained(ONE_BIT.with_group_size(m)) for m in sizes)
    several = {e.configuration.group_size: e for e in entries if e is not None and len(e.seeds) > 1}
    if 1 not in several or "layer" not in several:
        return None
    difference = _layer_less_alone(ONE_BIT)
    if difference is None:
        return None
    factors = scaling.at_once(ONE_BIT.with_group_size("layer"))
    known = factors is not None and not factors.learned and all(layer.fit for layer in factors.layers)
    more = factors.increase_by_order("index") if factors and known else None
    seeds = tuple(Seeds(networks.label(e.configuration), tuple(e.seeds.values())) for e in several.values())
    return Shared(seeds, difference, _layer_less_alone(ADDED), more)


def _layer_less_alone(alone: Configuration) -> Paired | None:
    own, together = networks.trained(alone), networks.trained(alone.with_group_size("layer"))
    return difference(together, own) if own and together else None


def seed_rows(shared: Shared) -> list[dict[str, Any]]:
    """The same to take away: one row a network and seed."""
    return [
        {"network": group.label, "seed": seed, "accuracy_percent": accuracy}
        for group in shared.seeds
        for seed, accuracy in enumerate(group.accuracies)
    ]


# ---- a sum from bits


@dataclass(frozen=True)
class Signs:
    """A dot product of ±1, from its bits.

    step  its exclusive or and their sum, as the kernels count; agree: places with equal signs, p
    """

    activations: tuple[int, ...]
    weights: tuple[int, ...]
    step: Step
    float_sum: float

    @property
    def n(self) -> int:
        return len(self.activations)

    @property
    def agree(self) -> int:
        return self.n - self.step.count

    @property
    def guesses(self) -> tuple[int, ...]:
        """2p - n, and what comes out where a part of it is forgotten: p, n - p, 2p."""
        p = self.agree
        return tuple(sorted({2 * p - self.n, p, self.n - p, 2 * p}))


def signs() -> Signs:
    a, b = (np.array(numbers)[:, None] for numbers in (ACTIVATIONS, WEIGHTS))  # [C, 1]: one tap
    window = Window(a, b, np.ones(1, bool), activation_bits=1, weight_bits=1)
    return Signs(ACTIVATIONS, WEIGHTS, windows.steps(window)[0], windows.float_sum(window))


# ---- without training


def survival() -> tuple[Survival, Entry] | None:
    """The worker's task, and the float network that it starts from; None where none ships. Raises CheckpointError."""
    floats = networks.trained(ONE_BIT.float_reference)
    return (Survival(ONE_BIT.model, networks.folder()), floats) if floats else None


def scores(counted: Sequence[Counted]) -> list[Score]:
    """Float, then from most bits to one, then what was trained."""
    by_bits = sorted(counted, key=lambda c: (c.configuration.source == "trained", -c.configuration.weight_bits))
    floats = [c for c in by_bits if c.configuration.method == "float"]
    others = [c for c in by_bits if c not in floats]
    return [
        Score(_bits(c.configuration), c.accuracy, c.images, c.configuration.source == "post-training")
        for c in [*floats, *others]
    ]


def _bits(configuration: Configuration) -> str:
    if configuration.method == "float":
        return "float"
    bits = "1 bit" if configuration.weight_bits == 1 else f"{configuration.weight_bits} bits"
    return bits if configuration.source == "post-training" else f"{bits}, trained"


# ---- timings


@dataclass(frozen=True)
class Timed:
    """One layer on one recorded machine, packed against each backend, by bits; and what was noted."""

    name: str
    rows: tuple[Crossover, ...]
    notes: tuple[str, ...]

    @property
    def asked(self) -> Crossover:
        """At the bits that the lesson asks about."""
        return next(row for row in self.rows if (row.weight_bits, row.activation_bits) == TIMED_BITS)


def timed() -> list[Timed]:
    """The layer of XNOR-Net's example, by shipped set: first the one that other pages show first. Raises
    CheckpointError.
    """
    layer, folder = layer_name(_example()), networks.folder()
    found = []
    for name in speed.names(folder):
        rows = tuple(c for c in crossovers(speed.of_set(name, folder)) if c.layer == layer)
        if any((row.weight_bits, row.activation_bits) == TIMED_BITS for row in rows):
            found.append(Timed(name, rows, tuple(remarks(speed.of_set(name, folder), "layer"))))
    return found


def _example() -> networks.Conv:
    """3×3, 256 channels, as in ResNet-18 on ImageNet."""
    found = speed.imagenet("resnet18").values()
    return next(c for c in found if (c.channels, c.filters, c.stride) == (EXAMPLE.channels, EXAMPLE.channels, 1))


def fastest(row: Crossover) -> str:
    """The backend of the least time."""
    return "packed" if row.pays else row.rival


def first_loss(timed: Timed) -> Crossover | None:
    """The fewest bits at which packed bits are not the fastest."""
    return next((row for row in timed.rows if not row.pays), None)


# ---- counted and measured


@dataclass(frozen=True)
class Way:
    """One way to say how many times faster: `how` names it, `kind` is published, computed or measured."""

    how: str
    kind: str
    times: float


def ways() -> tuple[list[Way], Measured | None]:
    """XNOR-Net's example counted in several ways, what is published, and the nearest shipped timing where there is
    one. Raises CheckpointError.
    """
    found = [
        Way("cross-filter", "published", CROSS_FILTER_SPEEDUP),
        Way("candidate", "computed", estimate(CANDIDATE).speedup),
        Way("xnor-net", "published", XNOR_NET_SPEEDUP),
        Way("vectors", "computed", estimate(VECTORS).speedup),
    ]
    timings = formulas.measured(1, 1, networks.folder())
    near = formulas.nearest(EXAMPLE, timings) if timings else None
    return [*found, Way("clock", "measured", near.times_faster)] if near else found, near
