"""cfcore.shapes: what a name stands for, and which shapes are refused."""

import pytest

from cfcore.errors import ConfigError
from cfcore.shapes import MAX_MACS, VGG16, parse_layers
from cfcore.timings import layer_name

# VGG-16 as the paper lists it, configuration D: filters of each convolution, and where pixels halve
VGG16_PAPER = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)


def test_vgg16_is_that_of_the_paper() -> None:
    shapes, channels, size = [], 3, 224
    for filters in VGG16_PAPER:
        if filters == "pool":
            size //= 2
            continue
        shapes.append(f"{channels},{size},{filters},3,1")
        channels = int(filters)
    assert shapes.pop(0) == "3,224,64,3,1"  # stays float
    assert [layer_name(conv) for conv in parse_layers("vgg16")] == list(dict.fromkeys(shapes))
    assert VGG16[0].macs == 64 * (64 * 3 * 3) * 224 * 224
    assert max(conv.macs for conv in VGG16) <= MAX_MACS


def test_layers_by_name() -> None:
    assert [layer_name(conv) for conv in parse_layers("resnet18")] == [
        "64,56,64,3,1",
        "128,28,128,3,1",
        "256,14,256,3,1",
        "512,7,512,3,1",
    ]
    assert [layer_name(conv) for conv in parse_layers("vgg_small")] == [
        "128,32,128,3,1",
        "128,16,256,3,1",
        "256,16,256,3,1",
        "256,8,512,3,1",
        "512,8,512,3,1",
    ]
    (conv,) = parse_layers(" 64, 7,32,5 ,2")
    assert (conv.channels, conv.size, conv.filters, conv.kernel, conv.stride, conv.padding) == (64, 7, 32, 5, 2, 2)


@pytest.mark.parametrize("layers", ["", "resnet19", "64,56,64,3", "64,56,64,3,1,1"])
def test_bad_layers(layers: str) -> None:
    with pytest.raises(
        ConfigError, match=r"layers = .* is not allowed: use resnet18, .* or five whole numbers C,H,F,K,S"
    ):
        parse_layers(layers)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("0,56,64,3,1", "channels = 0 is not allowed: use a whole number from 1 to 4,096"),
        ("64,56,64,16,1", "kernel = 16 is not allowed: use a whole number from 1 to 15"),
        ("64,99999999,64,3,1", "size = 99999999 is not allowed"),
        ("64,56,64,3,x", "shape = '64,56,64,3,x' is not allowed: use five whole numbers C,H,F,K,S"),
        ("1.5,2,3,1,1", "shape = '1.5,2,3,1,1' is not allowed"),
        ("-1,1,1,1,1", "shape = '-1,1,1,1,1' is not allowed"),
        (
            "4096,512,4096,3,1",
            "shape = '4096,512,4096,3,1' is not allowed: use at most 2,000,000,000 multiply-accumulates",
        ),
    ],
)
def test_layers_out_of_range(layers: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_layers(layers)
