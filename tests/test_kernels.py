"""The fast kernels against their readable twin, and both against the definition."""

from typing import Any

import naive
import numpy as np
import pytest

from cfcore.errors import ConfigError
from cfcore.kernels import packed, reference
from cfcore.kernels.operands import PackedActivations, border_class
from cfcore.kernels.prepare import prepare_filters
from cfcore.kernels.shape import ConvShape
from cfcore.kernels.threads import Threads

BIT_PAIRS = [(1, 1), (2, 2), (1, 4), (3, 5), (8, 8), (4, 1)]


def operands(shape: ConvShape, n: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Random integers of the shape's widths: activations [N, H, W, C] and weights [F, C, k, k]."""
    rng = np.random.default_rng([shape.channels, shape.filters, shape.kernel, shape.weight_bits, shape.activation_bits])
    image = n, height, width, shape.channels
    kernel = (shape.filters, shape.group_channels, shape.kernel, shape.kernel)
    a = rng.integers(0, 2, image) * 2 - 1 if shape.signed else rng.integers(0, shape.max_level + 1, image)
    return a, rng.integers(0, shape.max_weight + 1, kernel) * 2 - shape.max_weight


def check(shape: ConvShape, n: int = 1, height: int = 5, width: int = 7) -> None:
    """naive = reference = packed, exactly."""
    a, q = operands(shape, n, height, width)
    filters = prepare_filters(q, shape)
    activations = reference.pack_levels(a, shape)
    expected = naive.conv2d(a, q, shape.stride, shape.padding)
    for twin in (reference, packed):
        result = twin.conv2d(activations, filters)
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, expected, err_msg=f"{twin.__name__} {shape}")


@pytest.mark.parametrize("bits", BIT_PAIRS)
@pytest.mark.parametrize("channels", [1, 3, 31, 33, 64, 65])
def test_channels(channels: int, bits: tuple[int, int]) -> None:
    check(ConvShape(channels, filters=5, kernel=3, padding=1, weight_bits=bits[0], activation_bits=bits[1]))


@pytest.mark.parametrize("bits", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_geometry(stride: int, padding: int, kernel: int, bits: tuple[int, int]) -> None:
    check(ConvShape(33, 18, kernel, stride, padding, *bits), n=2, height=6, width=9)


@pytest.mark.parametrize("filters", [1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 129])
def test_filters_fill_no_vector_exactly(filters: int) -> None:
    for activation_bits in (1, 2):
        check(ConvShape(40, filters, 3, 1, 1, 1, activation_bits), height=3, width=5)


@pytest.mark.parametrize(("height", "width", "n"), [(1, 1, 1), (1, 9, 1), (2, 3, 5), (17, 29, 2), (1, 241, 1)])
def test_images_fill_no_tile_exactly(height: int, width: int, n: int) -> None:
    for activation_bits in (1, 3):
        check(ConvShape(3, 20, 3, 1, 1, 2, activation_bits), n, height, width)


@pytest.mark.parametrize("bits", [(1, 1), (1, 2)])
def test_windows_that_hang_over_both_sides(bits: tuple[int, int]) -> None:
    check(ConvShape(5, 6, kernel=5, padding=4, weight_bits=bits[0], activation_bits=bits[1]), height=2, width=3)
    check(ConvShape(5, 6, kernel=2, padding=3, weight_bits=bits[0], activation_bits=bits[1]), height=1, width=2)
    check(ConvShape(5, 6, kernel=3, padding=20, weight_bits=bits[0], activation_bits=bits[1]), height=3, width=2)


def test_deep_windows() -> None:
    """More than 31 words to a window, where a byte would overflow."""
    for bits in ((1, 1), (2, 2)):
        check(ConvShape(1000, 3, 3, 1, 1, *bits), height=3, width=4)


def test_extreme_values() -> None:
    """All operands at their largest: the largest sum that a shape can reach."""
    shape = ConvShape(channels=3669, filters=1, kernel=3, weight_bits=8, activation_bits=8)
    a, q = np.full((1, 3, 3, 3669), 255), np.full((1, 3669, 3, 3), -255)
    result = packed.conv2d(reference.pack_levels(a, shape), prepare_filters(q, shape))
    assert result.item() == -255 * 255 * 3669 * 9 == -2147190525 > -(2**31)
    with pytest.raises(ConfigError, match=r"channels = 3670 is not allowed: use at most 3669 \(the sums are int32\)"):
        ConvShape(channels=3670, filters=1, kernel=3, weight_bits=8, activation_bits=8)


def test_border_classes() -> None:
    shape = ConvShape(channels=1, filters=1, kernel=3, padding=2)
    # three taps over an input of two rows: 2 hang over the top; 1; 1 at the bottom; 2; class = top·3 + bottom
    assert [border_class(start, 2, shape) for start in (-2, -1, 0, 1)] == [2 * 3, 1 * 3, 1, 2]
    assert border_class(-1, 1, shape) == 1 * 3 + 1


# ---- packing ---------------------------------------------------------------------------------------------------


def assert_same(left: PackedActivations, right: PackedActivations) -> None:
    np.testing.assert_array_equal(left.words, right.words)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("channels", [1, 31, 32, 33, 65])
def test_packing_quantizes(channels: int, bits: int) -> None:
    shape = ConvShape(channels, 1, 1, padding=2, activation_bits=bits)
    rng = np.random.default_rng(channels * bits)
    x = rng.normal(size=(2, 3, 4, channels)).astype(np.float32)
    expected = naive.quantize(x, bits, step=0.37)
    np.testing.assert_array_equal(reference.quantize_activations(x, shape, 0.37), expected)
    assert_same(packed.pack_activations(x, shape, 0.37), reference.pack_levels(expected, shape))


VIEWS = {
    "rows": np.s_[:, ::-1],
    "columns": np.s_[:, :, ::-1],
    "channels": np.s_[..., ::-1],
    "all": np.s_[::-1, ::-1, ::-1, ::-1],
    "every second": np.s_[:, ::-2, ::2],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bits", [1, 3])
def test_packing_of_any_strides(bits: int, channels_last: bool, view: Any) -> None:
    """Large enough that a step back leads further than a word reads on."""
    shape = ConvShape(40, 1, 1, padding=1, activation_bits=bits)
    x = np.random.default_rng(1).normal(size=(2, 40, 17, 19)).astype(np.float32).transpose(0, 2, 3, 1)
    x = (np.ascontiguousarray(x) if channels_last else x)[view]
    assert_same(packed.pack_activations(x, shape), packed.pack_activations(x.copy(order="C"), shape))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), 1e-50])
def test_a_step_that_float32_has_not_is_refused(step: float) -> None:
    shape = ConvShape(8, 8, 1, activation_bits=2)
    a, q = operands(shape, 1, 3, 3)
    activations, filters = packed.pack_activations(a.astype(np.float32), shape), prepare_filters(q, shape)
    after = packed.epilogue(shape, np.ones(8, np.float32))
    with pytest.raises(ConfigError, match=r"^step = .* is not allowed: use a number above 0"):
        packed.pack_activations(a.astype(np.float32), shape, step=step)
    with pytest.raises(ConfigError, match=r"^step = "):
        packed.conv2d_packed(activations, filters, after, shape, step)


def test_results_are_not_written_over_what_is_read() -> None:
    shape = ConvShape(32, 32, 3, padding=1)
    a, q = operands(shape, 1, 5, 5)
    activations, filters = packed.pack_activations(a.astype(np.float32), shape), prepare_filters(q, shape)
    after = packed.epilogue(shape, np.ones(32, np.float32))
    with pytest.raises(ConfigError, match="use memory of its own"):
        packed.conv2d_packed(activations, filters, after, shape, out=activations)
    other = packed.conv2d_packed(activations, filters, after, shape)
    other.words.flags.writeable = False
    with pytest.raises(ConfigError, match=r"^out = "):
        packed.conv2d_packed(activations, filters, after, shape, out=other)


def test_special_numbers() -> None:
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 0.5, 1.5, 2.5], np.float32).reshape(1, 1, 1, 8)
    signs = ConvShape(8, 1, 1)
    assert reference.quantize_activations(x, signs).ravel().tolist() == [1, 1, -1, 1, -1, 1, 1, 1]
    levels = ConvShape(8, 1, 1, activation_bits=2)
    assert reference.quantize_activations(x, levels).ravel().tolist() == [0, 0, 0, 3, 0, 0, 2, 2]  # half to even
    for shape in (signs, levels):
        expected = reference.pack_levels(reference.quantize_activations(x, shape), shape)
        assert_same(packed.pack_activations(x, shape), expected)


def test_read_only_inputs() -> None:
    shape = ConvShape(33, 3, 3)
    a, q = operands(shape, 1, 3, 3)
    x = a.astype(np.float32)
    x.flags.writeable = q.flags.writeable = False
    result = packed.conv2d(packed.pack_activations(x, shape), prepare_filters(q, shape))
    np.testing.assert_array_equal(result, naive.conv2d(a, q))


# ---- sharing out, and the machine ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2])
def test_threads_share_the_work(bits: int) -> None:
    shape = ConvShape(64, 70, 3, 1, 1, 1, bits)
    a, q = operands(shape, 2, 11, 13)
    filters = prepare_filters(q, shape)
    after = packed.epilogue(shape, np.linspace(0.1, 2, 70).astype(np.float32))
    following = ConvShape(70, 3, 3, padding=2, activation_bits=bits)
    with Threads(3) as threads:
        activations = packed.pack_activations(a.astype(np.float32), shape, threads=threads)
        sums = packed.conv2d(activations, filters, threads)
        floats = [packed.conv2d_float(activations, filters, after, first, threads) for first in (False, True)]
        bits_out = packed.conv2d_packed(activations, filters, after, following, 0.5, threads)
    assert_same(activations, reference.pack_levels(a, shape))
    np.testing.assert_array_equal(sums, naive.conv2d(a, q, padding=1))
    np.testing.assert_array_equal(floats[0], packed.conv2d_float(activations, filters, after))
    np.testing.assert_array_equal(floats[1], floats[0].transpose(0, 3, 1, 2))
    assert_same(bits_out, packed.conv2d_packed(activations, filters, after, following, 0.5))


def test_two_callers_at_once() -> None:
    shape = ConvShape(33, 20, 3, 1, 1)
    a, q = operands(shape, 2, 11, 13)
    activations, filters = reference.pack_levels(a, shape), prepare_filters(q, shape)
    expected = naive.conv2d(a, q, padding=1)

    def convolve_often(first: int, last: int) -> None:
        for _ in range(first, last):
            np.testing.assert_array_equal(packed.conv2d(activations, filters), expected)

    with Threads(4) as callers:
        callers.share(40, convolve_often)


def test_one_failing_thread_fails_the_call() -> None:
    def work(first: int, last: int) -> None:
        if first > 0:
            raise ArithmeticError("of another thread")

    with Threads(2) as threads, pytest.raises(ArithmeticError, match="of another thread"):
        threads.share(2, work)
    with pytest.raises(ConfigError, match="threads = 0 is not allowed: use a whole number from 1"):
        Threads(0)


# ---- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, "channels = 0 is not allowed: use a whole number from 1"),
        ({"filters": 2.5}, "filters = 2.5 is not allowed"),
        ({"kernel": True}, "kernel = True is not allowed"),
        ({"stride": 0}, "stride = 0 is not allowed"),
        ({"padding": -1}, "padding = -1 is not allowed: use a whole number from 0"),
        ({"padding": 9, "kernel": 9}, "padding = 9 is not allowed: use a whole number from 0 to 8 with a kernel of 9"),
        ({"stride": 2**31}, "stride = 2147483648 is not allowed"),
        ({"kernel": 10**6}, "kernel = 1000000 is not allowed: use a smaller one"),
        ({"weight_bits": 9}, "weight_bits = 9 is not allowed: use a whole number from 1 to 8"),
        ({"activation_bits": 32}, "activation_bits = 32 is not allowed"),
        ({"dilation": 3}, "dilation = 3 is not allowed: use 1 or 2"),
        ({"channels": 6, "filters": 9, "groups": 2}, "groups = 2 is not allowed: use a divisor of 6 channels and 9"),
    ],
)
def test_bad_shapes(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConvShape(**({"channels": 1, "filters": 1} | settings))


def test_bad_operands() -> None:
    shape = ConvShape(3, 2, 3)
    a, q = operands(shape, 1, 4, 5)
    with pytest.raises(ConfigError, match=r"shape of the weights = \(2, 3, 3\) is not allowed: use \(2, 3, 3, 3\)"):
        prepare_filters(q[..., 0], shape)
    with pytest.raises(
        ConfigError, match=r"shape of the activations = \(1, 3, 4, 5\) is not allowed: use \[N, H, W, 3\]"
    ):
        reference.pack_levels(a.transpose(0, 3, 1, 2), shape)
    with pytest.raises(ConfigError, match="height = 2 is not allowed: use at least 3"):
        packed.pack_activations(a[:, :2].astype(np.float32), shape)
    with pytest.raises(ConfigError, match="activation = 0 is not allowed: use -1 or 1"):
        reference.pack_levels(a * 0, shape)
    with pytest.raises(ConfigError, match="activation = 4 is not allowed: use a whole number from 0 to 3"):
        reference.pack_levels(a * 0 + 4, ConvShape(3, 2, 3, activation_bits=2))
    for kind in ("float64", "int32"):
        with pytest.raises(ConfigError, match=f"type of the activations = '{kind}' is not allowed: use float32"):
            packed.pack_activations(a.astype(kind), shape)
    for step in (0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match=f"step = {step} is not allowed: use a number above 0"):
            packed.pack_activations(a.astype(np.float32), shape, step=step)


def test_a_layer_says_which_channels_it_takes() -> None:
    shape = ConvShape(3, 2, 3)
    filters, after = prepare_filters(operands(shape, 1, 4, 5)[1], shape), packed.epilogue(shape, np.ones(2, np.float32))
    for x in (np.ones((3, 4, 5), np.float32), np.ones((1, 4, 5, 3), np.float32)):
        with pytest.raises(ConfigError, match=r"is not allowed: use \[N, 3, H, W\]"):
            packed.layer(x, filters, after)


def test_sizes_of_numpy_are_whole_numbers_too() -> None:
    assert ConvShape(*np.array([3, 2, 3])) == ConvShape(3, 2, 3)


def test_operands_of_different_convolutions() -> None:
    shape, other = ConvShape(3, 2, 3), ConvShape(3, 2, 3, padding=1)
    a, q = operands(shape, 1, 4, 5)
    filters, activations = prepare_filters(q, shape), reference.pack_levels(a, other)
    for twin in (reference, packed):
        with pytest.raises(
            ConfigError, match=r"activations = ConvShape.* is not allowed: use activations packed for .*padding=0"
        ):
            twin.conv2d(activations, filters)
    with pytest.raises(ConfigError, match=r"packed words = \(1, 1, 6, 7, 1\) is not allowed"):
        PackedActivations(ConvShape(64, 2, 3), activations.words)
