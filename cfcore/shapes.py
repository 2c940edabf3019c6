"""Shapes of convolutions to time, by name or as five numbers. Loads no torch."""

from __future__ import annotations

from cfcore.architecture import Conv, architecture
from cfcore.config import MODELS, Configuration, check_whole
from cfcore.errors import bad_value
from cfcore.timings import layer_name

# the 3×3 convolutions of the four stages of ImageNet's ResNet-18 (He et al., arXiv 1512.03385), from 56² pixels to 7²
RESNET18 = tuple(Conv(f"stage{i}", c, c, 3584 // c) for i, c in enumerate((64, 128, 256, 512), 1))

# the distinct 3×3 convolutions of ImageNet's VGG-16 (Simonyan and Zisserman, arXiv 1409.1556) that are quantized, all
# but the first; named as there, stage and place
VGG16 = tuple(
    Conv(f"conv{place}", channels, filters, size)
    for place, channels, filters, size in (
        ("1_2", 64, 64, 224),
        ("2_1", 64, 128, 112),
        ("2_2", 128, 128, 112),
        ("3_1", 128, 256, 56),
        ("3_2", 256, 256, 56),
        ("4_1", 256, 512, 28),
        ("4_2", 512, 512, 28),
        ("5_1", 512, 512, 14),
    )
)

IMAGENET = {"resnet18": RESNET18, "vgg16": VGG16}
NAMES = (*IMAGENET, *MODELS)
LIMITS = {"channels": 4096, "size": 512, "filters": 4096, "kernel": 15, "stride": 8}
MAX_MACS = 2 * 10**9


def parse_layers(layers: str) -> tuple[Conv, ...]:
    """The quantized convolutions that a name or "C,H,F,K,S" stands for, each shape once.

    >>> [layer_name(conv) for conv in parse_layers("resnet20")]
    ['16,32,16,3,1', '16,32,32,3,2', '32,16,32,3,1', '32,16,64,3,2', '64,8,64,3,1']
    >>> parse_layers("0,56,64,3,1")
    Traceback (most recent call last):
    ...
    cfcore.errors.ConfigError: channels = 0 is not allowed: use a whole number from 1 to 4,096. Choose 1.
    """
    if layers in IMAGENET:
        return IMAGENET[layers]
    if layers in MODELS:
        quantized = [conv for conv in architecture(Configuration(model=layers)).convs if conv.quantized]
        return tuple({layer_name(conv): conv for conv in quantized}.values())
    if layers.count(",") != len(LIMITS) - 1:
        allowed = ", ".join((*NAMES, "or five whole numbers C,H,F,K,S"))
        raise bad_value("layers", layers, allowed, "Choose 64,56,64,3,1.")
    return (parse_shape(layers),)


def parse_shape(shape: str) -> Conv:
    """A convolution from "C,H,F,K,S": channels, height and width, filters, kernel, stride. Raises ConfigError."""
    fields = [field.strip() for field in shape.split(",")]
    if len(fields) != len(LIMITS) or not all(f.isascii() and f.isdecimal() and len(f) < 99 for f in fields):
        raise bad_value("shape", shape, "five whole numbers C,H,F,K,S", "Choose 64,56,64,3,1.")
    for (name, top), field in zip(LIMITS.items(), fields, strict=True):
        check_whole(name, int(field), top)
    channels, size, filters, kernel, stride = map(int, fields)
    conv = Conv("custom", channels, filters, size, kernel, stride, padding=kernel // 2)
    if max(conv.macs, channels * size**2 * 64) > MAX_MACS:
        raise bad_value("shape", shape, f"at most {MAX_MACS:,} multiply-accumulates", "Choose a smaller layer.")
    return conv
