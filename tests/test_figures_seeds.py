"""The figure of training seeds."""

import pytest

from app.figures.seeds import Seeds, seeds

FEW = Seeds("m = 1", (90.0, 91.0, 92.5))
MORE = Seeds("layer-wise", (88.0, 89.0, 90.0, 91.0))


@pytest.mark.parametrize("dark", [False, True])
def test_every_seed_is_a_dot_and_every_mean_a_stroke(dark: bool) -> None:
    dots, strokes = seeds([FEW, MORE], dark).data
    assert list(dots.x) == [*FEW.accuracies, *MORE.accuracies]
    assert list(strokes.x) == [FEW.mean, MORE.mean]
    assert list(strokes.y) == [FEW.label, MORE.label]
