"""What the shipped networks come to: means over training seeds, paired differences, and the README's tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfcore.config import FLOAT_BITS, METHODS, GroupSize
from cfcore.cost import network_cost
from cfcore.manifest import Entry

T95 = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776}  # by sample: 97.5 % of Student's t lie below

# Top-1 in %, CIFAR-10, as the publications state it, with their epochs where they do. By model, method, weight bits and
# activation bits.
PUBLISHED = {
    ("resnet20", "float", 32, 32): "91.7 to 92.9",
    ("resnet20", "binary-weight", 1, 32): "DoReFa (by others) 90.5; IR-Net 90.8 (400); ReSTE 91.3 (1,000)",
    ("resnet20", "xnor", 1, 1): "IR-Net 86.5 (400); ReCU 87.5 (600); AdaBin 88.1 (400); IE-Net 88.5 (400)",
    ("resnet20", "xnor", 2, 2): "PACT 88.9; APoT 91.0",
    ("resnet20", "xnor", 4, 4): "DoReFa (by others), PACT 90.8 to 91.5; APoT 92.5",
    ("vgg_small", "float", 32, 32): "93.3 to 93.8",
    ("vgg_small", "binary-weight", 1, 32): "BWN 90.1",
    ("vgg_small", "xnor", 1, 1): "XNOR-Net 89.8; IR-Net 90.4; ReCU 92.2; ReSTE 92.6",
    ("vgg_small", "xnor", 2, 2): "LSQ 93.4",
    ("vgg_small", "xnor", 4, 4): "LSQ 94.3",
}
NONE = "—"


@dataclass(frozen=True)
class Paired:
    """Accuracy of one network less that of another, seed by seed, in points.

    mean       of the differences
    deviation  of the sample of differences
    chance     half the 95 % confidence interval of the mean, t·deviation/√n: a difference up to it may be chance

    >>> Paired.of({"0": 90.0, "1": 91.0, "2": 92.0}, {"0": 90.5, "1": 91.25, "2": 92.75})
    Paired(mean=-0.5, deviation=0.25, count=3)
    """

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, seeds: Mapping[str, float], other: Mapping[str, float]) -> Paired | None:
        """Over the seeds that both have; None for fewer than two."""
        differences = [seeds[seed] - other[seed] for seed in seeds if seed in other]
        if len(differences) < 2:
            return None
        return cls(statistics.mean(differences), statistics.stdev(differences), len(differences))

    @property
    def chance(self) -> float:
        return T95.get(self.count, T95[5]) * self.deviation / math.sqrt(self.count)

    @property
    def beyond_chance(self) -> bool:
        return abs(self.mean) > self.chance


def difference(entry: Entry, other: Entry) -> Paired | None:
    """A network less its sibling, seed by seed; None where they are no siblings, which go on from the same network for
    the same number of epochs, and where both have not several seeds.
    """
    one, another = ((e.plan, e.epochs, e.command.rpartition(" && ")[0]) for e in (entry, other))
    return Paired.of(entry.seeds, other.seeds) if one == another else None


def spread(accuracies: Sequence[float]) -> str:
    """Mean ± sample deviation of several seeds, or the one number.

    >>> spread([90.5]), spread([90.0, 91.0, 92.0])
    ('90.50', '91.00 ± 1.00')
    """
    if len(accuracies) == 1:
        return f"{accuracies[0]:.2f}"
    return f"{statistics.mean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f}"


def markdown(shipped: Sequence[Entry]) -> str:
    """The README's tables: each model's methods and numbers of bits by group size, then the paired differences.
    Standard networks only.
    """
    shipped = [e for e in shipped if e.configuration.is_standard]
    parts = []
    for model in dict.fromkeys(e.configuration.model for e in shipped):
        parts.append(_by_group_size([e for e in shipped if e.configuration.model == model]))
    paired = _paired(shipped)
    return "\n\n".join([*parts, paired] if paired else parts)


def _by_group_size(shipped: Sequence[Entry]) -> str:
    """One model: a row for method and bits, a column for each group size, `sorted` after the same size by index."""
    families: dict[tuple[str, int, int], dict[tuple[GroupSize, str], Entry]] = {}
    for entry in shipped:
        c = entry.configuration
        families.setdefault((c.method, c.weight_bits, c.activation_bits), {})[c.group_size, c.order] = entry
    quantized = {key: cells for key, cells in families.items() if key[0] != "float"}
    columns = sorted({column for cells in quantized.values() for column in cells}, key=_place) or [(1, "index")]
    model = shipped[0].configuration.model
    titles = [model, *(_title(*column) for column in columns), "times smaller", "epochs", "plan", "published (epochs)"]
    lines = [_row(titles), _row(["---"] * len(titles))]
    for family in sorted(families, key=lambda key: (METHODS.index(key[0]), *key[1:])):
        method, weights, activations = family
        cells = families[family]
        found = list(cells.values())
        bits = f" {weights}" * (weights < FLOAT_BITS) + f" × {activations}" * (activations < FLOAT_BITS)
        if method == "float":
            accuracies = [spread(list(found[0].seeds.values())), *[NONE] * (len(columns) - 1)]
        else:
            accuracies = [spread(list(cells[c].seeds.values())) if c in cells else NONE for c in columns]
        ratios = sorted(network_cost(entry.configuration).ratio for entry in found)
        smaller = " to ".join(dict.fromkeys(f"{ratio:.1f}" for ratio in (ratios[0], ratios[-1])))
        published = PUBLISHED.get((model, *family), NONE)
        lines.append(_row([method + bits, *accuracies, smaller, _all("epochs", found), _all("plan", found), published]))
    return "\n".join(lines)


def _paired(shipped: Sequence[Entry]) -> str:
    """Each group size with several seeds against m = 1 of the same family."""
    lines = []
    for entry in shipped:
        c = entry.configuration
        alone = next((e for e in shipped if e.configuration == c.with_group_size(1)), None)
        found = difference(entry, alone) if alone and c.group_size != 1 else None
        if found is not None:
            pair = f"{_signed(found.mean)} ± {found.deviation:.2f}"
            lines.append(_row([f"`{c.name}`", pair, str(found.count), f"±{found.chance:.2f}"]))
    head = [_row(["less m = 1, paired by seed", "points", "seeds", "95 % confidence interval"]), _row(["---"] * 4)]
    return "\n".join([*head, *lines]) if lines else ""


def _place(column: tuple[GroupSize, str]) -> tuple[bool, float, str]:
    m, order = column
    return m == "layer", float(m) if isinstance(m, int) else 0.0, order


def _title(m: GroupSize, order: str) -> str:
    return (f"m = {m}" if isinstance(m, int) else m) + ", sorted" * (order == "sorted")


def _all(name: str, found: Sequence[Entry]) -> str:
    """The values of a field, each once."""
    return ", ".join(dict.fromkeys(str(getattr(entry, name)) for entry in found))


def _signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "−")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
