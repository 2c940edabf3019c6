"""What can be asked for: frozen, self-validating settings. The only home of defaults."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from cfcore.errors import bad_value

FLOAT_BITS = 32
QUANTIZED_BITS = tuple(range(1, 9))
LEAST_STEP = 1e-6  # of activations: learning may drive a step to 0 and below

MODELS = ("resnet20", "resnet32", "resnet44", "resnet56", "vgg_small", "vgg_small_half")
METHODS = ("float", "binary-weight", "xnor")
ORDERS = ("index", "sorted")
SOURCES = ("trained", "post-training")
SCALINGS = ("output", "group", "both", "folded")
SCALE_BITS = (16, FLOAT_BITS)

GroupSize = int | Literal["layer"]


@dataclass(frozen=True)
class Configuration:
    """One network, quantized one way.

    model            a name of `MODELS`
    method           float; binary-weight (weights quantized, activations float); xnor (both quantized)
    weight_bits      k_w: 1..8, or 32 for float
    activation_bits  k_a: 1..8, or 32 for float; 1 bit is the sign, 2..8 bits are unsigned levels
    group_size       m: filters that share one scaling factor; 1 is filter-wise, "layer" is layer-wise.
                     A layer with fewer than m filters is one group.
    order            which filters are grouped: neighbours by index (the paper), or by size of their own scale (ours)
    source           trained with this configuration, or quantized after training
    width            channel multiplier
    input_scale      XNOR-Net's K map: scale each output by the mean |input| under its window

    Raises ConfigError, naming the bad value, the allowed ones and the remedy.

    >>> Configuration(group_size=16).name
    'resnet20-xnor-w1a1-m16'
    >>> Configuration(weight_bits=9)
    Traceback (most recent call last):
    ...
    cfcore.errors.ConfigError: weight_bits = 9 is not allowed: use a whole number from 1 to 8. Choose 1 for one bit.
    """

    model: str = "resnet20"
    method: str = "xnor"
    weight_bits: int = 1
    activation_bits: int = 1
    group_size: GroupSize = 16
    order: str = "index"
    source: str = "trained"
    width: float = 1.0
    input_scale: bool = False

    def __post_init__(self) -> None:
        _one_of("model", self.model, MODELS)
        _one_of("method", self.method, METHODS)
        _one_of("order", self.order, ORDERS)
        _one_of("source", self.source, SOURCES)
        check_group_size(self.group_size)
        _number("width", self.width, 0.0625, 4.0, "Choose 1 for the published network.")
        if not isinstance(self.input_scale, bool):
            raise bad_value("input_scale", self.input_scale, "true or false", "Leave it out for false.")
        if self.method == "float":
            _exactly("weight_bits", self.weight_bits, "float")
            object.__setattr__(self, "group_size", 1)  # nothing is shared: one spelling for one network
            object.__setattr__(self, "order", "index")
            object.__setattr__(self, "source", "trained")
        else:
            check_bits("weight_bits", self.weight_bits)
        if self.method == "xnor":
            check_bits("activation_bits", self.activation_bits)
        else:
            _exactly("activation_bits", self.activation_bits, self.method)
        if self.group_size in (1, "layer"):
            object.__setattr__(self, "order", "index")  # there is nothing to order
        if self.input_scale and self.activation_bits != 1:  # more bits keep the magnitude, in their step
            remedy = "The K map restores the magnitude that the sign drops."
            raise bad_value("input_scale", True, f"false with {self.activation_bits}-bit activations", remedy)

    @classmethod
    def of(cls, **settings: Any) -> Self:
        """A configuration from any subset of settings; bits left out follow the method.

        >>> Configuration.of(method="binary-weight").activation_bits
        32
        """
        method = settings.get("method", cls.method)
        if method == "float":
            settings = {"weight_bits": FLOAT_BITS, "activation_bits": FLOAT_BITS, **settings}
        elif method == "binary-weight":
            settings = {"activation_bits": FLOAT_BITS, **settings}
        unknown = sorted(set(settings) - set(cls.__dataclass_fields__))
        if unknown:
            allowed = "one of " + ", ".join(cls.__dataclass_fields__)
            raise bad_value("setting", unknown[0], allowed, "Check the spelling.")
        return cls(**settings)

    @property
    def name(self) -> str:
        """A file-name-safe identity of everything but the source."""
        width = "" if self.width == 1 else f"-x{self.width:g}"
        if self.method == "float":
            return f"{self.model}{width}-float"
        group = self.group_size if self.group_size == "layer" else f"m{self.group_size}"
        extra = ("-sorted" if self.order == "sorted" else "") + ("-kmap" if self.input_scale else "")
        return f"{self.model}{width}-{self.method}-w{self.weight_bits}a{self.activation_bits}-{group}{extra}"

    @property
    def float_reference(self) -> Configuration:
        """The unquantized network of the same shape."""
        return Configuration.of(model=self.model, method="float", width=self.width)

    @property
    def has_steps(self) -> bool:
        """Whether activations are levels times a step (2..8 bits), rather than signs or floats."""
        return 1 < self.activation_bits < FLOAT_BITS

    @property
    def counts_bits(self) -> bool:
        """Whether convolutions can run on packed bits: activations are quantized, and no K map scales them."""
        return self.method == "xnor" and not self.input_scale

    @property
    def is_standard(self) -> bool:
        """Whether tables and pages can name it: of its model's own width, without XNOR-Net's K map."""
        return self.width == 1 and not self.input_scale

    def shared_by(self, filters: int) -> int:
        """How many filters of a layer share a factor: m, or all of them where the layer has fewer."""
        return shared_by(self.group_size, filters)

    def with_group_size(self, group_size: GroupSize) -> Configuration:
        """The same configuration, shared otherwise."""
        return replace(self, group_size=group_size)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LayerModel:
    """One layer for the formulas of `formula`, and how its operations are counted. Left out: XNOR-Net's own example.

    channels, kernel   c, and the side of the square kernel
    group_size         m: filters that share one scaling factor
    weight_bits, activation_bits  k_w, k_a
    word_bits          L: one-bit multiply-accumulates that are counted as one operation
    operations         counted for a float multiply-accumulate: 1, or 2 for the multiplication and the addition
    scaling            multiplications by a scaling factor: one for each "output"; one for each "group" of m outputs;
                       "both"; or none, "folded" into batch norm
    scale_bits         of a stored scaling factor, 16 or 32; a network's file has 32

    Raises ConfigError, naming the bad value, the allowed ones and the remedy.

    >>> LayerModel(kernel=1, channels=64).weights_per_filter
    64
    """

    channels: int = 256
    kernel: int = 3
    group_size: int = 1
    weight_bits: int = 1
    activation_bits: int = 1
    word_bits: float = 64
    operations: int = 1
    scaling: str = "output"
    scale_bits: int = FLOAT_BITS

    def __post_init__(self) -> None:
        for name, top in (("channels", 1_000_000), ("kernel", 64), ("group_size", 65_536), ("operations", 2)):
            check_whole(name, getattr(self, name), top, f"Choose {getattr(LayerModel, name)}.")
        check_bits("weight_bits", self.weight_bits)
        check_bits("activation_bits", self.activation_bits)
        _number("word_bits", self.word_bits, 1, 65_536, f"Choose {LayerModel.word_bits}.")
        _one_of("scaling", self.scaling, SCALINGS)
        if self.scale_bits not in SCALE_BITS:
            raise bad_value("scale_bits", self.scale_bits, "16 or 32", f"Choose {FLOAT_BITS}.")

    @property
    def weights_per_filter(self) -> int:
        """n = c·k²"""
        return self.channels * self.kernel**2

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    epochs           passes over the 50,000 training images
    batch_size       images per step
    optimizer        "sgd" (Nesterov, momentum 0.9) or "adam"
    learning_rate    peak; rises linearly over the first `warmup` of all steps, then falls by a cosine to 0
    weight_decay     L2 factor, on convolution and linear weights only
    label_smoothing  share of the target spread over all classes
    estimator        gradient of the activations' sign: "clip" (XNOR-Net) or "polynomial" (Bi-Real Net)
    scaling          scaling factors: "fitted" to the latent weights (XNOR-Net) or, at one bit, "learned" by gradient
                     (XNOR-Net++)
    activations_first  share of the epochs in which weights stay float while activations are already quantized
    distill          weight of the cross-entropy to the float network's outputs, 0 to 1; the labels have the rest
    precision        "bf16" or "fp32" arithmetic; the latent weights and the statistics are float32 in both
    seed             of weights, shuffling and augmentation
    """

    epochs: int = 30
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    warmup: float = 0.15
    estimator: str = "polynomial"
    scaling: str = "fitted"
    activations_first: float = 0.0
    distill: float = 0.0
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, ("sgd", "adam"))
        _one_of("estimator", self.estimator, ("clip", "polynomial"))
        _one_of("scaling", self.scaling, ("fitted", "learned"))
        _one_of("precision", self.precision, ("bf16", "fp32"))
        for name in ("epochs", "batch_size"):
            check_whole(name, getattr(self, name), 100_000, f"Choose {getattr(Recipe, name)}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise bad_value("seed", self.seed, "a whole number from 0 to 2^63 - 1", "Choose 0.")
        _number("learning_rate", self.learning_rate, 1e-8, 10.0, "Choose 0.1.")
        for name in ("weight_decay", "label_smoothing", "warmup", "activations_first", "distill"):
            _number(name, getattr(self, name), 0.0, 1.0, "Choose 0 to switch it off.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_bits(name: str, bits: object) -> None:
    """Refuse anything but 1..8."""
    check_whole(name, bits, max(QUANTIZED_BITS), "Choose 1 for one bit.")


def check_whole(name: str, value: object, top: int, remedy: str = "") -> None:
    """Refuse anything but 1..top."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= top:
        remedy = remedy or f"Choose {1 if value == 0 else top}."
        raise bad_value(name, value, f"a whole number from 1 to {top:,}", remedy)


def check_group_size(group_size: object, filters: int | None = None) -> None:
    """Refuse anything but 1, 2, 3, … (at most `filters` where given) or "layer"."""
    if group_size == "layer":
        return
    top = f" to {filters}, the filters of the widest layer," if filters else ""
    whole = isinstance(group_size, int) and not isinstance(group_size, bool)
    if not whole or not 1 <= group_size <= (filters or group_size):  # type: ignore[operator]
        raise bad_value(
            "group_size",
            group_size,
            f'a whole number from 1{top or " up,"} or "layer"',
            f'Choose {min(16, filters or 16)}, or "layer".',
        )


def check_order(order: str) -> str:
    """Refuse an order that there is none of."""
    _one_of("order", order, ORDERS)
    return order


def shared_by(group_size: GroupSize, filters: int) -> int:
    """How many of a layer's filters share one scaling factor.

    >>> shared_by(16, 64), shared_by(16, 10), shared_by("layer", 64)
    (16, 10, 64)
    """
    return filters if group_size == "layer" else min(group_size, filters)


def parse_group_size(text: str) -> GroupSize:
    """A group size as typed on a command line or in an address.

    >>> parse_group_size("16"), parse_group_size("layer")
    (16, 'layer')
    """
    value: Any = text
    if re.fullmatch(r"-?[0-9]{1,99}", text.strip()):
        value = int(text)
    check_group_size(value)
    return value


def _number(name: str, value: object, low: float, high: float, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise bad_value(name, value, f"a number from {low:g} to {high:g}", remedy)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise bad_value(name, value, "one of " + ", ".join(allowed), f"Choose {allowed[0]}.")


def _exactly(name: str, value: object, method: str) -> None:
    if value != FLOAT_BITS or not isinstance(value, int):
        other = "xnor" if name == "activation_bits" else "binary-weight"
        allowed = f"{FLOAT_BITS} (float) with method {method}"
        raise bad_value(name, value, allowed, f"Choose method {other} for fewer bits.")
