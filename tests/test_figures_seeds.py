"""Training seeds: the difference of two means beside its chance, and the figure that draws them."""

import math
import statistics

import pytest

from app.figures.seeds import Difference, Seeds, seeds

FEW = Seeds("m = 1", (90.0, 91.0, 92.5))
MORE = Seeds("layer-wise", (88.0, 89.0, 90.0, 91.0))


def test_the_error_of_a_difference_is_of_both_means() -> None:
    found = Difference.of(FEW, MORE)
    assert found.points == pytest.approx((90.0 + 91.0 + 92.5) / 3 - (88.0 + 89.0 + 90.0 + 91.0) / 4)
    squares = statistics.variance(FEW.accuracies) / 3 + statistics.variance(MORE.accuracies) / 4
    assert found.error == pytest.approx(math.sqrt(squares))
    assert Difference.of(MORE, FEW).points == -found.points


@pytest.mark.parametrize(("points", "beyond"), [(0.19, False), (-0.19, False), (0.21, True), (-0.21, True)])
def test_twice_the_error_is_chance(points: float, beyond: bool) -> None:
    assert Difference(points, 0.1).beyond_chance == beyond


@pytest.mark.parametrize("dark", [False, True])
def test_every_seed_is_a_dot_and_every_mean_a_stroke(dark: bool) -> None:
    dots, strokes = seeds([FEW, MORE], dark).data
    assert list(dots.x) == [*FEW.accuracies, *MORE.accuracies]
    assert list(strokes.x) == [FEW.mean, MORE.mean]
    assert list(strokes.y) == [FEW.label, MORE.label]
