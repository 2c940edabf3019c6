"""cfcore.comparison: which answers changed, counted on examples small enough to check by eye."""

import json

import numpy as np
import pytest

from cfcore.comparison import CHANGES, Answers, Comparison
from cfcore.errors import ConfigError, DataError


def answers(classes: list[int], confidences: list[float] | None = None) -> Answers:
    given = [0.75] * len(classes) if confidences is None else confidences
    return Answers(np.array(classes), np.array(given, np.float32))


LABELS = [3, 3, 3, 5, 5, 0]
BEFORE = [3, 3, 5, 5, 3, 0]  # right: 0, 1, 3, 5
AFTER = [3, 5, 3, 5, 2, 1]  # right: 0, 2, 3
SURE = [0.95, 0.5, 0.99, 0.7, 0.2, 0.55]


def comparison() -> Comparison:
    return Comparison(np.array(LABELS), answers(BEFORE, SURE), answers(AFTER))


def test_every_image_has_one_change() -> None:
    found = comparison()
    assert {change: found.which(change).tolist() for change in CHANGES} == {
        "now wrong": [1, 5],
        "now right": [2],
        "both wrong": [4],
        "both right": [0, 3],
        "all": [0, 1, 2, 3, 4, 5],
    }
    assert sum(found.count(change) for change in CHANGES[:-1]) == len(found) == 6


def test_only_images_that_one_alone_gets_right_tell_two_networks_apart() -> None:
    found = comparison()
    assert found.points == pytest.approx(100 * (3 - 4) / 6)
    assert found.chance == pytest.approx(100 * 1.96 * 3**0.5 / 6)
    same = Comparison(np.array(LABELS), answers(BEFORE), answers(BEFORE))
    assert (same.points, same.chance) == (0, 0)


def test_chance_holds_ninety_five_of_a_hundred_equal_networks() -> None:
    """Networks that are right on the same 9 of 10 images, and toss a coin for the others."""
    draw = np.random.default_rng(5)
    labels, sure = np.zeros(2_000, int), np.arange(2_000) % 10 > 0
    beyond = 0
    for _ in range(400):
        before, after = (answers(np.where(sure | draw.integers(2, size=2_000), 0, 1).tolist()) for _ in range(2))
        found = Comparison(labels, before, after)
        beyond += abs(found.points) > found.chance
    assert 0.02 < beyond / 400 < 0.08


def test_images_are_chosen_by_true_class_and_by_the_class_named_now() -> None:
    found = comparison()
    assert found.which("all", label=3).tolist() == [0, 1, 2]
    assert found.which("all", named=5).tolist() == [1, 3]
    assert found.which("now wrong", label=3, named=5).tolist() == [1]
    assert found.which("now wrong", label=9).tolist() == []
    with pytest.raises(ConfigError, match=r"change = 'better' is not allowed: use one of now wrong, .* Choose all\."):
        found.which("better")


def test_the_confusion_difference_counts_what_moved() -> None:
    moved = comparison().confusion()
    expected = np.zeros((10, 10), int)
    expected[3, 5] += 1 - 1  # image 1 came, image 2 left
    expected[3, 3] += 1 - 1
    expected[5, 3] -= 1
    expected[5, 2] += 1
    expected[0, 0] -= 1
    expected[0, 1] += 1
    np.testing.assert_array_equal(moved, expected)
    assert not moved.sum(1).any()


def test_classes_have_their_own_accuracy() -> None:
    before, after = comparison().class_accuracies()
    assert [before[c] for c in (0, 3, 5)] == [100 * 1 / 1, pytest.approx(100 * 2 / 3), 100 * 1 / 2]
    assert [after[c] for c in (0, 3, 5)] == [0, pytest.approx(100 * 2 / 3), 100 * 1 / 2]
    assert np.isnan(before[9])
    assert np.isnan(after[9])


def test_losses_are_counted_by_confidence_and_a_bin_begins_with_its_low_end() -> None:
    bins = comparison().lost_by_confidence((0.0, 0.5, 0.7, 1.0))
    assert [(found.low, found.high) for found in bins] == [(0.0, 0.5), (0.5, 0.7), (0.7, 1.0)]
    # right before: 0.95 kept, 0.5 lost, 0.7 kept, 0.55 lost; float32 0.7 is a little less than 0.7
    assert [found.right for found in bins] == [0, 3, 1]
    assert [found.lost for found in bins] == [0, 2, 0]


def test_full_confidence_is_in_the_last_bin() -> None:
    found = Comparison(np.array([1]), answers([1], [1.0]), answers([2], [1.0]))
    assert [(b.right, b.lost) for b in found.lost_by_confidence((0.0, 0.5, 1.0))] == [(0, 0), (1, 1)]


def test_the_document_adds_up_and_is_json() -> None:
    document = json.loads(json.dumps(comparison().to_dict(), allow_nan=False))
    assert document["images"] == 6
    assert document["correct_before"] - document["now_wrong"] + document["now_right"] == document["correct_after"] == 3
    assert [row["class"] for row in document["classes"]] == ["airplane", "cat", "dog"]  # the others have no image
    assert [row["images"] for row in document["classes"]] == [1, 3, 2]
    assert document["mean_confidence_before"] == pytest.approx(100 * sum(SURE) / 6)
    assert document["mean_confidence_after"] == 75


@pytest.mark.parametrize(("labels", "before", "after"), [(3, 2, 3), (3, 3, 2), (2, 3, 3), (0, 0, 0)])
def test_answers_to_other_images_are_refused(labels: int, before: int, after: int) -> None:
    with pytest.raises(DataError, match="Give both networks the same images"):
        Comparison(np.zeros(labels, int), answers([0] * before), answers([0] * after))
