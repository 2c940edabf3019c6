"""A window's sum from its bits, against plain loops and against the kernels' readable twin."""

import naive
import numpy as np
import pytest

from cfcore import window as windows
from cfcore.errors import ConfigError
from cfcore.kernels import reference
from cfcore.kernels.prepare import prepare_filters
from cfcore.kernels.shape import ConvShape
from cfcore.window import Flip, Window, flipped, float_sum, plane_products, steps

BIT_PAIRS = [(1, 1), (1, 2), (2, 1), (3, 2), (8, 8)]  # activations, weights


def operands(channels: int, bits: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Random levels [C, 5, 7] and odd weights [C, 3, 3]."""
    rng = np.random.default_rng([channels, *bits])
    top_a, top_w = 2 ** bits[0] - 1, 2 ** bits[1] - 1
    image = (channels, 5, 7)
    a = rng.integers(0, 2, image) * 2 - 1 if bits[0] == 1 else rng.integers(0, top_a + 1, image)
    return a, rng.integers(0, top_w + 1, (channels, 3, 3)) * 2 - top_w


def cut(a: np.ndarray, q: np.ndarray, bits: tuple[int, int], row: int, column: int, stride: int = 1) -> Window:
    return windows.window(a, q, row, column, stride=stride, padding=1, activation_bits=bits[0], weight_bits=bits[1])


def corner(bits: tuple[int, int] = (1, 1), channels: int = 5) -> Window:
    return cut(*operands(channels, bits), bits, 0, 0)


def total(window: Window) -> int:
    return sum(p.product for p in plane_products(window))


@pytest.mark.parametrize("bits", BIT_PAIRS)
@pytest.mark.parametrize("channels", [1, 8, 31, 33])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_output_is_the_convolution(channels: int, bits: tuple[int, int], stride: int) -> None:
    a, q = operands(channels, bits)
    shape = ConvShape(channels, 1, 3, stride, 1, weight_bits=bits[1], activation_bits=bits[0])
    image = a.transpose(1, 2, 0)[None]
    expected = naive.conv2d(image, q[None], stride, 1)[0, :, :, 0]
    kernel = reference.conv2d(reference.pack_levels(image, shape), prepare_filters(q[None], shape))[0, :, :, 0]
    for row, column in np.ndindex(*expected.shape):
        window = cut(a, q, bits, row, column, stride)
        assert total(window) == float_sum(window) == expected[row, column] == kernel[row, column]


@pytest.mark.parametrize("bits", BIT_PAIRS)
def test_the_steps_add_up_to_each_pair_of_planes_and_equal_the_float_sum(bits: tuple[int, int]) -> None:
    window = corner(bits)
    for p in plane_products(window):
        found = steps(window, p.activation_plane, p.weight_plane)
        assert [step.tap for step in found] == list(range(9))
        assert [step.total for step in found] == np.cumsum([step.adds for step in found]).tolist()
        assert [step.total for step in found] == [step.float_total for step in found]
        assert (found[-1].total, sum(step.count for step in found)) == (p.sum, p.count)
        assert p.product == 2 ** (p.activation_plane + p.weight_plane) * p.sum


@pytest.mark.parametrize(
    ("levels", "weights", "bits", "said"),
    [
        (
            np.full((3, 5, 5), 9),
            np.ones((3, 3, 3), int),
            (2, 1),
            "levels = 9 is not .* number from 0 to 3",
        ),
        (np.zeros((3, 5, 5), int), np.ones((3, 3, 3), int), (1, 1), "levels = 0 is not allowed: use \\+1 or -1"),
        (
            np.ones((3, 5, 5)),
            np.full((3, 3, 3), 2),
            (1, 2),
            "weight = 2 is not .* odd whole numbers from -3 to 3",
        ),
        (np.ones((3, 5, 5)), np.ones((2, 3, 3), int), (1, 1), "weights' shape = .* is not allowed"),
    ],
)
def test_numbers_that_the_bits_cannot_hold_are_refused(
    levels: np.ndarray, weights: np.ndarray, bits: tuple[int, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        cut(levels, weights, bits, 0, 0)


def test_a_step_spelled_out() -> None:
    """+1 -1 -1 against +1 +1 -1: bits 100 and 110 differ in one place, 3 - 2·1 = 1."""
    window = Window(np.array([[1], [-1], [-1]]), np.array([[1], [1], [-1]]), np.array([True]), 1, 1)
    (step,) = steps(window)
    assert (step.activations, step.weights, step.joined) == ((1, 0, 0), (1, 1, 0), (0, 1, 0))
    assert (step.count, step.adds, step.total, step.float_total) == (1, 1, 1, 1.0)
    assert step.to_dict()["joined"] == (0, 1, 0)


def test_a_padded_tap_of_signs_adds_nothing_once_corrected() -> None:
    """Stored bits 000 against +1 +1 -1: 3 - 2·2 = -1, which is -Σw; Σw = 1 takes it back."""
    window = Window(np.array([[0], [0], [0]]), np.array([[1], [1], [-1]]), np.array([False]), 1, 1)
    (step,) = steps(window)
    assert (step.count, step.correction, step.adds, step.float_total) == (2, 1, 0, 0.0)


def test_levels_need_no_correction() -> None:
    """Level 2 is the digits 0 and 1; against -1: 1·0 + 2·(2·0 - 1) = -2."""
    window = Window(np.array([[2, 0]]), np.array([[-1, 1]]), np.array([True, False]), 2, 1)
    assert [(p.sum, p.factor, p.correction) for p in plane_products(window)] == [(0, 1, 0), (-1, 2, 0)]
    assert total(window) == float_sum(window) == -2


@pytest.mark.parametrize("operand", ["activation", "weight"])
@pytest.mark.parametrize("bits", BIT_PAIRS)
def test_flipping_a_bit_changes_the_sum_as_the_numbers_say(bits: tuple[int, int], operand: str) -> None:
    window = corner(bits)
    plane = (bits[0] if operand == "activation" else bits[1]) - 1
    flip = Flip(operand, plane, tap=4, channel=2)  # type: ignore[arg-type]
    turned = flipped(window, [flip])
    assert total(turned) == float_sum(turned)
    a, q = window.activations[2, 4], window.weights[2, 4]
    change = (turned.activations[2, 4] - a) * q + a * (turned.weights[2, 4] - q)
    assert total(turned) - total(window) == change
    if bits == (1, 1):
        assert abs(change) == 2
    assert total(flipped(turned, [flip])) == total(window)
    np.testing.assert_array_equal(flipped(window, []).activations, window.activations)


def test_the_padding_cannot_be_flipped_but_the_weight_above_it_can() -> None:
    window = corner()
    assert not window.inside[0]
    turned = flipped(window, [Flip("weight", 0, tap=0, channel=1)])
    assert total(turned) == float_sum(turned) == total(window)
    with pytest.raises(ConfigError, match=r"flip = 'activation\.0\.0\.1' is not allowed: .* this one is padding"):
        flipped(window, [Flip("activation", 0, tap=0, channel=1)])


def test_a_bit_named_twice_is_turned_once() -> None:
    window, flip = corner(), Flip("weight", 0, tap=4, channel=1)
    assert total(flipped(window, [flip, flip])) == total(flipped(window, [flip])) != total(window)


def test_some_channels_are_a_window_too() -> None:
    window = corner(channels=33)
    parts = [window.of_channels(first, 8) for first in range(0, 33, 8)]
    assert [part.channels for part in parts] == [8, 8, 8, 8, 1]
    assert sum(map(total, parts)) == total(window)
    assert (window.products, window.words, parts[-1].words) == (33 * 9, 2 * 9, 1 * 9)


@pytest.mark.parametrize(("row", "column", "said"), [(5, 0, "row = 5"), (0, -1, "column = -1"), (0, 7, "0 to 6")])
def test_there_is_no_window_outside_the_output(row: int, column: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cut(*operands(3, (1, 1)), (1, 1), row, column)
