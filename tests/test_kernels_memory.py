"""Whose memory the kernels read and write: copies have their own, results lie apart, floats are no bits."""

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_kernels import operands

from cfcore import kernels
from cfcore.config import FLOAT_BITS
from cfcore.errors import ConfigError
from cfcore.kernels import packed, reference
from cfcore.kernels.isa import Isa
from cfcore.kernels.job import address
from cfcore.kernels.operands import PackedActivations
from cfcore.kernels.prepare import prepare_filters
from cfcore.kernels.shape import ConvShape

COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))]  # noqa: S301


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("bits", [1, 2])
def test_a_copy_works_when_the_original_is_gone(bits: int, copied: Callable[[Any], Any]) -> None:
    shape = ConvShape(33, 20, 3, padding=1, activation_bits=bits)
    a, q = operands(shape, 1, 9, 11)
    filters, activations = prepare_filters(q, shape), reference.pack_levels(a, shape)
    after = packed.epilogue(shape, *np.random.default_rng(0).normal(size=(2, 20)).astype(np.float32))
    expected = packed.conv2d_float(activations, filters, after)
    filters_2, activations_2, after_2 = copied(filters), copied(activations), copied(after)
    assert filters_2.plans == {}
    assert activations_2.address == address(activations_2.words)
    assert after_2.addresses == (address(after_2.scale), address(after_2.shift))
    del filters, activations, after
    gc.collect()
    np.testing.assert_array_equal(packed.conv2d_float(activations_2, filters_2, after_2), expected)


def test_what_another_machine_packed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its vectors are longer or shorter, so tiles and scales lie in another order."""
    shape = ConvShape(33, 20, 3)
    made = prepare_filters(operands(shape, 1, 9, 9)[1], shape), packed.epilogue(shape, np.ones(20, np.float32))
    elsewhere = pickle.dumps(made)
    monkeypatch.setattr(kernels.operands, "ISA", Isa(128, False))
    with pytest.raises(ConfigError, match=r"vectors of what was pickled = .* is not allowed: use 128-bit vectors"):
        pickle.loads(elsewhere)  # noqa: S301


@pytest.mark.parametrize(
    ("row", "column", "bit"), [(0, 4, 0), (10, 4, 0), (4, 0, 0), (4, 12, 0), (4, 4, 5), (4, 4, 31)]
)
def test_bits_that_no_packing_leaves_are_refused(row: int, column: int, bit: int) -> None:
    """In the border, or behind the last channel of a group, they would be counted."""
    shape = ConvShape(2 * 37, 2, 3, padding=1, groups=2)
    words = np.zeros((1, 1, 11, 13, 4), np.uint32)
    words[0, 0, 4, 4, [0, 2]] = 2**32 - 1
    PackedActivations(shape, words)
    words[0, 0, row, column, 1] |= np.uint32(1 << bit)
    with pytest.raises(ConfigError, match="packed words = 'a bit' is not allowed: use 0 in the border and behind"):
        PackedActivations(shape, words)


def test_float_layers_are_refused() -> None:
    """Inside a network their words are floats; on their own they would be read as bits."""
    shape = ConvShape(32, 4, 3, 1, 1, FLOAT_BITS, FLOAT_BITS)
    x = np.ones((1, 32, 9, 9), np.float32)
    filters, after = prepare_filters(np.ones((4, 32, 3, 3)), shape), packed.epilogue(shape, np.ones(4, np.float32))
    words = np.zeros((1, 1, 11, 11, 32), np.uint32)
    for call in (
        lambda: packed.layer(x, filters, after),
        lambda: packed.layer(np.asfortranarray(x), filters, after),
        lambda: packed.pack_activations(x.transpose(0, 2, 3, 1), shape),
        lambda: reference.pack_levels(x.transpose(0, 2, 3, 1), shape),
        lambda: PackedActivations(shape, words),
    ):
        with pytest.raises(
            ConfigError, match=r"weight_bits and activation_bits = \(32, 32\) is not allowed: use 1 to 8"
        ):
            call()


def test_results_lie_apart_from_what_is_read() -> None:
    shape = ConvShape(32, 32, 3, padding=1)
    _, q = operands(shape, 1, 9, 9)
    x = np.zeros((1, 32, 9, 9), np.float32)
    filters, after = prepare_filters(q, shape), packed.epilogue(shape, np.ones(32, np.float32))
    memory = np.zeros(32 * 9 * 9 + 11 * 11, np.uint32)
    activations = PackedActivations(shape, memory[-11 * 11 :].reshape(1, 1, 11, 11, 1))
    over = memory[-32 * 9 * 9 :].reshape(1, 9, 9, 32)
    for call in (
        lambda: packed.layer(x, filters, after, out=x),
        lambda: packed.conv2d(activations, filters, out=over.view(np.int32)),
        lambda: packed.conv2d_float(activations, filters, after, out=over.view(np.float32)),
        lambda: packed.conv2d_packed(activations, filters, after, shape, out=activations),
    ):
        with pytest.raises(ConfigError, match="out = 'the input' is not allowed: use memory of its own"):
            call()
    beside = memory[: 32 * 9 * 9].reshape(1, 9, 9, 32).view(np.int32)
    assert packed.conv2d(activations, filters, out=beside) is beside
