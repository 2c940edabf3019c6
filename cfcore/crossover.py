"""Where packed bits pay: recorded timings, packed against the fastest of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cfcore.timings import Benchmark, Machine


@dataclass(frozen=True)
class Crossover:
    """How packed compares on one layer (or network) at some bits, in one stage: does it pay, and by how much?

    packed_s      the packed median of a call, in seconds
    times_faster  by backend: its median over the packed median of the same run; below 1 packed loses
    """

    machine: Machine
    threads: int
    layer: str
    batch: int
    weight_bits: int
    activation_bits: int
    stage: str
    packed_s: float
    times_faster: dict[str, float]

    @property
    def rival(self) -> str:
        """The backend that packed has to beat: the fastest of the others."""
        return min(self.times_faster, key=self.times_faster.__getitem__)

    @property
    def pays(self) -> bool:
        """Whether packed is the fastest."""
        return self.times_faster[self.rival] > 1

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it; of the machine its name and its vectors."""
        machine = {"cpu": self.machine.cpu, "vectors": self.machine.vectors}
        return {**machine, **{k: v for k, v in asdict(self).items() if k != "machine"}, "pays": self.pays}


def crossovers(benchmarks: Iterable[Benchmark], stage: str = "layer") -> list[Crossover]:
    """Packed against every backend that was timed in the same stage; machine by machine and layer by layer, then by
    batch and bits.

    Results that did not match their reference count for nothing.
    """
    found = []
    for benchmark in benchmarks:
        bits = benchmark.weight_bits, benchmark.activation_bits
        for layer, batch in dict.fromkeys((row.layer, row.batch) for row in benchmark.rows):
            here = [row for row in benchmark.of_stage(stage) if (row.layer, row.batch) == (layer, batch)]
            rows = {row.backend: row.median_s for row in here if row.matches_reference}
            packed = rows.pop("packed", None)
            if packed and rows:
                faster = {backend: median / packed for backend, median in rows.items()}
                place = benchmark.machine, benchmark.threads
                found.append(Crossover(*place, layer, batch, *bits, stage, packed, faster))
    places = list(dict.fromkeys((c.machine, c.threads) for c in found))
    layers = list(dict.fromkeys(c.layer for c in found))

    def position(c: Crossover) -> tuple[int, ...]:
        place = places.index((c.machine, c.threads)), layers.index(c.layer)
        return *place, c.batch, c.weight_bits * c.activation_bits, c.weight_bits

    return sorted(found, key=position)
