"""Plans of a few jobs against the same steps in numpy: float convolutions, pools, norms, shortcuts, packed bits."""

import naive
import numpy as np
import pytest

from cfcore.config import FLOAT_BITS
from cfcore.kernels import reference
from cfcore.kernels.job import MAXIMA, TOTALS
from cfcore.kernels.network import After, Block, Planner, run
from cfcore.kernels.prepare import prepare_filters
from cfcore.kernels.shape import ConvShape


def outputs(planner: Planner, entry, output, images: np.ndarray) -> np.ndarray:
    """What the plan leaves of each image, [N, floats of the last buffer]."""
    block = Block(planner, entry, output)
    size = output.height * output.width * output.row
    results = np.empty((len(images), size), np.float32)
    block.output = np.lib.stride_tricks.as_strided(block.output, (size,), (4,))  # all of its pixels
    run(images, block, results, 0, len(images))
    return results.reshape(-1, output.height, output.width, output.row)[..., : output.channels]


def small_numbers(*shape: int) -> np.ndarray:
    """Floats whose sums are exact in any order."""
    return np.random.default_rng(shape).integers(-8, 9, shape).astype(np.float32)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (4, 1, 0)])
@pytest.mark.parametrize(("channels", "filters"), [(3, 16), (1, 5), (5, 33), (17, 70)])
def test_float_convolution(channels: int, filters: int, kernel: int, stride: int, padding: int) -> None:
    shape = ConvShape(channels, filters, kernel, stride, padding, FLOAT_BITS, FLOAT_BITS)
    images, weights = small_numbers(2, 6, 6, channels), small_numbers(filters, channels, kernel, kernel)
    planner = Planner()
    entry = planner.bits(shape, 6, 6)
    out = planner.floats(*shape.output_size(6, 6), filters)
    norm = small_numbers(2, filters)
    planner.convolve(entry, prepare_filters(weights, shape), After(norm=(norm[0], norm[1]), out=out))
    expected = naive.conv2d(images, weights, stride, padding) * norm[0] + norm[1]
    np.testing.assert_array_equal(outputs(planner, entry, out, images), expected)


@pytest.mark.parametrize("slope", [0.25, 1.0, 0.0, -0.5, 1.5])
def test_a_prelu_stands_before_what_is_stored_and_what_is_packed(slope: float) -> None:
    shape = ConvShape(3, 19, 3, 1, 1, FLOAT_BITS, FLOAT_BITS)
    following = ConvShape(19, 1, 3, padding=1)
    images, weights = small_numbers(2, 6, 6, 3), small_numbers(19, 3, 3, 3)
    norm = np.ones(19, np.float32), small_numbers(19)
    planner = Planner()
    entry, out, bits = planner.bits(shape, 6, 6), planner.floats(6, 6, 19), planner.bits(following, 6, 6, norm=norm)
    planner.convolve(entry, prepare_filters(weights, shape), After(slope=slope, out=out, bits=bits))
    sums = naive.conv2d(images, weights, 1, 1)
    expected = np.where(sums < 0, sums * np.float32(slope), sums)
    np.testing.assert_array_equal(outputs(planner, entry, out, images), expected)
    block = Block(planner, entry, out)
    run(images, block, np.empty((2, len(block.output)), np.float32), 1, 2)
    signs = reference.quantize_activations(expected[1:] * norm[0] + norm[1], following)
    words = reference.pack_levels(signs, following).words
    found = block.memory[bits.place : bits.place + words.nbytes].view(np.uint32).reshape(words.shape)
    np.testing.assert_array_equal(found, words)


@pytest.mark.parametrize("kernel", [1, 2, 3, 6])
@pytest.mark.parametrize("channels", [1, 16, 37])
def test_pools(channels: int, kernel: int) -> None:
    """Maxima below 0 stay, totals are scaled; rectified, shortcut added, and packed for the next convolution too."""
    shape = ConvShape(channels, channels, 1, 1, 0, FLOAT_BITS, FLOAT_BITS)
    images = small_numbers(2, 6, 6, channels) - np.float32(9.5)
    size = 6 // kernel
    windows = images.reshape(2, size, kernel, size, kernel, channels)
    scale, norm = small_numbers(channels), small_numbers(2, channels)
    following = ConvShape(channels, 1, 3, padding=1, activation_bits=2)
    for kind, pooled in ((MAXIMA, windows.max((2, 4))), (TOTALS, windows.sum((2, 4)))):
        planner = Planner()
        entry, whole = planner.bits(shape, 6, 6), planner.floats(6, 6, channels)
        identity = np.eye(channels, dtype=np.float32)[..., None, None]
        planner.convolve(entry, prepare_filters(identity, shape), After(out=whole))
        first, second = planner.floats(size, size, channels), planner.floats(size, size, channels)
        bits = planner.bits(following, size, size, 1.5, (norm[0], norm[1]))
        planner.pool(whole, kernel, After(scale=scale, out=first, bits=bits), kind)
        planner.pool(whole, kernel, After(residual=first, out=second, rectify=True), kind)
        np.testing.assert_array_equal(outputs(planner, entry, first, images), pooled * scale)
        np.testing.assert_array_equal(outputs(planner, entry, second, images), np.maximum(pooled + pooled * scale, 0))
        block = Block(planner, entry, second)
        run(images, block, np.empty((2, len(block.output)), np.float32), 1, 2)
        levels = reference.quantize_activations(pooled[1:] * scale * norm[0] + norm[1], following, 1.5)
        words = reference.pack_levels(levels, following).words
        found = block.memory[bits.place : bits.place + words.nbytes].view(np.uint32).reshape(words.shape)
        np.testing.assert_array_equal(found, words)
