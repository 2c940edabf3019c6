"""What a network costs, computed layer by layer: bytes on disk and operations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cfcore.architecture import Conv, architecture
from cfcore.config import FLOAT_BITS, Configuration
from cfcore.formula import xnor_speedup

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Bytes:
    """Bytes by part; `total` is the size of the saved file's tensors (its header apart).

    weights       k_w·F·n/8 of the quantized layers, rounded down
    scales        4·⌈F/m⌉ of the scaling factors, and 4 for each layer's activation step (2..8 bits)
    order         2·F where groups are sorted
    float_layers  the first convolution and the classifier; every layer of a float network
    batch_norm    8 a channel (scale and shift), 16 for a float network, which keeps its statistics; 4 for each PReLU
    padding       whole bytes for each filter and plane: ⌈n/8⌉ of them
    """

    weights: int = 0
    scales: int = 0
    order: int = 0
    float_layers: int = 0
    batch_norm: int = 0
    padding: int = 0

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(**{part: a + getattr(other, part) for part, a in asdict(self).items()})

    def to_dict(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True)
class LayerCost:
    """One convolution.

    filters, weights_per_filter, groups  F, n and G
    macs             multiply-accumulates for one image
    bits_per_weight  stored bits, scaling factors included, over F·n
    ratio            float32 bytes over stored bytes
    """

    name: str
    quantized: bool
    filters: int
    weights_per_filter: int
    groups: int
    macs: int
    bits_per_weight: float
    ratio: float
    bytes: Bytes

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bytes": self.bytes.to_dict()}


@dataclass(frozen=True)
class Operations:
    """Multiply-accumulates for one image, and XNOR-Net's model of the speed-up that bitwise counting could give.

    float_macs    done in float
    binary_macs   counted on packed bits
    ideal_speedup of the quantized layers (0 where activations are float: nothing is counted bitwise)
    """

    float_macs: int
    binary_macs: int
    ideal_speedup: float

    @property
    def network_speedup(self) -> float:
        """The same model for the whole network, (F + B) / (F + B/S): its float layers gain nothing (Amdahl's law).

        >>> Operations(float_macs=1, binary_macs=99, ideal_speedup=99.0).network_speedup
        50.0
        """
        bitwise = self.binary_macs / self.ideal_speedup if self.binary_macs else 0.0
        return (self.float_macs + self.binary_macs) / (self.float_macs + bitwise)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "network_speedup": self.network_speedup}


@dataclass(frozen=True)
class Step:
    """A part of the ledger, and the ratio to float32 of all parts up to this one.

    bytes, float_bytes  of this part alone, here and in the float network
    """

    part: str
    bytes: int
    float_bytes: int
    ratio: float


@dataclass(frozen=True)
class Cost:
    """The ledger. `float_bytes` is the float network's file; `ratio` is that over `bytes.total`."""

    configuration: Configuration
    bytes: Bytes
    float_bytes: int
    operations: Operations
    layers: tuple[LayerCost, ...]

    @property
    def ratio(self) -> float:
        return self.float_bytes / self.bytes.total

    @property
    def steps(self) -> tuple[Step, ...]:
        """From the ideal ratio to the network's: its parts one after the other, those of no bytes left out.

        The quantized weights alone come to 32 / k_w; what stands beside them, and what stays float, lowers that.

        >>> [f"{step.part} {step.ratio:.2f}" for step in network_cost(Configuration(group_size=16)).steps]
        ['weights 32.00', 'scales 31.84', 'float_layers 28.32', 'batch_norm 24.94']
        """
        floats = network_cost(self.configuration.float_reference).bytes
        were = {
            "weights": floats.float_layers - self.bytes.float_layers,
            "float_layers": self.bytes.float_layers,
            "batch_norm": floats.batch_norm,
        }
        found: list[Step] = []
        stored = was = 0
        for part, size in asdict(self.bytes).items():
            before = were.get(part, 0)
            if size:
                stored, was = stored + size, was + before
                found.append(Step(part, size, before, was / stored))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.configuration.to_dict(),
            "bytes": self.bytes.to_dict(),
            "float_bytes": self.float_bytes,
            "ratio": self.ratio,
            "steps": [asdict(step) for step in self.steps],
            "operations": self.operations.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
        }


def network_cost(configuration: Configuration) -> Cost:
    """The whole ledger of a network; equal to its saved file to the byte.

    >>> network_cost(Configuration(group_size=16)).bytes.total
    43480
    """
    network = architecture(configuration)
    layers = tuple(layer_cost(conv, configuration) for conv in network.convs)
    is_float = configuration.method == "float"
    norm_bytes = FLOAT_BYTES * ((4 if is_float else 2) * sum(network.norms) + network.slopes)
    head_bytes = FLOAT_BYTES * (network.features + 1) * network.classes
    total = sum((layer.bytes for layer in layers), Bytes(batch_norm=norm_bytes, float_layers=head_bytes))
    float_bytes = total.total if is_float else network_cost(configuration.float_reference).bytes.total
    quantized = [conv for conv in network.convs if conv.quantized]
    binary_macs = sum(conv.macs for conv in quantized) if configuration.counts_bits else 0
    float_macs = sum(conv.macs for conv in network.convs) + network.features * network.classes - binary_macs
    planes = configuration.weight_bits * configuration.activation_bits
    modelled = sum(conv.macs / xnor_speedup(conv.weights_per_filter, planes=planes) for conv in quantized)
    operations = Operations(float_macs, binary_macs, binary_macs / modelled if binary_macs else 0.0)
    return Cost(configuration, total, float_bytes, operations, layers)


def layer_cost(conv: Conv, configuration: Configuration) -> LayerCost:
    """Bytes and operations of one convolution.

    Weights take k_w·F·n bits, scaling factors 32·⌈F/m⌉ bits (Lyu, Zhu, Liu, arXiv 2005.09034: m filters share one).
    """
    filters, n = conv.filters, conv.weights_per_filter
    quantized = conv.quantized and configuration.weight_bits < FLOAT_BITS
    groups = 0
    if quantized:
        m = configuration.shared_by(filters)
        groups = -(-filters // m)
        weights = configuration.weight_bits * filters * n // 8
        step = FLOAT_BYTES if configuration.has_steps else 0
        size = Bytes(
            weights=weights,
            scales=groups * FLOAT_BITS // 8 + step,
            order=2 * filters if configuration.order == "sorted" and 1 < m < filters else 0,
            padding=configuration.weight_bits * filters * -(-n // 8) - weights,
        )
    else:
        size = Bytes(float_layers=FLOAT_BYTES * filters * n)
    return LayerCost(
        conv.name,
        quantized,
        filters,
        n,
        groups,
        conv.macs,
        bits_per_weight=8 * size.total / (filters * n),
        ratio=FLOAT_BYTES * filters * n / size.total,
        bytes=size,
    )
