"""cfcore.formula: what is published, and one layer of any size."""

import json
from typing import Any

import pytest

from cfcore.architecture import Conv
from cfcore.config import Configuration, LayerModel
from cfcore.cost import layer_cost
from cfcore.formula import (
    CANDIDATES,
    CROSS_FILTER_SPEEDUP,
    XNOR_NET_SPEEDUP,
    estimate,
    ideal_ratio,
    vector_word_bits,
    xnor_speedup,
)

# ---- the published formulas ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"n": 256 * 9}, 64 * 2304 / (2304 + 64)),
        ({"n": 96 * 25, "word_bits": 128}, 128 * 2400 / (2400 + 128)),
        ({"n": 512, "word_bits": 128, "scalings": 1 / 6}, 512 / (512 / 128 + 1 / 6)),
        ({"n": 2304, "planes": 4}, 2304 / (4 * 36 + 1)),
        ({"n": 64, "scalings": 0}, 64),
    ],
    ids=str,
)
def test_xnor_speedup(settings: dict[str, Any], expected: float) -> None:
    assert xnor_speedup(**settings) == pytest.approx(expected)


def test_the_published_62_27_and_the_candidates_for_122() -> None:
    """XNOR-Net's 62.27 is its own; the others are settings that come near 122, none of them a paper's."""
    assert f"{xnor_speedup(256 * 9):.2f}" == "62.27"
    assert f"{xnor_speedup(96 * 25, word_bits=128):.2f}" == "121.52"
    assert f"{xnor_speedup(512, 1 / 6, 128):.2f}" == "122.88"
    x = 256 * 9  # multiply and add counted, one scale of the activations for each output and one of the weights for two
    assert f"{2 * x / (x / 64 + 1 + 1 / 2):.2f}" == "122.88"


@pytest.mark.parametrize(
    ("n", "m", "bits", "expected"),
    [
        (144, 1, 1, 32 * 144 / (144 + 32)),
        (144, 16, 1, 32 * 144 * 16 / (144 * 16 + 32)),
        (576, 64, 2, 32 * 576 * 64 / (2 * 576 * 64 + 32)),
        (9, 1, 8, 32 * 9 / (72 + 32)),
    ],
)
def test_ideal_ratio(n: int, m: int, bits: int, expected: float) -> None:
    assert ideal_ratio(n, m, bits) == pytest.approx(expected)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("m", [1, 8, 32])
def test_the_ideal_ratio_is_a_layers_ratio_without_padding_and_steps(bits: int, m: int) -> None:
    """F a multiple of m and n of 8: nothing is left over."""
    configuration = Configuration.of(method="binary-weight", weight_bits=bits, group_size=m)
    layer = layer_cost(Conv("a", channels=8, filters=32, size=4), configuration)
    assert layer.ratio == pytest.approx(ideal_ratio(72, m, bits))
    assert layer.ratio < 32 / bits


# ---- one layer by formula --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 2304 / (2304 / 64 + 1)),
        ({"group_size": 16}, 2304 / (2304 / 64 + 1)),  # each output is scaled, however many filters share
        ({"group_size": 16, "scaling": "group"}, 2304 / (2304 / 64 + 1 / 16)),
        ({"group_size": 16, "scaling": "both"}, 2304 / (2304 / 64 + 1 + 1 / 16)),
        ({"group_size": 16, "scaling": "folded"}, 64),
        ({"operations": 2, "scaling": "folded"}, 2 * 64),
        ({"channels": 3, "kernel": 1, "word_bits": 32}, 3 / (3 / 32 + 1)),
        ({"channels": 64, "kernel": 5, "weight_bits": 2, "activation_bits": 3}, 1600 / (2 * 3 * 1600 / 64 + 1)),
    ],
    ids=str,
)
def test_the_model_of_the_speed(settings: dict[str, Any], expected: float) -> None:
    result = estimate(LayerModel(**settings))
    assert result.speedup == pytest.approx(expected)
    assert result.speedup == pytest.approx(result.floats / (result.words + result.scalings))


@pytest.mark.parametrize(("k", "m", "bits"), [(1, 1, 1), (3, 1, 1), (3, 16, 2), (7, 5, 8)])
def test_the_model_of_the_memory(k: int, m: int, bits: int) -> None:
    n = 48 * k * k
    result = estimate(LayerModel(channels=48, kernel=k, group_size=m, weight_bits=bits))
    assert result.memory_ratio == pytest.approx(32 * n * m / (bits * n * m + 32))


def test_what_is_published_and_what_comes_near_it() -> None:
    assert round(estimate(LayerModel()).speedup, 2) == XNOR_NET_SPEEDUP
    for candidate in CANDIDATES:
        assert abs(estimate(candidate).speedup - CROSS_FILTER_SPEEDUP) < 1


def test_vectors_gain_the_same_whatever_their_width() -> None:
    for bits in (128, 256, 512):
        floats, one_bit = bits / 32, bits / 3  # multiply-accumulates for an instruction
        assert vector_word_bits() == pytest.approx(one_bit / floats)
    assert estimate(LayerModel(word_bits=vector_word_bits(), scaling="folded")).speedup == pytest.approx(32 / 3)


def test_an_estimate_is_json() -> None:
    out = json.loads(json.dumps(estimate(LayerModel(group_size=2)).to_dict()))
    assert out == {**LayerModel(group_size=2).to_dict(), **{name: out[name] for name in ESTIMATED}}


def test_a_factor_of_16_bits_weighs_half() -> None:
    """9 one-bit weights and a factor: 25 bits in place of 288."""
    assert estimate(LayerModel(channels=1, scale_bits=16)).memory_ratio == 288 / 25


ESTIMATED = ("memory_ratio", "floats", "words", "scalings", "speedup")
