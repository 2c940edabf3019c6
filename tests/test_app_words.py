"""The sentences under the numbers."""

from dataclasses import replace

import numpy as np
import pytest

from app.figures.accuracy import Score
from app.figures.plane import Place
from app.services import networks
from app.services.networks import Conv
from app.services.scaling import Factors
from app.services.speed import Point
from app.views import words_bits, words_model, words_speed
from app.views import words_explorer as words
from app.views.words import about_float, about_sharing
from app.views.words_bits import nothing_to_count
from cfcore.config import Configuration
from cfcore.cost import network_cost
from cfcore.results import Paired


def bits(layer: str, **settings: object) -> str:
    configuration = Configuration.of(**settings)
    conv = networks.layers(configuration)[layer]
    return words.bits(configuration, layer, networks.sharing(configuration, conv))


def test_bits_a_weight_are_spelled_out() -> None:
    assert bits("convs.1", group_size=16) == (
        "In convs.1, 16 filters of 144 weights share one 32-bit factor: 1 + 32 / (16 × 144) = 1.014 bits per weight; "
        "with m = 1 it is 1.222. **Computed**."
    )
    assert bits("convs.1", group_size=1, weight_bits=3) == (
        "In convs.1, every filter of 144 weights has its own 32-bit factor: 3 + 32 / 144 = 3.222 bits per weight. "
        "**Computed**."
    )


def test_what_else_is_stored_is_counted() -> None:
    """2-bit activations need a step of 32 bits a layer: 16·144 + 32 + 32 bits for 16·144 weights."""
    stored = (16 * 144 + 32 + 32) / (16 * 144)
    said = bits("convs.1", group_size=16, activation_bits=2)
    assert said.endswith(f"; as stored, with the activations' step, {stored:.3f}.")
    ragged = bits("convs.1", group_size=5, order="sorted", activation_bits=2)
    assert "as stored, with the activations' step, each filter's group and a smaller last group, " in ragged


def test_a_network_is_beaten_by_more_than_chance_only() -> None:
    lit = Place("1 × 1 bits, m = 16", "xnor", 1000, 80.0, chosen=True)
    assert "on the dotted frontier" in words.plane([lit, Place("larger", "xnor", 1001, 99.0)])
    near, far = Place("near", "xnor", 900, 80.5), Place("far", "xnor", 1000, 85.0)
    assert "Near the dotted frontier: near (xnor) is no larger and 0.50 points more accurate, which may be chance." in (
        words.plane([lit, near])
    )
    assert "Beaten on this plane: far (xnor) is no larger and 5.00 points more accurate." in words.plane(
        [lit, near, far]
    )
    slow = Place("slow", "binary-weight", 1000, 90.0)
    assert "but its activations stay float, so it gains no speed." in words.plane([lit, slow])


@pytest.mark.parametrize(("slope", "said"), [(1.0, False), (0.3, True)])
def test_a_prelu_is_named_where_it_bends_anything(monkeypatch: pytest.MonkeyPatch, slope: float, said: bool) -> None:
    shipped = networks.stored
    slopes = {"slopes": np.full(18, slope, np.float32)}
    monkeypatch.setattr(networks, "stored", lambda entry: replace(c := shipped(entry), tensors={**c.tensors, **slopes}))
    configuration = Configuration(group_size=16)
    assert ("PReLU" in about_sharing(configuration)) == said
    assert ("PReLU" in words_bits.follows(configuration, networks.layers(configuration)["convs.3"])) == said


def test_another_float_network_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = Configuration(group_size=16)
    entry, floats = networks.trained(configuration), networks.trained(configuration.float_reference)
    assert entry is not None
    assert floats is not None
    assert about_float(configuration) == about_float(floats.configuration) == ""
    longer = replace(floats, command=f"{floats.command} && cfcore train --epochs 9")
    monkeypatch.setattr(networks, "shipped", lambda: (entry, longer))
    assert "another float network" in about_float(configuration)
    assert "another float network" in words.trained_accuracy(entry, Score("m = 16", 85.0, 10_000), [], None)


def test_weights_of_several_bits_are_no_signs() -> None:
    one, four = (nothing_to_count(Configuration.of(method="binary-weight", weight_bits=bits)) for bits in (1, 4))
    assert "±1 times a factor" in one
    assert "the multiplication is gone" in one
    assert "odd numbers from −15 to 15" in four
    assert "the multiplication is gone" not in four


@pytest.mark.parametrize("group_size", [1, 16])
def test_what_stands_beside_the_weights_and_they_are_the_whole(group_size: int) -> None:
    cost = network_cost(Configuration(group_size=group_size))
    beside = cost.bytes.total - cost.steps[0].bytes
    assert cost.steps[0].part == "weights"
    assert f"{beside:,} bytes of {cost.bytes.total:,}, leaves" in words_model.network(cost)


def test_differences_leave_out_what_is_not_there() -> None:
    floats, alone = Score("float", 91.0, 10_000), Score("m = 1", 85.0, 10_000)
    own = Score("m = 16", 85.25, 10_000, chosen=True)
    assert words.differences(85.25, [floats, alone, own]) == "−5.75 against float, +0.25 against m = 1"
    paired = words.differences(85.25, [floats, alone, own], Paired(-0.5, 0.25, 2))
    assert paired == "−5.75 against float, −0.50 against m = 1"
    assert words.differences(85.25, [floats, own]) == "−5.75 against float"
    assert words.differences(85.0, [Score("m = 1", 85.0, 10_000, True)]) == ""


def test_memory_says_what_sharing_saves() -> None:
    configuration = Configuration(group_size=16)
    own, alone = network_cost(configuration), network_cost(configuration.with_group_size(1))
    saved = alone.bytes.scales - own.bytes.scales
    said = words.memory(own, alone, None)
    assert f"Sharing saves {saved:,} bytes ({100 * saved / alone.bytes.total:.1f} %) compared with m = 1." in said
    assert f"The float network takes {own.float_bytes:,} bytes." in said
    assert "Sharing" not in words.memory(alone, alone, None)


def test_what_stays_float_is_said() -> None:
    cost = network_cost(Configuration())
    said = words.ledger_caveat(cost, networks.weakest(Configuration()))
    kept = (cost.bytes.float_layers + cost.bytes.batch_norm) / cost.bytes.total
    assert f"{100 * kept:.0f} % of these bytes" in said
    assert f"No quantized layer shrinks less than convs.1, {4 * 16 * 144 / (16 * 144 / 8 + 4):.1f}×" in said


def test_a_missing_m_1_is_said() -> None:
    entry = networks.Entry(
        Configuration(), 85.0, {"0": 85.0, "1": 84.0}, "own", 1, 2.0, "a", 1, "a.safetensors", "0", "cfcore train"
    )
    own = Score("m = 16", 85.0, 10_000, True)
    said = words.trained_accuracy(entry, own, [own], Paired(-0.5, 0.25, 2))
    assert "There is no trained m = 1 network with these bits." in said
    assert "2 seeds for the last epoch gave 84.00 to 85.00 %; the median is shown." in said
    assert "mean over pairs of the same seed, with a 95 % confidence interval of ±2.25 points for this start" in said
    assert "no trained m = 1" not in words.trained_accuracy(entry, own, [own, Score("m = 1", 85.0, 10_000)], None)


@pytest.mark.parametrize(("accuracy", "low", "has_steps"), [(12.0, True, False), (90.0, False, True)])
def test_a_network_near_chance_is_said_to_need_training(accuracy: float, low: bool, has_steps: bool) -> None:
    first, whole = (
        words.quantized_accuracy(Score("this", accuracy, n, True), "packed", has_steps) for n in (1_000, 10_000)
    )
    assert [("Guessing gives 10 %" in said) for said in (first, whole)] == [low, low]
    assert "On the first 1,000 test images" in first
    assert "**Measured here**, now, on packed bits" in whole
    assert ("training images set the steps and the batch norm statistics" in whole) == has_steps


def bounded(channels: int, product: float, layer: float, milliseconds: float) -> str:
    """What is said at a port bound of 1,000 GMAC/s, beside another layer that makes 90 % of it."""
    macs = int(milliseconds * 1e9)  # at the bound
    points = [
        Point("own", "packed", stage, 8, macs / 8, rate, 0.0)
        for stage, rate in (("product", product), ("layer", layer))
    ]
    return words_speed.bounded(points, 0.9, 1000.0, Conv("", channels, 64, 8))


def test_what_keeps_a_layer_from_the_bound_is_said_where_it_does() -> None:
    near = bounded(64, 850.0, 840.0, 1.0)
    assert near.startswith("The packed product reaches 85 % of the port bound. From float")
    assert near.endswith("float on both sides costs next to nothing.")
    narrow = bounded(16, 300.0, 270.0, 1.0)
    assert "Its 16 channels fill 50 % of the 32-bit words. The best other layer reaches 90 %." in narrow
    assert "At the bound a call" not in narrow
    assert "costs 10 % of the product's rate" in narrow
    assert "At the bound a call would take only 1.0\N{NO-BREAK SPACE}µs" in bounded(64, 300.0, 270.0, 0.001)


def test_the_frontier_is_that_of_the_plane() -> None:
    smaller, same = Place("smaller", "xnor", 900, 90.0), Place("lit", "xnor", 1000, 90.0, chosen=True)
    assert "smaller (xnor) is as accurate and no larger" in words.plane([smaller, same])
    assert "The one shown is on the dotted frontier" in words.plane([same])
    assert "is added once all test images are counted" in words.plane([smaller], awaited=True)


def test_a_sorted_network_stands_beside_its_like_by_index() -> None:
    scores = [Score("float", 92.0, 10_000), Score("m = 16", 90.0, 10_000)]
    assert "model, method, bits and order." in words.siblings(scores)
    mixed = [*scores, Score("m = 16, sorted", 90.0, 10_000)]
    assert "model, method and bits (sorted ones are marked)." in words.siblings(mixed)


def test_whose_weights_share_is_said() -> None:
    cost = network_cost(Configuration.of(method="binary-weight", group_size=32))
    fitted = Factors(cost.configuration, "base.safetensors", False, ())
    said = words.layers(cost, {"convs.8": 4.7, "convs.9": 2.0}, fitted)
    assert "Relative to the squared error of its quantization, sharing adds most in convs.8, 4.7 %." in said
    assert said.endswith("shapes and the weights in base.safetensors, from which this network was fine-tuned.")
    learned = words.layers(cost, {"convs.8": 4.7}, replace(fitted, learned=True))
    assert "Relative to the squared norm of its weights ±α, sharing adds most in convs.8" in learned
    assert words.layers(cost, {}, None).endswith("**Computed** from the layers' shapes.")
