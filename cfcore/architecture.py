"""The networks as data: which convolutions follow which, at what size. Costs, models and the runtime all read this."""

from __future__ import annotations

from dataclasses import dataclass

from cfcore.config import Configuration, check_group_size
from cfcore.errors import bad_value

CLASSES = 10
IMAGE_SIZE = 32
IMAGE_CHANNELS = 3
VGG_WIDTHS = {"vgg_small": 1.0, "vgg_small_half": 0.5}


@dataclass(frozen=True)
class Conv:
    """One square convolution without bias, and what stands around it.

    channels, filters  C and F
    size               height and width of its input
    quantized          False for the first layer, which stays float
    pool               a 2x2 maximum pool follows the convolution
    """

    name: str
    channels: int
    filters: int
    size: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    quantized: bool = True
    pool: bool = False

    @property
    def weights_per_filter(self) -> int:
        """n = C·kh·kw"""
        return self.channels * self.kernel**2

    @property
    def output_size(self) -> int:
        """Height and width of its output, before any pool."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, padded taps counted."""
        return self.filters * self.weights_per_filter * self.output_size**2


@dataclass(frozen=True)
class Architecture:
    """A chain of convolutions and a linear classifier.

    family  "resnet": shortcuts every one or two convolutions, then global average pooling; "vgg": none, flattened
    norms   channels of each batch normalisation, in order
    slopes  how many PReLUs there are
    """

    model: str
    family: str
    block: str
    convs: tuple[Conv, ...]
    norms: tuple[int, ...]
    features: int
    classes: int = CLASSES

    @property
    def slopes(self) -> int:
        return len(self.convs) - 1 if self.block == "binary" else 0


def architecture(configuration: Configuration) -> Architecture:
    """The network that a configuration asks for.

    ResNet of depth 6n + 2 (He et al., arXiv 1512.03385, CIFAR form) comes with two blocks. "basic": convolution, norm,
    ReLU, with a shortcut around every two convolutions. "binary": norm, sign, convolution, with a shortcut around every
    convolution (XNOR-Net's order; Bi-Real Net's shortcuts, but not its norm between convolution and sum), and behind
    each sum a PReLU of one slope (He et al., arXiv 1502.01852); it is for trained one-bit activations. Whatever is
    quantized from the float network without training keeps the float network's block.

    VGG-small: 128, 128, pool, 256, 256, pool, 512, 512, pool (Zhang et al., LQ-Nets, arXiv 1807.10029), with each norm
    after its pool. "vgg_small_half" has half the filters in every layer, and a quarter of the work: what two cores
    train in hours.

    >>> [c.filters for c in architecture(Configuration(model="vgg_small")).convs]
    [128, 128, 256, 256, 512, 512]
    """
    if configuration.model in VGG_WIDTHS:
        network = _vgg_small(configuration.model, configuration.width * VGG_WIDTHS[configuration.model])
    else:
        signs = configuration.activation_bits == 1 and configuration.source == "trained"
        block = "binary" if signs else "basic"
        network = _resnet(configuration.model, configuration.width, block)
    check_group_size(configuration.group_size, max(c.filters for c in network.convs))
    return network


def canonical(configuration: Configuration) -> Configuration:
    """One spelling for one network: a group as large as the widest layer is layer-wise.

    >>> canonical(Configuration(group_size=64)).name
    'resnet20-xnor-w1a1-layer'
    """
    widest = max(conv.filters for conv in architecture(configuration).convs)
    return configuration.with_group_size("layer") if configuration.group_size == widest else configuration


def _resnet(model: str, width: float, block: str) -> Architecture:
    per_stage = (int(model.removeprefix("resnet")) - 2) // 6 * 2
    widths = [_scaled(w, width) for w in (16, 32, 64)]
    convs = [Conv("convs.0", IMAGE_CHANNELS, widths[0], IMAGE_SIZE, quantized=False)]
    for stage, filters in enumerate(widths):
        for i in range(per_stage):
            previous = convs[-1]
            stride = 2 if stage and not i else 1
            convs.append(Conv(f"convs.{len(convs)}", previous.filters, filters, previous.output_size, stride=stride))
    # basic: a norm after each convolution; binary: one before each but the first, and one at the end
    norms = [c.filters for c in convs] if block == "basic" else [c.channels for c in convs[1:]] + [convs[-1].filters]
    return Architecture(model, "resnet", block, tuple(convs), tuple(norms), features=widths[-1])


def _vgg_small(model: str, width: float) -> Architecture:
    convs: list[Conv] = []
    channels, size = IMAGE_CHANNELS, IMAGE_SIZE
    for i, filters in enumerate(_scaled(w, width) for w in (128, 128, 256, 256, 512, 512)):
        pool = i % 2 == 1
        convs.append(Conv(f"convs.{i}", channels, filters, size, quantized=i > 0, pool=pool))
        channels, size = filters, size // 2 if pool else size
    return Architecture(model, "vgg", "basic", tuple(convs), tuple(c.filters for c in convs), channels * size**2)


def _scaled(channels: int, width: float) -> int:
    scaled = channels * width
    if scaled != int(scaled):
        raise bad_value("width", width, "a multiple that leaves whole channels", "Choose 0.25, 0.5, 1 or 2.")
    return int(scaled)
