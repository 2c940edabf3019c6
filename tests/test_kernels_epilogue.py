"""What follows the sums: the fused passes give, bit for bit, what the separate steps in numpy give."""

import numpy as np
import pytest
from test_kernels import assert_same, operands

from cfcore.errors import ConfigError
from cfcore.kernels import packed, reference
from cfcore.kernels.operands import ConvShape
from cfcore.kernels.prepare import prepare_filters


def layer_of(shape: ConvShape, n: int = 2, height: int = 7, width: int = 9) -> tuple:
    """Packed activations, filters, scale and shift, and the sums that they give."""
    a, q = operands(shape, n, height, width)
    activations, filters = reference.pack_levels(a, shape), prepare_filters(q, shape)
    scale, shift = np.random.default_rng(shape.filters).normal(size=(2, shape.filters)).astype(np.float32)
    return activations, filters, scale, shift, packed.conv2d(activations, filters).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.parametrize("filters", [1, 15, 16, 17, 33, 64, 70, 129])
def test_float_outputs(filters: int, bits: int, stride: int) -> None:
    shape = ConvShape(33, filters, 3, stride, 1, 2, bits)
    activations, prepared, scale, shift, sums = layer_of(shape)
    for after, expected in (
        (packed.epilogue(shape, scale), sums * scale),
        (packed.epilogue(shape, scale, shift), sums * scale + shift),
    ):
        result = packed.conv2d_float(activations, prepared, after)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, expected)
        planes = packed.conv2d_float(activations, prepared, after, channels_first=True)
        np.testing.assert_array_equal(planes, expected.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("filters", [1, 5, 15, 16, 17, 31, 33, 64, 70, 129])
def test_packed_outputs(filters: int, bits: int, stride: int) -> None:
    """Sums, scaled and shifted, packed for a next layer with a border of its own: no bit of it is touched."""
    shape = ConvShape(40, filters, 3, stride, 1)
    following = ConvShape(filters, 3, 3, padding=2, activation_bits=bits)
    activations, prepared, scale, shift, sums = layer_of(shape)
    for after, y in (
        (packed.epilogue(shape, scale), sums * scale),
        (packed.epilogue(shape, scale, shift), sums * scale + shift),
    ):
        expected = reference.pack_levels(reference.quantize_activations(y, following, step=0.7), following)
        assert_same(packed.conv2d_packed(activations, prepared, after, following, 0.7), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (4, 4), (7, 7), (5, 49), (16, 31)])
@pytest.mark.parametrize("bits", [1, 2])
def test_a_layer_in_torchs_order(bits: int, height: int, width: int) -> None:
    shape = ConvShape(33, 20, 3, 1, 1, 1, bits)
    a, q = operands(shape, 2, height, width)
    x = np.ascontiguousarray(a.transpose(0, 3, 1, 2)).astype(np.float32)
    filters, scale = prepare_filters(q, shape), np.linspace(0.5, 1, 20).astype(np.float32)
    expected = packed.conv2d(reference.pack_levels(a, shape), filters).astype(np.float32) * scale
    out = np.full((2, 20, height, width), np.nan, np.float32)
    result = packed.layer(x, filters, packed.epilogue(shape, scale), out=out)
    assert result is out
    np.testing.assert_array_equal(result, expected.transpose(0, 3, 1, 2))


def test_outputs_are_written_again() -> None:
    shape = ConvShape(33, 40, 3, 1, 1)
    following = ConvShape(40, 5, 3, padding=1, activation_bits=2)
    activations, filters, scale, shift, sums = layer_of(shape)
    after = packed.epilogue(shape, scale, shift)
    first = packed.conv2d_packed(activations, filters, after, following)
    expected = first.words.copy()
    first.words[:, :, 1:-1, 1:-1] = 2**32 - 1  # all but the border
    first.words[..., 1] &= 255  # and the bits behind the last of 40 filters
    assert packed.conv2d_packed(activations, filters, after, following, out=first) is first
    np.testing.assert_array_equal(first.words, expected)
    integers = np.empty(sums.shape, np.int32)
    assert packed.conv2d(activations, filters, out=integers) is integers
    np.testing.assert_array_equal(integers, sums)


def test_groups_that_end_between_bytes_are_refused() -> None:
    shape, following = ConvShape(6, 6, 3, groups=2), ConvShape(6, 6, 3)
    activations, filters, scale, _, _ = layer_of(shape)
    with pytest.raises(ConfigError, match=r"groups = \(2, 1\) is not allowed: use one group after one group"):
        packed.conv2d_packed(activations, filters, packed.epilogue(shape, scale), following)


def test_what_does_not_fit_is_refused() -> None:
    shape = ConvShape(3, 7, 3)
    activations, filters, scale, _, sums = layer_of(shape)
    after = packed.epilogue(shape, scale)
    with pytest.raises(ConfigError, match=r"shape of scale = \(6,\) is not allowed: use \(7,\)"):
        packed.epilogue(shape, scale[:6])
    with pytest.raises(ConfigError, match=r"epilogue = ConvShape.* is not allowed: use one for ConvShape"):
        packed.conv2d_float(activations, filters, packed.epilogue(ConvShape(3, 7, 3, stride=2), scale))
    with pytest.raises(ConfigError, match=r"out = 'float32 .*' is not allowed: use a contiguous int32 array"):
        packed.conv2d(activations, filters, out=sums)
    with pytest.raises(ConfigError, match=r"out = 'int32 .*' is not allowed: use a contiguous float32 array"):
        packed.conv2d_float(activations, filters, after, out=sums.astype(np.int32))
    with pytest.raises(ConfigError, match=r"following = ConvShape.* is not allowed: use a packed convolution of 7"):
        packed.conv2d_packed(activations, filters, after, ConvShape(8, 1, 3))
    following = ConvShape(7, 1, 3)
    with pytest.raises(ConfigError, match=r"out = .* is not allowed: use activations of"):
        packed.conv2d_packed(activations, filters, after, following, out=activations)
