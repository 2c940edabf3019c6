"""Records of timings: what `bench` measures, its command prints as JSON, and the app draws. Loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from cfcore.architecture import Conv

DISTURBED = "Other programs ran too"  # how a note of it begins


@dataclass(frozen=True)
class Machine:
    """Where timings come from; `vectors` as the compiler of the kernels sees them."""

    cpu: str
    cores: int
    vectors: str
    python: str
    numba: str
    torch: str


@dataclass(frozen=True)
class Row:
    """One backend on one layer, or on one network.

    layer              "C,H,F,K,S", padding K // 2; or the model
    batch              images in a call
    backend, stage     product: operands in the backend's own type; layer: float32 in, float32 out; chain: packed in,
                       packed out, as between two packed layers; network: float32 images in, logits out
    median_s …         of `runs` samples, seconds a call
    gmacs              10^9 multiply-accumulates a second at the median, padded taps counted
    speedup_vs_fp32    median of torch-fp32, this layer, batch and run, over this median
    of_port_bound      share of what the vector ports could do in the same rounds; packed products only
    matches_reference  compared before the timing: packed exactly; torch with float64, within its type's rounding
    """

    layer: str
    batch: int
    backend: str
    stage: str
    threads: int
    median_s: float
    p10_s: float
    p90_s: float
    runs: int
    gmacs: float
    speedup_vs_fp32: float
    of_port_bound: float | None
    matches_reference: bool

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Benchmark:
    """All rows of one run and its conditions.

    port_bound  10^9 one-bit multiply-accumulates a second in registers, one thread, median (see `kernels.machine`);
                k_w × k_a bits can reach 1 / (k_w·k_a) of it
    jit_s       seconds of the first calls of the packed kernels: compiling, or loading what an earlier run compiled
    """

    machine: Machine
    weight_bits: int
    activation_bits: int
    threads: int
    port_bound: float
    jit_s: float
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """The record that `to_dict` gave. Raises KeyError, TypeError for anything else."""
        machine = Machine(**document["machine"])
        rows = tuple(Row(**row) for row in document["rows"])
        return cls(**{**document, "machine": machine, "rows": rows, "notes": tuple(document["notes"])})

    def of_layer(self, layer: str) -> Self | None:
        """The part that is about one layer, if there is any."""
        rows = tuple(row for row in self.rows if row.layer == layer)
        return replace(self, rows=rows) if rows else None

    def find(self, backend: str, stage: str) -> Row | None:
        """The first row of a backend and stage."""
        return next((row for row in self.rows if (row.backend, row.stage) == (backend, stage)), None)

    def faster_than_packed(self, stage: str = "layer") -> tuple[Row, ...]:
        """The rows that beat the packed kernel in this stage, fastest first; for the record of one layer."""
        packed = self.find("packed", stage)
        faster = (row for row in self.rows if packed and row.stage == stage and row.median_s < packed.median_s)
        return tuple(sorted(faster, key=lambda row: row.median_s))

    @property
    def disturbed(self) -> bool:
        """Whether other programs ran at the same time."""
        return any(note.startswith(DISTURBED) for note in self.notes)

    @property
    def all_correct(self) -> bool:
        """Whether every result agreed with the reference."""
        return all(row.matches_reference for row in self.rows)


def layer_name(conv: Conv) -> str:
    """C,H,F,K,S: channels, height and width, filters, kernel, stride; padding is K // 2.

    >>> layer_name(Conv("", channels=64, filters=32, size=8, stride=2))
    '64,8,32,3,2'
    """
    return f"{conv.channels},{conv.size},{conv.filters},{conv.kernel},{conv.stride}"
