"""Bits to bytes and words and back, and the refusal of damaged bytes."""

import naive
import numpy as np
import pytest

from cfcore import bitpack
from cfcore.errors import CheckpointError, ConfigError

LENGTHS = (1, 7, 8, 9, 31, 32, 33, 63, 64, 65)


@pytest.mark.parametrize("n", LENGTHS)
def test_bytes_come_back(n: int) -> None:
    bits = np.random.default_rng(n).integers(0, 2, (2, 3, n), dtype=np.uint8)
    packed = bitpack.pack_bits(bits)
    assert packed.shape == (2, 3, (n + 7) // 8)
    assert packed.dtype == np.uint8
    np.testing.assert_array_equal(bitpack.unpack_bits(packed, n), bits)


def test_the_first_bit_is_the_least_significant() -> None:
    assert bitpack.pack_bits(np.array([[1, 0, 1, 1, 0, 0, 0, 0, 1]])).tolist() == [[1 + 4 + 8, 1]]


def test_a_set_bit_behind_the_last_is_damage() -> None:
    packed = bitpack.pack_bits(np.ones((2, 9), np.uint8))
    packed[1, 1] |= 0b10
    with pytest.raises(CheckpointError, match="rows of 9 bits have bits set after the last one; the file is damaged"):
        bitpack.unpack_bits(packed, 9)


@pytest.mark.parametrize("n", [8, 17])
def test_rows_of_another_length_are_damage(n: int) -> None:
    with pytest.raises(CheckpointError, match=f"cannot hold rows of {n} bits: expected rows of {(n + 7) // 8} bytes"):
        bitpack.unpack_bits(np.zeros((3, 2), np.uint8), n)


def test_other_types_are_damage() -> None:
    with pytest.raises(CheckpointError, match="type int8"):
        bitpack.unpack_bits(np.zeros((3, 2), np.int8), 16)


def test_only_bits_are_packed() -> None:
    with pytest.raises(ConfigError, match=r"bit = 2 is not allowed: use 0 or 1\. Write -1 as 0"):
        bitpack.pack_bits(np.array([0, 1, 2]))
    with pytest.raises(ConfigError, match="bit = -1 is not allowed"):
        bitpack.pack_words(np.array([-1, 1]))


@pytest.mark.parametrize("bits", range(1, 9))
def test_planes_of_every_weight(bits: int) -> None:
    every = np.arange(-(2**bits - 1), 2**bits, 2)  # 2^k odd integers
    planes = bitpack.weight_planes(every.reshape(2, -1), bits)
    assert planes.shape == (bits, 2, 2**bits // 2)
    assert [naive.weight(u, bits) for u in range(2**bits)] == every.tolist()
    digits = [[u >> i & 1 for u in range(2**bits)] for i in range(bits)]
    np.testing.assert_array_equal(planes.reshape(bits, -1), digits)
    np.testing.assert_array_equal(bitpack.weights_from_planes(planes), every.reshape(2, -1))


def test_planes_keep_the_order_given() -> None:
    q = np.random.default_rng(0).integers(0, 4, (3, 5, 2, 7)) * 2 - 3
    back = bitpack.weights_from_planes(bitpack.weight_planes(q, 2))
    np.testing.assert_array_equal(back.reshape(q.shape), q)


@pytest.mark.parametrize("wrong", [0, 2, 5, -5, 2**40])
def test_only_odd_integers_of_the_width_are_weights(wrong: int) -> None:
    with pytest.raises(ConfigError, match=f"weight = {wrong} is not allowed: use odd whole numbers from -3 to 3"):
        bitpack.weight_planes(np.array([[1, wrong]]), 2)


def test_floats_are_no_weights() -> None:
    with pytest.raises(ConfigError, match="weights = 'float64' is not allowed"):
        bitpack.weight_planes(np.ones((1, 1)), 1)


@pytest.mark.parametrize("channels", LENGTHS)
def test_words(channels: int) -> None:
    bits = np.random.default_rng(channels).integers(0, 2, (2, channels), dtype=np.uint8)
    packed = bitpack.pack_words(bits)
    assert packed.shape == (2, (channels + 31) // 32)
    assert packed.dtype == np.uint32
    for row, values in zip(packed, bits, strict=True):
        # all the words of a row as one long number: bit c is channel c, and nothing lies above
        number = sum(int(word) << 32 * i for i, word in enumerate(row))
        assert number == sum(int(bit) << c for c, bit in enumerate(values))
