"""Means over seeds, paired differences and the tables of the README."""

import statistics
from dataclasses import replace
from typing import Any

import pytest

from cfcore import results
from cfcore.config import Configuration
from cfcore.manifest import Entry
from cfcore.results import Paired


def entry(configuration: Configuration, *accuracies: float, epochs: int = 2) -> Entry:
    seeds = {str(seed): accuracy for seed, accuracy in enumerate(accuracies)}
    median = sorted(accuracies)[len(accuracies) // 2]
    return Entry(configuration, median, seeds, "short", epochs, 1.0, "a machine", 1, "a.safetensors", "", "")


def rows(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in markdown.splitlines() if line]


def test_only_the_seeds_that_both_have_are_paired() -> None:
    found = Paired.of({"0": 90.0, "1": 91.0, "7": 10.0}, {"1": 90.0, "0": 90.5, "2": 99.0})
    assert found == Paired(0.25, pytest.approx(statistics.stdev([-0.5, 1.0])), 2)
    assert Paired.of({"0": 90.0}, {"0": 91.0}) is None
    assert Paired.of({"0": 90.0, "1": 90.0}, {"2": 91.0, "3": 92.0}) is None


@pytest.mark.parametrize(
    ("change", "siblings"),
    [
        ({}, True),
        ({"command": "cfcore train a && cfcore train c"}, True),
        ({"command": "cfcore train b && cfcore train c"}, False),
        ({"plan": "long"}, False),
        ({"epochs": 20}, False),
    ],
)
def test_only_siblings_are_paired(change: dict[str, Any], siblings: bool) -> None:
    """Else what is compared is their training."""
    one = replace(entry(Configuration(), 85.0, 86.0), command="cfcore train a && cfcore train b")
    other = replace(entry(Configuration(group_size=1), 85.5, 86.0), **{"command": one.command, **change})
    assert (results.difference(one, other) is not None) == siblings
    assert ("less m = 1" in results.markdown([one, other])) == siblings


def test_a_shift_of_all_seeds_is_no_chance_whatever_their_spread() -> None:
    """What pairing is for: the seeds differ by points, the two networks by a tenth each time."""
    found = Paired.of({"0": 80.1, "1": 85.11, "2": 90.09}, {"0": 80.0, "1": 85.0, "2": 90.0})
    assert found is not None
    assert found.mean == pytest.approx(0.1)
    assert found.beyond_chance


@pytest.mark.parametrize(("mean", "beyond"), [(0.248, False), (-0.248, False), (0.249, True), (-0.249, True)])
def test_chance_is_students_t(mean: float, beyond: bool) -> None:
    """Three seeds: 4.303 · 0.1 / √3 = 0.2484."""
    assert Paired(mean, 0.1, 3).beyond_chance == beyond


def test_a_family_is_a_row_and_a_group_size_a_column() -> None:
    one = Configuration(group_size=1)
    shipped = [
        entry(one, 80.0, 81.0, 82.0),
        entry(replace(one, group_size=16), 80.5),
        entry(replace(one, group_size=16, order="sorted"), 80.75),
        entry(replace(one, group_size="layer", weight_bits=2, activation_bits=2), 88.0, epochs=3),
        entry(Configuration.of(method="float"), 92.0, epochs=9),
        entry(Configuration("vgg_small", "binary-weight", 1, 32, group_size=4), 91.0),
    ]
    resnet, vgg = results.markdown(shipped).split("\n\n")
    head, rule, *families = rows(resnet)
    assert head[:5] == ["resnet20", "m = 1", "m = 16", "m = 16, sorted", "layer"]
    assert len(rule) == len(head)
    assert [row[:5] for row in families] == [
        ["float", "92.00", "—", "—", "—"],
        ["xnor 1 × 1", "81.00 ± 1.00", "80.50", "80.75", "—"],
        ["xnor 2 × 2", "—", "—", "—", "88.00"],
    ]
    assert [row[-3:-1] for row in families] == [["9", "short"], ["2", "short"], ["3", "short"]]
    assert families[1][-1].startswith("IR-Net 86.5 (400)")
    assert rows(vgg)[2][:2] == ["binary-weight 1", "91.00"]


def test_what_no_row_can_name_is_left_out() -> None:
    usual = entry(Configuration(), 85.0)
    others = [entry(Configuration(width=0.5), 70.0), entry(Configuration(input_scale=True), 80.0)]
    assert results.markdown([usual, *others]) == results.markdown([usual])


def test_a_model_with_float_alone_has_a_whole_row() -> None:
    head, _, row = rows(results.markdown([entry(Configuration.of(model="vgg_small", method="float"), 93.0)]))
    assert len(row) == len(head)
    assert row[:3] == ["float", "93.00", "1.0"]


def test_paired_differences_are_of_the_same_family() -> None:
    one = Configuration(group_size=1)
    other = replace(one, weight_bits=2, activation_bits=2)
    shipped = [
        entry(one, 80.0, 81.0),
        entry(replace(one, group_size="layer"), 79.5, 80.0),
        entry(replace(other, group_size="layer"), 88.0, 88.5),
    ]
    *_, paired = results.markdown(shipped).split("\n\n")
    (row,) = rows(paired)[2:]
    assert row == ["`resnet20-xnor-w1a1-layer`", "−0.75 ± 0.35", "2", "±3.18"]
