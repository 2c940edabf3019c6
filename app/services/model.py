"""The cost model: one layer by formula, curves of it, what was published, and the shipped timings beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.figures.model import Curve, Level, Point
from app.services import networks, snippets, speed, speed_code
from app.services.speed import Benchmark
from cfcore.architecture import Conv
from cfcore.config import FLOAT_BITS, Configuration, LayerModel
from cfcore.errors import CheckpointError
from cfcore.formula import (
    CANDIDATES,
    CROSS_FILTER_SPEEDUP,
    PUBLISHED_RATIO,
    XNOR_NET_SPEEDUP,
    Estimate,
    estimate,
    vector_word_bits,
)
from cfcore.timings import conv_of

__all__ = [  # records of cfcore, for those above
    "CANDIDATES",
    "CROSS_FILTER_SPEEDUP",
    "MANY",
    "PUBLISHED_RATIO",
    "XNOR_NET_SPEEDUP",
    "Estimate",
    "LayerModel",
    "estimate",
    "vector_word_bits",
]

OVER = {  # the inputs that curves can run over, and their values
    "channels": (1, 2, 4, 8, 16, 32, 64, 96, 128, 256, 512, 1024),
    "group_size": (1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 256, 512),
    "kernel": (1, 3, 5, 7, 11),
}
WORDS = {"32/3": vector_word_bits(), **{str(bits): float(bits) for bits in (32, 64, 128, 256, 512)}}  # by L's name
KERNELS, SIZES, MANY = (1, 3, 5, 7), (1, 4, 16), 16  # MANY: what sharing is shown with
FILTERS = (16, 32, 64, 96, 128, 144, 256, 288, 400, 512, 576, 864, 1152, 1600, 2304, 2400, 4608)  # weights of one


@dataclass(frozen=True)
class Measured:
    """A shipped timing of a convolution at some bits.

    name          of the set
    times_faster  the median of torch fp32's whole layer over the packed layer's, float in and out
    packed_share  of the one-bit multiply-accumulates that the machine's vector ports can do, as measured beside it
    float_share   of that number over `vector_word_bits`: of fp32's peak, where floats have as many ports as bits

    times_faster = vector_word_bits / (k_w·k_a) · packed_share / float_share
    """

    name: str
    conv: Conv
    times_faster: float
    packed_share: float
    float_share: float
    benchmark: Benchmark


def of_layer(configuration: Configuration, conv: Conv) -> LayerModel:
    """The formulas' inputs for a layer of a network. Each output is scaled once, as this project does.

    A layer whose weights or activations are float counts with one bit.
    """
    bits = (configuration.weight_bits, configuration.activation_bits)
    weight_bits, activation_bits = (1 if b == FLOAT_BITS else b for b in bits)
    m = 1 if configuration.method == "float" else configuration.shared_by(conv.filters)
    return LayerModel(conv.channels, conv.kernel, m, weight_bits, activation_bits)


def curves(model: LayerModel, over: str) -> tuple[list[Curve], list[Curve]]:
    """Memory ratio and speed-up over one input: a curve for each of a family."""
    own = f"m = {model.group_size}" if over == "kernel" else f"{model.kernel}×{model.kernel}"
    values = _values(model, over)
    memory, speeds = [], []
    for label, base in _family(model, over).items():
        found = [estimate(replace(base, **{over: value})) for value in values]
        kind = {"chosen": label == own, "other": label.startswith("1×1, ")}
        memory.append(Curve(label, tuple(values), tuple(e.memory_ratio for e in found), **kind))
        speeds.append(Curve(label, tuple(values), tuple(e.speedup for e in found), **kind))
    return memory, speeds


def _values(model: LayerModel, over: str) -> list[Any]:
    return sorted({*OVER[over], getattr(model, over)})


def _family(model: LayerModel, over: str) -> dict[str, LayerModel]:
    """A model for each kernel, or over the kernel for some group sizes.

    Over channels one more shows what sharing among 16 does to the smallest kernel, or not sharing, if m is 16.
    """
    if over == "kernel":
        return {f"m = {m}": replace(model, group_size=m) for m in sorted({*SIZES, model.group_size})}
    family = {f"{k}×{k}": replace(model, kernel=k) for k in sorted({*KERNELS, model.kernel})}
    if over == "channels":
        against = 1 if model.group_size >= MANY else MANY
        family[f"1×1, m = {against}"] = replace(model, kernel=1, group_size=against)
    return family


def levels(model: LayerModel) -> tuple[list[Level], list[Level]]:
    """Heights to compare the curves with: of memory, and of speed."""
    least = FLOAT_BITS / model.weight_bits
    bits = "a bit" if model.weight_bits == 1 else f"{model.weight_bits} bits"
    return [Level(f"{least:g}×: {bits} a weight and nothing else", least)], published()


def published() -> list[Level]:
    return [
        Level(f"{CROSS_FILTER_SPEEDUP}×, published (cross-filter)", CROSS_FILTER_SPEEDUP),
        Level(f"{XNOR_NET_SPEEDUP}×, published (XNOR-Net)", XNOR_NET_SPEEDUP),
    ]


def speed_curves(model: LayerModel) -> list[Curve]:
    """Times faster over the weights of a filter: as set, as XNOR-Net counts, and as a processor with vectors does."""
    xnor = replace(LayerModel(), weight_bits=model.weight_bits, activation_bits=model.activation_bits)
    vectors = replace(xnor, word_bits=vector_word_bits(), scaling="folded")
    drawn = [_over_n("computed, vector instructions", vectors, other=True)]
    if (model.word_bits, model.operations, model.scaling) == (xnor.word_bits, xnor.operations, xnor.scaling):
        return [*drawn, _over_n("computed, XNOR-Net's count", model, chosen=True)]
    return [*drawn, _over_n("computed, XNOR-Net's count", xnor), _over_n("computed, your count", model, chosen=True)]


def _over_n(label: str, model: LayerModel, chosen: bool = False, other: bool = False) -> Curve:
    values = sorted({*FILTERS, model.weights_per_filter})
    found = [estimate(replace(model, channels=n, kernel=1)).speedup for n in values]
    return Curve(label, tuple(map(float, values)), tuple(found), chosen, other)


def points(model: LayerModel, timings: list[Measured]) -> list[Point]:
    """The marks of the same plane. The published 122 has no n: it is a level only."""
    example, own = LayerModel(), estimate(model)
    found = [
        Point(f"measured: {described(t.conv)}", "measured", t.conv.weights_per_filter, t.times_faster) for t in timings
    ]
    found += [
        Point(f"candidate {letter}", "candidate", c.weights_per_filter, estimate(c).speedup)
        for letter, c in zip("ABC", CANDIDATES, strict=True)
    ]
    found.append(Point("published: XNOR-Net", "published", example.weights_per_filter, XNOR_NET_SPEEDUP))
    found.append(Point("computed, as set above", "chosen", model.weights_per_filter, own.speedup))
    return found


def described(conv: Conv) -> str:
    stride = "" if conv.stride == 1 else f", stride {conv.stride}"
    return f"{conv.channels} → {conv.filters} channels, {conv.size}² pixels, {conv.kernel}×{conv.kernel}{stride}"


# ---- measured


def measured(weight_bits: int, activation_bits: int, folder: Path) -> list[Measured]:
    """The timings at these bits of one shipped set, the first that has any, from the narrowest layer.

    A result that did not match its reference counts for nothing. Raises CheckpointError for a damaged file.
    """
    for name in speed.names(folder):
        found: dict[str, Measured] = {}
        for benchmark in speed.of_set(name, folder):
            if (benchmark.weight_bits, benchmark.activation_bits) == (weight_bits, activation_bits):
                found |= {row.layer: timed for row in benchmark.rows if (timed := _timed(name, benchmark, row.layer))}
        if found:
            return sorted(found.values(), key=lambda timing: (timing.conv.weights_per_filter, timing.conv.size))
    return []


def _timed(name: str, benchmark: Benchmark, layer: str) -> Measured | None:
    """What a benchmark says of one layer; None of a network, and where one side is missing or wrong."""
    conv, own = conv_of(layer), benchmark.of_layer(layer)
    packed, floats = (own and own.find(name, "layer") for name in ("packed", "torch-fp32"))
    if not (conv and own and packed and floats and packed.matches_reference and floats.matches_reference):
        return None
    float_share = floats.gmacs * vector_word_bits() / (own.port_bound * own.threads)
    return Measured(name, conv, floats.median_s / packed.median_s, packed.gmacs / own.bound, float_share, own)


def nearest(model: LayerModel, timings: Sequence[Measured]) -> Measured:
    """The timing whose filters have about as many weights; of several, a plain layer of few pixels."""

    def distance(timing: Measured) -> tuple[float, int, bool, int]:
        conv = timing.conv
        apart = abs(math.log(conv.weights_per_filter / model.weights_per_filter))
        return apart, conv.stride, conv.channels != conv.filters, conv.size

    return min(timings, key=distance)


# ---- the same numbers elsewhere


def command(model: LayerModel, configuration: Configuration) -> str:
    """Command lines that print the formulas' result, the network's ledger, and the measured ratios."""
    return "\n".join([formula_command(model), snippets.command("cost", configuration), "python -m cfcore bench table"])


def formula_command(model: LayerModel) -> str:
    """The command line that prints the formulas' result."""
    usual = LayerModel().to_dict()
    options = [f" --{name.replace('_', '-')} {v}" for name, v in model.to_dict().items() if v != usual[name]]
    return "python -m cfcore formula" + "".join(options)


def python(model: LayerModel, configuration: Configuration, over: str) -> str:
    """The same in Python, with the curves."""
    family = "".join(f"\n    {label!r}: {_spelled(base)}," for label, base in _family(model, over).items())
    return f"""from dataclasses import replace

from cfcore.config import Configuration, LayerModel
from cfcore.cost import network_cost
from cfcore.formula import CANDIDATES, estimate

layer = estimate({_spelled(model)})
print(layer.memory_ratio, layer.speedup)
curves = {{{family}
}}
for label, model in curves.items():
    for value in {_values(model, over)}:
        point = estimate(replace(model, {over}=value))
        print(label, value, point.memory_ratio, point.speedup, sep="; ")
for candidate in CANDIDATES:
    print(candidate, estimate(candidate).speedup)
cost = network_cost({snippets.spelled(configuration)})
for step in cost.steps:
    print(step.part, step.bytes, step.float_bytes, step.ratio)
print(cost.bytes.total, cost.ratio, cost.operations.network_speedup)
{_shares(model)}"""


def _spelled(model: LayerModel) -> str:
    usual = LayerModel().to_dict()
    given = ", ".join(f"{name}={v!r}" for name, v in model.to_dict().items() if v != usual[name])
    return f"LayerModel({given})"


def _shares(model: LayerModel) -> str:
    """What the packed layers and fp32's make of their bounds, in the set whose timings are drawn."""
    try:
        timings = measured(model.weight_bits, model.activation_bits, networks.folder())
    except CheckpointError:  # said beside the chart
        return ""
    if not timings:
        return ""
    file = speed_code.file_of(timings[0].name, networks.folder())
    return f"""
from pathlib import Path

from cfcore.formula import vector_word_bits
from cfcore.timings import Benchmark

for benchmark in Benchmark.read(Path({file!r})):
    if (benchmark.weight_bits, benchmark.activation_bits) == {(model.weight_bits, model.activation_bits)}:
        rate = benchmark.port_bound * benchmark.threads / vector_word_bits()
        for row in benchmark.rows:
            if row.stage == "layer":
                print(row.layer, row.backend, row.gmacs / (benchmark.bound if row.backend == "packed" else rate))
"""
