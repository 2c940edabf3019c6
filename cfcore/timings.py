"""Records of timings: what `bench` measures, its command prints as JSON, and the app draws. Loads no torch."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from cfcore.architecture import Conv
from cfcore.config import check_bits
from cfcore.errors import CheckpointError, shown

DISTURBED = "Other programs ran too"  # how a note of it begins
LEAST, MOST = 1e-12, 1e15  # seconds, rates and counts lie between: quotients of two stay finite
LARGEST_FILE = 16 * 2**20  # bytes: some hundred times the shipped ones


@dataclass(frozen=True)
class Machine:
    """Where timings come from; `vectors` as the compiler of the kernels sees them."""

    cpu: str
    cores: int
    vectors: str
    python: str
    numba: str
    torch: str

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "cores":
                _check_positive(value, int)
            else:
                _check_printable(value)


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
    matches_reference  compared before the timing: packed layers exactly; packed networks with simulated ones (see
                       `bench.network`); torch with float64, within its type's rounding
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

    def __post_init__(self) -> None:
        for word in (self.layer, self.backend, self.stage):
            if not isinstance(word, str) or not re.fullmatch(r"[\w.,-]+", word):
                raise ValueError(f"{shown(word)} is no name of a layer, backend or stage")
        for number in (self.median_s, self.p10_s, self.p90_s, self.gmacs, self.speedup_vs_fp32):
            _check_positive(number)
        for whole in (self.batch, self.threads, self.runs):
            _check_positive(whole, int)
        if self.of_port_bound is not None:
            _check_positive(self.of_port_bound)
        if not isinstance(self.matches_reference, bool):
            raise ValueError(f"matches_reference is {shown(self.matches_reference)}, not true or false")

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

    def __post_init__(self) -> None:
        check_bits("weight_bits", self.weight_bits)
        check_bits("activation_bits", self.activation_bits)
        _check_positive(self.threads, int)
        _check_positive(self.port_bound)
        if self.jit_s != 0 or isinstance(self.jit_s, bool):
            _check_positive(self.jit_s)
        for words in self.notes:
            _check_printable(words)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """The record that `to_dict` gave. Raises KeyError, TypeError, ValueError for anything else."""
        machine = Machine(**document["machine"])
        rows = tuple(Row(**row) for row in document["rows"])
        return cls(**{**document, "machine": machine, "rows": rows, "notes": tuple(document["notes"])})

    @classmethod
    def read(cls, file: Path) -> list[Self]:
        """The records of a file that holds one document of `to_dict`, or a list of them. Raises CheckpointError."""
        name = file.name or "The folder"
        try:
            if file.exists() and (not file.is_file() or file.stat().st_size > LARGEST_FILE):
                raise CheckpointError(f"{name} is no file of timings. Choose one that `bench` wrote.")
            content = json.loads(file.read_text(encoding="utf-8"))
            return [cls.from_dict(document) for document in (content if isinstance(content, list) else [content])]
        except FileNotFoundError:
            raise CheckpointError(f"There is no {name}. Make it with: cfcore bench record FILE") from None
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise CheckpointError(
                f"{name} is no file of timings, or damaged ({reason}). Choose one that `bench` wrote, or restore it."
            ) from error

    def of_layer(self, layer: str) -> Self | None:
        """The part that is about one layer, if there is any."""
        rows = tuple(row for row in self.rows if row.layer == layer)
        return replace(self, rows=rows) if rows else None

    def find(self, backend: str, stage: str) -> Row | None:
        """The first row of a backend and stage."""
        return next((row for row in self.rows if (row.backend, row.stage) == (backend, stage)), None)

    def of_stage(self, stage: str) -> list[Row]:
        """The rows of a stage. Where a backend's whole layer was not timed, its product, which is less, stands."""
        rows = [row for row in self.rows if row.stage == stage]
        if stage == "layer":
            timed = {(row.layer, row.batch, row.backend) for row in rows}
            others = (row for row in self.rows if row.stage == "product" and row.backend != "packed")
            rows += [row for row in others if (row.layer, row.batch, row.backend) not in timed]
        return rows

    def rival(self, stage: str = "layer") -> Row | None:
        """The fastest row of all but packed in this stage; for the record of one layer or network."""
        others = (row for row in self.of_stage(stage) if row.backend != "packed")
        return min(others, key=lambda row: row.median_s, default=None)

    def faster_than_packed(self) -> tuple[Row, ...]:
        """The rows that beat the packed kernel over the whole layer, fastest first; for the record of one."""
        packed = self.find("packed", "layer")
        faster = (row for row in self.of_stage("layer") if packed and row.median_s < packed.median_s)
        return tuple(sorted(faster, key=lambda row: row.median_s))

    @property
    def bound(self) -> float:
        """10^9 multiply-accumulates a second that k_w × k_a bits can reach on these threads."""
        return self.port_bound * self.threads / (self.weight_bits * self.activation_bits)

    @property
    def disturbed(self) -> bool:
        """Whether other programs ran at the same time."""
        return any(note.startswith(DISTURBED) for note in self.notes)

    @property
    def all_correct(self) -> bool:
        """Whether every result agreed with the reference."""
        return all(row.matches_reference for row in self.rows)


def read_sets(folder: Path) -> dict[str, list[Benchmark]]:
    """The sets of timings in a folder, by the name of their file without its ending. Raises CheckpointError."""
    files = sorted(folder.glob("*.json"))
    if not files:
        place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        raise CheckpointError(f"There are no timings in {place}. Make some with: cfcore bench record {place}/here.json")
    return {file.stem: Benchmark.read(file) for file in files}


def remarks(benchmarks: Iterable[Benchmark], stage: str) -> list[str]:
    """What was noted about the runs that timed this stage, each once."""
    return list(dict.fromkeys(n for b in benchmarks if any(row.stage == stage for row in b.rows) for n in b.notes))


def layer_name(conv: Conv) -> str:
    """C,H,F,K,S: channels, height and width, filters, kernel, stride; padding is K // 2.

    >>> layer_name(Conv("", channels=64, filters=32, size=8, stride=2))
    '64,8,32,3,2'
    """
    return f"{conv.channels},{conv.size},{conv.filters},{conv.kernel},{conv.stride}"


def conv_of(layer: str) -> Conv | None:
    """The convolution that `layer_name` names; None for a network.

    >>> conv_of("64,8,32,5,2").output_size, conv_of("resnet20")
    (4, None)
    """
    if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8}){4}", layer):
        return None
    channels, size, filters, kernel, stride = map(int, layer.split(","))
    return Conv("", channels, filters, size, kernel, stride, padding=kernel // 2)


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """This machine's processor, as `Machine.cpu` names it."""
    name, information = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return name


def _check_positive(number: object, kind: Any = int | float) -> None:
    if isinstance(number, bool) or not isinstance(number, kind) or not LEAST < number < MOST:
        raise ValueError(f"{shown(number)} is no time, rate or count")


def _check_printable(text: object) -> None:
    """A terminal and a page show it as it is, so it must not move the cursor."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{shown(text)} is no text of one line")
