"""Two configurations side by side: what one is compared with, every number of both, and where to find them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.services import networks, snippets, speed, speed_code
from app.services.predictions_tasks import Compare, Compared
from app.services.speed import Benchmark, Row
from app.services.whatif import Candidate
from cfcore.comparison import Comparison
from cfcore.config import FLOAT_BITS, Configuration

__all__ = ["Compared", "Comparison"]  # what is asked of the worker, for those above

MEASURED = ("accuracy", "seconds")
UNITS = {"accuracy": "%", "bytes": "bytes", "bits_per_weight": "bits", "seconds": "s", "ratio": "times"}
UNITS |= {"fewer_operations": "times", "float_macs": "multiply-accumulates", "bitwise_macs": "multiply-accumulates"}
COMPARED = ("accuracy", "bytes", "ratio", "bits_per_weight", "scaling_factors")
TIMES = """\
for benchmark in Benchmark.read(Path({file!r})):
    for row in benchmark.rows:
        if (row.layer, row.batch, row.stage) == ({model!r}, 1, "network"):
            print(benchmark.weight_bits, benchmark.activation_bits, row.backend, row.median_s)
"""
OPERATIONS = ("float_macs", "bitwise_macs", "fewer_operations")


def against(configuration: Configuration) -> Configuration:
    """What a network is compared with unless told otherwise: its like with m = 1; of that, float; of float, what the
    explorer opens with.
    """
    if configuration.method == "float":
        return Configuration(model=configuration.model)
    alone = networks.filter_wise(configuration)
    return configuration.float_reference if configuration == alone else alone


# ---- every number of both


@dataclass(frozen=True)
class Timings:
    """Medians of one shipped set, in seconds for one image; None where it does not time such a network."""

    name: str
    benchmark: Benchmark
    seconds: tuple[float | None, float | None]


@dataclass(frozen=True)
class Quantity:
    """One number of A and of B, with where it is from: measured or computed. None where there is none."""

    name: str
    a: float | None
    b: float | None
    kind: str

    @property
    def change(self) -> float | None:
        """B − A"""
        return None if self.a is None or self.b is None else self.b - self.a

    def to_dict(self) -> dict[str, Any]:
        numbers = {"a": self.a, "b": self.b, "b_minus_a": self.change}
        return {"quantity": self.name, "unit": UNITS.get(self.name, ""), **numbers, "kind": self.kind}


def quantities(a: Candidate, b: Candidate, timed: Timings | None) -> list[Quantity]:
    """All that can be compared of two."""
    found = [
        Quantity(name, getattr(a, name), getattr(b, name), "measured" if name in MEASURED else "computed")
        for name in (*COMPARED, *OPERATIONS)
    ]
    return [*found, Quantity("seconds", *timed.seconds, "measured")] if timed else found


def timings(a: Configuration, b: Configuration, folder: Path) -> Timings | None:
    """Both networks' shipped times, of one machine: of the first that timed both, else of the first that timed one.

    Raises CheckpointError for a damaged file.
    """
    found = []
    for name in speed.names(folder):
        rows = [_row(name, configuration, folder) for configuration in (a, b)]
        timed = [row for row in rows if row is not None]
        if timed:
            seconds = [row[1].median_s if row else None for row in rows]
            found.append(Timings(name, timed[0][0], (seconds[0], seconds[1])))
    return min(found, key=lambda timed: timed.seconds.count(None), default=None)


def _row(name: str, configuration: Configuration, folder: Path) -> tuple[Benchmark, Row] | None:
    """How a set timed one image through this network: packed where it counts bits, torch fp32 where it is float."""
    backend = {"xnor": "packed", "float": "torch-fp32"}.get(configuration.method)
    bits = (configuration.weight_bits, configuration.activation_bits)
    for benchmark in speed.of_set(name, folder):
        if FLOAT_BITS not in bits and bits != (benchmark.weight_bits, benchmark.activation_bits):
            continue
        for row in benchmark.rows:
            this = (row.layer, row.batch, row.stage) == (configuration.model, 1, "network") and row.backend == backend
            if this and row.matches_reference:
                return benchmark, row
    return None


# ---- the same images


def both_trained(pair: Sequence[Candidate]) -> bool:
    """Whether they are two networks that can be asked about the same images."""
    a, b = pair
    return a.accuracy is not None and b.accuracy is not None and a.configuration != b.configuration


def on_same_images(a: Candidate, b: Candidate, folder: Path) -> Compare:
    """The worker's task that asks both."""
    return Compare(b.configuration, folder, a.configuration, kind="pair")


# ---- the same numbers elsewhere


def commands(pair: Sequence[Candidate], timed: Timings | None, folder: Path) -> str:
    """Command lines that print the numbers of A, those of B, those of both on the same images, and their times."""
    lines = []
    for name, candidate in zip("AB", pair, strict=True):
        trained = ("evaluate",) if candidate.accuracy is not None else ()
        lines += [f"# {name}", *(snippets.command(c, candidate.configuration) for c in (*trained, "cost"))]
    if both_trained(pair):
        against, compared = (candidate.configuration for candidate in pair)
        lines += ["# both", f"{snippets.command('compare', compared)} --against {against.name}"]
    if timed:
        lines += ["# times of one image", speed_code.shipped_command(timed.name, folder, "network")]
    return "\n".join(lines)


def code(pair: Sequence[Candidate], timed: Timings | None, folder: Path) -> str:
    """The same in Python: bytes, ratio and model of operations of each, the accuracy of those that are trained, and the
    recorded times of a whole network.
    """
    trained = "".join(name for name, candidate in zip("AB", pair, strict=True) if candidate.accuracy is not None)
    lines = ["from cfcore.comparison import Comparison"] if both_trained(pair) else []
    lines += ["from cfcore.config import Configuration", "from cfcore.cost import network_cost"]
    if trained:
        lines += ["from cfcore.images import load_test_set", "from cfcore.evaluate import evaluate, obtain"]
    end = len(lines)  # of the imports
    lines += ["", "pair = {"]
    lines += [f'    "{n}": {snippets.spelled(c.configuration)},' for n, c in zip("AB", pair, strict=True)]
    lines += [
        "}",
        "for name, configuration in pair.items():",
        "    cost = network_cost(configuration)",
        "    layers = [layer for layer in cost.layers if layer.quantized] or list(cost.layers)",
        "    bits = 8 * sum(layer.bytes.total for layer in layers)",
        "    bits /= sum(layer.filters * layer.weights_per_filter for layer in layers)",
        "    print(name, cost.bytes.total, cost.ratio, bits, sum(layer.groups for layer in layers))",
        "    print(name, cost.operations.float_macs, cost.operations.binary_macs, cost.operations.network_speedup)",
    ]
    if trained:
        lines += [
            "images = load_test_set()",
            f'found = {{name: evaluate(obtain(pair[name]), images) for name in "{trained}"}}',
        ]
        lines += ["for name, counted in found.items():", "    print(name, counted.accuracy)"]
    if both_trained(pair):
        lines.append('both = Comparison(images.labels, found["A"].answers, found["B"].answers)')
        lines.append('print(both.count("now wrong"), both.count("now right"), both.points, both.chance)')
    if timed:
        lines = ["from pathlib import Path", "", *lines[:end], "from cfcore.timings import Benchmark", *lines[end:]]
        lines.append(TIMES.format(file=speed_code.file_of(timed.name, folder), model=pair[0].configuration.model))
    return "\n".join(lines)
