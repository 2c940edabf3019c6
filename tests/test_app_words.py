"""The sentences under the numbers."""

import pytest

from app.figures.accuracy import Score
from app.services import networks
from app.views import words
from cfcore.config import Configuration
from cfcore.cost import network_cost


def bits(layer: str, **settings: object) -> str:
    configuration = Configuration.of(**settings)
    conv = networks.layers(configuration)[layer]
    return words.bits(configuration, layer, networks.sharing(configuration, conv))


def test_bits_a_weight_are_spelled_out() -> None:
    assert bits("convs.1", group_size=16) == (
        "In convs.1 16 filters × 144 weights share one 32-bit factor: 1 + 32 / (16 × 144) = 1.014 bits a weight; "
        "with m = 1, 1.222. **Computed**."
    )
    assert bits("convs.1", group_size=1, weight_bits=3) == (
        "In convs.1 every filter of 144 weights has a 32-bit factor of its own: 3 + 32 / 144 = 3.222 bits a weight. "
        "**Computed**."
    )


def test_what_else_is_stored_is_counted() -> None:
    """2-bit activations need a step of 32 bits a layer: 16·144 + 32 + 32 bits for 16·144 weights."""
    stored = (16 * 144 + 32 + 32) / (16 * 144)
    assert bits("convs.1", group_size=16, activation_bits=2).endswith(f"; as stored, all included, {stored:.3f}.")


def test_differences_leave_out_what_is_not_there() -> None:
    floats, alone = Score("float", 91.0, 10_000), Score("m = 1", 85.0, 10_000)
    own = Score("m = 16", 85.25, 10_000, chosen=True)
    assert words.differences(85.25, [floats, alone, own]) == "−5.75 against float, +0.25 against m = 1"
    assert words.differences(85.25, [floats, own]) == "−5.75 against float"
    assert words.differences(85.0, [Score("m = 1", 85.0, 10_000, True)]) == ""


def test_memory_says_what_sharing_saves() -> None:
    configuration = Configuration(group_size=16)
    own, alone = network_cost(configuration), network_cost(configuration.with_group_size(1))
    saved = alone.bytes.scales - own.bytes.scales
    said = words.memory(own, alone, None)
    assert f"Sharing saves {saved:,} bytes ({saved / alone.bytes.total:.1%}) compared with m = 1." in said
    assert f"The float network takes {own.float_bytes:,} bytes." in said
    assert "Sharing" not in words.memory(alone, alone, None)


def test_what_stays_float_is_said() -> None:
    cost = network_cost(Configuration())
    said = words.ledger_caveat(cost, networks.weakest(Configuration()))
    kept = (cost.bytes.float_layers + cost.bytes.batch_norm) / cost.bytes.total
    assert f"{kept:.0%} of these bytes" in said
    assert f"convs.1 shrinks least, {4 * 16 * 144 / (16 * 144 / 8 + 4):.1f}×" in said


def test_a_missing_m_1_is_said() -> None:
    entry = networks.Entry(
        Configuration(), 85.0, {"0": 85.0, "1": 84.0}, "own", 1, 2.0, "a", 1, "a.safetensors", "0", "cfcore train"
    )
    own = Score("m = 16", 85.0, 10_000, True)
    said = words.trained_accuracy(entry, own, [own])
    assert "There is no trained m = 1 network of these bits." in said
    assert "2 training seeds gave 84.00 to 85.00 %." in said
    assert "no trained m = 1" not in words.trained_accuracy(entry, own, [own, Score("m = 1", 85.0, 10_000)])


@pytest.mark.parametrize(("accuracy", "low"), [(12.0, True), (90.0, False)])
def test_a_network_near_chance_is_said_to_need_training(accuracy: float, low: bool) -> None:
    said = words.quantized_accuracy(Score("this", accuracy, 1_000, True), "packed")
    assert ("Guessing gives 10 %" in said) == low
    assert "Of the first 1,000 test images" in said
    assert "on packed bits" in said
