"""Random convolutions of every kind, each integer equal to the naive oracle's; also with the compiler held to AVX2."""

import naive
import numpy as np
import pytest
from machines import features, run_on

from cfcore.errors import ConfigError
from cfcore.kernels import operands, packed, prepare, reference

SHAPES = 2000


def random_shape(rng: np.random.Generator) -> operands.ConvShape:
    """Few channels or many, dense, grouped or depthwise, of any bits and geometry."""
    groups = int(rng.choice([1, 1, 1, 2, 3, 5, 16]))
    channels = groups * int(rng.choice([1, 2, 3, 7, 31, 32, 33, 40, 65]) if groups < 5 else rng.integers(1, 4))
    filters = groups * int(rng.choice([1, 2, 5, 15, 16, 17, 33, 49, 64, 70]) if groups < 5 else rng.integers(1, 20))
    weight_bits, activation_bits = ((1, 1), (1, 1), (1, int(rng.integers(2, 9))), rng.integers(1, 9, 2).tolist())[
        rng.integers(4)
    ]
    return operands.ConvShape(
        channels,
        filters,
        kernel=int(rng.choice([1, 2, 3, 3, 3, 4, 5])),
        stride=int(rng.integers(1, 4)),
        padding=int(rng.integers(0, 4)),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        dilation=int(rng.integers(1, 3)),
        groups=groups,
    )


def check_random(seed: int) -> None:
    rng = np.random.default_rng(seed)
    while True:
        shape, (n, height, width) = random_shape(rng), rng.integers((1, 1, 1), (3, 8, 8)).tolist()
        try:
            shape.output_size(height, width)
        except ConfigError:  # the kernel does not fit
            continue
        break
    image = (n, height, width, shape.channels)
    a = rng.integers(0, 2, image) * 2 - 1 if shape.signed else rng.integers(0, shape.max_level + 1, image)
    weights = (shape.filters, shape.group_channels, shape.kernel, shape.kernel)
    q = rng.integers(0, shape.max_weight + 1, weights) * 2 - shape.max_weight
    expected = naive.conv2d(a, q, shape.stride, shape.padding, shape.dilation, shape.groups)
    filters = prepare.prepare_filters(q, shape)
    by_rows = packed.pack_activations(a.astype(np.float32), shape)
    channels_first = np.ascontiguousarray(a.transpose(0, 3, 1, 2).astype(np.float32))
    by_planes = packed.pack_activations(channels_first.transpose(0, 2, 3, 1), shape)
    np.testing.assert_array_equal(by_rows.words, by_planes.words, err_msg=f"{seed}: {shape}")
    np.testing.assert_array_equal(packed.conv2d(by_rows, filters), expected, err_msg=f"{seed}: {shape}")
    if seed % 20 == 0:
        twin = reference.pack_levels(a, shape)
        np.testing.assert_array_equal(by_rows.words, twin.words, err_msg=f"{seed}: {shape}")
        np.testing.assert_array_equal(reference.conv2d(twin, filters), expected, err_msg=f"{seed}: {shape}")


@pytest.mark.parametrize("part", range(10))
def test_random_shapes(part: int) -> None:
    for seed in range(part, SHAPES, 10):
        check_random(seed)


def test_random_shapes_on_avx2() -> None:
    if "+avx2" not in features():
        pytest.skip("this machine cannot run AVX2")
    assert run_on("haswell", f"import test_kernels_random as t; [t.check_random(s) for s in range({SHAPES})]") == ""
