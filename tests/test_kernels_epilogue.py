"""What follows the sums: the fused passes give, bit for bit, what the separate steps in numpy give."""

from dataclasses import replace

import numpy as np
import pytest
from test_kernels import assert_same, operands

from cfcore.errors import ConfigError
from cfcore.kernels import packed, reference
from cfcore.kernels.prepare import prepare_filters
from cfcore.kernels.shape import ConvShape
from cfcore.kernels.threads import Threads


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


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (ConvShape(64, 64, 3, 1, 1), (24, 23)),
        (ConvShape(40, 70, 3, 2, 1), (21, 30)),
        (ConvShape(33, 130, 5, 1, 4, dilation=2), (13, 11)),
        (ConvShape(12, 96, 3, 3, 0, groups=3), (40, 37)),
        (ConvShape(64, 64, 1, 2, 0), (33, 20)),
        (ConvShape(3, 5, 1, 1, 8), (2, 1)),
        (ConvShape(3, 65, 7, 2, 3), (1, 90)),
        (ConvShape(5, 64, 3, 8, 1), (90, 11)),
    ],
)
def test_a_layer_equals_its_two_passes(shape: ConvShape, size: tuple[int, int], bits: int, count: int) -> None:
    """In one pass by bands of rows, whatever rows a chunk or a thread begins and ends with; nothing else is written."""
    shape = replace(shape, activation_bits=bits)
    generator = np.random.default_rng(bits)
    x = generator.normal(size=(3, shape.channels, *size)).astype(np.float32)
    filters = prepare_filters(operands(shape, 1, *size)[1], shape)
    after = packed.epilogue(shape, *generator.normal(size=(2, shape.filters)).astype(np.float32))
    activations = packed.pack_activations(x.transpose(0, 2, 3, 1), shape, step=0.4)
    expected = packed.conv2d_float(activations, filters, after, channels_first=True)
    memory = np.full(expected.size + 64, 7, np.float32)
    out = memory[32:-32].reshape(expected.shape)
    with Threads(count) as threads:
        packed.layer(x, filters, after, 0.4, threads, out)
    np.testing.assert_array_equal(out, expected)
    assert (memory[:32] == 7).all()
    assert (memory[-32:] == 7).all()
    elsewhere = np.asfortranarray(x)  # not as torch has it: two passes
    np.testing.assert_array_equal(packed.layer(elsewhere, filters, after, 0.4), expected)


def test_a_layer_refuses_what_its_passes_refuse() -> None:
    shape = ConvShape(3, 7, 3)
    _, filters, scale, _, _ = layer_of(shape)
    after, x = packed.epilogue(shape, scale), np.zeros((1, 3, 5, 5), np.float32)
    with pytest.raises(ConfigError, match=r"step = 0 is not allowed: use a number above 0"):
        packed.layer(x, filters, after, step=0)
    with pytest.raises(ConfigError, match=r"shape of the activations = .* is not allowed"):
        packed.layer(x[:, :2].copy(), filters, after)
    with pytest.raises(ConfigError, match=r"out = .* is not allowed: use a contiguous float32 array"):
        packed.layer(x, filters, after, out=x)
    assert packed.layer(x[:0], filters, after).shape == (0, 7, 3, 3)


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
